package simulate

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/internal/testkit/apidouble"
)

// witness follows what really happens, on both sides: every change at the API
// server and every rental that begins or ends at the provider. It holds the
// checks of the invariants (check_*.go). What it is told it judges in a
// goroutine of its own, at the same virtual moment and in the same order: those
// who tell it hold locks.
type witness struct {
	world *world

	mu    sync.Mutex
	queue []func()
	wake  chan struct{}

	// Below: of the witness's goroutine alone.

	// instances mirrors the WarmInstances; removed keeps those that are gone.
	instances, removed map[types.UID]*warmpool.WarmInstance
	claims             map[types.UID]*warmpool.WarmClaim
	pools              map[string]*history
	account            *history
	// accountNow is the present account object, nil while there is none.
	accountNow *warmpool.VastAccount
	rentals    map[int64]*rentalSeen
	// journaled is when an attempt was first seen at the API server, by label.
	journaled map[string]time.Time
	// sentBy says which process sent a rent, by label.
	sentBy map[string]*exchange
	// sweeper is who wrote the account's status last.
	sweeper string
}

// rentalSeen is one rental and what is known about its making.
type rentalSeen struct {
	record simulator.RentalRecord
	// ours is true for a rental that the operator ordered.
	ours    bool
	uid     types.UID
	attempt int32
	// late is true when the attempt was settled before the rental was made, or
	// the provider denied having made it: nobody here could know of it.
	late  bool
	ended bool
	// taken is true when a person changed the label before anybody had recorded
	// the rental: nothing ties it to us any more.
	taken bool
	// missed counts the trusted sweeps in a row that neither recorded nor reported it.
	missed int
}

// knowledge is what a process has read of the account.
type knowledge struct {
	// begun is when the first page of the present list was answered.
	begun time.Time
	seen  map[int64]bool
	// lists are the complete lists, with when they began and were judged.
	lists []listRead
	// truthful is true when the last complete list showed everything, read when
	// there was any.
	truthful, read bool
}

type listRead struct{ begun, judged time.Time }

func newWitness(w *world) *witness {
	return &witness{
		world: w, wake: make(chan struct{}, 1), instances: map[types.UID]*warmpool.WarmInstance{}, removed: map[types.UID]*warmpool.WarmInstance{},
		claims: map[types.UID]*warmpool.WarmClaim{}, pools: map[string]*history{}, account: &history{}, rentals: map[int64]*rentalSeen{},
		journaled: map[string]time.Time{}, sentBy: map[string]*exchange{},
	}
}

