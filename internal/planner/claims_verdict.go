package planner

import (
	"fmt"
	"time"
)

// The reasons of claims.
const (
	// ClaimReasonBound: it holds an instance.
	ClaimReasonBound = "Bound"
	// ClaimReasonReady: its instance is ready for use.
	ClaimReasonReady = "Ready"
	// ClaimReasonBinding: an instance is being given to it.
	ClaimReasonBinding = "Binding"
	// ClaimReasonQueued: no instance is free.
	ClaimReasonQueued = "Queued"
	// ClaimReasonNoMatch: instances are free, and none meets its requirements.
	ClaimReasonNoMatch = "NoMatchingInstance"
	// ClaimReasonNotFinished: it waits, or holds an instance.
	ClaimReasonNotFinished = "NotFinished"
	// ClaimReasonExpired: its time was over.
	ClaimReasonExpired = "Expired"
	// ClaimReasonReleased: it was deleted.
	ClaimReasonReleased = "Released"
	// ClaimReasonInstanceLost: the instance ended while it was held.
	ClaimReasonInstanceLost = "InstanceLost"
	// ClaimReasonBindTimeout: no instance was free in time.
	ClaimReasonBindTimeout = "BindTimeout"
	// ClaimReasonQueueFull: too many claims waited already.
	ClaimReasonQueueFull = "QueueFull"
	// ClaimReasonRecycling: the instance of a claim that has ended is being cleaned.
	ClaimReasonRecycling = "Recycling"
	// ClaimReasonRecycled: it is clean, and free for the next claim.
	ClaimReasonRecycled = "Recycled"
	// ClaimReasonRecycleFailed: it could not be cleaned in time, and is ended.
	ClaimReasonRecycleFailed = "RecycleFailed"
)

// The condition types of a claim.
const (
	claimBound       = "Bound"
	claimReady       = "Ready"
	claimFinished    = "Finished"
	claimReconciling = "Reconciling"
	claimStalled     = "Stalled"
)

// notFinished is the condition Finished of a claim that goes on.
func notFinished() PoolCondition {
	return PoolCondition{claimFinished, statusFalse, ClaimReasonNotFinished, "It waits for an instance, or holds one."}
}

// heldConditions are those of a claim that holds an instance.
func (c *claims) heldConditions(held *ClaimInstance, expires time.Time, capped bool) []PoolCondition {
	message := fmt.Sprintf("It holds instance %s until %s.", held.Name, expires.UTC().Format(time.RFC3339))
	if capped {
		message += " That is the most that the pool allows (spec.claimPolicy.maxTTLSeconds)."
	}
	ready := PoolCondition{claimReady, statusTrue, ClaimReasonReady, "Its instance is ready for use."}
	busy := PoolCondition{claimReconciling, statusFalse, ClaimReasonBound, message}
	if !held.Ready {
		text := fmt.Sprintf("Instance %s is not ready: %s Delete the claim to give it back, and make a new one for another.", held.Name, sentence(held.HealthMessage))
		ready = PoolCondition{claimReady, statusFalse, orText(held.HealthReason, PoolReasonUnhealthy), text}
		busy = PoolCondition{claimReconciling, statusTrue, ready.Reason, text}
	}
	return []PoolCondition{
		{claimBound, statusTrue, ClaimReasonBound, message},
		ready, notFinished(), busy,
		{claimStalled, statusFalse, PoolReasonNotStalled, "Nobody needs to do anything."},
	}
}

// bindingConditions are those of a claim that gets an instance now.
func bindingConditions(instance string) []PoolCondition {
	message := fmt.Sprintf("Instance %s is being given to it.", instance)
	return []PoolCondition{
		{claimBound, statusFalse, ClaimReasonBinding, message},
		{claimReady, statusFalse, ClaimReasonBinding, message},
		notFinished(),
		{claimReconciling, statusTrue, ClaimReasonBinding, message},
		{claimStalled, statusFalse, PoolReasonNotStalled, "Nobody needs to do anything."},
	}
}

