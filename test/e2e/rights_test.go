package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
)

// TestJudge compares a log of the API server with roles.
func TestJudge(t *testing.T) {
	const line = `{"kind":"Event","verb":"VERB","user":{"username":"system:serviceaccount:warmpool-system:WHO"},` +
		`"objectRef":{"resource":"RESOURCE","namespace":"one","name":"x","apiGroup":"warmpool.dev","subresource":"SUB"},"responseStatus":{"code":CODE}}`
	write := func(t *testing.T, requests ...[5]string) string {
		t.Helper()
		var text strings.Builder
		text.WriteString(`{"verb":"get","user":{"username":"system:serviceaccount:warmpool-system:us"},"requestURI":"/version"}` + "\n")
		for _, one := range requests {
			text.WriteString(strings.NewReplacer("VERB", one[0], "RESOURCE", one[1], "SUB", one[2], "CODE", one[3], "WHO", one[4]).Replace(line) + "\n")
		}
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rights := granted("", []rbacv1.PolicyRule{{APIGroups: []string{"warmpool.dev"}, Resources: []string{"warmpools", "warmpools/status"}, Verbs: []string{"get", "update"}}})
	rights = append(rights, granted("two", []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{"head"}, Verbs: []string{"get"}}})...)
	for name, tc := range map[string]struct {
		requests [][5]string
		unused   []string
		refused  bool
	}{
		"nothing was asked": {
			unused: []string{
				"get configmaps/head in two", "get warmpools.warmpool.dev", "get warmpools/status.warmpool.dev", "update warmpools.warmpool.dev",
				"update warmpools/status.warmpool.dev",
			},
		},
		"some was needed": {
			requests: [][5]string{{"get", "warmpools", "", "200", "us"}, {"update", "warmpools", "status", "409", "us"}, {"update", "warmpools", "", "200", "them"}},
			unused:   []string{"get configmaps/head in two", "get warmpools/status.warmpool.dev", "update warmpools.warmpool.dev"},
		},
		"something was refused": {
			requests: [][5]string{{"delete", "warmpools", "", "403", "us"}},
			unused: []string{
				"get configmaps/head in two", "get warmpools.warmpool.dev", "get warmpools/status.warmpool.dev", "update warmpools.warmpool.dev",
				"update warmpools/status.warmpool.dev",
			},
			refused: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := readUsage(write(t, tc.requests...), "us")
			if err != nil {
				t.Fatal(err)
			}
			if difference := cmp.Diff(tc.unused, unused(rights, found.used)); difference != "" {
				t.Error(difference)
			}
			sufficient, narrow := found.judge(rights, nil)
			if errors.Is(sufficient, errRefused) != tc.refused || !errors.Is(narrow, errTooWide) {
				t.Errorf("got %v and %v", sufficient, narrow)
			}
			reasons := map[string]string{}
			for _, one := range tc.unused {
				reasons[one] = "needed once a year"
			}
			if _, narrow = found.judge(rights, reasons); narrow != nil {
				t.Errorf("a right with a reason: %v", narrow)
			}
		})
	}
}

func TestReport(t *testing.T) {
	var out strings.Builder
	r := report{out: &out}
	if err := r.assert("all is well", 0, nil); err != nil {
		t.Error(err)
	}
	if err := r.assert("all is lost", 0, errStill); !errors.Is(err, errStill) {
		t.Errorf("got %v", err)
	}
	r.leave("the moon", "it is far")
	if r.asserted != 2 || r.failed != 1 || len(r.leftOut) != 1 || !strings.Contains(out.String(), "FAILED all is lost") {
		t.Errorf("got %+v and %q", r, out.String())
	}
}
