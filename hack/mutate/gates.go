package main

import "slices"

// gates is the one list of all safety gates: name, rule, what it prevents, the
// test that notices its loss, and how it is taken out. The order is that of the
// packages, and within them that of what happens: read, decide, rent, end.
func gates() []Gate {
	return slices.Concat(
		trustGates(), absenceGates(), spendGates(), pendingGates(), admissionGates(), recheckGates(), costGates(),
		sizeGates(), endGates(), leakGates(), adoptionGates(), healthGates(),
		connectionGates(), rentGates(), sweepGates(), letGoGates(), poolGates(), instanceGates(),
		refusalGates(), clientGates(), readingGates(), secretGates(), nounGates(), leaseGates(), proberGates(),
		ledgerGates(), auditGates(), claimGates(),
	)
}

// trustGates decide whether a list of instances may be believed.
func trustGates() []Gate {
	return []Gate{
		{"trust-answered", "I5", "an error that is read as an empty account", "TestJudgeSweep", never()},
		{"trust-read-to-the-end", "I5", "a list that was not read to its end passing for a whole one", "TestJudgeSweep", never()},
		{"trust-row-has-an-id", "I5", "belief in a list whose rows cannot be told apart", "TestJudgeSweep", never()},
		{"trust-row-once", "I5", "a repeated page hiding another one", "TestJudgeSweep", never()},
		{"trust-totals", "I5", "a short list passing for a whole one", "TestJudgeSweep", never()},
		{"trust-one-page-is-exact", "I5", "our own rents and ends explaining away a wrong total of a single answer", "TestJudgeSweep", always()},
		{"trust-drift-bounded", "I5", "an emergency stop explaining away any list", "TestJudgeSweepExplainedDrift", instead("min(seen.OwnEnds, list.Pages+1)", "seen.OwnEnds")},
		{"trust-same-account", "I5", "another account's list making all of our rentals look gone", "TestJudgeSweep", never()},
		{"trust-identity-answered", "I5", "belief in a list of which nobody could say whose it is", "TestJudgeSweep", never()},
		{"trust-account-pinned", "I5", "belief in a list before it is known whose rentals ours are", "TestJudgeSweep", without("seen.PinnedUserID == 0 || ")},
		{"trust-identity-within-a-minute", "I5", "a key that was changed since it was last asked whose it is", "TestJudgeSweep", instead(" || early || late", " || false && (early || late)")},
		{"trust-no-sudden-drop", "I5", "renting everything again because a list came back short", "TestJudgeSweepDrop", never()},
		{"trust-breaker-holds", "I5", "belief in the very next list after a sudden drop", "TestJudgeSweepBreaker", never()},
		{"trust-lists-agree", "I5", "three lists that contradict each other clearing up a sudden drop", "TestJudgeSweepBreaker", always()},
		{"trust-three-agree", "I5", "one list clearing up a sudden drop", "TestJudgeSweepBreaker", never()},
		{"trust-failure-breaks-the-row", "I5", "lists on both sides of an outage counting as a row", "TestJudgeSweepBreaker", skip()},
	}
}

// absenceGates decide what became of a rent whose answer was lost.
func absenceGates() []Gate {
	const matches, abandon = "TestResolveAttemptsMatches", "TestResolveAttemptsAbandon"
	return []Gate{
		{"absence-needs-trust", "I5", "lists that are not trusted counting as evidence that something is gone", abandon, without("!sweep.Trusted || ")},
		{"absence-begins-after-the-act", "I2", "a list from before a rental could exist counting as evidence against it", abandon, without("!started.After(notBefore) || ")},
		{"absence-counts-a-list-once", "I2", "one list passing for several", abandon, without(" || !started.After(a.LastStartedAt)")},
		{"absence-of-a-stopped-reader", "I6", "lists of a few seconds passing for lists of half a minute, because the process was stopped before it asked for the first", "TestAListThatWasHeldUpIsNotOlderThanItsAnswer", never()},
		{"resolve-own-installation", "I2", "adopting a rental of another installation", matches, without(" || label.Installation != installation")},
		{"resolve-not-in-flight", "I2", "settling an attempt whose call has not come back yet", matches, never()},
		{"resolve-recorded-elsewhere", "I2", "one rental being adopted by two instances", matches, never()},
		{"resolve-copied-label", "I2", "adopting, or ending, a rental onto which somebody copied our label", matches, never()},
		{"copied-label-of-another-time", "I2", "adopting, or ending, a rental of another time onto which somebody copied our label", "TestALabelOfAnotherTimeIsACopy", never()},
		{"resolve-seen-is-not-absent", "I2", "giving an attempt up although its rental was seen in between", abandon, never()},
		{"resolve-needs-trust", "I5", "adopting or giving up on the strength of a list that is not trusted", matches, never()},
		{"abandon-after-the-deadline", "I2", "giving an attempt up while its call may still make a rental", abandon, instead("attempt.StartedAt.Add(r.in.AttemptDeadline+statusGrain)", "attempt.StartedAt")},
		{"abandon-three-lists", "I2", "giving an attempt up after two lists", abandon, without("evidence.Sweeps >= abandonSweeps && ")},
		{"abandon-two-minutes", "I2", "giving an attempt up before a late rental has had the time to show", abandon, without(" && evidence.Span() >= abandonSpan")},
		{"adopt-one-rental", "I2", "an instance with two rentals", matches, never()},
		{"extras-need-trust", "I5", "ending rentals on the strength of a list that is not trusted", matches, never()},
	}
}

