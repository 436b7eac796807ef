package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files")

func poolOf(change func(*poolRow)) poolRow {
	row := poolRow{name: "sdxl", desired: 2, ready: 2, committed: 284_001, ceiling: 1_500_000, status: "True", reason: "AsDesired", message: "2 of 2 ready."}
	change(&row)
	return row
}

func instanceOf(n int, change func(*instanceRow)) instanceRow {
	row := instanceRow{
		name: fmt.Sprintf("sdxl-%05d", n), pool: "sdxl", gpu: "RTX 4090", place: "Minnesota, US", price: "0.143556",
		rental: 30_000_000 + int64(n), provider: "running", ready: "True", reason: "Ready", age: 51 * time.Second,
	}
	change(&row)
	return row
}

func healthy(instances int) *snapshot {
	shown := &snapshot{
		title: "simulated Vast.ai, seed 1, 30× real time", elapsed: 83 * time.Second,
		pools: []poolRow{poolOf(func(*poolRow) {})},
		accounts: []accountRow{{
			name: "default", balance: "999.947157", committed: "0.284001", ceiling: "6.00", ours: 2, ready: "True", reason: "Ready",
		}},
		witness: &witnessRow{rentals: 2, live: 2, now: 284_001, peak: 284_001, cost: 47_000},
	}
	for n := range instances {
		shown.instances = append(shown.instances, instanceOf(n, func(*instanceRow) {}))
	}
	return shown
}

func ceilingReached() *snapshot {
	shown := healthy(3)
	shown.pools[0] = poolOf(func(p *poolRow) {
		p.desired, p.ready, p.waiting, p.committed, p.ceiling, p.status = 4, 3, 1, 435_113, 445_113, "False"
		p.reason = "CostCeilingReached"
		p.message = "3 of 4 ready, 1 waiting. The next instance costs $0.151112 per hour and $0.010000 is left under the ceiling of $0.445113. " +
			"Raise spec.cost.ceilingUSDPerHour, or ask for fewer replicas."
	})
	shown.instances = append(shown.instances, instanceOf(3, func(i *instanceRow) {
		i.rental, i.gpu, i.place, i.price, i.provider, i.ready, i.reason = 0, "", "", "", "", "False", "CostCeilingReached"
	}))
	shown.instances[0].deleting, shown.instances[0].ready, shown.instances[0].reason = true, "False", "Terminating"
	return shown
}

