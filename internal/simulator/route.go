package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

// Endpoint names one operation, for limits, faults and counters.
type Endpoint string

// The endpoints.
const (
	EndpointSearch         Endpoint = "search"
	EndpointCreate         Endpoint = "create"
	EndpointLaunch         Endpoint = "launch"
	EndpointList           Endpoint = "list"
	EndpointListV0         Endpoint = "list-v0"
	EndpointListMeta       Endpoint = "list-meta"
	EndpointGet            Endpoint = "get"
	EndpointUpdate         Endpoint = "update"
	EndpointUpdateMany     Endpoint = "update-many"
	EndpointDestroy        Endpoint = "destroy"
	EndpointDestroyMany    Endpoint = "destroy-many"
	EndpointReboot         Endpoint = "reboot"
	EndpointRecycle        Endpoint = "recycle"
	EndpointBid            Endpoint = "bid"
	EndpointLogs           Endpoint = "logs"
	EndpointLogsResult     Endpoint = "logs-result"
	EndpointInstanceSSH    Endpoint = "instance-ssh"
	EndpointSSHKeys        Endpoint = "ssh-keys"
	EndpointUser           Endpoint = "user"
	EndpointCharges        Endpoint = "charges"
	EndpointInvoices       Endpoint = "invoices"
	EndpointPriceIncreases Endpoint = "price-increases"
	EndpointGPUNames       Endpoint = "gpu-names"
	EndpointSecrets        Endpoint = "secrets"
	EndpointTemplates      Endpoint = "templates"
	EndpointServerless     Endpoint = "serverless"
	endpointUnrouted       Endpoint = "unrouted"
)

// maxRequestBytes bounds what a request may send.
const maxRequestBytes = 1 << 20

// call is one request that is being answered.
type call struct {
	request  *http.Request
	endpoint Endpoint
	body     []byte
	id       int64 // from the path, 0 without
	key      string
	ip       string
	// principal is who calls; nil for endpoints that anyone may call.
	principal *apiKey
	// replay is true for a rent that a fault carries out: no fault acts on it again.
	replay bool
}

// answer is what goes on the wire.
type answer struct {
	status      int
	contentType string
	body        []byte
	header      map[string]string
	// hangUp closes the connection without an answer.
	hangUp bool
	// delay holds the answer back, in simulated time.
	delay time.Duration
}

// route is one row of the table. Its handler runs with the lock held.
type route struct {
	method, pattern string
	endpoint        Endpoint
	// open endpoints need no key.
	open   bool
	handle func(w *world, c *call) answer
}

// jsonAnswer encodes a value with exactly the content type that the command
// line accepts.
func jsonAnswer(status int, value any) answer {
	body, err := json.Marshal(value)
	if err != nil {
		return textAnswer(http.StatusInternalServerError, "encoding the answer: "+err.Error())
	}
	return answer{status: status, contentType: "application/json", body: body}
}

// okAnswer is 200 with a value.
func okAnswer(value any) answer { return jsonAnswer(http.StatusOK, value) }

// textAnswer is plain text.
func textAnswer(status int, text string) answer {
	return answer{status: status, contentType: "text/plain; charset=utf-8", body: []byte(text)}
}

// failure is the usual error body.
func failure(status int, slug, msg string) answer {
	return jsonAnswer(status, object{"success": false, "error": slug, "msg": msg})
}

// object is a JSON object.
type object = map[string]any

// routes is the table of everything that is answered. Patterns are without the
// slash at the end: both forms of a path are served, without a redirect.
func routes() []route {
	const v0, v1 = "/api/v0", "/api/v1"
	return slices.Concat(instanceRoutes(v0, v1), accountRoutes(v0, v1), []route{
		{"POST", v0 + "/bundles", EndpointSearch, true, handleSearch},
		{"GET", v0 + "/bundles", EndpointSearch, true, handleSearchGet},
		{"PUT", v0 + "/search/asks", EndpointSearch, true, handleSearchAsks},
		{"PUT", v0 + "/asks/{id}", EndpointCreate, false, handleCreate},
		{"PUT", v0 + "/launch_instance", EndpointLaunch, false, handleLaunch},
		{"GET", v0 + "/gpu_names/unique", EndpointGPUNames, true, handleGPUNames},
		{"GET", logsPath + "{token}", EndpointLogsResult, true, handleLogsResult},
	})
}

