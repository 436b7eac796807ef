package main

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// moment is when a version was written: the revision orders all objects
// exactly, the time is a moment late.
type moment struct {
	at       time.Time
	revision int64
}

// attemptState is one entry of an instance's journal.
type attemptState struct {
	number   int32
	outcome  warmpool.AttemptOutcome
	rentalID int64
	quote    fleet.USDMicros
	started  time.Time
}

// instanceState is what is judged of one version of a WarmInstance.
type instanceState struct {
	moment
	uid, name, pool                  string
	deleting, gone, claimed, isReady bool
	// holder is the uid of the claim that holds it, or is being cleared away.
	holder   string
	failure  string
	rentalID int64
	attempts []attemptState
}

// poolState is what is judged of one version of a WarmPool.
type poolState struct {
	moment
	deleting, gone bool
	replicas       int
	ceiling        fleet.USDMicros
	mode           warmpool.PoolMode
}

// accountState is what is judged of one version of the VastAccount.
type accountState struct {
	moment
	gone      bool
	ceiling   fleet.USDMicros
	mode      warmpool.AccountMode
	sweptAt   time.Time // of the last trusted sweep
	suspected []int64
}

// book is the history of all objects, each oldest first.
type book struct {
	instances map[string][]instanceState // by uid
	pools     map[string][]poolState     // by name
	account   []accountState
	// alive maps the name of an instance to the uid that has it at present.
	alive map[string]string
}

func newBook() *book {
	return &book{instances: map[string][]instanceState{}, pools: map[string][]poolState{}, alive: map[string]string{}}
}

func (b *book) noteInstance(instance *warmpool.WarmInstance, when moment) {
	state := instanceState{
		moment: when, uid: string(instance.UID), name: instance.Name, pool: instance.Spec.PoolRef.Name,
		deleting: !instance.DeletionTimestamp.IsZero(), claimed: instance.Spec.ClaimRef != nil,
		isReady: meta.IsStatusConditionTrue(instance.Status.Conditions, warmpool.ConditionReady),
	}
	if instance.Spec.ClaimRef != nil {
		state.holder = string(instance.Spec.ClaimRef.UID)
	}
	if instance.Status.Failure != nil {
		state.failure = instance.Status.Failure.Reason
	}
	if instance.Status.Rental != nil {
		state.rentalID = instance.Status.Rental.ID
	}
	for k := range instance.Status.Attempts {
		attempt := &instance.Status.Attempts[k]
		state.attempts = append(state.attempts, attemptState{
			number: attempt.Number, outcome: attempt.Outcome, rentalID: attempt.RentalID,
			quote: micros(string(attempt.QuotedUSDPerHour)), started: attempt.StartedTime.Time,
		})
	}
	b.alive[state.name] = state.uid
	b.instances[state.uid] = append(b.instances[state.uid], state)
}

func (b *book) notePool(pool *warmpool.WarmPool, when moment) {
	state := poolState{
		moment: when, deleting: !pool.DeletionTimestamp.IsZero(), mode: pool.Spec.Mode, ceiling: micros(string(pool.Spec.Cost.CeilingUSDPerHour)),
	}
	if pool.Spec.Replicas != nil {
		state.replicas = int(*pool.Spec.Replicas)
	}
	b.pools[pool.Name] = append(b.pools[pool.Name], state)
}

func (b *book) noteAccount(account *warmpool.VastAccount, when moment) {
	state := accountState{moment: when, mode: account.Spec.Mode, ceiling: micros(string(account.Spec.CeilingUSDPerHour))}
	if sweep := account.Status.LastSweep; sweep != nil && sweep.LastTrustedTime != nil {
		state.sweptAt = sweep.LastTrustedTime.Time
	}
	for _, leak := range account.Status.SuspectedLeaks {
		state.suspected = append(state.suspected, leak.RentalID)
	}
	b.account = append(b.account, state)
}

// end notes that an object is gone.
func (b *book) end(kind, name string, when moment) {
	switch kind {
	case "warminstances":
		uid := b.alive[name]
		if states := b.instances[uid]; len(states) > 0 {
			last := states[len(states)-1]
			last.moment, last.gone, last.deleting = when, true, true
			b.instances[uid] = append(states, last)
		}
		delete(b.alive, name)
	case "warmpools":
		b.pools[name] = append(b.pools[name], poolState{moment: when, gone: true, deleting: true})
	case "vastaccounts":
		b.account = append(b.account, accountState{moment: when, gone: true})
	}
}

// micros reads an amount that the API server has checked; what is none is 0.
func micros(text string) fleet.USDMicros {
	amount, err := fleet.ParseUSD(text)
	if err != nil {
		return 0
	}
	return amount
}

// before returns the index of the last version that was written before a
// revision, -1 for none.
func before[T any](states []T, revision int64, of func(*T) int64) int {
	last := -1
	for k := range states {
		if of(&states[k]) < revision {
			last = k
		}
	}
	return last
}

func instanceRevision(s *instanceState) int64 { return s.revision }

// poolsIn returns the versions of a pool that were in force at any time from
// one moment to another.
func (b *book) poolsIn(name string, from, to time.Time) []poolState {
	states := b.pools[name]
	return inForce(states, from, to, func(s *poolState) time.Time { return s.at })
}

// accountsIn is the same for the account.
func (b *book) accountsIn(from, to time.Time) []accountState {
	return inForce(b.account, from, to, func(s *accountState) time.Time { return s.at })
}

func inForce[T any](states []T, from, to time.Time, at func(*T) time.Time) []T {
	first := 0
	for k := range states {
		if !at(&states[k]).After(from) {
			first = k
		}
	}
	last := first
	for k := first; k < len(states) && !at(&states[k]).After(to); k++ {
		last = k
	}
	if len(states) == 0 {
		return nil
	}
	return states[first : last+1]
}

// attemptOf finds the newest version of one attempt of an instance.
func (b *book) attemptOf(uid string, number int32) (attemptState, bool) {
	states := b.instances[uid]
	for _, state := range slices.Backward(states) {
		at := slices.IndexFunc(state.attempts, func(a attemptState) bool { return a.number == number })
		if at >= 0 {
			return state.attempts[at], true
		}
	}
	return attemptState{}, false
}

// poolOf is the pool of an instance, empty when it was never seen.
func (b *book) poolOf(uid string) string {
	if states := b.instances[uid]; len(states) > 0 {
		return states[0].pool
	}
	return ""
}

// deletion is the first version of an instance that is being deleted, and the
// one before it.
func (b *book) deletion(uid string) (deleted, last instanceState, found bool) {
	states := b.instances[uid]
	at := slices.IndexFunc(states, func(s instanceState) bool { return s.deleting })
	if at < 0 {
		return instanceState{}, instanceState{}, false
	}
	return states[at], states[max(at-1, 0)], true
}