// spendGates close all spending of an account.
func spendGates() []Gate {
	const test = "TestSpendGate"
	return []Gate{
		{"spend-account-active", "I5", "renting for an account that a person froze or stopped", test, never()},
		{"spend-account-stays", "I6", "renting for an account that is being deleted", test, never()},
		{"spend-lease-fresh", "I1", "two leaders that rent at the same time", test, never()},
		{"spend-key-verified", "I5", "renting with a key that was never accepted", test, never()},
		{"spend-same-account", "I5", "renting in another account than the one that is counted", test, never()},
		{"spend-no-second-writer", "I4", "renting beside a second manager with our installation id", "TestATwinFreezesRentsAndLeaks", never()},
		{"spend-not-beside-an-older-account", "I1", "two account objects that both rent on one credit", "TestSharedUser", never()},
		{"spend-first-list", "I5", "renting before this process has seen what is rented", test, never()},
		{"spend-no-sudden-drop", "I5", "renting again what only vanished from a list", test, never()},
		{"spend-list-trusted", "I5", "renting on the strength of a list that is not trusted", test, never()},
		{"spend-list-fresh", "I5", "renting on the strength of an old list, or after the clock was set back", test, never()},
		{"spend-balance-known", "I1", "renting without knowing the credit", test, never()},
		{"spend-minimum-balance", "I1", "renting on the last of the credit, until Vast.ai stops everything", test, never()},
	}
}

// pendingGates decide which instance may ask for a rental at all.
func pendingGates() []Gate {
	const test = "TestRankPendingDeferrals"
	return []Gate{
		{"pending-not-in-flight", "I2", "a second rent while the first is on its way", test, never()},
		{"pending-no-open-attempt", "I2", "a second rent while nobody knows what became of the first", test, never()},
		{"pending-no-rental", "I2", "a second rent beside a rental that is not confirmed gone", test, never()},
		{"pending-attempts-left", "I7", "an instance that tries to rent for ever", test, never()},
		{"adopting-never-rents", "I2", "renting for an instance that was made to take a rental over", "TestNothingIsRentedForAnAdoption", never()},
		{"pending-pool-stays", "I6", "renting for a pool that is being deleted", test, never()},
		{"pending-pool-active", "I5", "renting for a pool that a person paused", test, never()},
		{"pending-back-off", "I7", "renting again at once after a failure", test, never()},
		{"pending-health-budget", "I7", "renting more while everything fails at once", test, never()},
		{"pending-one-at-a-time", "I7", "renting twenty machines for a template that has just failed", "TestRankPendingRentsOneAtATimeAfterFailures", never()},
		{"pending-max-replicas", "I1", "more rentals than spec.maxReplicas", test, never()},
		{"pending-wanted", "I1", "more rentals than anybody asked for, when there are too many objects", test, never()},
		{"attempt-number-is-new", "I2", "two attempts with one label", "TestNextAttemptNumberNeverRepeats", instead("max(highest, i.Attempts[k].Number)", "i.Attempts[k].Number")},
		{"backoff-template-fault", "I7", "buying machine after machine for a template that fails on all of them", "TestComputeBackoff", never()},
	}
}

// admissionGates decide whether an offer fits.
func admissionGates() []Gate {
	const deferrals, checks, filters = "TestAdmitDeferrals", "TestAdmissionChecks", "TestFilterOffers"
	return []Gate{
		{"admit-spend-gate", "I5", "renting although the account may not spend", deferrals, never()},
		{"admit-needs-a-list", "I5", "renting without a list of what is rented", deferrals, never()},
		{"admit-only-what-waits", "I2", "renting for an instance that has a rental, or is ending", deferrals, never()},
		{"admit-pool-allows", "I5", "renting for a pool that is paused, draining or waiting", deferrals, never()},
		{"admit-no-unrecorded-rental", "I2", "renting again for an object that came out of a backup and has forgotten its rental", deferrals, never()},
		{"admit-dry-run", "I1", "a rehearsal that rents", "TestAdmitDryRunRentsNothing", never()},
		{"admit-instance-cap", "I1", "renting a machine that costs more than one instance may", checks, always()},
		{"admit-pool-ceiling", "I1", "a pool over its ceiling", checks, always()},
		{"admit-account-ceiling", "I1", "an account over its ceiling", checks, always()},
		{"admit-balance-runway", "I1", "committing more than the credit pays for", checks, always()},
		{"admit-blocked-machine", "I7", "renting a machine again that has just failed", checks, always()},
		{"admit-back-off", "I7", "renting while the pool waits after a failure", checks, never()},
		{"blocked-machine", "I7", "forgetting which machines to avoid", "TestBlockedMachineIDs", never()},
		{"offer-has-a-price", "I1", "an offer without a price slipping under every ceiling", filters, always()},
		{"offer-machine-not-blocked", "I7", "choosing a machine that is avoided", filters, always()},
		{"offer-machine-not-in-use", "I7", "losing several instances with one machine", filters, always()},
		{"offer-below-cap", "I1", "choosing an offer above the cap of one instance", filters, always()},
		{"offer-open-attempt-holds-machine", "I2", "renting a machine on which a lost rent may have succeeded", "TestMachineRentals", never()},
	}
}

