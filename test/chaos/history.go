package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// registry is where the API server keeps our kinds in etcd.
const registry = "/registry/warmpool.dev/"

// history records every version of every object of ours, from etcd itself:
// the API server is killed during the run, and a watch of it would have gaps.
type history struct {
	url    string
	cancel context.CancelFunc
	ended  chan struct{}

	mu       sync.Mutex
	book     *book
	revision int64
	failure  error
}

func newHistory(url string) *history {
	return &history{url: url, book: newBook(), ended: make(chan struct{})}
}

// start records until stop.
func (h *history) start(ctx context.Context) {
	ctx, h.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(h.ended)
		const pause = 200 * time.Millisecond
		for ctx.Err() == nil {
			err := h.follow(ctx)
			h.mu.Lock()
			h.failure = err
			h.mu.Unlock()
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}()
}

func (h *history) stop() {
	h.cancel()
	<-h.ended
}

// watchAnswer is one message of etcd's gateway.
type watchAnswer struct {
	Result struct {
		CompactRevision string `json:"compact_revision"`
		Events          []struct {
			Type string `json:"type"`
			KV   struct {
				Key         string `json:"key"`
				Value       string `json:"value"`
				ModRevision int64  `json:"mod_revision,string"`
			} `json:"kv"`
		} `json:"events"`
	} `json:"result"`
}

var errCompacted = errors.New("etcd has compacted its history away")

// follow reads on from the last revision that was recorded.
func (h *history) follow(ctx context.Context) error {
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	h.mu.Lock()
	from := h.revision + 1
	h.mu.Unlock()
	body, err := json.Marshal(map[string]any{"create_request": map[string]any{
		"key": encode(registry), "range_end": encode(strings.TrimSuffix(registry, "/") + "0"), "start_revision": from,
	}})
	if err != nil {
		return fmt.Errorf("watching etcd: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url+"/v3/watch", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("watching etcd: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("watching etcd: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // it is read until it ends
	for decoder := json.NewDecoder(response.Body); ; {
		var answer watchAnswer
		if err := decoder.Decode(&answer); err != nil {
			return fmt.Errorf("reading etcd's watch: %w", err)
		}
		if answer.Result.CompactRevision != "" && answer.Result.CompactRevision != "0" {
			return errCompacted
		}
		if err := h.record(&answer, time.Now()); err != nil {
			return err
		}
	}
}

// record decodes the objects of one message.
func (h *history) record(answer *watchAnswer, now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k := range answer.Result.Events {
		event := &answer.Result.Events[k]
		key, keyErr := base64.StdEncoding.DecodeString(event.KV.Key)
		value, valueErr := base64.StdEncoding.DecodeString(event.KV.Value)
		if err := errors.Join(keyErr, valueErr); err != nil {
			return fmt.Errorf("decoding etcd's watch: %w", err)
		}
		if err := h.book.note(string(key), value, moment{at: now, revision: event.KV.ModRevision}); err != nil {
			return err
		}
		h.revision = event.KV.ModRevision
	}
	return nil
}

// read returns what was recorded. The book may be read when nothing is
// recorded any more, or under with.
func (h *history) with(look func(*book)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	look(h.book)
}

// note adds one version of an object; an empty value is its end.
func (b *book) note(key string, value []byte, when moment) error {
	kind, name, _ := strings.Cut(strings.TrimPrefix(key, registry), "/")
	_, name, _ = strings.Cut(name, "/")
	var object any
	switch kind {
	case "warminstances":
		object = &warmpool.WarmInstance{}
	case "warmpools":
		object = &warmpool.WarmPool{}
	case "vastaccounts":
		object = &warmpool.VastAccount{}
	default:
		return nil
	}
	if len(value) == 0 {
		b.end(kind, name, when)
		return nil
	}
	if err := json.Unmarshal(value, object); err != nil {
		return fmt.Errorf("decoding %s: %w", key, err)
	}
	switch typed := object.(type) {
	case *warmpool.WarmInstance:
		b.noteInstance(typed, when)
	case *warmpool.WarmPool:
		b.notePool(typed, when)
	case *warmpool.VastAccount:
		b.noteAccount(typed, when)
	}
	return nil
}
