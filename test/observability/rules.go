package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

const (
	// longestFor replaces every longer "for" in the copy of the rules.
	longestFor = 10 * time.Second
	// evaluation replaces the interval of every group.
	evaluation = "2s"
)

// scaled says which thresholds of age the copy has: by alert, the text in the
// expression and what stands there instead. An ending that goes well takes up to a
// minute here, too, so that the threshold of a stuck one stays above that.
func scaled() map[string][2]string {
	return map[string][2]string{
		"WarmpoolRentUnknown":                   {"> 300", "> 15"},
		"WarmpoolTerminationStuck":              {"> 600", "> 100"},
		"WarmpoolSweepStale":                    {"> 900", "> 40"},
		"WarmpoolSidecarAuthenticationFailures": {"[10m]", "[1m]"},
	}
}

// ruleFile is a rule file of Prometheus.
type ruleFile struct {
	Groups []ruleGroup `json:"groups"`
	// scaling says in words what is different in the copy, by alert.
	scaling map[string]string
}

type ruleGroup struct {
	Name     string      `json:"name"`
	Interval string      `json:"interval,omitempty"`
	Rules    []alertRule `json:"rules"`
}

type alertRule struct {
	Record      string            `json:"record,omitempty"`
	Alert       string            `json:"alert,omitempty"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// readRules reads the rules and scales them.
func readRules(root string) (*ruleFile, error) {
	text, err := os.ReadFile(filepath.Join(root, "config", "observability", "alerts.yaml")) //nolint:gosec // a file of this repository
	if err != nil {
		return nil, fmt.Errorf("reading the rules: %w", err)
	}
	rules := &ruleFile{scaling: map[string]string{}}
	if err := yaml.UnmarshalStrict(text, rules); err != nil {
		return nil, fmt.Errorf("reading the rules: %w", err)
	}
	thresholds := scaled()
	for g := range rules.Groups {
		rules.Groups[g].Interval = evaluation
		for r := range rules.Groups[g].Rules {
			rule := &rules.Groups[g].Rules[r]
			if err := rules.scale(rule, thresholds); err != nil {
				return nil, err
			}
			delete(thresholds, rule.Alert)
		}
	}
	if len(thresholds) > 0 {
		return nil, fmt.Errorf("there are no alerts for these thresholds: %v", thresholds)
	}
	return rules, nil
}

// scale shortens the times of one rule.
func (f *ruleFile) scale(rule *alertRule, thresholds map[string][2]string) error {
	var changes []string
	if rule.For != "" {
		// The units that the rules use are those that Go knows.
		duration, err := time.ParseDuration(rule.For)
		if err != nil {
			return fmt.Errorf("reading the rule %s: %w", rule.Alert, err)
		}
		if duration > longestFor {
			changes = append(changes, fmt.Sprintf("for %s → %s", rule.For, longestFor))
			rule.For = longestFor.String()
		}
	}
	if threshold, found := thresholds[rule.Alert]; found {
		if strings.Count(rule.Expr, threshold[0]) != 1 {
			return fmt.Errorf("the expression of %s has not exactly one %q: %s", rule.Alert, threshold[0], rule.Expr)
		}
		rule.Expr = strings.Replace(rule.Expr, threshold[0], threshold[1], 1)
		changes = append(changes, threshold[0]+" → "+threshold[1])
	}
	f.scaling[rule.Alert] = strings.Join(changes, ", ")
	return nil
}

// alerts names the alerts in their order.
func (f *ruleFile) alerts() []string {
	var names []string
	for g := range f.Groups {
		for r := range f.Groups[g].Rules {
			if name := f.Groups[g].Rules[r].Alert; name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// write writes the copy that Prometheus evaluates.
func (f *ruleFile) write(path string) error {
	text, err := yaml.Marshal(f)
	if err != nil {
		return fmt.Errorf("writing the rules: %w", err)
	}
	return os.WriteFile(path, text, 0o600)
}
