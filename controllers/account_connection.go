package controllers

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// identityPeriod is how often the provider is asked whose key it is; the
// answer must be within a minute of a sweep. With a sweep every 15 s it is asked
// with every fourth, once in a minute, and never for the same minute twice.
const identityPeriod = 55 * time.Second

// secretKeyBaseURL is an optional key beside the API key.
const secretKeyBaseURL = "VASTAI_BASE_URL" //nolint:gosec // the name of a key, not a secret

// Reasons of the condition CredentialsValid.
const (
	reasonCredentialsAccepted = "Accepted"
	reasonSecretNotFound      = "SecretNotFound"
	reasonInvalidUserKey      = "InvalidUserKey"
	reasonPermissionMissing   = "PermissionMissing"
	reasonNotVerified         = "NotVerified"
)

// connection is the present key of an account and what is known about it.
type connection struct {
	provider Provider
	// fingerprint tells a changed key; it is a hash, and never printed.
	fingerprint [sha256.Size]byte
	// baseURL is where it is used; empty for the default.
	baseURL string
	// verified is true when the provider accepted the key when last asked.
	verified bool
	// reason and message say why not, or that it did.
	reason, message string
	user            fleet.User
	verifiedAt      time.Time
	// err is the error of the last identity probe, nil when it was answered.
	err error
}

// isStable is true while the key belongs to the user that the account always
// was, and to the one that its spec names.
func (c *connection) isStable(account *warmpool.VastAccount) bool {
	pinned := pinnedUser(account, c.user.ID)
	return c.user.ID != 0 && (pinned == 0 || pinned == c.user.ID)
}

// pinnedUser is the user that the account's keys must belong to; 0 before one
// was seen. What the spec names is demanded beside what was seen, never instead:
// the rentals of the user that was seen would otherwise look as if they were gone.
func pinnedUser(account *warmpool.VastAccount, seen int64) int64 {
	//warmpool:gate account-expected-user
	if expected := account.Spec.ExpectedUserID; expected != nil && *expected != seen {
		return *expected
	}
	return account.Status.UserID
}

// refused returns a connection that cannot be used, with the reason.
func refused(reason, message string) connection {
	return connection{reason: reason, message: message}
}

// connect reads the account's Secret and verifies the key when it is new or
// was not verified lately. It returns the connection to use and remembers it.
func (r *VastAccountReconciler) connect(ctx context.Context, account *warmpool.VastAccount, session *accountSession) connection {
	current := session.connection()
	key, baseURL, problem := r.readCredentials(ctx, account)
	switch {
	case problem != nil && problem.reason == reasonSecretNotFound && !account.DeletionTimestamp.IsZero() && session.lastGoodConnection().provider != nil:
		// Everything was deleted at once, and the Secret, which has no finalizer, went
		// first. What bills is still ended with the key that was in it.
		return session.setConnection(r.verifyInTime(ctx, account, session.lastGoodConnection()))
	case problem != nil && (problem.reason != reasonNotVerified || current.provider == nil):
		return session.setConnection(*problem)
	case problem != nil:
		return session.setConnection(current)
	}
	//warmpool:gate key-changed-is-not-verified
	if fingerprint := sha256.Sum256([]byte(key + "\n" + baseURL)); current.provider == nil || fingerprint != current.fingerprint {
		provider, err := r.Connect(key, baseURL)
		if err != nil {
			return session.setConnection(refused(reasonNotVerified, "The connection to Vast.ai cannot be made: "+err.Error()))
		}
		current = connection{provider: provider, fingerprint: fingerprint, baseURL: baseURL, reason: reasonNotVerified, message: "The key was not verified yet; Vast.ai is asked whose it is."}
	}
	return session.setConnection(r.verifyInTime(ctx, account, current))
}

// verifyInTime verifies a connection that is not verified, or was not lately.
func (r *VastAccountReconciler) verifyInTime(ctx context.Context, account *warmpool.VastAccount, current connection) connection {
	//warmpool:gate key-asked-every-minute
	//warmpool:gate key-asked-after-clock-set-back
	if now := r.Clock.Now(); !current.verified || now.Sub(current.verifiedAt) >= identityPeriod || now.Before(current.verifiedAt) {
		return r.verify(ctx, account, current)
	}
	return current
}

