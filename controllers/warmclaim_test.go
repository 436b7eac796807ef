package controllers

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// waits is a ClaimRecorder that remembers.
type claimWaits []time.Duration

func (w *claimWaits) ClaimBound(waited time.Duration) { *w = append(*w, waited) }

// claimReconciler works on the stage.
func (s *stage) claimReconciler() *WarmClaimReconciler {
	return &WarmClaimReconciler{Client: s.client, APIReader: s.client, Events: events.NewFakeRecorder(100), Metrics: &claimWaits{}, Clock: s.clock}
}

// testClaim waits for an instance of the pool since noon, for half an hour.
func testClaim(name string, edits ...func(*warmpool.WarmClaim)) *warmpool.WarmClaim {
	claim := &warmpool.WarmClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "gpu", Name: name, UID: types.UID("uid-" + name), CreationTimestamp: metav1.NewTime(noon)},
		Spec:       warmpool.WarmClaimSpec{PoolRef: warmpool.LocalReference{Name: "sdxl"}, TTLSeconds: new(int32(1800)), BindTimeoutSeconds: 600},
	}
	for _, edit := range edits {
		edit(claim)
	}
	return claim
}

// readyInstance is a rented one that is ready, with the Secret of its password.
func readyInstance(name string, edits ...func(*warmpool.WarmInstance)) *warmpool.WarmInstance {
	instance := rentedInstance()
	instance.Name, instance.UID = name, types.UID("uid-"+name)
	instance.Status.Rental.GPUName, instance.Status.Rental.GPUMemoryMB = "RTX 4090", 24564
	instance.Status.Endpoints = []warmpool.InstanceEndpoint{{Name: endpointComfyUI, URL: "https://192.0.2.4:41000"}}
	instance.Status.CertificateSHA256 = "abcd"
	meta.SetStatusCondition(&instance.Status.Conditions, metav1.Condition{Type: warmpool.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready", LastTransitionTime: metav1.NewTime(noon.Add(-time.Minute))})
	for _, edit := range edits {
		edit(instance)
	}
	return instance
}

func passwordOf(instance *warmpool.WarmInstance) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "gpu", Name: secretNameFor(instance)},
		Data:       map[string][]byte{warmpool.SecretKeyWebPassword: []byte("a-password")},
	}
}

// heldBy lets a claim hold an instance since noon.
func heldBy(claim *warmpool.WarmClaim) func(*warmpool.WarmInstance) {
	return func(i *warmpool.WarmInstance) {
		at := metav1.NewTime(noon)
		i.Spec.ClaimRef = &warmpool.ClaimReference{Name: claim.Name, UID: claim.UID, BoundTime: &at}
	}
}

// told is a claim whose status names an instance, and that is held for it.
func told(instance string) func(*warmpool.WarmClaim) {
	return func(c *warmpool.WarmClaim) {
		at := metav1.NewTime(noon)
		c.Status.InstanceRef, c.Status.BoundTime = &warmpool.LocalReference{Name: instance}, &at
		c.Finalizers = []string{warmpool.FinalizerClaim}
	}
}

func (s *stage) serveClaims(r *WarmClaimReconciler) {
	s.t.Helper()
	if _, err := r.Reconcile(s.t.Context(), poolRequest()); err != nil {
		s.t.Fatal(err)
	}
}

// claimAnswer is "status/reason" of a claim's condition.
func claimAnswer(claim *warmpool.WarmClaim, kind string) string {
	condition := meta.FindStatusCondition(claim.Status.Conditions, kind)
	if condition == nil {
		return ""
	}
	return string(condition.Status) + "/" + condition.Reason
}

