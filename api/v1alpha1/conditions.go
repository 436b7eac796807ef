package v1alpha1

// Condition types of a WarmPool. Ready means minReadyReplicas are ready;
// FullyProvisioned means that replicas are.
const (
	// ConditionReady on a pool: readyReplicas ≥ minReadyReplicas. On an instance: it rendered a
	// prompt and answers. On an account: rents are possible. On a claim: its instance is Ready and
	// its Secret is there.
	ConditionReady = "Ready"
	// ConditionFullyProvisioned: readyReplicas ≥ replicas.
	ConditionFullyProvisioned = "FullyProvisioned"
	// ConditionWithinCeiling: what is committed does not exceed the ceiling.
	ConditionWithinCeiling = "WithinCeiling"
	// ConditionWithinBudget: no budget of the pool or of its account is used up.
	ConditionWithinBudget = "WithinBudget"
	// ConditionAccountReady: the pool's account can rent.
	ConditionAccountReady = "AccountReady"
	// ConditionOffersAvailable: the last search had an offer that passes every filter.
	ConditionOffersAvailable = "OffersAvailable"
	// ConditionHealthBudgetOK: no more than maxUnhealthy of the pool fail at once.
	ConditionHealthBudgetOK = "HealthBudgetOK"
	// ConditionReconciling is kstatus's: the controllers are at work.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is kstatus's: only a person can mend it; the message says how.
	ConditionStalled = "Stalled"
)

// Condition types of a WarmInstance, beside Ready.
const (
	// ConditionRented: the outcome of the rent. Unknown while it is not known.
	ConditionRented = "Rented"
	// ConditionRunning: Vast.ai reports a running container.
	ConditionRunning = "Running"
	// ConditionStarted: ComfyUI has answered.
	ConditionStarted = "Started"
	// ConditionTerminated: how far the end of the rental has come.
	ConditionTerminated = "Terminated"
	// ConditionPriceAcceptable: it costs what its offer said, within 5 percent.
	ConditionPriceAcceptable = "PriceAcceptable"
	// ConditionRentalSecure: the contract does not end soon.
	ConditionRentalSecure = "RentalSecure"
	// ConditionLabelIntact: the rental carries our label; only there once it did not.
	ConditionLabelIntact = "LabelIntact"
)

// Condition types of a VastAccount, beside Ready and WithinCeiling.
const (
	// ConditionCredentialsValid: the key was accepted.
	ConditionCredentialsValid = "CredentialsValid"
	// ConditionIdentityStable: the key belongs to the user it always did.
	ConditionIdentityStable = "IdentityStable"
	// ConditionListTrusted: the last sweep may be acted upon.
	ConditionListTrusted = "ListTrusted"
	// ConditionBalanceSufficient: the credit lasts for runwaySeconds.
	ConditionBalanceSufficient = "BalanceSufficient"
	// ConditionNoLeaks: no rental with our label is unrecorded.
	ConditionNoLeaks = "NoLeaks"
	// ConditionTerminationsProgressing: no rental has been ending for more than ten minutes.
	ConditionTerminationsProgressing = "TerminationsProgressing"
	// ConditionClockInSync: our clock agrees with Vast.ai's.
	ConditionClockInSync = "ClockInSync"
	// ConditionAPICompatible: Vast.ai's API is the one we know.
	ConditionAPICompatible = "APICompatible"
)

// Condition types of a WarmClaim, beside Ready, Reconciling and Stalled.
const (
	// ConditionBound: the claim holds an instance.
	ConditionBound = "Bound"
	// ConditionFinished: the claim has ended and will never hold an instance again.
	ConditionFinished = "Finished"
)

// Reasons of a WarmClaim's condition Finished. They are in its Bound and Ready, too.
const (
	// ClaimExpired: its time was over, and the instance was released.
	ClaimExpired = "Expired"
	// ClaimReleased: it was deleted, and the instance was released.
	ClaimReleased = "Released"
	// ClaimInstanceLost: the instance ended while it was held.
	ClaimInstanceLost = "InstanceLost"
	// ClaimBindTimeout: no instance was free in time.
	ClaimBindTimeout = "BindTimeout"
	// ClaimQueueFull: too many claims waited already.
	ClaimQueueFull = "QueueFull"
)
