package legacyapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/warmpool-dev/warmpool/internal/audit"
)

// answer is what a handler wants to be answered and recorded.
type answer struct {
	status int
	body   any
	// outcome and details go into the audit log, for routes with an action.
	// An empty outcome follows the status.
	outcome audit.Outcome
	details audit.Details
}

// faultBody is the body of every error.
type faultBody struct {
	Error   string `json:"error"`
	Details string `json:"details,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// headerRetry says after how many seconds to ask again.
const headerRetry = "Retry-After"

// ok answers 200.
func ok(body any) answer { return answer{status: http.StatusOK, body: body} }

// refuse answers an error with a sentence for people.
func refuse(status int, format string, arguments ...any) answer {
	return answer{status: status, body: faultBody{Error: fmt.Sprintf(format, arguments...)}}
}

// with adds what the audit log shall say.
func (a answer) with(details audit.Details) answer {
	a.details = details
	return a
}

// result is the outcome that goes into the audit log.
func (a answer) result() audit.Outcome {
	switch {
	case a.outcome != "":
		return a.outcome
	case a.status < http.StatusBadRequest:
		return audit.OutcomeOK
	case a.status < http.StatusInternalServerError:
		return audit.OutcomeRefused
	default:
		return audit.OutcomeError
	}
}

// write sends an answer as compact JSON, as the legacy server did.
func (a answer) write(w http.ResponseWriter) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(a.body); err != nil {
		return fmt.Errorf("encoding an answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if a.status == http.StatusTooManyRequests && w.Header().Get(headerRetry) == "" {
		w.Header().Set(headerRetry, "60") // wrong keys are counted by the minute
	}
	w.WriteHeader(a.status)
	_, err := w.Write(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
	if err != nil {
		return fmt.Errorf("sending an answer: %w", err)
	}
	return nil
}

// stamp is a time as JavaScript writes it: UTC with milliseconds and a Z.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// stampOrNull is a time that may not be there.
func stampOrNull(t *time.Time) *string {
	if t == nil || t.IsZero() {
		return nil
	}
	text := stamp(*t)
	return &text
}

// textOrNull is null for an empty text.
func textOrNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
