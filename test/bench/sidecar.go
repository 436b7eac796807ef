package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/localplane"
)

const (
	// sidecarClients ask at the same time, without a pause, each from an address
	// of its own: the limits are per peer, and stay as they are.
	sidecarClients = 200
	// sidecarReady is how many instances their pool has.
	sidecarReady = 20
	// sidecarWatched is how long they ask.
	sidecarWatched = time.Minute
	// sidecarMemory is what the sidecar may hold, in megabytes: a quarter of the
	// limit of config/sidecar.
	sidecarMemory = 64.0
	// sidecarPatience in ms is half of what a client of the legacy proxy waits for
	// an answer before it tries again. A claim may take longer: it waits for an
	// instance.
	sidecarPatience, sidecarClaimPatience = 5000.0, 10_000.0
	// sidecarKey and sidecarSalt open and sign nothing else.
	sidecarKey, sidecarSalt = "key-of-the-benchmarks-5d1c", "salt-of-the-benchmarks-88"
)

// measureSidecar lets 200 clients of the legacy API ask for the status, prewarm,
// claim and release for a minute. Every answer has to be one that
// docs/reference/legacy-api.md defines.
func measureSidecar(ctx context.Context, b *bench) (err error) {
	w, err := b.newWorld(ctx, "sidecar-operator", sidecarReady+10, wallSpeed)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err = buildPrograms(ctx, b.plane.root, b.directory, "sidecar"); err != nil {
		return err
	}
	s := &seeder{
		plane: b.plane, namespace: w.namespace, sim: newSimAdmin(w.vast.URL(), w.vast.AdminURL()), now: w.clock.Now, perPool: sidecarReady,
		change: func(pool *warmpool.WarmPool) {
			probeSlowly(pool)
			pool.Spec.ClaimPolicy.OnRelease = warmpool.ReleaseRecycle
			pool.Spec.MaxReplicas = new(int32(sidecarReady))
		},
	}
	if err = b.seedWith(ctx, w, s, sidecarReady); err != nil {
		return err
	}
	load := &sidecarLoad{bench: b, namespace: w.namespace, took: map[string][]time.Duration{}, answers: map[string]int{}}
	if err = load.start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, load.program.stop(ctx)) }()
	if err = load.ask(ctx); err != nil {
		return err
	}
	return load.report()
}

// sidecarLoad is a running sidecar and what it answered.
type sidecarLoad struct {
	bench     *bench
	namespace string
	program   *program
	address   string

	mu sync.Mutex
	// took is how long the calls of a kind took, answers how often what was answered.
	took    map[string][]time.Duration
	answers map[string]int
}

// start starts the sidecar with its default limits.
func (l *sidecarLoad) start(ctx context.Context) (err error) {
	const patience = time.Minute
	secret := &corev1.Secret{}
	if err = l.bench.plane.client.Get(ctx, client.ObjectKey{Namespace: l.namespace, Name: "warmpool-credentials"}, secret); err != nil {
		return fmt.Errorf("reading the Secret: %w", err)
	}
	secret.StringData = map[string]string{"ADMIN_API_KEY": sidecarKey, "AUDIT_SALT": sidecarSalt}
	if err = l.bench.plane.client.Update(ctx, secret); err != nil {
		return fmt.Errorf("writing the Secret: %w", err)
	}
	ports, err := localplane.FreePorts(ctx, 1)
	if err != nil {
		return err
	}
	l.address = net.JoinHostPort(localplane.Loopback, ports[0])
	l.program, err = startProgram(l.bench.directory, filepath.Join(l.bench.directory, "sidecar"), nil,
		"--kubeconfig="+l.bench.plane.kubeconfig, "--pool="+l.namespace+"/"+claimsPool, "--bind-address="+l.address,
		"--metrics-bind-address=0", "--health-probe-bind-address=0", "--audit-dir="+filepath.Join(l.bench.directory, "sidecar-audit"))
	if err != nil {
		return err
	}
	first := l.newVisitor(0)
	return await(ctx, patience, "the sidecar to answer", func(ctx context.Context) (bool, error) {
		answered, _, err := first.call(ctx, http.MethodGet, "/api/proxy/health", "")
		return err == nil && answered == http.StatusOK, l.program.alive()
	})
}

