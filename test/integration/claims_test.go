package integration

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// longWait is how long the claims of these tests wait: the API server dates them
// by the wall, and the operator's clock is far ahead of it.
const longWait = 86400

// newClaim is a claim on the pool sdxl for ten minutes.
func newClaim(name string, edits ...func(*warmpool.WarmClaimSpec)) *warmpool.WarmClaim {
	claim := &warmpool.WarmClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       warmpool.WarmClaimSpec{PoolRef: warmpool.LocalReference{Name: "sdxl"}, TTLSeconds: new(int32(600)), BindTimeoutSeconds: longWait},
	}
	for _, edit := range edits {
		edit(&claim.Spec)
	}
	return claim
}

// claim reads a claim; one without a name when it is not there.
func (w *world) claim(name string) *warmpool.WarmClaim {
	var claim warmpool.WarmClaim
	err := w.client.Get(context.WithoutCancel(w.Context()), client.ObjectKey{Namespace: w.namespace, Name: name}, &claim)
	if client.IgnoreNotFound(err) != nil {
		w.Logf("reading claim %s: %v", name, err)
	}
	return &claim
}

// claimIs waits until a condition of a claim is "status/reason", with these
// phrases in its message.
func (w *world) claimIs(name, kind, want string, phrases ...string) {
	w.Helper()
	w.eventually(func(g gomega.Gomega) {
		answer, message := condition(w.claim(name).Status.Conditions, kind)
		g.Expect(answer).To(gomega.Equal(want), message)
		for _, phrase := range phrases {
			g.Expect(message).To(gomega.ContainSubstring(phrase))
		}
	})
}

// bound waits until a claim holds an instance that is ready for use.
func (w *world) bound(name string) *warmpool.WarmClaim {
	w.Helper()
	w.claimIs(name, warmpool.ConditionReady, "True/Ready")
	w.claimIs(name, warmpool.ConditionBound, "True/Bound")
	return w.claim(name)
}

// editClaim changes the spec of a claim.
func (w *world) editClaim(name string, edit func(*warmpool.WarmClaimSpec)) {
	w.Helper()
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		claim := w.claim(name)
		edit(&claim.Spec)
		return w.client.Update(w.Context(), claim)
	})
	if err != nil {
		w.Fatalf("changing claim %s: %v", name, err)
	}
}

// letGo deletes a claim and waits until it is gone.
func (w *world) letGo(name string) {
	w.Helper()
	if err := w.client.Delete(w.Context(), w.claim(name)); err != nil {
		w.Fatal(err)
	}
	w.eventually(func(g gomega.Gomega) { g.Expect(w.claim(name).Name).To(gomega.BeEmpty()) })
}

// instanceOf reads the instance that a claim names; one without a name when it
// is not there.
func (w *world) instanceOf(claim *warmpool.WarmClaim) *warmpool.WarmInstance {
	var instance warmpool.WarmInstance
	err := w.client.Get(context.WithoutCancel(w.Context()), client.ObjectKey{Namespace: w.namespace, Name: claim.Status.InstanceRef.Name}, &instance)
	if client.IgnoreNotFound(err) != nil {
		w.Fatal(err)
	}
	return &instance
}

// claimSecret reads the Secret of a claim.
func (w *world) claimSecret(claim *warmpool.WarmClaim) (*corev1.Secret, error) {
	var secret corev1.Secret
	err := w.client.Get(w.Context(), client.ObjectKey{Namespace: w.namespace, Name: claim.Status.CredentialsSecretRef.Name}, &secret)
	return &secret, err
}

// ask calls the ComfyUI of a claim with nothing but what its Secret holds, as an
// application would.
func (w *world) ask(secret *corev1.Secret, method, path, body string) string {
	w.Helper()
	fingerprint := string(secret.Data[warmpool.SecretKeyClaimCertificate])
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, // the certificate is pinned below
		VerifyConnection: func(state tls.ConnectionState) error {
			if sum := sha256.Sum256(state.PeerCertificates[0].Raw); hex.EncodeToString(sum[:]) != fingerprint {
				return errors.New("another certificate than the claim's Secret names")
			}
			return nil
		},
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(w.Context(), method, string(secret.Data[warmpool.SecretKeyClaimURL])+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+string(secret.Data[warmpool.SecretKeyClaimToken]))
	response, err := transport.RoundTrip(request)
	if err != nil {
		w.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		w.Fatalf("%s %s: HTTP %d, %v: %s", method, path, response.StatusCode, err, text)
	}
	return string(text)
}

