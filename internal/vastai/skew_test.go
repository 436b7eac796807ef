package vastai

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestClockSkew(t *testing.T) {
	t.Parallel()
	sent := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		date  string
		want  time.Duration
		known bool
	}{
		"no date":           {},
		"no date but words": {date: "soon"},
		"the same":          {date: sent.Format(http.TimeFormat), known: true},
		"within the call":   {date: sent.Add(3 * time.Second).Format(http.TimeFormat), known: true},
		"we are ahead":      {date: sent.Add(-5 * time.Minute).Format(http.TimeFormat), want: 5*time.Minute - time.Second, known: true},
		"we are behind":     {date: sent.Add(5 * time.Minute).Format(http.TimeFormat), want: -5*time.Minute + 4*time.Second, known: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s skew
			header := http.Header{}
			if tc.date != "" {
				header.Set("Date", tc.date)
			}
			s.observe(header, sent, sent.Add(4*time.Second))
			if s.ahead != tc.want || s.known != tc.known {
				t.Errorf("ahead %s, known %v; want %s, %v", s.ahead, s.known, tc.want, tc.known)
			}
		})
	}
}

// TestListingsCarryTheMonotonicClock: the evidence of absence is counted over
// spans between lists, and a wall clock that is set must not stretch them (I2).
func TestListingsCarryTheMonotonicClock(t *testing.T) {
	t.Parallel()
	listing, err := newTestClient(t, sequence(page(1, "", 1)), withoutLimits).ListRentals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(listing.StartedAt.String(), " m=") || !strings.Contains(listing.FinishedAt.String(), " m=") {
		t.Errorf("the listing's times are %s and %s", listing.StartedAt, listing.FinishedAt)
	}
}
