package metrics_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/metrics"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// registry has a collector over one pool with one terminating instance, and
// one account.
func registry(t *testing.T) *prometheus.Registry {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := warmpool.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	through := metav1.NewTime(now.Add(-20 * time.Second))
	deleted := metav1.NewTime(now.Add(-90 * time.Second))
	reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		&warmpool.WarmPool{
			ObjectMeta: metav1.ObjectMeta{Namespace: "gpu", Name: "sdxl"},
			Spec:       warmpool.WarmPoolSpec{Replicas: new(int32(3)), AccountRef: warmpool.LocalReference{Name: "default"}, Mode: warmpool.PoolActive, Cost: warmpool.PoolCost{CeilingUSDPerHour: "1.50"}},
			Status: warmpool.WarmPoolStatus{
				ReadyReplicas: 2, UnknownReplicas: 1,
				Cost:       warmpool.PoolCostStatus{CommittedUSDPerHour: "1.32", ObservedUSDPerHour: "0.88", HeadroomUSDPerHour: "0.18", SpentTodayUSD: "9.00", SpentMonthUSD: "212.40", ProjectedMonthUSD: "864.00", LedgerThrough: &through},
				Failures:   warmpool.PoolFailures{Consecutive: 4},
				Conditions: []metav1.Condition{{Type: "Ready", Status: "False", Reason: "CostCeilingReached"}},
			},
		},
		&warmpool.WarmInstance{
			ObjectMeta: metav1.ObjectMeta{Namespace: "gpu", Name: "sdxl-a", DeletionTimestamp: &deleted, Finalizers: []string{warmpool.FinalizerTerminate}},
			Spec:       warmpool.WarmInstanceSpec{PoolRef: warmpool.LocalReference{Name: "sdxl"}},
		},
		&warmpool.WarmInstance{
			ObjectMeta: metav1.ObjectMeta{Namespace: "gpu", Name: "sdxl-b"},
			Spec:       warmpool.WarmInstanceSpec{PoolRef: warmpool.LocalReference{Name: "sdxl"}},
			Status: warmpool.WarmInstanceStatus{Attempts: []warmpool.RentAttempt{
				{Number: 1, StartedTime: metav1.NewTime(now.Add(-time.Hour)), Outcome: warmpool.AttemptAbandoned},
				{Number: 2, StartedTime: metav1.NewTime(now.Add(-4 * time.Minute)), Outcome: warmpool.AttemptUnknown},
			}},
		},
		claim("waits", warmpool.WarmClaimStatus{}), claim("holds", warmpool.WarmClaimStatus{BoundTime: &through}),
		claim("expired", warmpool.WarmClaimStatus{BoundTime: &through, FinishedTime: &through}), claim("timed-out", warmpool.WarmClaimStatus{FinishedTime: &through}),
		&warmpool.VastAccount{
			ObjectMeta: metav1.ObjectMeta{Namespace: "gpu", Name: "default"},
			Spec:       warmpool.VastAccountSpec{CeilingUSDPerHour: "6.00"},
			Status: warmpool.VastAccountStatus{
				BalanceUSD: "-1.25", CommittedUSDPerHour: "1.32", Instances: warmpool.AccountInstances{Ours: 3, Foreign: 1},
				SpentTodayUSD: "10.00", SpentMonthUSD: "300.00", ProjectedMonthUSD: "900.00",
				Ledger: &warmpool.Ledger{
					Through:        metav1.NewMicroTime(now.Add(-20 * time.Second)),
					LastCorrection: &warmpool.LedgerCorrection{CorrectionUSD: "-0.25"},
				},
				LastSweep: &warmpool.SweepStatus{Trusted: true, LastTrustedTime: &through}, SuspectedLeaks: []warmpool.SuspectedLeak{{RentalID: 7}},
			},
		},
	).Build()
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.NewCollector(reader, clocktesting.NewFakePassiveClock(now), func() context.Context { return t.Context() }, func() bool { return true }))
	return registry
}

// claim is a claim on the pool.
func claim(name string, status warmpool.WarmClaimStatus) *warmpool.WarmClaim {
	return &warmpool.WarmClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "gpu", Name: name},
		Spec:       warmpool.WarmClaimSpec{PoolRef: warmpool.LocalReference{Name: "sdxl"}}, Status: status,
	}
}

