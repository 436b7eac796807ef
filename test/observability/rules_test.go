package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestEveryAlertHasAScene: whoever adds an alert has to say what raises it.
func TestEveryAlertHasAScene(t *testing.T) {
	rules, err := readRules("../..")
	if err != nil {
		t.Fatal(err)
	}
	var raised []string
	for _, group := range scenes() {
		for k := range group {
			for _, what := range group[k].raise {
				raised = append(raised, what.alert)
			}
		}
	}
	slices.Sort(raised)
	alerts := slices.Sorted(slices.Values(rules.alerts()))
	if !slices.Equal(raised, alerts) {
		t.Errorf("the scenes raise\n%s\nand the alerts are\n%s", strings.Join(raised, "\n"), strings.Join(alerts, "\n"))
	}
}

// TestTheCopyIsShort: no rule of the copy waits for longer than the run does, and
// what was changed is told.
func TestTheCopyIsShort(t *testing.T) {
	rules, err := readRules("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range rules.Groups {
		if group.Interval != evaluation {
			t.Errorf("the group %s is evaluated every %s", group.Name, group.Interval)
		}
		for _, rule := range group.Rules {
			if rule.For == "" {
				continue
			}
			if wait, err := time.ParseDuration(rule.For); err != nil || wait > longestFor {
				t.Errorf("%s waits for %s", rule.Alert, rule.For)
			}
			if rule.For == longestFor.String() && !strings.Contains(rules.scaling[rule.Alert], "for ") {
				t.Errorf("it is not told that %s waits for a shorter time", rule.Alert)
			}
		}
	}
	if told := rules.scaling["WarmpoolRentUnknown"]; told != "for 2m → 10s, > 300 → > 15" {
		t.Errorf("of WarmpoolRentUnknown it is told: %s", told)
	}
}

// TestVariablesAreFilledIn: Prometheus knows none.
func TestVariablesAreFilledIn(t *testing.T) {
	s := &stage{root: "../.."}
	queries, err := s.dashboardQueries()
	if err != nil || len(queries) < 50 {
		t.Fatalf("%d queries, %v", len(queries), err)
	}
	for _, q := range queries {
		if strings.Contains(q.expr, "$") {
			t.Errorf("%s still has a variable: %s", q.place, q.expr)
		}
	}
}
