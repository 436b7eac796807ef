package page_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/legacyapi/page"
	"github.com/warmpool-dev/warmpool/internal/testkit"
)

var plane *testkit.ControlPlane

func TestMain(m *testing.M) { os.Exit(testkit.Main(m, &plane)) }

// adminKey is the key of every site; it opens nothing else.
const adminKey = "a-key-for-tests-2f9c81d4"

// keyring knows one key, which a test may change.
type keyring struct{ now atomic.Value }

func (k *keyring) Check(_ context.Context, key string) (string, bool) {
	return string(audit.FingerprintOf(salt, key)), key == k.now.Load()
}

// salt signs the audit logs of tests.
const salt = "9d1f3c5a7b8e2046-of-tests"

// site is the page with a namespace of its own.
type site struct {
	t         *testing.T
	url       string
	namespace string
	keys      *keyring
	series    *page.Series
	client    client.Client
	// directory holds the audit log.
	directory string
	// away is true while nobody answers.
	away atomic.Bool
}

// serve serves the page of the pool sdxl in a new namespace, over what cluster
// makes of the API server; nil takes it as it is.
func serve(t *testing.T, change func(page.Cluster) page.Cluster) *site {
	t.Helper()
	s := &site{t: t, namespace: plane.Namespace(t), keys: &keyring{}, series: &page.Series{}, client: plane.Client}
	s.keys.now.Store(adminKey)
	s.directory = t.TempDir()
	directory := s.directory
	log, err := audit.Open(audit.Options{Dir: directory, Component: "sidecar", Salt: salt})
	if err != nil {
		t.Fatal(err)
	}
	watch := page.NewAuditWatch(log, func(ctx context.Context) (audit.Report, error) {
		return audit.Verify(ctx, audit.VerifyOptions{Dir: directory, Component: "sidecar", Salts: []string{salt}})
	}, clock.RealClock{}, logr.Discard())
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = watch.Start(ctx)
	}()
	var cluster page.Cluster = plane.Client
	if change != nil {
		cluster = change(cluster)
	}
	handler, err := page.New(page.Options{
		Cluster: cluster, Pool: types.NamespacedName{Namespace: s.namespace, Name: "sdxl"}, Keys: s.keys,
		Audit: log, Records: watch, Series: s.series, Clock: clock.RealClock{}, Random: rand.Reader, Log: logr.Discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.away.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	s.url = server.URL + page.Path
	t.Cleanup(func() {
		server.Close()
		cancel()
		<-stopped
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// create makes an object, and gives it the status that it comes with.
func (s *site) create(object client.Object) {
	s.t.Helper()
	object.SetNamespace(s.namespace)
	written, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		s.t.Fatal("no object")
	}
	if err := s.client.Create(s.t.Context(), object); err != nil {
		s.t.Fatal(err)
	}
	written.SetResourceVersion(object.GetResourceVersion())
	written.SetUID(object.GetUID())
	written.SetName(object.GetName())
	if err := s.client.Status().Update(s.t.Context(), written); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) get(name string, into client.Object) {
	s.t.Helper()
	if err := s.client.Get(s.t.Context(), types.NamespacedName{Namespace: s.namespace, Name: name}, into); err != nil {
		s.t.Fatal(err)
	}
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message,
		LastTransitionTime: metav1.NewTime(time.Now().Add(-3 * time.Minute)),
	}
}

// account is an account with a ledger of the pool sdxl.
func account() *v1alpha1.VastAccount {
	now := time.Now().UTC()
	day := metav1.NewTime(now.Truncate(24 * time.Hour))
	month := metav1.NewTime(time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC))
	totals := v1alpha1.LedgerTotals{
		USDPerHour: "0.81",
		Windows: []v1alpha1.LedgerWindow{
			{Period: v1alpha1.BudgetDay, TimeZone: "Etc/UTC", Start: day, SpentUSD: "11.42", PreviousUSD: "17.02"},
			{Period: v1alpha1.BudgetMonth, TimeZone: "Etc/UTC", Start: month, SpentUSD: "318.77"},
		},
	}
	for i, spent := range []v1alpha1.SignedUSD{"9.10", "14.55", "21.30", "19.84", "12.07", "17.02", "11.42"} {
		totals.Days = append(totals.Days, v1alpha1.LedgerDay{Day: now.AddDate(0, 0, i-6).Format("2006-01-02"), SpentUSD: spent})
	}
	return &v1alpha1.VastAccount{
		ObjectMeta: metav1.ObjectMeta{Name: "default"},
		Spec: v1alpha1.VastAccountSpec{
			CeilingUSDPerHour: "6.00",
			Budgets:           []v1alpha1.Budget{{Name: "all-of-it", Period: v1alpha1.BudgetMonth, LimitUSD: "300.00", Action: v1alpha1.BudgetAlert}},
		},
		Status: v1alpha1.VastAccountStatus{
			BalanceUSD: "84.17", CommittedUSDPerHour: "1.21", SpentTodayUSD: "13.20", SpentMonthUSD: "331.02",
			Instances: v1alpha1.AccountInstances{Ours: 3, Foreign: 1},
			LastSweep: &v1alpha1.SweepStatus{Time: metav1.NewTime(now.Add(-9 * time.Second)), Total: 4, Pages: 1, Trusted: true},
			Ledger: &v1alpha1.Ledger{
				Since: month, Through: metav1.NewMicroTime(now), Account: totals,
				Pools: []v1alpha1.PoolLedger{{Name: "sdxl", LedgerTotals: totals}},
			},
		},
	}
}

// pool is sdxl in the state of a good day.
func pool(replicas int32) *v1alpha1.WarmPool {
	return &v1alpha1.WarmPool{
		ObjectMeta: metav1.ObjectMeta{Name: "sdxl"},
		Spec: v1alpha1.WarmPoolSpec{
			Replicas: new(replicas),
			Cost: v1alpha1.PoolCost{
				CeilingUSDPerHour: "1.50", MaxInstanceUSDPerHour: "0.60",
				Budgets: []v1alpha1.Budget{{Name: "daily", Period: v1alpha1.BudgetDay, LimitUSD: "25.00", Action: v1alpha1.BudgetStopRenting}},
			},
		},
		Status: v1alpha1.WarmPoolStatus{
			Cost: v1alpha1.PoolCostStatus{
				CeilingUSDPerHour: "1.50", CommittedUSDPerHour: "0.00", ObservedUSDPerHour: "0.00", HeadroomUSDPerHour: "1.50",
				SpentTodayUSD: "11.42", SpentMonthUSD: "318.77", ProjectedMonthUSD: "402.60", LedgerThrough: new(metav1.Now()),
			},
			LastAdmission: &v1alpha1.Admission{Time: metav1.Now(), Decision: v1alpha1.DecisionAdmitted, CheapestOfferUSDPerHour: "0.348301", OffersSeen: 61},
		},
	}
}

// instance is a rental of sdxl that renders.
func instance(name string, gpu, place string, price v1alpha1.SignedUSD) *v1alpha1.WarmInstance {
	return &v1alpha1.WarmInstance{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.WarmInstanceSpec{
			PoolRef: v1alpha1.LocalReference{Name: "sdxl"}, AccountRef: v1alpha1.LocalReference{Name: "default"},
		},
		Status: v1alpha1.WarmInstanceStatus{
			Rental:    &v1alpha1.Rental{ID: 27104412, MachineID: 13208, HostID: 902, GPUName: gpu, GPUs: 1, Geolocation: place, Label: "wp1.a1b2c3.d4e5f6.1"},
			Price:     v1alpha1.InstancePrice{QuotedUSDPerHour: price, CurrentUSDPerHour: price, ObservedTime: new(metav1.Now())},
			Provider:  v1alpha1.ProviderState{ActualStatus: "running", IntendedStatus: "running"},
			Endpoints: []v1alpha1.InstanceEndpoint{{Name: "comfyui", URL: "https://203.0.113.20:40188"}},
			SSH:       v1alpha1.InstanceSSH{Host: "203.0.113.20", Port: 40022, KeysAttached: true},
			ReadyTime: new(metav1.NewTime(time.Now().Add(-40 * time.Minute))), LastProofTime: new(metav1.NewTime(time.Now().Add(-7 * time.Minute))),
			ComfyUIVersion: "0.10.0",
			Attempts: []v1alpha1.RentAttempt{{
				Number: 1, OfferID: 9120033, MachineID: 13208, QuotedUSDPerHour: v1alpha1.USD(price), StartedTime: metav1.NewTime(time.Now().Add(-50 * time.Minute)),
				Outcome: v1alpha1.AttemptSucceeded, RentalID: 27104412, HTTPStatus: 200,
			}},
			Conditions: []metav1.Condition{
				condition(v1alpha1.ConditionReady, metav1.ConditionTrue, "Rendered", "It rendered the test prompt in 4.1 s and answers."),
				condition(v1alpha1.ConditionRented, metav1.ConditionTrue, "Rented", "Rental 27104412 on machine 13208."),
			},
		},
	}
}

// busy fills a site with everything that the page can show.
func (s *site) busy() {
	s.t.Helper()
	s.create(account())
	p := pool(3)
	p.Status.ReadyReplicas, p.Status.ClaimedReplicas, p.Status.ProvisioningReplicas, p.Status.PendingReplicas = 1, 1, 1, 1
	p.Status.Cost.CommittedUSDPerHour, p.Status.Cost.ObservedUSDPerHour, p.Status.Cost.HeadroomUSDPerHour = "1.21", "0.81", "0.29"
	p.Status.Conditions = []metav1.Condition{
		condition(v1alpha1.ConditionReady, metav1.ConditionFalse, "BelowMinimum", "1 of 3 instances is ready."),
		condition(v1alpha1.ConditionFullyProvisioned, metav1.ConditionFalse, "CostCeilingReached", "The cheapest offer costs 0.348301 an hour, and 0.29 is left under the ceiling of 1.50. Raise spec.cost.ceilingUSDPerHour, or lower the size."),
		condition(v1alpha1.ConditionWithinBudget, metav1.ConditionFalse, "BudgetExhausted", "The account's budget all-of-it of 300.00 a month is used up: 318.77 are spent."),
		condition(v1alpha1.ConditionWithinCeiling, metav1.ConditionTrue, "WithinCeiling", "1.21 of 1.50 an hour are committed."),
		condition(v1alpha1.ConditionAccountReady, metav1.ConditionTrue, "Ready", "The account can rent."),
	}
	p.Status.Failures.Recent = []v1alpha1.PoolFailure{{
		InstanceUID: "0b7c", Instance: "sdxl-q8m2d", MachineID: 20077, Reason: "StartupDeadlineExceeded", HostFault: true,
		Message: "ComfyUI did not answer within 30 minutes of the container's start. The machine is avoided for a day.",
		LogTail: "Collecting torch==2.8.0\n  Downloading torch-2.8.0.whl (888.1 MB)\nERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
		Time:    metav1.NewTime(time.Now().Add(-95 * time.Minute)),
	}}
	s.create(p)
	s.create(instance("sdxl-x7k2p", "RTX 4090", "Norway, NO", "0.412"))
	claim := &v1alpha1.WarmClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "studio"},
		Spec:       v1alpha1.WarmClaimSpec{PoolRef: v1alpha1.LocalReference{Name: "sdxl"}, Holder: "studio, batch 14", TTLSeconds: new(int32(3600))},
		Status: v1alpha1.WarmClaimStatus{
			InstanceRef: &v1alpha1.LocalReference{Name: "sdxl-c4t9w"}, Endpoint: "https://203.0.113.44:41188",
			CredentialsSecretRef: &v1alpha1.LocalReference{Name: "studio-credentials"}, BoundTime: new(metav1.NewTime(time.Now().Add(-19 * time.Minute))),
			ExpirationTime: new(metav1.NewTime(time.Now().Add(41 * time.Minute))),
			Conditions:     []metav1.Condition{condition(v1alpha1.ConditionBound, metav1.ConditionTrue, "Bound", "It holds sdxl-c4t9w.")},
		},
	}
	s.create(claim)
	held := instance("sdxl-c4t9w", "RTX 5090", "Germany, DE", "0.398301")
	held.Spec.ClaimRef = &v1alpha1.ClaimReference{Name: "studio", UID: claim.UID}
	s.create(held)
	starting := instance("sdxl-m3v8z", "RTX 4090", "Czechia, CZ", "0.40")
	starting.Status.ReadyTime, starting.Status.LastProofTime, starting.Status.Price.CurrentUSDPerHour = nil, nil, ""
	starting.Status.Endpoints = nil
	starting.Status.Conditions = []metav1.Condition{condition(v1alpha1.ConditionReady, metav1.ConditionFalse, "Provisioning", "Vast.ai loads the image: 3 of 9 layers after 4 minutes.")}
	s.create(starting)
	waiting := instance("sdxl-a1n5r", "", "", "")
	waiting.Status = v1alpha1.WarmInstanceStatus{Conditions: []metav1.Condition{condition(v1alpha1.ConditionReady, metav1.ConditionFalse, "CostCeilingReached", "Waits for 0.06 an hour more under the ceiling.")}}
	s.create(waiting)
	failed := instance("sdxl-t6b0k", "RTX 3090", "Bulgaria, BG", "0.21")
	failed.Finalizers = []string{v1alpha1.FinalizerTerminate}
	failed.Status.Failure = &v1alpha1.InstanceFailure{Reason: "NoSpaceLeft", Message: "The disk of the machine is full.", HostFault: true, LogTail: "write /workspace/model.safetensors: no space left on device", Time: metav1.Now()}
	failed.Status.Conditions = []metav1.Condition{condition(v1alpha1.ConditionReady, metav1.ConditionFalse, "NoSpaceLeft", "The disk of the machine is full.")}
	s.create(failed)
	s.t.Cleanup(func() {
		failed.Finalizers = nil
		_ = s.client.Update(context.WithoutCancel(s.t.Context()), failed)
	})
	for i, e := range []struct{ kind, name, reason, message, level string }{
		{"WarmInstance", "sdxl-x7k2p", "Ready", "Rendered the test prompt; 0.412 an hour on an RTX 4090 in Norway, NO.", corev1.EventTypeNormal},
		{"WarmPool", "sdxl", "CostCeilingReached", "The cheapest offer costs 0.348301 an hour, and 0.29 is left under the ceiling.", corev1.EventTypeWarning},
		{"WarmInstance", "sdxl-q8m2d", "Failed", "Given up: StartupDeadlineExceeded on machine 20077.", corev1.EventTypeWarning},
	} {
		at := metav1.NewTime(time.Now().Add(-time.Duration(i*7+1) * time.Minute))
		if err := s.client.Create(s.t.Context(), &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{GenerateName: "event-", Namespace: s.namespace},
			InvolvedObject: corev1.ObjectReference{Kind: e.kind, Name: e.name, Namespace: s.namespace},
			Reason:         e.reason, Message: e.message, Type: e.level, Count: int32(i + 1), FirstTimestamp: at, LastTimestamp: at,
		}); err != nil {
			s.t.Fatal(err)
		}
	}
	s.fillSeries()
}

// fillSeries gives the plot six hours: two instances, then three, with a gap.
func (s *site) fillSeries() {
	for m := 340; m >= 0; m-- {
		committed := fleet.USDMicros(812_000)
		switch {
		case m < 60:
			committed = 1_210_000
		case m > 280:
			committed = 412_000
		case m > 200 && m < 215:
			continue
		}
		s.series.Add(page.Sample{
			Time: time.Now().Add(-time.Duration(m) * time.Minute), Committed: committed, Observed: committed - 30_000, Ceiling: 1_500_000,
		})
	}
}
