package comfysim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// call is one request to ComfyUI with the process that answers it.
type call struct {
	i    *Instance
	p    *process
	w    http.ResponseWriter
	r    *http.Request
	rest string // what follows the prefix of a route that ends in a slash
}

// route is one path of ComfyUI's server. A path that ends in a slash matches everything below it.
type route struct {
	method  string
	path    string
	handle  func(*call)
	noAlias bool // not reachable below /api
	jobs    bool // newer versions only
}

func routes() []route {
	return []route{
		{method: http.MethodGet, path: "/prompt", handle: (*call).getPrompt},
		{method: http.MethodPost, path: "/prompt", handle: (*call).postPrompt},
		{method: http.MethodGet, path: "/queue", handle: (*call).getQueue},
		{method: http.MethodPost, path: "/queue", handle: (*call).postQueue},
		{method: http.MethodGet, path: "/history", handle: (*call).getHistory},
		{method: http.MethodPost, path: "/history", handle: (*call).postHistory},
		{method: http.MethodGet, path: "/history/", handle: (*call).getHistoryOf},
		{method: http.MethodPost, path: "/interrupt", handle: (*call).postInterrupt},
		{method: http.MethodPost, path: "/free", handle: (*call).postFree},
		{method: http.MethodGet, path: "/system_stats", handle: (*call).getSystemStats},
		{method: http.MethodGet, path: "/features", handle: (*call).getFeatures},
		{method: http.MethodGet, path: "/object_info", handle: (*call).getObjectInfo},
		{method: http.MethodGet, path: "/object_info/", handle: (*call).getObjectInfoOf},
		{method: http.MethodGet, path: "/models", handle: (*call).getModelFolders},
		{method: http.MethodGet, path: "/models/", handle: (*call).getModels},
		{method: http.MethodGet, path: "/experiment/models", handle: (*call).getExperimentFolders},
		{method: http.MethodGet, path: "/experiment/models/", handle: (*call).getExperimentModels},
		{method: http.MethodGet, path: "/embeddings", handle: (*call).getEmbeddings},
		{method: http.MethodGet, path: "/extensions", handle: (*call).getExtensions},
		{method: http.MethodGet, path: "/view", handle: (*call).getView},
		{method: http.MethodPost, path: "/upload/image", handle: (*call).postUpload},
		{method: http.MethodGet, path: "/ws", handle: (*call).getWebSocket},
		{method: http.MethodGet, path: "/api/jobs", handle: (*call).getJobs, noAlias: true, jobs: true},
		{method: http.MethodPost, path: "/api/jobs/cancel", handle: (*call).postJobsCancel, noAlias: true, jobs: true},
		{method: http.MethodGet, path: "/api/jobs/", handle: (*call).getJob, noAlias: true, jobs: true},
		{method: http.MethodPost, path: "/api/jobs/", handle: (*call).postJobCancel, noAlias: true, jobs: true},
		{method: http.MethodGet, path: "/internal/logs", handle: (*call).getLogs, noAlias: true},
		{method: http.MethodGet, path: "/internal/logs/raw", handle: (*call).getRawLogs, noAlias: true},
		{method: http.MethodPatch, path: "/internal/logs/subscribe", handle: (*call).patchSubscribe, noAlias: true},
		{method: http.MethodGet, path: "/internal/folder_paths", handle: (*call).getFolderPaths, noAlias: true},
		{method: http.MethodGet, path: "/internal/files/", handle: (*call).getFiles, noAlias: true},
		{method: http.MethodGet, path: "/", handle: (*call).getIndex, noAlias: true},
	}
}

// match returns what follows the route's path, and whether it is this route.
func (t route) match(path string) (string, bool) {
	if rest, ok := strings.CutPrefix(path, t.path); ok && strings.HasSuffix(t.path, "/") && t.path != "/" && rest != "" {
		return rest, true
	}
	return "", path == t.path
}

// serveComfyBackend is what Caddy forwards to: ComfyUI if it listens, the front's placeholder if it does not.
func (i *Instance) serveComfyBackend(w http.ResponseWriter, r *http.Request) {
	p := i.awaitBackend(r)
	if p == nil {
		if r.Context().Err() == nil {
			i.placeholder(w, r)
		}
		return
	}
	w.Header().Set("Server", i.prof.server)
	c := &call{i: i, p: p, w: w, r: r}
	if !c.middleware() {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, i.args.maxUploadMB<<20)
	if r.Header.Get("Upgrade") != "" {
		c.dispatch() // a WebSocket takes the connection over
		return
	}
	answer := &reply{ResponseWriter: w}
	c.w = answer
	c.dispatch()
	answer.flush()
}

