package main

import (
	"errors"
	"flag"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/simulator"
)

func environment(values map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, found := values[name]
		return value, found
	}
}

func TestParseSettings(t *testing.T) {
	defaults := func(change func(*settings)) settings {
		s := settings{seed: 1, speed: 30, replicas: 2, sidecarPort: 3000}
		change(&s)
		return s
	}
	fault := func(name string, params map[string]string) simulator.FaultSpec {
		return simulator.FaultSpec{Name: name, Params: params}
	}
	for name, test := range map[string]struct {
		arguments []string
		env       map[string]string
		want      settings
	}{
		"nothing": {nil, nil, defaults(func(*settings) {})},
		"flags": {
			[]string{"--seed=7", "--speed=0.5", "--replicas=4", "--ceiling=2.50", "--once", "--keep", "--verbose", "--sidecar-port=0"},
			nil,
			settings{seed: 7, speed: 0.5, replicas: 4, ceiling: "2.50", once: true, keep: true, verbose: true},
		},
		"environment": {
			nil,
			map[string]string{"WARMPOOL_RUN_SEED": "9", "WARMPOOL_RUN_ONCE": "true", "WARMPOOL_RUN_CEILING": ""},
			defaults(func(s *settings) { s.seed, s.once = 9, true }),
		},
		"flag wins over environment": {
			[]string{"--seed=3", "--once=false"},
			map[string]string{"WARMPOOL_RUN_SEED": "9", "WARMPOOL_RUN_ONCE": "true"},
			defaults(func(s *settings) { s.seed = 3 }),
		},
		"faults add up": {
			[]string{"--fault=no-offers", "--fault", "lost-answer=how=504,count=2"},
			map[string]string{"WARMPOOL_RUN_FAULT": "html slow=delay=5"},
			defaults(func(s *settings) {
				s.faults = []simulator.FaultSpec{
					fault("html", map[string]string{}), fault("slow", map[string]string{"delay": "5"}), fault("no-offers", map[string]string{}),
					{Name: "lost-answer", Params: map[string]string{"how": "504"}, Count: 2},
				}
			}),
		},
		"real": {[]string{"--real", "--yes"}, nil, defaults(func(s *settings) { s.real, s.yes = true, true })},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseSettings(test.arguments, environment(test.env))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(settings{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseSettingsRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		arguments []string
		env       map[string]string
		want      string
	}{
		"no speed":               {[]string{"--speed=0"}, nil, "--speed=0"},
		"speed that is none":     {[]string{"--speed=NaN"}, nil, "--speed=NaN"},
		"too fast":               {[]string{"--speed=5000"}, nil, "at most 1000"},
		"negative size":          {[]string{"--replicas=-1"}, nil, "--replicas=-1"},
		"no port":                {[]string{"--sidecar-port=70000"}, nil, "--sidecar-port=70000"},
		"too many":               {[]string{"--replicas=501"}, nil, "0 to 500"},
		"ceiling in words":       {[]string{"--ceiling=much"}, nil, `--ceiling="much"`},
		"no ceiling":             {[]string{"--ceiling=0"}, nil, `--ceiling="0"`},
		"real once":              {[]string{"--real", "--once"}, nil, "--once"},
		"real with faults":       {[]string{"--real", "--fault=html"}, nil, "--fault is for the simulator"},
		"keep without once":      {[]string{"--keep"}, nil, "--keep belongs to --once"},
		"yes without a question": {[]string{"--yes"}, nil, "--yes"},
		"once without instances": {[]string{"--once", "--replicas=0"}, nil, "at least one"},
		"positional argument":    {[]string{"once"}, nil, `"once"`},
		"unknown flag":           {[]string{"--turbo"}, nil, "turbo"},
		"bad variable":           {nil, map[string]string{"WARMPOOL_RUN_SEED": "x"}, "WARMPOOL_RUN_SEED"},
		"fault without a name":   {[]string{"--fault==1"}, nil, "no name"},
		"fault that is none":     {[]string{"--fault=nonsense"}, nil, "there are http-error, html"},
		"fault without a value":  {[]string{"--fault=slow=delay"}, nil, "key=value"},
		"fault counted in words": {[]string{"--fault=slow=count=many"}, nil, "count=many"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseSettings(test.arguments, environment(test.env))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want one that says %q", err, test.want)
			}
		})
	}
}

func TestParseFault(t *testing.T) {
	for text, want := range map[string]simulator.FaultSpec{
		"no-offers": {Name: "no-offers", Params: map[string]string{}},
		"http-error=status=500,endpoint=list,method=GET,duration=60": {
			Name: "http-error", Params: map[string]string{"status": "500"}, DurationSeconds: 60,
			Match: simulator.Match{Endpoint: "list", Method: "GET"},
		},
		"vanished=rental=7,machine=8,offer=9,label=wp1.,count=1": {
			Name: "vanished", Params: map[string]string{}, Count: 1,
			Match: simulator.Match{Rental: 7, Machine: 8, Offer: 9, LabelPrefix: "wp1."},
		},
		"label-changed=label=mine":  {Name: "label-changed", Params: map[string]string{"label": "mine"}},
		"comfy=fault=hang,text=a=b": {Name: "comfy", Params: map[string]string{"fault": "hang", "text": "a=b"}},
	} {
		t.Run(text, func(t *testing.T) {
			got, err := parseFault(text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A key that is both a parameter of a fault and a word of ours could never be
// given to the fault.
func TestFaultKeysDoNotHideParameters(t *testing.T) {
	for _, kind := range simulator.FaultKinds() {
		for _, param := range kind.Params {
			fault := simulator.FaultSpec{Name: kind.Name, Params: map[string]string{}}
			if err := setFaultKey(&fault, param.Name, "1"); err != nil || fault.Params[param.Name] != "1" {
				t.Errorf("--fault %s cannot set %s: %v", kind.Name, param.Name, err)
			}
		}
	}
}

func TestHelp(t *testing.T) {
	if _, err := parseSettings([]string{"--help"}, environment(nil)); !errors.Is(err, flag.ErrHelp) {
		t.Fatalf("got %v", err)
	}
	var out strings.Builder
	if err := writeUsage(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"--seed (WARMPOOL_RUN_SEED, default \"1\")", "--fault", "--real", "--once"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the help lacks %q", want)
		}
	}
}