func (a *accountSession) setConnection(c connection) connection {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.link = c
	if c.verified {
		a.lastGood = c
	}
	return c
}

func (a *accountSession) lastGoodConnection() connection {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lastGood
}

// verify asks whose key it is. A provider that does not answer changes nothing
// about a key that was accepted before.
func (r *VastAccountReconciler) verify(ctx context.Context, account *warmpool.VastAccount, c connection) connection {
	user, err := c.provider.CurrentUser(ctx)
	c.err = err
	if err == nil {
		c.user, c.verified, c.verifiedAt = user, true, r.Clock.Now()
		c.reason, c.message = reasonCredentialsAccepted, fmt.Sprintf("Vast.ai accepts the key; it belongs to user %d.", user.ID)
		return c
	}
	switch fleet.KindOf(err) {
	case fleet.KindUnauthorized:
		//warmpool:gate key-refused
		c.verified, c.reason = false, reasonInvalidUserKey
		c.message = fmt.Sprintf("Vast.ai refuses the API key in Secret %q, key %q (Invalid user key). Nothing is rented or ended until it accepts one, and what is rented bills on. "+
			"Take a valid key from the Vast.ai console and put it there: %s (it is used at once, without a restart).", account.Spec.CredentialsSecretRef.Name, account.Spec.CredentialsSecretRef.Key, secretCommand(account, true))
	case fleet.KindForbidden:
		//warmpool:gate key-lacks-a-permission
		c.verified, c.reason = false, reasonPermissionMissing
		c.message = "Vast.ai accepts the API key, but the key lacks a permission. Make a key with misc, instance_read, instance_write and user_read, and put it into the Secret."
	default:
		if !c.verified {
			c.reason, c.message = reasonNotVerified, "Vast.ai did not answer, so the key could not be verified; it is tried again. "+err.Error()
		}
	}
	return c
}

// readCredentials reads the key and the optional base URL from the Secret, live.
func (r *VastAccountReconciler) readCredentials(ctx context.Context, account *warmpool.VastAccount) (key, baseURL string, problem *connection) {
	ref := account.Spec.CredentialsSecretRef
	var secret corev1.Secret
	err := r.APIReader.Get(ctx, types.NamespacedName{Namespace: account.Namespace, Name: ref.Name}, &secret)
	if apierrors.IsNotFound(err) {
		missing := refused(reasonSecretNotFound, fmt.Sprintf("There is no Secret %q in namespace %q, so there is no API key to rent with. Create it: %s (it is used at once).", ref.Name, account.Namespace, secretCommand(account, false)))
		return "", "", &missing
	}
	if err != nil {
		unreadable := refused(reasonNotVerified, "The Secret cannot be read: "+err.Error())
		return "", "", &unreadable
	}
	key = KeyText(secret.Data[ref.Key])
	if key == "" {
		missing := refused(reasonSecretNotFound, fmt.Sprintf("Secret %q has no key %q, or it is empty, so there is no API key to rent with. Set it: %s (it is used at once).", ref.Name, ref.Key, secretCommand(account, true)))
		return "", "", &missing
	}
	return key, KeyText(secret.Data[secretKeyBaseURL]), nil
}

// KeyText is a value of an account's Secret as Vast.ai knows it: without the blanks
// and the quotes that "kubectl create secret --from-env-file" keeps of a .env.
func KeyText(value []byte) string {
	text := trimmed(value)
	if n := len(text); n >= 2 && (text[0] == '"' || text[0] == '\'') && text[n-1] == text[0] {
		return text[1 : n-1]
	}
	return text
}

// secretCommand is the line that makes the Secret or replaces the key in it; what
// else the Secret holds stays. It never ends a message, or a full stop
// would be pasted along.
func secretCommand(account *warmpool.VastAccount, replace bool) string {
	ref := account.Spec.CredentialsSecretRef
	if replace {
		return fmt.Sprintf(`kubectl -n %s patch secret %s -p '{"stringData":{"%s":"<your API key>"}}'`, account.Namespace, ref.Name, ref.Key)
	}
	return fmt.Sprintf("kubectl -n %s create secret generic %s --from-literal=%s='<your API key>'", account.Namespace, ref.Name, ref.Key)
}
