package problems

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// page is one page of a list. next is the token of the page after it.
func page(total int, next string, ids ...int64) string {
	var rows []string
	for _, id := range ids {
		rows = append(rows, fmt.Sprintf(`{"id":%d,"machine_id":1,"dph_total":0.4,"actual_status":"running"}`, id))
	}
	token := "null"
	if next != "" {
		token = `"` + next + `"`
	}
	return fmt.Sprintf(`{"success":true,"total_instances":%d,"next_token":%s,"instances":[%s]}`, total, token, strings.Join(rows, ","))
}

// pages answers lists with the given pages, over and over.
func pages(bodies ...string) func(*http.Request) *reply {
	n := 0
	return func(request *http.Request) *reply {
		if !isList(request) {
			return nil
		}
		if request.URL.Query().Get("after_token") == "" {
			n = 0
		}
		n++
		return says(http.StatusOK, bodies[min(n, len(bodies))-1])
	}
}

// answer replies to lists with one answer.
func answer(status int, body string) func(*http.Request) *reply {
	return func(request *http.Request) *reply {
		if !isList(request) {
			return nil
		}
		return says(status, body)
	}
}

// listLie is a list that must not be believed.
type listLie struct {
	tell   func(ids []int64) func(*http.Request) *reply
	fault  *simulator.FaultSpec
	reason string
}

func listLies() map[string]listLie {
	constant := func(lie func(*http.Request) *reply) func([]int64) func(*http.Request) *reply {
		return func([]int64) func(*http.Request) *reply { return lie }
	}
	const html = "<!DOCTYPE html><html><body>Checking your browser</body></html>"
	whole := func(ids []int64) string { return page(len(ids), "", ids...) }
	return map[string]listLie{
		"an empty body":          {tell: constant(answer(http.StatusOK, "")), reason: planner.ReasonInvalidResponse},
		"an empty JSON text":     {tell: constant(answer(http.StatusOK, `""`)), reason: planner.ReasonInvalidResponse},
		"an empty JSON array":    {tell: constant(answer(http.StatusOK, "[]")), reason: planner.ReasonInvalidResponse},
		"an empty JSON object":   {tell: constant(answer(http.StatusOK, "{}")), reason: planner.ReasonInvalidResponse},
		"null":                   {tell: constant(answer(http.StatusOK, "null")), reason: planner.ReasonInvalidResponse},
		"HTML with status 200":   {tell: constant(answer(http.StatusOK, html)), reason: planner.ReasonInvalidResponse},
		"a refusal, status 200":  {tell: constant(answer(http.StatusOK, `{"success":false,"error":"oops","msg":"no"}`)), reason: planner.ReasonInvalidResponse},
		"no such page":           {tell: constant(answer(http.StatusNotFound, `{"success":false,"error":"not_found","msg":"not found"}`)), reason: planner.ReasonInvalidResponse},
		"the retired endpoint":   {tell: constant(answer(http.StatusGone, `{"success":false,"error":"deprecated_endpoint","msg":"this endpoint is deprecated"}`)), reason: planner.ReasonAPIDeprecated},
		"no list beside a total": {tell: constant(answer(http.StatusOK, `{"success":true,"total_instances":0}`)), reason: planner.ReasonInvalidResponse},
		"a page cut in half": {tell: func(ids []int64) func(*http.Request) *reply {
			text := whole(ids)
			return answer(http.StatusOK, text[:len(text)/2])
		}, reason: planner.ReasonInvalidResponse},
		"a token that repeats": {tell: func(ids []int64) func(*http.Request) *reply {
			return pages(page(3, "a", ids[0]), page(3, "b", ids[1]), page(3, "a", ids[2]))
		}, reason: planner.ReasonInvalidResponse},
		"a rental on two pages": {tell: func(ids []int64) func(*http.Request) *reply {
			return pages(page(3, "a", ids[0], ids[1]), page(3, "", ids[1]))
		}, reason: planner.ReasonInvalidResponse},
		"a last page that is missing": {tell: func(ids []int64) func(*http.Request) *reply {
			return pages(page(3, "", ids[0]))
		}, reason: planner.ReasonInconsistentList},
		"a wrong total on the first page": {tell: func(ids []int64) func(*http.Request) *reply {
			return pages(page(2, "a", ids[0], ids[1]), page(3, "", ids[2]))
		}, reason: planner.ReasonInconsistentList},
		"a wrong total on the last page": {tell: func(ids []int64) func(*http.Request) *reply {
			return pages(page(3, "a", ids[0], ids[1]), page(2, "", ids[2]))
		}, reason: planner.ReasonInconsistentList},
		"totals that agree on too few": {tell: func(ids []int64) func(*http.Request) *reply {
			return pages(page(2, "", ids...))
		}, reason: planner.ReasonInconsistentList},
		"nothing, whole and consistent": {tell: constant(answer(http.StatusOK, page(0, ""))), reason: planner.ReasonSuspiciousDrop},
		"another account's list": {
			fault:  &simulator.FaultSpec{Name: simulator.FaultOtherAccount},
			reason: planner.ReasonAccountIdentityChanged,
		},
		"another account's list, whose mix-up the identity does not show": {
			fault:  &simulator.FaultSpec{Name: simulator.FaultOtherAccount, Params: map[string]string{"identity": "false"}},
			reason: planner.ReasonSuspiciousDrop,
		},
	}
}