// recheckGates look once more, after the journal and just before the call.
func recheckGates() []Gate {
	const test = "TestRecheck"
	return []Gate{
		{"recheck-needs-a-list", "I5", "a rent without a list at hand", test, never()},
		{"recheck-pool-ceiling", "I1", "a pool over its ceiling when it was lowered, or another rent came first", test, never()},
		{"recheck-account-ceiling", "I1", "an account over its ceiling when another pool's rent came first", test, never()},
		{"recheck-has-a-price", "I1", "a rent whose price nobody knows", test, never()},
		{"recheck-still-waits", "I6", "a rent for an instance that was deleted meanwhile", test, never()},
		{"recheck-adopting-never-rents", "I2", "a rent for an instance that takes a rental over since a moment ago", "TestNothingIsRentedForAnAdoption", never()},
		{"recheck-no-rental", "I2", "a second rental of one instance", test, never()},
		{"recheck-no-unrecorded-rental", "I2", "a second rental beside one that the account shows and the object forgot", test, never()},
		{"recheck-no-other-attempt", "I2", "a rent while another attempt of the instance is open", test, never()},
		{"recheck-journaled", "I2", "a rent that was never written down", test, never()},
	}
}

// costGates keep committed cost from being counted too low.
func costGates() []Gate {
	return []Gate{
		{"committed-open-attempt", "I1", "spending the price of a lost rent a second time", "TestCost", never()},
		{"committed-foreign", "I1", "an account ceiling that does not see what was rented by hand", "TestAccountCommitted", never()},
		{"price-kept-without-one", "I1", "a row without a price making a rental free", "TestObservePrice", never()},
		{"price-of-what-runs", "I1", "a stopped rental counting its storage only, though it may resume", "TestObservePrice", always()},
		{"price-quote-until-known", "I1", "a rental counting less than its quote before its price was seen", "TestCost", always()},
		{"money-sum-saturates", "I1", "a sum that overflows and looks cheap", "TestCommittedSaturates", never()},
	}
}

// sizeGates decide what a pool may make and end.
func sizeGates() []Gate {
	const creates, ends, ceiling = "TestComputeSizeCreates", "TestComputeSizeEnds", "TestComputeSizeOverCeiling"
	const contract = "TestAContractThatEndsSoonIsReplacedAheadOfTime"
	return []Gate{
		{"size-known-mode", "I5", "making or ending anything in a paused pool", creates, always()},
		{"create-what-is-affordable", "I7", "hundreds of objects that the ceiling can never admit", creates, instead("min(missing, max(s.affordable(), 1)-pending, maxCreatePerCall)", "missing - 0*pending")},
		{"create-max-replicas", "I1", "more objects than spec.maxReplicas", creates, never()},
		{"claimed-is-no-candidate", "I3", "a claimed instance being ended as if it were idle", ends, never()},
		{"surplus-spares-claims", "I3", "scaling down what somebody uses", ends, instead("StateReady", "StateReady, StateClaimed")},
		{"drain-spares-claims", "I3", "a drain ending what somebody uses", ends, instead("c.state != StateClaimed", "true")},
		{"over-ceiling-claims-stay", "I3", "a raised price ending what somebody uses", ceiling, without(" || !may(&order[k])")},
		{"over-ceiling-drift", "I7", "ending and renting again, round and round, because prices drifted a little", ceiling, never()},
		{"over-ceiling-hold", "I3", "ending instances although the policy says to hold", ceiling, never()},
		{"scale-down-needs-trust", "I5", "ending instances on the strength of a list that is not trusted", ends, without("s.in.Trusted && ")},
		{"short-contract-is-not-replaced", "I7", "replacing a short contract ahead of time by another one like it, for ever", contract, never()},
		{"replace-before-the-contract-ends", "I7", "ending an instance because its contract ends soon, before another is ready in its place", contract, without("superfluous <= 0 || ")},
		{"scale-down-not-in-dry-run", "I5", "a rehearsal that ends instances", ends, without(" && s.in.Pool.Mode != ModeDryRun")},
	}
}

// endGates decide what is destroyed, what is gone, and what is let go of.
func endGates() []Gate {
	const destroys, gone, releases = "TestPlanTerminationsDestroys", "TestPlanTerminationsConfirmsGone", "TestPlanTerminationsReleases"
	return []Gate{
		{"destroy-only-what-is-deleted", "I3", "destroying the rental of an instance that stays", destroys, instead("(instance.Deleting || !rental.Own)", "true")},
		{"destroy-not-what-was-let-go", "I6", "destroying a rental that a person has taken over", destroys, without(" && !letGo")},
		{"destroy-costliest-first", "I1", "cheap rentals ending before dear ones, three seconds each", destroys, without("cmp.Compare(b.USDPerHour, a.USDPerHour), ")},
		{"gone-not-when-seen-again", "I6", "a rental counting as gone that was seen again", gone, never()},
		{"gone-needs-trust", "I6", "a rental counting as gone while the list is not trusted", gone, without("!t.in.Sweep.Trusted || ")},
		{"gone-needs-a-lookup", "I6", "a rental counting as gone because lists left it out", gone, instead("return false", "t.gone[rental.ID] = true; return true")},
		{"gone-lookup-after-the-lists", "I6", "an old look-up confirming a new absence", gone, without(" && !lookup.At.Before(evidence.AbsentAt)")},
		{"gone-after-the-last-request", "I6", "lists from before the destroy confirming it", gone, never()},
		{"gone-thirty-seconds-apart", "I6", "two lists in the same moment of confusion confirming each other", gone, without(" && after.Absence.Span() >= span")},
		{"gone-unlisted-needs-longer", "I6", "a rental that is too new for any list counting as gone", "TestPlanTerminationsUnlistedRentalIsNotGoneSoon", never()},
		{"release-not-in-flight", "I6", "letting go of an object whose rent is on its way", releases, without("instance.InFlight || ")},
		{"release-no-open-attempt", "I6", "letting go of an object of which nobody knows whether it has a rental", releases, without("instance.hasOpenAttempt() || ")},
		{"release-nothing-unrecorded", "I6", "letting go of an object while a rental with its label shows up", releases, without(" || t.showsOther(instance)")},
		{"release-all-gone", "I6", "letting go of an object whose rental bills on", releases, always()},
		{"release-abandoned-by-name", "I6", "letting go of a rental that nobody named", releases, always()},
		{"emergency-own-installation", "I4", "an emergency stop ending what another installation rented", "TestEmergencyStop", without(" || label.Installation != installation")},
		{"emergency-not-elsewhere", "I4", "an emergency stop of one account ending what another account object holds", "TestEmergencyStopSparesOtherAccounts", without(" || elsewhere.holds(row.ID, &label)")},
	}
}

