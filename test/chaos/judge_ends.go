package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// editLag is how old what a manager knows of an edit may be when it acts on it.
const editLag = 15 * time.Second

// ending is a rental that somebody destroyed, with what is known of why.
type ending struct {
	rentalOf
	deleted, last instanceState
	found         bool
}

// excuse is one reason for which a rental may be ended.
type excuse struct {
	name    string
	applies func(e *evidence, one *ending) bool
}

// findWrongEnds returns the rentals that were destroyed although nobody wanted
// that: claimed ones, and healthy ones that the pool still wanted. The second
// result counts the reasons of all the others.
func findWrongEnds(e *evidence) (found []finding, reasons map[string]int) {
	reasons = map[string]int{}
	for k := range e.records {
		if record := &e.records[k]; record.Origin != "api" && record.EndReason == "destroyed" {
			found = append(found, finding{"wrong end", fmt.Sprintf("rental %d was rented by hand and is none of ours", record.ID)})
		}
	}
	for _, rental := range e.ourRentals() {
		if rental.EndReason != "destroyed" {
			continue
		}
		one := ending{rentalOf: rental}
		one.deleted, one.last, one.found = e.book.deletion(rental.label.InstanceUID)
		if reason := e.reasonOf(&one); reason != "" {
			reasons[reason]++
			continue
		}
		found = append(found, finding{"wrong end", one.describe(e)})
	}
	return found, reasons
}

// reasonOf is the first excuse that applies, empty for none.
func (e *evidence) reasonOf(one *ending) string {
	list := evenClaimed()
	if !one.found || !one.last.claimed {
		list = append(list, unclaimed()...)
	}
	for _, excuse := range list {
		if excuse.applies(e, one) {
			return excuse.name
		}
	}
	return ""
}

// evenClaimed are the reasons that end a claimed instance as well: a person
// said so, or the rental was never the instance's own.
func evenClaimed() []excuse {
	return []excuse{
		{"a rental beside the instance's own", func(e *evidence, one *ending) bool { return e.isBeside(one) }},
		{"a user deleted the instance", func(e *evidence, one *ending) bool {
			return one.found && slices.ContainsFunc(e.done, func(d deed) bool { return d.Kind == kindDeleteOne && d.uid == one.label.InstanceUID })
		}},
		{"its claim was deleted, and it could not be recycled", func(e *evidence, one *ending) bool {
			return one.found && one.last.holder != "" &&
				slices.ContainsFunc(e.done, func(d deed) bool { return d.Kind == kindUnclaim && d.uid == one.last.holder })
		}},
		{"a user deleted the pool", func(e *evidence, one *ending) bool {
			return one.found && e.poolWas(one, func(s *poolState) bool { return s.deleting })
		}},
		{"emergency stop", func(e *evidence, one *ending) bool {
			return one.found && slices.ContainsFunc(e.book.accountsIn(one.deleted.at.Add(-editLag), one.deleted.at),
				func(s accountState) bool { return s.mode == warmpool.AccountEmergencyStop })
		}},
	}
}

// unclaimed are the reasons that end only what is not claimed.
func unclaimed() []excuse {
	return []excuse{
		{"failed as injected", func(e *evidence, one *ending) bool {
			return one.found && one.deleted.failure != "" && e.isInjected(one)
		}},
		{"drained", func(e *evidence, one *ending) bool {
			return one.found && e.poolWas(one, func(s *poolState) bool { return s.mode == warmpool.PoolDrain })
		}},
		{"scaled down", func(e *evidence, one *ending) bool { return one.found && one.deleted.failure == "" && e.isSurplus(one) }},
		{"over the ceiling", func(e *evidence, one *ending) bool { return one.found && one.deleted.failure == "" && e.isTooDear(one) }},
	}
}

// poolWas is true when a version of the instance's pool that was in force
// shortly before its deletion was so.
func (e *evidence) poolWas(one *ending, is func(*poolState) bool) bool {
	states := e.book.poolsIn(one.deleted.pool, one.deleted.at.Add(-editLag), one.deleted.at)
	return slices.ContainsFunc(states, func(s poolState) bool { return is(&s) })
}

// leastOfPool is the least of an amount in the versions of the instance's pool
// that were in force shortly before its deletion, -1 when there is none.
func (e *evidence) leastOfPool(one *ending, of func(*poolState) int64) int64 {
	least := int64(-1)
	for _, state := range e.book.poolsIn(one.deleted.pool, one.deleted.at.Add(-editLag), one.deleted.at) {
		if amount := of(&state); !state.gone && (least < 0 || amount < least) {
			least = amount
		}
	}
	return least
}

// isBeside is true for a rental that is not the instance's own when it ends: a
// refused rent that rented all the same, or one that came after it was given up.
func (e *evidence) isBeside(one *ending) bool {
	states := e.book.instances[one.label.InstanceUID]
	var last instanceState
	for k := range states {
		if !states[k].at.After(one.End) {
			last = states[k]
		}
	}
	if last.rentalID != 0 && last.rentalID != one.ID {
		return true
	}
	return slices.ContainsFunc(last.attempts, func(a attemptState) bool {
		return a.number == one.label.Attempt && last.rentalID != one.ID && (a.outcome == warmpool.AttemptRejected || a.outcome == warmpool.AttemptAbandoned)
	})
}