func TestAClaimGetsAnInstanceAndItsCredentials(t *testing.T) {
	claim, instance := testClaim("job"), readyInstance("sdxl-x")
	s := newStage(t, testAccount(), testPool(), instance, passwordOf(instance), claim)
	r := s.claimReconciler()
	s.clock.SetTime(noon.Add(5 * time.Second))
	s.serveClaims(r)
	s.get(claim)
	s.get(instance)
	if holder := instance.Spec.ClaimRef; holder == nil || holder.UID != claim.UID || holder.BoundTime == nil {
		t.Fatalf("the instance is held by %+v", holder)
	}
	if got := claimAnswer(claim, warmpool.ConditionReady); got != "True/Ready" {
		t.Errorf("Ready is %s", got)
	}
	if !controllerutil.ContainsFinalizer(claim, warmpool.FinalizerClaim) {
		t.Error("nothing holds the claim until it has let go")
	}
	if expires := claim.Status.ExpirationTime; expires == nil || !expires.Time.Equal(noon.Add(5*time.Second+30*time.Minute)) {
		t.Errorf("it expires at %v", expires)
	}
	var secret corev1.Secret
	if err := s.client.Get(t.Context(), types.NamespacedName{Namespace: "gpu", Name: claim.Status.CredentialsSecretRef.Name}, &secret); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"url": "https://192.0.2.4:41000", "username": "vastai", "token": "a-password", "certificateSHA256": "abcd"} {
		if got := string(secret.Data[key]); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if waits, ok := r.Metrics.(*claimWaits); !ok || !slices.Equal(*waits, claimWaits{5 * time.Second}) {
		t.Errorf("measured %v", waits)
	}
}

// TestAClaimGetsOneInstance: the cache does not show yet that it has one.
func TestAClaimGetsOneInstance(t *testing.T) {
	claim := testClaim("job")
	first, second := readyInstance("sdxl-x", heldBy(claim)), readyInstance("sdxl-y")
	s := newStage(t, testAccount(), testPool(), first, second, passwordOf(first), claim)
	r := s.claimReconciler()
	r.Client = lagging{WithWatch: s.client, cache: fakeClient(t, testAccount(), testPool(), readyInstance("sdxl-y"), testClaim("job"))}
	s.serveClaims(r)
	s.get(second)
	if second.Spec.ClaimRef != nil {
		t.Error("the claim got a second instance")
	}
}

// TestALateReadingEndsNoClaim: a process was stopped between its two lists. It
// sees that the claim got an instance meanwhile, and an instance without it.
func TestALateReadingEndsNoClaim(t *testing.T) {
	claim := testClaim("job", told("sdxl-x"))
	instance := readyInstance("sdxl-x", heldBy(claim))
	s := newStage(t, testAccount(), testPool(), instance, passwordOf(instance), claim)
	r := s.claimReconciler()
	before := readyInstance("sdxl-x")
	r.Client = lagging{WithWatch: s.client, cache: fakeClient(t, testAccount(), testPool(), before, testClaim("job", told("sdxl-x")))}
	r.APIReader = interceptor.NewClient(s.client, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if instances, ok := list.(*warmpool.WarmInstanceList); ok {
				instances.Items = []warmpool.WarmInstance{*before}
				return nil
			}
			return c.List(ctx, list, options...)
		},
	})
	s.serveClaims(r)
	s.get(claim)
	if claim.Status.FinishedTime != nil {
		t.Errorf("it holds the instance, and has ended: %s", claimAnswer(claim, warmpool.ConditionFinished))
	}
}

// lagging reads from an old cache and writes to the API server.
type lagging struct {
	client.WithWatch
	cache client.Client
}

func (l lagging) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	return l.cache.Get(ctx, key, object, options...)
}

func (l lagging) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return l.cache.List(ctx, list, options...)
}

// between lets something happen right before the first write of the instances,
// as another process would.
func (s *stage) between(r *WarmClaimReconciler, happens func()) {
	once := func() {
		if happens != nil {
			run := happens
			happens = nil
			run()
		}
	}
	r.Client = interceptor.NewClient(s.client, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			if _, isInstance := object.(*warmpool.WarmInstance); isInstance {
				once()
			}
			return c.Patch(ctx, object, patch, options...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			if _, isInstance := object.(*warmpool.WarmInstance); isInstance {
				once()
			}
			return c.Delete(ctx, object, options...)
		},
	})
}