// leakGates decide what is a leak, and which leaks may be ended.
func leakGates() []Gate {
	const find, end = "TestFindLeaks", "TestFindLeaksTerminate"
	return []Gate{
		{"leak-needs-trust", "I5", "leaks found in a list that is not trusted", find, always()},
		{"leak-two-lists", "I4", "a rental in the middle of being recorded reported as a leak", find, always()},
		{"leak-own-installation", "I4", "another installation's rental reported, or ended, as a leak", find, without(" || label.Installation != in.Installation")},
		{"leak-not-recorded", "I4", "a recorded rental ended as a leak", find, without(" || recorded")},
		{"leak-not-elsewhere", "I4", "a rental of another account object ended as a leak", "TestFindLeaksSparesOtherAccounts", without(" || in.Elsewhere.holds(row.ID, &label)")},
		{"leak-not-of-an-attempt", "I2", "the rental of a lost rent ended as a leak", find, never()},
		{"leaks-frozen-by-a-twin", "I4", "ending what a second manager with our installation id rented", "TestATwinFreezesRentsAndLeaks", never()},
		{"leak-being-adopted", "I4", "ending a leak while somebody takes it over", "TestALeakThatSomebodyAdoptsIsNotEnded", never()},
		{"leak-end-needs-policy", "I4", "leaks ended although the policy says to report", end, without(" && in.Policy.Action == LeakTerminate")},
		{"leak-end-needs-trust", "I5", "leaks ended on the strength of a list that is not trusted", end, without("in.Sweep.Trusted && ")},
		{"leak-end-without-owner", "I4", "ending the rental of an object that came out of a backup", end, without("leak.OwnerExists || ")},
		{"leak-end-min-age", "I4", "ending a leak that is younger than the policy says", end, without(" || leak.Age < in.Policy.MinAge")},
		{"leak-end-per-hour", "I4", "ending hundreds of rentals within an hour because of one mistake", end, never()},
	}
}

// adoptionGates decide which rentals become ours: by adoption, by label, by
// account.
func adoptionGates() []Gate {
	const adopt, twins, labels = "TestPlanAdoptions", "TestFindTwins", "TestPlanLabels"
	return []Gate{
		{"adopt-untrusted-sweep", "I5", "taking over a rental that only a list which is not trusted shows", adopt, never()},
		{"adopt-recorded-elsewhere", "I2", "one rental that two objects record", adopt, never()},
		{"adopt-other-installation", "I4", "taking over what another manager rented, and may be using", adopt, never()},
		{"adopt-rental-of-an-attempt", "I2", "taking over the rental of a rent whose answer was lost", adopt, never()},
		{"adopt-under-the-ceiling", "I1", "a pool over its ceiling because of a rental that was taken over", adopt, never()},
		{"twin-untrusted-sweep", "I5", "a list that is not trusted reporting, or clearing, a second manager", twins, never()},
		{"twin-not-our-own-rent", "I4", "a rental of our own passing for a second manager's", twins, never()},
		{"labels-untrusted-sweep", "I5", "labels being written on the strength of a list that is not trusted", labels, never()},
		{"label-restored-once", "I4", "two programs that change a label back and forth for ever", labels, never()},
		{"one-account-per-user", "I1", "two account objects that each allow their whole ceiling on one credit", "TestSharedUser", never()},
	}
}

// healthGates decide when an instance is given up.
func healthGates() []Gate {
	const live, start = "TestComputeHealthLive", "TestComputeHealthStartup"
	return []Gate{
		{"health-max-unhealthy", "I7", "ending a whole pool because we cannot see it", "TestComputeHealthBudget", never()},
		{"health-provider-word-is-not-enough", "I7", "ending an instance that answers because Vast.ai says it stopped", live, never()},
		{"health-stop-read-three-times", "I7", "ending an instance because its status flickered", live, always()},
		{"health-one-failed-proof", "I7", "ending an instance for one render that failed", live, never()},
		{"health-no-prompt-beside-a-claim", "I3", "a prompt of ours on an instance that somebody claimed", live, without(" && !h.in.Claimed")},
		{"health-no-prompt-beside-work", "I3", "a prompt of ours behind somebody's work, failing for it", live, without("h.mem.knownIdle && ")},
		{"health-worker-dead-two-looks", "I7", "ending an instance that was looked at between two prompts", live, without(" && h.mem.queueAt.Sub(h.mem.stuckSince) >= stuckLooksApart")},
		{"health-liveness-threshold", "I7", "ending an instance for two slow answers", live, without(" || h.mem.failures < h.in.Probes.FailureThreshold")},
		{"health-busy-is-not-idle", "I3", "ending an instance that is silent because it works", live, without(" && h.mem.knownIdle")},
		{"health-one-failed-probe", "I7", "ending an instance for one failed probe", live, never()},
		{"health-busy-silence", "I3", "ending an instance in the middle of a long load", live, never()},
		{"health-reading-counts-once", "I7", "one reading of Vast.ai counting as several", start, never()},
		{"health-network-patience", "I7", "ending a machine whose network takes a minute to come up", start, never()},
		{"health-misconfigured-lasts", "I7", "ending an instance for one odd answer during its boot", start, without(" || h.mem.sameSignal < h.in.Probes.FailureThreshold ||\n\t\t!h.lasted(h.mem.signalSince, seconds(h.in.Probes.UnhealthyAfterSeconds))")},
		{"health-settle-after-restart", "I7", "a restart of the manager ending all that is starting late", start, never()},
		{"health-deadline-needs-a-reading", "I7", "a deadline passing while nobody has looked", start, never()},
		{"health-deadline-needs-a-look", "I7", "a deadline passing before this process has probed", start, never()},
	}
}

