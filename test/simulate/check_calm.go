package simulate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/internal/testkit/apidouble"
)

// restoreSpecs puts back what people changed and made wrong, so that there is
// something to converge to.
func (w *world) restoreSpecs() {
	w.setKey(w.secrets.homeKeys()[0])
	w.createAccount()
	w.helpAccountGo()
	w.editAccount(func(account *warmpool.VastAccount) {
		account.Spec.Mode = warmpool.AccountActive
		account.Spec.CeilingUSDPerHour = warmpool.USD(fleet.USDMicros(w.plan.AccountCeilingMicros).String())
	})
	for k := range w.plan.Pools {
		w.createPool(&w.plan.Pools[k])
		edit(w, &warmpool.WarmPool{}, w.plan.Pools[k].Name, func(pool *warmpool.WarmPool) {
			pool.Spec.Mode, pool.Spec.ClaimPolicy = warmpool.PoolActive, warmpool.ClaimPolicy{}
			pool.Spec.Cost.OverCeilingPolicy, pool.Spec.Cost.Budgets = warmpool.OverCeilingScaleDownUnclaimed, nil
		})
	}
	for _, record := range w.vast.Meter().Live(ourPrefix) {
		for _, fault := range comfyFaults() {
			w.check(w.vast.ClearBackendFault(record.ID, fault))
		}
	}
}

// helpAccountGo deletes the instances of an account that is being deleted: it
// waits for them, and pools give up no instance for its sake.
func (w *world) helpAccountGo() {
	var account warmpool.VastAccount
	key := types.NamespacedName{Namespace: namespace, Name: accountName}
	if w.users.Get(w.ctxOfUsers(), key, &account) != nil || account.DeletionTimestamp == nil {
		return
	}
	for _, instance := range w.instances() {
		w.remove(&warmpool.WarmInstance{}, instance.Name)
	}
}

// isConverged says what is missing (I7): every pool has its replicas ready and
// its claims served, or nothing on the market fits under a ceiling any more; and
// what has ended holds nothing.
func (w *world) isConverged() string {
	// An account or a pool that was being deleted is gone by and by, and is made again.
	w.restoreSpecs()
	var missing []string
	byPool := map[string][]*warmpool.WarmInstance{}
	claims, instances := w.claims(), w.instances()
	if what := w.strayHolder(claims, instances); what != "" {
		return what
	}
	for _, instance := range instances {
		byPool[instance.Spec.PoolRef.Name] = append(byPool[instance.Spec.PoolRef.Name], instance)
	}
	page, err := w.api.List(apidouble.KindWarmPool, namespace, 0, "")
	if err != nil {
		return err.Error()
	}
	if len(page.Objects) < len(w.plan.Pools) {
		return "a pool is not there yet"
	}
	for _, object := range page.Objects {
		if pool, ok := object.(*warmpool.WarmPool); ok {
			if what := w.missingIn(pool, claims, byPool[pool.Name]); what != "" {
				missing = append(missing, pool.Name+": "+what)
			}
		}
	}
	return strings.Join(missing, "; ")
}

// missingIn says what one pool lacks.
func (w *world) missingIn(pool *warmpool.WarmPool, claims []*warmpool.WarmClaim, instances []*warmpool.WarmInstance) string {
	ready, others, committed := count(instances)
	want := 0
	if pool.Spec.Replicas != nil {
		want = int(*pool.Spec.Replicas)
	}
	if others > 0 {
		return fmt.Sprintf("%d instances are neither ready nor gone", others)
	}
	if waiting := waitingIn(pool.Name, claims, instances); waiting > 0 && (ready > 0 || w.affords(pool, committed)) {
		return fmt.Sprintf("%d claims wait, %d instances are ready and free", waiting, ready)
	}
	if ready == want || (ready < want && !w.affords(pool, committed)) {
		return ""
	}
	return fmt.Sprintf("%d of %d are ready, and another one would fit", ready, want)
}

