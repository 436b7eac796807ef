package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// stage is a namespace of the real API server with an account, a pool and instances.
type stage struct {
	t         *testing.T
	namespace string
	pool      *warmpool.WarmPool
}

// newStage makes an account, a pool, a ready instance and a claimed one.
func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, namespace: plane.Namespace(t)}
	s.create(&warmpool.VastAccount{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "default"},
		Spec:       warmpool.VastAccountSpec{CeilingUSDPerHour: "6.00"},
	})
	replicas := int32(2)
	s.pool = &warmpool.WarmPool{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "sdxl"},
		Spec:       warmpool.WarmPoolSpec{Replicas: &replicas, Cost: warmpool.PoolCost{CeilingUSDPerHour: "1.50"}},
	}
	s.create(s.pool)
	s.instance("sdxl-one", 30000001, "0.385", nil)
	s.instance("sdxl-two", 30000002, "0.402", &warmpool.ClaimReference{Name: "job", UID: "11111111-0000-0000-0000-000000000000"})
	return s
}

func (s *stage) create(object client.Object) {
	s.t.Helper()
	if err := plane.Client.Create(s.t.Context(), object); err != nil {
		s.t.Fatal(err)
	}
}

// instance makes a ready instance with a rental.
func (s *stage) instance(name string, rental int64, price warmpool.SignedUSD, claim *warmpool.ClaimReference) {
	s.t.Helper()
	instance := &warmpool.WarmInstance{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name, Finalizers: []string{warmpool.FinalizerTerminate}},
		Spec: warmpool.WarmInstanceSpec{
			PoolRef: warmpool.LocalReference{Name: "sdxl"}, AccountRef: warmpool.LocalReference{Name: "default"}, ClaimRef: claim,
		},
	}
	s.create(instance)
	now := metav1.Now()
	instance.Status = warmpool.WarmInstanceStatus{
		Rental:               &warmpool.Rental{ID: rental, GPUName: "RTX 4090", MachineID: 41001, RecordedTime: &now},
		Price:                warmpool.InstancePrice{CurrentUSDPerHour: price, QuotedUSDPerHour: price, ObservedTime: &now},
		Endpoints:            []warmpool.InstanceEndpoint{{Name: endpointComfyUI, URL: "https://127.0.0.1:1"}},
		SSH:                  warmpool.InstanceSSH{Host: "ssh4.example.com", Port: 40022, KeysAttached: true},
		CredentialsSecretRef: &warmpool.LocalReference{Name: name + "-auth"},
		CertificateSHA256:    strings.Repeat("ab", 32),
		Conditions:           []metav1.Condition{{Type: warmpool.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready", Message: "It answers.", LastTransitionTime: now}},
	}
	if err := plane.Client.Status().Update(s.t.Context(), instance); err != nil {
		s.t.Fatal(err)
	}
}

// call prepares a call by the administrator.
func (s *stage) call() *call { return s.callAs(plane.Client, plane.Config) }

// callAs prepares a call by somebody.
func (s *stage) callAs(reach client.Client, config *rest.Config) *call {
	made := newCall(s.t, reach, s.namespace).real()
	made.cluster.Config = config
	return made
}

// end lets go of every instance that is being deleted, as the operator does when a
// rental is confirmed gone, until the test ends.
func (s *stage) end(ctx context.Context, ends func(*warmpool.WarmInstance) bool) {
	var list warmpool.WarmInstanceList
	if err := plane.Client.List(ctx, &list, client.InNamespace(s.namespace)); err != nil {
		return
	}
	for k := range list.Items {
		instance := &list.Items[k]
		if !ends(instance) {
			continue
		}
		if instance.DeletionTimestamp.IsZero() {
			_ = plane.Client.Delete(ctx, instance)
		}
		before := instance.DeepCopy()
		instance.Finalizers = nil
		_ = plane.Client.Patch(ctx, instance, client.MergeFrom(before))
	}
}

// get reads an object of the stage.
func (s *stage) get(name string, into client.Object) error {
	return plane.Client.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, into)
}