// refusalGates decide whether a rent that was not answered with a success may
// have rented all the same.
func refusalGates() []Gate {
	const test = "TestRentUnderstandsEveryRefusal"
	return []Gate{
		{"rent-contract-in-any-body", "I2", "a rental that came with an error and that nobody records", test, never()},
		{"rent-contract-in-half-an-answer", "I2", "a rental whose number was in an answer that broke off", "TestRentThatLosesItsAnswerIsOpen", never()},
		{"rent-success-names-a-rental", "I2", "a success without a number passing for a rental", test, never()},
		{"refusal-without-a-contract", "I2", "a refusal that rented counting as certain", test, never()},
		{"refusal-429-in-its-own-words", "I2", "a proxy's 429 counting as a certain refusal", test, always()},
		{"refusal-not-by-timeout-or-conflict", "I2", "a 408, 409, 425 or 5xx counting as a certain refusal", test, never()},
		{"refusal-in-its-own-words", "I2", "an error of something in front of Vast.ai counting as a certain refusal", test, always()},
		{"refusal-with-200-is-known", "I2", "a 200 of unknown meaning counting as a certain refusal", test, without(" && isDefiniteSlug(f.slug)")},
		{"answer-success-is-said", "I2", "a failure with status 200 passing for a success", "TestReadsAndWritesUnderstandRefusals", never()},
		{"answer-write-success-is-explicit", "I6", "an answer that says nothing passing for a destroy that was accepted", "TestReadsAndWritesUnderstandRefusals", always()},
		{"answer-auth-error-is-not-gone", "I6", "a refused key making every rental look as if it were gone", "TestReadsAndWritesUnderstandRefusals", never()},
		{"answer-no-route-is-not-gone", "I6", "a wrong or retired path making a rental look as if it were gone", "TestReadsAndWritesUnderstandRefusals", never()},
	}
}

// clientGates decide what is sent to Vast.ai, and how often.
func clientGates() []Gate {
	return []Gate{
		{"rent-has-a-label", "I4", "a rental that nothing would find again", "TestARentThatMakesNoSenseIsNotSent", never()},
		{"rent-never-sent-again", "I2", "one rent making two rentals", "TestOnlyHarmlessCallsAreSentAgain", without(" || !c.retryable")},
		{"start-never-sent-again", "I2", "a start that is queued twice", "TestOnlyHarmlessCallsAreSentAgain", always()},
		{"retry-keeps-the-first-error", "I2", "a call that may have worked being reported as not sent", "TestARetryThatGivesUpKeepsTheFirstError", never()},
		{"rent-outlives-its-caller", "I2", "an answer that is thrown away because the manager stops", "TestARentOutlivesItsCaller", never()},
		{"guard-last-look", "I1", "a rent that is sent although the last look found a reason against it", "TestTheCallerHasTheLastWordBeforeARent", never()},
		{"guard-every-write", "I1", "writes of a process that is no leader any more", "TestTheGuardStopsEveryWriteAndNoRead", never()},
		{"key-goes-to-no-other-server", "I8", "the API key being sent wherever a redirect points", "TestRedirectsAreNotFollowed", skip()},
	}
}

// readingGates decide what may be concluded from an answer of Vast.ai.
func readingGates() []Gate {
	const list = "TestAnIncompleteReadingIsNeverAList"
	return []Gate{
		{"list-never-short", "I5", "the pages before an error passing for the whole list", list, instead("fleet.Listing{}, err", "reading.listing, err")},
		{"list-has-rows", "I5", "an answer without a list passing for an empty account", list, never()},
		{"list-has-a-total", "I5", "a list that cannot be checked against its total", list, never()},
		{"list-row-once", "I5", "a page that is read twice hiding another one", list, never()},
		{"list-token-once", "I5", "pages that go round in a circle passing for a list", list, never()},
		{"gone-said-in-so-many-words", "I6", "any answer to a look-up passing for \"there is no such rental\"", "TestGetRentalKnowsGoneFromUnknown", always()},
		{"lookup-same-rental", "I6", "the answer about another rental settling this one", "TestReadsAndWritesUnderstandRefusals", always()},
		{"offer-price-can-be-read", "I1", "renting an offer whose price cannot be read", "TestSearchLeavesOutWhatItCannotRead", never()},
		{"rental-price-can-be-read", "I1", "a rental that costs nobody knows what counting as free", list, never()},
		{"price-not-negative", "I1", "a negative price making room under a ceiling", list, never()},
		{"balance-can-be-read", "I1", "an unknown credit passing for a known one", "TestReadsAndWritesUnderstandRefusals", never()},
	}
}

