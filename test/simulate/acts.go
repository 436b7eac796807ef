package simulate

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/internal/testkit/apidouble"
)

// actKind is something that somebody does.
type actKind struct {
	name   string
	weight int
	do     func(w *world, dice *dice)
}

// actKinds lists everything that people, hosts and machines do.
func actKinds() []actKind {
	return slices.Concat(userActs(), claimActs(), accountActs(), providerActs(), machineActs())
}

// perform does what an act says.
func (w *world) perform(act *Act) {
	at := slices.IndexFunc(w.shared.acts, func(kind actKind) bool { return kind.name == act.Kind })
	if at >= 0 && w.inject(act.ID, "act: "+act.Kind) {
		w.note("", "ACT", "%s", act.ID)
		w.shared.acts[at].do(w, w.decide.fixed(act.ID))
	}
}

// userActs are edits of pools and instances.
func userActs() []actKind {
	return []actKind{
		{"scale", 3, func(w *world, dice *dice) {
			w.editPool(dice, func(pool *warmpool.WarmPool) { pool.Spec.Replicas = new(int32(dice.below(4))) }) //nolint:gosec // small
		}},
		{"pool ceiling", 2, func(w *world, dice *dice) {
			w.editPool(dice, func(pool *warmpool.WarmPool) {
				pool.Spec.Cost.CeilingUSDPerHour = warmpool.USD(fleet.USDMicros(100_000 + 50_000*dice.below(25)).String())
			})
		}},
		{"pool mode", 1, func(w *world, dice *dice) {
			w.editPool(dice, func(pool *warmpool.WarmPool) {
				pool.Spec.Mode = pick(dice, warmpool.PoolPaused, warmpool.PoolDrain, warmpool.PoolDryRun)
			})
			w.soon(dice, func() {
				w.editPool(w.decide.fixed(dice.id), func(pool *warmpool.WarmPool) { pool.Spec.Mode = warmpool.PoolActive })
			})
		}},
		{"scale down all", 1, func(w *world, dice *dice) {
			w.editPool(dice, func(pool *warmpool.WarmPool) {
				pool.Spec.Cost.OverCeilingPolicy = warmpool.OverCeilingScaleDownAll
				pool.Spec.Cost.CeilingUSDPerHour = warmpool.USD(fleet.USDMicros(100_000 + 50_000*dice.below(15)).String())
			})
		}},
		{"small budget", 1, func(w *world, dice *dice) {
			name := w.poolName(dice)
			action := pick(dice, warmpool.BudgetStopRenting, warmpool.BudgetDrainUnclaimed, warmpool.BudgetTerminateAll)
			edit(w, &warmpool.WarmPool{}, name, func(pool *warmpool.WarmPool) {
				pool.Spec.Cost.Budgets = []warmpool.Budget{{Name: "small", Period: warmpool.BudgetDay, LimitUSD: "0.01", Action: action}}
			})
			w.soon(dice, func() {
				edit(w, &warmpool.WarmPool{}, name, func(pool *warmpool.WarmPool) { pool.Spec.Cost.Budgets = nil })
			})
		}},
		{"delete pool", 1, func(w *world, dice *dice) {
			plan := &w.plan.Pools[dice.below(len(w.plan.Pools))]
			w.remove(&warmpool.WarmPool{}, plan.Name)
			w.soon(dice, func() { w.createPool(plan) })
		}},
		{"make pool", 1, func(w *world, dice *dice) { w.createPool(&w.plan.Pools[dice.below(len(w.plan.Pools))]) }},
		{"delete instance", 2, func(w *world, dice *dice) {
			if instance := w.anyInstance(dice, nil); instance != nil {
				w.remove(&warmpool.WarmInstance{}, instance.Name)
			}
		}},
		{"abandon", 1, func(w *world, dice *dice) {
			w.editInstance(dice, func(i *warmpool.WarmInstance) bool { return i.Status.Rental != nil }, func(i *warmpool.WarmInstance) {
				i.Annotations = map[string]string{warmpool.AnnotationAbandonRental: strconv.FormatInt(i.Status.Rental.ID, 10)}
			})
		}},
		{"delete password", 1, func(w *world, dice *dice) {
			if instance := w.anyInstance(dice, nil); instance != nil {
				w.remove(&corev1.Secret{}, instance.Name+"-auth")
			}
		}},
	}
}

