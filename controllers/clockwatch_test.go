package controllers

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// TestAClockSetForwardEndsNothing: the wall clock is set five minutes ahead
// between two looks at an instance. By the wall its deadline of fifteen minutes
// has passed, and it has not.
func TestAClockSetForwardEndsNothing(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct{ set time.Duration }{
		"not set": {}, "ahead": {set: 5 * time.Minute}, "back": {set: -5 * time.Minute}, "far ahead": {set: 3 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			uptime, clock := time.Duration(0), clocktesting.NewFakeClock(start)
			r := &WarmInstanceReconciler{Clock: clock, LastTrustedSweep: func(types.NamespacedName) time.Time { return clock.Now() }}
			r.clock.uptime = func() time.Duration { return uptime }
			in := &instanceInput{instance: &warmpool.WarmInstance{}, pool: &warmpool.WarmPool{}}
			in.pool.Spec.Lifecycle = warmpool.Lifecycle{ProvisioningDeadlineSeconds: 900, StartupDeadlineSeconds: 1800}
			in.pool.Spec.Probes = warmpool.Probes{PeriodSeconds: 15, FailureThreshold: 3, BusySilenceSeconds: 180, MaxPromptSeconds: 1800, ReproveSeconds: 1800}
			in.instance.Status.Rental = &warmpool.Rental{ID: 5, MachineID: 7, RecordedTime: &metav1.Time{Time: start}}
			in.instance.Status.Provider.ActualStatus = "loading"
			var memory planner.HealthMemory
			var decision planner.HealthDecision
			pass := func(passes time.Duration) {
				for range passes / time.Minute {
					uptime += time.Minute
					clock.Step(time.Minute)
					in.health = r.healthInput(in)
					in.health.Now = clock.Now()
					memory, decision = planner.ComputeHealth(memory, &in.health)
				}
			}
			pass(time.Minute)
			clock.Step(tc.set)
			const almost, over = 13 * time.Minute, 16 * time.Minute
			if pass(almost - time.Minute); decision.Failure != nil {
				t.Fatalf("after %s it is given up: %+v", almost, decision.Failure)
			}
			if pass(over - almost + max(-tc.set, 0)); decision.Failure == nil {
				t.Errorf("after %s it is not given up: %+v", over, decision)
			}
		})
	}
}

// TestClockConditionTellsASkew: a clock that is wrong makes ages and ends of
// contracts wrong, so people are told.
func TestClockConditionTellsASkew(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		skew  time.Duration
		known bool
		ok    bool
	}{
		"not known": {ok: true}, "in sync": {skew: 59 * time.Second, known: true, ok: true},
		"ahead": {skew: 61 * time.Second, known: true}, "behind": {skew: -5 * time.Minute, known: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := clockCondition(skewed{skew: tc.skew, known: tc.known})
			if answer.ok != tc.ok || answer.message == "" {
				t.Errorf("got %+v", answer)
			}
		})
	}
	if answer := clockCondition(nil); !answer.ok {
		t.Errorf("without a provider: %+v", answer)
	}
}

// skewed is a provider whose clock differs from ours.
type skewed struct {
	Provider
	skew  time.Duration
	known bool
}

func (s skewed) ClockSkew() (time.Duration, bool) { return s.skew, s.known }