// TestTheFirstBindingWins: another process gives the instance away between the
// reading and the write.
func TestTheFirstBindingWins(t *testing.T) {
	claim, instance := testClaim("job"), readyInstance("sdxl-x")
	s := newStage(t, testAccount(), testPool(), instance, passwordOf(instance), claim)
	r := s.claimReconciler()
	s.between(r, func() {
		change(s, readyInstance("sdxl-x"), func(i *warmpool.WarmInstance) {
			i.Spec.ClaimRef = &warmpool.ClaimReference{Name: "other", UID: "uid-other"}
		})
	})
	s.serveClaims(r)
	s.get(instance)
	s.get(claim)
	if instance.Spec.ClaimRef.UID != "uid-other" {
		t.Errorf("the instance is held by %s, who came second", instance.Spec.ClaimRef.Name)
	}
	if got := claimAnswer(claim, warmpool.ConditionBound); got == "True/Bound" {
		t.Error("the claim believes that it holds the instance")
	}
}

// TestAnEndedClaimDoesNotTakeFromItsSuccessor: the instance is given to the next
// claim between the reading and the write.
func TestAnEndedClaimDoesNotTakeFromItsSuccessor(t *testing.T) {
	for name, policy := range map[string]warmpool.ReleasePolicy{"terminate": warmpool.ReleaseTerminate, "recycle": warmpool.ReleaseRecycle} {
		t.Run(name, func(t *testing.T) {
			at := metav1.NewTime(noon)
			ended := testClaim("job", told("sdxl-x"), func(c *warmpool.WarmClaim) { c.Status.FinishedTime, c.Spec.OnRelease = &at, policy })
			instance := readyInstance("sdxl-x", heldBy(ended))
			s := newStage(t, testAccount(), testPool(), instance, ended)
			r := s.claimReconciler()
			s.between(r, func() {
				change(s, readyInstance("sdxl-x"), func(i *warmpool.WarmInstance) {
					i.Spec.ClaimRef = &warmpool.ClaimReference{Name: "next", UID: "uid-next"}
				})
			})
			s.serveClaims(r)
			s.get(instance)
			if !instance.DeletionTimestamp.IsZero() || instance.Spec.ClaimRef == nil || instance.Spec.ClaimRef.UID != "uid-next" || instance.Spec.ClaimRef.RecycleTime != nil {
				t.Errorf("the successor lost its instance: %+v, deleted %t", instance.Spec.ClaimRef, !instance.DeletionTimestamp.IsZero())
			}
		})
	}
}

// TestAReleaseNamesItsClaim: the plan is about another claim than the one that
// the instance names by now.
func TestAReleaseNamesItsClaim(t *testing.T) {
	instance := readyInstance("sdxl-x", heldBy(testClaim("next")))
	s := newStage(t, testAccount(), testPool(), instance)
	s.get(instance)
	in := &claimsInput{key: poolRequest().NamespacedName, instances: []warmpool.WarmInstance{*instance}, now: noon}
	release := &planner.ClaimRelease{InstanceUID: "uid-sdxl-x", ClaimUID: "uid-job", Action: planner.ActionFree}
	if err := s.claimReconciler().release(t.Context(), in, &in.instances[0], release); err != nil {
		t.Fatal(err)
	}
	s.get(instance)
	if instance.Spec.ClaimRef == nil {
		t.Error("the instance was taken from another claim")
	}
}