// columns are what kubectl get shows of the claims, by column.
func (w *world) columns() map[string]string {
	w.Helper()
	httpClient, err := rest.HTTPClientFor(shared.Config)
	if err != nil {
		w.Fatal(err)
	}
	request, err := http.NewRequestWithContext(w.Context(), http.MethodGet, strings.TrimSuffix(shared.Config.Host, "/")+"/apis/warmpool.dev/v1alpha1/namespaces/"+w.namespace+"/warmclaims", http.NoBody)
	if err != nil {
		w.Fatal(err)
	}
	request.Header.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
	response, err := httpClient.Do(request)
	if err != nil {
		w.Fatal(err)
	}
	defer response.Body.Close()
	var table metav1.Table
	if err := json.NewDecoder(response.Body).Decode(&table); err != nil {
		w.Fatal(err)
	}
	shown := map[string]string{}
	for k, column := range table.ColumnDefinitions {
		if column.Priority == 0 && len(table.Rows) > 0 {
			shown[column.Name] = fmt.Sprint(table.Rows[0].Cells[k])
		}
	}
	return shown
}

// TestAClaimHoldsExtendsAndReleases is the life of a claim whose instance is
// ended with it.
func TestAClaimHoldsExtendsAndReleases(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.create(swiftPool(1, "1.50"))
	w.waitReady(1)
	w.create(newClaim("job", func(spec *warmpool.WarmClaimSpec) { spec.Holder = "the tests" }))
	claim := w.bound("job")
	instance := w.instanceOf(claim)
	w.step("it has an instance, and an application can use it", func(w *world) {
		w.Expect(instance.Spec.ClaimRef.UID).To(gomega.Equal(claim.UID))
		w.Expect(claim.Status.ExpirationTime.Sub(claim.Status.BoundTime.Time)).To(gomega.Equal(10 * time.Minute))
		w.Expect(claim.Status.ObservedGeneration).To(gomega.Equal(claim.Generation))
		secret, err := w.claimSecret(claim)
		w.Expect(err).NotTo(gomega.HaveOccurred())
		w.Expect(secret.Name).To(gomega.Equal("job-claim"))
		w.Expect(string(secret.Data["url"])).To(gomega.Equal(claim.Status.Endpoint))
		w.Expect(string(secret.Data["username"])).To(gomega.Equal("vastai"))
		w.Expect(metav1.IsControlledBy(secret, claim)).To(gomega.BeTrue())
		w.Expect(w.ask(secret, http.MethodGet, "/prompt", "")).To(gomega.ContainSubstring("queue_remaining"))
	})
	w.step("the pool is filled again", func(w *world) {
		w.eventually(func(g gomega.Gomega) {
			g.Expect(w.get().Status.ClaimedReplicas).To(gomega.BeEquivalentTo(1))
			g.Expect(w.get().Status.ReadyReplicas).To(gomega.BeEquivalentTo(1))
		})
	})
	w.step("kubectl get shows it", func(w *world) {
		shown := w.columns()
		for column, want := range map[string]string{"Name": "job", "Pool": "sdxl", "Bound": "True", "Instance": instance.Name, "Endpoint": claim.Status.Endpoint} {
			w.Expect(shown).To(gomega.HaveKeyWithValue(column, want))
		}
		w.Expect(shown).To(gomega.HaveKey("Expires"))
		w.Expect(shown).To(gomega.HaveKey("Age"))
	})
	w.step("it is extended", func(w *world) {
		w.editClaim("job", func(spec *warmpool.WarmClaimSpec) { spec.TTLSeconds = new(int32(7200)) })
		w.eventually(func(g gomega.Gomega) {
			status := w.claim("job").Status
			g.Expect(status.ExpirationTime.Sub(status.BoundTime.Time)).To(gomega.Equal(2 * time.Hour))
		})
	})
	w.step("scaling does not end it", func(w *world) {
		w.scale(0)
		w.eventually(func(g gomega.Gomega) { g.Expect(w.alive()).To(gomega.Equal([]int64{instance.Status.Rental.ID})) })
		w.quiet(time.Minute)
	})
	w.step("its deletion releases the instance, which is ended", func(w *world) {
		w.letGo("job")
		w.eventually(func(g gomega.Gomega) { g.Expect(w.alive()).To(gomega.BeEmpty()) })
		_, err := w.claimSecret(claim)
		w.Expect(apierrors.IsNotFound(err)).To(gomega.BeTrue())
	})
	w.finish(1_500_000)
}