func TestRenderGolden(t *testing.T) {
	troubled := healthy(1)
	troubled.problem = "reading the cluster: connection refused"
	troubled.accounts[0] = accountRow{name: "default", ceiling: "6.00", ready: "False", reason: "InvalidUserKey", foreign: 1, message: "Vast.ai refused the key. Put a valid one into the Secret warmpool-credentials."}
	troubled.witness = &witnessRow{rentals: 3, live: 2, now: 284_001, peak: 1_700_000, cost: 47_000, rentedTwice: 1, foreign: 2}
	deleting := healthy(1)
	deleting.pools[0].deleting = true
	realRun := healthy(2)
	realRun.title, realRun.witness = "the real Vast.ai: this costs money", nil
	for name, test := range map[string]struct {
		shown         *snapshot
		paint         palette
		width, height int
	}{
		"healthy":         {healthy(2), palette{}, 110, 40},
		"healthy-colours": {healthy(2), coloured(), 110, 40},
		"ceiling":         {ceilingReached(), palette{}, 100, 40},
		"narrow":          {ceilingReached(), palette{}, 68, 40},
		"very-narrow":     {ceilingReached(), palette{}, 40, 40},
		"low":             {healthy(30), palette{}, 100, 22},
		"trouble":         {troubled, palette{}, 100, 40},
		"deleting":        {deleting, palette{}, 100, 40},
		"real":            {realRun, palette{}, 100, 40},
		"nothing-yet":     {&snapshot{title: "simulated Vast.ai, seed 1, 30× real time"}, palette{}, 100, 40},
	} {
		t.Run(name, func(t *testing.T) {
			got := render(test.shown, test.paint, test.width, test.height)
			path := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v; write it with: go test ./hack/dev -update", err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Whatever there is to show and however small the screen, no line wraps and the
// picture does not scroll: both would smear it over the screen.
func TestRenderFitsTheScreen(t *testing.T) {
	word := rapid.StringMatching(`[a-zA-Z0-9.×-]{0,40}`)
	rapid.Check(t, func(t *rapid.T) {
		shown := &snapshot{title: word.Draw(t, "title"), problem: word.Draw(t, "problem"), elapsed: time.Hour}
		for range rapid.IntRange(0, 3).Draw(t, "pools") {
			shown.pools = append(shown.pools, poolOf(func(p *poolRow) {
				p.name, p.reason, p.ready = word.Draw(t, "pool"), word.Draw(t, "reason"), rapid.Int32Range(0, 500).Draw(t, "ready")
				p.message = strings.Join(rapid.SliceOf(word).Draw(t, "message"), " ")
				p.status = rapid.SampledFrom([]string{"True", "False", "Unknown"}).Draw(t, "status")
			}))
		}
		for n := range rapid.IntRange(0, 60).Draw(t, "instances") {
			shown.instances = append(shown.instances, instanceOf(n, func(i *instanceRow) { i.gpu, i.reason = word.Draw(t, "gpu"), word.Draw(t, "why") }))
		}
		if rapid.Bool().Draw(t, "metered") {
			shown.witness = &witnessRow{rentals: 1}
		}
		width, height := rapid.IntRange(1, 200).Draw(t, "width"), rapid.IntRange(1, 60).Draw(t, "height")
		paint := palette{}
		if rapid.Bool().Draw(t, "coloured") {
			paint = coloured()
		}
		lines := strings.Split(strings.TrimSuffix(render(shown, paint, width, height), "\n"), "\n")
		if len(lines) > height {
			t.Fatalf("%d lines on a screen of %d", len(lines), height)
		}
		for _, line := range lines {
			if visibleLength(line) > width {
				t.Fatalf("%q takes %d of %d columns", line, visibleLength(line), width)
			}
		}
	})
}

func TestRenderAlignsNumbersByTheirLastDigit(t *testing.T) {
	shown := healthy(0)
	shown.pools = append(shown.pools, poolOf(func(p *poolRow) { p.name, p.desired, p.committed = "a-much-longer-name", 100, 123_456_789 }))
	lines := strings.Split(render(shown, palette{}, 140, 40), "\n")
	ends := func(line, value string) int {
		return utf8.RuneCountInString(line[:strings.Index(line, value)+len(value)])
	}
	head := ends(lines[2], "DESIRED")
	if ends(lines[3], "  2")+0 != head || ends(lines[4], "100") != head {
		t.Errorf("not aligned:\n%s", strings.Join(lines[2:5], "\n"))
	}
}

func TestChanges(t *testing.T) {
	two := healthy(2)
	for name, test := range map[string]struct {
		before, after *snapshot
		want          []string
	}{
		"the first": {nil, healthy(1), []string{
			"  1:23  pool sdxl: 2 of 2 ready, $0.29 of $1.50 per hour, AsDesired",
			"  1:23  instance sdxl-00000: rental 30000000, RTX 4090, $0.15 per hour, Ready",
			"  1:23  account default: 2 instances of ours, Ready",
			"  1:23  meter: 2 rentals, 2 live, peak $0.29 per hour",
		}},
		"nothing":                {two, healthy(2), nil},
		"time and age only":      {two, func() *snapshot { s := healthy(2); s.elapsed++; s.instances[0].age++; return s }(), nil},
		"an instance goes":       {two, healthy(1), []string{"  1:23  instance sdxl-00001: gone"}},
		"an instance has failed": {two, func() *snapshot { s := healthy(2); s.instances[1].reason = "Crashed"; return s }(), []string{"  1:23  instance sdxl-00001: rental 30000001, RTX 4090, $0.15 per hour, Crashed"}},
		"the pool is deleted":    {two, func() *snapshot { s := healthy(2); s.pools[0].deleting = true; return s }(), []string{"  1:23  pool sdxl: deleting, $0.29 per hour left"}},
		"a problem":              {two, func() *snapshot { s := healthy(2); s.problem = "no answer"; return s }(), []string{"  1:23  problem: no answer"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, changes(test.before, test.after)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBar(t *testing.T) {
	for name, test := range map[string]struct {
		part, whole int64
		want        string
		percent     string
	}{
		"nothing":        {0, 100, "░░░░", "0 %"},
		"a little shows": {1, 1000, "█░░░", "1 %"},
		"half":           {50, 100, "██░░", "50 %"},
		"all":            {100, 100, "████", "100 %"},
		"more than all":  {150, 100, "████", "150 %"},
		"no ceiling":     {5, 0, "░░░░", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := bar(test.part, test.whole, 4); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if got := percent(test.part, test.whole); got != test.percent {
				t.Errorf("got %q, want %q", got, test.percent)
			}
		})
	}
}

func TestTwoDecimals(t *testing.T) {
	for text, want := range map[string]string{"": "-", "5": "5", "1.5": "1.5", "999.947157": "999.94", "-0.019": "-0.01"} {
		if got := twoDecimals(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