// ask lets all clients ask until the time is over. Each does as a page and a
// script of old do together: it looks, prewarms, looks, claims, and releases.
func (l *sidecarLoad) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sidecarWatched+time.Minute)
	defer cancel()
	end := time.Now().Add(sidecarWatched)
	clients, ctx := errgroup.WithContext(ctx)
	for k := range sidecarClients {
		visitor := l.newVisitor(k)
		clients.Go(func() error {
			defer visitor.http.CloseIdleConnections()
			for time.Now().Before(end) {
				for _, step := range []func(context.Context) error{visitor.status, visitor.prewarm, visitor.status, visitor.claim} {
					if err := step(ctx); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	return clients.Wait()
}

// report prints how long the slowest took, and what the sidecar holds.
func (l *sidecarLoad) report() error {
	_, highest, err := l.program.memory()
	if err != nil {
		return err
	}
	var seen []string
	calls := 0
	for _, answer := range slices.Sorted(maps.Keys(l.answers)) {
		seen = append(seen, fmt.Sprintf("%d × %s", l.answers[answer], answer))
		calls += l.answers[answer]
	}
	l.bench.note("sidecar: %d calls of %d clients: %s", calls, sidecarClients, strings.Join(seen, ", "))
	var failures []error
	for _, kind := range []struct {
		name  string
		bound float64
	}{{"status", sidecarPatience}, {"prewarm", sidecarPatience}, {"claim", sidecarClaimPatience}, {"release", sidecarPatience}} {
		took := l.took[kind.name]
		if len(took) == 0 {
			failures = append(failures, fmt.Errorf("%s: %w", kind.name, errNotServed))
			continue
		}
		slices.Sort(took)
		failures = append(failures, l.bench.report("sidecar-"+kind.name+"-p99", milliseconds(percentile(took, 99)), "ms", kind.bound))
	}
	return errors.Join(append(failures, l.bench.report("sidecar-peak-rss", float64(highest)/megabyte, "MB", sidecarMemory))...)
}

// visitor is one client, with a loopback address of its own.
type visitor struct {
	load *sidecarLoad
	http *http.Client
}

func (l *sidecarLoad) newVisitor(number int) *visitor {
	const firstHost = 2
	own := &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(firstHost+number))} //nolint:gosec // 200 of them
	dialer := &net.Dialer{LocalAddr: own}
	const patience = time.Minute
	return &visitor{load: l, http: &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: dialer.DialContext}}}
}

// call sends one request with the key and returns what was answered.
func (v *visitor) call(ctx context.Context, method, path, body string) (status int, answer map[string]any, err error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+v.load.address+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("X-Admin-Key", sidecarKey)
	request.Header.Set("Content-Type", "application/json")
	response, err := v.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close() //nolint:errcheck // it was read to its end
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, err
	}
	if err = json.Unmarshal(text, &answer); err != nil {
		return 0, nil, fmt.Errorf("%s %s: %d %.100q is no JSON: %w", method, path, response.StatusCode, text, err)
	}
	return response.StatusCode, answer, nil
}

// errUndefined is an answer that the reference does not know.
var errUndefined = errors.New("docs/reference/legacy-api.md does not define this answer")

// question is one call, and what may be answered.
type question struct {
	kind, method, path, body string
	// defined puts a defined answer into a word, and any other into none.
	defined func(status int, answer map[string]any) string
}

// timed makes a call, notes how long it took and what was answered, and returns
// an error unless the answer is defined. Too many requests of one peer are
// defined everywhere.
func (v *visitor) timed(ctx context.Context, q *question) (answer map[string]any, err error) {
	started := time.Now()
	status, answer, err := v.call(ctx, q.method, q.path, q.body)
	took := time.Since(started)
	if err != nil {
		return nil, err
	}
	word := q.defined(status, answer)
	if status == http.StatusTooManyRequests {
		word = "held back"
	}
	if word == "" {
		return nil, fmt.Errorf("%s %s: %d %v: %w", q.method, q.path, status, answer, errUndefined)
	}
	v.load.note(q.kind, took, q.kind+" "+word)
	return answer, nil
}

func (l *sidecarLoad) note(kind string, took time.Duration, answer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took[kind] = append(l.took[kind], took)
	l.answers[answer]++
}

func (v *visitor) status(ctx context.Context) error {
	_, err := v.timed(ctx, &question{"status", http.MethodGet, "/api/proxy/admin/warm-pool/status", "", func(status int, answer map[string]any) string {
		if _, shown := answer["instances"].([]any); status == http.StatusOK && shown {
			return "shown"
		}
		return ""
	}})
	return err
}

func (v *visitor) prewarm(ctx context.Context) error {
	_, err := v.timed(ctx, &question{"prewarm", http.MethodPost, "/api/proxy/admin/warm-pool/prewarm", "{}", func(status int, answer map[string]any) string {
		if word, is := answer["status"].(string); status == http.StatusOK && is && slices.Contains([]string{"started", "already_present", "already_prewarming"}, word) {
			return word
		}
		return ""
	}})
	return err
}

// claim asks for an instance, and gives it back when it got one: the legacy API
// has no route for that, so the WarmClaim is deleted.
func (v *visitor) claim(ctx context.Context) error {
	answer, err := v.timed(ctx, &question{"claim", http.MethodPost, "/api/proxy/warm-pool/claim", `{"maxMinutes": 5}`, func(status int, answer map[string]any) string {
		token, isText := answer["token"].(string)
		switch {
		case status == http.StatusOK && isText && token != "" && answer["connectionUrl"] != "" && answer["claim"] != "":
			return "got one"
		case status == http.StatusNotFound && answer["error"] == "no available instance":
			return "none is free"
		default:
			return ""
		}
	}})
	name, got := answer["claim"].(string)
	if err != nil || !got {
		return err
	}
	started := time.Now()
	held := &warmpool.WarmClaim{ObjectMeta: metav1.ObjectMeta{Namespace: v.load.namespace, Name: name}}
	if err := v.load.bench.plane.client.Delete(ctx, held); err != nil {
		return fmt.Errorf("releasing claim %s: %w", name, err)
	}
	v.load.note("release", time.Since(started), "released")
	return nil
}
