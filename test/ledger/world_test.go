package ledger

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/controllers"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/internal/vastai"
)

const installation = "ledger01"

var (
	monthStart = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	account    = types.NamespacedName{Namespace: "default", Name: "default"}
)

// pools and how many rentals each has.
func poolSizes() map[string]int { return map[string]int{"sdxl": 4, "flux": 2, "video": 2} }

// foreignRentals is how many are there that are nobody's of ours.
const foreignRentals = 2

// world is thirty days of an account: the simulator is Vast.ai, the sweeps are
// the controller's, and the rest of the operator is played by chance.
type world struct {
	t     *testing.T
	draws *rand.Rand
	poll  time.Duration
	clock *clocktesting.FakeClock
	sim   *simulator.Server
	// person acts on Vast.ai without faults of the sweep's.
	person   *vastai.Client
	http     *http.Client
	store    *store
	managers [2]*controllers.VastAccountReconciler
	leader   int
	// away is how many sweeps there is no leader.
	away    int
	rentals []*rental
	// pools maps the UIDs in labels to pools.
	pools map[string]string
	// foreign are rentals of nobody of ours.
	foreign []int64
	made    int
	faults  map[string]int
	// meter is the witness after the last sweep.
	meter simulator.Meter
	// listed are the rentals of the last list.
	listed map[int64]bool
}

// rental is a WarmInstance and what becomes of it.
type rental struct {
	uid, pool string
	id        int64
	// ending counts the sweeps since it was destroyed; -1 before.
	ending int
}

// atOnce is a clock on which a retry follows at once; timeouts, which are
// longer, are those of the wall.
type atOnce struct{ clock.Clock }

func (atOnce) NewTimer(d time.Duration) clock.Timer {
	const longestRetry = 10 * time.Second
	if d < longestRetry {
		d = 0
	}
	return clock.RealClock{}.NewTimer(d)
}

// silent drops events.
type silent struct{}

func (silent) Eventf(runtime.Object, runtime.Object, string, string, string, string, ...any) {}