// TestAListThatLiesRentsNothingAndEndsNothing: whatever comes in the list's
// place, with room for one more instance, one that is wanted, and one that is
// to end, nothing is rented, nothing is given up and no object is let go of.
func TestAListThatLiesRentsNothingAndEndsNothing(t *testing.T) {
	for name, lie := range listLies() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 8)
			w.newPool(3, 5)
			w.settle(3)
			var ids []int64
			for _, record := range w.live() {
				ids = append(ids, record.ID)
			}
			if lie.fault != nil {
				w.disturb(*lie.fault)
				w.clock.Step(pollPeriod * 4) // the identity is asked for once a minute
			} else {
				w.vast.tell(lie.tell(ids))
			}
			edit(w, &warmpool.WarmPool{}, "sdxl", func(pool *warmpool.WarmPool) { *pool.Spec.Replicas = 4 })
			w.sweep()
			if got, message := w.answer(warmpool.ConditionListTrusted); got != "False/"+lie.reason || message == "" {
				t.Errorf("ListTrusted = %s (%s), want %s", got, message, lie.reason)
			}
			before := w.vast.rentCalls()
			for range 2 { // a consistent lie is believed when three further lists agree
				w.pools()
				w.rents()
				w.ends()
				w.clock.Step(pollPeriod)
				w.sweep()
			}
			w.expectKept(ids)
			if w.vast.rentCalls() != before || len(w.vast.asked()) > 0 {
				t.Errorf("%d rents and the ends of %v were asked for", w.vast.rentCalls()-before, w.vast.asked())
			}
			w.calm()
			w.vast.tell(nil)
			w.settle(4)
			w.expectKept(ids)
		})
	}
}

// expectKept wants the given rentals to live, and an object that is not
// deleted to record each.
func (w *world) expectKept(ids []int64) {
	w.Helper()
	for _, id := range ids {
		if !slices.ContainsFunc(w.live(), func(r simulator.RentalRecord) bool { return r.ID == id }) {
			w.Errorf("rental %d was ended", id)
		}
		if !slices.ContainsFunc(w.instances(), func(i warmpool.WarmInstance) bool {
			return i.DeletionTimestamp.IsZero() && i.Status.Failure == nil && i.Status.Rental != nil && i.Status.Rental.ID == id
		}) {
			w.Errorf("no object that stays records rental %d", id)
		}
	}
}