// isSurplus is true when the pool had more unclaimed instances than it wanted.
// A Ready one may go only when more were Ready than wanted: otherwise another
// had to go first.
func (e *evidence) isSurplus(one *ending) bool {
	if !e.poolWas(one, func(s *poolState) bool { return s.mode == warmpool.PoolActive }) {
		return false
	}
	wanted := e.leastOfPool(one, func(s *poolState) int64 { return int64(s.replicas) })
	if wanted < 0 {
		return false
	}
	live, ready := int64(0), int64(0)
	for uid := range e.book.instances {
		state, ok := e.book.inPoolBefore(uid, one)
		if !ok || state.claimed || state.failure != "" {
			continue
		}
		live++
		if state.isReady {
			ready++
		}
	}
	if !one.last.isReady {
		return live > wanted
	}
	return ready > wanted
}

// inPoolBefore is an instance of the same pool as it was just before a deletion.
func (b *book) inPoolBefore(uid string, one *ending) (instanceState, bool) {
	states := b.instances[uid]
	at := before(states, one.deleted.revision, instanceRevision)
	if at < 0 || states[at].pool != one.deleted.pool || states[at].deleting {
		return instanceState{}, false
	}
	return states[at], true
}

// isTooDear is true when what the pool keeps costs more than its ceiling, which
// somebody lowered, or a host raised a price.
func (e *evidence) isTooDear(one *ending) bool {
	ceiling := fleet.USDMicros(e.leastOfPool(one, func(s *poolState) int64 { return int64(s.ceiling) }))
	prices := map[int64]fleet.USDMicros{}
	for k := range e.records {
		prices[e.records[k].ID] = fleet.USDMicros(e.records[k].Prices[len(e.records[k].Prices)-1].MicrosPerHour)
	}
	sum := fleet.USDMicros(0)
	for uid := range e.book.instances {
		if state, ok := e.book.inPoolBefore(uid, one); ok {
			sum += state.committed(prices)
		}
	}
	return ceiling >= 0 && sum > ceiling
}

// committed is the most that an instance may count: its rental at the higher of
// quote and price, and every attempt whose outcome is open at its quote.
func (s *instanceState) committed(prices map[int64]fleet.USDMicros) fleet.USDMicros {
	sum := prices[s.rentalID]
	for _, attempt := range s.attempts {
		switch {
		case attempt.rentalID != 0 && attempt.rentalID == s.rentalID:
			sum += max(attempt.quote-prices[s.rentalID], 0)
		case attempt.outcome == warmpool.AttemptPending, attempt.outcome == warmpool.AttemptUnknown:
			sum += attempt.quote
		}
	}
	return sum
}

// isInjected is true when a fault that this run injected into the rental
// explains the failure that its instance records.
func (e *evidence) isInjected(one *ending) bool {
	causes := causesOf(one.deleted.failure)
	return slices.ContainsFunc(e.done, func(d deed) bool {
		if d.failed != nil || !slices.Contains(causes, d.Kind) || d.began.After(one.deleted.at) {
			return false
		}
		if d.rental != 0 {
			return d.rental == one.ID
		}
		// A fault of the next rent, or of everything: it has to have acted in
		// the life of this rental.
		return !d.ended.Before(one.Start.Add(-time.Second))
	})
}

// causesOf are the kinds of acts that may lead to a failure.
func causesOf(reason string) []string {
	stopped := []string{"exited", "outbid", "offline", "vanished", "comfy/process-fatal", "comfy/worker-dead", "comfy/restart"}
	switch reason {
	case "ContainerExited", "InstanceStopped":
		return append(stopped, "boot-error")
	case "ImagePullFailed":
		return []string{"boot-error"}
	case "ImagePullTimeout", "PortsNotPublished", "HostNetworkBroken", "StartupTimeout", "ProvisioningTimeout":
		return append(stopped, "stuck", "boot-error")
	case "HostOffline", "HeartbeatLost":
		return []string{"offline"}
	case "InstanceLost":
		return []string{"vanished"}
	default:
		return stopped
	}
}

// describe tells the story of a wrong end.
func (o *ending) describe(e *evidence) string {
	var story strings.Builder
	fmt.Fprintf(&story, "rental %d of instance %s (pool %s), attempt %d, %s to %s", o.ID, o.label.InstanceUID, e.book.poolOf(o.label.InstanceUID), o.label.Attempt, clockTime(o.Start), clockTime(o.End))
	if !o.found {
		story.WriteString("; its instance was not deleted")
		return story.String()
	}
	fmt.Fprintf(&story, "; deleted at %s: claimed %v, ready %v, failure %q", clockTime(o.deleted.at), o.last.claimed, o.last.isReady, o.deleted.failure)
	for k := range e.done {
		if e.done[k].rental == o.ID {
			fmt.Fprintf(&story, "; %s at %s", e.done[k].Kind, clockTime(e.done[k].began))
		}
	}
	return story.String()
}