// TestNothingIsBoundWithoutTheFinalizer: a claim that can go away at any moment
// would take its release with it.
func TestNothingIsBoundWithoutTheFinalizer(t *testing.T) {
	claim, instance := testClaim("job"), readyInstance("sdxl-x")
	s := newStage(t, testAccount(), testPool(), instance, claim)
	in := &claimsInput{key: poolRequest().NamespacedName, pool: testPool(), claims: []warmpool.WarmClaim{*claim}, instances: []warmpool.WarmInstance{*instance}, now: noon}
	in.index()
	plan := planClaims(in)
	if len(plan.Bind) != 1 {
		t.Fatalf("the plan binds %d", len(plan.Bind))
	}
	if err := s.claimReconciler().executeClaims(t.Context(), in, &plan); err != nil {
		t.Fatal(err)
	}
	s.get(instance)
	if instance.Spec.ClaimRef != nil {
		t.Error("a claim without the finalizer got an instance")
	}
}

// TestADeletedClaimStaysUntilItHasLetGo: somebody else writes the instance in
// the moment of the release, which is tried again.
func TestADeletedClaimStaysUntilItHasLetGo(t *testing.T) {
	deleted := metav1.NewTime(noon)
	claim := testClaim("job", told("sdxl-x"), func(c *warmpool.WarmClaim) { c.DeletionTimestamp = &deleted })
	instance := readyInstance("sdxl-x", heldBy(claim))
	s := newStage(t, testAccount(), testPool(), instance, claim)
	r := s.claimReconciler()
	s.between(r, func() {
		change(s, readyInstance("sdxl-x"), func(i *warmpool.WarmInstance) { i.Labels = map[string]string{"seen": "yes"} })
	})
	s.serveClaims(r)
	s.get(claim)
	if !controllerutil.ContainsFinalizer(claim, warmpool.FinalizerClaim) {
		t.Fatal("the claim was let go although it still holds its instance")
	}
	s.serveClaims(r)
	s.get(instance)
	if instance.DeletionTimestamp.IsZero() {
		t.Error("the instance was not released")
	}
	if err := s.client.Get(t.Context(), client.ObjectKeyFromObject(claim), claim); !apierrors.IsNotFound(err) {
		t.Errorf("the claim is still there: %v", err)
	}
}

// TestAnExtensionWinsAgainstTheEnd: the claim is extended between the decision
// that its time is over and the write.
func TestAnExtensionWinsAgainstTheEnd(t *testing.T) {
	claim := testClaim("job", told("sdxl-x"))
	instance := readyInstance("sdxl-x", heldBy(claim))
	s := newStage(t, testAccount(), testPool(), instance, passwordOf(instance), claim)
	s.clock.SetTime(noon.Add(31 * time.Minute))
	s.beforeStatusWrite = func() {
		s.beforeStatusWrite = nil
		change(s, testClaim("job"), func(c *warmpool.WarmClaim) { c.Spec.TTLSeconds = new(int32(7200)) })
	}
	s.serveClaims(s.claimReconciler())
	s.get(claim)
	s.get(instance)
	if claim.Status.FinishedTime != nil || !instance.DeletionTimestamp.IsZero() || instance.Spec.ClaimRef == nil {
		t.Errorf("it ended at %v in spite of its extension", claim.Status.FinishedTime)
	}
}

func TestAClaimsSecretIsItsOwn(t *testing.T) {
	claim, instance := testClaim("job"), readyInstance("sdxl-x")
	foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "gpu", Name: "job-claim"}, Data: map[string][]byte{"mine": []byte("precious")}}
	s := newStage(t, testAccount(), testPool(), instance, passwordOf(instance), claim, foreign)
	s.serveClaims(s.claimReconciler())
	s.get(claim)
	if got := claimAnswer(claim, warmpool.ConditionReady); got != "False/SecretConflict" {
		t.Errorf("Ready is %s", got)
	}
	s.get(foreign)
	if string(foreign.Data["mine"]) != "precious" {
		t.Error("somebody else's Secret was replaced")
	}
}