func newWorld(t *testing.T, seed uint64, poll time.Duration) *world {
	t.Helper()
	draws := rand.New(rand.NewPCG(seed, 1))
	w := &world{
		t: t, draws: draws, poll: poll, clock: clocktesting.NewFakeClock(monthStart), store: newStore(t, draws),
		pools: map[string]string{}, faults: map[string]int{},
		http: &http.Client{Transport: &http.Transport{}},
	}
	var offers []simulator.OfferSpec
	for n := range int64(60) {
		offers = append(offers, simulator.OfferSpec{
			ID: n + 1, MachineID: 100 + n, PriceMicros: 180_000 + n*17_321, StorageMicrosPerGBMonth: 150_000 + n*1_000,
			Fields: map[string]any{"duration": (90 * 24 * time.Hour).Seconds(), "end_date": float64(monthStart.AddDate(0, 3, 0).Unix())},
		})
	}
	const plenty = 100_000_000_000
	server, err := simulator.Start(t.Context(), simulator.Config{
		Clock: w.clock, Seed: seed, Backend: simulator.NoBackend(), CreditMicros: plenty,
		Market: simulator.Market{Offers: offers, Frozen: true}, RateLimits: simulator.RateLimits{Disabled: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.sim = server
	t.Cleanup(func() {
		w.http.CloseIdleConnections()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	w.person = w.connect()
	for n := range w.managers {
		w.restart(n)
	}
	w.store.put(secret())
	w.store.put(&warmpool.VastAccount{
		ObjectMeta: metav1.ObjectMeta{Namespace: account.Namespace, Name: account.Name, UID: "account"},
		Spec: warmpool.VastAccountSpec{
			CeilingUSDPerHour: "100", PollPeriodSeconds: int32(poll / time.Second),
			CredentialsSecretRef: warmpool.CredentialsReference{Name: "warmpool-credentials", Key: "VASTAI_API_KEY"},
		},
	})
	for pool := range poolSizes() {
		made := &warmpool.WarmPool{Spec: warmpool.WarmPoolSpec{AccountRef: warmpool.LocalReference{Name: account.Name}}}
		made.Namespace, made.Name = account.Namespace, pool
		w.store.put(made)
	}
	return w
}

// connect makes a client without limits.
func (w *world) connect() *vastai.Client {
	limits := map[vastai.Endpoint]time.Duration{}
	for endpoint := range vastai.DefaultLimits() {
		limits[endpoint] = 0
	}
	made, err := vastai.New(vastai.Options{
		BaseURL: w.sim.URL(), APIKey: "sim-key", Clock: atOnce{w.clock}, Limits: limits, Transport: w.http.Transport,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return made
}

// restart is a process that remembers nothing.
func (w *world) restart(n int) {
	w.managers[n] = &controllers.VastAccountReconciler{
		Client: w.store, APIReader: w.store, Events: silent{}, Clock: w.clock, InstallationID: installation, Concurrency: 1,
		Connect: func(string, string) (controllers.Provider, error) { return &watched{w.connect(), w}, nil },
		Lease:   always{},
	}
}

// watched notes which rentals the sweeps were shown.
type watched struct {
	*vastai.Client
	world *world
}

func (p *watched) ListRentals(ctx context.Context) (fleet.Listing, error) {
	listing, err := p.Client.ListRentals(ctx)
	p.world.listed = map[int64]bool{}
	for k := range listing.Rentals {
		p.world.listed[listing.Rentals[k].ID] = true
	}
	return listing, err
}

// always is a lease that is never lost.
type always struct{}

func (always) IsFresh() bool { return true }

// step lets time pass.
func (w *world) step(d time.Duration) {
	w.clock.Step(d)
	w.sim.Advance()
}

// chance is true with a probability that is meant for five minutes.
func (w *world) chance(p float64) bool {
	return w.draws.Float64() < p*w.poll.Minutes()/5
}

// between draws a duration of whole seconds.
func (w *world) between(low, high time.Duration) time.Duration {
	return (low + time.Duration(w.draws.Int64N(int64(high-low)))).Truncate(time.Second)
}

// pollPeriod lives until the next sweep: things happen at odd moments.
func (w *world) pollPeriod() {
	left := w.poll
	for range 1 + w.draws.IntN(3) {
		pause := w.between(0, left)
		w.step(pause)
		left -= pause
		w.happen()
	}
	w.step(left)
	if w.away > 0 {
		w.away--
		return
	}
	// Conflicts and lost answers are errors as well: the next sweep follows.
	before := w.store.unanswered
	if _, err := w.managers[w.leader].SweepOnce(w.t.Context(), account); err != nil {
		if w.store.unanswered == before {
			w.t.Fatalf("a sweep failed: %v", err)
		}
	}
	w.bury()
}

// happen lets one or the other thing happen.
func (w *world) happen() {
	w.rentAndEnd()
	one := w.anyRental()
	if one != nil {
		w.life(one)
	}
	w.reads(one)
	w.process()
}

// rentAndEnd keeps the pools filled, and ends rentals after some hours.
func (w *world) rentAndEnd() {
	count := map[string]int{}
	for _, one := range w.rentals {
		if one.ending < 0 {
			count[one.pool]++
		}
	}
	// Nobody rents or ends for us while no manager runs.
	works := w.away == 0
	for _, pool := range slices.Sorted(maps.Keys(poolSizes())) {
		if works && count[pool] < poolSizes()[pool] && w.chance(0.3) {
			w.rent(pool)
		}
	}
	if len(w.foreign) < foreignRentals && w.chance(0.05) {
		if offer, ok := w.offer(); ok {
			id, err := w.sim.RentAside(offer, "somebody")
			if err != nil {
				w.t.Fatal(err)
			}
			w.foreign = append(w.foreign, id)
		}
	} else if len(w.foreign) > 0 && w.chance(0.002) {
		w.destroy(w.foreign[0])
		w.foreign = w.foreign[1:]
	}
	for _, one := range w.rentals {
		if works && one.ending < 0 && w.chance(0.0012) {
			w.end(one)
		}
	}
}

// offer draws one that can be rented.
func (w *world) offer() (int64, bool) {
	rows := w.sim.Offers(64)
	if len(rows) == 0 {
		return 0, false
	}
	id, ok := rows[w.draws.IntN(len(rows))]["id"].(int64)
	return id, ok
}

// rent journals an attempt, rents, and records the outcome; now and then the
// answer is lost, and the sweep finds the rental by its label.
func (w *world) rent(pool string) {
	offer, ok := w.offer()
	if !ok {
		return
	}
	w.made++
	one := &rental{uid: fmt.Sprintf("uid%06d", w.made), pool: pool, ending: -1}
	w.pools[one.uid] = pool
	label := fleet.Label{Installation: installation, InstanceUID: one.uid, Attempt: 1}.String()
	now := metav1.Time{Time: w.clock.Now()}
	instance := &warmpool.WarmInstance{
		ObjectMeta: metav1.ObjectMeta{Namespace: account.Namespace, Name: one.uid, UID: types.UID(one.uid), CreationTimestamp: now},
		Spec:       warmpool.WarmInstanceSpec{PoolRef: warmpool.LocalReference{Name: pool}, AccountRef: warmpool.LocalReference{Name: account.Name}},
		Status: warmpool.WarmInstanceStatus{Attempts: []warmpool.RentAttempt{{
			Number: 1, OfferID: offer, MachineID: 99 + offer, QuotedUSDPerHour: "1.50", StartedTime: now, Outcome: warmpool.AttemptPending,
		}}},
	}
	id, err := w.person.Rent(w.t.Context(), fleet.RentRequest{OfferID: offer, Label: label, Image: "vastai/comfy", DiskGB: 64, LaunchMode: "args"})
	if err != nil {
		w.t.Fatalf("renting offer %d: %v", offer, err)
	}
	one.id = id
	if w.draws.Float64() < 0.2 {
		w.faults["a lost answer"]++
	} else {
		attempt := &instance.Status.Attempts[0]
		attempt.Outcome, attempt.RentalID, attempt.FinishedTime = warmpool.AttemptSucceeded, id, &now
		instance.Status.Rental = &warmpool.Rental{ID: id, Label: label, RecordedTime: &now}
	}
	w.store.put(instance)
	w.rentals = append(w.rentals, one)
}

// end deletes an instance, and destroys its rental.
func (w *world) end(one *rental) {
	one.ending = 0
	w.destroy(one.id)
	w.change(one.uid, func(instance *warmpool.WarmInstance) {
		instance.DeletionTimestamp = &metav1.Time{Time: w.clock.Now()}
	})
}

func (w *world) destroy(id int64) {
	if err := w.person.DestroyRental(w.t.Context(), id); err != nil && fleet.KindOf(err) != fleet.KindNotFound {
		w.t.Fatalf("destroying rental %d: %v", id, err)
	}
}

func (w *world) change(uid string, change func(*warmpool.WarmInstance)) {
	var instance warmpool.WarmInstance
	if err := w.store.Get(w.t.Context(), types.NamespacedName{Name: uid}, &instance); err != nil {
		w.t.Fatal(err)
	}
	change(&instance)
	w.store.put(&instance)
}

// bury takes away the objects of rentals that are surely gone: two sweeps
// after the end.
func (w *world) bury() {
	w.meter = w.sim.Meter()
	live := map[int64]bool{}
	for k := range w.meter.Records {
		live[w.meter.Records[k].ID] = w.meter.Records[k].Live()
	}
	kept := w.rentals[:0]
	for _, one := range w.rentals {
		if !live[one.id] {
			one.ending = max(one.ending, 0) + 1
		}
		if one.ending > 2 && !live[one.id] {
			instance := &warmpool.WarmInstance{}
			instance.Name = one.uid
			w.store.drop(instance)
			continue
		}
		kept = append(kept, one)
	}
	w.rentals = kept
}

// anyRental draws one of ours that lives.
func (w *world) anyRental() *rental {
	if len(w.rentals) == 0 {
		return nil
	}
	one := w.rentals[w.draws.IntN(len(w.rentals))]
	if one.ending >= 0 {
		return nil
	}
	return one
}

// fault sets a fault of the simulator.
func (w *world) fault(name string, lasts time.Duration, match simulator.Match, params ...string) {
	spec := simulator.FaultSpec{Name: name, Match: match, DurationSeconds: lasts.Seconds(), Params: map[string]string{}}
	for n := 0; n+1 < len(params); n += 2 {
		spec.Params[params[n]] = params[n+1]
	}
	if _, err := w.sim.AddFault(spec); err != nil {
		w.t.Fatal(err)
	}
	w.faults[strings.TrimSpace(name)]++
}

// seconds is a parameter.
func seconds(d time.Duration) string { return fmt.Sprintf("%d", int64(d/time.Second)) }

// life changes what a rental costs.
func (w *world) life(one *rental) {
	match := simulator.Match{Rental: one.id}
	switch {
	case w.chance(0.005):
		w.fault(simulator.FaultOffline, 0, match, "for", seconds(w.between(5*time.Minute, 90*time.Minute)))
	case w.chance(0.004):
		w.fault(simulator.FaultOutbid, 0, match, "for", seconds(w.between(5*time.Minute, 2*time.Hour)))
	case w.chance(0.01):
		w.fault(simulator.FaultPriceRaise, 0, match, "factor", fmt.Sprintf("%.3f", 0.8+0.45*w.draws.Float64()))
	case w.chance(0.002):
		w.fault(simulator.FaultVanished, 0, match)
	case w.chance(0.002):
		w.fault(simulator.FaultExited, 0, match)
	case w.chance(0.004):
		w.put(one.id, `{"state":"stopped"}`)
	case w.chance(0.02):
		w.put(one.id, `{"state":"running"}`)
	case w.chance(0.004):
		w.reboot(one.id)
	}
}

// put changes a rental as a person does.
func (w *world) put(id int64, body string) { w.send(fmt.Sprintf("/api/v0/instances/%d/", id), body) }

func (w *world) reboot(id int64) {
	w.send(fmt.Sprintf("/api/v0/instances/reboot/%d/", id), "{}")
}

func (w *world) send(path, body string) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPut, w.sim.URL()+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer sim-key")
	answer, err := w.http.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	w.faults[path[:len("/api/v0/instances")]+" "+body]++
	if err := answer.Body.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// reads disturbs what the sweep sees.
func (w *world) reads(one *rental) {
	list := simulator.Match{Endpoint: simulator.EndpointList}
	switch {
	case w.chance(0.00067):
		w.fault(simulator.FaultHTTPError, w.between(10*time.Minute, time.Hour), list)
	case w.chance(0.001):
		w.fault(simulator.FaultWrongTotal, w.between(time.Minute, 10*time.Minute), list)
	case w.chance(0.00067):
		w.fault(simulator.FaultEmptyList, w.between(time.Minute, 20*time.Minute), list)
	case w.chance(0.00067):
		w.fault(simulator.FaultTruncatedBody, w.between(time.Minute, 10*time.Minute), list)
	case w.chance(0.00033):
		w.fault(simulator.FaultAuthError, w.between(time.Minute, 20*time.Minute), simulator.Match{Endpoint: simulator.EndpointUser})
	case w.chance(0.00033):
		w.fault(simulator.FaultOtherAccount, w.between(time.Minute, 15*time.Minute), simulator.Match{})
	case one != nil && w.chance(0.00333):
		states := []string{"loading", "exited", "", "rebooting"}
		w.fault(simulator.FaultStatusFlicker, w.between(10*time.Minute, time.Hour), simulator.Match{Rental: one.id}, "status", states[w.draws.IntN(len(states))])
	case one != nil && w.chance(0.001):
		w.fault(simulator.FaultHiddenRental, w.between(5*time.Minute, 30*time.Minute), simulator.Match{Rental: one.id})
	case w.chance(0.00333):
		w.fault(simulator.FaultReadLag, time.Hour, simulator.Match{}, "delay", seconds(w.between(30*time.Second, 10*time.Minute)))
	case w.chance(0.00333):
		w.fault(simulator.FaultDestroyLingers, time.Hour, simulator.Match{}, "for", seconds(w.between(time.Minute, 10*time.Minute)))
	}
}

// process restarts managers and hands over the lead.
func (w *world) process() {
	switch {
	case w.chance(0.0015):
		w.faults["a restart"]++
		w.restart(w.leader)
		w.away = w.draws.IntN(3)
	case w.chance(0.0015):
		w.faults["a new leader"]++
		w.leader = 1 - w.leader
	case w.chance(0.0003):
		w.faults["an outage of the manager"]++
		w.restart(w.leader)
		w.away = int(w.between(30*time.Minute, 3*time.Hour) / w.poll)
	}
}

// ledger reads the account's ledger.
func (w *world) ledger() *warmpool.Ledger {
	var object warmpool.VastAccount
	if err := w.store.Get(context.WithoutCancel(w.t.Context()), account, &object); err != nil {
		w.t.Fatal(err)
	}
	return object.Status.Ledger
}
