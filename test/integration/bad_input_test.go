package integration

import (
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// secret is the Secret of the account with some content.
func secret(data map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "warmpool-credentials"}, StringData: data}
}

// TestCredentialsThatAreMissingOrWrong goes from no Secret to no key, a wrong
// key and the right one: the account says each time what to do, the pool passes
// it on, and nothing is rented before the key is right.
func TestCredentialsThatAreMissingOrWrong(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()[1])
	w.create(swiftPool(1, "0.50"))
	said := func(reason string, parts ...string) {
		w.Helper()
		w.sees(theAccount, warmpool.ConditionCredentialsValid, "False/"+reason, parts...)
		w.sees(theAccount, warmpool.ConditionReady, "False/"+reason, parts...)
		w.sees(thePool, warmpool.ConditionAccountReady, "False/"+reason, parts...)
		w.sees(thePool, warmpool.ConditionReady, "False/"+reason, "0 of 1 ready")
		w.sees(thePool, warmpool.ConditionStalled, "True/"+reason)
	}
	said("SecretNotFound", `There is no Secret "warmpool-credentials"`,
		"kubectl -n "+w.namespace+" create secret generic warmpool-credentials --from-literal=VASTAI_API_KEY=")
	w.create(secret(map[string]string{"ANOTHER": "x"}))
	w.sawEvent("VastAccount/SecretNotFound", `There is no Secret "warmpool-credentials"`)
	said("SecretNotFound", `Secret "warmpool-credentials" has no key "VASTAI_API_KEY"`, "kubectl -n "+w.namespace)
	w.setKey("a-key-that-nobody-knows")
	said("InvalidUserKey", "Invalid user key", "Nothing is rented or ended", "kubectl -n "+w.namespace)
	w.sawEvent("VastAccount/InvalidUserKey", "Invalid user key")
	w.Expect(w.rents()).To(gomega.BeZero())
	w.setKey(apiKey + "\n")
	w.sees(theAccount, warmpool.ConditionCredentialsValid, "True/Accepted", "user 7001")
	w.waitReady(1)
	w.finish(500_000)
}

// setKey replaces the content of the account's Secret.
func (w *world) setKey(key string) {
	w.Helper()
	var present corev1.Secret
	if err := w.client.Get(w.Context(), client.ObjectKey{Namespace: w.namespace, Name: "warmpool-credentials"}, &present); err != nil {
		w.Fatal(err)
	}
	present.Data = map[string][]byte{"VASTAI_API_KEY": []byte(key)}
	if err := w.client.Update(w.Context(), &present); err != nil {
		w.Fatal(err)
	}
}

// TestNoAccount makes a pool whose account is not there, then the account.
func TestNoAccount(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftPool(1, "0.50"))
	w.sees(thePool, warmpool.ConditionAccountReady, "False/AccountNotFound", `There is no VastAccount "default"`)
	w.sees(thePool, warmpool.ConditionReady, "False/AccountNotFound", "0 of 1 ready", `There is no VastAccount "default"`)
	w.sees(thePool, warmpool.ConditionStalled, "True/AccountNotFound")
	w.sawEvent("WarmPool/AccountNotFound", `There is no VastAccount "default"`)
	w.Expect(w.instances()).To(gomega.BeEmpty())
	w.create(swiftAccount()...)
	w.waitReady(1)
	w.finish(500_000)
}

// TestCeilingBelowTheCheapestOffer asks for what the money cannot buy.
func TestCeilingBelowTheCheapestOffer(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.create(swiftPool(3, "0.30"))
	figures := []string{"0 of 3 ready", "$0.40/h", "$0.30/h", "spec.cost.ceilingUSDPerHour"}
	w.sees(thePool, warmpool.ConditionReady, "False/CostCeilingReached", figures...)
	w.sees(thePool, warmpool.ConditionFullyProvisioned, "False/CostCeilingReached", figures...)
	w.sees(thePool, warmpool.ConditionStalled, "True/CostCeilingReached", figures...)
	w.sees(thePool, warmpool.ConditionWithinCeiling, "True/WithinCeiling", "$0.00/h of $0.30/h")
	w.sees(thePool, warmpool.ConditionOffersAvailable, "True/OffersFound", "$0.40/h")
	w.sees(anyInstance, warmpool.ConditionRented, "False/CostCeilingReached", "$0.40/h", "$0.30/h")
	w.sawEvent("WarmInstance/CostCeilingReached", "$0.40/h", "$0.30/h")
	admission := w.get().Status.LastAdmission
	w.Expect(admission.NeededUSDPerHour).To(gomega.Equal(warmpool.SignedUSD("0.40")))
	w.Expect(admission.HeadroomUSDPerHour).To(gomega.Equal(warmpool.SignedUSD("0.30")))
	w.Expect(admission.CheapestOfferUSDPerHour).To(gomega.Equal(warmpool.SignedUSD("0.40")))
	w.Expect(w.instances()).To(gomega.HaveLen(1), "only as many wait as could be admitted soon")
	w.quiet(time.Minute)
	// Room for one: it is taken, and the rest is said again.
	w.change(func(spec *warmpool.WarmPoolSpec) { spec.Cost.CeilingUSDPerHour = "0.70" })
	w.waitReady(1)
	w.sees(thePool, warmpool.ConditionFullyProvisioned, "False/CostCeilingReached", "1 of 3 ready", "$0.30/h", "$0.70/h")
	w.finish(700_000)
}