// TestClaimsWaitRecycleExpireAndLose has claims on a pool of no replicas, in
// which one instance at most may be rented.
func TestClaimsWaitRecycleExpireAndLose(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	empty := swiftPool(0, "1.50")
	empty.Spec.MaxReplicas = new(int32(1))
	w.create(empty)
	recycle := func(spec *warmpool.WarmClaimSpec) { spec.OnRelease = warmpool.ReleaseRecycle }
	w.step("a claim that waits makes a pool of no replicas rent", func(w *world) {
		w.create(newClaim("first", recycle))
		w.bound("first")
		w.Expect(w.rents()).To(gomega.Equal(1))
		w.Expect(*w.get().Spec.Replicas).To(gomega.BeZero())
	})
	first := w.claim("first")
	w.step("the next one waits, and says for what", func(w *world) {
		w.create(newClaim("second"))
		w.claimIs("second", warmpool.ConditionBound, "False/MaxReplicasReached", "number 1 of the claims that wait", "1 of at most 1 instances exist")
		w.Expect(w.claim("second").Status.QueuePosition).To(gomega.BeEquivalentTo(1))
	})
	w.step("what the first left behind is cleared away, and the second gets the instance", func(w *world) {
		secret, err := w.claimSecret(first)
		w.Expect(err).NotTo(gomega.HaveOccurred())
		w.ask(secret, http.MethodPost, "/prompt", `{"prompt":{"1":{"class_type":"EmptyImage","inputs":{"width":64,"height":64,"batch_size":1,"color":7}},"2":{"class_type":"PreviewImage","inputs":{"images":["1",0]}}}}`)
		w.eventually(func(g gomega.Gomega) {
			g.Expect(w.ask(secret, http.MethodGet, "/history", "")).NotTo(gomega.MatchJSON("{}"))
		})
		w.letGo("first")
		second := w.bound("second")
		w.Expect(second.Status.InstanceRef).To(gomega.Equal(first.Status.InstanceRef))
		w.Expect(w.rents()).To(gomega.Equal(1), "the same rental")
		secret, err = w.claimSecret(second)
		w.Expect(err).NotTo(gomega.HaveOccurred())
		w.Expect(w.ask(secret, http.MethodGet, "/history", "")).To(gomega.MatchJSON("{}"))
		w.sawEvent("WarmInstance/Recycling", "claim first was deleted")
		w.sawEvent("WarmInstance/Recycled", "has rendered a test prompt")
	})
	w.step("the second expires, and stays to say so", func(w *world) {
		w.editClaim("second", func(spec *warmpool.WarmClaimSpec) { spec.TTLSeconds = new(int32(1)) })
		w.claimIs("second", warmpool.ConditionFinished, "True/Expired", "is released")
		w.claimIs("second", warmpool.ConditionReady, "False/Expired")
		w.eventually(func(g gomega.Gomega) {
			g.Expect(w.claim("second").Status.CredentialsSecretRef).To(gomega.BeNil())
			g.Expect(w.alive()).To(gomega.BeEmpty())
		})
		w.letGo("second")
	})
	w.step("an instance that is deleted is lost to its claim", func(w *world) {
		w.create(newClaim("third"))
		third := w.bound("third")
		w.Expect(w.client.Delete(w.Context(), w.instanceOf(third))).To(gomega.Succeed())
		w.claimIs("third", warmpool.ConditionFinished, "True/InstanceLost", "Make a new claim")
	})
	w.step("a claim on a pool that is not there says so, and can be deleted", func(w *world) {
		w.create(newClaim("nowhere", func(spec *warmpool.WarmClaimSpec) { spec.PoolRef.Name = "sd3" }))
		w.claimIs("nowhere", warmpool.ConditionStalled, "True/PoolNotFound", `There is no WarmPool "sd3"`)
		w.letGo("nowhere")
	})
	w.step("one that may not wait is finished", func(w *world) {
		w.create(newClaim("late", func(spec *warmpool.WarmClaimSpec) { spec.BindTimeoutSeconds = 1 }))
		w.claimIs("late", warmpool.ConditionFinished, "True/BindTimeout", "within 1 s (spec.bindTimeoutSeconds)")
	})
	w.step("the deletion of the pool does not wait for claims", func(w *world) {
		w.create(newClaim("last"))
		w.bound("last")
		w.deletePool()
		w.claimIs("last", warmpool.ConditionFinished, "True/InstanceLost")
		w.letGo("last")
	})
	w.witness(1_500_000)
}