func (s *stage) mode() warmpool.PoolMode {
	s.t.Helper()
	pool := &warmpool.WarmPool{}
	if err := s.get("sdxl", pool); err != nil {
		s.t.Fatal(err)
	}
	return pool.Spec.Mode
}

func (s *stage) accountMode() warmpool.AccountMode {
	s.t.Helper()
	account := &warmpool.VastAccount{}
	if err := s.get("default", account); err != nil {
		s.t.Fatal(err)
	}
	return account.Spec.Mode
}

// TestDrain asks, drains, and waits until what is not claimed is gone.
func TestDrain(t *testing.T) {
	s := newStage(t)
	const question = "ends 1 instance (1 of them bill, $0.385/h together); 1 is in use and stay."
	declined := s.call().answer("no")
	if code := declined.run("drain sdxl"); code != ExitDeclined || s.mode() != warmpool.PoolActive {
		t.Errorf("declined: exit code %d, mode %s", code, s.mode())
	}
	unasked := s.call()
	if code := unasked.run("drain sdxl"); code != ExitDeclined || !strings.Contains(unasked.errors(), "give --yes") || s.mode() != warmpool.PoolActive {
		t.Errorf("without a terminal: exit code %d, mode %s: %s", code, s.mode(), unasked.errors())
	}
	drained := s.call().answer("yes")
	done := make(chan int, 1)
	go func() { done <- drained.run("drain sdxl --timeout=20s") }()
	waitUntil(t, "the mode Drain", func() bool { return s.mode() == warmpool.PoolDrain })
	waitUntil(t, "progress", func() bool { return strings.Contains(drained.errors(), "Still there: 1 instance") })
	s.end(t.Context(), func(i *warmpool.WarmInstance) bool { return i.Spec.ClaimRef == nil })
	if code := <-done; code != ExitOK || !strings.Contains(drained.errors(), question) || !strings.Contains(drained.output(), "is drained") {
		t.Errorf("exit code %d, said %q, printed %q", code, drained.errors(), drained.output())
	}
	if err := s.get("sdxl-two", &warmpool.WarmInstance{}); err != nil {
		t.Errorf("the claimed instance: %v", err)
	}
}

