package page_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/legacyapi/page"
)

// busy makes a pool of two with three rentals: two free ones and one that is claimed.
func busy(t *testing.T) (s *site, claim *v1alpha1.WarmClaim) {
	t.Helper()
	s = serve(t, nil)
	s.create(poolOf(2, "1.20"))
	s.create(instanceOf("sdxl-aaaaa", "0.40"))
	s.create(instanceOf("sdxl-bbbbb", "0.30"))
	claim = &v1alpha1.WarmClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "studio"},
		Spec:       v1alpha1.WarmClaimSpec{PoolRef: v1alpha1.LocalReference{Name: "sdxl"}, Holder: "the studio"},
	}
	s.create(claim)
	held := instanceOf("sdxl-ccccc", "0.50")
	held.Spec.ClaimRef = &v1alpha1.ClaimReference{Name: "studio", UID: claim.UID}
	s.create(held)
	s.signIn()
	return s, claim
}

// costs are the rows of the table of costs: label, per hour, per day.
func costs(text string) []string {
	var rows []string
	for _, row := range strings.Split(text, `<th scope="row">`)[1:] {
		row, _, _ = strings.Cut(row, "</tr>")
		row = strings.NewReplacer(`</th><td class="number">`, " ", `</td><td class="number">`, " ", "</td>", "").Replace(row)
		rows = append(rows, row)
	}
	return rows
}

