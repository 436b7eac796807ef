package main

import "slices"

// claimGates are about exclusive use: who gets an instance, who keeps it, and
// who may take it back.
func claimGates() []Gate {
	return slices.Concat(claimPlanGates(), claimDemandGates(), claimWriteGates(), recycleGates())
}

// claimPlanGates decide which claim gets which instance, and when it ends.
func claimPlanGates() []Gate {
	const order, ends = "TestClaimsAreServedInTheirOrder", "TestClaimsEnd"
	return []Gate{
		{"claim-takes-what-is-ready", "I3", "handing out what does not work, or is about to end", order, without("i.Ready && ")},
		{"claim-takes-what-nobody-holds", "I3", "an instance with two holders", order, without(` && i.ClaimUID == ""`)},
		{"claim-stays-with-its-instance", "I3", "a claim being moved to another instance than its holder was told", ends, never()},
		{"lost-claim-is-not-served-again", "I3", "a claim whose instance was lost going on with another one", ends, never()},
		{"claim-expires", "I3", "an instance being held for ever", ends, never()},
		{"claim-time-is-capped", "I3", "an instance being held for longer than the pool allows", ends, never()},
		{"release-of-a-claim-that-is-gone", "I3", "an instance being held, and billed, for a claim that is not there", ends, skip()},
		{"release-only-what-has-ended", "I3", "an instance being taken from a claim that goes on", "TestClaimsAndInstancesInAnyOrder", always()},
		{"free-only-what-nobody-was-told", "I3", "an instance being given to a second claim", ends, instead(`claim.Told != "" && `, "")},
		{"claim-queue-is-bounded", "I7", "a queue without an end", order, never()},
		{"no-binding-in-a-pool-that-ends", "I3", "instances that are about to be ended being handed out", order, without("pool.EmergencyStop || ")},
		{"claim-requirements", "I3", "a claim getting an instance that it cannot use", order, always()},
	}
}

// claimDemandGates decide what is rented for claims that wait.
func claimDemandGates() []Gate {
	const waiting = "TestWaitingClaims"
	return []Gate{
		{"rent-only-what-a-claim-takes", "I1", "renting for a claim that would not take the result", waiting, never()},
		{"waiting-claims-bounded", "I1", "renting for more claims than may wait", waiting, instead("min(len(c.waiting), in.Pool.MaxPending)", "len(c.waiting)")},
		{"surplus-keeps-what-claims-wait-for", "I3", "ending the instance that a claim is about to get", "TestWaitingClaimsAreDemand", instead("s.in.Pool.Wanted()", "s.in.Pool.Replicas")},
	}
}

// claimWriteGates guard the writes of the binder.
func claimWriteGates() []Gate {
	return []Gate{
		{"claims-act-on-a-live-reading", "I3", "a claim getting a second instance because the cache does not show its first", "TestAClaimGetsOneInstance", never()},
		{"lost-is-looked-at-again", "I3", "a claim being ended, and its instance with it, by a process that was stopped between its two lists", "TestALateReadingEndsNoClaim", never()},
		{"binding-needs-the-finalizer", "I3", "a claim that goes away without giving its instance back", "TestNothingIsBoundWithoutTheFinalizer", without(" || !controllerutil.ContainsFinalizer(claim, warmpool.FinalizerClaim)")},
		{"one-holder-per-instance", "I3", "an instance with two holders, when two processes bind it at once", "TestTheFirstBindingWins", instead("client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})", "client.MergeFrom(before)")},
		{"release-only-from-its-own-claim", "I3", "an ended claim taking the instance from its successor", "TestAReleaseNamesItsClaim", without(" || string(holder.UID) != release.ClaimUID")},
		{"release-loses-to-a-successor", "I3", "ending an instance that another claim got a moment ago", "TestAnEndedClaimDoesNotTakeFromItsSuccessor", without(", ResourceVersion: &instance.ResourceVersion")},
		{"claim-stays-until-it-has-let-go", "I3", "a deleted claim being forgotten while it holds an instance", "TestADeletedClaimStaysUntilItHasLetGo", never()},
		{"claim-secret-goes-with-the-claim", "I8", "credentials that outlive their claim, because the operator died before it noted them", "TestAnEndedClaimLeavesNoCredentials", without("(mayHold && !early) || ")},
		{"claim-secret-that-comes-late", "I8", "credentials that arrive after their claim was let go", "TestAnEndedClaimLeavesNoCredentials", instead("claim.DeletionTimestamp.IsZero() && in.now.Before(claim.Status.FinishedTime.Add(lateWrites))", "false")},
		{"claim-secret-is-its-own", "I8", "somebody else's Secret being replaced", "TestAClaimsSecretIsItsOwn", never()},
	}
}

// recycleGates decide when a used instance is good for the next claim.
func recycleGates() []Gate {
	return []Gate{
		{"recycled-instance-proves-itself", "I3", "the next claim getting what was not cleaned, or does not render", "TestClaimsEnd", always()},
		{"recycle-proof-after-emptying", "I3", "a proof from before the cleaning counting for the next claim", "TestAProofFromBeforeTheCleaningDoesNotCount", without("recycle.EmptiedTime != nil && ")},
		{"health-recycled-instance-renders", "I3", "a cleaned instance counting as ready although it has rendered nothing since", "TestARecycledInstanceRendersAgain", instead("return h.in.Recycling && ", "return false && h.in.Recycling && ")},
	}
}