// secretGates keep secrets out of errors, status and logs.
func secretGates() []Gate {
	const shape = "TestRedaction"
	return []Gate{
		{"redact-error-message", "I8", "a secret in an error that Vast.ai sent back", "TestNoErrorShowsASecret", skip()},
		{"redact-error-slug", "I8", "a secret in the slug of an error", "TestNoErrorShowsASecret", skip()},
		{"redact-what-was-sent", "I8", "a password of ours coming back in an error", "TestNoErrorShowsASecret", never()},
		{"redact-own-key", "I8", "the API key in an error or a log", shape, skip()},
		{"redact-bearer", "I8", "an Authorization header in an error or a log", shape, skip()},
		{"redact-signed-address", "I8", "the token of a signed address in an error or a log", shape, skip()},
		{"redact-user-info", "I8", "a password in an address in an error or a log", shape, skip()},
		{"redact-known-prefix", "I8", "a token of a model hub in an error or a log", shape, skip()},
		{"redact-pairs", "I8", "a secret of a list of pairs in an error or a log", shape, skip()},
		{"redact-named", "I8", "the value of PASSWORD=… in an error or a log", shape, skip()},
		{"redact-hex-key", "I8", "another key of Vast.ai in an error or a log", shape, never()},
		{"redact-cut-between-words", "I8", "the half of a secret that a long text was cut in", "TestACutDoesNotHalveASecret", skip()},
		{"redact-log", "I8", "a secret in the log of a failed instance", "TestLogsAreFetchedWithoutTheKey", instead("c.redactor.text(plainText(log), nil)", "plainText(log)")},
	}
}

// nounGates are about money and labels.
func nounGates() []Gate {
	return []Gate{
		{"money-rounds-up", "I1", "a price being taken for less than it is", "TestParseUSD", never()},
		{"money-product-saturates", "I1", "a product that overflows and looks cheap", "TestUSDArithmeticSaturates", never()},
		{"money-hours-round-up", "I1", "seconds of a rental that cost nothing", "TestUSDArithmeticSaturates", without(" + 1")},
		{"label-is-ours", "I4", "somebody else's label passing for ours", "TestLabelReadsBack", without("fields[0] != labelVersion || ")},
		{"label-has-an-attempt", "I2", "a label that names no attempt passing for one", "TestLabelReadsBack", never()},
	}
}

// leaseGates keep a process that was paused from acting.
func leaseGates() []Gate {
	const test = "TestLeaseIsFreshOnlyAfterARenewalOfOurOwn"
	return []Gate{
		{"lease-expires", "I1", "a process that slept acting beside the new leader", test, instead("max(age, wallAge) < g.validFor", "max(age, wallAge) >= 0")},
		{"lease-clock-set-back", "I1", "a lease that looks fresh because the clock was set back", test, without("age >= 0 && wallAge >= 0 && ")},
		{"lease-renewal-succeeded", "I1", "a renewal that failed counting as one", test, without("err == nil && ")},
		{"lease-renewal-is-ours", "I1", "somebody else's lease counting as ours", test, without(" && record.HolderIdentity == l.Identity()")},
		{"lease-counts-from-the-request", "I1", "a renewal whose answer took long counting as young", "TestLeaseCountsFromTheRequest", instead("l.guard.renewed(at)", "_ = at; l.guard.renewed(l.guard.clock.Now())")},
		{"write-needs-the-lease", "I1", "a rent or a destroy of a process that is no leader any more", "TestNoWriteIsSentWithoutAFreshLease", never()},
	}
}

// proberGates decide whether an instance is trusted with a password, and Ready.
func proberGates() []Gate {
	const faults, trust = "TestVerifyNamesEveryFault", "TestProbeTrustsWhatItIsToldToTrust"
	return []Gate{
		{"tls-pinned-certificate", "I8", "the password being sent to somebody in between", trust, always()},
		{"tls-signed-by-the-authority", "I8", "the password being sent to a server that nobody vouches for", trust, always()},
		{"tls-certificate-in-force", "I8", "trust in a certificate that has expired", trust, never()},
		{"quote-hides-secrets", "I8", "a password that the instance echoes showing in a message", "TestQuoteMakesTextsOfTheInstanceSafe", never()},
		{"ready-gpu-count", "I7", "paying for GPUs that ComfyUI does not see", faults, never()},
		{"ready-gpu-model", "I7", "paying for another GPU than the one that is there", faults, never()},
		{"ready-not-on-the-cpu", "I7", "an instance that renders on its CPU counting as Ready", faults, never()},
		{"ready-nodes-there", "I7", "an instance without its nodes counting as Ready", faults, never()},
		{"ready-models-whole", "I7", "an instance with half a model counting as Ready", faults, never()},
		{"ready-pixels-right", "I7", "a GPU that computes wrongly counting as Ready", faults, never()},
		{"picture-measured-first", "I7", "a small file unfolding into gigabytes in the manager", faults, never()},
		{"ready-not-from-the-cache", "I7", "a picture from the cache passing for a render", "TestVerifyTriesAFreshInputWhenTheCacheAnswers", never()},
	}
}

