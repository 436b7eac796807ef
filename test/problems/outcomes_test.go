package problems

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/controllers"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// TestARentCarriedOutAfterWeGaveUpIsNeverTwo: Vast.ai makes the rental long after
// the client has hung up. Up to five minutes late it is found by its label, and
// nothing else was rented; later than that it is recognised and ended.
func TestARentCarriedOutAfterWeGaveUpIsNeverTwo(t *testing.T) {
	for _, late := range []int{0, 1, 59, 61, 119, 121, 179, 181, 240, 300, 420, 900} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d s late, restarted %v", late, restart), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, 6)
				w.newPool(1, 1)
				w.sweep()
				w.pools()
				w.disturb(simulator.FaultSpec{Name: simulator.FaultCreateLate, Count: 1, Params: map[string]string{"after": fmt.Sprint(late), "how": "hang-up"}})
				w.rents()
				if outcome := w.instances()[0].Status.Attempts[0].Outcome; outcome != warmpool.AttemptUnknown {
					t.Fatalf("the outcome of a lost answer is %s", outcome)
				}
				if restart {
					w.restart()
				}
				w.pass(20 * time.Minute)
				const surely = 300
				rents := len(w.vast.Meter().Select(ours))
				if late <= surely && rents != 1 {
					t.Errorf("%d rents for one instance", rents)
				}
				if live := w.live(); len(live) != 1 || !w.recorded()[live[0].ID] || w.ready() != 1 {
					w.dump()
					t.Errorf("%d rentals live, %d ready", len(live), w.ready())
				}
			})
		}
	}
}

// TestAnErrorThatCameWithARentalEndsTheRental: Vast.ai refuses and names a
// contract. The rental counts from that moment, is ended through four refusals
// of the destroy, and only then the next one is rented.
func TestAnErrorThatCameWithARentalEndsTheRental(t *testing.T) {
	for name, running := range map[string]string{"a stopped one": "false", "a running one": "true"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 6)
			w.newPool(1, 1)
			w.sweep()
			w.pools()
			w.disturb(simulator.FaultSpec{Name: simulator.FaultCreateWithError, Count: 1, Params: map[string]string{"running": running}})
			w.rents()
			attempt := w.instances()[0].Status.Attempts[0]
			if attempt.Outcome != warmpool.AttemptRejected || attempt.RentalID == 0 || w.instances()[0].Status.Rental != nil {
				t.Fatalf("the attempt is recorded as %+v", attempt)
			}
			refusals := 0
			w.vast.tell(func(request *http.Request) *reply {
				if request.Method != http.MethodDelete || refusals == 4 {
					return nil
				}
				refusals++
				return says(http.StatusInternalServerError, "busy")
			})
			w.pass(10 * time.Minute)
			if refusals != 4 || w.ready() != 1 || len(w.live()) != 1 || w.live()[0].ID == attempt.RentalID {
				w.dump()
				t.Errorf("after %d refusals %d rentals live", refusals, len(w.live()))
			}
			if peak, _ := w.vast.Meter().Peak(ours); peak > priceMicros {
				t.Errorf("both lived at once: %d µ$/h", peak)
			}
		})
	}
}

// TestARefusalWithoutARentalTriesTheNextOffer: the same error without a contract
// is a certain refusal: nothing is ended, and the next offer is rented.
func TestARefusalWithoutARentalTriesTheNextOffer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 6)
	w.newPool(1, 1)
	w.disturb(simulator.FaultSpec{Name: simulator.FaultCreateRefused, Count: 1, Params: map[string]string{"error": "invalid_args"}})
	w.pass(4 * pollPeriod)
	if len(w.vast.asked()) != 0 || len(w.vast.Meter().Select(ours)) != 1 || w.ready() != 1 {
		w.dump()
		t.Errorf("ends of %v were asked for; %d rents", w.vast.asked(), len(w.vast.Meter().Select(ours)))
	}
}

// TestARentRefusedForHasteIsSettledByItsForm: the limiter's own text, in each of
// its forms, says for certain that nothing was rented; a 429 of anybody else does
// not, and its price stays reserved.
func TestARentRefusedForHasteIsSettledByItsForm(t *testing.T) {
	const limiter = "API requests too frequent: endpoint threshold=4.5"
	for name, test := range map[string]struct {
		body string
		want warmpool.AttemptOutcome
	}{
		"plain text":                 {limiter, warmpool.AttemptRejected},
		"detail":                     {`{"detail":"` + limiter + `"}`, warmpool.AttemptRejected},
		"msg":                        {`{"success":false,"msg":"` + limiter + `"}`, warmpool.AttemptRejected},
		"a slug":                     {`{"success":false,"error":"rate_limit_exceeded","msg":"slow down"}`, warmpool.AttemptRejected},
		"HTML of a wall":             {"<html>429 Too Many Requests</html>", warmpool.AttemptUnknown},
		"somebody else's words":      {`{"error":"too many"}`, warmpool.AttemptUnknown},
		"nothing":                    {"", warmpool.AttemptUnknown},
		"the text in a page of HTML": {"<html>" + limiter + "</html>", warmpool.AttemptUnknown},
		"a contract beside the text": {`{"msg":"` + limiter + `","new_contract":77}`, warmpool.AttemptRejected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 6)
			w.newPool(1, 1)
			w.sweep()
			w.pools()
			sent := 0
			w.vast.tell(func(request *http.Request) *reply {
				if !strings.Contains(request.URL.Path, "/asks/") {
					return nil
				}
				sent++
				return says(http.StatusTooManyRequests, test.body)
			})
			w.quietly("rent", w.account.Loops()[controllers.LoopRent], keyOf("default"))
			attempts := w.instances()[0].Status.Attempts
			if sent != 1 || len(attempts) != 1 || attempts[0].Outcome != test.want {
				t.Fatalf("%d rents were sent, attempts %+v, want %s", sent, attempts, test.want)
			}
			var pool warmpool.WarmPool
			w.pools()
			if !w.exists(&pool, "sdxl") {
				t.Fatal("the pool is gone")
			}
			reserved := pool.Status.Cost.CommittedUSDPerHour != "0.00"
			if want := test.want == warmpool.AttemptUnknown || strings.Contains(test.body, "new_contract"); reserved != want {
				t.Errorf("committed $%s/h, want a reservation: %v", pool.Status.Cost.CommittedUSDPerHour, want)
			}
		})
	}
}

// TestAnUnknownOutcomeKeepsItsPriceReserved: while nobody knows what became of a
// rent, the room that it takes is not given to another instance, by this process
// or the next.
func TestAnUnknownOutcomeKeepsItsPriceReserved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 6)
	w.newPool(2, 1)
	w.sweep()
	w.pools()
	w.disturb(simulator.FaultSpec{Name: simulator.FaultLostAnswer, Count: 1})
	w.disturb(simulator.FaultSpec{Name: simulator.FaultHiddenRental})
	w.rents()
	for range 4 {
		w.pass(pollPeriod)
		w.restart()
	}
	if calls := w.vast.rentCalls(); calls != 1 {
		t.Errorf("%d rents were sent while the outcome of the first is unknown", calls)
	}
	open := 0
	for _, instance := range w.instances() {
		for _, attempt := range instance.Status.Attempts {
			if attempt.Outcome == warmpool.AttemptUnknown || attempt.Outcome == warmpool.AttemptPending {
				open++
			}
		}
	}
	if open != 1 {
		t.Errorf("%d attempts are open, want one", open)
	}
	w.calm()
	w.settle(1)
	if rents := len(w.vast.Meter().Select(ours)); rents != 1 {
		t.Errorf("%d rents", rents)
	}
}
