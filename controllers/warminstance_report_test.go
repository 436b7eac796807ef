package controllers

import (
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

func (s *stage) instanceReconciler() *WarmInstanceReconciler {
	return &WarmInstanceReconciler{
		Client: s.client, APIReader: s.client, Events: events.NewFakeRecorder(100), Metrics: noRecorder{}, Clock: s.clock,
		LastTrustedSweep: func(types.NamespacedName) time.Time { return noon.Add(time.Second) },
	}
}

// sweptAccount is an account whose list was read a moment ago.
func sweptAccount() *warmpool.VastAccount {
	account := testAccount()
	account.Status.LastSweep = &warmpool.SweepStatus{Time: metav1.NewTime(noon), Trusted: true}
	return account
}

// failing is the verdict on an instance that has to go.
func failing() *planner.HealthDecision {
	return &planner.HealthDecision{
		Ready:   planner.HealthCondition{Status: "False", Reason: "Unresponsive", Message: "It is silent."},
		Failure: &fleet.Failure{Reason: "Unresponsive", Message: "It is silent. It is replaced.", At: noon},
	}
}

func TestAFailedInstanceIsKeptWhen(t *testing.T) {
	// sick are others of the pool that were Ready and are not.
	sick := func(name string) *warmpool.WarmInstance {
		instance := rentedInstance()
		instance.Name, instance.UID = name, ""
		return instance
	}
	for name, test := range map[string]struct {
		edit   func(*warmpool.WarmPool, *warmpool.WarmInstance)
		others []*warmpool.WarmInstance
		kept   bool
	}{
		"nothing is against it":   {func(*warmpool.WarmPool, *warmpool.WarmInstance) {}, nil, false},
		"the pool is paused":      {func(p *warmpool.WarmPool, _ *warmpool.WarmInstance) { p.Spec.Mode = warmpool.PoolPaused }, nil, true},
		"the pool only rehearses": {func(p *warmpool.WarmPool, _ *warmpool.WarmInstance) { p.Spec.Mode = warmpool.PoolDryRun }, nil, true},
		"somebody claimed it": {func(_ *warmpool.WarmPool, i *warmpool.WarmInstance) {
			i.Spec.ClaimRef = &warmpool.ClaimReference{Name: "c", UID: "c"}
		}, nil, true},
		"the others fail as well": {func(*warmpool.WarmPool, *warmpool.WarmInstance) {}, []*warmpool.WarmInstance{sick("b"), sick("c")}, true},
		"one that was given up goes": {func(_ *warmpool.WarmPool, i *warmpool.WarmInstance) {
			i.Status.Failure = &warmpool.InstanceFailure{Reason: "x", Time: metav1.NewTime(noon)}
		}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			pool, instance := testPool(), rentedInstance()
			pool.Spec.Remediation.MaxUnhealthy = "40%"
			test.edit(pool, instance)
			s := newStage(t, sweptAccount(), pool, instance)
			for _, other := range test.others {
				if err := s.client.Create(t.Context(), other); err != nil {
					t.Fatal(err)
				}
				if err := s.client.Status().Update(t.Context(), other); err != nil {
					t.Fatal(err)
				}
			}
			s.get(instance)
			in := &instanceInput{instance: instance, pool: pool, memory: &probeMemory{}, health: planner.HealthInput{Now: noon}}
			if err := s.instanceReconciler().report(t.Context(), in, failing()); err != nil {
				t.Fatal(err)
			}
			s.get(instance)
			if kept := instance.DeletionTimestamp.IsZero(); kept != test.kept {
				t.Errorf("kept %t, want %t", kept, test.kept)
			}
		})
	}
}

// TestAClaimWinsAgainstAFailure: a claim binds between the write that gives the
// instance up and its deletion.
func TestAClaimWinsAgainstAFailure(t *testing.T) {
	instance := rentedInstance()
	s := newStage(t, sweptAccount(), testPool(), instance)
	s.get(instance)
	in := &instanceInput{instance: instance.DeepCopy(), pool: testPool(), memory: &probeMemory{}, health: planner.HealthInput{Now: noon}}
	in.pool.Spec.Remediation.MaxUnhealthy = "40%"
	s.afterStatusWrite = func() {
		s.afterStatusWrite = nil
		change(s, instance, func(i *warmpool.WarmInstance) { i.Spec.ClaimRef = &warmpool.ClaimReference{Name: "c", UID: "c"} })
	}
	err := s.instanceReconciler().report(t.Context(), in, failing())
	s.get(instance)
	if !apierrors.IsConflict(err) || !instance.DeletionTimestamp.IsZero() {
		t.Errorf("error %v, deleted %t: a claimed instance must stay", err, !instance.DeletionTimestamp.IsZero())
	}
}

// TestACertificateIsPinnedOnce: the first one that let our password through to a
// ComfyUI, and no other.
func TestACertificateIsPinnedOnce(t *testing.T) {
	for name, test := range map[string]struct {
		known  string
		signal fleet.Signal
		want   string
	}{
		"the first that serves": {"", fleet.SignalServing, "new"},
		"one that refuses us":   {"", fleet.SignalAuthRejected, ""},
		"another one later on":  {"old", fleet.SignalServing, "old"},
	} {
		t.Run(name, func(t *testing.T) {
			instance := rentedInstance()
			instance.Status.CertificateSHA256 = test.known
			in := &instanceInput{instance: instance, health: planner.HealthInput{Probe: &fleet.ProbeResult{Signal: test.signal, CertificateSHA256: "new"}}}
			s := newStage(t)
			s.instanceReconciler().reportProof(in, instance, metav1.NewTime(noon))
			if got := instance.Status.CertificateSHA256; got != test.want {
				t.Errorf("pinned %q, want %q", got, test.want)
			}
		})
	}
}