// instanceRoutes are the routes about rentals.
func instanceRoutes(v0, v1 string) []route {
	return []route{
		{"GET", v1 + "/instances", EndpointList, false, handleList},
		{"GET", v0 + "/instances", EndpointListV0, false, handleListV0},
		{"GET", v0 + "/instances/filters", EndpointListMeta, false, handleFilters},
		{"GET", v0 + "/instances/count", EndpointListMeta, false, handleCount},
		{"GET", v0 + "/instances/pending-price-increases", EndpointPriceIncreases, false, handlePriceIncreases},
		{"PUT", v0 + "/instances/accept-price-increase", EndpointPriceIncreases, false, handleAcceptIncrease},
		{"PUT", v0 + "/instances/reject-price-increase", EndpointPriceIncreases, false, handleRejectIncrease},
		{"GET", v0 + "/instances/{id}", EndpointGet, false, handleGet},
		{"PUT", v0 + "/instances/{id}", EndpointUpdate, false, handleUpdate},
		{"PUT", v0 + "/instances", EndpointUpdateMany, false, handleUpdateMany},
		{"DELETE", v0 + "/instances/{id}", EndpointDestroy, false, handleDestroy},
		{"DELETE", v0 + "/instances", EndpointDestroyMany, false, handleDestroyMany},
		{"PUT", v0 + "/instances/reboot/{id}", EndpointReboot, false, handleReboot},
		{"PUT", v0 + "/instances/recycle/{id}", EndpointRecycle, false, handleRecycle},
		{"PUT", v0 + "/instances/bid_price/{id}", EndpointBid, false, handleBid},
		{"PUT", v0 + "/instances/request_logs/{id}", EndpointLogs, false, handleLogs},
		{"GET", v0 + "/instances/{id}/ssh", EndpointInstanceSSH, false, handleInstanceSSH},
		{"POST", v0 + "/instances/{id}/ssh", EndpointInstanceSSH, false, handleAttachSSH},
		{"DELETE", v0 + "/instances/{id}/ssh/{key}", EndpointInstanceSSH, false, handleDetachSSH},
	}
}

// accountRoutes are the routes about the account.
func accountRoutes(v0, v1 string) []route {
	return []route{
		{"GET", v0 + "/users/current", EndpointUser, false, handleUser},
		{"GET", v0 + "/ssh", EndpointSSHKeys, false, handleSSHKeys},
		{"POST", v0 + "/ssh", EndpointSSHKeys, false, handleAddSSHKey},
		{"PUT", v0 + "/ssh/{id}", EndpointSSHKeys, false, handleChangeSSHKey},
		{"DELETE", v0 + "/ssh/{id}", EndpointSSHKeys, false, handleDeleteSSHKey},
		{"GET", v0 + "/charges", EndpointCharges, false, handleCharges},
		{"GET", v1 + "/invoices", EndpointInvoices, false, handleInvoices},
		{"GET", v0 + "/users/me/invoices", EndpointInvoices, false, handleOldInvoices},
		{"GET", v0 + "/secrets", EndpointSecrets, false, handleSecrets},
		{"POST", v0 + "/secrets", EndpointSecrets, false, handleSetSecret},
		{"PUT", v0 + "/secrets", EndpointSecrets, false, handleSetSecret},
		{"DELETE", v0 + "/secrets", EndpointSecrets, false, handleDeleteSecret},
		{"GET", v0 + "/template", EndpointTemplates, false, handleTemplates},
		{"GET", v0 + "/endptjobs", EndpointServerless, false, handleEndpoints},
		{"POST", v0 + "/endptjobs", EndpointServerless, false, handleAddEndpoint},
		{"GET", v0 + "/workergroups", EndpointServerless, false, handleGroups},
		{"POST", v0 + "/workergroups", EndpointServerless, false, handleAddGroup},
		{"GET", v0 + "/autojobs", EndpointServerless, false, handleGroups},
		{"POST", v0 + "/autojobs", EndpointServerless, false, handleAddGroup},
	}
}

