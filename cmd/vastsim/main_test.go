package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRun starts the program, uses it over HTTP and ends it.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	done := make(chan error, 1)
	environment := func(name string) (string, bool) {
		value, ok := map[string]string{"VASTSIM_KEY": "from-env", "VASTSIM_SPEED": "60"}[name]
		return value, ok
	}
	go func() {
		done <- run(ctx, []string{"--json", "--speed", "30", "--offers-limit", "3"}, environment, writer)
	}()
	var line ready
	if err := json.NewDecoder(reader).Decode(&line); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(url, key string) (int, string) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+key)
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	if status, body := get(line.URL+"/api/v0/users/current/", "from-env"); status != 200 || !strings.Contains(body, `"credit":100`) {
		t.Errorf("user: %d %s", status, body)
	}
	if _, body := get(line.AdminURL+"/clock", ""); !strings.Contains(body, `"speed":30`) {
		t.Errorf("a flag must win over the environment: %s", body)
	}
	if _, body := get(line.URL+"/api/v0/bundles", ""); strings.Count(body, `"ask_contract_id"`) != 3 {
		t.Error("offers-limit has no effect")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestBadArguments(t *testing.T) {
	for name, tc := range map[string]struct {
		args        []string
		environment map[string]string
	}{
		"unknown flag":    {args: []string{"--nonsense"}},
		"argument":        {args: []string{"x"}},
		"bad environment": {environment: map[string]string{"VASTSIM_SEED": "x"}},
		"bad speed":       {args: []string{"--speed", "-3"}},
	} {
		t.Run(name, func(t *testing.T) {
			lookup := func(name string) (string, bool) { value, ok := tc.environment[name]; return value, ok }
			if err := run(t.Context(), tc.args, lookup, &bytes.Buffer{}); err == nil {
				t.Error("no error")
			}
		})
	}
}
