package simulate

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"time"
)

// moment is how a pool or an account was from a time on.
type moment struct {
	at time.Time
	// ceiling is in micro-dollars per hour.
	ceiling int64
	// rents is true while people want it to rent.
	rents bool
	// emergency is true in an emergency stop, gone once it is deleted.
	emergency, gone bool
	// endsClaimed is true while people allow the end of what is claimed.
	endsClaimed bool
	// maxTTL is the longest that a claim of the pool may hold an instance.
	maxTTL time.Duration
}

// history is how a pool or an account was, oldest first.
type history struct{ moments []moment }

func (h *history) add(m moment) { h.moments = append(h.moments, m) }

// within returns how it was at any time between two moments.
func (h *history) within(from, to time.Time) []moment {
	var found []moment
	for k := range h.moments {
		ends := to.Add(time.Nanosecond)
		if k+1 < len(h.moments) {
			ends = h.moments[k+1].at
		}
		if !h.moments[k].at.After(to) && !ends.Before(from) {
			found = append(found, h.moments[k])
		}
	}
	return found
}

// ceiling is the highest that held between two moments.
func (h *history) ceiling(from, to time.Time) int64 {
	var highest int64
	for _, m := range h.within(from, to) {
		highest = max(highest, m.ceiling)
	}
	return highest
}

// ever is true when something held at any time between two moments.
func (h *history) ever(from, to time.Time, is func(moment) bool) bool {
	return slices.ContainsFunc(h.within(from, to), is)
}

// readAgain reads a body and leaves it to be read.
func readAgain(response *http.Response) []byte {
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return body
}