// connectionGates decide what a key is worth.
func connectionGates() []Gate {
	const test = "TestConnectBelievesNoKeyBeforeItWasAsked"
	return []Gate{
		{"account-expected-user", "I5", "renting in another account than spec.expectedUserID names", "TestPinnedUser", never()},
		{"key-changed-is-not-verified", "I5", "a key that was just changed being believed because the old one was", test, instead(" || fingerprint != current.fingerprint", " || false && fingerprint != current.fingerprint")},
		{"key-asked-every-minute", "I5", "a key that opens another account by now being believed for hours", test, without(" || now.Sub(current.verifiedAt) >= identityPeriod")},
		{"key-asked-after-clock-set-back", "I5", "a verification that looks young because the clock was set back", test, without(" || now.Before(current.verifiedAt)")},
		{"key-refused", "I5", "a refused key being used on", test, instead("= false, ", "= c.verified, ")},
		{"key-lacks-a-permission", "I5", "a key without its permissions being used on", test, instead("= false, ", "= c.verified, ")},
	}
}

// rentGates are about one rent: prepared, journaled, looked at once more, recorded.
func rentGates() []Gate {
	const nothing, room = "TestReconcileRentSpendsNothing", "TestForgetRejectedMakesRoomForOne"
	return []Gate{
		{"rent-reads-live", "I1", "rents being judged by a cache that does not show the last one", "TestRentsAreJudgedByALiveReading", instead("r.APIReader.List", "r.Client.List")},
		{"rent-at-a-fresh-price", "I1", "renting at a price that was seen a while ago", nothing, always()},
		{"rent-for-the-right-disk", "I1", "renting at a price that was asked for another disk", nothing, never()},
		{"rent-pauses-after-a-refusal", "I7", "asking Vast.ai again and again for a rent that it refuses", "TestARefusedPoolWaits", always()},
		{"rent-needs-the-finalizer", "I6", "a rental that nothing would end", nothing, never()},
		{"password-is-its-own", "I8", "an instance that is protected by a password that others know", "TestTheOwnPasswordIsNobodyElses", without(" && metav1.IsControlledBy(&secret, instance)")},
		{"password-needs-the-lease", "I7", "a Secret that is left behind for an instance that is gone", "TestNoPasswordWithoutTheLease", never()},
		{"password-delete-its-own", "I8", "deleting a Secret that is not ours", "TestTheOwnPasswordIsNobodyElses", never()},
		{"journal-optimistic-lock", "I2", "two leaders that both win the right to rent", nothing, instead("r.Client.Status().Update(ctx, journaled)", "r.Client.Status().Patch(ctx, journaled, client.MergeFrom(instance))")},
		{"rent-needs-the-journal", "I2", "a call before its intent is written down", nothing, never()},
		{"rent-needs-the-audit-record", "I2", "a call before its intent is in the audit log", "TestNothingIsRentedWithoutItsRecord", never()},
		{"journal-keeps-the-newest", "I2", "two attempts with one number, and so with one label", room, instead("attempts[:len(attempts)-1]", "attempts")},
		{"journal-keeps-what-may-have-rented", "I2", "the journal forgetting an attempt that may have rented", room, without("a.Outcome == warmpool.AttemptRejected && ")},
		{"journal-keeps-what-still-bills", "I2", "the journal forgetting a rental that is not gone", room, without(" && (a.RentalID == 0 || a.RentalGone)")},
		{"rent-needs-the-last-look", "I1", "a rent while the API server cannot be asked", nothing, never()},
		{"rent-stopped-by-the-last-look", "I1", "a rent although the last look found a reason against it", nothing, never()},
		{"recheck-spend-gate", "I1", "a rent after the lease ran out, or the account was frozen, in the meantime", nothing, never()},
		{"recheck-same-key", "I5", "a rent with a key that was changed in the meantime", nothing, never()},
		{"recheck-instance-cap", "I1", "a rent above a cap that was lowered in the meantime", nothing, never()},
		{"recheck-pool-active", "I5", "a rent for a pool that was paused in the meantime", nothing, without("pool.Spec.Mode != warmpool.PoolActive || ")},
		{"recheck-pool-stays", "I6", "a rent for a pool that was deleted in the meantime", nothing, without(" || !pool.DeletionTimestamp.IsZero()")},
		{"recheck-still-wanted", "I1", "a rent that nobody wants any more", nothing, instead("> wanted", "> wanted+1000")},
		{"outcome-definite-or-unknown", "I2", "a lost answer counting as a refusal", "TestOutcomeOf", always()},
		{"outcome-outlives-the-manager", "I2", "an answer that is not written down because the manager stops", "TestARentIsRecordedWhileTheManagerStops", instead("context.WithoutCancel(ctx)", "ctx")},
		{"outcome-of-this-instance", "I2", "an answer being written into another instance of the same name", "TestAnOutcomeIsNotRecordedOnANamesake", never()},
		{"outcome-settles-once", "I2", "a late answer overwriting what a sweep has found", "TestApplyOutcomeSettlesAPendingAttemptOnce", without(" || instance.Status.Attempts[at].Outcome != warmpool.AttemptPending")},
	}
}

// sweepGates decide what a list may change.
func sweepGates() []Gate {
	const untrusted, pinned = "TestASweepThatIsNotTrustedChangesNothing", "TestAnAccountIsPinnedToTheUserOfItsRentals"
	return []Gate{
		{"list-with-a-verified-key", "I5", "a list that was read with a refused key", "TestNothingIsAskedWithARefusedKey", without(" && in.link.verified")},
		{"list-to-judge-by-is-trusted", "I5", "rents being judged by a list that is not trusted", untrusted, always()},
		{"list-of-the-user-of-its-rentals", "I5", "a list of another user being trusted after a restore", pinned, without(" && in.maybePinned()")},
		{"pin-the-user-of-its-rentals", "I5", "an account being pinned to a user who has none of its rentals", pinned, without(" && in.maybePinned()")},
		{"pin-another-when-nothing-bills", "I6", "an account moving to another user while rentals of the old one bill", pinned, without(" && !in.anyBills()")},
		{"spend-user-written-down", "I5", "renting before it is written down whose account it is, so that no later process can tell", "TestNothingIsRentedBeforeTheUserIsWrittenDown", without(" && account.Status.UserID != 0")},
		{"observe-needs-trust", "I5", "prices and states being taken from a list that is not trusted", untrusted, without(" && plan.sweep.Trusted")},
		{"scale-down-after-a-trusted-list", "I5", "a list that is not trusted letting a pool end instances", untrusted, always()},
		{"account-stays-with-its-instances", "I6", "an account going away while its instances need it to end", "TestAnAccountStaysAsLongAsItsInstances", without(" && len(in.instances) == 0")},
	}
}