// TestAnEndedClaimLeavesNoCredentials: the operator made the Secret, and died
// before the status of the claim named it.
func TestAnEndedClaimLeavesNoCredentials(t *testing.T) {
	claim := testClaim("job", told("sdxl-y"))
	instance := readyInstance("sdxl-y", heldBy(claim))
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: "gpu", Name: "job-claim", Labels: map[string]string{warmpool.LabelClaim: "job"}, OwnerReferences: ownedBy(claim, "WarmClaim"),
	}}
	s := newStage(t, testAccount(), testPool(), instance, passwordOf(instance), claim, secret)
	s.clock.SetTime(noon.Add(31 * time.Minute))
	s.serveClaims(s.claimReconciler())
	s.get(claim)
	if got := claimAnswer(claim, warmpool.ConditionFinished); got != "True/Expired" {
		t.Fatalf("Finished is %s", got)
	}
	// What a manager that is gone has sent may still arrive; then it is looked for.
	if !controllerutil.ContainsFinalizer(claim, warmpool.FinalizerClaim) {
		t.Error("it does not wait for a Secret that may be on its way")
	}
	s.clock.Step(lateWrites + time.Second)
	s.serveClaims(s.claimReconciler())
	s.get(claim)
	if err := s.client.Get(t.Context(), client.ObjectKeyFromObject(secret), secret); !apierrors.IsNotFound(err) {
		t.Errorf("the Secret with the password is still there: %v", err)
	}
	if controllerutil.ContainsFinalizer(claim, warmpool.FinalizerClaim) {
		t.Error("it has let go of everything, and is still held")
	}
}

// TestAnOlderClaimsSecretIsReplaced: a claim of the same name was there before.
func TestAnOlderClaimsSecretIsReplaced(t *testing.T) {
	claim, instance := testClaim("job"), readyInstance("sdxl-x")
	older := testClaim("job", func(c *warmpool.WarmClaim) { c.UID = "uid-older" })
	left := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: "gpu", Name: "job-claim", UID: "left", Labels: map[string]string{warmpool.LabelClaim: "job"}, OwnerReferences: ownedBy(older, "WarmClaim"),
	}}
	s := newStage(t, testAccount(), testPool(), instance, passwordOf(instance), claim, left)
	s.serveClaims(s.claimReconciler())
	s.get(left)
	if !metav1.IsControlledBy(left, claim) || string(left.Data["token"]) != "a-password" {
		t.Errorf("the Secret belongs to %v", left.OwnerReferences)
	}
}

// emptier is a Recycler that does what a test says.
type emptier struct{ err error }

func (e emptier) Recycle(context.Context, InstanceTarget) error { return e.err }

// quietProber finds every instance idle and right.
type quietProber struct{ now func() time.Time }

func (p quietProber) Probe(context.Context, InstanceTarget, bool) fleet.ProbeResult {
	return fleet.ProbeResult{Signal: fleet.SignalServing, At: p.now()}
}

func (quietProber) Portal(context.Context, InstanceTarget) (*fleet.Portal, error) {
	return &fleet.Portal{}, nil
}

func (p quietProber) Queue(context.Context, InstanceTarget) (fleet.QueueResult, error) {
	return fleet.QueueResult{At: p.now()}, nil
}

func (p quietProber) Verify(context.Context, InstanceTarget, fleet.Expectations) fleet.VerifyResult {
	return fleet.VerifyResult{Fault: fleet.VerifyPassed, At: p.now()}
}