// TestAKeyRevokedDuringATerminationLosesNothing: from the request to the last
// look-up, at whatever moment the key is revoked, the finalizers stay, the
// account says so within one sweep, and a new key goes on where it was.
func TestAKeyRevokedDuringATerminationLosesNothing(t *testing.T) {
	for _, status := range []string{"404", "401"} {
		for _, operation := range []string{"destroy", "destroyed", "list", "lookup"} {
			t.Run(operation+" "+status, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, 4)
				w.newPool(2, 2)
				w.settle(2)
				revoked := false
				revoke := func() {
					revoked = true
					w.disturb(simulator.FaultSpec{Name: simulator.FaultAuthError, Params: map[string]string{"status": status}})
					if err := w.vast.SetKey(simulator.KeyRevoke, testKey, ""); err != nil {
						t.Error(err)
					}
				}
				w.remove(&warmpool.WarmPool{}, "sdxl")
				w.pools()
				switch operation {
				case "destroyed":
					w.ends()
					revoke()
				case "list":
					w.ends()
					w.vast.when(operation, revoke)
				default:
					w.vast.when(operation, revoke)
				}
				w.pass(6 * pollPeriod)
				if !revoked {
					t.Fatal("the termination never came to the moment")
				}
				w.clock.Step(pollPeriod * 4)
				w.sweep()
				if got, message := w.answer(warmpool.ConditionCredentialsValid); got != "False/InvalidUserKey" || !strings.Contains(message, "kubectl -n "+namespace+" patch secret") {
					t.Errorf("CredentialsValid = %s (%s)", got, message)
				}
				w.pass(20 * pollPeriod)
				if left := w.instances(); len(left) == 0 || len(left) < len(w.live()) {
					t.Errorf("%d objects are left for %d rentals", len(left), len(w.live()))
				}
				for _, instance := range w.instances() {
					if !slices.Contains(instance.Finalizers, warmpool.FinalizerTerminate) {
						t.Errorf("%s has lost its finalizer", instance.Name)
					}
				}
				w.calm()
				if err := w.vast.SetKey(simulator.KeyAdd, "new-key", ""); err != nil {
					t.Fatal(err)
				}
				w.key("new-key")
				w.pass(12 * pollPeriod)
				if left := w.instances(); len(left) != 0 || len(w.live()) != 0 {
					w.dump()
					t.Errorf("%d objects and %d rentals are left after the rotation", len(left), len(w.live()))
				}
			})
		}
	}
}

// TestALookupThatNeverAnswersHoldsUpNoOther: of two rentals on their way out
// the look-up of one always fails. The other is let go of all the same.
func TestALookupThatNeverAnswersHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	w.newPool(2, 2)
	w.settle(2)
	first := w.live()[0].ID
	lookups := 0
	w.vast.tell(func(request *http.Request) *reply {
		if request.Method != http.MethodGet || request.URL.Path != fmt.Sprintf("/api/v0/instances/%d/", first) {
			return nil
		}
		lookups++
		return says(http.StatusOK, `{"instances":"odd"}`)
	})
	w.remove(&warmpool.WarmPool{}, "sdxl")
	w.pass(8 * pollPeriod)
	left := w.instances()
	if len(left) != 1 || left[0].Status.Rental.ID != first {
		t.Errorf("%d objects are left, want the one of rental %d alone", len(left), first)
	}
	const most = 20
	if lookups == 0 || lookups > most {
		t.Errorf("it was looked up %d times in two minutes, want some and at most %d", lookups, most)
	}
}

// TestAKeyThatOpensAnotherAccountDuringATerminationLetsGoOfNothing: the key begins
// to open another account just after it was last asked whose it is. For most of a
// minute its lists look trusted, and show none of ours; so do its look-ups.
func TestAKeyThatOpensAnotherAccountDuringATerminationLetsGoOfNothing(t *testing.T) {
	for phase := range 4 {
		t.Run(fmt.Sprintf("%d sweeps later", phase), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 4)
			w.newPool(1, 1)
			w.settle(1)
			id := w.live()[0].ID
			w.disturb(simulator.FaultSpec{Name: simulator.FaultDestroyIgnored})
			w.remove(&warmpool.WarmPool{}, "sdxl")
			w.pools()
			w.ends()
			for range phase {
				w.clock.Step(pollPeriod)
				w.sweep()
			}
			if err := w.vast.SetKey(simulator.KeyOtherAccount, testKey, ""); err != nil {
				t.Fatal(err)
			}
			lookups := 0
			w.vast.tell(func(request *http.Request) *reply {
				if request.Method == http.MethodGet && strings.HasPrefix(request.URL.Path, "/api/v0/instances/") {
					lookups++
				}
				return nil
			})
			for range 12 {
				w.clock.Step(pollPeriod)
				w.sweep()
				w.ends()
				if w.instanceOf(id) == nil {
					t.Fatalf("rental %d lives, and its object was let go of after %d look-ups of another account", id, lookups)
				}
			}
		})
	}
}