// letGoGates are about ends: who may ask for them, and what lets an object go.
func letGoGates() []Gate {
	const end, lookup = "TestReconcileTerminateEndsNothingWithoutRight", "TestALookupSettlesOnlyWhatIsCertain"
	return []Gate{
		{"end-with-a-verified-key", "I5", "ends that are asked for with a refused key", end, without(" || !in.link.verified")},
		{"end-in-the-same-account", "I5", "ends that are asked for in another account, where the number is somebody else's", end, without(" || !in.link.isStable(in.account)")},
		{"end-with-a-fresh-lease", "I5", "ends of a process that is no leader any more", end, without(" || !r.Lease.IsFresh()")},
		{"lookup-was-answered", "I6", "a look-up that failed passing for \"there is no such rental\"", lookup, never()},
		{"lookup-in-the-same-account", "I6", "a key that opens another account making every rental look as if it were gone", lookup, never()},
		{"lookup-account-is-certain", "I6", "a rental counting as gone while nobody can say whose account was asked", lookup, without("err == nil && ")},
		{"disown-own-account-only", "I5", "changing a label in another account, where the number is somebody else's", "TestAbandonedRentalLosesOurLabel", without(" || !in.link.isStable(in.account)")},
		{"release-optimistic-lock", "I6", "letting go of an object whose rent was journaled a moment ago", "TestReleaseLosesToAnAttempt", instead("client.MergeFromWithOptions(instance, client.MergeFromWithOptimisticLock{})", "client.MergeFrom(instance)")},
		{"log-hides-secrets", "I8", "a password in the log of a failed instance", "TestWithoutSecretsLeavesNothingOfThem", never()},
		{"log-needs-the-secrets", "I8", "a log being kept of which nobody could say what is secret in it", "TestALogIsKeptOnlyWithoutSecrets", never()},
	}
}

// poolGates are about the objects that a pool makes and deletes.
func poolGates() []Gate {
	const list = "TestScaleDownWaitsForAList"
	return []Gate{
		{"stray-was-never-rented", "I4", "the record of a rental going away with its pool", "TestAnInstanceWhosePoolIsGone", never()},
		{"pool-acts-on-a-live-reading", "I1", "making instances again that the cache does not show yet", "TestAPoolActsOnALiveReading", never()},
		{"instance-is-held", "I6", "an object that can vanish while its rental bills", "TestAnInstanceIsHeldBeforeItIsRented", skip()},
		{"create-for-an-account-that-stays", "I6", "instances of an account that is being deleted", "TestNothingIsMadeForAnAccountThatCannotPay", without(" && account.DeletionTimestamp.IsZero()")},
		{"create-for-an-account-that-is-held", "I6", "instances of an account that can vanish before them", "TestNothingIsMadeForAnAccountThatCannotPay", without(" && controllerutil.ContainsFinalizer(account, warmpool.FinalizerAccount)")},
		{"scale-down-loses-to-a-claim", "I3", "deleting an instance that was claimed a moment ago", "TestAClaimWinsAgainstScaleDown", without(", ResourceVersion: resourceVersion(in, victim.UID)")},
		{"pool-stays-with-its-instances", "I6", "a pool going away before its instances have ended", "TestAPoolStaysAsLongAsItsInstances", without(" || len(live.instances) > 0")},
		{"scale-down-trusted-list", "I5", "ending instances while the last list is not trusted", list, without(" || !account.Status.LastSweep.Trusted")},
		{"scale-down-fresh-list", "I5", "ending instances on the strength of an old list", list, without(" && age <= 2*pollPeriod(account)+slack")},
		{"scale-down-clock-set-back", "I5", "an old list that looks fresh because the clock was set back", list, without("age >= -time.Second && ")},
	}
}

// instanceGates decide what happens to an instance that failed.
func instanceGates() []Gate {
	const kept = "TestAFailedInstanceIsKeptWhen"
	return []Gate{
		{"give-up-not-while-paused", "I5", "ending instances of a paused pool", kept, never()},
		{"give-up-spares-claims", "I3", "ending what somebody claimed because a probe failed", kept, never()},
		{"give-up-within-the-budget", "I7", "ending a whole pool that only we cannot see", kept, never()},
		{"give-up-loses-to-a-claim", "I3", "deleting a failed instance that was claimed a moment ago", "TestAClaimWinsAgainstAFailure", without(", ResourceVersion: &after.ResourceVersion")},
		{"certificate-pinned-once", "I8", "another certificate being trusted after the first", "TestACertificateIsPinnedOnce", without(" && after.Status.CertificateSHA256 == \"\"")},
		{"certificate-of-what-serves", "I8", "the certificate of something else than our ComfyUI being pinned", "TestACertificateIsPinnedOnce", without(" && probe.Signal == fleet.SignalServing")},
	}
}
