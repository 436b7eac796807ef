package comfysim

import (
	"bytes"
	"net/http"
)

// reply collects an answer, so that a handler may write while it holds the instance's lock: what reaches the connection can block
// for as long as a fault or a client likes.
type reply struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// WriteHeader notes the status; the first one counts.
func (r *reply) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

// Write collects the body.
func (r *reply) Write(b []byte) (int, error) { return r.body.Write(b) }

// flush sends what was collected. The lock must not be held.
func (r *reply) flush() {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	r.ResponseWriter.WriteHeader(r.status)
	_, _ = r.ResponseWriter.Write(r.body.Bytes()) //nolint:errcheck // the client left
}
