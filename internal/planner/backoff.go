package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxPoolFailures bounds the failures that a pool remembers.
const maxPoolFailures = 10

// PoolFailure is one instance of a pool that was given up.
type PoolFailure struct {
	// InstanceUID names the instance; a failure is recorded once per UID.
	InstanceUID string
	// InstanceName is for people.
	InstanceName string
	// MachineID is where it happened, 0 when unknown.
	MachineID int64
	// Reason is a CamelCase constant, Message a sentence with the remedy.
	Reason, Message string
	// HostFault is true when the machine is to blame.
	HostFault bool
	// TemplateHash is the template the instance was made from; empty when unknown.
	TemplateHash string
	// At is when the instance was given up.
	At time.Time
}

// BackoffPolicy says how long a pool waits after failures.
type BackoffPolicy struct {
	// InitialSeconds is the pause after the first failure; it doubles with each
	// failure in a row up to MaxSeconds.
	InitialSeconds, MaxSeconds int64
	// ResetAfterSeconds without a failure, once rents were allowed again, start
	// the count anew.
	ResetAfterSeconds int64
}

// BackoffInput is everything that decides the back-off of a pool.
type BackoffInput struct {
	// Failures are those that RecordFailures keeps, in any order.
	Failures []PoolFailure
	// LastSuccess is when an instance last became Ready that has not failed
	// since; zero when none has. An instance that was Ready and then failed is
	// no success, or a template that dies after a minute would never back off.
	LastSuccess time.Time
	// ReadyNow is the number of Ready or claimed instances with the present
	// template. While there is one, the template works, and a fault of hosts
	// stays a fault of hosts even on two machines.
	ReadyNow int
	// TemplateHash is the pool's present template. Failures of another one are
	// forgiven: a changed template deserves a new try.
	TemplateHash string
	// Policy says how long to wait.
	Policy BackoffPolicy
	// Now is the time of the decision.
	Now time.Time
}

// BackoffState is where the back-off of a pool stands. The zero value is "no
// failures".
type BackoffState struct {
	// Consecutive is the number of failures in a row, at most 10.
	Consecutive int
	// NextAttemptAt is when the next instance may be rented; zero when Consecutive is 0.
	NextAttemptAt time.Time
	// Waiting is true while NextAttemptAt is ahead.
	Waiting bool
	// OneAtATime is true from the first failure to the next success: one
	// instance under way is enough to find out whether the fault is gone.
	OneAtATime bool
	// TemplateFailing is true when the same reason struck two machines: the
	// template is to blame, and more machines would not help.
	TemplateFailing bool
	// Machines are those of the template fault, ascending.
	Machines []int64
	// LastReason and LastMessage are the newest failure's.
	LastReason, LastMessage string
	// Message says in a sentence what happened, why nothing is rented, and what
	// to do; empty when Consecutive is 0.
	Message string
}

// RecordFailures adds failures to those that are remembered. An instance is
// recorded once, by its UID, however often it is reported; the ten newest are
// kept, newest first.
func RecordFailures(existing []PoolFailure, failed ...PoolFailure) []PoolFailure {
	recorded := make([]PoolFailure, 0, len(existing)+len(failed))
	seen := make(map[string]bool, len(existing)+len(failed))
	for _, failure := range slices.Concat(existing, failed) {
		if !seen[failure.InstanceUID] {
			seen[failure.InstanceUID] = true
			recorded = append(recorded, failure)
		}
	}
	slices.SortFunc(recorded, newestFailureFirst)
	return recorded[:min(len(recorded), maxPoolFailures)]
}

// ComputeBackoff decides when the next instance of a pool may be rented. The
// pause after the n-th failure in a row is initial × 2^(n-1), at most max, from
// the newest failure on. A fault of the template waits for max at once. There
// is no jitter: rents of one account are serial anyway.
func ComputeBackoff(in *BackoffInput) BackoffState {
	failures := failuresInARow(in)
	if len(failures) == 0 {
		return BackoffState{}
	}
	state := BackoffState{
		Consecutive: len(failures), OneAtATime: true,
		LastReason: failures[0].Reason, LastMessage: failures[0].Message,
	}
	culprit := templateFault(failures, in.ReadyNow > 0)
	wait := in.Policy.pause(len(failures))
	//warmpool:gate backoff-template-fault
	if culprit != nil {
		state.TemplateFailing = true
		state.Machines = machinesWith(failures, culprit.Reason)
		wait = in.Policy.longest()
	}
	state.NextAttemptAt = failures[0].At.Add(wait)
	state.Waiting = in.Now.Before(state.NextAttemptAt)
	// Counted from the end of the pause, not from the failure: with equal
	// seconds the count would otherwise be forgotten before it was ever tried.
	if !in.Now.Before(state.NextAttemptAt.Add(seconds(in.Policy.ResetAfterSeconds))) {
		return BackoffState{}
	}
	state.Message = backoffMessage(&state, culprit)
	return state
}

