package schema

// Answer is the part that every answer may have, successes and failures alike.
// Error bodies vary: "success" or "error" may be missing, the text may be in
// "msg", "message" or "detail". HTTP 200 does not mean success. Embed it.
type Answer struct {
	// Success is nil when the key is absent or null.
	Success *Flag `json:"success,omitempty"`
	// Error is the slug ("no_such_ask").
	Error Text `json:"error,omitempty"`
	// Msg is the text for people.
	Msg Text `json:"msg,omitempty"`
	// Message is what some answers have instead of msg.
	Message Text `json:"message,omitempty"`
	// Detail is what the rate limiter's answers have instead of msg.
	Detail Text `json:"detail,omitempty"`
	// AskID is the offer that a failed rent named.
	AskID Number `json:"ask_id,omitempty"`
	// NewContract is the rental that a rent created. A failed rent may have it too.
	NewContract Number `json:"new_contract,omitempty"`
	// RetryAfter is a number of seconds that some limiter answers carry.
	RetryAfter Number `json:"retry_after,omitempty"`
}

// Failed is true when the answer says that it is no success.
func (a *Answer) Failed() bool { return a.Success != nil && !bool(*a.Success) }

// Text returns the text for people: msg, message or detail, whichever is there.
func (a *Answer) Text() string {
	for _, text := range []Text{a.Msg, a.Message, a.Detail} {
		if text != "" {
			return string(text)
		}
	}
	return ""
}

// OK returns the common part of a success.
func OK() Answer { return Answer{Success: NewFlag(true)} }

// Failure returns the usual error body {"success":false,"error":…,"msg":…}.
func Failure(slug, text string) Answer {
	return Answer{Success: NewFlag(false), Error: Text(slug), Msg: Text(text)}
}
