package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// story tells a history to a judge, second by second.
type story struct {
	*evidence
	start    time.Time
	revision int64
}

// newStory begins with one pool, of two replicas under a ceiling of a dollar,
// and an account with a ceiling of three.
func newStory() *story {
	s := &story{start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	s.evidence = &evidence{book: newBook(), now: s.at(10_000)}
	s.pool(0, nil)
	s.account(0, nil)
	return s
}

func (s *story) at(second float64) time.Time {
	return s.start.Add(time.Duration(second * float64(time.Second)))
}

func (s *story) when(second float64) moment {
	s.revision++
	return moment{at: s.at(second), revision: s.revision}
}

func (s *story) pool(second float64, change func(*warmpool.WarmPool)) {
	pool := (&poolPlan{"alpha", 2, "1.00"}).newPool()
	pool.Spec.Mode = warmpool.PoolActive
	if change != nil {
		change(pool)
	}
	s.book.notePool(pool, s.when(second))
}

func (s *story) account(second float64, change func(*warmpool.VastAccount)) {
	account := newAccount()
	account.Spec.CeilingUSDPerHour, account.Spec.Mode = "3.00", warmpool.AccountActive
	if change != nil {
		change(account)
	}
	s.book.noteAccount(account, s.when(second))
}

// instance writes a version of an instance with one attempt that made rental id.
func (s *story) instance(second float64, uid string, rental int64, change func(*warmpool.WarmInstance)) {
	instance := &warmpool.WarmInstance{
		ObjectMeta: metav1.ObjectMeta{Name: uid, UID: types.UID(uid)},
		Spec:       warmpool.WarmInstanceSpec{PoolRef: warmpool.LocalReference{Name: "alpha"}},
	}
	if rental != 0 {
		instance.Status.Rental = &warmpool.Rental{ID: rental}
		instance.Status.Attempts = []warmpool.RentAttempt{{
			Number: 1, Outcome: warmpool.AttemptSucceeded, RentalID: rental, QuotedUSDPerHour: "0.40", StartedTime: metav1.Time{Time: s.at(second)},
		}}
	}
	if change != nil {
		change(instance)
	}
	s.book.noteInstance(instance, s.when(second))
}

// rent writes a rental into the simulator's book; to 0 is one that lives.
func (s *story) rent(id int64, uid string, attempt int32, from, to float64) *simulator.RentalRecord {
	record := simulator.RentalRecord{
		ID: id, Origin: "api", Start: s.at(from), Prices: []simulator.PricePoint{{At: s.at(from), MicrosPerHour: 400_000}},
		Label: fleet.Label{Installation: installation, InstanceUID: uid, Attempt: attempt}.String(),
	}
	if to > 0 {
		record.End, record.EndReason = s.at(to), "destroyed"
	}
	s.records = append(s.records, record)
	return &s.records[len(s.records)-1]
}

func (s *story) did(kind string, from, to float64, change func(*deed)) {
	one := deed{act: act{Kind: kind}, began: s.at(from), ended: s.at(to)}
	if change != nil {
		change(&one)
	}
	s.done = append(s.done, one)
}

func (s *story) overCeiling() float64 {
	sum := 0.0
	for _, one := range s.groups() {
		sum += s.judgeCeiling(&one).seconds
	}
	return sum
}

// rented are n instances that are rented ten seconds apart, for $0.40/h each.
func rented(s *story, n int) {
	for k := range n {
		uid, second := fmt.Sprintf("uid-%d", k), float64(100+10*k)
		s.instance(second, uid, int64(k+1), nil)
		s.rent(int64(k+1), uid, 1, second, 0)
	}
}

func TestOverTheCeiling(t *testing.T) {
	ceiling := func(amount warmpool.USD) func(*warmpool.WarmPool) {
		return func(pool *warmpool.WarmPool) { pool.Spec.Cost.CeilingUSDPerHour = amount }
	}
	for name, test := range map[string]struct {
		tell func(s *story)
		want float64
	}{
		"within":                      {func(s *story) { rented(s, 2) }, 0},
		"a third is too much":         {func(s *story) { rented(s, 3); s.records[0].End = s.at(150) }, 30},
		"lowered after the rent":      {func(s *story) { rented(s, 2); s.pool(130, ceiling("0.50")) }, 0},
		"lowered before the rent":     {func(s *story) { s.pool(80, ceiling("0.50")); rented(s, 2); s.records[1].End = s.at(125) }, 15},
		"lowered while it was called": {func(s *story) { rented(s, 2); s.records[1].Start = s.at(120); s.pool(115, ceiling("0.50")) }, 0},
		"a price raised after the rent": {func(s *story) {
			rented(s, 2)
			s.records[0].Prices = append(s.records[0].Prices, simulator.PricePoint{At: s.at(105), MicrosPerHour: 900_000})
		}, 0},
		"a price raised long before": {func(s *story) {
			rented(s, 2)
			s.records[0].Start, s.records[0].Prices[0].At = s.at(1), s.at(1)
			s.records[0].Prices = append(s.records[0].Prices, simulator.PricePoint{At: s.at(10), MicrosPerHour: 900_000})
			s.records[1].End = s.at(120)
		}, 10},
		"the account, by what was rented by hand": {func(s *story) {
			rented(s, 1)
			s.records = append(s.records, simulator.RentalRecord{
				ID: 99, Origin: "admin", Start: s.at(1), Prices: []simulator.PricePoint{{At: s.at(1), MicrosPerHour: 2_900_000}},
			})
			s.records[0].End = s.at(107)
		}, 7},
		"the account, by hand a moment ago": {func(s *story) {
			rented(s, 1)
			s.records = append(s.records, simulator.RentalRecord{
				ID: 99, Origin: "admin", Start: s.at(90), Prices: []simulator.PricePoint{{At: s.at(90), MicrosPerHour: 2_900_000}},
			})
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			test.tell(s)
			if got := s.overCeiling(); got != test.want {
				t.Errorf("%v seconds over the ceiling, want %v", got, test.want)
			}
		})
	}
}

func TestDoubleRentals(t *testing.T) {
	second := func(s *story, from float64, first warmpool.AttemptOutcome) {
		s.instance(from, "uid", 2, func(instance *warmpool.WarmInstance) {
			instance.Status.Attempts = []warmpool.RentAttempt{
				{Number: 1, Outcome: first, StartedTime: metav1.Time{Time: s.at(100)}},
				{Number: 2, Outcome: warmpool.AttemptSucceeded, RentalID: 2, StartedTime: metav1.Time{Time: s.at(from)}},
			}
		})
	}
	for name, test := range map[string]struct {
		tell          func(s *story)
		want, excused int
	}{
		"one after the other": {func(s *story) { s.rent(1, "uid", 1, 100, 150); second(s, 400, "Rejected"); s.rent(2, "uid", 2, 400, 0) }, 0, 0},
		"at the same time":    {func(s *story) { s.rent(1, "uid", 1, 100, 450); second(s, 400, "Rejected"); s.rent(2, "uid", 2, 400, 0) }, 1, 0},
		"abandoned, and came late": {func(s *story) {
			second(s, 400, "Abandoned")
			s.rent(2, "uid", 2, 401, 0)
			s.rent(1, "uid", 1, 420, 425)
		}, 0, 1},
		"abandoned although it was there": {func(s *story) {
			s.rent(1, "uid", 1, 100, 450)
			second(s, 400, "Abandoned")
			s.rent(2, "uid", 2, 401, 0)
		}, 1, 0},
		"abandoned while it was hidden": {func(s *story) {
			s.rent(1, "uid", 1, 100, 450)
			s.did("hidden-rental", 90, 410, func(d *deed) { d.rental = 1 })
			second(s, 400, "Abandoned")
			s.rent(2, "uid", 2, 401, 0)
		}, 0, 1},
		"one label twice": {func(s *story) { second(s, 400, "Rejected"); s.rent(2, "uid", 2, 400, 0); s.rent(3, "uid", 2, 401, 0) }, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			test.tell(s)
			found, excused := findDouble(s.evidence)
			if len(found) != test.want || len(excused) != test.excused {
				t.Errorf("found %v, excused %v, want %d and %d", found, excused, test.want, test.excused)
			}
		})
	}
}