// failuresInARow returns the failures of the present template since the last
// success, newest first.
func failuresInARow(in *BackoffInput) []PoolFailure {
	var failures []PoolFailure
	for _, failure := range in.Failures {
		other := in.TemplateHash != "" && failure.TemplateHash != "" && failure.TemplateHash != in.TemplateHash
		if !other && failure.At.After(in.LastSuccess) {
			failures = append(failures, failure)
		}
	}
	slices.SortFunc(failures, newestFailureFirst)
	return failures
}

// templateFault returns the newest failure whose reason struck at least two
// machines, nil when there is none. Reasons that blame the host count only
// while nothing shows that the template works.
func templateFault(failures []PoolFailure, templateWorks bool) *PoolFailure {
	const machinesForTemplateFault = 2
	for k := range failures {
		failure := &failures[k]
		if endedWithoutUs(failure.Reason) || (failure.HostFault && templateWorks) {
			continue
		}
		if len(machinesWith(failures, failure.Reason)) >= machinesForTemplateFault {
			return failure
		}
	}
	return nil
}

// endedWithoutUs is true for what hosts, credit or people did to instances: no
// template does that.
func endedWithoutUs(reason string) bool {
	switch reason {
	case ReasonInstanceLost, HealthInstanceStopped, HealthHostOffline:
		return true
	default:
		return false
	}
}

// machinesWith lists the machines on which a reason struck, ascending.
func machinesWith(failures []PoolFailure, reason string) []int64 {
	var machines []int64
	for k := range failures {
		if failures[k].Reason == reason && failures[k].MachineID != 0 {
			machines = append(machines, failures[k].MachineID)
		}
	}
	slices.Sort(machines)
	return slices.Compact(machines)
}

// pause is the wait after the n-th failure in a row.
func (p *BackoffPolicy) pause(n int) time.Duration {
	pause, longest := seconds(p.InitialSeconds), p.longest()
	for range n - 1 {
		if pause >= longest {
			break
		}
		pause *= 2
	}
	return min(pause, longest)
}

// longest is the longest wait. It is never shorter than the first.
func (p *BackoffPolicy) longest() time.Duration {
	return seconds(max(p.MaxSeconds, p.InitialSeconds))
}

// backoffMessage explains the pause to people.
func backoffMessage(state *BackoffState, culprit *PoolFailure) string {
	next := "The next instance is rented now, and one at a time until one becomes ready"
	if state.Waiting {
		next = "The next instance is rented after " + state.NextAttemptAt.UTC().Format(time.RFC3339)
	}
	if culprit == nil {
		return fmt.Sprintf("%s with %s: %s. %s.",
			plural(state.Consecutive, "instance failed,", "instances failed in a row, the last"), state.LastReason, sentencePart(state.LastMessage), next)
	}
	return fmt.Sprintf("%s on machines %s: %s. The same fault on several machines is a fault of the template, so buying more would not help. "+
		"Read status.failures.recent[].logTail (kubectl get wp -o yaml) and mend spec.template; failures of the old template then no longer count. %s.",
		culprit.Reason, joinIDs(state.Machines), sentencePart(culprit.Message), next)
}

// newestFailureFirst is a total order.
func newestFailureFirst(a, b PoolFailure) int {
	return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.InstanceUID, b.InstanceUID))
}

// seconds converts a number of seconds; negative ones count as none.
func seconds(n int64) time.Duration { return time.Duration(max(n, 0)) * time.Second }

// plural puts a number before the right form of a phrase.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// shortDuration prints a duration without the zeros that time.Duration adds:
// "2h", not "2h0m0s".
func shortDuration(d time.Duration) string {
	text := wholeSeconds(d).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// sentencePart makes a message fit before a semicolon or a full stop.
func sentencePart(message string) string {
	if message = strings.TrimRight(strings.TrimSpace(message), "."); message != "" {
		return message
	}
	return "no message"
}

// joinIDs lists numbers for people.
func joinIDs(ids []int64) string {
	words := make([]string, 0, len(ids))
	for _, id := range ids {
		words = append(words, strconv.FormatInt(id, 10))
	}
	return strings.Join(words, ", ")
}