// awaitBackend returns the process that answers, after whatever freezes its event loop; nil when nothing listens where Caddy looks.
func (i *Instance) awaitBackend(r *http.Request) *process {
	var p *process
	var late time.Duration
	if !i.await(r.Context().Done(), func(now time.Time) (time.Duration, bool) {
		p = i.listeningLocked()
		if p == nil {
			return 0, true
		}
		if slow, ok := i.active[FaultLatency]; ok {
			late = slow.duration("by")
		}
		if _, wedged := i.active[FaultDriverWedge]; wedged && p.wedged {
			return 0, false
		}
		return i.stalled.Sub(now), !now.Before(i.stalled)
	}) {
		return nil
	}
	if p != nil && !i.pause(r.Context().Done(), late) {
		return nil
	}
	return p
}

func (i *Instance) listeningLocked() *process {
	for _, app := range i.apps {
		if app.ExternalPort == comfyPort && app.InternalPort == i.args.port {
			return i.proc
		}
	}
	return nil
}

// middleware is ComfyUI's: CORS when its flag is given, the origin check otherwise. It returns false when it has answered.
func (c *call) middleware() bool {
	c.i.mu.Lock()
	_, rejected := c.i.active[FaultOriginRejected]
	c.i.mu.Unlock()
	header := c.w.Header()
	switch {
	case rejected:
		c.empty(http.StatusForbidden)
		return false
	case c.i.args.cors != "":
		header.Set("Access-Control-Allow-Origin", c.i.args.cors)
		header.Set("Access-Control-Allow-Methods", "POST, GET, DELETE, PUT, OPTIONS, PATCH")
		header.Set("Access-Control-Allow-Headers", "Content-Type, Authorization")
		header.Set("Access-Control-Allow-Credentials", "true")
		if c.r.Method == http.MethodOptions {
			c.empty(http.StatusOK)
			return false
		}
	case c.r.Header.Get("Sec-Fetch-Site") == "cross-site" || c.foreignOrigin():
		c.empty(http.StatusForbidden)
		return false
	}
	return true
}

// foreignOrigin is the check for a loopback Host, which is what Caddy sends.
func (c *call) foreignOrigin() bool {
	origin := c.r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	_, host, _ := strings.Cut(origin, "://")
	name, _, _ := strings.Cut(host, ":")
	return !slices.Contains([]string{"localhost", "127.0.0.1"}, name)
}

func (c *call) dispatch() {
	path, method := c.r.URL.Path, c.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	alias, isAlias := strings.CutPrefix(path, "/api")
	found := false
	for _, t := range routes() {
		if t.jobs && !c.i.prof.newer {
			continue
		}
		rest, ok := t.match(path)
		if !ok && isAlias && !t.noAlias {
			rest, ok = t.match(alias)
		}
		if !ok {
			continue
		}
		found = true
		if t.method == method {
			c.rest = rest
			t.handle(c)
			return
		}
	}
	if found || method != http.MethodGet {
		c.text(http.StatusMethodNotAllowed, "405: Method Not Allowed")
		return
	}
	c.text(http.StatusNotFound, "404: Not Found")
}

// body decodes a JSON request. It answers itself, as aiohttp does, and returns false when it cannot.
func (c *call) body(into any) bool {
	var read bytes.Buffer
	if _, err := read.ReadFrom(c.r.Body); err != nil {
		c.text(http.StatusRequestEntityTooLarge, "Maximum request body size exceeded")
		return false
	}
	if err := json.Unmarshal(read.Bytes(), into); err != nil {
		c.trouble()
		return false
	}
	return true
}

// trouble is aiohttp's answer when a handler raises.
func (c *call) trouble() {
	c.text(http.StatusInternalServerError, "500 Internal Server Error\n\nServer got itself in trouble")
}

func (c *call) text(status int, body string) {
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	c.w.WriteHeader(status)
	writeString(c.w, body)
}

// empty is an aiohttp response without a body.
func (c *call) empty(status int) {
	c.w.Header().Set("Content-Type", "application/octet-stream")
	c.w.WriteHeader(status)
}

func (c *call) json(status int, body any) { writeJSON(c.w, status, body) }

func writeJSON(w http.ResponseWriter, status int, body any) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimRight(out.Bytes(), "\n")) //nolint:errcheck // the client left
}
