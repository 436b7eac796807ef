package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	"go.uber.org/goleak"
	"k8s.io/client-go/util/cert"

	"github.com/warmpool-dev/warmpool/internal/simulator"
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

// TestRunOverHTTPS rents over HTTPS what lives fast, and finds its port where it was asked for.
func TestRunOverHTTPS(t *testing.T) {
	certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	files := [2]string{filepath.Join(t.TempDir(), "crt"), filepath.Join(t.TempDir(), "key")}
	for k, text := range [][]byte{certificate, key} {
		if err = os.WriteFile(files[k], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	opts, err := parse([]string{
		"--tls-cert", files[0], "--tls-key", files[1], "--lives-speed", "1000", "--offers-limit", "1", "--instance-address", "127.0.0.2",
	}, func(string) (string, bool) { return "", false }, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	server, err := simulator.Start(t.Context(), opts.config)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots}}}
	call := func(method, path, body string) string {
		request, err := http.NewRequestWithContext(t.Context(), method, server.URL()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer sim-key")
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	offer := server.Offers(10)[0]["ask_contract_id"]
	if text := call(http.MethodPut, fmt.Sprintf("/api/v0/asks/%v/", offer), `{"image":"vastai/comfy:@vastai-automatic-tag","disk":10,"runtype":"ssh","env":{"-p 8188:8188":"1"}}`); !strings.Contains(text, "new_contract") {
		t.Fatalf("renting: %s", text)
	}
	gomega.NewWithT(t).Eventually(func() string { return call(http.MethodGet, "/api/v1/instances/", "") }, "10s", "20ms").
		Should(gomega.And(gomega.ContainSubstring(`"public_ipaddr":"127.0.0.2"`), gomega.ContainSubstring(`"actual_status":"running"`)))
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
		"slow lives":      {args: []string{"--lives-speed", "0.5"}},
		"no certificate":  {args: []string{"--tls-cert", "/nowhere.crt", "--tls-key", "/nowhere.key"}},
	} {
		t.Run(name, func(t *testing.T) {
			lookup := func(name string) (string, bool) { value, ok := tc.environment[name]; return value, ok }
			if err := run(t.Context(), tc.args, lookup, &bytes.Buffer{}); err == nil {
				t.Error("no error")
			}
		})
	}
}