// TestEmergencyStop names what ends, and ends the waiting with a code of its own.
func TestEmergencyStop(t *testing.T) {
	s := newStage(t)
	account := &warmpool.VastAccount{}
	if err := s.get("default", account); err != nil {
		t.Fatal(err)
	}
	account.Status.SuspectedLeaks = []warmpool.SuspectedLeak{{RentalID: 30000009, USDPerHour: "0.25", FirstSeenTime: metav1.Now()}}
	if err := plane.Client.Status().Update(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	asked := s.call().answer("nein")
	if code := asked.run("emergency-stop"); code != ExitDeclined || s.accountMode() != warmpool.AccountActive {
		t.Errorf("exit code %d, mode %s", code, s.accountMode())
	}
	for _, want := range []string{"ends 2 instances (2 of them bill, $0.787/h together), 1 of them claimed.", "1 suspected leak at $0.25/h"} {
		if !strings.Contains(asked.errors(), want) {
			t.Errorf("asked %q, without %q", asked.errors(), want)
		}
	}
	late := s.call()
	if code := late.run("emergency-stop --yes --timeout=1s"); code != ExitTimeout || !strings.Contains(late.errors(), "The stop goes on.") {
		t.Errorf("exit code %d: %s", code, late.errors())
	}
	if s.accountMode() != warmpool.AccountEmergencyStop {
		t.Errorf("mode %s", s.accountMode())
	}
	s.end(t.Context(), func(*warmpool.WarmInstance) bool { return true })
	done := s.call()
	if code := done.run("emergency-stop default -y"); code != ExitOK || !strings.Contains(done.output(), "Nothing of VastAccount default is left.") {
		t.Errorf("exit code %d, printed %q", code, done.output())
	}
}

// TestInterrupt ends the waiting at Ctrl-C, and says what goes on.
func TestInterrupt(t *testing.T) {
	s := newStage(t)
	waiting := s.call()
	ctx, interrupt := context.WithCancel(t.Context())
	waiting.ctx = ctx
	done := make(chan int, 1)
	go func() { done <- waiting.run("drain sdxl --yes") }()
	waitUntil(t, "progress", func() bool { return strings.Contains(waiting.errors(), "Still there") })
	interrupt()
	if code := <-done; code != ExitInterrupted || !strings.Contains(waiting.errors(), "Interrupted. The pool goes on draining.") {
		t.Errorf("exit code %d: %s", code, waiting.errors())
	}
	question, stop := context.WithCancel(t.Context())
	stop()
	asked := s.call()
	asked.env.Interactive, asked.ctx = true, question
	if code := asked.run("emergency-stop"); code == ExitOK || s.accountMode() != warmpool.AccountActive {
		t.Errorf("exit code %d, mode %s", code, s.accountMode())
	}
}

// setClaim writes the status of a claim as the operator would.
func (s *stage) setClaim(name string, set func(*warmpool.WarmClaim)) {
	s.t.Helper()
	claim := &warmpool.WarmClaim{}
	if err := s.get(name, claim); err != nil {
		s.t.Fatal(err)
	}
	set(claim)
	if err := plane.Client.Status().Update(s.t.Context(), claim); err != nil {
		s.t.Fatal(err)
	}
}

// setBound is what the status of a claim says with an instance.
func setBound(claim *warmpool.WarmClaim) {
	expires := metav1.NewTime(time.Date(2026, 11, 25, 12, 30, 0, 0, time.UTC))
	claim.Status.InstanceRef, claim.Status.Endpoint = &warmpool.LocalReference{Name: "sdxl-one"}, "https://203.0.113.4:41207"
	claim.Status.CredentialsSecretRef, claim.Status.ExpirationTime = &warmpool.LocalReference{Name: claim.Name + "-claim"}, &expires
	for _, kind := range []string{warmpool.ConditionBound, warmpool.ConditionReady} {
		meta.SetStatusCondition(&claim.Status.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: "Bound", Message: "It holds sdxl-one."})
	}
}

// TestClaim makes a claim, shows why it waits, prints how to use it, opens it and
// gives it back.
func TestClaim(t *testing.T) {
	s := newStage(t)
	claimed := s.call()
	done := make(chan int, 1)
	go func() {
		done <- claimed.run("claim sdxl --name=job --holder=renders --ttl=30m --gpu=RTX4090 --on-release=Recycle --timeout=30s")
	}()
	waitUntil(t, "the claim", func() bool { return s.get("job", &warmpool.WarmClaim{}) == nil })
	const why = "It is number 1 of the claims that wait."
	s.setClaim("job", func(c *warmpool.WarmClaim) {
		meta.SetStatusCondition(&c.Status.Conditions, metav1.Condition{Type: warmpool.ConditionBound, Status: metav1.ConditionFalse, Reason: "Waiting", Message: why})
	})
	waitUntil(t, "progress", func() bool { return strings.Contains(claimed.errors(), why) })
	s.setClaim("job", setBound)
	if code := <-done; code != ExitOK {
		t.Fatalf("exit code %d: %s", code, claimed.errors())
	}
	for _, want := range []string{"holds instance sdxl-one until 2026-11-25T12:30:00Z", "ComfyUI: https://203.0.113.4:41207", "get secret job-claim -o jsonpath='{.data.token}' | base64 -d"} {
		if !strings.Contains(claimed.output(), want) {
			t.Errorf("printed %q, without %q", claimed.output(), want)
		}
	}
	claim := &warmpool.WarmClaim{}
	if err := s.get("job", claim); err != nil {
		t.Fatal(err)
	}
	if got := claim.Spec; got.Holder != "renders" || *got.TTLSeconds != 1800 || got.OnRelease != warmpool.ReleaseRecycle || !slices.Equal(got.Requirements.GPUNames, []string{"RTX4090"}) {
		t.Errorf("spec %+v", got)
	}
	opened := s.call()
	if code := opened.run("open claim/job --browser"); code != ExitOK || !strings.Contains(opened.output(), "get secret job-claim") || !slices.Equal(opened.executed[1], []string{"open", "https://127.0.0.1:1"}) {
		t.Errorf("exit code %d, executed %v, printed %q: %s", code, opened.executed, opened.output(), opened.errors())
	}
	if again := s.call(); again.run("claim sdxl --name=job") != ExitFailed || !strings.Contains(again.errors(), "already: give another --name") {
		t.Errorf("said %q", again.errors())
	}
	if released := s.call(); released.run("release job") != ExitOK || !strings.Contains(released.output(), "job is released") {
		t.Errorf("said %q", released.errors())
	}
	if err := s.get("job", claim); !apierrors.IsNotFound(err) {
		t.Errorf("the claim is still there: %v", err)
	}
}