// TestARecycledInstanceProvesItself: it is emptied first, and the proof comes
// after that; until then it is not ready and not free.
func TestARecycledInstanceProvesItself(t *testing.T) {
	released := metav1.NewTime(noon)
	instance := readyInstance("sdxl-x", heldBy(testClaim("job")), func(i *warmpool.WarmInstance) {
		i.Spec.ClaimRef.RecycleTime = &released
		i.Status.LastProofTime = &released
	})
	s := newStage(t, sweptAccount(), testPool(), instance, passwordOf(instance))
	r := s.instanceReconciler()
	stubborn := &emptier{err: errors.New("work does not stop")}
	r.Prober, r.Recycler = quietProber{s.clock.Now}, stubborn
	look := func() *warmpool.InstanceRecycle {
		t.Helper()
		s.clock.Step(30 * time.Second)
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(instance)}); err != nil {
			t.Fatal(err)
		}
		s.get(instance)
		return instance.Status.Recycle
	}
	for range 4 {
		if recycle := look(); recycle != nil && (recycle.EmptiedTime != nil || recycle.ProvenTime != nil) {
			t.Fatalf("its recycling has come to %+v while work is left", recycle)
		}
	}
	if recycle := instance.Status.Recycle; recycle == nil || recycle.Message != "work does not stop" {
		t.Errorf("it says %+v", recycle)
	}
	if meta.IsStatusConditionTrue(instance.Status.Conditions, warmpool.ConditionReady) {
		t.Error("it is Ready while work of its last claim is left")
	}
	r.Recycler = emptier{}
	recycle := look()
	if recycle == nil || recycle.EmptiedTime == nil || recycle.ProvenTime != nil {
		t.Fatalf("after it was emptied: %+v", recycle)
	}
	for range 3 {
		recycle = look()
	}
	if recycle.ProvenTime == nil || !meta.IsStatusConditionTrue(instance.Status.Conditions, warmpool.ConditionReady) {
		t.Errorf("after its proof: %+v", recycle)
	}
}

// TestAProofFromBeforeTheCleaningDoesNotCount: the instance rendered its test
// prompt while work of the last claim may have been left.
func TestAProofFromBeforeTheCleaningDoesNotCount(t *testing.T) {
	released := metav1.NewTime(noon)
	for name, emptied := range map[string]*metav1.Time{"before": nil, "after": &released} {
		t.Run(name, func(t *testing.T) {
			instance := readyInstance("sdxl-x", heldBy(testClaim("job")))
			instance.Spec.ClaimRef.RecycleTime = &released
			instance.Status.Recycle = &warmpool.InstanceRecycle{ClaimUID: "uid-job", EmptiedTime: emptied}
			in := &instanceInput{instance: instance, health: planner.HealthInput{Verify: &fleet.VerifyResult{Fault: fleet.VerifyPassed}}}
			reportRecycle(in, instance, metav1.NewTime(noon.Add(time.Minute)))
			if proven := instance.Status.Recycle.ProvenTime != nil; proven != (emptied != nil) {
				t.Errorf("proven %t", proven)
			}
		})
	}
}

// TestClaimReasonsAreThoseOfTheAPI: clients of the API compare with its constants.
func TestClaimReasonsAreThoseOfTheAPI(t *testing.T) {
	for api, planned := range map[string]string{
		warmpool.ClaimExpired: planner.ClaimReasonExpired, warmpool.ClaimReleased: planner.ClaimReasonReleased,
		warmpool.ClaimInstanceLost: planner.ClaimReasonInstanceLost, warmpool.ClaimBindTimeout: planner.ClaimReasonBindTimeout,
		warmpool.ClaimQueueFull: planner.ClaimReasonQueueFull,
	} {
		if api != planned {
			t.Errorf("the API says %s, the planner %s", api, planned)
		}
	}
}

// TestARentLooksForClaimsLive: the claim that the instance was made for is gone.
func TestARentLooksForClaimsLive(t *testing.T) {
	for name, test := range map[string]struct {
		claims []client.Object
		want   int
	}{
		"a claim waits":    {[]client.Object{testClaim("job")}, 1},
		"nobody waits":     {nil, 0},
		"it is not for us": {[]client.Object{testClaim("job", func(c *warmpool.WarmClaim) { c.Spec.PoolRef.Name = "other" })}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			pool := testPool()
			pool.Spec.Replicas = new(int32(0))
			s := newStage(t, append(test.claims, testAccount(), pool, testInstance())...)
			if _, err := s.account.reconcileRent(t.Context(), s.request()); err != nil {
				t.Fatal(err)
			}
			if len(s.provider.rented) != test.want {
				t.Errorf("%d rents, want %d", len(s.provider.rented), test.want)
			}
		})
	}
}
