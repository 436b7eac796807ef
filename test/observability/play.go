package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// playAll plays the scenes of the alerts that were asked for.
func (s *stage) playAll(ctx context.Context, result *report) error {
	var mu sync.Mutex
	for _, group := range scenes() {
		var playing sync.WaitGroup
		for k := range group {
			one := &group[k]
			if !one.isWanted(result) {
				continue
			}
			playing.Go(func() {
				if err := s.play(ctx, one, result); err != nil {
					mu.Lock()
					defer mu.Unlock()
					result.failures = append(result.failures, err.Error())
				}
			})
		}
		playing.Wait()
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if err := s.becomesCalm(ctx); err != nil {
			return err
		}
	}
	return nil
}

// isWanted is true when one of its alerts was asked for.
func (one *scene) isWanted(result *report) bool {
	for k := range one.raise {
		if result.of(one.raise[k].alert) != nil {
			return true
		}
	}
	return false
}

// play plays one scene. What was done is taken back also when an alert did not fire.
func (s *stage) play(ctx context.Context, one *scene, result *report) error {
	var failures []error
	began := time.Now()
	for k := range one.raise {
		if one.raise[k].do != nil {
			began = time.Now()
		}
		if err := s.raise(ctx, &one.raise[k], began, result); err != nil {
			failures = append(failures, err)
			break
		}
	}
	mended := time.Now()
	if one.mend != nil {
		if err := one.mend(ctx, s); err != nil {
			failures = append(failures, fmt.Errorf("mending: %w", err))
		}
	}
	for k := range one.raise {
		if became := result.of(one.raise[k].alert); became != nil && became.fired {
			failures = append(failures, s.awaitEnd(ctx, became, mended))
		}
	}
	if one.clear != nil {
		if err := one.clear(ctx, s); err != nil {
			failures = append(failures, fmt.Errorf("clearing up after %s: %w", one.raise[0].alert, err))
		}
	}
	return errors.Join(failures...)
}

// raise does what raises an alert and waits until it fires.
func (s *stage) raise(ctx context.Context, what *raising, began time.Time, result *report) error {
	became := result.of(what.alert)
	if what.do != nil {
		if err := what.do(ctx, s); err != nil {
			return fmt.Errorf("raising %s: %w", what.alert, err)
		}
	}
	if err := s.until(ctx, patience, s.state(what.alert, true)); err != nil {
		return fmt.Errorf("raising %s by %s: %w", what.alert, what.how, err)
	}
	s.say("%s fires: %s.", what.alert, what.how)
	if became == nil {
		return nil
	}
	became.fired, became.firedAfter, became.how = true, time.Since(began), what.how
	return s.runCommands(ctx, became)
}

// awaitEnd waits until an alert has ended.
func (s *stage) awaitEnd(ctx context.Context, became *outcome, mended time.Time) error {
	if err := s.until(ctx, patience, s.state(became.alert, false)); err != nil {
		return fmt.Errorf("the end of %s: %w", became.alert, err)
	}
	became.resolved, became.resolvedAfter = true, time.Since(mended)
	s.say("%s has ended.", became.alert)
	return nil
}

// state says what is missing for an alert to fire, or not to.
func (s *stage) state(alert string, wanted bool) func(ctx context.Context) string {
	return func(ctx context.Context) string {
		firing, err := s.prometheus.firing(ctx)
		_, fires := firing[alert]
		switch {
		case err != nil:
			return err.Error()
		case wanted && !fires:
			return alert + " does not fire"
		case fires && !wanted:
			return alert + " still fires"
		default:
			return ""
		}
	}
}

// runCommands runs the diagnosis commands of an alert's page, with the pool that the
// alert names. Those about the pods of the operator are left out: the demo has none.
func (s *stage) runCommands(ctx context.Context, became *outcome) error {
	firing, err := s.prometheus.firing(ctx)
	if err != nil {
		return err
	}
	pool := cmp.Or(firing[became.alert]["pool"], poolName)
	text, err := os.ReadFile(filepath.Join(s.root, "docs", "guides", "runbooks", became.alert+".md"))
	if err != nil {
		return err
	}
	_, diagnosis, _ := strings.Cut(string(text), "\n## Diagnosis\n")
	diagnosis, _, _ = strings.Cut(diagnosis, "\n## Remedy\n")
	for line := range strings.Lines(diagnosis) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "kubectl ") || strings.Contains(line, "warmpool-system") {
			continue
		}
		// The pages say sdxl for the pool.
		line = strings.ReplaceAll(line, "sdxl", pool)
		command := exec.CommandContext(ctx, "bash", "-c", line) //nolint:gosec // a command of our documentation
		command.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig(), "PATH="+s.assets()+":"+os.Getenv("PATH"))
		output, err := command.CombinedOutput()
		if err != nil {
			return fmt.Errorf("on the page of %s: %s: %w: %s", became.alert, line, err, output)
		}
		if err := s.keepOutput(became.alert, line, output); err != nil {
			return err
		}
		became.commands++
	}
	return nil
}

// keepOutput writes down what a command showed, for those who read the pages over.
func (s *stage) keepOutput(alert, line string, output []byte) error {
	file, err := os.OpenFile(filepath.Join(s.work, "commands-"+alert+".txt"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // named for an alert of ours
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "$ %s\n%s\n", line, output)
	return errors.Join(err, file.Close())
}

// assets is where kubectl was built.
func (s *stage) assets() string {
	if given, found := os.LookupEnv("KUBEBUILDER_ASSETS"); found {
		return given
	}
	return filepath.Join(s.root, "bin", "k8s")
}

// askQueries asks every query of the dashboard and every recorded one for data.
func (s *stage) askQueries(ctx context.Context, rules *ruleFile) ([]query, error) {
	queries, err := s.dashboardQueries()
	if err != nil {
		return nil, err
	}
	for g := range rules.Groups {
		for r := range rules.Groups[g].Rules {
			if name := rules.Groups[g].Rules[r].Record; name != "" {
				queries = append(queries, query{place: "rule " + name, expr: name})
			}
		}
	}
	for k := range queries {
		q := &queries[k]
		q.hasData, q.trouble = s.prometheus.hadData(ctx, q.expr, s.started, time.Now())
	}
	return queries, nil
}

// dashboardQueries reads the queries of the dashboard, with its variables filled in
// as Grafana does when everything is chosen.
func (s *stage) dashboardQueries() ([]query, error) {
	text, err := os.ReadFile(filepath.Join(s.root, "config", "observability", "dashboard.json"))
	if err != nil {
		return nil, err
	}
	var board struct {
		Panels []struct {
			Title   string `json:"title"`
			Targets []struct {
				RefID string `json:"refId"`
				Expr  string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal(text, &board); err != nil {
		return nil, fmt.Errorf("reading the dashboard: %w", err)
	}
	fill := strings.NewReplacer("$namespace", ".*", "$pool", ".*", "$account", ".*", "$__rate_interval", "1m")
	var queries []query
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			queries = append(queries, query{place: fmt.Sprintf("panel %q %s", panel.Title, target.RefID), expr: fill.Replace(target.Expr)})
		}
	}
	return queries, nil
}
