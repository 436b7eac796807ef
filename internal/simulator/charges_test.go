package simulator

import (
	"fmt"
	"net/url"
	"testing"
	"time"
)

// charged asks for the charges of some days and sums them up, in micro-dollars.
func (s *sim) charged(from, to time.Time) (total int64, rows int) {
	s.t.Helper()
	filter := fmt.Sprintf(`{"day":{"gte":%d,"lte":%d},"type":{"in":["instance"]}}`, from.Unix(), to.Unix())
	answer := s.raw("GET", s.URL()+"/api/v0/charges/?select_filters="+url.QueryEscape(filter), "", s.key)
	list, ok := answer.json["results"].([]any)
	if !ok {
		s.t.Fatalf("status %d, body %s", answer.status, answer.body)
	}
	for _, one := range list {
		row, _ := one.(map[string]any)
		amount, _ := row["amount"].(float64)
		total += toMicros(amount)
	}
	return total, len(list)
}

// TestChargesAreByDay proves that a charge holds what the days cost that were
// asked for, and that the days add up to the bill.
func TestChargesAreByDay(t *testing.T) {
	s := startSim(t, nil) // noon
	s.rent(1, "wp1.a.b.1")
	s.step(upAfter)
	s.step(36 * time.Hour)
	monday := epochStart.Truncate(24 * time.Hour)
	first, _ := s.charged(monday, monday)
	if want := 300_000*(12*time.Hour-upAfter).Milliseconds()/msPerHour + 1; first < want-1 || first > want+1 {
		t.Errorf("%d on the first day, want about %d", first, want)
	}
	second, _ := s.charged(monday.AddDate(0, 0, 1), monday.AddDate(0, 0, 1))
	if second != 24*300_000 {
		t.Errorf("%d on the second day, want %d", second, 24*300_000)
	}
	all, _ := s.charged(monday, monday.AddDate(0, 0, 6))
	if bill := s.Meter().Total(""); all < bill || all > bill+2 {
		t.Errorf("%d in the week, the bill is %d", all, bill)
	}
	if _, rows := s.charged(monday.AddDate(0, 0, -2), monday.AddDate(0, 0, -1)); rows != 0 {
		t.Errorf("%d charges before the rental", rows)
	}
}