func TestCollectorTellsWhatTheObjectsSay(t *testing.T) {
	want := `
# HELP warmpool_account_balance_usd Spendable credit of an account, in dollars; absent until Vast.ai has said it.
# TYPE warmpool_account_balance_usd gauge
warmpool_account_balance_usd{account="default",namespace="gpu"} -1.25
# HELP warmpool_account_instances Instances in the last trusted sweep: ours or foreign.
# TYPE warmpool_account_instances gauge
warmpool_account_instances{account="default",namespace="gpu",owner="foreign"} 1
warmpool_account_instances{account="default",namespace="gpu",owner="ours"} 3
# HELP warmpool_account_ledger_age_seconds Time since when spending is not counted yet, in seconds.
# TYPE warmpool_account_ledger_age_seconds gauge
warmpool_account_ledger_age_seconds{account="default",namespace="gpu"} 20
# HELP warmpool_account_ledger_correction_usd What the last comparison with the charges added to the ledger of an account, in dollars.
# TYPE warmpool_account_ledger_correction_usd gauge
warmpool_account_ledger_correction_usd{account="default",namespace="gpu"} -0.25
# HELP warmpool_account_spent_month_usd What everything in an account has spent since the month began in UTC, in dollars.
# TYPE warmpool_account_spent_month_usd gauge
warmpool_account_spent_month_usd{account="default",namespace="gpu"} 300
# HELP warmpool_claims WarmClaims of a pool by state: waiting, bound, finished (they stay until somebody deletes them).
# TYPE warmpool_claims gauge
warmpool_claims{namespace="gpu",pool="sdxl",state="bound"} 1
warmpool_claims{namespace="gpu",pool="sdxl",state="finished"} 2
warmpool_claims{namespace="gpu",pool="sdxl",state="waiting"} 1
# HELP warmpool_committed_usd_per_hour What all rentals of a pool may cost, in dollars per hour.
# TYPE warmpool_committed_usd_per_hour gauge
warmpool_committed_usd_per_hour{namespace="gpu",pool="sdxl"} 1.32
# HELP warmpool_condition 1 for the present status of a condition of a pool or an account.
# TYPE warmpool_condition gauge
warmpool_condition{kind="WarmPool",name="sdxl",namespace="gpu",reason="CostCeilingReached",status="False",type="Ready"} 1
# HELP warmpool_leading 1 while this process holds a fresh leader lease, so that it may rent and end.
# TYPE warmpool_leading gauge
warmpool_leading 1
# HELP warmpool_list_trusted 1 when the last sweep may be acted upon.
# TYPE warmpool_list_trusted gauge
warmpool_list_trusted{account="default",namespace="gpu"} 1
# HELP warmpool_min_ready_replicas spec.minReadyReplicas of a pool, or spec.replicas when it is not set: ready instances below which the pool is not Ready.
# TYPE warmpool_min_ready_replicas gauge
warmpool_min_ready_replicas{namespace="gpu",pool="sdxl"} 3
# HELP warmpool_pool_info 1 for every pool: the account that pays for it, and its spec.mode.
# TYPE warmpool_pool_info gauge
warmpool_pool_info{account="default",mode="Active",namespace="gpu",pool="sdxl"} 1
# HELP warmpool_projected_month_usd What the month will cost a pool if everything goes on as it is, in dollars.
# TYPE warmpool_projected_month_usd gauge
warmpool_projected_month_usd{namespace="gpu",pool="sdxl"} 864
# HELP warmpool_spent_month_usd What a pool has spent since the month began in UTC, in dollars.
# TYPE warmpool_spent_month_usd gauge
warmpool_spent_month_usd{namespace="gpu",pool="sdxl"} 212.4
# HELP warmpool_spent_today_usd What a pool has spent since midnight UTC, in dollars.
# TYPE warmpool_spent_today_usd gauge
warmpool_spent_today_usd{namespace="gpu",pool="sdxl"} 9
# HELP warmpool_suspected_leaks Rentals with our label that no WarmInstance records.
# TYPE warmpool_suspected_leaks gauge
warmpool_suspected_leaks{account="default",namespace="gpu"} 1
# HELP warmpool_terminating_oldest_seconds Age of the oldest deletion of a pool's instances that is not confirmed, in seconds.
# TYPE warmpool_terminating_oldest_seconds gauge
warmpool_terminating_oldest_seconds{namespace="gpu",pool="sdxl"} 90
# HELP warmpool_trusted_list_age_seconds Time since the last sweep that may be acted upon, in seconds; absent before the first one.
# TYPE warmpool_trusted_list_age_seconds gauge
warmpool_trusted_list_age_seconds{account="default",namespace="gpu"} 20
# HELP warmpool_unknown_rent_oldest_seconds Age of the oldest rent of a pool whose outcome is not known, in seconds; 0 when there is none.
# TYPE warmpool_unknown_rent_oldest_seconds gauge
warmpool_unknown_rent_oldest_seconds{namespace="gpu",pool="sdxl"} 240
`
	names := []string{
		"warmpool_account_balance_usd", "warmpool_account_instances", "warmpool_claims", "warmpool_committed_usd_per_hour", "warmpool_condition",
		"warmpool_account_ledger_age_seconds", "warmpool_account_ledger_correction_usd", "warmpool_account_spent_month_usd",
		"warmpool_projected_month_usd", "warmpool_spent_month_usd", "warmpool_spent_today_usd", "warmpool_list_trusted", "warmpool_suspected_leaks", "warmpool_terminating_oldest_seconds",
		"warmpool_leading", "warmpool_pool_info", "warmpool_min_ready_replicas", "warmpool_trusted_list_age_seconds", "warmpool_unknown_rent_oldest_seconds",
	}
	if err := testutil.GatherAndCompare(registry(t), strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

// TestEveryMetricIsDescribed fails for a metric that is sent and not in the
// reference, or in the reference and never sent.
func TestEveryMetricIsDescribed(t *testing.T) {
	all := registry(t)
	recorder, err := metrics.NewRecorder(all)
	if err != nil {
		t.Fatal(err)
	}
	recorder.ProviderRequest("list", 200, "", time.Second, time.Second)
	recorder.RentOutcome("Succeeded")
	recorder.Admission("Deferred", "CostCeilingReached")
	recorder.RentToReady(time.Minute)
	recorder.Ended("GpuFault")
	recorder.AuditRecord("ok")
	recorder.AuditFailure("record")
	sent := map[string]bool{}
	families, err := all.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		sent[family.GetName()] = true
	}
	for _, description := range metrics.Descriptions() {
		if !sent[description.Name] {
			t.Errorf("%s is described and was not sent", description.Name)
		}
		delete(sent, description.Name)
	}
	for name := range sent {
		t.Errorf("%s is sent and not described", name)
	}
}