// tell hands something to the witness.
func (t *witness) tell(happened func()) {
	t.mu.Lock()
	t.queue = append(t.queue, happened)
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// run judges until the schedule ends.
func (t *witness) run() {
	for {
		select {
		case <-t.wake:
			t.drain()
		case <-t.world.ctx.Done():
			t.drain()
			return
		}
	}
}

func (t *witness) drain() {
	for {
		t.mu.Lock()
		queue := t.queue
		t.queue = nil
		t.mu.Unlock()
		if len(queue) == 0 {
			return
		}
		for _, happened := range queue {
			happened()
		}
	}
}

// change is told of every change at the API server.
func (t *witness) change(event apidouble.Event, before client.Object, actor string) {
	t.tell(func() {
		t.checkSecrets(&event)
		switch object := event.Object.(type) {
		case *warmpool.WarmInstance:
			t.instanceChanged(event.Type, object, before, actor)
		case *warmpool.WarmClaim:
			t.claimChanged(event.Type, object, before)
		case *warmpool.WarmPool:
			t.poolChanged(event.Type, object)
		case *warmpool.VastAccount:
			t.accountChanged(event.Type, object, actor)
		}
	})
}

// checkSecrets looks at every object but Secrets, which teach it secrets.
func (t *witness) checkSecrets(event *apidouble.Event) {
	if secret, ok := event.Object.(*corev1.Secret); ok {
		if password := string(secret.Data[warmpool.SecretKeyWebPassword]); password != "" {
			t.world.secrets.add(password)
		}
		return
	}
	apidouble.EachString(event.Object, func(text string) {
		if t.world.secrets.isIn(text) {
			t.world.fail("I8", "a part of a secret shows in %s %s", event.Kind, event.Object.GetName())
		}
	})
}

func (t *witness) instanceChanged(event watch.EventType, instance *warmpool.WarmInstance, before client.Object, actor string) {
	was, existed := before.(*warmpool.WarmInstance)
	if event == watch.Deleted {
		delete(t.instances, instance.UID)
		t.removed[instance.UID] = instance
		t.checkRelease(instance, actor)
		return
	}
	t.instances[instance.UID] = instance
	for k := range instance.Status.Attempts {
		label := fleet.Label{Installation: installation, InstanceUID: string(instance.UID), Attempt: instance.Status.Attempts[k].Number}.String()
		if _, known := t.journaled[label]; !known {
			t.journaled[label] = t.world.now()
		}
	}
	if existed && actor != "user" {
		t.checkHolder(was, instance, actor)
	}
	if existed && was.DeletionTimestamp == nil && instance.DeletionTimestamp != nil {
		t.checkDeletion(was, actor)
	}
}

func (t *witness) poolChanged(event watch.EventType, pool *warmpool.WarmPool) {
	if t.pools[pool.Name] == nil {
		t.pools[pool.Name] = &history{}
	}
	t.pools[pool.Name].add(moment{
		at: t.world.now(), ceiling: micros(string(pool.Spec.Cost.CeilingUSDPerHour)),
		rents:  pool.Spec.Mode == warmpool.PoolActive && pool.DeletionTimestamp == nil && event != watch.Deleted,
		gone:   pool.DeletionTimestamp != nil || event == watch.Deleted,
		maxTTL: seconds(pool.Spec.ClaimPolicy.MaxTTLSeconds), endsClaimed: endsClaimed(pool),
	})
}

// endsClaimed is true for a pool whose spec allows the end of what is claimed.
func endsClaimed(pool *warmpool.WarmPool) bool {
	return pool.Spec.Cost.OverCeilingPolicy == warmpool.OverCeilingScaleDownAll ||
		slices.ContainsFunc(pool.Spec.Cost.Budgets, func(b warmpool.Budget) bool { return b.Action == warmpool.BudgetTerminateAll })
}

func (t *witness) accountChanged(event watch.EventType, account *warmpool.VastAccount, actor string) {
	t.account.add(moment{
		at: t.world.now(), ceiling: micros(string(account.Spec.CeilingUSDPerHour)),
		rents:     account.Spec.Mode == warmpool.AccountActive && account.DeletionTimestamp == nil && event != watch.Deleted,
		emergency: account.Spec.Mode == warmpool.AccountEmergencyStop,
	})
	before := t.accountNow
	t.accountNow = account
	if event == watch.Deleted {
		t.accountNow = nil
		return
	}
	if actor != "user" && sweptAnew(before, account) {
		t.checkLeaks(account, actor)
	}
}

// sweptAnew is true when a trusted sweep was written.
func sweptAnew(before, after *warmpool.VastAccount) bool {
	if after.Status.LastSweep == nil || !after.Status.LastSweep.Trusted {
		return false
	}
	return before == nil || before.Status.LastSweep == nil || !before.Status.LastSweep.Time.Equal(&after.Status.LastSweep.Time)
}

// rental is told of every rental that begins or ends at the provider.
func (t *witness) rental(happened simulator.Moment) {
	t.tell(func() {
		seen := t.rentals[happened.Rental.ID]
		if seen == nil {
			seen = &rentalSeen{}
			t.rentals[happened.Rental.ID] = seen
			if label, ok := fleet.ParseLabel(happened.Rental.Label); ok && label.Installation == installation {
				seen.uid, seen.attempt = types.UID(label.InstanceUID), label.Attempt
			}
		}
		seen.record, seen.ended = happened.Rental, happened.Ended
		switch {
		case happened.Ended:
			t.world.note("vast", "", "rental %d (%s) ends: %s", happened.Rental.ID, happened.Rental.Label, happened.Rental.EndReason)
			t.checkEnd(seen)
		default:
			t.world.note("vast", "", "rental %d begins: %s at %d", happened.Rental.ID, happened.Rental.Label, price(&happened.Rental))
			// Admin's rentals get their origin after this: who ordered is told by the wire.
			seen.ours = t.sentBy[happened.Rental.Label] != nil && strings.HasPrefix(happened.Rental.Label, ourPrefix) && !t.isMade(happened.Rental.Label, happened.Rental.ID)
			if seen.ours {
				t.checkRent(seen, &happened.Meter)
			}
		}
	})
}

// relabelled is told that a person is about to change a label.
func (t *witness) relabelled(id int64) {
	t.tell(func() {
		if seen := t.rentals[id]; seen != nil && t.recorder(id) == nil {
			seen.taken = true
		}
	})
}

// isMade is true when another rental was made for the label already.
func (t *witness) isMade(label string, but int64) bool {
	for id, seen := range t.rentals {
		if id != but && seen.ours && seen.record.Label == label {
			return true
		}
	}
	return false
}

// price is the present price of a rental.
func price(record *simulator.RentalRecord) int64 {
	return record.Prices[len(record.Prices)-1].MicrosPerHour
}

// micros reads an amount of a spec or status.
func micros(text string) int64 {
	amount, err := fleet.ParseUSD(text)
	if err != nil {
		return 0
	}
	return int64(amount)
}

// arrives is told of every request that reaches the provider.
func (w *world) arrives(e *exchange) {
	if e.method != "PUT" || !strings.HasPrefix(e.path, "/api/v0/asks/") {
		return
	}
	var body struct{ Label string }
	if err := json.Unmarshal(e.body, &body); err != nil {
		return
	}
	w.witness.tell(func() {
		if first := w.witness.sentBy[body.Label]; first != nil {
			w.fail("I2", "the rent with label %s was sent twice, by %s and by %s", body.Label, first.process.name, e.process.name)
		}
		w.witness.sentBy[body.Label] = e
	})
}

// answered is told of every answer of the provider, when it is made.
func (w *world) answered(e *exchange) {
	if e.method != "PUT" || !strings.HasPrefix(e.path, "/api/v0/asks/") {
		return
	}
	w.witness.tell(func() {
		if wrong := w.vast.RentedElsewhere(ourPrefix); len(wrong) > 0 {
			w.fail("I5", "rental %d was made in another account", wrong[0])
		}
	})
}

// learn notes what a process has read.
func (w *world) learn(e *exchange) {
	if e.method != "GET" || strings.TrimRight(e.path, "/") != "/api/v1/instances" || e.response.StatusCode != http.StatusOK {
		return
	}
	k := &e.process.knowledge
	body := readAgain(e.response)
	values, err := url.ParseQuery(e.query)
	if err != nil {
		return
	}
	if token := values.Get("after_token"); token == "" || token == "null" {
		k.begun, k.seen = e.sentAt, map[int64]bool{}
	}
	var page struct {
		Instances []struct{ ID int64 }
		NextToken *string `json:"next_token"`
	}
	if json.Unmarshal(body, &page) != nil {
		return
	}
	for _, row := range page.Instances {
		k.seen[row.ID] = true
	}
	if page.NextToken != nil {
		return
	}
	begun, seen := k.begun, k.seen
	w.witness.tell(func() { w.witness.listRead(e.process, begun, seen) })
}

// judged notes that a process now goes by the lists that it has read: its sweep
// reads the objects as well before it judges, and writes what it made of both.
func (w *world) judged(p *process) {
	now := w.now()
	w.witness.tell(func() {
		for n := range p.knowledge.lists {
			if p.knowledge.lists[n].judged.IsZero() {
				p.knowledge.lists[n].judged = now
			}
		}
	})
}

// listRead judges whether a list showed everything that there was.
func (t *witness) listRead(p *process, begun time.Time, seen map[int64]bool) {
	k := &p.knowledge
	k.truthful = true
	for id, rental := range t.rentals {
		if !rental.ended && rental.record.Start.Before(begun) && !seen[id] {
			k.truthful = false
		}
	}
	k.read = true
	if k.truthful {
		k.lists = append(k.lists, listRead{begun: begun})
	}
}

// known is the time since when a process may not know of changes in the
// account: the begin of the last list that it had judged by then.
func (k *knowledge) known(by time.Time) time.Time {
	for _, list := range slices.Backward(k.lists) {
		if !list.judged.IsZero() && !list.judged.After(by) {
			return list.begun
		}
	}
	return time.Time{}
}

// sortedKeys are the keys of a map in order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
