package controllers

import (
	"context"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

const (
	// logTimeout bounds the wait for the log of a failed instance: while it
	// lasts, the instance bills.
	logTimeout = 12 * time.Second
	logLines   = 100
	maxLogTail = 8000
)

// saveLog keeps the last lines of an instance that failed, once, before its
// machine is gone. Without them the cause would be gone too.
func (r *VastAccountReconciler) saveLog(ctx context.Context, in *terminateInput, instance *warmpool.WarmInstance) {
	failure := instance.Status.Failure
	if failure == nil || failure.LogTail != "" || instance.Status.Provider.RunningTime == nil || failure.Reason == planner.ReasonInstanceLost {
		return
	}
	if in.session.logWasTried(string(instance.UID)) || in.account.Spec.Mode == warmpool.AccountEmergencyStop {
		return
	}
	logCtx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	logger := log.FromContext(ctx)
	secrets, err := r.secretValues(logCtx, instance)
	//warmpool:gate log-needs-the-secrets
	if err != nil {
		// A log that cannot be cleaned is not kept (I8).
		logger.V(1).Info("Reading the secrets of the instance failed", "instance", instance.Name, "error", err.Error())
		return
	}
	text, err := in.link.provider.Logs(logCtx, instance.Status.Rental.ID, logLines)
	if err != nil {
		logger.V(1).Info("Reading the log failed", "instance", instance.Name, "error", err.Error())
		return
	}
	failure.LogTail = lastPart(withoutSecrets(text, secrets), maxLogTail)
	if err := r.Client.Status().Update(ctx, instance); err != nil {
		logger.V(1).Info("Instance changed meanwhile", "instance", instance.Name)
	}
}

// logWasTried says whether the log of an instance was asked for before, and
// notes that it now is.
func (a *accountSession) logWasTried(uid string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	tried := a.logTried[uid]
	a.logTried[uid] = true
	return tried
}

// secretValues are the secrets that the container was given: the front's banner
// and a careless script print them into the log.
func (r *VastAccountReconciler) secretValues(ctx context.Context, instance *warmpool.WarmInstance) ([]string, error) {
	var values []string
	for _, name := range SecretsOf(instance) {
		var secret corev1.Secret
		if err := r.APIReader.Get(ctx, types.NamespacedName{Namespace: instance.Namespace, Name: name}, &secret); err != nil {
			return nil, err
		}
		for _, value := range secret.Data {
			values = append(values, trimmed(value))
		}
	}
	return values, nil
}

// withoutSecrets replaces every occurrence of the values, longest first, so
// that no rest of a longer one stays. Values that are too short to be secret
// would only shred the text.
func withoutSecrets(text string, values []string) string {
	const shortest = 6
	slices.SortFunc(values, func(a, b string) int { return len(b) - len(a) })
	for _, value := range values {
		//warmpool:gate log-hides-secrets
		if len(value) >= shortest {
			text = strings.ReplaceAll(text, value, "REDACTED")
		}
	}
	return text
}

// lastPart keeps the end of a text, from the start of a line.
func lastPart(text string, limit int) string {
	text = strings.ToValidUTF8(text, "")
	if len(text) <= limit {
		return text
	}
	tail := text[len(text)-limit:]
	if _, lines, found := strings.Cut(tail, "\n"); found {
		return lines
	}
	return strings.ToValidUTF8(tail, "")
}
