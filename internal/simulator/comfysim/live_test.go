package comfysim

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// exchange is one recorded request and what a live ComfyUI 0.3.64 answered.
type exchange struct {
	Request struct {
		Method string          `json:"method"`
		Path   string          `json:"path"`
		Body   json.RawMessage `json:"body"`
	} `json:"request"`
	Status      int    `json:"status"`
	ContentType string `json:"content_type"`
	Body        any    `json:"body"`
	Note        string `json:"note"`
}

// TestReplayOfALiveServer sends every recorded request, in order, and compares status, content type and the answer's shape:
// every field with its type, and the values of fields whose meaning is fixed.
func TestReplayOfALiveServer(t *testing.T) {
	var recording struct {
		Exchanges []exchange `json:"exchanges"`
	}
	if err := json.Unmarshal(readFile(t, "testdata/comfyui-live-0.3.64.json"), &recording); err != nil {
		t.Fatal(err)
	}
	b := ready(t, func(c *Config) {
		c.Profile = ProfileV0364
		c.Env["COMFYUI_ARGS"] = "--cpu --port 18188 --disable-all-custom-nodes --front-end-root /opt/front"
		c.Models = map[string][]ModelFile{}
		c.Timings.NodeTime = 10 * time.Second
	})
	if len(recording.Exchanges) < 30 {
		t.Fatalf("only %d exchanges", len(recording.Exchanges))
	}
	for n, x := range recording.Exchanges {
		t.Run(x.Request.Method+strings.ReplaceAll(x.Request.Path, "/", "_"), func(t *testing.T) {
			if finishedLater(x) {
				b.finished(x.Request.Path[len("/history/"):])
			}
			if n > 0 && strings.Contains(x.Note, "one running") {
				b.until("the first prompt runs", func() bool {
					return strings.Contains(string(b.get("/queue").body), `"queue_running":[[0`)
				})
			}
			a := b.do(x.Request.Method, x.Request.Path, replayBody(x))
			if a.status != x.Status || a.header.Get("Content-Type") != x.ContentType {
				t.Fatalf("%s: got %d %q, recorded %d %q", x.Note, a.status, a.header.Get("Content-Type"), x.Status, x.ContentType)
			}
			if text, ok := x.Body.(string); ok {
				if string(a.body) != text {
					t.Errorf("got %q, recorded %q", a.body, text)
				}
				return
			}
			var got any
			if err := json.Unmarshal(a.body, &got); err != nil {
				t.Fatal(err)
			}
			compareShape(t, "body", got, x.Body)
		})
	}
}

// finishedLater tells whether the recorder had waited for this prompt before it asked.
func finishedLater(x exchange) bool {
	answered, _ := x.Body.(map[string]any)
	return x.Request.Method == http.MethodGet && strings.HasPrefix(x.Request.Path, "/history/") && len(answered) == 1
}

func replayBody(x exchange) any {
	var text string
	switch {
	case len(x.Request.Body) == 0 || string(x.Request.Body) == "null":
		return nil
	case json.Unmarshal(x.Request.Body, &text) == nil:
		return text // the recorder sent these bytes as they are
	default:
		return string(x.Request.Body)
	}
}

// free are fields whose values belong to the machine or the moment.
func free(path string) bool {
	for _, part := range []string{
		"system.", "devices[0].vram", "devices[0].torch", "timestamp", "filename", "prompt_id", "entries", "required_templates",
	} {
		if strings.Contains(path, part) {
			return true
		}
	}
	return false
}

func compareShape(t *testing.T, path string, got, want any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			t.Errorf("%s: got %T, recorded an object", path, got)
			return
		}
		if g, w := sortedKeys(object), sortedKeys(want); !reflect.DeepEqual(g, w) {
			t.Errorf("%s: got fields %v, recorded %v", path, g, w)
		}
		for name, value := range want {
			if inner, ok := object[name]; ok {
				compareShape(t, path+"."+name, inner, value)
			}
		}
	case []any:
		list, ok := got.([]any)
		if !ok || (!free(path+".") && len(list) != len(want)) {
			t.Errorf("%s: got %v, recorded a list of %d", path, got, len(want))
			return
		}
		for n := range min(len(list), len(want)) {
			compareShape(t, path+"["+string(rune('0'+n%10))+"]", list[n], want[n])
		}
	default:
		if reflect.TypeOf(got) != reflect.TypeOf(want) && (!free(path) || (got != nil && want != nil)) {
			t.Errorf("%s: got %T, recorded %T", path, got, want)
		} else if !free(path) && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, recorded %v", path, got, want)
		}
	}
}