// waitingConditions say why a claim waits: its place, and what the pool says.
func (c *claims) waitingConditions(claim *Claim, position, free int) []PoolCondition {
	reason, message := c.whyItWaits(claim, free)
	deadline := claim.CreatedAt.Add(seconds(claim.BindTimeoutSeconds))
	message = fmt.Sprintf("It is number %d of the claims that wait, and waits until %s. %s", position, deadline.UTC().Format(time.RFC3339), message)
	reconciling := PoolCondition{claimReconciling, statusTrue, reason, message}
	stalled := PoolCondition{claimStalled, statusFalse, PoolReasonNotStalled, "Nobody needs to do anything."}
	if reason == ReasonPoolNotFound {
		reconciling = PoolCondition{claimReconciling, statusFalse, reason, message}
		stalled = PoolCondition{claimStalled, statusTrue, reason, message}
	}
	return []PoolCondition{
		{claimBound, statusFalse, reason, message}, {claimReady, statusFalse, reason, message}, notFinished(), reconciling, stalled,
	}
}

// whyItWaits is the reason of a claim that waits, and its sentence.
func (c *claims) whyItWaits(claim *Claim, free int) (reason, message string) {
	pool := &c.in.Pool
	switch {
	case !pool.Found:
		return ReasonPoolNotFound, fmt.Sprintf("There is no WarmPool %q in the namespace. Make it, or delete the claim.", pool.Name)
	case pool.Deleting:
		return ReasonPoolDeleting, fmt.Sprintf("WarmPool %s is being deleted, so nothing is handed out.", pool.Name)
	case pool.EmergencyStop:
		return ReasonEmergencyStop, "The account's spec.mode is EmergencyStop: everything is ended."
	case free > 0:
		return ClaimReasonNoMatch, "Instances are free, and none of them meets spec.requirements." + c.promise(claim)
	case pool.Reason != "":
		return pool.Reason, fmt.Sprintf("WarmPool %s says: %s%s", pool.Name, pool.Message, c.promise(claim))
	default:
		return ClaimReasonQueued, "No instance is free." + c.promise(claim)
	}
}

// promise says of a claim that the pool does not rent for why it does not.
func (c *claims) promise(claim *Claim) string {
	if claim.isPromised(&c.in.Pool) {
		return ""
	}
	return " Nothing is rented for it, because what the pool rents need not meet spec.requirements: ask for no more than spec.offers of the pool does, or narrow that."
}

// finishedConditions are those of a claim that ends.
func finishedConditions(reason, message string) []PoolCondition {
	return []PoolCondition{
		{claimBound, statusFalse, reason, message},
		{claimReady, statusFalse, reason, message},
		{claimFinished, statusTrue, reason, message},
		{claimReconciling, statusFalse, reason, message},
		{claimStalled, statusTrue, reason, message},
	}
}

// lostMessage says what became of the instance of a claim, as far as is known.
func (c *claims) lostMessage(claim *Claim) string {
	pool := &c.in.Pool
	text := fmt.Sprintf("Instance %s, which it held, has ended: ", claim.Told)
	switch lost := c.lost(claim); {
	case pool.EmergencyStop:
		text += "the account's spec.mode is EmergencyStop, which ends everything."
	case pool.Deleting:
		text += "the pool is being deleted."
	case !pool.Found:
		text += "the pool is gone."
	case pool.EndsAll != "":
		text += pool.EndsAll
	case lost != nil && lost.Failed:
		text += lost.Failure.Reason + ": " + sentence(lost.Failure.Message)
	case lost != nil && lost.endsBefore(c.in.Now):
		text += "its contract was over."
	default:
		text += "somebody deleted it, or its rental was lost; its events say more."
	}
	return text + " Make a new claim for another one."
}

// lost is the instance that a claim held, when it is still on its way out.
func (c *claims) lost(claim *Claim) *ClaimInstance {
	for _, instance := range c.instances {
		if instance.Name == claim.Told && instance.ClaimUID == claim.UID {
			return instance
		}
	}
	return nil
}

// queueFullMessage explains a claim that may not wait.
func (c *claims) queueFullMessage() string {
	return fmt.Sprintf("%d claims wait already, which is the most that the pool allows (spec.claimPolicy.maxPending).%s Make a new claim later.", c.in.Pool.MaxPending, c.poolWords())
}

// poolWords passes on what the pool says, as a sentence of its own.
func (c *claims) poolWords() string {
	if c.in.Pool.Reason == "" {
		return ""
	}
	return fmt.Sprintf(" WarmPool %s said: %s: %s", c.in.Pool.Name, c.in.Pool.Reason, c.in.Pool.Message)
}

// sentence ends a text with a full stop.
func sentence(text string) string { return sentencePart(text) + "." }
