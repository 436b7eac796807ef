package live

import (
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// TestDeletingEverythingEndsTheBills deletes all objects of an application, in
// several orders and all at once, as a prune without waves does. The objects go,
// and nothing bills any more, even when the Secret went first.
func TestDeletingEverythingEndsTheBills(t *testing.T) {
	for _, order := range []string{
		"pools, account, secret", "secret, account, pools", "account, secret, pools", "instances, secret, pools, account",
	} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plane.Namespace(t)).mayWorkInItsNamespace()
			w.create(w.secret(), w.account(), w.pool("first", 1), w.pool("second", 1))
			w.startOperator()
			w.waitReady("first", 1)
			w.waitReady("second", 1)
			for kind := range strings.SplitSeq(order, ", ") {
				w.deleteAll(kind)
			}
			w.eventually(func(g gomega.Gomega) {
				w.agree()
				g.Expect(w.vast.Meter().Live("")).To(gomega.BeEmpty(), "rentals bill")
				g.Expect(w.objects()).To(gomega.BeEmpty(), "objects are left")
			})
		})
	}
}

// deleteAll deletes what the word says and waits for nothing.
func (w *world) deleteAll(word string) {
	w.Helper()
	switch word {
	case "secret":
		if err := plane.Client.Delete(w.Context(), w.secret()); err != nil {
			w.Fatal(err)
		}
		return
	default:
	}
	kind := map[string]client.Object{"pools": &warmpool.WarmPool{}, "account": &warmpool.VastAccount{}, "instances": &warmpool.WarmInstance{}}[word]
	if err := plane.Client.DeleteAllOf(w.Context(), kind, client.InNamespace(w.namespace)); err != nil {
		w.Fatal(err)
	}
}

// TestASecretThatIsGoneIsSaid deletes the Secret of an account that stays: nothing
// can be ended then, which the account says with the remedy; put back, it ends what
// was deleted.
func TestASecretThatIsGoneIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plane.Namespace(t)).mayWorkInItsNamespace()
	w.create(w.secret(), w.account(), w.pool("first", 1))
	w.startOperator()
	w.waitReady("first", 1)
	w.deleteAll("secret")
	w.eventually(func(g gomega.Gomega) {
		w.agree()
		var account warmpool.VastAccount
		g.Expect(plane.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "default"}, &account)).To(gomega.Succeed())
		stalled := ""
		for _, condition := range account.Status.Conditions {
			if condition.Type == warmpool.ConditionStalled {
				stalled = string(condition.Status) + " " + condition.Reason + " " + condition.Message
			}
		}
		g.Expect(stalled).To(gomega.And(gomega.HavePrefix("True SecretNotFound"), gomega.ContainSubstring("kubectl -n "+w.namespace+" create secret generic")))
	})
	w.deleteAll("pools")
	live := func() []simulator.RentalRecord { return w.vast.Meter().Live("") }
	w.Consistently(live, 3*time.Second, 200*time.Millisecond).Should(gomega.HaveLen(1), "it bills on: nobody has a key")
	w.create(w.secret())
	w.eventually(func(g gomega.Gomega) { g.Expect(live()).To(gomega.BeEmpty()) })
}
