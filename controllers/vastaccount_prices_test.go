package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// priceNow is a moment in the life of the instances below.
func priceNow() metav1.Time { return metav1.Time{Time: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)} }

// runningAt is an instance that was rented a day ago at $0.40/h and costs so much now.
func runningAt(price warmpool.SignedUSD) *warmpool.WarmInstance {
	began := metav1.Time{Time: priceNow().Add(-24 * time.Hour)}
	return &warmpool.WarmInstance{Status: warmpool.WarmInstanceStatus{
		Attempts: []warmpool.RentAttempt{{Number: 1, QuotedUSDPerHour: "0.40", Outcome: warmpool.AttemptSucceeded, RentalID: 5, StartedTime: began}},
		Rental:   &warmpool.Rental{ID: 5, RecordedTime: &began, StartTime: &began},
		Price:    warmpool.InstancePrice{QuotedUSDPerHour: "0.40", CurrentUSDPerHour: price, ObservedTime: &began},
	}}
}

// endsIn sets the end of its contract.
func endsIn(instance *warmpool.WarmInstance, left time.Duration) *warmpool.WarmInstance {
	instance.Status.Rental.EndTime = &metav1.Time{Time: priceNow().Add(left)}
	return instance
}

func TestJudgePrice(t *testing.T) {
	t.Parallel()
	proposed := map[int64]fleet.PriceIncrease{5: {RentalID: 5, OldGPUUSDPerHour: 400_000, NewGPUUSDPerHour: 800_000}}
	claimed := endsIn(runningAt("0.40"), 30*time.Minute)
	claimed.Spec.ClaimRef = &warmpool.ClaimReference{Name: "job"}
	unseen := runningAt("0.40")
	unseen.Status.Price.ObservedTime = nil
	ending := runningAt("0.80")
	ending.DeletionTimestamp = &metav1.Time{Time: priceNow().Time}
	for name, tc := range map[string]struct {
		instance      *warmpool.WarmInstance
		increases     map[int64]fleet.PriceIncrease
		price, secure string
		events        []string
	}{
		"as quoted":         {runningAt("0.41"), nil, "True/AsQuoted", "True/ContractRuns", nil},
		"raised":            {runningAt("0.50"), nil, "False/PriceRaisedByHost", "True/ContractRuns", []string{"PriceRaisedByHost"}},
		"proposed":          {runningAt("0.40"), proposed, "False/PriceIncreasePending", "True/ContractRuns", []string{"PriceIncreasePending"}},
		"a long contract":   {endsIn(runningAt("0.40"), 2*time.Hour), nil, "True/AsQuoted", "True/ContractRuns", nil},
		"it ends soon":      {endsIn(runningAt("0.40"), 30*time.Minute), nil, "True/AsQuoted", "False/RentalEndsSoon", []string{"RentalEndsSoon"}},
		"claimed":           {claimed, nil, "True/AsQuoted", "False/RentalEndsSoon", []string{"RentalEndsSoon"}},
		"not seen running":  {unseen, nil, "", "", nil},
		"on its way out":    {ending, nil, "", "", nil},
		"nothing is rented": {&warmpool.WarmInstance{}, proposed, "", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			after := tc.instance.DeepCopy()
			var events []string
			for _, told := range judgePrice(tc.instance, after, tc.increases, priceNow()) {
				events = append(events, told.reason)
			}
			if diff := cmp.Diff(tc.events, events); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			for kind, want := range map[string]string{warmpool.ConditionPriceAcceptable: tc.price, warmpool.ConditionRentalSecure: tc.secure} {
				got := ""
				if c := meta.FindStatusCondition(after.Status.Conditions, kind); c != nil {
					got = string(c.Status) + "/" + c.Reason
				}
				if got != want {
					t.Errorf("%s is %q, want %q", kind, got, want)
				}
			}
			if again := judgePrice(after, after.DeepCopy(), tc.increases, priceNow()); len(again) > 0 {
				t.Errorf("it is told again: %+v", again)
			}
		})
	}
	before := runningAt("0.50")
	judgePrice(before, before, nil, priceNow())
	dearer := before.DeepCopy()
	dearer.Status.Price.CurrentUSDPerHour = "0.60"
	if again := judgePrice(before, dearer, nil, priceNow()); len(again) != 1 {
		t.Errorf("a second rise is not told: %+v", again)
	}
}

// TestTheLastLookLetsAReplacementThrough: an instance whose contract ends soon
// does not count as serving.
func TestTheLastLookLetsAReplacementThrough(t *testing.T) {
	t.Parallel()
	waiting := &warmpool.WarmInstance{ObjectMeta: metav1.ObjectMeta{Name: "new"}}
	for left, want := range map[time.Duration]int{30 * time.Minute: 0, 3 * time.Hour: 1} {
		old := plannerInstance(endsIn(runningAt("0.40"), left))
		old.Pool = poolKey("", "")
		if got := servingOf([]planner.Instance{old}, waiting, priceNow().Time); got != want {
			t.Errorf("%s before the end of the contract %d serve, want %d", left, got, want)
		}
	}
}
