package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/warmpool-dev/warmpool/internal/legacyapi"
	"github.com/warmpool-dev/warmpool/internal/localplane"
	"github.com/warmpool-dev/warmpool/internal/process"
)

const (
	// adminVariable holds the admin key in .env and in the Secret.
	adminVariable = "ADMIN_API_KEY"
	// sidecarPatience is how long running requests may take at the end.
	sidecarPatience = 5 * time.Second
)

// withSidecarSecrets adds an admin key and the salt to what the Secret shall hold:
// the key of .env when it can be used, and a new one otherwise.
func withSidecarSecrets(credentials, secrets dotEnv, salt string) {
	credentials[saltVariable] = salt
	if given := secrets[adminVariable]; legacyapi.CheckAdminKey(given) == nil {
		credentials[adminVariable] = given
		return
	}
	const keyBytes = 24
	made := make([]byte, keyBytes)
	_, _ = rand.Read(made) // it never fails
	credentials[adminVariable] = hex.EncodeToString(made)
}

// sidecar is the running sidecar; nil when it was not asked for.
type sidecar struct {
	process *process.Process
	// URL is where the legacy API is; ready is the address of its readiness.
	URL, ready string
	key        string
	stopping   context.CancelFunc
}

// startSidecar starts the legacy API for the pool of the samples.
func (s *stack) startSidecar(ctx context.Context, env []string, key string) (*sidecar, error) {
	if s.options.sidecarPort == 0 {
		return nil, nil //nolint:nilnil // no sidecar is a setting
	}
	port, err := s.sidecarPort(ctx)
	if err != nil {
		return nil, err
	}
	free, err := localplane.FreePorts(ctx, 2)
	if err != nil {
		return nil, err
	}
	healthPort, metrics := free[0], net.JoinHostPort(localplane.Loopback, free[1])
	started := &sidecar{
		URL: "http://localhost:" + port, ready: "http://" + net.JoinHostPort(localplane.Loopback, healthPort) + "/readyz", key: key,
	}
	arguments := []string{
		"--kubeconfig=" + filepath.Join(s.place.state, "sidecar.kubeconfig"), "--pool=" + namespace + "/" + poolName,
		"--deployment=" + namespace + "/warmpool-manager", "--bind-address=" + net.JoinHostPort(localplane.Loopback, port),
		"--metrics-bind-address=" + metrics, "--health-probe-bind-address=" + net.JoinHostPort(localplane.Loopback, healthPort),
		"--audit-dir=" + s.place.audit(), "--shutdown-timeout=" + sidecarPatience.String(),
	}
	if s.options.verbose {
		arguments = append(arguments, "--log-level=1")
	}
	started.process, err = process.Start(&process.Spec{
		Name: "the sidecar", Program: filepath.Join(s.place.binaries, "sidecar"), Directory: s.place.root,
		Environment: env, Log: s.place.log("sidecar"), Arguments: arguments,
	})
	if err != nil {
		return nil, err
	}
	if err := s.targets.set("warmpool-sidecar", metrics); err != nil {
		s.out.say("%v", err)
	}
	// What it was started for goes on without it.
	watched, cancel := context.WithCancel(context.WithoutCancel(ctx))
	started.stopping = cancel
	go func() {
		select {
		case <-watched.Done():
		case <-started.process.Done:
			s.out.say("%v", started.process.Obituary())
		}
	}()
	return started, started.await(ctx)
}

// sidecarPort is the port that was asked for, or a free one.
func (s *stack) sidecarPort(ctx context.Context) (string, error) {
	port := strconv.Itoa(s.options.sidecarPort)
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", net.JoinHostPort(localplane.Loopback, port))
	if err == nil {
		return port, listener.Close()
	}
	free, err := localplane.FreePorts(ctx, 1)
	if err != nil {
		return "", err
	}
	s.out.say("Port %s is taken, so the legacy API is on port %s. Give another one with --sidecar-port.", port, free[0])
	return free[0], nil
}

// await waits until the sidecar can answer.
func (d *sidecar) await(ctx context.Context) error {
	const poll = 100 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, localplane.StartTimeout)
	defer cancel()
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		if status, _, err := d.get(ctx, d.ready); err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the sidecar: %w; its log is %s", context.Cause(ctx), d.process.Log)
		case <-d.process.Done:
			return d.process.Obituary()
		case <-ticker.C:
		}
	}
}

// get asks an address as an admin.
func (d *sidecar) get(ctx context.Context, address string) (status int, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("X-Admin-Key", d.key)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	const most = 1 << 20
	body, err = io.ReadAll(io.LimitReader(response.Body, most))
	return response.StatusCode, body, errors.Join(err, response.Body.Close())
}

// stop ends the sidecar.
func (d *sidecar) stop(ctx context.Context) error {
	if d == nil {
		return nil
	}
	d.stopping()
	return d.process.Stop(ctx, 2*sidecarPatience)
}

// legacyAnswers asks the legacy API about the pool, one of its instances through
// it, and the admin page for its sign-in.
func (p *proof) legacyAnswers(ctx context.Context) (string, error) {
	if p.sidecar == nil {
		return "the sidecar was not asked for", nil
	}
	for _, ask := range []struct {
		path string
		// good is true for the answer that is wanted.
		good func(body []byte) bool
	}{
		{"/api/proxy/admin/warm-pool/status", func(body []byte) bool { return readyInstances(body) == int(p.size) }},
		{"/api/proxy/comfy/system_stats", hasDevice},
		{"/admin/warm-pool", func(body []byte) bool { return strings.Contains(string(body), `name="key"`) }},
	} {
		status, body, err := p.sidecar.get(ctx, p.sidecar.URL+ask.path)
		if err != nil || status != http.StatusOK || !ask.good(body) {
			return "", errors.Join(fmt.Errorf("to GET %s the sidecar answered %d: %s", ask.path, status, body), err)
		}
	}
	return fmt.Sprintf("%d ready instances at %s, ComfyUI behind it, and the admin page", p.size, p.sidecar.URL), nil
}

// readyInstances counts them in the legacy API's answer, -1 when that is none.
func readyInstances(body []byte) (ready int) {
	var shown struct {
		Instances []struct {
			Status string `json:"status"`
		} `json:"instances"`
	}
	if json.Unmarshal(body, &shown) != nil {
		return -1
	}
	for _, instance := range shown.Instances {
		if instance.Status == "ready" {
			ready++
		}
	}
	return ready
}

// hasDevice is true for the system_stats of a ComfyUI with a device.
func hasDevice(body []byte) bool {
	var stats struct {
		Devices []any `json:"devices"`
	}
	return json.Unmarshal(body, &stats) == nil && len(stats.Devices) > 0
}
