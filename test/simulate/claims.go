package simulate

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/testkit/apidouble"
)

// claimActs are what people do with claims.
func claimActs() []actKind {
	return []actKind{
		{"claim", 4, func(w *world, dice *dice) { w.claimOne(dice) }},
		{"several claims", 2, func(w *world, dice *dice) {
			for range 2 + dice.below(3) {
				w.claimOne(dice)
			}
		}},
		{"extend claim", 2, func(w *world, dice *dice) {
			w.editClaim(dice, func(claim *warmpool.WarmClaim) {
				claim.Spec.TTLSeconds = new(*claim.Spec.TTLSeconds + int32(30+dice.below(300))) //nolint:gosec // small
			})
		}},
		{"shorten claim", 2, func(w *world, dice *dice) {
			w.editClaim(dice, func(claim *warmpool.WarmClaim) { claim.Spec.TTLSeconds = new(int32(1 + dice.below(40))) }) //nolint:gosec // small
		}},
		{"release claim", 3, func(w *world, dice *dice) {
			if claim := w.anyClaim(dice, nil); claim != nil {
				w.remove(&warmpool.WarmClaim{}, claim.Name)
			}
		}},
		{"claim removed by force", 1, func(w *world, dice *dice) {
			if claim := w.anyClaim(dice, nil); claim != nil {
				w.remove(&warmpool.WarmClaim{}, claim.Name)
				edit(w, &warmpool.WarmClaim{}, claim.Name, func(claim *warmpool.WarmClaim) { claim.Finalizers = nil })
			}
		}},
		{"claim policy", 1, func(w *world, dice *dice) {
			w.editPool(dice, func(pool *warmpool.WarmPool) {
				pool.Spec.ClaimPolicy = warmpool.ClaimPolicy{
					DefaultTTLSeconds: 30, MaxTTLSeconds: pick(dice, int32(30), 90, 28800), OnRelease: pick(dice, warmpool.ReleaseTerminate, warmpool.ReleaseRecycle),
					RecycleDeadlineSeconds: pick(dice, int32(30), 120), MaxPending: new(pick(dice, int32(0), 1, 100)),
				}
			})
		}},
	}
}

// claimOne makes a claim as people do: some wait long, some do not; some keep
// the instance for long.
func (w *world) claimOne(dice *dice) {
	w.createClaim(&warmpool.WarmClaim{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("claim-%08x", dice.below(1<<32))},
		Spec: warmpool.WarmClaimSpec{
			PoolRef:            warmpool.LocalReference{Name: w.poolName(dice)},
			TTLSeconds:         new(pick(dice, int32(5), 20, 45, 120, 600)),
			BindTimeoutSeconds: pick(dice, int32(5), 30, 90, 600),
			OnRelease:          pick(dice, "", warmpool.ReleaseTerminate, warmpool.ReleaseRecycle),
		},
	})
}

func (w *world) createClaim(claim *warmpool.WarmClaim) {
	claim.Namespace = namespace
	w.check(w.users.Create(w.ctxOfUsers(), claim))
}

// editClaim changes a claim that goes on.
func (w *world) editClaim(dice *dice, change func(*warmpool.WarmClaim)) {
	if claim := w.anyClaim(dice, isOpen); claim != nil {
		edit(w, &warmpool.WarmClaim{}, claim.Name, change)
	}
}

// anyClaim draws a claim; nil when none fits.
func (w *world) anyClaim(dice *dice, fits func(*warmpool.WarmClaim) bool) *warmpool.WarmClaim {
	claims := slices.DeleteFunc(w.claims(), func(claim *warmpool.WarmClaim) bool { return fits != nil && !fits(claim) })
	if len(claims) == 0 {
		return nil
	}
	return claims[dice.below(len(claims))]
}

// claims reads the WarmClaims.
func (w *world) claims() []*warmpool.WarmClaim {
	page, err := w.api.List(apidouble.KindWarmClaim, "", 0, "")
	if err != nil {
		return nil
	}
	var claims []*warmpool.WarmClaim
	for _, object := range page.Objects {
		if claim, ok := object.(*warmpool.WarmClaim); ok {
			claims = append(claims, claim)
		}
	}
	return claims
}

// isOpen is true for a claim that waits for an instance or holds one.
func isOpen(claim *warmpool.WarmClaim) bool {
	return claim != nil && claim.Status.FinishedTime == nil && claim.DeletionTimestamp == nil
}

// claimOnceMore makes a claim for each pool that waits and holds for longer than
// the calm lasts: it is served, or nothing on the market fits.
func (w *world) claimOnceMore() {
	const forLong = 4 * time.Hour
	for k := range w.plan.Pools {
		w.createClaim(&warmpool.WarmClaim{
			ObjectMeta: metav1.ObjectMeta{Name: "last-of-" + w.plan.Pools[k].Name},
			Spec: warmpool.WarmClaimSpec{
				PoolRef:    warmpool.LocalReference{Name: w.plan.Pools[k].Name},
				TTLSeconds: new(int32(forLong.Seconds())), BindTimeoutSeconds: int32(forLong.Seconds()),
			},
		})
	}
}

// waitingIn counts the claims of a pool that go on and hold nothing.
func waitingIn(pool string, claims []*warmpool.WarmClaim, instances []*warmpool.WarmInstance) int {
	waiting := 0
	for _, claim := range claims {
		if claim.Spec.PoolRef.Name == pool && isOpen(claim) && heldBy(claim.UID, instances) == nil {
			waiting++
		}
	}
	return waiting
}

// heldBy is the instance that a claim holds; nil when there is none.
func heldBy(claim types.UID, instances []*warmpool.WarmInstance) *warmpool.WarmInstance {
	for _, instance := range instances {
		if holder := instance.Spec.ClaimRef; holder != nil && holder.UID == claim && holder.RecycleTime == nil && instance.DeletionTimestamp == nil {
			return instance
		}
	}
	return nil
}
