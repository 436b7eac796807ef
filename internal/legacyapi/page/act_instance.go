package page

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
)

func planTerminate(s *snapshot, form *form) (*plan, *refusal) {
	instance := s.instance(form.name)
	if instance == nil {
		return nil, &refusal{http.StatusNotFound, "There is no such instance", "It may be gone already: an instance goes when its rental is confirmed gone."}
	}
	if !instance.DeletionTimestamp.IsZero() {
		return nil, &refusal{http.StatusConflict, "It is being ended already", "The instance goes when its rental is confirmed gone; until then its full price counts."}
	}
	costs := costsOf(s)
	price, _ := priceOf(instance)
	if !price.known {
		price = known(0)
	}
	left := costs.committed.minus(price)
	view := confirmation{
		Act: "terminate", Title: "End " + instance.Name, Button: "End this instance", Danger: true,
		Lines:  []string{"The rental is destroyed, with everything on its disk. Its full price counts until Vast.ai confirms that it is gone."},
		Costs:  []costLine{costs.now(), {"Saved", rateOf(price)}},
		Fields: []field{{fieldSeen, string(instance.UID)}, {fieldName, instance.Name}},
	}
	if claim := instance.Spec.ClaimRef; claim != nil {
		view.Warning = "It is in use: the claim " + claim.Name + " loses it at once, and the work on it is lost."
	}
	if isReplaced(s, instance) {
		view.Lines = append(view.Lines, fmt.Sprintf(
			"The pool keeps %s ready, so another one is rented in its place. Lower the size instead if you want fewer.",
			plural(replicasOf(s.pool), "instance")))
		view.Costs = append(view.Costs, costLine{"At most after, with another in its place", rateOf(costs.most(left, 1))})
	} else {
		view.Costs = append(view.Costs, costLine{"Committed after", rateOf(left)})
	}
	details := audit.Details{"instance": audit.Text(instance.Name), "usdPerHour": audit.Text(price.value.String())}
	if rental := instance.Status.Rental; rental != nil {
		details["contractId"] = audit.Number(rental.ID)
	}
	return &plan{
		action: "terminate", confirm: view, details: details,
		done: instance.Name + " is being ended. It stays in the list until its rental is confirmed gone.",
		do:   deleteObject(&v1alpha1.WarmInstance{ObjectMeta: bareMeta(instance)}),
	}, nil
}

// isReplaced is true when the pool will rent another instance for one that ends.
func isReplaced(s *snapshot, ending *v1alpha1.WarmInstance) bool {
	if mode := s.pool.Spec.Mode; mode != v1alpha1.PoolActive && mode != "" || ending.Spec.ClaimRef != nil {
		return false
	}
	left := 0
	for i := range s.instances {
		instance := &s.instances[i]
		if instance.UID != ending.UID && instance.Spec.ClaimRef == nil && instance.DeletionTimestamp.IsZero() {
			left++
		}
	}
	return left < replicasOf(s.pool)
}

const (
	// defaultClaimTTL is the API's default, for a pool that says nothing.
	defaultClaimTTL = 30 * time.Minute
	maxHolder       = 256
)

// claimTTL is how long a claim will hold its instance, with what the pool allows.
func claimTTL(pool *v1alpha1.WarmPool, minutes int) time.Duration {
	policy := &pool.Spec.ClaimPolicy
	ttl := time.Duration(minutes) * time.Minute
	if minutes == 0 {
		ttl = defaultClaimTTL
		if policy.DefaultTTLSeconds > 0 {
			ttl = time.Duration(policy.DefaultTTLSeconds) * time.Second
		}
	}
	if policy.MaxTTLSeconds > 0 {
		ttl = min(ttl, time.Duration(policy.MaxTTLSeconds)*time.Second)
	}
	return ttl
}

// maxMinutes bounds what a person may ask for: the API's largest time.
const maxMinutes = 2592000 / 60

