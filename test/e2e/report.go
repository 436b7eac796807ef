package main

import (
	"fmt"
	"io"
	"time"
)

// report counts what was asserted and prints each as it becomes known.
type report struct {
	out              io.Writer
	started          time.Time
	asserted, failed int
	// leftOut are assertions that this cluster does not allow, with the reason.
	leftOut []string
	// firstReady is from the beginning of helm install to the first ready instance.
	firstReady time.Duration
}

// chapter begins a part.
func (r *report) chapter(title string) { r.print("\n%s\n", title) }

func (r *report) print(format string, values ...any) {
	_, _ = fmt.Fprintf(r.out, format, values...) //nolint:errcheck // a terminal that is gone
}

// assert notes that something is as it should be, or how it is not. It returns err.
func (r *report) assert(what string, took time.Duration, err error) error {
	r.asserted++
	if err != nil {
		r.failed++
		r.print("  FAILED %s: %v\n", what, err)
		return err
	}
	duration := ""
	if took >= time.Second {
		duration = fmt.Sprintf(" (%.0f s)", took.Seconds())
	}
	r.print("  ok     %s%s\n", what, duration)
	return nil
}

// leave notes what was not asserted.
func (r *report) leave(what, why string) {
	r.leftOut = append(r.leftOut, what)
	r.print("  --     left out: %s: %s\n", what, why)
}

// conclude prints the figures.
func (r *report) conclude() {
	r.print("\nhelm install to first ready: %.1f s\n", r.firstReady.Seconds())
	r.print("e2e asserted=%d failed=%d left_out=%d seconds=%.0f\n", r.asserted, r.failed, len(r.leftOut), time.Since(r.started).Seconds())
}
