package comfysim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// orderedObject is a JSON object whose keys keep their order, as Python's do.
type orderedObject struct {
	keys   []string
	values []any
}

// MarshalJSON writes the pairs in order.
func (o orderedObject) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for n, key := range o.keys {
		if n > 0 {
			out.WriteByte(',')
		}
		name, err := json.Marshal(key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(o.values[n])
		if err != nil {
			return nil, err
		}
		out.Write(name)
		out.WriteByte(':')
		out.Write(value)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

func (c *call) getHistory() {
	query := c.r.URL.Query()
	limit, offset := -1, -1
	for name, into := range map[string]*int{"max_items": &limit, "offset": &offset} {
		if text := query.Get(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil {
				c.trouble()
				return
			}
			*into = n
		}
	}
	c.i.mu.Lock()
	defer c.i.mu.Unlock()
	if offset < 0 && query.Get("max_items") != "" {
		offset = len(c.p.historyOrder) - limit
	}
	var out orderedObject
	for n, id := range c.p.historyOrder {
		if n < offset {
			continue
		}
		out.keys, out.values = append(out.keys, id), append(out.values, c.p.history[id].wire())
		if limit >= 0 && len(out.keys) >= limit {
			break
		}
	}
	c.json(http.StatusOK, out)
}

func (c *call) getHistoryOf() {
	c.i.mu.Lock()
	defer c.i.mu.Unlock()
	var out orderedObject
	if entry := c.p.history[c.rest]; entry != nil {
		out = orderedObject{keys: []string{c.rest}, values: []any{entry.wire()}}
	}
	c.json(http.StatusOK, out)
}

func (c *call) postHistory() {
	var request clearOrDelete
	if !c.body(&request) {
		return
	}
	c.i.mu.Lock()
	if request.Clear {
		c.p.historyOrder, c.p.history = nil, map[string]*historyEntry{}
	}
	for _, id := range request.Delete {
		delete(c.p.history, id)
		c.p.historyOrder = slices.DeleteFunc(c.p.historyOrder, func(old string) bool { return old == id })
	}
	c.i.mu.Unlock()
	c.empty(http.StatusOK)
}

// job is an entry of /api/jobs.
type job struct {
	entry  *historyEntry
	it     *item
	status string
}

func (p *process) jobs() []job {
	var jobs []job
	for _, it := range p.pending {
		jobs = append(jobs, job{it: it, status: "pending"})
	}
	if p.running != nil {
		jobs = append(jobs, job{it: p.running, status: "in_progress"})
	}
	for _, id := range p.historyOrder {
		entry := p.history[id]
		status := "completed"
		if entry.status == "error" && entry.failure == nil {
			status = "cancelled"
		} else if entry.status == "error" {
			status = "failed"
		}
		jobs = append(jobs, job{entry: entry, it: entry.it, status: status})
	}
	return jobs
}

func (j job) duration() int64 {
	if j.entry == nil {
		return 0
	}
	return j.entry.ended.Sub(j.entry.started).Milliseconds()
}

func (j job) wire(full bool) map[string]any {
	out := map[string]any{
		"id": j.it.id, "status": j.status, "priority": j.it.number, "create_time": j.it.created.UnixMilli(),
		"outputs_count": 0, "previewable_outputs_count": 0, "workflow_id": nil,
	}
	if j.entry == nil {
		if full {
			out["workflow"] = map[string]any{"prompt": j.it.graph.raw, "extra_data": j.it.extra}
		}
		return out
	}
	out["execution_start_time"], out["execution_end_time"] = j.entry.started.UnixMilli(), j.entry.ended.UnixMilli()
	if j.entry.failure != nil {
		out["execution_error"] = j.entry.failure
	}
	images := 0
	for _, id := range sortedKeys(j.entry.outputs) {
		if ui, ok := j.entry.outputs[id].(map[string]any); ok {
			if saved, ok := ui["images"].([]fileRef); ok && len(saved) > 0 {
				images += len(saved)
				out["preview_output"] = saved[0]
			}
		}
	}
	out["outputs_count"], out["previewable_outputs_count"] = images, images
	if full {
		out["outputs"] = j.entry.outputs
		out["execution_status"] = j.entry.wire()["status"]
		out["workflow"] = map[string]any{"prompt": j.it.graph.raw, "extra_data": j.it.extra}
	}
	return out
}

// jobsQuery is what /api/jobs was asked.
type jobsQuery struct {
	statuses      []string
	byDuration    bool
	ascending     bool
	limit, offset int
	problem       string
}

func (c *call) jobsQuery() jobsQuery {
	query := c.r.URL.Query()
	q := jobsQuery{limit: -1, ascending: query.Get("sort_order") == "asc", byDuration: query.Get("sort_by") == "execution_duration"}
	if text := query.Get("status"); text != "" {
		q.statuses = strings.Split(text, ",")
	}
	for _, status := range q.statuses {
		if !slices.Contains([]string{"pending", "in_progress", "completed", "failed", "cancelled"}, status) {
			q.problem = "Invalid status value(s): " + status
		}
	}
	for name, into := range map[string]*int{"limit": &q.limit, "offset": &q.offset} {
		text := query.Get(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || (name == "limit" && n <= 0) || n < 0 {
			q.problem = name + " must be a positive integer"
		}
		*into = n
	}
	for name, choices := range map[string][]string{"sort_by": {"", "created_at", "execution_duration"}, "sort_order": {"", "asc", "desc"}} {
		if !slices.Contains(choices, query.Get(name)) {
			q.problem = "Invalid " + name
		}
	}
	return q
}

func (c *call) getJobs() {
	q := c.jobsQuery()
	if q.problem != "" {
		c.json(http.StatusBadRequest, map[string]string{"error": q.problem})
		return
	}
	c.i.mu.Lock()
	jobs := c.p.jobs()
	c.i.mu.Unlock()
	jobs = slices.DeleteFunc(jobs, func(j job) bool { return q.statuses != nil && !slices.Contains(q.statuses, j.status) })
	slices.SortStableFunc(jobs, func(a, b job) int {
		order := a.it.created.Compare(b.it.created)
		if q.byDuration {
			order = int(a.duration() - b.duration())
		}
		if !q.ascending {
			return -order
		}
		return order
	})
	total := len(jobs)
	jobs = jobs[min(q.offset, total):]
	var limit any
	if q.limit > 0 {
		limit = q.limit
		jobs = jobs[:min(q.limit, len(jobs))]
	}
	list := make([]any, 0, len(jobs))
	for _, j := range jobs {
		list = append(list, j.wire(false))
	}
	c.json(http.StatusOK, map[string]any{
		"jobs":       list,
		"pagination": map[string]any{"offset": q.offset, "limit": limit, "total": total, "has_more": q.offset+len(jobs) < total},
	})
}

func (c *call) getJob() {
	c.i.mu.Lock()
	defer c.i.mu.Unlock()
	for _, j := range c.p.jobs() {
		if j.it.id == c.rest {
			c.json(http.StatusOK, j.wire(true))
			return
		}
	}
	c.json(http.StatusNotFound, map[string]string{"error": "Job not found"})
}

// cancelLocked takes a job out of the queue, or interrupts it if it runs.
func (c *call) cancelLocked(id string) bool {
	if c.p.running != nil && c.p.running.id == id {
		c.p.interrupt = true
		c.i.notifyLocked()
		return true
	}
	return c.p.removeLocked(id)
}

func (c *call) postJobCancel() {
	id, ok := strings.CutSuffix(c.rest, "/cancel")
	if !ok {
		c.text(http.StatusMethodNotAllowed, "405: Method Not Allowed")
		return
	}
	c.i.mu.Lock()
	cancelled := c.cancelLocked(id)
	c.i.mu.Unlock()
	c.json(http.StatusOK, map[string]bool{"cancelled": cancelled})
}

func (c *call) postJobsCancel() {
	var request struct {
		JobIDs []string `json:"job_ids"`
	}
	if !c.body(&request) {
		return
	}
	c.i.mu.Lock()
	cancelled := []string{}
	for _, id := range request.JobIDs {
		if c.cancelLocked(id) {
			cancelled = append(cancelled, id)
		}
	}
	c.i.mu.Unlock()
	c.json(http.StatusOK, map[string]any{"cancelled": cancelled})
}