// TestClaimOtherwise are the ways in which a claim does not get an instance.
func TestClaimOtherwise(t *testing.T) {
	s := newStage(t)
	late := s.call()
	if code := late.run("claim sdxl --name=late --timeout=1s"); code != ExitTimeout || !strings.Contains(late.errors(), "release late") {
		t.Errorf("exit code %d: %s", code, late.errors())
	}
	if err := s.get("late", &warmpool.WarmClaim{}); err != nil {
		t.Errorf("the claim does not go on: %v", err)
	}
	full := s.call()
	done := make(chan int, 1)
	go func() { done <- full.run("claim sdxl --name=full --timeout=30s") }()
	waitUntil(t, "the claim", func() bool { return s.get("full", &warmpool.WarmClaim{}) == nil })
	s.setClaim("full", func(c *warmpool.WarmClaim) {
		meta.SetStatusCondition(&c.Status.Conditions, metav1.Condition{Type: warmpool.ConditionFinished, Status: metav1.ConditionTrue, Reason: warmpool.ClaimQueueFull, Message: "100 claims wait."})
	})
	if code := <-done; code != ExitFailed || !strings.Contains(full.errors(), "QueueFull: 100 claims wait.") {
		t.Errorf("exit code %d: %s", code, full.errors())
	}
	unwaited := s.call()
	if code := unwaited.run("claim sdxl --wait=false -o json"); code != ExitOK {
		t.Fatalf("exit code %d: %s", code, unwaited.errors())
	}
	var answer claimReport
	if err := json.Unmarshal([]byte(unwaited.output()), &answer); err != nil || answer.Ready || !strings.HasPrefix(answer.Name, "sdxl-") {
		t.Errorf("printed %q: %v", unwaited.output(), err)
	}
	if held := s.call(); held.run("open claim/"+answer.Name) != ExitFailed || !strings.Contains(held.errors(), "holds no instance") {
		t.Errorf("said %q", held.errors())
	}
}

// TestSSH builds a line that nothing of a stranger's can turn into something else.
func TestSSH(t *testing.T) {
	s := newStage(t)
	shown := s.call()
	if code := shown.run("ssh sdxl-one --dry-run -- tail -f /var/log/a"); code != ExitOK || shown.output() != "ssh -p 40022 -l root -- ssh4.example.com tail -f /var/log/a\n" || len(shown.executed) != 0 {
		t.Errorf("exit code %d, printed %q, executed %v", code, shown.output(), shown.executed)
	}
	run := s.call()
	if code := run.run("ssh sdxl-one"); code != ExitOK || !slices.Equal(run.executed[0], []string{"ssh", "-p", "40022", "-l", "root", "--", "ssh4.example.com"}) {
		t.Errorf("exit code %d, executed %v", code, run.executed)
	}
	for _, host := range []string{"-oProxyCommand=touch /tmp/x", "a b", "host;reboot", "$(reboot)", "", "root@host"} {
		instance := &warmpool.WarmInstance{Status: warmpool.WarmInstanceStatus{SSH: warmpool.InstanceSSH{Host: host, Port: 22}}}
		if line, err := sshLine(instance, nil); err == nil {
			t.Errorf("host %q gives %q", host, line)
		}
	}
	if got := quoted([]string{"-p", "22", "it's", "a b"}); got != `-p 22 'it'\''s' 'a b'` {
		t.Errorf("quoted %s", got)
	}
}