// sweeps writes the account after trusted sweeps every five seconds.
func (s *story) sweeps(from, to float64, suspected ...int64) {
	for second := from; second <= to; second += 5 {
		s.account(second, func(account *warmpool.VastAccount) {
			account.Status.LastSweep = &warmpool.SweepStatus{Trusted: true, LastTrustedTime: &metav1.Time{Time: s.at(second)}}
			for _, id := range suspected {
				account.Status.SuspectedLeaks = append(account.Status.SuspectedLeaks, warmpool.SuspectedLeak{RentalID: id})
			}
		})
	}
}

func TestUnrecordedRentals(t *testing.T) {
	for name, test := range map[string]struct {
		tell func(s *story)
		want int
	}{
		"recorded at once":   {func(s *story) { s.rent(1, "uid", 1, 100, 0); s.instance(101, "uid", 1, nil); s.sweeps(105, 200) }, 0},
		"never recorded":     {func(s *story) { s.rent(1, "uid", 1, 100, 0); s.instance(101, "uid", 0, nil); s.sweeps(105, 200) }, 1},
		"reported as a leak": {func(s *story) { s.rent(1, "uid", 1, 100, 0); s.sweeps(105, 115); s.sweeps(116, 200, 1) }, 0},
		"ended in time":      {func(s *story) { s.rent(1, "uid", 1, 100, 120); s.sweeps(105, 200) }, 0},
		"a manager starts again and again": {func(s *story) {
			s.rent(1, "uid", 1, 100, 0)
			for second := 106.0; second < 200; second += 9 {
				s.restarts = append(s.restarts, s.at(second))
			}
			s.sweeps(105, 195)
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			test.tell(s)
			if found := findUnrecorded(s.evidence); len(found) != test.want {
				t.Errorf("found %v, want %d", found, test.want)
			}
		})
	}
}