// accountActs are edits of the account and of its Secret.
func accountActs() []actKind {
	return []actKind{
		{"account ceiling", 2, func(w *world, dice *dice) {
			w.editAccount(func(account *warmpool.VastAccount) {
				account.Spec.CeilingUSDPerHour = warmpool.USD(fleet.USDMicros(100_000 + 100_000*dice.below(25)).String())
			})
		}},
		{"account mode", 1, func(w *world, dice *dice) {
			w.editAccount(func(account *warmpool.VastAccount) {
				account.Spec.Mode = pick(dice, warmpool.AccountFrozen, warmpool.AccountEmergencyStop)
			})
			w.soon(dice, func() {
				w.editAccount(func(account *warmpool.VastAccount) { account.Spec.Mode = warmpool.AccountActive })
			})
		}},
		{"delete account", 1, func(w *world, dice *dice) {
			w.remove(&warmpool.VastAccount{}, accountName)
			w.soon(dice, w.helpAccountGo)
			w.soon(dice, w.createAccount)
		}},
		{"make account", 1, func(w *world, _ *dice) { w.createAccount() }},
		{"delete key", 1, func(w *world, dice *dice) {
			w.remove(&corev1.Secret{}, secretName)
			w.soon(dice, func() { w.setKey(w.secrets.homeKeys()[0]) })
		}},
		{"rotate key", 2, func(w *world, dice *dice) { w.setKey(w.secrets.homeKeys()[dice.below(len(w.secrets.homeKeys()))]) }},
		{"key of another account", 1, func(w *world, dice *dice) {
			if !w.plan.Pinned {
				return
			}
			w.setKey(w.secrets.foreignKey())
			w.soon(dice, func() { w.setKey(w.secrets.homeKeys()[1]) })
		}},
		{"wrong key", 1, func(w *world, dice *dice) {
			w.setKey(w.secrets.wrongKey())
			w.soon(dice, func() { w.setKey(w.secrets.homeKeys()[0]) })
		}},
		{"delete namespace", 1, func(w *world, dice *dice) { w.deleteNamespace(dice) }},
	}
}

// machineActs happen to the machines that the operator runs on.
func machineActs() []actKind {
	return []actKind{
		{"kill", 2, func(w *world, dice *dice) {
			if p := w.at(dice.below(slots)); p != nil {
				p.kill("kill -9")
			}
		}},
		{"stop", 2, func(w *world, dice *dice) {
			if p := w.at(dice.below(slots)); p != nil {
				p.pause(pick(dice, dice.between(5*time.Second, 100*time.Second), dice.between(time.Minute, 8*time.Minute)))
			}
		}},
		{"clock step", 1, func(w *world, dice *dice) {
			w.clocks[dice.below(slots)].stepSeconds.Store(int64(dice.below(600) - 300))
		}},
		{"cut from provider", 1, func(w *world, dice *dice) {
			w.cut(dice.below(slots), cutProvider, dice.between(5*time.Second, 90*time.Second))
		}},
		{"cut from API server", 1, func(w *world, dice *dice) {
			w.cut(dice.below(slots), cutAPI, dice.between(5*time.Second, 60*time.Second))
		}},
		{"cut from instances", 1, func(w *world, dice *dice) {
			w.cut(dice.below(slots), cutInstances, dice.between(5*time.Second, 90*time.Second))
		}},
	}
}

// soon does something half a minute or so later, as people put right what went wrong.
func (w *world) soon(dice *dice, do func()) {
	w.later(w.untilSlot(dice, dice.between(10*time.Second, 80*time.Second)), func() {
		if !w.decide.isCalm() {
			do()
		}
	})
}

// ctxOfUsers is the context of what people do.
func (w *world) ctxOfUsers() context.Context { return w.ctx }

// check reports an act that failed although acts cannot.
func (w *world) check(err error) {
	if client.IgnoreNotFound(client.IgnoreAlreadyExists(err)) != nil {
		w.note("user", "", "refused: %v", err)
	}
}

// edit changes one object as kubectl edit does.
func edit[T client.Object](w *world, object T, name string, change func(T)) {
	key := types.NamespacedName{Namespace: namespace, Name: name}
	if err := w.users.Get(w.ctxOfUsers(), key, object); err != nil {
		return
	}
	change(object)
	w.check(w.users.Update(w.ctxOfUsers(), object))
}