// TestAbandon lets go of a rental only when it is named rightly and is being ended.
func TestAbandon(t *testing.T) {
	s := newStage(t)
	annotation := func() string {
		instance := &warmpool.WarmInstance{}
		if err := s.get("sdxl-one", instance); err != nil {
			t.Fatal(err)
		}
		return instance.Annotations[warmpool.AnnotationAbandonRental]
	}
	if wrong := s.call(); wrong.run("abandon sdxl-one 30000002 --yes") != ExitFailed || !strings.Contains(wrong.errors(), "does not record rental 30000002, but 30000001") {
		t.Errorf("said %q", wrong.errors())
	}
	if early := s.call(); early.run("abandon sdxl-one 30000001 --yes") != ExitFailed || !strings.Contains(early.errors(), "is not being ended") || annotation() != "" {
		t.Errorf("said %q, annotation %q", early.errors(), annotation())
	}
	instance := &warmpool.WarmInstance{}
	if err := s.get("sdxl-one", instance); err != nil {
		t.Fatal(err)
	}
	if err := plane.Client.Delete(t.Context(), instance); err != nil {
		t.Fatal(err)
	}
	if declined := s.call().answer("n"); declined.run("abandon sdxl-one 30000001") != ExitDeclined || annotation() != "" {
		t.Errorf("annotation %q", annotation())
	}
	done := s.call().answer("yes")
	if code := done.run("abandon sdxl-one 30000001"); code != ExitOK || annotation() != "30000001" || !strings.Contains(done.errors(), "costs $0.385/h") {
		t.Errorf("exit code %d, annotation %q, said %q", code, annotation(), done.errors())
	}
}

// TestAdopt makes the object that takes a rental over, and waits until it has.
func TestAdopt(t *testing.T) {
	s := newStage(t)
	s.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "empty"}})
	if empty := s.call(); empty.run("adopt 30000077 --pool=sdxl --secret=empty") != ExitFailed || !strings.Contains(empty.errors(), "has no key WEB_PASSWORD") {
		t.Errorf("said %q", empty.errors())
	}
	s.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "old"}, StringData: map[string]string{"WEB_PASSWORD": "a-password"}})
	adopted := s.call()
	done := make(chan int, 1)
	go func() { done <- adopted.run("adopt 30000077 --pool=sdxl --secret=old --timeout=30s") }()
	instance := &warmpool.WarmInstance{}
	waitUntil(t, "the instance", func() bool { return s.get("sdxl-30000077", instance) == nil })
	if got := instance.Spec; got.Adopt.RentalID != 30000077 || got.Adopt.CredentialsSecretRef.Name != "old" || got.AccountRef.Name != "default" || got.Template.DiskGB != s.pool.Spec.Template.DiskGB {
		t.Errorf("spec %+v", got)
	}
	instance.Status.Rental = &warmpool.Rental{ID: 30000077}
	if err := plane.Client.Status().Update(t.Context(), instance); err != nil {
		t.Fatal(err)
	}
	if code := <-done; code != ExitOK || !strings.Contains(adopted.output(), "has taken over rental 30000077") {
		t.Errorf("exit code %d: %s", code, adopted.errors())
	}
}

