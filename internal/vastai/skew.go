package vastai

import (
	"net/http"
	"sync"
	"time"
)

// skew is how far our clock is from the provider's, by the Date of its answers.
type skew struct {
	mu    sync.Mutex
	ahead time.Duration
	known bool
}

// observe takes in one answer. The header says whole seconds, and was written
// between the sending of the question and the reading of the answer: what lies
// within is no difference.
func (s *skew) observe(header http.Header, sent, read time.Time) {
	said, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return
	}
	// Round drops the monotonic readings: the wall clock is what is compared.
	earliest, latest := sent.Round(0).Sub(said.Add(time.Second)), read.Round(0).Sub(said)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known, s.ahead = true, 0
	if earliest > 0 {
		s.ahead = earliest
	} else if latest < 0 {
		s.ahead = latest
	}
}

// ClockSkew returns how far our clock is ahead of the provider's, negative when it
// is behind, by its last answer; false before one that told the time.
func (c *Client) ClockSkew() (ahead time.Duration, known bool) {
	c.wire.skew.mu.Lock()
	defer c.wire.skew.mu.Unlock()
	return c.wire.skew.ahead, c.wire.skew.known
}