func planClaim(s *snapshot, form *form) (*plan, *refusal) {
	if form.minutes < 0 || form.minutes > maxMinutes {
		return nil, &refusal{
			http.StatusUnprocessableEntity, "This is not a time",
			fmt.Sprintf("Minutes are a whole number from 1 to %d, or nothing for the pool's default. Nothing was claimed.", maxMinutes),
		}
	}
	if len(form.holder) > maxHolder {
		return nil, &refusal{http.StatusUnprocessableEntity, "The name of the holder is too long", fmt.Sprintf("It has at most %d bytes.", maxHolder)}
	}
	costs, ttl := costsOf(s), claimTTL(s.pool, form.minutes)
	held := costs.typical
	if len(costs.free) > 0 {
		held = costs.free[0]
	}
	view := confirmation{
		Act: "claim", Title: "Claim an instance for " + age(ttl), Button: "Claim an instance",
		Lines: []string{
			"The claim gets one ready instance for itself, for " + age(ttl) + " from then on. When none is ready it waits.",
			claimReleaseText(s.pool),
		},
		Costs:   []costLine{costs.now(), {"The held instance, about", rateOf(held)}},
		Warning: stoppedText(s.pool),
		Fields:  []field{{fieldSeen, poolState(s.pool)}, {fieldMinutes, strconv.Itoa(form.minutes)}, {fieldHolder, form.holder}},
	}
	if form.minutes == 0 {
		view.Fields[1].Value = ""
	}
	if view.Warning == "" {
		view.Lines = append(view.Lines, fmt.Sprintf(
			"The pool keeps %s ready besides, so another one may be rented in its place.", plural(replicasOf(s.pool), "instance")))
		view.Costs = append(view.Costs, costLine{"At most after, with another in its place", rateOf(costs.most(costs.committed, 1))})
	} else {
		view.Costs = append(view.Costs, costLine{"Committed after", rateOf(costs.committed)})
	}
	claim := &v1alpha1.WarmClaim{
		ObjectMeta: metav1.ObjectMeta{GenerateName: claimPrefix(s.pool.Name), Namespace: s.pool.Namespace},
		Spec: v1alpha1.WarmClaimSpec{
			PoolRef: v1alpha1.LocalReference{Name: s.pool.Name}, Holder: form.holder,
		},
	}
	if form.minutes > 0 {
		claim.Spec.TTLSeconds = new(int32(ttl / time.Second)) //nolint:gosec // at most maxMinutes
	}
	return &plan{
		action: "claim", spends: true, confirm: view,
		details: audit.Details{"minutes": audit.Number(int64(ttl / time.Minute)), "holder": audit.Text(form.holder)},
		done:    "An instance is claimed. It shows under Claims as soon as one is bound.",
		do: func(ctx context.Context, cluster Cluster) error {
			return cluster.Create(ctx, claim, client.FieldOwner(fieldOwner))
		},
	}, nil
}

// claimPrefix begins the names of claims: short enough that the API server's
// five random characters fit into 63.
func claimPrefix(pool string) string { return pool + "-claim-" }

func claimReleaseText(pool *v1alpha1.WarmPool) string {
	if pool.Spec.ClaimPolicy.OnRelease == v1alpha1.ReleaseRecycle {
		return "Afterwards the instance is cleaned and goes back to the pool."
	}
	return "Afterwards the instance is ended."
}

func planRelease(s *snapshot, form *form) (*plan, *refusal) {
	claim := s.claim(form.name)
	if claim == nil {
		return nil, &refusal{http.StatusNotFound, "There is no such claim", "It may be released already."}
	}
	costs, price := costsOf(s), known(0)
	view := confirmation{
		Act: "release", Title: "Release " + claim.Name, Button: "Release", Danger: true,
		Costs:  []costLine{costs.now()},
		Fields: []field{{fieldSeen, string(claim.UID)}, {fieldName, claim.Name}},
	}
	recycles := releasePolicy(s.pool, claim) == v1alpha1.ReleaseRecycle
	if held := heldBy(s, claim); held != nil {
		if now, _ := priceOf(held); now.known {
			price = now
		}
		view.Warning = "Whoever uses " + held.Name + " loses it at once."
	} else {
		view.Lines = append(view.Lines, "The claim holds no instance. It only goes away.")
	}
	switch {
	case view.Warning == "":
		view.Costs = append(view.Costs, costLine{"Committed after", rateOf(costs.committed)})
	case recycles:
		view.Lines = append(view.Lines, "The instance is cleaned and goes back to the pool. It costs as much as before.")
		view.Costs = append(view.Costs, costLine{"Committed after", rateOf(costs.committed)})
	default:
		view.Lines = append(view.Lines, "The instance is ended, with everything on its disk.")
		view.Costs = append(view.Costs, costLine{"Saved", rateOf(price)}, costLine{"Committed after", rateOf(costs.committed.minus(price))})
	}
	return &plan{
		action: "release", confirm: view, done: claim.Name + " is being released.",
		details: audit.Details{"claim": audit.Text(claim.Name), "usdPerHour": audit.Text(price.value.String())},
		do:      deleteObject(&v1alpha1.WarmClaim{ObjectMeta: bareMeta(claim)}),
	}, nil
}

// releasePolicy is what becomes of the claim's instance.
func releasePolicy(pool *v1alpha1.WarmPool, claim *v1alpha1.WarmClaim) v1alpha1.ReleasePolicy {
	if claim.Spec.OnRelease != "" {
		return claim.Spec.OnRelease
	}
	return pool.Spec.ClaimPolicy.OnRelease
}

// heldBy is the instance that a claim holds now, or nil.
func heldBy(s *snapshot, claim *v1alpha1.WarmClaim) *v1alpha1.WarmInstance {
	for i := range s.instances {
		if holder := s.instances[i].Spec.ClaimRef; holder != nil && holder.UID == claim.UID && holder.RecycleTime == nil {
			return &s.instances[i]
		}
	}
	return nil
}

// bareMeta names an object, and the one of that name that was seen.
func bareMeta(object client.Object) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: object.GetNamespace(), Name: object.GetName(), UID: object.GetUID()}
}

// deleteObject deletes the object that was seen and no later one of the same name.
func deleteObject(object client.Object) func(context.Context, Cluster) error {
	return func(ctx context.Context, cluster Cluster) error {
		return cluster.Delete(ctx, object, client.Preconditions{UID: new(object.GetUID())})
	}
}
