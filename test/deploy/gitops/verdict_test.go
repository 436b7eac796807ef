package gitops

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
	"github.com/warmpool-dev/warmpool/test/deploy/internal/render"
)

// reasons are those that an account or an admission gives a pool.
var reasons = []string{
	planner.PoolReasonAccountNotFound, planner.PoolReasonSecretNotFound, planner.PoolReasonInvalidUserKey, planner.PoolReasonPermissionMissing,
	planner.ReasonAccountIdentityChanged, planner.ReasonAccountFrozen, planner.ReasonEmergencyStop, planner.ReasonAPIDeprecated, planner.ReasonBalanceLow,
	planner.ReasonDuplicateInstallation, planner.ReasonSharedUser, planner.ReasonAwaitingFirstSweep, planner.ReasonProviderUntrusted, planner.ReasonBalanceUnknown,
	planner.ReasonCostCeilingReached, planner.ReasonAccountCeilingReached, planner.ReasonNoMatchingOffers, planner.ReasonAllAboveCap,
	planner.ReasonAllBlocked, planner.ReasonMaxReplicasReached, planner.ReasonUnrecordedRental,
}

// TestPoolsAgreeWhateverHappens computes the verdict on a pool in every mode, with
// every reason of an account or an admission, ready or not, deleting or not, and
// wants Argo CD and kstatus to mean the same of what it says.
func TestPoolsAgreeWhateverHappens(t *testing.T) {
	seen := map[string]int{}
	for _, mode := range []planner.PoolMode{planner.ModeActive, planner.ModePaused, planner.ModeDryRun, planner.ModeDrain} {
		for _, minimum := range []int{0, 2} {
			for _, deleting := range []bool{false, true} {
				for _, reason := range append([]string{""}, reasons...) {
					for _, ofAccount := range []bool{false, true} {
						in := verdictInput(mode, minimum, reason, ofAccount)
						in.Pool.Deleting = deleting
						name := fmt.Sprintf("%s, minimum %d, deleting %t, %q of the account %t", mode, minimum, deleting, reason, ofAccount)
						said, err := render.Agree(asPool(&in))
						if err != nil {
							t.Errorf("%s: %v", name, err)
						}
						seen[said.Health.Status]++
					}
				}
			}
		}
	}
	for _, status := range []string{"Degraded", "Healthy", "Progressing", "Suspended"} {
		if seen[status] == 0 {
			t.Errorf("no pool is %s: %v", status, seen)
		}
	}
	t.Logf("%v", seen)
}

func verdictInput(mode planner.PoolMode, minimum int, reason string, ofAccount bool) planner.PoolVerdictInput {
	in := planner.PoolVerdictInput{
		Pool:    planner.SizePool{Replicas: 2, MinReadyReplicas: minimum, Mode: mode, CeilingUSDPerHour: 2_000_000, EmergencyStop: reason == planner.ReasonEmergencyStop},
		Account: planner.VerdictAccount{Found: reason != planner.PoolReasonAccountNotFound, Name: "default", Status: "True", Reason: "Ready", Message: "Instances can be rented."},
		Trusted: true, Now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC),
	}
	waiting := planner.VerdictInstance{SizeInstance: planner.SizeInstance{Instance: planner.Instance{Name: "sdxl-1", UID: "1"}}}
	if ofAccount && reason != "" {
		in.Account.Status, in.Account.Reason, in.Account.Message = "False", reason, "In words."
	} else if reason != "" {
		waiting.Admission = &planner.Admission{Decision: planner.DecisionDeferred, Reason: reason, Message: "In words.", NeededUSDPerHour: fleet.USDMicros(500_000)}
	}
	in.Instances = []planner.VerdictInstance{waiting}
	return in
}

// asPool is a pool whose status says the verdict.
func asPool(in *planner.PoolVerdictInput) *unstructured.Unstructured {
	var conditions []any
	for _, one := range planner.ComputePoolVerdict(in).Conditions {
		conditions = append(conditions, map[string]any{"type": one.Type, "status": one.Status, "reason": one.Reason, "message": one.Message})
	}
	metadata := map[string]any{"name": "sdxl", "namespace": "default", "generation": int64(1)}
	if in.Pool.Deleting {
		metadata["deletionTimestamp"] = "2026-05-01T00:00:00Z"
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "warmpool.dev/v1alpha1", "kind": "WarmPool", "metadata": metadata,
		"spec":   map[string]any{"mode": string(in.Pool.Mode)},
		"status": map[string]any{"observedGeneration": int64(1), "conditions": conditions},
	}}
}