func (s *site) wantCosts(confirmation reply, rows ...string) {
	s.t.Helper()
	if got := costs(confirmation.text); !slices.Equal(got, rows) {
		s.t.Errorf("the confirmation names the costs\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(rows, "\n"))
	}
}

func (s *site) wantDone(answer reply, text string) {
	s.t.Helper()
	if answer.Request.URL.Path != page.Path {
		s.t.Errorf("the act led to %s", answer.Request.URL)
	}
	s.wants(answer, http.StatusOK, `class="notice done"`, text)
	if again := s.get(page.Path); strings.Contains(again.text, `class="notice done"`) {
		s.t.Error("what was done is said a second time")
	}
}

func (s *site) wantRecords(records ...string) {
	s.t.Helper()
	said := slices.DeleteFunc(s.journal.said(), func(r string) bool { return strings.HasPrefix(r, "auth_attempt") })
	if !slices.Equal(said, records) {
		s.t.Errorf("audited %v, want %v", said, records)
	}
}

func TestPrewarm(t *testing.T) {
	s := serve(t, nil)
	p := poolOf(0, "0.00")
	p.Status.LastAdmission = &v1alpha1.Admission{Time: metav1.Now(), Decision: v1alpha1.DecisionAdmitted, CheapestOfferUSDPerHour: "0.348301"}
	s.create(p)
	s.signIn()
	ask, answer := s.confirmed("prewarm", nil)
	s.wants(ask, http.StatusOK, "Prewarm one instance", "Rent up to 1 instance", "The ceiling of $1.50 an hour holds.")
	s.wantCosts(ask, "Committed now $0.00 $0.00", "Expected after $0.35 $8.36", "At most after $0.50 $12.00")
	s.wantDone(answer, "keeps one instance ready")
	if got := *s.pool().Spec.Replicas; got != 1 {
		t.Errorf("the size is %d", got)
	}
	s.wantRecords("prewarm started", "prewarm ok")
	s.wants(s.get(page.Path+"/do/prewarm"), http.StatusConflict, "nothing to prewarm")
	if by := s.pool().ManagedFields; !slices.ContainsFunc(by, func(f metav1.ManagedFieldsEntry) bool { return f.Manager == "warmpool-admin-page" }) {
		t.Error("the API server does not know who changed it")
	}
}

func TestResizeUpNamesTheMost(t *testing.T) {
	s, _ := busy(t)
	ask, answer := s.confirmed("resize", url.Values{"replicas": {"5"}})
	s.wants(ask, http.StatusOK, "Set the size from 2 to 5", "has 2 now, so up to 3 more")
	// Two free instances cost 0.35 on average; the ceiling limits what three more may cost.
	s.wantCosts(ask, "Committed now $1.20 $28.80", "Expected after $1.50 $36.00", "At most after $1.50 $36.00")
	s.wantDone(answer, "The size is now 5.")
	if got := *s.pool().Spec.Replicas; got != 5 {
		t.Errorf("the size is %d", got)
	}
	s.wantRecords("set_warm_pool started", "set_warm_pool ok")
}

func TestResizeDownNamesWhatItSaves(t *testing.T) {
	s, _ := busy(t)
	p := s.pool()
	p.Spec.MinReadyReplicas = new(int32(2))
	if err := plane.Client.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	ask, answer := s.confirmed("resize", url.Values{"replicas": {"1"}})
	s.wants(ask, http.StatusOK, "1 unclaimed instance will be ended", "Instances in use are not touched", "is lowered with it")
	s.wantCosts(ask, "Committed now $1.20 $28.80", "Saved, about $0.40 $9.60", "Committed after, about $0.80 $19.20")
	s.wantDone(answer, "The size is now 1.")
	if got := s.pool().Spec; *got.Replicas != 1 || *got.MinReadyReplicas != 1 {
		t.Errorf("replicas %d, minReadyReplicas %d", *got.Replicas, *got.MinReadyReplicas)
	}
}

func TestASizeThatIsNone(t *testing.T) {
	s, _ := busy(t)
	p := s.pool()
	p.Spec.MaxReplicas = new(int32(4))
	if err := plane.Client.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	for text, status := range map[string]int{"": 422, "-1": 422, "1.5": 422, "501": 422, "many": 422, "99999999999": 422, "2": 409, "5": 422} {
		s.wants(s.get(page.Path+"/do/resize?replicas="+text), status)
	}
}

func TestPauseResumeDrain(t *testing.T) {
	s, _ := busy(t)
	ask, answer := s.confirmed("pause", nil)
	s.wantCosts(ask, "Committed now $1.20 $28.80", "At most after $1.20 $28.80")
	s.wantDone(answer, "The pool is paused.")
	if got := s.pool().Spec.Mode; got != v1alpha1.PoolPaused {
		t.Errorf("mode %s", got)
	}
	s.wants(s.get(page.Path+"/do/pause"), http.StatusConflict, "Paused already")
	s.wants(s.get(page.Path+"/do/resize?replicas=3"), http.StatusOK, "The pool is in mode Paused")
	ask, answer = s.confirmed("resume", nil)
	s.wantCosts(ask, "Committed now $1.20 $28.80", "Expected after $1.20 $28.80", "At most after $1.20 $28.80")
	s.wantDone(answer, "The pool is active.")
	ask, answer = s.confirmed("drain", nil)
	s.wants(ask, http.StatusOK, "End 2 instances")
	s.wantCosts(ask, "Committed now $1.20 $28.80", "Saved $0.70 $16.80", "Committed after $0.50 $12.00")
	s.wantDone(answer, "being drained")
	if got := s.pool().Spec.Mode; got != v1alpha1.PoolDrain {
		t.Errorf("mode %s", got)
	}
	s.wantRecords("set_mode started", "set_mode ok", "set_mode started", "set_mode ok", "set_mode started", "set_mode ok")
}

func (s *site) instance(name string) (*v1alpha1.WarmInstance, bool) {
	s.t.Helper()
	var found v1alpha1.WarmInstance
	err := plane.Client.Get(s.t.Context(), types.NamespacedName{Namespace: s.namespace, Name: name}, &found)
	if client.IgnoreNotFound(err) != nil {
		s.t.Fatal(err)
	}
	return &found, err == nil
}

func TestTerminate(t *testing.T) {
	s, _ := busy(t)
	ask, answer := s.confirmed("terminate", url.Values{"name": {"sdxl-aaaaa"}})
	s.wants(ask, http.StatusOK, "End sdxl-aaaaa", "another one is rented in its place")
	s.wantCosts(ask, "Committed now $1.20 $28.80", "Saved $0.40 $9.60", "At most after, with another in its place $1.30 $31.20")
	s.wantDone(answer, "sdxl-aaaaa is being ended")
	if _, is := s.instance("sdxl-aaaaa"); is {
		t.Error("it is still there")
	}
	if _, is := s.instance("sdxl-bbbbb"); !is {
		t.Error("another one is gone")
	}
	s.wantRecords("terminate started", "terminate ok")
	if got := s.journal.entries[len(s.journal.entries)-1]; got.Details["contractId"] != audit.Number(4711) || got.Details["instance"] != audit.Text("sdxl-aaaaa") || got.Peer != "127.0.0.1" || got.Actor == "" {
		t.Errorf("the record is %+v", got)
	}
	s.wants(s.get(page.Path+"/do/terminate?name=sdxl-aaaaa"), http.StatusNotFound, "no such instance")
	s.wants(s.get(page.Path+"/do/terminate?name=other"), http.StatusNotFound)
}

func TestTerminatingAClaimedInstanceWarns(t *testing.T) {
	s, _ := busy(t)
	ask := s.get(page.Path + "/do/terminate?name=sdxl-ccccc")
	s.wants(ask, http.StatusOK, "It is in use: the claim studio loses it at once")
	s.wantCosts(ask, "Committed now $1.20 $28.80", "Saved $0.50 $12.00", "Committed after $0.70 $16.80")
}

func TestTerminateEndsTheOneThatWasSeen(t *testing.T) {
	s, _ := busy(t)
	form := formOf(s.get(page.Path + "/do/terminate?name=sdxl-aaaaa").text)
	seen, _ := s.instance("sdxl-aaaaa")
	if err := plane.Client.Delete(t.Context(), seen); err != nil {
		t.Fatal(err)
	}
	s.create(instanceOf("sdxl-aaaaa", "0.45"))
	s.wants(s.post(page.Path+"/do/terminate", form), http.StatusConflict, "It changed since you looked", "$0.45")
	if _, is := s.instance("sdxl-aaaaa"); !is {
		t.Error("another instance of the same name was ended")
	}
	s.wantRecords()
}

func TestAClaimIsMade(t *testing.T) {
	s, _ := busy(t)
	p := s.pool()
	p.Spec.ClaimPolicy.MaxTTLSeconds = 5400
	if err := plane.Client.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	ask, answer := s.confirmed("claim", url.Values{"minutes": {"600"}, "holder": {" batch <14> "}})
	s.wants(ask, http.StatusOK, "Claim an instance for 1 h 30 min", "the instance is ended")
	s.wantCosts(ask, "Committed now $1.20 $28.80", "The held instance, about $0.40 $9.60", "At most after, with another in its place $1.50 $36.00")
	s.wantDone(answer, "An instance is claimed")
	var claims v1alpha1.WarmClaimList
	if err := plane.Client.List(t.Context(), &claims, client.InNamespace(s.namespace)); err != nil {
		t.Fatal(err)
	}
	made := slices.DeleteFunc(claims.Items, func(c v1alpha1.WarmClaim) bool { return c.Name == "studio" })
	if len(made) != 1 {
		t.Fatalf("%d claims were made", len(made))
	}
	if c := made[0]; !strings.HasPrefix(c.Name, "sdxl-claim-") || c.Spec.PoolRef.Name != "sdxl" || ptr.Deref(c.Spec.TTLSeconds, 0) != 5400 || c.Spec.Holder != "batch &lt;14&gt;" && c.Spec.Holder != "batch <14>" {
		t.Errorf("the claim is %s %+v", c.Name, c.Spec)
	}
	s.wantRecords("claim started", "claim ok")
	for _, minutes := range []string{"-5", "soon", "99999999"} {
		s.wants(s.get(page.Path+"/do/claim?minutes="+minutes), http.StatusUnprocessableEntity, "not a time")
	}
	s.wants(s.get(page.Path+"/do/claim?holder="+strings.Repeat("x", 300)), http.StatusUnprocessableEntity, "too long")
}

func TestAClaimOfThePoolsDefault(t *testing.T) {
	s, _ := busy(t)
	ask, _ := s.confirmed("claim", nil)
	s.wants(ask, http.StatusOK, "Claim an instance for 30 min")
	var claims v1alpha1.WarmClaimList
	if err := plane.Client.List(t.Context(), &claims, client.InNamespace(s.namespace)); err != nil {
		t.Fatal(err)
	}
	for i := range claims.Items {
		if claims.Items[i].Spec.TTLSeconds != nil {
			t.Errorf("%s asks for %d s, not for the pool's default", claims.Items[i].Name, *claims.Items[i].Spec.TTLSeconds)
		}
	}
}

func TestRelease(t *testing.T) {
	s, _ := busy(t)
	ask, answer := s.confirmed("release", url.Values{"name": {"studio"}})
	s.wants(ask, http.StatusOK, "Whoever uses sdxl-ccccc loses it at once", "The instance is ended")
	s.wantCosts(ask, "Committed now $1.20 $28.80", "Saved $0.50 $12.00", "Committed after $0.70 $16.80")
	s.wantDone(answer, "studio is being released")
	var claim v1alpha1.WarmClaim
	if err := plane.Client.Get(t.Context(), types.NamespacedName{Namespace: s.namespace, Name: "studio"}, &claim); !apierrors.IsNotFound(err) {
		t.Errorf("the claim: %v", err)
	}
	s.wantRecords("release started", "release ok")
	s.wants(s.get(page.Path+"/do/release?name=studio"), http.StatusNotFound)
}

func TestReleasingForRecyclingSavesNothing(t *testing.T) {
	s, claim := busy(t)
	claim.Spec.OnRelease = v1alpha1.ReleaseRecycle
	if err := plane.Client.Update(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	ask := s.get(page.Path + "/do/release?name=studio")
	s.wants(ask, http.StatusOK, "goes back to the pool")
	s.wantCosts(ask, "Committed now $1.20 $28.80", "Committed after $1.20 $28.80")
}

func TestASpecThatChangedIsReadAgain(t *testing.T) {
	s, _ := busy(t)
	form := formOf(s.get(page.Path + "/do/resize?replicas=5").text)
	p := s.pool()
	p.Spec.Cost.CeilingUSDPerHour = "9.00"
	if err := plane.Client.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	answer := s.post(page.Path+"/do/resize", form)
	s.wants(answer, http.StatusConflict, "It changed since you looked", "$9.00")
	if got := *s.pool().Spec.Replicas; got != 2 {
		t.Errorf("the size is %d", got)
	}
	s.wantRecords()
	s.wantDone(s.post(page.Path+"/do/resize", formOf(answer.text)), "The size is now 5.")
}

// broken breaks writes.
type broken struct {
	page.Cluster
	patch func(context.Context) error
}

func (b *broken) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.PatchOption) error {
	if err := b.patch(ctx); err != nil {
		return err
	}
	return b.Cluster.Patch(ctx, object, patch, options...)
}

func TestAStatusThatIsWrittenMeanwhileIsNoConflict(t *testing.T) {
	var s *site
	tries := 0
	s = serve(t, func(c page.Cluster) page.Cluster {
		return &broken{c, func(ctx context.Context) error {
			if tries++; tries > 2 {
				return nil
			}
			p := s.pool() //nolint:contextcheck // it is the test that reads
			p.Status.ReadyReplicas = int32(tries)
			return plane.Client.Status().Update(ctx, p)
		}}
	})
	s.create(poolOf(0, "0.00"))
	s.signIn()
	_, answer := s.confirmed("prewarm", nil)
	s.wantDone(answer, "keeps one instance ready")
	if tries != 3 {
		t.Errorf("it was tried %d times", tries)
	}
}

func TestAnActThatFailsSaysWhetherItWasDone(t *testing.T) {
	group := schema.GroupResource{Group: "warmpool.dev", Resource: "warmpools"}
	for name, test := range map[string]struct {
		err     error
		text    string
		outcome string
	}{
		"forbidden": {apierrors.NewForbidden(group, "sdxl", errors.New("no")), "It was not done: the sidecar&#39;s role does not allow it", "prewarm refused"},
		"timeout":   {apierrors.NewTimeoutError("slow", 1), "It may have been done or not", "prewarm unknown"},
		"network":   {errors.New("read tcp 10.0.0.1:443: reset"), "It may have been done or not", "prewarm unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(c page.Cluster) page.Cluster {
				return &broken{c, func(context.Context) error { return test.err }}
			})
			s.create(poolOf(0, "0.00"))
			s.signIn()
			_, answer := s.confirmed("prewarm", nil)
			s.wants(answer, http.StatusConflict, test.text, `role="alert"`)
			if strings.Contains(answer.text, "10.0.0.1") {
				t.Error("an address inside the cluster is on the page")
			}
			s.wantRecords("prewarm started", test.outcome)
		})
	}
}

