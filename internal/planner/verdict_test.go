package planner

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// judged is a pool of three, two at least, under $1.50, on an account that works.
func judged(instances ...SizeInstance) PoolVerdictInput {
	in := PoolVerdictInput{
		Pool:    SizePool{Replicas: 3, MinReadyReplicas: 2, Mode: ModeActive, CeilingUSDPerHour: usd(150)},
		Account: VerdictAccount{Found: true, Name: "default", Status: statusTrue, Reason: "Ready"},
		Now:     moment(1000),
	}
	for k := range instances {
		in.Instances = append(in.Instances, VerdictInstance{SizeInstance: instances[k], HealthReason: HealthStarting, HealthMessage: "Not there yet."})
	}
	return in
}

// ask is a waiting instance that was told why it waits.
func ask(uid, reason string, needed int64) VerdictInstance {
	return VerdictInstance{SizeInstance: sized(uid, StatePending, 0), Admission: &Admission{
		UID: uid, Decision: DecisionDeferred, Reason: reason, Message: "It is so. Do something.",
		NeededUSDPerHour: usd(needed), CheapestUSDPerHour: usd(needed), OffersSeen: 40,
	}}
}

// shown prints the statuses and reasons of the conditions.
func shown(v *PoolVerdict) []string {
	var lines []string
	for _, c := range v.Conditions {
		lines = append(lines, fmt.Sprintf("%s=%s/%s", c.Type, c.Status, c.Reason))
	}
	return lines
}

// conditions fills in what is well in the expectation of a test.
func conditions(ready, full, reconciling, stalled string, others ...string) []string {
	want := []string{
		"Ready=" + ready, "FullyProvisioned=" + full, "WithinCeiling=True/WithinCeiling", "WithinBudget=True/NoBudget", "AccountReady=True/AccountReady",
		"OffersAvailable=Unknown/NotSearched", "HealthBudgetOK=True/WithinHealthBudget", "Reconciling=" + reconciling, "Stalled=" + stalled,
	}
	for _, other := range others {
		name, _, _ := strings.Cut(other, "=")
		at := slices.IndexFunc(want, func(line string) bool { return strings.HasPrefix(line, name+"=") })
		want[at] = other
	}
	return want
}