func TestReleasedRentals(t *testing.T) {
	for name, test := range map[string]struct {
		end  float64
		want int
	}{"gone before": {150, 0}, "lives on": {0, 1}, "a moment late": {201, 0}} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			s.rent(1, "uid", 1, 100, test.end)
			s.instance(101, "uid", 1, nil)
			s.book.end("warminstances", "uid", s.when(200))
			if found := findReleased(s.evidence); len(found) != test.want {
				t.Errorf("found %v, want %d", found, test.want)
			}
		})
	}
}

func TestWrongEnds(t *testing.T) {
	ready := func(instance *warmpool.WarmInstance) {
		instance.Status.Conditions = []metav1.Condition{{Type: warmpool.ConditionReady, Status: metav1.ConditionTrue}}
	}
	claimed := func(instance *warmpool.WarmInstance) {
		ready(instance)
		instance.Spec.ClaimRef = &warmpool.ClaimReference{Name: "claim", UID: "job"}
	}
	deleting := func(s *story, also func(*warmpool.WarmInstance)) func(*warmpool.WarmInstance) {
		return func(instance *warmpool.WarmInstance) {
			also(instance)
			instance.DeletionTimestamp = &metav1.Time{Time: s.at(200)}
		}
	}
	failed := func(reason string) func(*warmpool.WarmInstance) {
		return func(instance *warmpool.WarmInstance) {
			instance.Status.Failure = &warmpool.InstanceFailure{Reason: reason}
		}
	}
	// Each instance is as before says, is deleted at 200 s as it is then, and
	// its rental is destroyed at 205 s.
	for name, test := range map[string]struct {
		before, then func(*warmpool.WarmInstance)
		tell         func(s *story)
		want         string
	}{
		"healthy and wanted":        {ready, ready, nil, ""},
		"a user deleted it":         {claimed, claimed, func(s *story) { s.did(kindDeleteOne, 199, 199, func(d *deed) { d.uid = "uid" }) }, "a user deleted the instance"},
		"its claim was deleted":     {claimed, claimed, func(s *story) { s.did(kindUnclaim, 100, 100, func(d *deed) { d.uid = "job" }) }, "its claim was deleted, and it could not be recycled"},
		"another claim was deleted": {claimed, claimed, func(s *story) { s.did(kindUnclaim, 100, 100, func(d *deed) { d.uid = "other" }) }, ""},
		"a user deleted the pool": {claimed, claimed, func(s *story) {
			s.pool(195, func(pool *warmpool.WarmPool) { pool.DeletionTimestamp = &metav1.Time{Time: s.at(195)} })
		}, "a user deleted the pool"},
		"emergency stop": {claimed, claimed, func(s *story) {
			s.account(195, func(account *warmpool.VastAccount) { account.Spec.Mode = warmpool.AccountEmergencyStop })
		}, "emergency stop"},
		"scaled down": {ready, ready, func(s *story) { s.pool(190, func(pool *warmpool.WarmPool) { pool.Spec.Replicas = new(int32(0)) }) }, "scaled down"},
		"scaled down, yet paused": {ready, ready, func(s *story) {
			s.pool(150, func(pool *warmpool.WarmPool) { pool.Spec.Replicas, pool.Spec.Mode = new(int32(0)), warmpool.PoolPaused })
		}, ""},
		"scaled down, yet claimed": {claimed, claimed, func(s *story) {
			s.pool(190, func(pool *warmpool.WarmPool) { pool.Spec.Replicas = new(int32(0)) })
		}, ""},
		"scaled down, the Ready one instead of the others": {ready, ready, func(s *story) {
			s.pool(110, func(pool *warmpool.WarmPool) { pool.Spec.Cost.CeilingUSDPerHour = "2.00" })
			s.instance(120, "other-1", 11, nil)
			s.instance(120, "other-2", 12, nil)
		}, ""},
		"scaled down, one that is not Ready": {func(*warmpool.WarmInstance) {}, func(*warmpool.WarmInstance) {}, func(s *story) {
			s.instance(120, "other-1", 11, ready)
			s.instance(120, "other-2", 12, nil)
		}, "scaled down"},
		"drained": {ready, ready, func(s *story) { s.pool(190, func(pool *warmpool.WarmPool) { pool.Spec.Mode = warmpool.PoolDrain }) }, "drained"},
		"the ceiling was lowered": {ready, ready, func(s *story) {
			s.pool(190, func(pool *warmpool.WarmPool) { pool.Spec.Cost.CeilingUSDPerHour = "0.20" })
		}, "over the ceiling"},
		"the ceiling was lowered, and a rent is open": {ready, ready, func(s *story) {
			s.pool(190, func(pool *warmpool.WarmPool) { pool.Spec.Cost.CeilingUSDPerHour = "0.70" })
			s.instance(120, "other-1", 0, func(instance *warmpool.WarmInstance) {
				instance.Status.Attempts = []warmpool.RentAttempt{{Number: 1, Outcome: warmpool.AttemptUnknown, QuotedUSDPerHour: "0.40"}}
			})
		}, "over the ceiling"},
		"the ceiling was lowered, and it fits": {ready, ready, func(s *story) {
			s.pool(190, func(pool *warmpool.WarmPool) { pool.Spec.Cost.CeilingUSDPerHour = "0.41" })
		}, ""},
		"failed for nothing":           {ready, failed("Unresponsive"), nil, ""},
		"failed as injected":           {ready, failed("Unresponsive"), func(s *story) { s.did("exited", 180, 180, func(d *deed) { d.rental = 1 }) }, "failed as injected"},
		"failed, another was injected": {ready, failed("Unresponsive"), func(s *story) { s.did("exited", 180, 180, func(d *deed) { d.rental = 77 }) }, ""},
		"failed for another reason":    {ready, failed("InstanceLost"), func(s *story) { s.did("exited", 180, 180, func(d *deed) { d.rental = 1 }) }, ""},
		"failed, yet claimed": {claimed, func(instance *warmpool.WarmInstance) { claimed(instance); failed("Unresponsive")(instance) }, func(s *story) {
			s.did("exited", 180, 180, func(d *deed) { d.rental = 1 })
		}, ""},
		"beside its own": {ready, func(instance *warmpool.WarmInstance) { instance.Status.Rental.ID = 2 }, nil, "a rental beside the instance's own"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			s.rent(1, "uid", 1, 100, 205)
			s.instance(101, "uid", 1, test.before)
			if test.tell != nil {
				test.tell(s)
			}
			s.instance(200, "uid", 1, deleting(s, test.then))
			found, reasons := findWrongEnds(s.evidence)
			if (test.want == "") != (len(found) == 1) || (test.want != "" && reasons[test.want] != 1) {
				t.Errorf("found %v, reasons %v, want the reason %q", found, reasons, test.want)
			}
		})
	}
}

