package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/internal/localplane"
)

// shortestSecret is the least length of a value of a Secret that is looked for: a
// shorter one could stand in a span by chance.
const shortestSecret = 7

// collector takes the spans of the demo's manager.
type collector struct {
	server *http.Server
	url    string

	mu     sync.Mutex
	names  map[string]int
	bodies [][]byte
}

// startCollector listens on loopback.
func startCollector(ctx context.Context) (*collector, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", net.JoinHostPort(localplane.Loopback, "0"))
	if err != nil {
		return nil, fmt.Errorf("listening for spans: %w", err)
	}
	c := &collector{names: map[string]int{}, url: "http://" + listener.Addr().String()}
	c.server = &http.Server{Handler: c}          //nolint:gosec // on loopback, for one client of ours
	go func() { _ = c.server.Serve(listener) }() //nolint:errcheck // it ends with Close
	return c, nil
}

// ServeHTTP takes one batch.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var sent tracepb.TracesData
	if err = errors.Join(err, proto.Unmarshal(body, &sent)); err != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, "this takes spans as protobuf at /v1/traces", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bodies = append(c.bodies, body)
	for _, resource := range sent.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				c.names[span.GetName()]++
			}
		}
	}
}

// count is how many spans there were.
func (c *collector) count() (total int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, times := range c.names {
		total += times
	}
	return total
}

// judgeSpans says which spans are missing, and which secrets are in one.
func (s *stage) judgeSpans(ctx context.Context) (failures []string, err error) {
	var secrets corev1.SecretList
	if err := s.cluster.List(ctx, &secrets, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	c := s.collector
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range []string{
		"reconcile vastaccount-sweep", "reconcile vastaccount-rent", "reconcile vastaccount-terminate", "reconcile warmpool", "reconcile warminstance", "reconcile warmclaim",
		"vast.ai rent", "PUT rent", "vast.ai list rentals", "GET list", "vast.ai destroy rental", "DELETE destroy", "vast.ai search offers", "POST search",
	} {
		if c.names[name] == 0 {
			failures = append(failures, fmt.Sprintf("there is no span %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(c.names)), ", ")))
		}
	}
	looked := 0
	for k := range secrets.Items {
		secret := &secrets.Items[k]
		for key, value := range secret.Data {
			if len(value) < shortestSecret || !isSecret(key) {
				continue
			}
			looked++
			for _, body := range c.bodies {
				if bytes.Contains(body, value) {
					failures = append(failures, fmt.Sprintf("a span holds %s of the Secret %s", key, secret.Name))
					break
				}
			}
		}
	}
	if looked == 0 {
		failures = append(failures, "there is no secret to look for in the spans")
	}
	return failures, nil
}

// isSecret is true for the keys of Secrets that nobody may see.
func isSecret(key string) bool {
	return key != "url" && key != "username" && key != "certificateSHA256"
}