func TestAnActIsAuditedBeforeItIsDone(t *testing.T) {
	var s *site
	var before []string
	s = serve(t, func(c page.Cluster) page.Cluster {
		return &broken{c, func(context.Context) error {
			before = s.journal.said()
			return nil
		}}
	})
	s.create(poolOf(0, "0.00"))
	s.signIn()
	s.confirmed("prewarm", nil)
	if !slices.Contains(before, "prewarm started") {
		t.Errorf("when it was done, the log said %v", before)
	}
}

func TestWithoutAnAuditLogNothingIsSpentButSavingGoesOn(t *testing.T) {
	s, _ := busy(t)
	s.journal.fail(errors.New("the disk is full"))
	for act, values := range map[string]url.Values{"resize": {"replicas": {"4"}}, "claim": nil} {
		_, answer := s.confirmed(act, values)
		s.wants(answer, http.StatusServiceUnavailable, "The audit log cannot be written, so nothing was done")
	}
	if got := *s.pool().Spec.Replicas; got != 2 {
		t.Errorf("the size is %d", got)
	}
	_, answer := s.confirmed("terminate", url.Values{"name": {"sdxl-aaaaa"}})
	s.wants(answer, http.StatusOK, `class="notice warning"`, "could not be written to the audit log")
	if _, is := s.instance("sdxl-aaaaa"); is {
		t.Error("the instance still costs money")
	}
	_, answer = s.confirmed("pause", nil)
	s.wants(answer, http.StatusOK, `class="notice warning"`)
	_, answer = s.confirmed("resume", nil)
	s.wants(answer, http.StatusServiceUnavailable)
}

func TestOneReadingServesAllWhoLook(t *testing.T) {
	counter := &counting{}
	s := serve(t, func(c page.Cluster) page.Cluster { counter.Cluster = c; return counter })
	s.create(poolOf(1, "0.41"))
	s.signIn()
	before := counter.gets
	for range 5 {
		s.get(page.Path + "/live")
	}
	if counter.gets != before {
		t.Errorf("five looks within two seconds read %d times more", counter.gets-before)
	}
	s.later(2 * time.Second)
	s.get(page.Path + "/live")
	if counter.gets == before {
		t.Error("what is shown stays old")
	}
}

// counting counts readings.
type counting struct {
	page.Cluster
	gets int
}

func (c *counting) Get(ctx context.Context, key types.NamespacedName, object client.Object, options ...client.GetOption) error {
	c.gets++
	return c.Cluster.Get(ctx, key, object, options...)
}
