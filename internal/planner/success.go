package planner

import (
	"slices"
	"time"
)

// Success is an instance that became Ready.
type Success struct {
	// InstanceUID names it.
	InstanceUID string
	// At is when it became Ready.
	At time.Time
}

// NewestSuccess returns the newest success of those that are Ready now and of the
// one that is remembered; the zero value for none. A success whose instance failed
// in the end is none, or a template that dies after a minute would never back off.
// It must be remembered, because instances go: after a pool was scaled to nothing,
// failures that a success had forgiven would otherwise count again.
func NewestSuccess(remembered Success, ready []Success, failures []PoolFailure) Success {
	var newest Success
	for _, success := range append(slices.Clone(ready), remembered) {
		failed := slices.ContainsFunc(failures, func(f PoolFailure) bool { return f.InstanceUID == success.InstanceUID })
		if success.InstanceUID == "" || failed {
			continue
		}
		if success.At.After(newest.At) || (success.At.Equal(newest.At) && success.InstanceUID < newest.InstanceUID) {
			newest = success
		}
	}
	return newest
}
