package simulator

import (
	"fmt"
	"time"

	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

// account is one Vast.ai account with its money. Lock of the world held.
type account struct {
	id      int64
	balance cost
	// rate is what all rentals bill now; spent is exact up to settledAt.
	rate      int64
	spent     cost
	settledAt time.Time
	// epoch makes an exhaustion that was scheduled for another rate void.
	epoch   int
	sshKeys []schema.SSHKey
	secrets map[string]string
	// endpoints and groups are the little that is kept of Vast Serverless.
	endpoints, groups []map[string]any
	nextID            int64
}

// newAccount opens an account.
func newAccount(id, creditMicros int64, now time.Time) *account {
	return &account{
		id: id, balance: cost{micros: creditMicros}, settledAt: now,
		secrets: map[string]string{}, nextID: 100,
	}
}

// settle brings spent up to now.
func (a *account) settle(now time.Time) {
	a.spent = a.spent.after(a.rate, now.Sub(a.settledAt))
	a.settledAt = now
}

// left returns the exact balance after settle; rest is what is spent of the
// last micro-dollar, turned round. Negative balances come out rounded down.
func (a *account) left() cost {
	left := cost{micros: a.balance.micros - a.spent.micros}
	if a.spent.rest > 0 {
		left.micros--
		left.rest = msPerHour - a.spent.rest
	}
	return left
}

// credit returns whole micro-dollars left, rounded down.
func (a *account) credit() int64 { return a.left().micros }

// broke is true when nothing is left.
func (a *account) broke() bool {
	left := a.left()
	return left.micros < 0 || (left.micros == 0 && left.rest == 0)
}

// changeRate changes what the account burns by so much and schedules the
// moment at which the credit is used up.
func (w *world) changeRate(a *account, deltaMicrosPerHour int64) {
	a.settle(w.now)
	a.rate += deltaMicrosPerHour
	if a == w.account {
		w.watchCredit()
	}
}

// watchCredit schedules the stop of everything for the moment of exhaustion.
func (w *world) watchCredit() {
	a := w.account
	a.epoch++
	epochThen := a.epoch
	left := a.left()
	if left.micros < 0 {
		return // exhausted already: what still bills is storage
	}
	wait, ends := exhausts(left, a.rate)
	if !ends {
		return
	}
	w.after(wait, func() {
		if a.epoch == epochThen {
			w.exhaust()
		}
	})
}

// exhaust stops every rental of the account, as Vast.ai does at no credit.
func (w *world) exhaust() {
	w.account.settle(w.now)
	for _, id := range w.order {
		w.rentals[id].wantsStart = false
	}
	for _, id := range w.order {
		// A destroyed rental that reads still show must not begin to bill again.
		r := w.rentals[id]
		if r.account == w.account && r.goneAt.IsZero() && r.intended == stateRunning {
			w.halt(r, "Account out of credit")
		}
	}
}

// addCredit changes the balance, as a payment does.
func (w *world) addCredit(micros int64) {
	w.account.settle(w.now)
	w.account.balance.micros += micros
	w.watchCredit()
}

// apiKey is what a key opens.
type apiKey struct {
	account *account
	// instance restricts the key to one rental; 0 does not.
	instance int64
	revoked  bool
}

// newHex returns random hexadecimal text. Lock held.
func (w *world) newHex(digits int) string {
	const perWord = 16
	text := ""
	for len(text) < digits {
		text += fmt.Sprintf("%0*x", perWord, w.draws.Uint64())
	}
	return text[:digits]
}
