package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
)

// etcdEvent is one event as etcd's gateway words it.
func etcdEvent(revision int64, name, value string) string {
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	return fmt.Sprintf(`{"result":{"events":[{"kv":{"key":%q,"value":%q,"mod_revision":"%d"}}]}}`+"\n", encode(registry+name), encode(value), revision)
}

func TestHistoryGoesOnWhereItWasCutOff(t *testing.T) {
	events := []string{
		etcdEvent(3, "warmpools/chaos/alpha", `{"metadata":{"name":"alpha"},"spec":{"replicas":2,"cost":{"ceilingUSDPerHour":"1.50"}}}`),
		etcdEvent(4, "warminstances/chaos/alpha-x", `{"metadata":{"name":"alpha-x","uid":"u"},"spec":{"poolRef":{"name":"alpha"}}}`),
		etcdEvent(5, "somethingelse/chaos/x", `{}`),
		etcdEvent(6, "warminstances/chaos/alpha-x", ""),
	}
	var mu sync.Mutex
	var from []int64
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, request *http.Request) {
		var asked struct {
			Create struct {
				Start int64 `json:"start_revision"`
			} `json:"create_request"`
		}
		if err := json.NewDecoder(request.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		mu.Lock()
		from = append(from, asked.Create.Start)
		number := len(from)
		mu.Unlock()
		// Each connection carries one event more and breaks.
		if number <= len(events) {
			io.WriteString(out, events[number-1])
			return
		}
		<-request.Context().Done()
	}))
	defer server.Close()
	h := newHistory(server.URL)
	h.start(t.Context())
	defer server.CloseClientConnections()
	gomega.NewWithT(t).Eventually(func() int { mu.Lock(); defer mu.Unlock(); return len(from) }, 10*time.Second, 10*time.Millisecond).Should(gomega.Equal(5))
	h.stop()
	if diff := cmp.Diff([]int64{1, 4, 5, 6, 7}, from); diff != "" {
		t.Errorf("it asked from these revisions: %s", diff)
	}
	h.with(func(b *book) {
		if pools := b.pools["alpha"]; len(pools) != 1 || pools[0].replicas != 2 || pools[0].ceiling != 1_500_000 {
			t.Errorf("the pool is %+v", pools)
		}
		if states := b.instances["u"]; len(states) != 2 || states[0].gone || !states[1].gone || states[1].revision != 6 {
			t.Errorf("the instance is %+v", states)
		}
	})
}

func TestACompactedHistoryIsAnError(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		io.WriteString(out, `{"result":{"compact_revision":"17"}}`)
	}))
	defer server.Close()
	if err := newHistory(server.URL).follow(t.Context()); err == nil || !strings.Contains(err.Error(), "compacted") {
		t.Errorf("got %v", err)
	}
}