// Endpoints returns the names of all endpoints, sorted, for matching faults.
func Endpoints() []Endpoint {
	names := map[Endpoint]bool{}
	for _, r := range routes() {
		names[r.endpoint] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// apiHandler serves the table.
func apiHandler(w *world) http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes() {
		mux.HandleFunc(r.method+" "+r.pattern, func(rw http.ResponseWriter, request *http.Request) {
			w.serve(rw, request, r)
		})
	}
	unrouted := route{endpoint: endpointUnrouted, open: true, handle: func(*world, *call) answer {
		return jsonAnswer(http.StatusNotFound, object{"success": false, "msg": "Not found"})
	}}
	mux.HandleFunc("/", func(rw http.ResponseWriter, request *http.Request) { w.serve(rw, request, unrouted) })
	return http.HandlerFunc(func(rw http.ResponseWriter, request *http.Request) {
		if path := strings.TrimRight(request.URL.Path, "/"); path != "" {
			request.URL.Path, request.URL.RawPath = path, ""
		}
		mux.ServeHTTP(rw, request)
	})
}

// serve answers one request.
func (w *world) serve(rw http.ResponseWriter, request *http.Request, r route) {
	body, err := io.ReadAll(http.MaxBytesReader(rw, request.Body, maxRequestBytes))
	if err != nil {
		w.write(rw, request, jsonAnswer(http.StatusRequestEntityTooLarge, object{"success": false, "msg": "Body too large"}))
		return
	}
	c := &call{request: request, endpoint: r.endpoint, body: body, key: keyOf(request), ip: ipOf(request)}
	var reply answer
	w.locked(func() {
		reply = w.answer(c, r)
		w.count(c.endpoint, reply)
	})
	w.write(rw, request, reply)
}

// answer goes through limits, faults and identity to the handler. Lock held.
func (w *world) answer(c *call, r route) answer {
	if text := c.request.PathValue("id"); text != "" {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return failure(http.StatusBadRequest, "invalid_args", fmt.Sprintf("Invalid id %q.", text))
		}
		c.id = id
	}
	if limited, ok := w.limit(c); ok {
		return limited
	}
	if reply, ok := w.faultBefore(c); ok {
		return reply
	}
	if denied, ok := w.authenticate(c, r.open); !ok {
		return denied
	}
	return w.faultAfter(c, r.handle(w, c))
}

// authenticate finds out who calls.
func (w *world) authenticate(c *call, open bool) (answer, bool) {
	if c.key == "" {
		if open {
			return answer{}, true
		}
		return failure(http.StatusForbidden, "auth_error", "This action requires login."), false
	}
	key, ok := w.keys[c.key]
	if !ok || key.revoked {
		if open {
			return answer{}, true
		}
		return failure(w.cfg.UnauthorizedStatus, "auth_error", "Invalid user key"), false
	}
	if key.instance != 0 && !mayManageItself(c, key) {
		return failure(http.StatusUnauthorized, "auth_error", "This key may only manage its own instance."), false
	}
	c.principal = key
	w.impersonate(c)
	return answer{}, true
}

// mayManageItself is true for what a container's own key may do.
func mayManageItself(c *call, key *apiKey) bool {
	own := c.endpoint == EndpointUpdate || c.endpoint == EndpointDestroy || c.endpoint == EndpointGet
	return own && c.id == key.instance
}

// count counts an answer per endpoint and status.
func (w *world) count(endpoint Endpoint, reply answer) {
	name := string(endpoint)
	if w.requests[name] == nil {
		w.requests[name] = map[int]int{}
	}
	status := reply.status
	if reply.hangUp {
		status = 0
	}
	w.requests[name][status]++
}

// write puts an answer on the wire, after its delay.
func (w *world) write(rw http.ResponseWriter, request *http.Request, reply answer) {
	if reply.delay > 0 {
		timer := w.clock.NewTimer(reply.delay)
		defer timer.Stop()
		select {
		case <-timer.C():
		case <-request.Context().Done():
			return
		}
	}
	if reply.hangUp {
		if conn, _, err := http.NewResponseController(rw).Hijack(); err == nil {
			logClose(conn)
		}
		return
	}
	for name, value := range reply.header {
		rw.Header().Set(name, value)
	}
	if reply.contentType != "" {
		rw.Header().Set("Content-Type", reply.contentType)
	}
	// The time here may run faster than the wall's, which net/http would send.
	rw.Header()["Date"] = nil
	rw.WriteHeader(reply.status)
	if _, err := io.Copy(rw, bytes.NewReader(reply.body)); err != nil {
		return // the client went away
	}
}

// keyOf returns the caller's key: a bearer token, or the query parameter.
func keyOf(request *http.Request) string {
	if token, ok := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer "); ok {
		return strings.TrimSpace(token)
	}
	return request.URL.Query().Get("api_key")
}

// ipOf returns the caller's address without the port.
func ipOf(request *http.Request) string {
	host, _, err := net.SplitHostPort(request.RemoteAddr)
	if err != nil {
		return request.RemoteAddr
	}
	return host
}

// decode reads a JSON body; an empty one is an empty object.
func decode(c *call, into any) (answer, bool) {
	body := c.body
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	if err := json.Unmarshal(body, into); err != nil {
		return jsonAnswer(http.StatusBadRequest, object{"error": "invalid_request", "msg": "Invalid json body"}), false
	}
	return answer{}, true
}

// text returns a wire text as nullable.
func nullable(t schema.Text) *string {
	if t == "" {
		return nil
	}
	s := string(t)
	return &s
}
