package problems

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
	"github.com/warmpool-dev/warmpool/internal/vastai"
)

// refusals are the forms in which Vast.ai says "too many requests".
func refusals() []string {
	const text = "API requests too frequent: endpoint threshold=3.0"
	return []string{text, `{"detail":"` + text + `"}`, `{"success":false,"msg":"` + text + `"}`, `{"success":false,"error":"rate_limit_exceeded","msg":"slow down"}`}
}

// storm answers destroys, and refuses some of them.
type storm struct {
	random  *rand.Rand
	percent int
	sentAt  []time.Time
	ended   []int64
	refused int
}

// RoundTrip implements http.RoundTripper.
func (s *storm) RoundTrip(request *http.Request) (*http.Response, error) {
	s.sentAt = append(s.sentAt, time.Now())
	if s.random.IntN(100) < s.percent {
		s.refused++
		return says(http.StatusTooManyRequests, refusals()[s.random.IntN(len(refusals()))]).response(), nil
	}
	id, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(request.URL.Path, "/api/v0/instances/"), "/"), 10, 64)
	if err != nil {
		return nil, err
	}
	s.ended = append(s.ended, id)
	return says(http.StatusOK, `{"success":true}`).response(), nil
}

// stopEverything ends a hundred rentals with the real client and its real limits,
// one at a time as the planner orders them, as an emergency stop does.
func stopEverything(t *testing.T, s *storm) time.Duration {
	t.Helper()
	const rentals = 100
	client, err := vastai.New(vastai.Options{BaseURL: "https://vast.test", APIKey: testKey, Transport: s, Clock: clock.RealClock{}, Rand: rand.NewPCG(1, 2)})
	if err != nil {
		t.Fatal(err)
	}
	var extras []planner.ExtraRental
	for id := range int64(rentals) {
		extras = append(extras, planner.ExtraRental{RentalID: id + 1, USDPerHour: fleet.USDMicros(1 + (id*37)%rentals), Reason: planner.ReasonEmergencyStop})
	}
	var memory planner.TerminationMemory
	begin := time.Now()
	for len(s.ended) < rentals {
		plan := planner.PlanTerminations(&planner.TerminationInput{Extras: extras, Memory: memory, Now: time.Now()})
		memory = plan.Memory
		if len(plan.Destroys) == 0 {
			time.Sleep(max(time.Until(plan.NextAt), time.Second))
			continue
		}
		id := plan.Destroys[0].RentalID
		err := client.DestroyRental(t.Context(), id)
		memory = planner.RecordDestroy(memory, id, time.Now())
		if err == nil {
			memory = planner.RecordAccepted(memory, id)
		}
		if time.Since(begin) > 24*time.Hour {
			t.Fatalf("%d of %d ended after a day", len(s.ended), rentals)
		}
	}
	return s.sentAt[len(s.sentAt)-1].Sub(begin)
}

// outOfOrder counts the ends that a dearer one should have preceded.
func outOfOrder(ended []int64) int {
	price := func(id int64) int64 { return ((id - 1) * 37) % 100 }
	count := 0
	for k := 1; k < len(ended); k++ {
		if price(ended[k]) > price(ended[k-1]) {
			count++
		}
	}
	return count
}

// TestAHundredEndsTakeTheirBoundAndNotMore: without refusals an emergency stop
// takes 99 times the documented three seconds, dearest first.
func TestAHundredEndsTakeTheirBoundAndNotMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &storm{random: rand.New(rand.NewPCG(1, 1))}
		took := stopEverything(t, s)
		if bound := 99 * 3 * time.Second; took < bound || took > bound*12/10 {
			t.Errorf("it took %s, the bound is %s", took, bound)
		}
		if wrong := outOfOrder(s.ended); wrong != 0 {
			t.Errorf("%d ended before a dearer one", wrong)
		}
	})
}

// TestAStormOf429EndsEverythingAndKeepsItsDistance: Vast.ai refuses a part of all
// requests, in every form. All hundred end, no two requests come closer than
// documented, each end is asked for until it succeeds, and the dearest are not
// pushed to the end.
func TestAStormOf429EndsEverythingAndKeepsItsDistance(t *testing.T) {
	for _, percent := range []int{10, 30, 60} {
		t.Run(fmt.Sprintf("%d %% refused", percent), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &storm{random: rand.New(rand.NewPCG(uint64(percent), 2)), percent: percent}
				took := stopEverything(t, s)
				t.Logf("%d refusals, %s, %d out of order", s.refused, took, outOfOrder(s.ended))
				for k := 1; k < len(s.sentAt); k++ {
					if gap := s.sentAt[k].Sub(s.sentAt[k-1]); gap < 3*time.Second {
						t.Fatalf("two destroys were sent %s apart", gap)
					}
				}
				if s.refused == 0 {
					t.Error("nothing was refused")
				}
				// The slowest pace is one request in a minute.
				if slowest := time.Duration(len(s.sentAt)) * time.Minute; took > slowest {
					t.Errorf("it took %s, more than %s", took, slowest)
				}
				dear := 0
				for _, id := range s.ended[:50] {
					if ((id-1)*37)%100 >= 50 {
						dear++
					}
				}
				if dear < 40 {
					t.Errorf("only %d of the first 50 to end belong to the dearer half", dear)
				}
			})
		})
	}
}
