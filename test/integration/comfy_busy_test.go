package integration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator/comfysim"
)

var errOtherCertificate = errors.New("the server shows another certificate than the one in the status")

// comfyClient speaks to an instance as its user does: with the address, the
// password and the certificate that the WarmInstance tells.
type comfyClient struct {
	base, password string
	http           *http.Client
}

func (w *comfyWorld) comfy(instance *warmpool.WarmInstance) *comfyClient {
	w.Helper()
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: w.namespace, Name: instance.Status.CredentialsSecretRef.Name}
	if err := w.client.Get(w.Context(), key, &secret); err != nil {
		w.Fatal(err)
	}
	at := slices.IndexFunc(instance.Status.Endpoints, func(e warmpool.InstanceEndpoint) bool { return e.Name == "comfyui" })
	if at < 0 || instance.Status.CertificateSHA256 == "" {
		w.Fatalf("instance %s does not say how to reach it: %+v", instance.Name, instance.Status)
	}
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, // the pin below is the verification
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			sum := sha256.Sum256(raw[0])
			if hex.EncodeToString(sum[:]) != instance.Status.CertificateSHA256 {
				return errOtherCertificate
			}
			return nil
		},
	}}
	return &comfyClient{
		base: instance.Status.Endpoints[at].URL, password: string(secret.Data[warmpool.SecretKeyWebPassword]),
		http: &http.Client{Transport: transport, Timeout: 20 * time.Second},
	}
}

// call makes one call and returns the decoded answer.
func (c *comfyClient) call(ctx context.Context, method, path string, body any) (int, map[string]any, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.password)
	response, err := c.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, err
	}
	decoded := map[string]any{}
	return response.StatusCode, decoded, json.Unmarshal(answer, &decoded)
}

// work posts so many prompts of a node and returns the id of the first.
func (w *comfyWorld) work(instance *warmpool.WarmInstance, class string, count int) string {
	w.Helper()
	comfy, first := w.comfy(instance), ""
	for seed := range count {
		graph := map[string]any{"1": map[string]any{"class_type": class, "inputs": map[string]any{"seed": seed}}}
		status, answer, err := comfy.call(w.Context(), http.MethodPost, "/prompt", map[string]any{"prompt": graph})
		if err != nil || status != http.StatusOK {
			w.Fatalf("posting a prompt to %s: HTTP %d %v, %v", instance.Name, status, answer, err)
		}
		if id, _ := answer["prompt_id"].(string); seed == 0 {
			first = id
		}
	}
	return first
}

// seenBusy waits until the operator knows that the instance is at work.
func (w *comfyWorld) seenBusy(name string) {
	w.Helper()
	w.eventually(func(g gomega.Gomega) { g.Expect(w.readyAnswer(name)).To(gomega.Equal("True/Busy")) })
}

// readyAnswer is the condition Ready of an instance by its name.
func (w *comfyWorld) readyAnswer(name string) string {
	for _, instance := range w.instances() {
		if instance.Name == name {
			answer, _ := condition(instance.Status.Conditions, warmpool.ConditionReady)
			return answer
		}
	}
	return "gone"
}

// comfyLasting demands for so much simulated time that check passes. It waits
// for an absence, so it has to wait in any case.
func (w *comfyWorld) comfyLasting(simulated time.Duration, check func(g gomega.Gomega)) {
	w.Helper()
	w.Consistently(check, w.clock.Wall(simulated), 50*time.Millisecond).Should(gomega.Succeed())
}

