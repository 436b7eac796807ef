package installation_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/installation"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// quick is a clock whose waits take a millisecond.
type quick struct {
	clock.Clock
	at time.Time
}

func (q quick) Now() time.Time { return q.at }

func (quick) After(time.Duration) <-chan time.Time { return time.After(time.Millisecond) }

func newClient(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), warmpool.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(funcs).WithObjects(objects...).Build()
}

func lease(holder string, renewed time.Time) client.Object {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "warmpool-system", Name: "lease"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, RenewTime: new(metav1.NewMicroTime(renewed)), LeaseDurationSeconds: new(int32(30))},
	}
}

func account(conditions ...metav1.Condition) client.Object {
	return &warmpool.VastAccount{ObjectMeta: meta("default", "mine"), Status: warmpool.VastAccountStatus{Conditions: conditions}}
}

func meta(name, release string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "gpu", Name: name, Labels: map[string]string{
		"app.kubernetes.io/name": "warmpool", "app.kubernetes.io/instance": release,
	}}
}

func ready(status metav1.ConditionStatus, reason string) metav1.Condition {
	return metav1.Condition{Type: warmpool.ConditionReady, Status: status, Reason: reason, Message: "In words."}
}

func TestCheck(t *testing.T) {
	good := lease("manager-0", now.Add(-10*time.Second))
	for name, checked := range map[string]struct {
		objects []client.Object
		want    string
		fails   bool
	}{
		"all is well":              {[]client.Object{good, account(ready(metav1.ConditionTrue, "Ready"))}, "VastAccount gpu/default is Ready.", false},
		"no account yet":           {[]client.Object{good}, "There is no VastAccount yet", false},
		"no manager":               {nil, "does the manager run?", true},
		"the manager is gone":      {[]client.Object{lease("manager-0", now.Add(-31*time.Second))}, "ran out at 2026-05-01T11:59:59Z", true},
		"nobody leads":             {[]client.Object{lease("", now)}, "nobody holds the leader's Lease", true},
		"an account without a key": {[]client.Object{good, account(ready(metav1.ConditionFalse, "SecretNotFound"))}, "VastAccount gpu/default is not Ready: SecretNotFound: In words.", true},
		"an account nobody saw":    {[]client.Object{good, account()}, "the manager has not reported on it yet", true},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			ctx, cancel := context.WithCancel(t.Context())
			looks := 0
			access := newClient(t, interceptor.Funcs{Get: func(ctx context.Context, next client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
				// The third look is the last one that the patience lasts for.
				if looks++; looks == 3 {
					defer cancel()
				}
				return next.Get(ctx, key, object, options...)
			}}, checked.objects...)
			err := installation.Check(ctx, access, &installation.CheckOptions{
				Lease: types.NamespacedName{Namespace: "warmpool-system", Name: "lease"}, Clock: quick{at: now}, Timeout: time.Minute, Out: &out,
			})
			said := out.String()
			if err != nil {
				said += err.Error()
			}
			if (err != nil) != checked.fails || !strings.Contains(said, checked.want) {
				t.Errorf("it says %q (%v), want %q in it", said, err, checked.want)
			}
		})
	}
}

func instance(name, pool string) client.Object {
	return &warmpool.WarmInstance{
		ObjectMeta: metav1.ObjectMeta{Namespace: "gpu", Name: name},
		Spec:       warmpool.WarmInstanceSpec{PoolRef: warmpool.LocalReference{Name: pool}},
		Status: warmpool.WarmInstanceStatus{
			Attempts: []warmpool.RentAttempt{{Number: 1, QuotedUSDPerHour: "0.40"}},
			Price:    warmpool.InstancePrice{QuotedUSDPerHour: "0.40", CurrentUSDPerHour: "0.42"},
		},
	}
}

func pool(name, release string) client.Object {
	return &warmpool.WarmPool{ObjectMeta: meta(name, release)}
}

// TestEndWaitsForTheRentals lets the operator take two looks to end an instance: the
// account is deleted only afterwards, for it holds the key.
func TestEndWaitsForTheRentals(t *testing.T) {
	var deleted []string
	looks := 0
	access := newClient(t, interceptor.Funcs{
		Delete: func(ctx context.Context, next client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			deleted = append(deleted, object.GetName())
			return next.Delete(ctx, object, options...)
		},
		List: func(ctx context.Context, next client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if instances, ok := list.(*warmpool.WarmInstanceList); ok {
				if looks++; looks == 3 {
					if err := next.Delete(ctx, instance("sdxl-1", "sdxl")); err != nil {
						return err
					}
				}
				return next.List(ctx, instances, options...)
			}
			return next.List(ctx, list, options...)
		},
	}, account(), pool("sdxl", "mine"), pool("theirs", "other"), instance("sdxl-1", "sdxl"))
	var out strings.Builder
	err := installation.End(t.Context(), access, &installation.EndOptions{Release: "mine", Namespace: "gpu", Clock: quick{}, Timeout: time.Minute, Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(deleted, " "); got != "sdxl default" {
		t.Errorf("it deleted %q, want the pool and then the account, and nothing of the other release", got)
	}
	if want := "Waiting for 1 pools and 1 instances, at $0.42 an hour, to be confirmed gone."; !strings.Contains(out.String(), want) {
		t.Errorf("it says %q, want %q in it", out.String(), want)
	}
}

// TestEndRefusesToLeaveOthers deletes nothing when instances of other pools would
// bill on without a manager.
func TestEndRefusesToLeaveOthers(t *testing.T) {
	access := newClient(t, interceptor.Funcs{Delete: func(_ context.Context, _ client.WithWatch, object client.Object, _ ...client.DeleteOption) error {
		t.Errorf("it deletes %s", object.GetName())
		return nil
	}}, account(), pool("sdxl", "mine"), pool("by-hand", ""), instance("sdxl-1", "sdxl"), instance("by-hand-1", "by-hand"))
	err := installation.End(t.Context(), access, &installation.EndOptions{Release: "mine", Namespace: "gpu", Clock: quick{}, Timeout: time.Minute, Out: &strings.Builder{}})
	if !errors.Is(err, installation.ErrOthersLeft) || !strings.Contains(err.Error(), "1 of the pools gpu/by-hand, at $0.42 an hour") {
		t.Errorf("it says %v, want the pool that is in the way", err)
	}
}

// TestEndGivesUpInTime says what is left after the timeout, so that Helm keeps the manager.
func TestEndGivesUpInTime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	looks := 0
	access := newClient(t, interceptor.Funcs{List: func(ctx context.Context, next client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
		if _, ok := list.(*warmpool.WarmInstanceList); ok {
			if looks++; looks == 3 {
				defer cancel()
			}
		}
		return next.List(ctx, list, options...)
	}}, account(), instance("sdxl-1", "gone"))
	err := installation.End(ctx, access, &installation.EndOptions{Release: "mine", Namespace: "gpu", Clock: quick{}, Timeout: time.Minute, Out: &strings.Builder{}})
	if err == nil || !strings.Contains(err.Error(), "the manager is kept") || !strings.Contains(err.Error(), "1 instances") {
		t.Errorf("it says %v, want what is left", err)
	}
}
