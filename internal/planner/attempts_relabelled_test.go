package planner

import (
	"strings"
	"testing"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// TestALostRentWhoseLabelWasChangedIsNotAbandoned: the answer to a rent was
// lost, and before any list showed the rental somebody changed its label. It
// must not be forgotten (I4): only a person can say whose it is.
func TestALostRentWhoseLabelWasChangedIsNotAbandoned(t *testing.T) {
	begun := func(second int, edit func(*fleet.Rental)) fleet.Rental {
		rental := row(11, "my box", usd(40))
		rental.StartedAt = moment(second)
		edit(&rental)
		return rental
	}
	as := func(*fleet.Rental) {}
	unknown := attempted("a", OutcomeUnknown, usd(40))
	named := unknown
	named.AbandonRentalID = 11
	for name, test := range map[string]struct {
		instances []Instance
		row       fleet.Rental
		waits     bool
	}{
		"it began right after the attempt":        {[]Instance{unknown}, begun(5, as), true},
		"the label was cleared":                   {[]Instance{unknown}, begun(5, func(r *fleet.Rental) { r.Label = "" }), true},
		"it began before the attempt":             {[]Instance{unknown}, begun(-90, as), false},
		"it began long after the attempt":         {[]Instance{unknown}, begun(3600, as), false},
		"it is on another machine":                {[]Instance{unknown}, elsewhere(begun(5, as)), false},
		"its beginning is not known":              {[]Instance{unknown}, row(11, "my box", usd(40)), false},
		"another installation labelled it":        {[]Instance{unknown}, begun(5, func(r *fleet.Rental) { r.Label = "wp1.other.x.1" }), false},
		"a person says that it is not ours":       {[]Instance{named}, begun(5, as), false},
		"another instance records it as its own":  {[]Instance{unknown, rented("b", 11, usd(40))}, begun(5, as), false},
		"another instance's attempt names it":     {[]Instance{unknown, extraOf("b", 11)}, begun(5, as), false},
		"the attempt itself was given up already": {[]Instance{attempted("a", OutcomeAbandoned, usd(40))}, begun(5, as), false},
	} {
		t.Run(name, func(t *testing.T) {
			var plan ResolvePlan
			for _, second := range []int{4000, 4060, 4120, 4180} {
				plan = resolve(plan.Memory, sweepAt(second, test.row), test.instances...)
			}
			waits := len(plan.Resolutions) == 1 && plan.Resolutions[0].Action == ResolveWait && plan.Resolutions[0].Reason == ReasonLabelLost
			if waits != test.waits {
				t.Fatalf("waits %t, want %t: %+v", waits, test.waits, plan.Resolutions)
			}
			if !waits {
				return
			}
			if message := plan.Resolutions[0].Message; !strings.Contains(message, labelOf("a", 1)) || !strings.Contains(message, "abandon-rental=11") {
				t.Errorf("the message does not say what to do: %s", message)
			}
			healed := test.row
			healed.Label = labelOf("a", 1)
			if plan = resolve(plan.Memory, sweepAt(4240, healed), test.instances...); plan.Resolutions[0].Action != ResolveAdopt {
				t.Errorf("with its label back it is not adopted: %+v", plan.Resolutions)
			}
		})
	}
}

// extraOf is an instance whose abandoned attempt made a rental after all.
func extraOf(uid string, rentalID int64) Instance {
	instance := attempted(uid, OutcomeAbandoned, usd(40))
	instance.Attempts[0].RentalID = rentalID
	return instance
}