func TestComputePoolVerdict(t *testing.T) {
	t.Parallel()
	at := func(price int64, instances ...SizeInstance) []SizeInstance {
		for k := range instances {
			instances[k] = priced(instances[k], usd(price))
		}
		return instances
	}
	waiting := func(in PoolVerdictInput, more ...VerdictInstance) PoolVerdictInput {
		in.Instances = append(in.Instances, more...)
		return in
	}
	change := func(in PoolVerdictInput, f func(*PoolVerdictInput)) PoolVerdictInput { f(&in); return in }
	const still, done = "False/NotStalled", "False/AsDesired"
	offers, offersFound := "OffersAvailable=False/", "OffersAvailable=True/OffersFound"
	tests := map[string]struct {
		in   PoolVerdictInput
		want []string
	}{
		"three ready": {judged(at(44, several(StateReady, 3)...)...), conditions("True/AsDesired", "True/AsDesired", done, still)},
		"nothing wanted, nothing there": {
			change(judged(), func(in *PoolVerdictInput) { in.Pool.Replicas, in.Pool.MinReadyReplicas = 0, 0 }),
			conditions("True/AsDesired", "True/AsDesired", done, still),
		},
		"just made":         {judged(), conditions("False/Provisioning", "False/Provisioning", "True/Provisioning", still)},
		"objects made":      {judged(several(StatePending, 3)...), conditions("False/Provisioning", "False/Provisioning", "True/Provisioning", still)},
		"on their way":      {judged(several(StateProvisioning, 3)...), conditions("False/Provisioning", "False/Provisioning", "True/Provisioning", still)},
		"the third follows": {judged(slices.Concat(several(StateReady, 2), several(StateProvisioning, 1))...), conditions("True/MinimumSatisfied", "False/Provisioning", "True/Provisioning", still)},
		"offers at 0.60: two of three": {
			waiting(judged(at(60, several(StateReady, 2)...)...), ask("w", ReasonCostCeilingReached, 60)),
			conditions("True/MinimumSatisfied", "False/CostCeilingReached", "False/MinimumSatisfied", still, offersFound),
		},
		"offers at 0.80: one of three": {
			waiting(judged(at(80, several(StateReady, 1)...)...), ask("w", ReasonCostCeilingReached, 80)),
			conditions("False/CostCeilingReached", "False/CostCeilingReached", "False/CostCeilingReached", "True/CostCeilingReached", offersFound),
		},
		"one claimed, no room for another": {
			waiting(judged(at(60, slices.Concat(several(StateReady, 1), several(StateClaimed, 1))...)...), ask("w", ReasonCostCeilingReached, 60)),
			conditions("False/CostCeilingReached", "False/CostCeilingReached", "False/CostCeilingReached", "True/CostCeilingReached", offersFound),
		},
		"no room, but one is ending": {
			waiting(judged(at(60, slices.Concat(several(StateReady, 1), several(StateTerminating, 1))...)...), ask("w", ReasonCostCeilingReached, 60)),
			conditions("False/CostCeilingReached", "False/CostCeilingReached", "True/Terminating", still, offersFound),
		},
		"no room for all, but one is coming": {
			waiting(judged(at(60, slices.Concat(several(StateReady, 1), several(StateProvisioning, 1))...)...), ask("w", ReasonCostCeilingReached, 60)),
			conditions("False/Provisioning", "False/CostCeilingReached", "True/Provisioning", still, offersFound),
		},
		"a rent that timed out": {
			judged(at(60, slices.Concat(several(StateReady, 1), several(StateUnknown, 1))...)...),
			conditions("False/RentOutcomeUnknown", "False/RentOutcomeUnknown", "True/RentOutcomeUnknown", still),
		},
		"the host raised a price": {
			judged(priced(sized("a", StateReady, 0), usd(60)), raisedTo(sized("b", StateReady, 0), usd(60), usd(100)), priced(sized("c", StateClaimed, 0), usd(10))),
			conditions("True/MinimumSatisfied", "False/Provisioning", "True/Provisioning", still, "WithinCeiling=False/PriceRaisedByHost"),
		},
		"the ceiling was lowered": {
			judged(at(80, several(StateClaimed, 2)...)...),
			conditions("False/Provisioning", "False/Provisioning", "True/Provisioning", still, "WithinCeiling=False/CeilingLowered"),
		},
		"an unknown rent goes over": {
			judged(at(80, slices.Concat(several(StateReady, 1), several(StateUnknown, 1))...)...),
			conditions("False/RentOutcomeUnknown", "False/RentOutcomeUnknown", "True/RentOutcomeUnknown", still, "WithinCeiling=False/UnknownRentReserved"),
		},
		"the account's ceiling": {
			waiting(judged(), ask("w", ReasonAccountCeilingReached, 60)),
			conditions("False/AccountCeilingReached", "False/AccountCeilingReached", "False/AccountCeilingReached", "True/AccountCeilingReached", offersFound),
		},
		"no offers": {
			waiting(judged(), ask("w", ReasonNoMatchingOffers, 0)),
			conditions("False/NoMatchingOffers", "False/NoMatchingOffers", "False/NoMatchingOffers", "True/NoMatchingOffers", offers+"NoMatchingOffers"),
		},
		"only blocked machines": {
			waiting(judged(), ask("w", ReasonAllBlocked, 0)),
			conditions("False/AllBlocked", "False/AllBlocked", "True/AllBlocked", still, offers+"AllBlocked"),
		},
		"a Secret is missing": {
			waiting(judged(), ask("w", PoolReasonEnvSecretMissing, 0)),
			conditions("False/EnvSecretMissing", "False/EnvSecretMissing", "False/EnvSecretMissing", "True/EnvSecretMissing"),
		},
		"the balance is low": {
			waiting(judged(), ask("w", ReasonBalanceLow, 41)),
			conditions("False/BalanceLow", "False/BalanceLow", "False/BalanceLow", "True/BalanceLow", offersFound),
		},
		"a reason unknown here waits": {
			waiting(judged(), ask("w", "SomethingNew", 0)),
			conditions("False/SomethingNew", "False/SomethingNew", "True/SomethingNew", still),
		},
		"admitted a moment ago": {
			waiting(judged(), VerdictInstance{SizeInstance: sized("w", StatePending, 0), Admission: &Admission{Decision: DecisionAdmitted, Reason: ReasonAdmitted, CheapestUSDPerHour: usd(40)}}),
			conditions("False/Provisioning", "False/Provisioning", "True/Provisioning", still, offersFound),
		},
		"no account": {
			change(judged(), func(in *PoolVerdictInput) { in.Account.Found = false }),
			conditions("False/AccountNotFound", "False/AccountNotFound", "False/AccountNotFound", "True/AccountNotFound", "AccountReady=False/AccountNotFound"),
		},
		"an account that says nothing": {
			change(judged(), func(in *PoolVerdictInput) { in.Account.Status, in.Account.Reason = "", "" }),
			conditions("False/AccountNotReady", "False/AccountNotReady", "True/AccountNotReady", still, "AccountReady=Unknown/AccountNotReady"),
		},
		"a wrong key": {
			change(judged(several(StateTerminating, 1)...), func(in *PoolVerdictInput) {
				in.Account.Status, in.Account.Reason, in.Account.Message = statusFalse, ReasonCredentialsInvalid, "The key was refused."
			}),
			conditions("False/CredentialsInvalid", "False/CredentialsInvalid", "False/CredentialsInvalid", "True/CredentialsInvalid", "AccountReady=False/CredentialsInvalid"),
		},
		"an untrusted list": {
			change(judged(), func(in *PoolVerdictInput) {
				in.Account.Status, in.Account.Reason = statusFalse, ReasonProviderUntrusted
			}),
			conditions("False/ProviderUntrusted", "False/ProviderUntrusted", "True/ProviderUntrusted", still, "AccountReady=False/ProviderUntrusted"),
		},
		"all ready, the account gone": {
			change(judged(at(44, several(StateReady, 3)...)...), func(in *PoolVerdictInput) { in.Account.Found = false }),
			conditions("True/AsDesired", "True/AsDesired", done, still, "AccountReady=False/AccountNotFound"),
		},
		"paused": {
			change(judged(several(StateReady, 1)...), func(in *PoolVerdictInput) { in.Pool.Mode = ModePaused }),
			conditions("False/Paused", "False/Paused", "False/Paused", "True/Paused"),
		},
		"draining": {
			change(judged(several(StateTerminating, 1)...), func(in *PoolVerdictInput) { in.Pool.Mode = ModeDrain }),
			conditions("False/Draining", "False/Draining", "True/Terminating", still),
		},
		"drained": {
			change(judged(several(StateClaimed, 1)...), func(in *PoolVerdictInput) { in.Pool.Mode = ModeDrain }),
			conditions("False/Draining", "False/Draining", "False/Draining", "True/Draining"),
		},
		"a dry run": {
			change(waiting(judged(), ask("w", ReasonDryRun, 41)), func(in *PoolVerdictInput) { in.Pool.Mode = ModeDryRun }),
			conditions("False/DryRun", "False/DryRun", "False/DryRun", "True/DryRun", offersFound),
		},
		"deleting": {
			change(judged(several(StateReady, 3)...), func(in *PoolVerdictInput) { in.Pool.Deleting = true }),
			conditions("False/Deleting", "False/Deleting", "True/Deleting", still),
		},
		"an emergency stop": {
			change(judged(several(StateTerminating, 3)...), func(in *PoolVerdictInput) { in.Pool.EmergencyStop = true }),
			conditions("False/EmergencyStop", "False/EmergencyStop", "True/Terminating", still),
		},
		"after an emergency stop": {
			change(judged(), func(in *PoolVerdictInput) { in.Pool.EmergencyStop = true }),
			conditions("False/EmergencyStop", "False/EmergencyStop", "False/EmergencyStop", "True/EmergencyStop"),
		},
		"backing off": {
			change(judged(several(StatePending, 1)...), func(in *PoolVerdictInput) {
				in.Backoff = BackoffState{Consecutive: 1, Waiting: true, NextAttemptAt: moment(1030), Message: "1 instance failed."}
			}),
			conditions("False/BackingOff", "False/BackingOff", "True/BackingOff", still),
		},
		"the template fails": {
			change(judged(several(StatePending, 1)...), func(in *PoolVerdictInput) {
				in.Backoff = BackoffState{Consecutive: 2, TemplateFailing: true, Message: "ModelMissing on machines 7, 12."}
			}),
			conditions("False/TemplateFailing", "False/TemplateFailing", "False/TemplateFailing", "True/TemplateFailing"),
		},
		"too many fail": {
			change(judged(several(StateUnhealthy, 3)...), func(in *PoolVerdictInput) {
				in.Budget = BudgetVerdict{Suspended: true, Message: "3 of 3 fail."}
			}),
			conditions("False/HealthSuspended", "False/HealthSuspended", "False/HealthSuspended", "True/HealthSuspended", "HealthBudgetOK=False/RemediationSuspended"),
		},
		"one is not well": {
			judged(slices.Concat(several(StateReady, 1), several(StateUnhealthy, 2))...),
			conditions("False/InstancesUnhealthy", "False/InstancesUnhealthy", "True/InstancesUnhealthy", still),
		},
		"maxReplicas": {
			change(judged(several(StateClaimed, 3)...), func(in *PoolVerdictInput) { in.Pool.MaxReplicas = 3 }),
			conditions("False/MaxReplicasReached", "False/MaxReplicasReached", "False/MaxReplicasReached", "True/MaxReplicasReached"),
		},
		"one too many": {
			judged(at(30, several(StateReady, 4)...)...),
			conditions("True/AsDesired", "True/AsDesired", "True/ScalingDown", still),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ComputePoolVerdict(&tc.in)
			if diff := cmp.Diff(tc.want, shown(&got)); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if full := got.Conditions[1]; got.Reason != full.Reason {
				t.Errorf("the table says %q, FullyProvisioned %q", got.Reason, full.Reason)
			}
		})
	}
}

