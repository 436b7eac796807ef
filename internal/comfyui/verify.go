package comfyui

import (
	"context"
	"errors"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// verification is one run of Verify.
type verification struct {
	options  Options
	timers   timers
	session  *session
	expect   fleet.Expectations
	occupied bool
	result   fleet.VerifyResult
}

// retry says what may turn a finding into a pass. Each kind is tried once.
type retry string

const (
	retryNever     retry = ""
	retryOtherNode retry = "other node"
	retryAfterFree retry = "after free"
	retryFresh     retry = "fresh input"
)

// finding is a stage that did not pass.
type finding struct {
	fault   fleet.VerifyFault
	signal  fleet.Signal
	message string
	retry   retry
}

// found builds a finding that nothing but a remedy changes.
func found(fault fleet.VerifyFault, message string) *finding {
	return &finding{fault: fault, message: message}
}

// unreachable is the finding for a call that failed.
func unreachable(err error) *finding {
	f := &finding{fault: fleet.FaultUnreachable, signal: SignalOf(err), message: "The verification could not be finished."}
	if call, ok := errors.AsType[*callError](err); ok {
		f.message = call.text
	}
	return f
}

// Verify proves that an instance can serve: it computes on the GPU that was
// rented, has the required nodes and models, and renders a tiny prompt whose
// picture is fetched and checked. It runs a prompt, so call it only while nobody
// uses the instance and its queue is empty. It blocks for at most VerifyTimeout.
//
// Occupied memory is a fault only when the smoke prompt was the first that this
// ComfyUI process ever got: later it means warm models.
//
// When ctx ends first, the fault is Unreachable with an empty signal, and says
// nothing about the instance.
func (p *Prober) Verify(ctx context.Context, target Target, expect fleet.Expectations) fleet.VerifyResult {
	ctx, stop := p.timers.limit(ctx, p.options.VerifyTimeout, errTooLong)
	defer stop()
	s := p.open(target, target.Address, true)
	defer s.close()
	v := &verification{options: p.options, timers: p.timers, session: s, expect: expect}
	for _, stage := range []func(context.Context) *finding{v.checkGPU, v.checkNodes, v.checkModels, v.checkRender} {
		if f := stage(ctx); f != nil {
			v.result.Fault, v.result.Signal, v.result.Message = f.fault, f.signal, f.message
			break
		}
	}
	v.result.At = p.options.Clock.Now()
	return v.result
}
