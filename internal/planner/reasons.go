package planner

// The reasons of deferrals, admissions and verdicts. They feed conditions,
// events, metrics and audit lines unchanged.
const (
	// ReasonAdmitted: the offer fits every limit.
	ReasonAdmitted = "Admitted"
	// ReasonDryRun: it would be rented, but the pool only rehearses.
	ReasonDryRun = "DryRun"

	// ReasonAccountFrozen: spec.mode of the account is Frozen.
	ReasonAccountFrozen = "AccountFrozen"
	// ReasonEmergencyStop: spec.mode of the account is EmergencyStop.
	ReasonEmergencyStop = "EmergencyStop"
	// ReasonAccountDeleting: the account object is being deleted.
	ReasonAccountDeleting = "AccountDeleting"
	// ReasonLeaseNotFresh: another leader may exist.
	ReasonLeaseNotFresh = "LeaseNotFresh"
	// ReasonCredentialsInvalid: the API key is missing, wrong, revoked or lacks a permission.
	ReasonCredentialsInvalid = "CredentialsInvalid"
	// ReasonAccountIdentityChanged: the key belongs to another account than the pinned one.
	ReasonAccountIdentityChanged = "AccountIdentityChanged"
	// ReasonSharedUser: an older account object has a key of the same user.
	ReasonSharedUser = "SharedUser"
	// ReasonIdentityUnverified: nobody has said lately whose account the key opens.
	ReasonIdentityUnverified = "IdentityUnverified"
	// ReasonAwaitingFirstSweep: no trusted sweep since this process started.
	ReasonAwaitingFirstSweep = "AwaitingFirstSweep"
	// ReasonSweepStale: the last trusted sweep is too old.
	ReasonSweepStale = "SweepStale"
	// ReasonProviderUntrusted: the latest sweep is not trusted.
	ReasonProviderUntrusted = "ProviderUntrusted"
	// ReasonBalanceUnknown: the balance was never read.
	ReasonBalanceUnknown = "BalanceUnknown"
	// ReasonBalanceLow: the balance would not last for the runway.
	ReasonBalanceLow = "BalanceLow"

	// ReasonTrusted: the sweep may be believed.
	ReasonTrusted = "Trusted"
	// ReasonProviderUnreachable: no usable answer (transport error, timeout, 5xx).
	ReasonProviderUnreachable = "ProviderUnreachable"
	// ReasonAPIDeprecated: the endpoint was retired; upgrade Warmpool.
	ReasonAPIDeprecated = "APIDeprecated"
	// ReasonRateLimited: the provider asks to slow down.
	ReasonRateLimited = "RateLimited"
	// ReasonInvalidResponse: the answer cannot be read.
	ReasonInvalidResponse = "InvalidResponse"
	// ReasonInconsistentList: the pages contradict each other.
	ReasonInconsistentList = "InconsistentList"
	// ReasonSuspiciousDrop: too many known rentals vanished in one sweep.
	ReasonSuspiciousDrop = "SuspiciousDrop"

	// ReasonPoolNotFound: the pool of the instance is not there.
	ReasonPoolNotFound = "PoolNotFound"
	// ReasonPoolDeleting: the pool is being deleted.
	ReasonPoolDeleting = "PoolDeleting"
	// ReasonPaused: spec.mode of the pool is Paused.
	ReasonPaused = "Paused"
	// ReasonDraining: spec.mode of the pool is Drain.
	ReasonDraining = "Draining"
	// ReasonBackingOff: the pool waits after failures.
	ReasonBackingOff = "BackingOff"
	// ReasonHealthSuspended: too many instances failed at once; buying more would not help.
	ReasonHealthSuspended = "HealthSuspended"
	// ReasonMaxReplicasReached: spec.maxReplicas is in use.
	ReasonMaxReplicasReached = "MaxReplicasReached"
	// ReasonNotNeeded: enough instances are rented already.
	ReasonNotNeeded = "NotNeeded"
	// ReasonAttemptsExhausted: the object's rent attempts are used up.
	ReasonAttemptsExhausted = "AttemptsExhausted"
	// ReasonRentOutcomeUnknown: an earlier rent may have succeeded (I2).
	ReasonRentOutcomeUnknown = "RentOutcomeUnknown"
	// ReasonPreviousRentalEnding: an earlier rental of the object is not confirmed gone (I2).
	ReasonPreviousRentalEnding = "PreviousRentalEnding"
	// ReasonUnrecordedRental: the account shows a rental labelled for the object that it does not record (I2).
	ReasonUnrecordedRental = "UnrecordedRental"
	// ReasonNotPending: the object no longer waits for a rental.
	ReasonNotPending = "NotPending"

	// ReasonNoMatchingOffers: no offer passes the pool's filters.
	ReasonNoMatchingOffers = "NoMatchingOffers"
	// ReasonAllAboveCap: offers match, but every one costs more than one instance may.
	ReasonAllAboveCap = "AllAboveCap"
	// ReasonAllBlocked: offers match, but only on machines that are blocked or in use by us.
	ReasonAllBlocked = "AllBlocked"
	// ReasonCostCeilingReached: the pool's ceiling leaves no room.
	ReasonCostCeilingReached = "CostCeilingReached"
	// ReasonAccountCeilingReached: the account's ceiling leaves no room.
	ReasonAccountCeilingReached = "AccountCeilingReached"
	// ReasonBudgetExhausted: a budget is used up, or would be soon.
	ReasonBudgetExhausted = "BudgetExhausted"
	// ReasonBudgetZoneUnknown: a budget names a time zone that is not known.
	ReasonBudgetZoneUnknown = "BudgetZoneUnknown"
	// ReasonLedgerUnknown: what was spent of a budget is not counted yet.
	ReasonLedgerUnknown = "LedgerUnknown"

	// ReasonLabelMatched: exactly the rental that the attempt asked for was found.
	ReasonLabelMatched = "LabelMatched"
	// ReasonLabelLost: a rental without a label may be the attempt's, relabelled by somebody.
	ReasonLabelLost = "LabelLost"
	// ReasonLabelCopied: a rental carries the attempt's label but runs on another machine, or is recorded elsewhere.
	ReasonLabelCopied = "LabelCopied"
	// ReasonAbsent: trusted sweeps showed no rental for long enough.
	ReasonAbsent = "Absent"
	// ReasonAwaitingSweeps: more trusted sweeps are needed.
	ReasonAwaitingSweeps = "AwaitingSweeps"

	// ReasonLabelChanged: somebody changed the label of a rental of ours; it is put back once.
	ReasonLabelChanged = "LabelChanged"
	// ReasonLabelContested: it was changed again, and is left alone.
	ReasonLabelContested = "LabelContested"
	// ReasonDuplicateInstallation: a second writer with our installation id is alive.
	ReasonDuplicateInstallation = "DuplicateInstallation"

	// ReasonAdopted: the rental is recorded, of a lost answer or because a person asked for it.
	ReasonAdopted = "Adopted"
	// ReasonAwaitingAdoption: no trusted list has shown the rental to take over yet.
	ReasonAwaitingAdoption = "AwaitingAdoption"
	// ReasonRentalNotFound: the account does not have the rental to take over.
	ReasonRentalNotFound = "RentalNotFound"
	// ReasonRentalRecorded: another WarmInstance records it.
	ReasonRentalRecorded = "RentalRecorded"
	// ReasonRentalOfOther: its label names another installation.
	ReasonRentalOfOther = "RentalOfOtherInstallation"
	// ReasonRentalOfAttempt: an attempt of another WarmInstance made it.
	ReasonRentalOfAttempt = "RentalOfAttempt"

	// ReasonConfirmedGone: absent from trusted sweeps, and a point lookup agrees.
	ReasonConfirmedGone = "ConfirmedGone"
	// ReasonTerminationStuck: the rental is not gone ten minutes after its end was asked for.
	ReasonTerminationStuck = "TerminationStuck"
	// ReasonNeverRented: no attempt made a rental.
	ReasonNeverRented = "NeverRented"
	// ReasonAbandoned: a person let go of the rental by naming its id.
	ReasonAbandoned = "Abandoned"
	// ReasonInstanceLost: the rental ended without us.
	ReasonInstanceLost = "InstanceLost"
	// ReasonInstanceDeleted: the object is deleted, so its rental ends.
	ReasonInstanceDeleted = "InstanceDeleted"
	// ReasonExtraRental: a second rental of one object (I2).
	ReasonExtraRental = "ExtraRental"
	// ReasonLateRental: the rental of an attempt that had been given up.
	ReasonLateRental = "LateRental"
	// ReasonSuspectedLeak: a rental of this installation that no object records (I4).
	ReasonSuspectedLeak = "SuspectedLeak"
)