// TestCeilingOfTheAccount is reached by a pool whose own ceiling has room.
func TestCeilingOfTheAccount(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(account(func(va *warmpool.VastAccount) { va.Spec.PollPeriodSeconds, va.Spec.CeilingUSDPerHour = 5, "0.70" })...)
	w.create(swiftPool(2, "1.50"))
	w.waitReady(1)
	w.sees(thePool, warmpool.ConditionFullyProvisioned, "False/AccountCeilingReached", "1 of 2 ready", "$0.40/h", "$0.30/h")
	w.sawEvent("WarmInstance/AccountCeilingReached", "$0.40/h", "$0.30/h", "$0.70/h")
	w.quiet(time.Minute)
	w.finish(700_000)
}

// TestNoOfferMatches asks for what the market does not have; every filter that
// turns offers away is counted.
func TestNoOfferMatches(t *testing.T) {
	w := newVastWorld(t, func(config *simulator.Config) {
		config.Market = market(0.40, 0.41, 0.42, 0.43, 0.44)
		for k := range 2 {
			config.Market.Offers[k].Fields["inet_up"] = 10.0
		}
		for k := 2; k < 5; k++ {
			config.Market.Offers[k].Fields["reliability2"] = 0.5
		}
	})
	w.create(swiftAccount()...)
	w.create(swiftPool(1, "0.50"))
	counts := []string{"No offer matches", "5 offers", "2 with too slow an upload", "3 not reliable enough"}
	w.sees(thePool, warmpool.ConditionOffersAvailable, "False/NoMatchingOffers", counts...)
	w.sees(thePool, warmpool.ConditionReady, "False/NoMatchingOffers", counts...)
	w.sees(thePool, warmpool.ConditionStalled, "True/NoMatchingOffers", counts...)
	w.sees(anyInstance, warmpool.ConditionRented, "False/NoMatchingOffers", counts...)
	w.sawEvent("WarmInstance/NoMatchingOffers", counts...)
	w.Expect(w.get().Status.LastAdmission.RejectedBy).To(gomega.ConsistOf(
		warmpool.RejectedOffers{Reason: "Upload", Count: 2}, warmpool.RejectedOffers{Reason: "Reliability", Count: 3},
	))
	w.Expect(w.rents()).To(gomega.BeZero())
	w.change(func(spec *warmpool.WarmPoolSpec) { spec.Offers.MinUploadMbps = new(int32(5)) })
	w.waitReady(1)
	w.finish(500_000)
}

// TestEveryOfferIsAboveTheCap allows an instance less than any offer costs.
func TestEveryOfferIsAboveTheCap(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	wp := swiftPool(1, "0.90")
	wp.Spec.Cost.MaxInstanceUSDPerHour = "0.35"
	w.create(wp)
	w.sees(thePool, warmpool.ConditionReady, "False/AllAboveCap", "$0.40/h", "$0.35/h", "spec.cost.maxInstanceUSDPerHour")
	w.sees(thePool, warmpool.ConditionOffersAvailable, "False/AllAboveCap", "12 too dear for one instance")
	w.Expect(w.rents()).To(gomega.BeZero())
	w.change(func(spec *warmpool.WarmPoolSpec) { spec.Cost.MaxInstanceUSDPerHour = "0.40" })
	w.waitReady(1)
	w.finish(900_000)
}

// TestSecretOfAVariableIsMissing names a Secret that is not there, then one
// without the key: the pool says which, and nothing is rented.
func TestSecretOfAVariableIsMissing(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	wp := swiftPool(1, "0.50")
	wp.Spec.Template.Env = []warmpool.EnvVar{{Name: "HF_TOKEN", ValueFrom: &warmpool.EnvVarSource{
		SecretKeyRef: warmpool.SecretKeyReference{Name: "tokens", Key: "huggingface"},
	}}}
	w.create(wp)
	said := func(parts ...string) {
		w.Helper()
		w.sees(thePool, warmpool.ConditionReady, "False/EnvSecretMissing", parts...)
		w.sees(thePool, warmpool.ConditionStalled, "True/EnvSecretMissing", parts...)
		w.sees(anyInstance, warmpool.ConditionRented, "False/EnvSecretMissing", parts...)
	}
	said("HF_TOKEN", `"huggingface"`, `"tokens"`, "there is no such Secret")
	w.sawEvent("WarmInstance/EnvSecretMissing", "HF_TOKEN", `"tokens"`)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "tokens"}, StringData: map[string]string{"civitai": "x"}})
	said("HF_TOKEN", `"huggingface"`, `"tokens"`, "the Secret has no such key")
	w.Expect(w.rents()).To(gomega.BeZero())
	w.Expect(w.instances()[0].Status.Attempts).To(gomega.BeEmpty(), "nothing was even tried")
	var tokens corev1.Secret
	w.Expect(w.client.Get(w.Context(), client.ObjectKey{Namespace: w.namespace, Name: "tokens"}, &tokens)).To(gomega.Succeed())
	tokens.Data["huggingface"] = []byte("a-token")
	w.Expect(w.client.Update(w.Context(), &tokens)).To(gomega.Succeed())
	w.waitReady(1)
	w.finish(500_000)
}