// count counts the instances of a pool that are ready and unclaimed, and those
// that are on their way up or down or to their next claim, and adds up what they cost.
func count(instances []*warmpool.WarmInstance) (ready, others int, committed int64) {
	for _, instance := range instances {
		isReady := meta.IsStatusConditionTrue(instance.Status.Conditions, warmpool.ConditionReady)
		switch {
		case instance.DeletionTimestamp != nil, instance.Status.Failure != nil:
			others++
		case instance.Spec.ClaimRef != nil && instance.Spec.ClaimRef.RecycleTime != nil:
			others++
		case isReady && instance.Spec.ClaimRef == nil:
			ready++
		case instance.Status.Rental != nil && instance.Spec.ClaimRef == nil:
			others++
		}
		if instance.Status.Rental != nil {
			committed += max(micros(string(instance.Status.Price.CurrentUSDPerHour)), micros(string(instance.Status.Price.QuotedUSDPerHour)))
		}
	}
	return ready, others, committed
}

// affords is true when the market has an offer that fits the pool and the account,
// on a machine of which nothing is rented yet: one that was outbid is offered again
// while its stopped rental is kept for a claim.
func (w *world) affords(pool *warmpool.WarmPool, committed int64) bool {
	account, rented := int64(0), map[int64]bool{}
	for _, record := range w.vast.Meter().Live("") {
		account += price(&record)
		rented[record.MachineID] = true
	}
	offers := slices.DeleteFunc(w.vast.OpenOffers(diskGB), func(o simulator.OpenOffer) bool { return rented[o.MachineID] })
	if len(offers) == 0 {
		return false
	}
	cheapest := offers[0].MicrosPerHour
	return committed+cheapest <= micros(string(pool.Spec.Cost.CeilingUSDPerHour)) && account+cheapest <= w.plan.AccountCeilingMicros
}

// removeAll deletes all claims and pools and then the account, as a person does.
func (w *world) removeAll() {
	for _, claim := range w.claims() {
		w.remove(&warmpool.WarmClaim{}, claim.Name)
	}
	for k := range w.plan.Pools {
		w.remove(&warmpool.WarmPool{}, w.plan.Pools[k].Name)
	}
	w.remove(&warmpool.VastAccount{}, accountName)
}

// isClean says what is left (I7): objects, passwords, and rentals that bill.
func (w *world) isClean() string {
	for _, kind := range []string{apidouble.KindWarmInstance, apidouble.KindWarmClaim, apidouble.KindWarmPool, apidouble.KindVastAccount} {
		page, err := w.api.List(kind, "", 0, "")
		if err != nil {
			return err.Error()
		}
		if len(page.Objects) > 0 {
			return fmt.Sprintf("%s %s is still there", kind, page.Objects[0].GetName())
		}
	}
	if name := w.orphanPassword(); name != "" {
		return "Secret " + name + " is still there"
	}
	for id, seen := range w.witness.rentals {
		if _, alive := w.vast.LifeOf(id); alive && seen.ours && !seen.taken && !w.witness.wasAbandoned(seen) {
			return fmt.Sprintf("rental %d still bills", id)
		}
	}
	return ""
}

// orphanPassword names a Secret that an instance or a claim made after the trouble
// and has left behind; empty when there is none. One from before may stay: when the
// API server fails between two calls, or a process sleeps between them, nobody
// remembers it but its owner reference, for Kubernetes' garbage collector. It bills
// nothing.
func (w *world) orphanPassword() string {
	page, err := w.api.List(apidouble.KindSecret, "", 0, "")
	if err != nil {
		return err.Error()
	}
	over := w.troubleOver()
	for _, object := range page.Objects {
		if secret, ok := object.(*corev1.Secret); ok && metav1.GetControllerOf(secret) != nil && secret.CreationTimestamp.After(over) {
			return secret.Name
		}
	}
	return ""
}

// troubleOver is when nothing goes wrong any more: a process that sleeps when the
// calm begins still has to wake up, and to see that it leads no longer.
func (w *world) troubleOver() time.Time {
	const seesIt = 10 * time.Second
	w.mu.Lock()
	defer w.mu.Unlock()
	if woken := w.lastWake.Add(seesIt); woken.After(w.calmSince) {
		return woken
	}
	return w.calmSince
}

// wakes notes when a process that is stopped will go on.
func (w *world) wakes(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at.After(w.lastWake) {
		w.lastWake = at
	}
}
