package comfyui

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
)

// queueState is the ids of the prompts that run and wait. An id that could not
// be read is "?".
type queueState struct {
	running, pending []string
}

// holds is true when the prompt runs or waits.
func (q queueState) holds(id string) bool {
	return slices.Contains(q.running, id) || slices.Contains(q.pending, id)
}

// stalled is true when prompts wait and none runs: nobody pops the queue.
func (q queueState) stalled() bool { return len(q.running) == 0 && len(q.pending) > 0 }

// queue reads GET /queue.
func (s *session) queue(ctx context.Context) (queueState, error) {
	r, err := s.do(ctx, request{method: http.MethodGet, path: "/queue", limit: maxJSONBytes})
	if err != nil {
		return queueState{}, err
	}
	if verdict := s.judge(r); verdict != nil {
		return queueState{}, verdict
	}
	state, ok := decodeQueue(r.body, r.cut)
	if !ok {
		return queueState{}, unexpectedBody()
	}
	return state, nil
}

// decodeQueue reads the ids out of {"queue_running":[…],"queue_pending":[…]}
// token by token, without keeping the graphs. A body that was cut is good enough
// once the running list is complete: what is missing then is waiting prompts.
func decodeQueue(body []byte, cut bool) (queueState, bool) {
	state, ok := scanQueue(body, cut)
	if !ok {
		return scanQueue(withoutNaN(body), cut)
	}
	return state, true
}

// scanQueue is one pass of decodeQueue.
func scanQueue(body []byte, cut bool) (queueState, bool) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return queueState{}, false
	}
	var (
		state          queueState
		whole          = true
		runningIsWhole = false
		pendingIsWhole = false
	)
	for whole && decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			break
		}
		switch key {
		case "queue_running":
			state.running, whole = queueIDs(decoder)
			runningIsWhole = whole
		case "queue_pending":
			state.pending, whole = queueIDs(decoder)
			pendingIsWhole = whole
		default:
			whole = skipValue(decoder)
		}
	}
	return state, runningIsWhole && (pendingIsWhole || cut && len(state.pending) > 0)
}

// queueIDs reads one list of items, each [number, id, graph, …]. It is not
// complete when the body broke off or is no list.
func queueIDs(decoder *json.Decoder) (ids []string, complete bool) {
	if token, err := decoder.Token(); err != nil || token != json.Delim('[') {
		return nil, false
	}
	for decoder.More() {
		id, ok := queueItemID(decoder)
		if id != "" {
			ids = append(ids, id)
		}
		if !ok {
			return ids, false
		}
	}
	_, err := decoder.Token()
	return ids, err == nil
}

// queueItemID reads one item. An item that is no array counts, as "?".
func queueItemID(decoder *json.Decoder) (id string, complete bool) {
	token, err := decoder.Token()
	if err != nil {
		return "", false
	}
	id = "?"
	if token != json.Delim('[') {
		return id, skipRest(decoder, token)
	}
	for position := 0; decoder.More(); position++ {
		element, broken := decoder.Token()
		if broken != nil {
			return id, false
		}
		if text, isText := element.(string); isText && position == 1 && text != "" {
			id = text
		}
		if !skipRest(decoder, element) {
			return id, false
		}
	}
	_, err = decoder.Token()
	return id, err == nil
}

// skipValue reads over one value, and is false when the body broke off in it.
func skipValue(decoder *json.Decoder) bool {
	token, err := decoder.Token()
	return err == nil && skipRest(decoder, token)
}

// skipRest reads over what a token opened.
func skipRest(decoder *json.Decoder, first json.Token) bool {
	if first != json.Delim('[') && first != json.Delim('{') {
		return true
	}
	for depth := 1; depth > 0; {
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		switch token {
		case json.Delim('['), json.Delim('{'):
			depth++
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
	}
	return true
}