// TestRoles runs the commands with exactly the roles for people.
func TestRoles(t *testing.T) {
	s := newStage(t)
	as := func(role string) *call {
		t.Helper()
		config := plane.ClusterRoleRESTConfig(t, role+"-"+s.namespace, "config/rbac/warmpool_"+role+"_role.yaml", s.namespace)
		reach, err := client.New(config, client.Options{Scheme: plane.Scheme})
		if err != nil {
			t.Fatal(err)
		}
		return s.callAs(reach, config)
	}
	looks := []string{"status", "why sdxl", "plan sdxl", "cost", "instances", "open sdxl-one", "ssh sdxl-one --dry-run"}
	for role, lines := range map[string]map[string]string{
		"viewer": {
			"claim sdxl --wait=false": "you may not create WarmClaim", "drain sdxl -y --wait=false": `you may not change WarmPool "sdxl"`,
			"emergency-stop -y --wait=false": `you may not change VastAccount "default"`, "logs sdxl-one": "logs needs the key of the account",
			"adopt 12 --pool=sdxl --secret=x": `you may not create WarmInstance "sdxl-12"`,
		},
		"editor": {
			"claim sdxl --name=editors --wait=false": "", "release editors": "", "drain sdxl -y --wait=false": "",
			"emergency-stop -y --wait=false": `you may not change VastAccount "default"`, "logs sdxl-one": "logs needs the key of the account",
			"adopt 12 --pool=sdxl --secret=x": `you may not create WarmInstance "sdxl-12"`,
		},
	} {
		user := as(role)
		anew := func() *call { return s.callAs(user.cluster.Client, user.cluster.Config) }
		for _, line := range looks {
			if one := anew(); one.run(line) != ExitOK {
				t.Errorf("%s: %s: %s", role, line, one.errors())
			}
		}
		for _, line := range sortedKeys(lines) {
			want := lines[line]
			one := anew()
			code := one.run(line)
			if refused := want != ""; refused != (code == ExitFailed) || !strings.Contains(one.errors(), want) || refused && !strings.Contains(one.errors(), "ask ") {
				t.Errorf("%s: %s: exit code %d: %s", role, line, code, one.errors())
			}
		}
		if s.accountMode() != warmpool.AccountActive {
			t.Errorf("the %s stopped the account", role)
		}
	}
	if s.mode() != warmpool.PoolDrain {
		t.Error("the editor did not drain the pool")
	}
}

func sortedKeys(lines map[string]string) []string {
	var keys []string
	for line := range lines {
		keys = append(keys, line)
	}
	slices.Sort(keys)
	return keys
}

// TestCompletion completes names, and says nothing else.
func TestCompletion(t *testing.T) {
	s := newStage(t)
	account := &warmpool.VastAccount{}
	if err := s.get("default", account); err != nil {
		t.Fatal(err)
	}
	account.Status.SuspectedLeaks = []warmpool.SuspectedLeak{{RentalID: 30000009, FirstSeenTime: metav1.Now()}}
	if err := plane.Client.Status().Update(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"job", "other"} {
		s.create(&warmpool.WarmClaim{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}, Spec: warmpool.WarmClaimSpec{PoolRef: warmpool.LocalReference{Name: "sdxl"}}})
	}
	for line, want := range map[string]string{
		"why|": "sdxl", "why|sdxl|": "", "drain|s": "sdxl", "drain|x": "", "emergency-stop|": "default", "claim|": "sdxl",
		"release|": "job other", "release|job|": "other", "logs|sdxl-": "sdxl-one sdxl-two", "ssh|claim/": "claim/job claim/other",
		"open|c": "claim/", "adopt|": "30000009", "adopt|--pool|": "sdxl", "instances|--pool|": "sdxl", "status|-o|": "json yaml wide",
		"why|sdxl|-o|": "json yaml", "claim|sdxl|--on-release|": "Terminate Recycle", "status|-n|" + s.namespace: s.namespace, "abandon|": "sdxl-one sdxl-two",
	} {
		one := s.call()
		if code := Run(t.Context(), one.env, append([]string{"__complete"}, strings.Split(line, "|")...)); code != ExitOK {
			t.Errorf("%s: exit code %d: %s", line, code, one.errors())
		}
		words := strings.Fields(one.output())
		if n := len(words); n == 0 || !strings.HasPrefix(words[n-1], ":") {
			t.Errorf("%s: %q", line, one.output())
		} else if got := strings.Join(words[:n-1], " "); got != want {
			t.Errorf("%s completes %q, want %q", line, got, want)
		}
	}
	broken := s.call()
	broken.cluster.Client = failing{plane.Client}
	if Run(t.Context(), broken.env, []string{"__complete", "why", ""}); broken.output() != ":1\n" {
		t.Errorf("printed %q", broken.output())
	}
}

// failing is a client whose lists fail.
type failing struct{ client.Client }

// List implements client.Reader.
func (failing) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return fmt.Errorf("connecting: %w", context.DeadlineExceeded)
}