// TestComfyBusyInstances: an instance at work is given time, is not disturbed
// by test prompts and is the last one to be ended; but work that does not move
// is no excuse.
func TestComfyBusyInstances(t *testing.T) {
	patient := func(spec *warmpool.WarmPoolSpec) {
		spec.Probes.BusySilenceSeconds, spec.Probes.MaxPromptSeconds = 300, 7200
	}
	w := newComfyWorld(t, []string{"silent-at-work", "hung-at-work", "dead-at-work", "dead-in-work", "two", "restarted-at-work"}, nil)
	for name, edit := range map[string]func(*warmpool.WarmPoolSpec){
		"silent-at-work": patient, "hung-at-work": nil, "dead-at-work": nil, "dead-in-work": nil, "restarted-at-work": patient,
		"two": func(spec *warmpool.WarmPoolSpec) { patient(spec); spec.Replicas = new(int32(2)) },
	} {
		w.newPool(name, edit)
	}
	w.step("two", func(w *comfyWorld) {
		ready := w.ready("two", 2)
		dear := ready[slices.IndexFunc(ready, func(i warmpool.WarmInstance) bool { return i.Status.Rental.MachineID == w.machine("two", 1) })]
		w.work(&dear, comfyLongWork, 2)
		w.seenBusy(dear.Name)
		w.comfyScale("two", 1)
		w.eventually(func(g gomega.Gomega) {
			left := w.instancesOf("two")
			g.Expect(left).To(gomega.HaveLen(1))
			g.Expect(left[0].Name).To(gomega.Equal(dear.Name), "the dearer one is at work, so the other one ends")
		})
		proof := w.instancesOf("two")[0].Status.LastProofTime.Time
		w.comfyLasting(150*time.Second, func(g gomega.Gomega) {
			g.Expect(w.readyAnswer(dear.Name)).To(gomega.Equal("True/Busy"))
			g.Expect(w.instancesOf("two")[0].Status.LastProofTime.Time).To(gomega.Equal(proof), "no test prompt queues behind work")
		})
		w.Expect(w.pool("two").Status.ReadyReplicas).To(gomega.Equal(int32(1)), "an instance at work is ready")
	})
	w.step("silent-at-work", func(w *comfyWorld) {
		instance := w.ready("silent-at-work", 1)[0]
		prompt := w.work(&instance, comfyShortWork, 2)
		w.seenBusy(instance.Name)
		w.setFault(instance.Status.Rental.ID, comfysim.FaultGILStall, map[string]string{"for": "100s"})
		w.saw("silent-at-work", readySays("True/BusyUnresponsive", "it may stay silent for 300 s (spec.probes.busySilenceSeconds)"))
		w.eventually(func(g gomega.Gomega) {
			_, history, err := w.comfy(&instance).call(w.Context(), http.MethodGet, "/history/"+prompt, nil)
			g.Expect(err).NotTo(gomega.HaveOccurred())
			g.Expect(history).To(gomega.HaveKey(prompt), "the work is done in the end")
		})
		w.expectKept("silent-at-work")
	})
	w.step("hung-at-work", func(w *comfyWorld) {
		instance := w.ready("hung-at-work", 1)[0]
		w.setFault(instance.Status.Rental.ID, comfysim.FaultHang, nil)
		w.work(&instance, comfyShortWork, 3)
		w.expectReplaced("hung-at-work", comfyCase{gives: "PromptHung", says: "One prompt has been running for more than 1m0s (spec.probes.maxPromptSeconds)."})
	})
	w.step("dead-at-work", func(w *comfyWorld) {
		instance := w.ready("dead-at-work", 1)[0]
		w.setFault(instance.Status.Rental.ID, comfysim.FaultWorkerDead, nil)
		w.work(&instance, comfyShortWork, 2)
		w.expectReplaced("dead-at-work", comfyCase{gives: "WorkerDead", says: "dead although it"})
	})
	w.step("dead-in-work", func(w *comfyWorld) {
		instance := w.ready("dead-in-work", 1)[0]
		w.setFault(instance.Status.Rental.ID, comfysim.FaultWorkerDead, map[string]string{"where": "inside"})
		w.work(&instance, comfyShortWork, 2)
		w.expectReplaced("dead-in-work", comfyCase{gives: "PromptHung", says: "One prompt has been running for more than 1m0s"})
	})
	w.step("restarted-at-work", func(w *comfyWorld) {
		instance := w.ready("restarted-at-work", 1)[0]
		w.work(&instance, comfyLongWork, 1)
		w.seenBusy(instance.Name)
		w.setFault(instance.Status.Rental.ID, comfysim.FaultRestart, nil)
		w.expectKept("restarted-at-work")
		w.Expect(w.readyAnswer(instance.Name)).To(gomega.Equal("True/Ready"), "the work is lost with the process, and the instance proves itself again")
	})
	if !t.Failed() {
		w.finish()
	}
}

