package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// previewNow is when the previews of the tests are made.
func previewNow() time.Time { return time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC) }

// previewOf is a pool that wants n, its account with a trusted list, and what else is given.
func previewOf(n int32, instances ...warmpool.WarmInstance) *PreviewInput {
	at := metav1.NewTime(previewNow().Add(-time.Hour))
	pool := warmpool.WarmPool{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "sdxl"},
		Spec: warmpool.WarmPoolSpec{
			Replicas: &n, Mode: warmpool.PoolActive, AccountRef: warmpool.LocalReference{Name: "vast"},
			Cost: warmpool.PoolCost{CeilingUSDPerHour: "2.00"},
		},
	}
	return &PreviewInput{
		Pool: &pool, Pools: []warmpool.WarmPool{pool}, Instances: instances, Now: previewNow(),
		Account: &warmpool.VastAccount{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "vast", Finalizers: []string{warmpool.FinalizerAccount}},
			Spec:       warmpool.VastAccountSpec{CeilingUSDPerHour: "6.00"},
			Status: warmpool.VastAccountStatus{
				// The list was read an hour ago: only the operator knows how fresh it is.
				LastSweep:  &warmpool.SweepStatus{Time: at, Trusted: true},
				Conditions: []metav1.Condition{{Type: warmpool.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready", LastTransitionTime: at}},
			},
		},
	}
}

// previewInstance is an instance of a pool; one with a rental is Ready.
func previewInstance(name, pool string, rental int64, price warmpool.SignedUSD) warmpool.WarmInstance {
	at := metav1.NewTime(previewNow().Add(-30 * time.Minute))
	instance := warmpool.WarmInstance{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name), CreationTimestamp: at},
		Spec:       warmpool.WarmInstanceSpec{PoolRef: warmpool.LocalReference{Name: pool}, AccountRef: warmpool.LocalReference{Name: "vast"}},
	}
	if rental != 0 {
		instance.Status.Rental = &warmpool.Rental{ID: rental, RecordedTime: &at}
		instance.Status.Price = warmpool.InstancePrice{CurrentUSDPerHour: price, ObservedTime: &at}
		instance.Status.ReadyTime = &at
		instance.Status.Conditions = []metav1.Condition{{Type: warmpool.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready", LastTransitionTime: at}}
	}
	return instance
}

// TestPreviewPool asks the operator's decision about objects.
func TestPreviewPool(t *testing.T) {
	ready, waits := previewInstance("ready", "sdxl", 7, "0.40"), previewInstance("waits", "sdxl", 0, "")
	dear, other := previewInstance("dear", "sdxl", 8, "0.60"), previewInstance("other", "flux", 9, "0.50")
	for name, test := range map[string]struct {
		change  func(*PreviewInput)
		in      *PreviewInput
		create  int
		end     []string
		held    []string
		renting []string
		may     bool
	}{
		"at its size":            {in: previewOf(1, ready), may: true},
		"short":                  {in: previewOf(2, ready), create: 1, may: true},
		"waits":                  {in: previewOf(2, ready, waits), renting: []string{"waits"}, may: true},
		"too many":               {in: previewOf(1, ready, dear), end: []string{"dear"}, may: true},
		"others do not count":    {in: previewOf(1, ready, other), may: true},
		"untrusted":              {in: previewOf(1, ready, dear), change: func(in *PreviewInput) { in.Account.Status.LastSweep.Trusted = false }, held: []string{"dear"}, may: true},
		"never swept":            {in: previewOf(1, ready, dear), change: func(in *PreviewInput) { in.Account.Status.LastSweep = nil }, held: []string{"dear"}, may: true},
		"no account":             {in: previewOf(1), change: func(in *PreviewInput) { in.Account = nil }, create: 1},
		"account that ends":      {in: previewOf(1), change: func(in *PreviewInput) { in.Account.Finalizers = nil }, create: 1},
		"drained":                {in: previewOf(2, ready, waits), change: func(in *PreviewInput) { in.Pool.Spec.Mode = warmpool.PoolDrain; in.Pools[0] = *in.Pool }, end: []string{"ready", "waits"}, may: true},
		"paused ends nothing":    {in: previewOf(0, ready), change: func(in *PreviewInput) { in.Pool.Spec.Mode = warmpool.PoolPaused; in.Pools[0] = *in.Pool }, may: true},
		"stopped ends all there": {in: previewOf(2, ready), change: func(in *PreviewInput) { in.Account.Spec.Mode = warmpool.AccountEmergencyStop }, end: []string{"ready"}, may: true},
	} {
		t.Run(name, func(t *testing.T) {
			if test.change != nil {
				test.change(test.in)
			}
			before := len(test.in.Instances)
			got := PreviewPool(test.in)
			var renting []string
			for k := range got.Pending.Candidates {
				renting = append(renting, got.Pending.Candidates[k].Instance.Name)
			}
			if got.Size.Create != test.create || got.MayCreate != test.may || !slices.Equal(victimNames(got.Size.Delete), test.end) ||
				!slices.Equal(victimNames(got.Size.Withheld), test.held) || !slices.Equal(renting, test.renting) {
				t.Errorf("got %+v, may create %t, renting %v", got.Size, got.MayCreate, renting)
			}
			if len(got.Verdict.Conditions) == 0 || len(test.in.Instances) != before {
				t.Errorf("%d conditions; %d instances, before %d", len(got.Verdict.Conditions), len(test.in.Instances), before)
			}
		})
	}
}

// victimNames are the names of what ends, in the order of the names.
func victimNames(victims []planner.Victim) []string {
	var names []string
	for _, victim := range victims {
		names = append(names, victim.Name)
	}
	slices.Sort(names)
	return names
}

// TestInstanceCost is what an instance counts under the ceiling.
func TestInstanceCost(t *testing.T) {
	ready, waits := previewInstance("ready", "sdxl", 7, "0.40"), previewInstance("waits", "sdxl", 0, "")
	if got := InstanceCost(&ready).String() + " " + InstanceCost(&waits).String(); got != "0.40 0.00" {
		t.Errorf("got %s", got)
	}
}

// TestSecretsOf names every Secret that the container was given, also for a rental
// that a person handed over: without it, its log would never be kept.
func TestSecretsOf(t *testing.T) {
	instance := previewInstance("made", "sdxl", 7, "0.40")
	instance.Spec.Template.Env = []warmpool.EnvVar{{Name: "TOKEN", ValueFrom: &warmpool.EnvVarSource{SecretKeyRef: warmpool.SecretKeyReference{Name: "models", Key: "token"}}}}
	if got := strings.Join(SecretsOf(&instance), " "); got != "models made-auth" {
		t.Errorf("got %s", got)
	}
	instance.Spec.Adopt = &warmpool.RentalAdoption{RentalID: 7, CredentialsSecretRef: warmpool.LocalReference{Name: "old-password"}}
	if got := strings.Join(SecretsOf(&instance), " "); got != "models old-password" {
		t.Errorf("adopted: got %s", got)
	}
}
