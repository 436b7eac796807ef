package planner

import "time"

const (
	// leastStep is how far the wall clock may drift from the monotonic one between
	// two looks without having been set.
	leastStep = 2 * time.Second
	// maxSteps bounds what is remembered.
	maxSteps = 16
)

// ClockStep is one time that our wall clock was set forward.
type ClockStep struct {
	// At is the latest that it had shown before.
	At time.Time
	// By is how far it was set forward.
	By time.Duration
}

// ClockSteps remembers how our wall clock was set while this process ran. The
// zero value is right after a start.
type ClockSteps struct {
	// Wall and Uptime are those of the last look.
	Wall   time.Time
	Uptime time.Duration
	// Highest is the latest that the wall clock ever showed.
	Highest time.Time
	// Steps are the steps forward that were not taken back, oldest first.
	Steps []ClockStep
}

// Observe returns the memory after a look at the wall clock; uptime is what the
// monotonic clock says has passed since the process started.
//
// Only steps forward are remembered: they make what an object's status says look
// older than it is, so that deadlines pass too early. A step back makes it look
// younger, and waiting longer is safe; it takes back a step forward before it.
func (c *ClockSteps) Observe(wall time.Time, uptime time.Duration) ClockSteps {
	after := ClockSteps{Wall: wall, Uptime: uptime, Highest: wall, Steps: append([]ClockStep(nil), c.Steps...)}
	if c.Wall.IsZero() {
		return after
	}
	expected := c.Wall.Add(uptime - c.Uptime)
	before := latest(c.Highest, expected)
	after.Highest = latest(before, wall)
	step := wall.Sub(expected)
	if step > -leastStep && step < leastStep {
		return after
	}
	if step > 0 {
		after.Steps = append(after.Steps, ClockStep{At: before, By: step})
		if len(after.Steps) > maxSteps {
			// What is older than the oldest step that is kept looks older by the
			// steps that are not; merging two keeps the sum.
			after.Steps[1].By += after.Steps[0].By
			after.Steps = after.Steps[1:]
		}
		return after
	}
	for back := -step; back > 0 && len(after.Steps) > 0; {
		last := &after.Steps[len(after.Steps)-1]
		taken := min(back, last.By)
		last.By, back = last.By-taken, back-taken
		if last.By < leastStep {
			after.Steps = after.Steps[:len(after.Steps)-1]
		}
	}
	return after
}

// latest returns the later of two times.
func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Correct returns a time that our wall clock gave earlier as the present wall
// clock would have given it: the time since then is what really passed.
func (c *ClockSteps) Correct(at time.Time) time.Time {
	if at.IsZero() {
		return at
	}
	given, before := at, false
	for _, step := range c.Steps {
		// What was given before one step was given before all that follow.
		if before = before || !given.After(step.At); before {
			at = at.Add(step.By)
		}
	}
	return at
}

// CorrectInstances corrects every time in the instances that our own clock gave.
func (c *ClockSteps) CorrectInstances(instances []Instance) {
	if len(c.Steps) == 0 {
		return
	}
	for k := range instances {
		instance := &instances[k]
		for n := range instance.Attempts {
			attempt := &instance.Attempts[n]
			attempt.StartedAt, attempt.FinishedAt = c.Correct(attempt.StartedAt), c.Correct(attempt.FinishedAt)
		}
		if instance.Rental != nil {
			instance.Rental.RecordedAt = c.Correct(instance.Rental.RecordedAt)
			instance.Rental.LabelRestoredAt = c.Correct(instance.Rental.LabelRestoredAt)
		}
		instance.Failure.At, instance.EndingSince = c.Correct(instance.Failure.At), c.Correct(instance.EndingSince)
	}
}