// TestComfyTooManyFailAtOnce: when more fail than maxUnhealthy allows, none is
// ended, for the fault is probably between them and us; one alone is replaced.
func TestComfyTooManyFailAtOnce(t *testing.T) {
	// The names without a pool lend their machines.
	w := newComfyWorld(t, []string{"many", "many-b", "many-c", "never"}, nil)
	w.newPool("never", func(spec *warmpool.WarmPoolSpec) { spec.Remediation.MaxUnhealthy = "0%" })
	w.newPool("many", func(spec *warmpool.WarmPoolSpec) {
		spec.Replicas, spec.Cost.CeilingUSDPerHour = new(int32(3)), "2.00"
		for _, lender := range []string{"many-b", "many-c"} {
			for n := range 2 {
				spec.Offers.Extra[0].Values = append(spec.Offers.Extra[0].Values, strconv.FormatInt(w.machine(lender, n), 10))
			}
		}
	})
	w.step("many", func(w *comfyWorld) {
		ready := w.ready("many", 3)
		rents := len(w.vast.Meter().Records)
		// When it ends, the probes under way are answered: none fails for the end itself.
		for _, instance := range ready[:2] {
			w.setFault(instance.Status.Rental.ID, comfysim.FaultHalfOpen, nil)
		}
		w.saw("many",
			poolSays(warmpool.ConditionHealthBudgetOK, "False/RemediationSuspended", "2 of 3 instances"),
			poolSays(warmpool.ConditionFullyProvisioned, "False/HealthSuspended", "check the network"),
			poolSays(warmpool.ConditionStalled, "True/HealthSuspended", "To replace one all the same, delete its WarmInstance."),
			readySays("False/Unresponsive", "It accepts connections and does not answer. It is kept, because too many instances of the pool fail at once"),
		)
		w.event("many", "WarmPool/RemediationSuspended", "spec.remediation.maxUnhealthy")
		w.comfyLasting(200*time.Second, func(g gomega.Gomega) {
			g.Expect(w.instancesOf("many")).To(gomega.HaveLen(3))
			g.Expect(w.pool("many").Status.ReadyReplicas).To(gomega.Equal(int32(1)))
		})
		for _, instance := range ready[:2] {
			w.clearFault(instance.Status.Rental.ID, comfysim.FaultHalfOpen)
		}
		w.Expect(w.ready("many", 3)).To(gomega.HaveLen(3))
		w.eventually(func(g gomega.Gomega) {
			answer, _ := condition(w.pool("many").Status.Conditions, warmpool.ConditionHealthBudgetOK)
			g.Expect(answer).To(gomega.Equal("True/WithinHealthBudget"))
		})
		w.Expect(w.vast.Meter().Records).To(gomega.HaveLen(rents), "nothing was rented or ended meanwhile")
		w.setFault(ready[0].Status.Rental.ID, comfysim.FaultBlackhole, nil)
		w.eventually(func(g gomega.Gomega) {
			recent := w.pool("many").Status.Failures.Recent
			g.Expect(recent).To(gomega.HaveLen(1))
			g.Expect(recent[0].Reason).To(gomega.Equal("Unresponsive"))
		})
		w.ready("many", 3)
	})
	w.step("never", func(w *comfyWorld) {
		instance := w.ready("never", 1)[0]
		w.setFault(instance.Status.Rental.ID, comfysim.FaultBlackhole, nil)
		w.saw("never", poolSays(warmpool.ConditionHealthBudgetOK, "False/RemediationSuspended", "1 of 1 instances"))
		w.comfyLasting(150*time.Second, func(g gomega.Gomega) { g.Expect(w.rentals("never")).To(gomega.HaveLen(1)) })
		w.clearFault(instance.Status.Rental.ID, comfysim.FaultBlackhole)
		w.expectKept("never")
	})
	if !t.Failed() {
		w.finish()
	}
}

// comfyScale sets the replicas of a pool.
func (w *comfyWorld) comfyScale(pool string, replicas int32) {
	w.Helper()
	w.eventually(func(g gomega.Gomega) {
		wp := w.pool(pool)
		wp.Spec.Replicas = new(replicas)
		g.Expect(w.client.Update(w.Context(), wp)).To(gomega.Succeed())
	})
}
