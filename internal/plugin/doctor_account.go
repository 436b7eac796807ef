package plugin

import (
	"context"
	"errors"
	"net"
	"net/url"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/controllers"
)

const (
	// sweepSlack is how much older than two periods the last sweep may be.
	sweepSlack = time.Minute
	// dialTimeout bounds the attempt to reach an instance, dialMost how many are tried.
	dialTimeout = 3 * time.Second
	dialMost    = 20
)

// accountConditions are those of an account that must be True.
func accountConditions() []string {
	return []string{
		warmpool.ConditionCredentialsValid, warmpool.ConditionIdentityStable, warmpool.ConditionListTrusted,
		warmpool.ConditionBalanceSufficient, warmpool.ConditionWithinCeiling, warmpool.ConditionNoLeaks,
		warmpool.ConditionTerminationsProgressing, warmpool.ConditionClockInSync, warmpool.ConditionAPICompatible,
	}
}

// checkAccounts looks at every account of the namespace.
func (v *visit) checkAccounts(ctx context.Context) {
	if len(v.seen.accounts) == 0 {
		v.note(areaAccount, "accounts", resultNote, "There is no VastAccount in namespace %q: make one, or look into another with -n.", v.cluster.Namespace)
	}
	for k := range v.seen.accounts {
		account := &v.seen.accounts[k]
		v.checkCredentials(ctx, account)
		v.checkSweep(account)
		for _, kind := range accountConditions() {
			found := conditionOf(account.Status.Conditions, kind)
			switch found.Status {
			case metav1.ConditionTrue:
				v.note(areaAccount, account.Name+" "+kind, resultOK, "%s", found.Message)
			case metav1.ConditionFalse:
				v.note(areaAccount, account.Name+" "+kind, resultFault, "%s: %s", found.Reason, found.Message)
			default:
				v.note(areaAccount, account.Name+" "+kind, resultNote, "%s: %s", found.Reason, found.Message)
			}
		}
	}
}

// checkCredentials looks whether the Secret with the key is there. It never shows
// anything of the key.
func (v *visit) checkCredentials(ctx context.Context, account *warmpool.VastAccount) {
	ref := account.Spec.CredentialsSecretRef
	what := account.Name + " Secret"
	var secret corev1.Secret
	err := v.cluster.Client.Get(ctx, types.NamespacedName{Namespace: account.Namespace, Name: ref.Name}, &secret)
	switch {
	case apierrors.IsForbidden(err):
		v.note(areaAccount, what, resultSkipped, "You may not read Secret %q; the condition %s below says what the operator thinks of it.", ref.Name, warmpool.ConditionCredentialsValid)
	case apierrors.IsNotFound(err):
		v.note(areaAccount, what, resultFault, "There is no Secret %q in namespace %q: kubectl -n %s create secret generic %s --from-literal=%s='<your API key>'", ref.Name, account.Namespace, account.Namespace, ref.Name, ref.Key)
	case err != nil:
		v.note(areaAccount, what, resultFault, "Secret %q cannot be read: %s", ref.Name, err)
	case controllers.KeyText(secret.Data[ref.Key]) == "":
		v.note(areaAccount, what, resultFault, "Secret %q has no key %q, or it is empty: put the API key there.", ref.Name, ref.Key)
	default:
		v.note(areaAccount, what, resultOK, "Secret %q has a key %q.", ref.Name, ref.Key)
	}
}

// checkSweep looks when the operator last read the account: it is the pulse of the operator.
func (v *visit) checkSweep(account *warmpool.VastAccount) {
	what := account.Name + " last sweep"
	sweep := account.Status.LastSweep
	if sweep == nil {
		v.note(areaAccount, what, resultFault, "The operator has never read the account's instances. Does it run, and does it look at namespace %q? Look at its log.", account.Namespace)
		return
	}
	age := v.options.env.Clock.Now().Sub(sweep.Time.Time)
	if age > 2*time.Duration(account.Spec.PollPeriodSeconds)*time.Second+sweepSlack {
		v.note(areaAccount, what, resultFault, "The operator last read the account's instances %s ago, and should every %d s. Does it run? Nothing is rented or ended while it does not.", age.Round(time.Second), account.Spec.PollPeriodSeconds)
		return
	}
	v.note(areaAccount, what, resultOK, "The operator read the account's instances at %s.", moment(&sweep.Time))
}

// reach is an instance and whether it was reached.
type reach struct {
	name, address string
	err           error
}

// checkReachability tries to connect to ComfyUI of the ready instances from here.
func (v *visit) checkReachability(ctx context.Context) {
	if !v.flags.dial {
		return
	}
	var tried []reach
	for k := range v.seen.instances {
		instance := &v.seen.instances[k]
		ready := conditionOf(instance.Status.Conditions, warmpool.ConditionReady)
		if address := addressOf(endpointOf(instance)); address != "" && ready.Status == metav1.ConditionTrue && len(tried) < dialMost {
			tried = append(tried, reach{name: instance.Name, address: address})
		}
	}
	var running sync.WaitGroup
	for k := range tried {
		running.Go(func() {
			limited, cancel := context.WithTimeout(ctx, dialTimeout)
			defer cancel()
			connection, err := new(net.Dialer).DialContext(limited, "tcp", tried[k].address)
			if err == nil {
				err = connection.Close()
			}
			tried[k].err = err
		})
	}
	running.Wait()
	if len(tried) == 0 {
		v.note(areaReach, "instances", resultSkipped, "No instance is ready, so none was tried.")
	}
	for _, one := range tried {
		if one.err != nil {
			v.note(areaReach, one.name, resultNote, "%s does not answer from this machine (%s). The operator reached it; a firewall between here and there may not let you.", one.address, reasonOf(one.err))
			continue
		}
		v.note(areaReach, one.name, resultOK, "%s answers.", one.address)
	}
}

// addressOf is host and port of a URL, empty when it has none.
func addressOf(text string) string {
	parsed, err := url.Parse(text)
	if err != nil || parsed.Hostname() == "" {
		return ""
	}
	port := parsed.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[parsed.Scheme]
	}
	if port == "" {
		return ""
	}
	return net.JoinHostPort(parsed.Hostname(), port)
}

// reasonOf is the cause of a connection that failed.
func reasonOf(err error) string {
	if operation, isDial := errors.AsType[*net.OpError](err); isDial {
		return operation.Err.Error()
	}
	return err.Error()
}
