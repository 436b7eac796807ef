package simulate

import (
	"net/http"
	"slices"
	"strings"
	"time"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// checkRent judges a rental at the moment at which the provider makes it, by
// our order (I1, I2, I5). What nobody here could know is not held against the
// operator: what happened in the account after the last list that it had read
// when it journaled, a ceiling that was lowered since, a rental that the
// provider makes after all sweeps had to give it up.
func (t *witness) checkRent(made *rentalSeen, meter *simulator.Meter) {
	label, now := made.record.Label, t.world.now()
	sent := t.sentBy[label]
	instance := t.instances[made.uid]
	attempt := attemptOf(instance, made.attempt)
	if attempt == nil {
		t.checkRentOfNone(made)
		return
	}
	if isSettled(attempt) {
		made.late = true
		return
	}
	journaled := t.journaled[label]
	known := sent.process.knowledge.known(journaled)
	if !sent.process.knowledge.read {
		t.world.fail("I5", "%s rented %d before it had read a list of the account", sent.process.name, made.record.ID)
		return
	}
	if known.IsZero() {
		return // whatever it has read was a lie that could not be told from the truth
	}
	t.checkSecond(made, known)
	t.checkWanted(made, instance, journaled)
	pool := t.pools[instance.Spec.PoolRef.Name]
	if sum, ceiling := t.poolSum(made, meter, known), pool.ceiling(journaled, now); sum > ceiling {
		t.world.fail("I1", "rental %d brings pool %s to %d micro-dollars/h, its ceiling is %d", made.record.ID, instance.Spec.PoolRef.Name, sum, ceiling)
	}
	if sum, ceiling := t.accountSum(made, meter, known), t.account.ceiling(journaled, now); sum > ceiling {
		t.world.fail("I1", "rental %d brings the account to %d micro-dollars/h, its ceiling is %d", made.record.ID, sum, ceiling)
	}
}

// checkLease judges a write in the very moment in which it is sent: the lease is
// fresh, by what this schedule's election says and not by what the operator
// believes (I5). What is on its way already, nobody can call back.
func (w *world) checkLease(e *exchange) {
	spends := strings.HasPrefix(e.path, "/api/v0/asks/") || e.method == http.MethodDelete
	if spends && !e.process.lease.IsFresh() {
		w.fail("I5", "%s sends %s %s although its lease is not fresh", e.process.name, e.method, e.path)
	}
}

// checkRentOfNone judges a rental whose attempt is in no object now.
func (t *witness) checkRentOfNone(made *rentalSeen) {
	if attempt := attemptOf(t.removed[made.uid], made.attempt); attempt != nil && isSettled(attempt) {
		made.late = true
		return
	}
	t.world.fail("I2", "rental %d was made, and no WarmInstance has journaled its attempt (label %s)", made.record.ID, made.record.Label)
}

// attemptOf finds an attempt in the journal; nil when there is none.
func attemptOf(instance *warmpool.WarmInstance, number int32) *warmpool.RentAttempt {
	if instance == nil {
		return nil
	}
	at := slices.IndexFunc(instance.Status.Attempts, func(a warmpool.RentAttempt) bool { return a.Number == number })
	if at < 0 {
		return nil
	}
	return &instance.Status.Attempts[at]
}

// isSettled is true when the journal has given up on the attempt.
func isSettled(attempt *warmpool.RentAttempt) bool {
	return attempt.Outcome != warmpool.AttemptPending && attempt.Outcome != warmpool.AttemptUnknown
}

// checkSecond looks for another rental of the same intent (I2).
func (t *witness) checkSecond(made *rentalSeen, known time.Time) {
	for id, other := range t.rentals {
		if id == made.record.ID || !other.ours || other.ended || other.uid != made.uid {
			continue
		}
		recorded := t.recorder(id) != nil
		if recorded || !other.late || other.record.Start.Before(known) {
			t.world.fail("I2", "rental %d was made although rental %d of the same WarmInstance lives (attempts %d and %d)", made.record.ID, id, made.attempt, other.attempt)
		}
	}
}

// checkWanted demands that people wanted a rental at any time between the
// journal and now (I5).
func (t *witness) checkWanted(made *rentalSeen, instance *warmpool.WarmInstance, journaled time.Time) {
	now := t.world.now()
	rents := func(m moment) bool { return m.rents }
	switch {
	case !t.account.ever(journaled, now, rents):
		t.world.fail("I5", "rental %d was made although the account was not to rent", made.record.ID)
	case !t.pools[instance.Spec.PoolRef.Name].ever(journaled, now, rents):
		t.world.fail("I5", "rental %d was made although pool %s was not to rent", made.record.ID, instance.Spec.PoolRef.Name)
	case instance.DeletionTimestamp != nil && instance.DeletionTimestamp.Add(time.Second).Before(journaled):
		t.world.fail("I5", "rental %d was made for a WarmInstance that was deleted before", made.record.ID)
	}
}

// lowest is the lowest price of a rental since a time.
func lowest(record *simulator.RentalRecord, since time.Time) int64 {
	low := price(record)
	for k := range record.Prices {
		ended := k+1 < len(record.Prices) && record.Prices[k+1].At.Before(since)
		if !ended {
			low = min(low, record.Prices[k].MicrosPerHour)
		}
	}
	return low
}

// quote is what the journal says that a rental would cost, or its price when no
// journal knows it.
func (t *witness) quote(seen *rentalSeen, record *simulator.RentalRecord) int64 {
	for _, from := range []*warmpool.WarmInstance{t.instances[seen.uid], t.removed[seen.uid]} {
		if attempt := attemptOf(from, seen.attempt); attempt != nil {
			return micros(string(attempt.QuotedUSDPerHour))
		}
	}
	return price(record)
}

// poolSum is what the pool of a new rental costs with it: every live rental
// whose object is in the pool, at no more than what the object could know.
func (t *witness) poolSum(made *rentalSeen, meter *simulator.Meter, known time.Time) int64 {
	pool, sum := t.instances[made.uid].Spec.PoolRef.Name, min(t.quote(made, &made.record), price(&made.record))
	for k := range meter.Records {
		record := &meter.Records[k]
		seen := t.rentals[record.ID]
		if record.ID == made.record.ID || !record.Live() || seen == nil {
			continue
		}
		sum += min(lowest(record, known), t.knownIn(pool, seen, record))
	}
	return sum
}

// knownIn is what the objects of a pool say of a rental: the observed price, the
// quote before there is one, nothing when it is none of theirs.
func (t *witness) knownIn(pool string, seen *rentalSeen, record *simulator.RentalRecord) int64 {
	recorder, owner := t.recorder(record.ID), t.instances[seen.uid]
	switch {
	case recorder != nil && recorder.Spec.PoolRef.Name == pool:
		if own := recorder.Status.Rental; own != nil && own.ID == record.ID && recorder.Status.Price.ObservedTime != nil {
			return micros(string(recorder.Status.Price.CurrentUSDPerHour))
		}
		return t.quote(seen, record)
	case recorder == nil && seen.ours && !seen.late && owner != nil && owner.Spec.PoolRef.Name == pool:
		return t.quote(seen, record)
	default:
		return 0
	}
}

// accountSum is what the account costs with a new rental: everything in it that
// a list has shown, and what the journal knows besides.
func (t *witness) accountSum(made *rentalSeen, meter *simulator.Meter, known time.Time) int64 {
	sum := min(t.quote(made, &made.record), price(&made.record))
	for k := range meter.Records {
		record := &meter.Records[k]
		seen := t.rentals[record.ID]
		if record.ID == made.record.ID || !record.Live() || seen == nil {
			continue
		}
		switch {
		case record.Start.Before(known):
			sum += lowest(record, known)
		case seen.ours && !seen.late:
			sum += min(lowest(record, known), t.quote(seen, record))
		}
	}
	return sum
}

// recorder is the WarmInstance that records a rental; nil when none does.
func (t *witness) recorder(id int64) *warmpool.WarmInstance {
	for _, instance := range t.instances {
		if instance.Status.Rental != nil && instance.Status.Rental.ID == id {
			return instance
		}
		for k := range instance.Status.Attempts {
			if attempt := &instance.Status.Attempts[k]; attempt.RentalID == id && !attempt.RentalGone {
				return instance
			}
		}
	}
	return nil
}