func (w *world) remove(object client.Object, name string) {
	object.SetNamespace(namespace)
	object.SetName(name)
	w.check(w.users.Delete(w.ctxOfUsers(), object))
}

// poolName draws the name of one of the plan's pools.
func (w *world) poolName(dice *dice) string { return w.plan.Pools[dice.below(len(w.plan.Pools))].Name }

func (w *world) editPool(dice *dice, change func(*warmpool.WarmPool)) {
	edit(w, &warmpool.WarmPool{}, w.poolName(dice), change)
}

func (w *world) editAccount(change func(*warmpool.VastAccount)) {
	edit(w, &warmpool.VastAccount{}, accountName, change)
}

func (w *world) editInstance(dice *dice, fits func(*warmpool.WarmInstance) bool, change func(*warmpool.WarmInstance)) {
	if instance := w.anyInstance(dice, fits); instance != nil {
		edit(w, &warmpool.WarmInstance{}, instance.Name, change)
	}
}

// instances reads the WarmInstances.
func (w *world) instances() []*warmpool.WarmInstance {
	page, err := w.api.List(apidouble.KindWarmInstance, "", 0, "")
	if err != nil {
		return nil
	}
	var instances []*warmpool.WarmInstance
	for _, object := range page.Objects {
		if instance, ok := object.(*warmpool.WarmInstance); ok {
			instances = append(instances, instance)
		}
	}
	return instances
}

// anyInstance draws an instance; nil when none fits.
func (w *world) anyInstance(dice *dice, fits func(*warmpool.WarmInstance) bool) *warmpool.WarmInstance {
	instances := slices.DeleteFunc(w.instances(), func(i *warmpool.WarmInstance) bool { return fits != nil && !fits(i) })
	if len(instances) == 0 {
		return nil
	}
	return instances[dice.below(len(instances))]
}

// setUp makes what every schedule starts with.
func (w *world) setUp() {
	w.setKey(w.secrets.homeKeys()[0])
	w.createAccount()
	for k := range w.plan.Pools {
		w.createPool(&w.plan.Pools[k])
	}
}

func (w *world) createAccount() {
	account := &warmpool.VastAccount{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: accountName},
		Spec: warmpool.VastAccountSpec{
			CeilingUSDPerHour: warmpool.USD(fleet.USDMicros(w.plan.AccountCeilingMicros).String()), PollPeriodSeconds: w.plan.PollSeconds,
		},
	}
	if w.plan.Pinned {
		account.Spec.ExpectedUserID = new(int64(homeUser))
	}
	if w.plan.LeakTerminate {
		account.Spec.LeakPolicy = warmpool.LeakPolicy{Action: warmpool.LeakTerminate, MinAgeSeconds: 120}
	}
	w.check(w.users.Create(w.ctxOfUsers(), account))
}

func (w *world) createPool(plan *PoolPlan) {
	w.check(w.users.Create(w.ctxOfUsers(), &warmpool.WarmPool{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: plan.Name},
		Spec: warmpool.WarmPoolSpec{
			Replicas: new(plan.Replicas),
			Cost:     warmpool.PoolCost{CeilingUSDPerHour: warmpool.USD(fleet.USDMicros(plan.CeilingMicros).String())},
			Template: warmpool.InstanceTemplate{DiskGB: diskGB},
			Lifecycle: warmpool.Lifecycle{
				ProvisioningDeadlineSeconds: 120, StartupDeadlineSeconds: 120,
			},
			Remediation: warmpool.Remediation{
				Backoff:                 warmpool.Backoff{InitialSeconds: 5, MaxSeconds: 40, ResetAfterSeconds: 60},
				MachineBlocklistSeconds: new(int32(60)),
			},
		},
	}))
}

const (
	diskGB = 32
	// homeUser is the simulator's user.
	homeUser = 7001
)

// setKey puts a key into the account's Secret, or makes the Secret.
func (w *world) setKey(key string) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: secretName}}
	if err := w.users.Get(w.ctxOfUsers(), client.ObjectKeyFromObject(secret), secret); err != nil {
		secret.Data = map[string][]byte{secretKey: []byte(key)}
		w.check(w.users.Create(w.ctxOfUsers(), secret))
		return
	}
	secret.Data = map[string][]byte{secretKey: []byte(key)}
	w.check(w.users.Update(w.ctxOfUsers(), secret))
}

