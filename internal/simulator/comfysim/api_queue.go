package comfysim

import (
	"bytes"
	"container/heap"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
)

func (c *call) getPrompt() {
	c.i.mu.Lock()
	remaining := c.p.remaining()
	c.i.mu.Unlock()
	c.json(http.StatusOK, execInfo(remaining))
}

func execInfo(remaining int) map[string]any {
	return map[string]any{"exec_info": map[string]any{"queue_remaining": remaining}}
}

// promptRequest is the body of POST /prompt. Numbers stay as they were written.
type promptRequest struct {
	Prompt   json.RawMessage            `json:"prompt"`
	ClientID json.RawMessage            `json:"client_id"`
	PromptID *json.RawMessage           `json:"prompt_id"`
	Extra    map[string]json.RawMessage `json:"extra_data"`
	Front    bool                       `json:"front"`
	Number   json.RawMessage            `json:"number"`
	Targets  []string                   `json:"partial_execution_targets"`
}

func (c *call) postPrompt() {
	var request promptRequest
	if !c.body(&request) {
		return
	}
	c.i.mu.Lock()
	status, answer := c.acceptLocked(request)
	c.i.mu.Unlock()
	if status == http.StatusInternalServerError {
		c.trouble()
		return
	}
	c.json(status, answer)
}

// acceptLocked numbers, validates and queues a prompt. A refused prompt uses up a number too.
func (c *call) acceptLocked(request promptRequest) (int, any) {
	it := &item{extra: request.Extra, created: c.i.nowLocked()}
	if !c.numberLocked(it, request) {
		return http.StatusInternalServerError, nil
	}
	if request.Prompt == nil {
		return refusal(apiError{Type: "no_prompt", Message: "No prompt provided", Details: "No prompt provided", Extra: map[string]any{}}, nil)
	}
	g, err := parseGraph(request.Prompt)
	if err != nil {
		return http.StatusInternalServerError, nil
	}
	it.graph = g
	if refused := c.identifyLocked(it, request); refused != nil {
		return refusal(*refused, nil)
	}
	checked := validatePrompt(g, c.i.nodesLocked(), c.i.prof.newer, request.Targets)
	if checked.refusal != nil {
		c.i.comfyLogLocked(c.i.nowLocked(), "invalid prompt: %s", checked.refusal.Type)
		return refusal(*checked.refusal, checked.nodeErrors)
	}
	it.outputs = checked.outputs
	c.annotateLocked(it, request)
	if c.i.proc == c.p {
		c.p.put(it)
	}
	return http.StatusOK, map[string]any{"prompt_id": it.id, "number": it.number, "node_errors": checked.nodeErrors}
}

func refusal(e apiError, nodes map[string]*nodeError) (int, any) {
	if nodes == nil {
		nodes = map[string]*nodeError{}
	}
	return http.StatusBadRequest, map[string]any{"error": e, "node_errors": nodes}
}

// numberLocked gives the prompt its place: a counter, negative for front, or the client's own float.
func (c *call) numberLocked(it *item, request promptRequest) bool {
	if request.Number != nil {
		text := string(bytes.Trim(request.Number, `"`))
		order, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return false
		}
		it.order = order
		it.number = json.Number(strconv.FormatFloat(order, 'f', -1, 64))
		if order == float64(int64(order)) {
			it.number += ".0" // Python writes a float as one
		}
		return true
	}
	number := c.p.number
	if request.Front {
		number = -number
	}
	c.p.number++
	it.order, it.number = float64(number), json.Number(strconv.FormatInt(number, 10))
	return true
}

// canonicalUUID is the only form of a prompt_id that newer versions take.
const canonicalUUID = `^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`

func (c *call) identifyLocked(it *item, request promptRequest) *apiError {
	if request.PromptID == nil {
		it.id = c.i.uuidLocked()
		return nil
	}
	if json.Unmarshal(*request.PromptID, &it.id) != nil {
		it.id = string(*request.PromptID) // Python's str() of whatever it is
	}
	if valid, err := regexp.MatchString(canonicalUUID, it.id); c.i.prof.newer && (err != nil || !valid) {
		return &apiError{
			Type: "invalid_prompt_id", Message: "Invalid prompt_id: it must be a canonical UUID",
			Details: it.id, Extra: map[string]any{},
		}
	}
	return nil
}

// annotateLocked fills extra_data: the client's id, the time of creation, and in newer versions no credentials.
func (c *call) annotateLocked(it *item, request promptRequest) {
	extra := make(map[string]json.RawMessage, len(request.Extra)+2)
	for key, value := range request.Extra {
		if c.i.prof.newer && slices.Contains([]string{"auth_token_comfy_org", "api_key_comfy_org"}, key) {
			continue
		}
		extra[key] = value
	}
	if request.ClientID != nil {
		extra["client_id"] = request.ClientID
	}
	if c.i.prof.newer {
		extra["create_time"] = json.RawMessage(strconv.FormatInt(it.created.UnixMilli(), 10))
	}
	it.extra = extra
}

func (c *call) getQueue() {
	c.i.mu.Lock()
	running, pending := []any{}, []any{}
	if c.p.running != nil {
		running = append(running, c.p.running.tuple())
	}
	for _, it := range c.p.pending {
		pending = append(pending, it.tuple())
	}
	c.i.mu.Unlock()
	c.json(http.StatusOK, map[string]any{"queue_running": running, "queue_pending": pending})
}

// clearOrDelete is the body of POST /queue and POST /history.
type clearOrDelete struct {
	Clear  bool     `json:"clear"`
	Delete []string `json:"delete"`
}

func (c *call) postQueue() {
	var request clearOrDelete
	if !c.body(&request) {
		return
	}
	c.i.mu.Lock()
	if request.Clear {
		c.p.pending = nil
		c.p.broadcastStatus()
	}
	for _, id := range request.Delete {
		c.p.removeLocked(id)
	}
	c.i.mu.Unlock()
	c.empty(http.StatusOK)
}

func (c *call) postInterrupt() {
	var request struct {
		PromptID string `json:"prompt_id"`
	}
	var read bytes.Buffer
	if _, err := read.ReadFrom(c.r.Body); err == nil && json.Unmarshal(read.Bytes(), &request) != nil {
		request.PromptID = "" // this handler alone tolerates bad JSON
	}
	c.i.mu.Lock()
	if request.PromptID == "" || (c.p.running != nil && c.p.running.id == request.PromptID) {
		c.p.interrupt = true
		c.i.notifyLocked()
	}
	c.i.mu.Unlock()
	c.empty(http.StatusOK)
}

func (c *call) postFree() {
	var request struct {
		UnloadModels bool `json:"unload_models"`
		FreeMemory   bool `json:"free_memory"`
	}
	if !c.body(&request) {
		return
	}
	c.i.mu.Lock()
	c.p.unload = c.p.unload || request.UnloadModels || request.FreeMemory
	c.p.dropCache = c.p.dropCache || request.FreeMemory
	if c.p.running == nil && !c.p.noWorker {
		c.p.freeLocked()
	}
	c.i.mu.Unlock()
	c.empty(http.StatusOK)
}

// removeLocked takes a pending prompt out of the queue.
func (p *process) removeLocked(id string) bool {
	n := slices.IndexFunc(p.pending, func(it *item) bool { return it.id == id })
	if n < 0 {
		return false
	}
	p.pending = slices.Delete(p.pending, n, n+1)
	heap.Init(&p.pending)
	p.broadcastStatus()
	return true
}
