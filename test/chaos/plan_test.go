package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/internal/simulator/comfysim"
)

func TestTheSameSeedMakesTheSamePlan(t *testing.T) {
	first, again, other := planActs(7, 20*time.Minute), planActs(7, 20*time.Minute), planActs(8, 20*time.Minute)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error(diff)
	}
	if cmp.Equal(first, other) {
		t.Error("two seeds made one plan")
	}
}

func TestTwentyMinutesHoldEnoughOfEverything(t *testing.T) {
	for seed := range uint64(20) {
		plan := planActs(seed, 20*time.Minute)
		groups := map[string]int{}
		for k := range plan {
			groups[plan[k].Group]++
			if plan[k].Round >= rounds(20*time.Minute) || plan[k].At >= roundLength {
				t.Fatalf("seed %d: an act lies outside its round: %s", seed, plan[k].String())
			}
		}
		// A fifth more than asked for: a manager that is down cannot be killed.
		if sum := groups[groupKill] + groups[groupCut]; sum < 360 {
			t.Errorf("seed %d plans %d kills and cuts, want at least 360", seed, sum)
		}
		for _, one := range tracks() {
			for _, recipe := range one.recipes {
				if recipe.share >= 4 && counts(plan, recipe.group)[recipe.kind] == 0 {
					t.Errorf("seed %d plans no %s", seed, recipe.kind)
				}
			}
		}
	}
}

func TestPausesAreShorterAndLongerThanTheLease(t *testing.T) {
	shorter, longer := 0, 0
	for _, one := range planActs(1, 20*time.Minute) {
		if one.Kind != kindPauseManager {
			continue
		}
		if one.Length < leaseDuration {
			shorter++
		} else {
			longer++
		}
	}
	if shorter == 0 || longer == 0 {
		t.Errorf("%d pauses are shorter than the lease and %d longer, want some of both", shorter, longer)
	}
}

func TestEveryLinkIsCutInEveryWay(t *testing.T) {
	missing := map[string]bool{}
	for _, pair := range pairs() {
		for _, kind := range []string{kindCut, kindCutForth, kindCutBack} {
			missing[kind+" "+pair] = true
		}
	}
	for _, one := range planActs(1, 20*time.Minute) {
		delete(missing, one.Kind+" "+one.Target)
	}
	if len(missing) > 0 {
		t.Errorf("20 minutes cut nothing of %v", missing)
	}
}

func TestFaultsOfTheProviderAreKnownToTheSimulator(t *testing.T) {
	known := map[string]map[string]bool{}
	for _, kind := range simulator.FaultKinds() {
		known[kind.Name] = map[string]bool{}
		for _, parameter := range kind.Params {
			known[kind.Name][parameter.Name] = true
		}
	}
	comfy := map[string]bool{}
	for _, kind := range comfysim.Registry() {
		comfy[kind.Name] = true
	}
	for _, one := range tracks() {
		for _, recipe := range one.recipes {
			if recipe.group != groupProvider && recipe.group != groupRental {
				continue
			}
			if name, found := strings.CutPrefix(recipe.kind, "comfy/"); found {
				if !comfy[name] {
					t.Errorf("the simulated ComfyUI has no fault %q", name)
				}
				continue
			}
			spec := providerFault(recipe.kind)
			if known[spec.Name] == nil {
				t.Errorf("the simulator has no fault %q", spec.Name)
			}
			for parameter := range spec.Params {
				if !known[spec.Name][parameter] {
					t.Errorf("the fault %q has no parameter %q", spec.Name, parameter)
				}
			}
		}
	}
}

func TestDirections(t *testing.T) {
	for kind, want := range map[string][]string{
		kindCut: {"a>b", "b>a"}, kindCutForth: {"a>b"}, kindCutBack: {"b>a"},
	} {
		if diff := cmp.Diff(want, directions(kind, "a>b")); diff != "" {
			t.Errorf("%s: %s", kind, diff)
		}
	}
}

func TestSettings(t *testing.T) {
	for name, test := range map[string]struct {
		arguments []string
		want      string
	}{
		"too short":  {[]string{"--seconds=5"}, "at least 30"},
		"a word":     {[]string{"now"}, "unexpected argument"},
		"all is set": {[]string{"--seconds=60", "--seed=3"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			chosen, err := parseSettings(test.arguments)
			if test.want == "" && (err != nil || chosen.length != time.Minute || chosen.seed != 3) {
				t.Errorf("got %+v, %v", chosen, err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want an error that says %q", err, test.want)
			}
		})
	}
	if chosen, err := parseSettings(nil); err != nil || chosen.seed == 0 {
		t.Errorf("no seed was drawn: %+v, %v", chosen, err)
	}
}