func TestAnEndWithoutADeletionIsWrong(t *testing.T) {
	s := newStory()
	s.rent(1, "uid", 1, 100, 205)
	s.instance(101, "uid", 1, nil)
	if found, _ := findWrongEnds(s.evidence); len(found) != 1 {
		t.Errorf("found %v", found)
	}
}

func TestWhatWasRentedByHandIsNotEndedByUs(t *testing.T) {
	s := newStory()
	s.rent(1, "uid", 1, 100, 205).Origin = "admin"
	if found, _ := findWrongEnds(s.evidence); len(found) != 1 {
		t.Errorf("found %v", found)
	}
}

func TestTheLastLine(t *testing.T) {
	v := &verdict{faults: 412, converged: true, length: 20 * time.Minute, byGroup: map[string]int{groupKill: 200, groupCut: 100}}
	if got, want := v.String(), "chaos faults=412 over_ceiling_seconds=0 double_rentals=0 unrecorded=0 wrong_ends=0 converged=true"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !v.isGood() {
		t.Error("a run without a fault is bad")
	}
	for name, spoil := range map[string]func(v *verdict){
		"a moment above": func(v *verdict) { v.overCeiling = 0.2 },
		"a live rental":  func(v *verdict) { v.live = 1 },
		"too few kills":  func(v *verdict) { v.byGroup = map[string]int{groupKill: 299} },
		"a failure":      func(v *verdict) { v.failures = []string{"x"} },
		"a wrong end":    func(v *verdict) { v.wrongEnds = 1 },
	} {
		spoiled := *v
		if spoil(&spoiled); spoiled.isGood() {
			t.Errorf("%s: the run is good", name)
		}
	}
	v.overCeiling = 0.2
	if !strings.Contains(v.String(), "over_ceiling_seconds=1 ") {
		t.Errorf("a moment above the ceiling was rounded away: %s", v)
	}
}