// raisedTo is an instance that was quoted one price and costs another.
func raisedTo(instance SizeInstance, quote, price fleet.USDMicros) SizeInstance {
	instance = priced(instance, price)
	instance.Attempts[0].QuotedUSDPerHour = quote
	return instance
}

func TestComputePoolVerdictFigures(t *testing.T) {
	t.Parallel()
	in := judged(
		sized("r", StateReady, 0), sized("c", StateClaimed, 0), sized("p", StatePending, 0), sized("v", StateProvisioning, 0),
		sized("k", StateUnknown, 0), sized("u", StateUnhealthy, 0), sized("f", StateFailed, 0), sized("t", StateTerminating, 0),
	)
	got := ComputePoolVerdict(&in)
	want := PoolCounts{Replicas: 5, Ready: 1, Claimed: 1, Provisioning: 1, Pending: 1, Unhealthy: 2, Unknown: 1, Terminating: 1, Total: 8}
	if diff := cmp.Diff(want, got.PoolCounts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if got.CommittedUSDPerHour != usd(7*44) || got.ObservedUSDPerHour != usd(6*44) || got.HeadroomUSDPerHour != usd(150-7*44) {
		t.Errorf("committed %s, observed %s, headroom %s", got.CommittedUSDPerHour, got.ObservedUSDPerHour, got.HeadroomUSDPerHour)
	}
}

func TestComputePoolVerdictMessages(t *testing.T) {
	t.Parallel()
	in := judged(priced(sized("a", StateReady, 0), usd(66)), priced(sized("b", StateReady, 0), usd(66)))
	in.Instances = append(in.Instances, ask("w", ReasonCostCeilingReached, 41))
	const want = "2 of 3 ready, 1 waiting; the next instance needs $0.41/h, the price of the cheapest offer that matches, and $0.18/h is left under the pool's ceiling of $1.50/h. " +
		"Raise spec.cost.ceilingUSDPerHour, lower spec.replicas, or widen spec.offers."
	got := ComputePoolVerdict(&in)
	if got.Conditions[1].Message != want {
		t.Errorf("FullyProvisioned says\n%s\nwant\n%s", got.Conditions[1].Message, want)
	}
	if got.LastAdmission == nil || got.LastAdmission.UID != "w" {
		t.Errorf("last admission is %+v", got.LastAdmission)
	}
}

func TestComputePoolVerdictRecheck(t *testing.T) {
	t.Parallel()
	in := judged(SizeInstance{Instance: attempted("a", OutcomePending, usd(40))})
	in.Now = moment(20)
	in.Backoff.NextAttemptAt = moment(500)
	if got, want := ComputePoolVerdict(&in).RecheckAt, moment(0).Add(rentAnswerTimeout); !got.Equal(want) {
		t.Errorf("RecheckAt = %s, want %s, when the call counts as unknown", got, want)
	}
	in.Instances = append(in.Instances, ask("w", ReasonBackingOff, 0))
	in.Instances[1].Admission.Until = moment(60)
	if got := ComputePoolVerdict(&in).RecheckAt; !got.Equal(moment(60)) {
		t.Errorf("RecheckAt = %s, want %s, when the deferral ends", got, moment(60))
	}
	in.Now = moment(1000)
	if got := ComputePoolVerdict(&in).RecheckAt; !got.Equal(time.Time{}) {
		t.Errorf("RecheckAt = %s, want none", got)
	}
}

// kstatus and the design's rules hold for every pool.
func TestComputePoolVerdictProperties(t *testing.T) {
	t.Parallel()
	types := []string{
		PoolReady, PoolFullyProvisioned, PoolWithinCeiling, PoolWithinBudget, PoolAccountReady, PoolOffersAvailable, PoolHealthBudgetOK, PoolReconciling, PoolStalled,
	}
	rapid.Check(t, func(t *rapid.T) {
		in := anyVerdictInput(t)
		got := ComputePoolVerdict(&in)
		status := map[string]string{}
		for k, condition := range got.Conditions {
			if condition.Type != types[k] || condition.Reason == "" || condition.Message == "" {
				t.Fatalf("condition %d is %+v", k, condition)
			}
			status[condition.Type] = condition.Status
		}
		reconciling, stalled := status[PoolReconciling] == statusTrue, status[PoolStalled] == statusTrue
		if status[PoolReady] != statusTrue && reconciling == stalled {
			t.Fatalf("not Ready, Reconciling %t, Stalled %t: %v", reconciling, stalled, shown(&got))
		}
		if stalled && (reconciling || status[PoolReady] == statusTrue) {
			t.Fatalf("Stalled beside Reconciling or Ready: %v", shown(&got))
		}
		if status[PoolFullyProvisioned] == statusTrue && status[PoolReady] != statusTrue {
			t.Fatalf("fully provisioned and not Ready: %v", shown(&got))
		}
		if sum := got.Ready + got.Claimed + got.Provisioning + got.Pending + got.Unhealthy + got.Unknown + got.Terminating; sum != got.Total {
			t.Fatalf("%d instances are counted as %+v", len(in.Instances), got.PoolCounts)
		}
		shuffled := in
		shuffled.Instances = rapid.Permutation(in.Instances).Draw(t, "order")
		if diff := cmp.Diff(got, ComputePoolVerdict(&shuffled)); diff != "" {
			t.Fatalf("the order of the instances matters:\n%s", diff)
		}
	})
}

// anyVerdictInput draws a pool, its account and what went wrong lately.
func anyVerdictInput(t *rapid.T) PoolVerdictInput {
	size := anySizeInput(t)
	in := PoolVerdictInput{
		Pool: size.Pool, Now: size.Now,
		Account: VerdictAccount{
			Found: rapid.IntRange(0, 4).Draw(t, "found") > 0, Name: "default",
			Status: rapid.SampledFrom([]string{statusTrue, statusTrue, statusFalse, statusUnknown, ""}).Draw(t, "status"),
			Reason: rapid.SampledFrom([]string{"", ReasonCredentialsInvalid, ReasonProviderUntrusted}).Draw(t, "reason"),
		},
		Budget: BudgetVerdict{Suspended: rapid.IntRange(0, 4).Draw(t, "suspended") == 0, Message: "So many fail."},
	}
	in.Pool.MinReadyReplicas = rapid.IntRange(0, in.Pool.Replicas).Draw(t, "minimum")
	if rapid.IntRange(0, 3).Draw(t, "failures") == 0 {
		in.Backoff = BackoffState{Consecutive: 2, Waiting: rapid.Bool().Draw(t, "waiting"), TemplateFailing: rapid.Bool().Draw(t, "template"), Message: "It failed."}
	}
	for k := range size.Instances {
		instance := VerdictInstance{SizeInstance: size.Instances[k]}
		if rapid.Bool().Draw(t, "asked") {
			asked := ask("", rapid.SampledFrom([]string{
				ReasonCostCeilingReached, ReasonNoMatchingOffers, ReasonBackingOff, ReasonNotNeeded, "",
			}).Draw(t, "deferral"), 41)
			instance.Admission = asked.Admission
			instance.Admission.UID = instance.UID
		}
		in.Instances = append(in.Instances, instance)
	}
	return in
}