// deleteNamespace deletes everything, in any order, and allows nothing new
// until it is all gone; people make everything again later.
func (w *world) deleteNamespace(dice *dice) {
	w.api.CloseNamespace(namespace)
	var doomed []client.Object
	for _, kind := range []string{apidouble.KindWarmPool, apidouble.KindWarmInstance, apidouble.KindWarmClaim, apidouble.KindVastAccount, apidouble.KindSecret} {
		if page, err := w.api.List(kind, namespace, 0, ""); err == nil {
			doomed = append(doomed, page.Objects...)
		}
	}
	for len(doomed) > 0 {
		k := dice.below(len(doomed))
		object, ok := doomed[k].DeepCopyObject().(client.Object)
		if ok {
			w.remove(object, object.GetName())
		}
		doomed = slices.Delete(doomed, k, k+1)
	}
	w.later(dice.between(5*time.Second, time.Minute), func() {
		w.api.OpenNamespace(namespace)
		if !w.decide.isCalm() {
			w.setUp()
		}
	})
}

// providerActs are faults of the market, of hosts and of the API of Vast.ai.
func providerActs() []actKind {
	acts := []actKind{
		{"foreign rental", 2, func(w *world, dice *dice) { w.rentAside(dice, "") }},
		{"twin's rental", 1, func(w *world, dice *dice) {
			w.rentAside(dice, fmt.Sprintf("wp1.another1.%08x-0000-4000-8000-000000000000.1", dice.below(1<<32)))
		}},
		{"rental from a lost backup", 1, func(w *world, dice *dice) {
			w.rentAside(dice, fmt.Sprintf("%s%08x-0000-4000-8000-000000000000.1", ourPrefix, dice.below(1<<32)))
		}},
		{"label copied", 1, func(w *world, dice *dice) {
			if record := w.anyRental(dice); record != nil {
				w.rentAside(dice, record.Label)
			}
		}},
		{"label changed", 1, func(w *world, dice *dice) {
			if record := w.anyRental(dice); record != nil {
				w.note("host", "", "rental %d is labelled anew", record.ID)
				w.witness.relabelled(record.ID)
				w.check(w.vast.Relabel(record.ID, pick(dice, "", "mine", record.Label+"1")))
			}
		}},
		{"comfyui fault", 2, func(w *world, dice *dice) {
			if record := w.anyRental(dice); record != nil {
				w.check(w.vast.SetBackendFault(record.ID, simulator.BackendFault{Name: pick(dice, comfyFaults()...)}))
			}
		}},
		{"credit", 1, func(w *world, dice *dice) {
			w.fault(simulator.FaultSpec{Name: simulator.FaultCredit, Params: map[string]string{"usd": pick(dice, "0", "3")}})
			w.soon(dice, func() {
				w.fault(simulator.FaultSpec{Name: simulator.FaultCredit, Params: map[string]string{"usd": "100"}})
			})
		}},
	}
	for _, fault := range vastFaults() {
		acts = append(acts, actKind{"vast " + fault.name, 1, func(w *world, dice *dice) { w.fault(fault.spec(w, dice)) }})
	}
	return acts
}

// fault sets a fault of the simulator.
func (w *world) fault(spec simulator.FaultSpec) {
	fault, err := w.vast.AddFault(spec)
	w.note("vast", "", "fault %s %v: %s", fault.Name, fault.Params, outcome(err))
}

// anyRental draws one of our rentals that live; nil when there is none.
func (w *world) anyRental(dice *dice) *simulator.RentalRecord {
	live := w.vast.Meter().Live(ourPrefix)
	if len(live) == 0 {
		return nil
	}
	return &live[dice.below(len(live))]
}

// rentAside is somebody else who rents in the account.
func (w *world) rentAside(dice *dice, label string) {
	offers := w.vast.OpenOffers(diskGB)
	if len(offers) == 0 {
		return
	}
	id, err := w.vast.RentAside(offers[dice.below(len(offers))].ID, label)
	w.note("vast", "", "somebody rents %d with label %q: %s", id, label, outcome(err))
	if d := dice.between(10*time.Second, 5*time.Minute); err == nil && dice.chance(600_000) {
		w.later(d, func() {
			w.fault(simulator.FaultSpec{Name: simulator.FaultVanished, Match: simulator.Match{Rental: id}})
		})
	}
}
