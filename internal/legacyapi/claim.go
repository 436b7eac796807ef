package legacyapi

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
)

const (
	// defaultMinutes is how long a claim holds its instance when it says nothing.
	defaultMinutes = 30
	// maxMinutes is what a WarmClaim allows: 30 days.
	maxMinutes = 30 * 24 * 60
	// claimPoll is the time between two looks at a claim that is not bound yet.
	claimPoll = 100 * time.Millisecond
	// claimGrace is how long after its own time-out a claim may take to be finished.
	claimGrace = 2 * time.Second
	// claimPrefix starts the names of claims that are made here.
	claimPrefix = "legacy-"
)

// claimBody is the answer of claim: the three fields of old, and what is needed
// to use the instance.
type claimBody struct {
	ConnectionURL string  `json:"connectionUrl"`
	LeasedUntil   *string `json:"leasedUntil"`
	ContractID    *int64  `json:"contractId"`
	// Claim is the name of the WarmClaim; deleting it releases the instance.
	Claim string `json:"claim"`
	// Token opens the instance, at ConnectionURL and through ProxyPath, as "Authorization: Bearer".
	Token     string `json:"token"`
	ProxyPath string `json:"proxyPath"`
}

// claim gets the exclusive use of a ready instance for some minutes.
func (s *Server) claim(ctx context.Context, c *call) answer {
	seconds, err := claimSeconds(c.fields)
	if err != nil {
		return refuse(http.StatusBadRequest, "Invalid time value: %s", err)
	}
	st, err := s.gather(ctx)
	if err != nil {
		return s.trouble(err)
	}
	// A claim that waits would have machines rented; the legacy one never did. Of
	// those that come at the same time, no more are made than there are instances.
	defer s.claiming.Add(-1)
	if under := s.claiming.Add(1); int(under) > st.free() {
		return refuse(http.StatusNotFound, "no available instance")
	}
	made := &warmpool.WarmClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.options.Pool.Namespace, GenerateName: claimPrefix},
		Spec: warmpool.WarmClaimSpec{
			PoolRef: warmpool.LocalReference{Name: s.options.Pool.Name}, TTLSeconds: &seconds,
			BindTimeoutSeconds: int32(math.Ceil(s.options.ClaimWait.Seconds())), Holder: "legacy API, " + c.peer,
		},
	}
	if err = s.options.Client.Create(ctx, made, client.FieldOwner(FieldManager)); err != nil {
		return s.trouble(err)
	}
	details := audit.Details{"claim": audit.Text(made.Name), "seconds": audit.Number(int64(seconds))}
	bound, err := s.awaitClaim(ctx, made)
	if err == nil && bound == nil {
		return refuse(http.StatusNotFound, "no available instance").with(details)
	}
	var body *claimBody
	if err == nil {
		body, err = s.claimBodyOf(ctx, bound)
	}
	if err != nil {
		s.release(ctx, made)
		return s.trouble(err).with(details)
	}
	details["instance"] = audit.Text(bound.Status.InstanceRef.Name)
	s.poolLog.Info("Claimed an instance", "claim", made.Name, "instance", bound.Status.InstanceRef.Name)
	return ok(body).with(details)
}

// claimSeconds reads how long the instance is wanted; 0 and null are the default.
func claimSeconds(given fields) (int32, error) {
	for _, name := range []string{"maxMinutes", "maxSessionMinutes"} {
		if !given.has(name) {
			continue
		}
		minutes, err := given.number(name)
		switch {
		case err != nil:
			return 0, err
		case minutes < 0 || minutes > maxMinutes:
			return 0, fmt.Errorf("%s must be from 0 to %d", name, maxMinutes)
		case minutes > 0:
			return int32(math.Ceil(minutes * 60)), nil
		}
	}
	return defaultMinutes * 60, nil
}

// awaitClaim waits until a claim can be used. It returns nil when it got no
// instance; the claim is then gone.
func (s *Server) awaitClaim(ctx context.Context, made *warmpool.WarmClaim) (*warmpool.WarmClaim, error) {
	ticker := s.options.Clock.NewTicker(claimPoll)
	defer ticker.Stop()
	patience := s.options.Clock.NewTimer(s.options.ClaimWait + claimGrace)
	defer patience.Stop()
	seen := &warmpool.WarmClaim{}
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for claim %s: %w", made.Name, ctx.Err())
		case <-patience.C():
			s.release(ctx, made)
			return nil, nil
		case <-ticker.C():
		}
		if err := s.options.Client.Get(ctx, client.ObjectKeyFromObject(made), seen); err != nil {
			return nil, fmt.Errorf("reading claim %s: %w", made.Name, err)
		}
		switch {
		case isFinished(seen):
			s.release(ctx, made)
			return nil, nil
		case isUsable(seen) && meta.IsStatusConditionTrue(seen.Status.Conditions, warmpool.ConditionReady):
			return seen, nil
		}
	}
}

// isUsable is true for a claim that holds an instance. Its Secret is there, too,
// once it is Ready; it stays usable when its instance is not Ready for a while.
func isUsable(claim *warmpool.WarmClaim) bool {
	status := &claim.Status
	return claim.DeletionTimestamp.IsZero() && !isFinished(claim) && meta.IsStatusConditionTrue(status.Conditions, warmpool.ConditionBound) &&
		status.InstanceRef != nil && status.CredentialsSecretRef != nil && status.Endpoint != ""
}

func isFinished(claim *warmpool.WarmClaim) bool {
	return claim.Status.FinishedTime != nil || meta.IsStatusConditionTrue(claim.Status.Conditions, warmpool.ConditionFinished)
}

// release deletes a claim that could not be used. What cannot be deleted expires.
func (s *Server) release(ctx context.Context, claim *warmpool.WarmClaim) {
	if err := s.options.Client.Delete(ctx, claim, client.Preconditions{UID: &claim.UID}); err != nil && !apierrors.IsNotFound(err) {
		s.log.Error(err, "Deleting a claim that was not used failed", "claim", claim.Name)
	}
}

// claimBodyOf says how the instance of a claim is used.
func (s *Server) claimBodyOf(ctx context.Context, claim *warmpool.WarmClaim) (*claimBody, error) {
	token, err := s.tokenOf(ctx, claim)
	if err != nil {
		return nil, err
	}
	body := &claimBody{ConnectionURL: claim.Status.Endpoint, Claim: claim.Name, Token: token, ProxyPath: routeComfy + "/"}
	if until := claim.Status.ExpirationTime; until != nil {
		body.LeasedUntil = stampOrNull(&until.Time)
	}
	var instance warmpool.WarmInstance
	key := types.NamespacedName{Namespace: claim.Namespace, Name: claim.Status.InstanceRef.Name}
	if err := s.options.Client.Get(ctx, key, &instance); err != nil {
		return nil, fmt.Errorf("reading the claimed instance: %w", err)
	}
	if instance.Status.Rental != nil {
		body.ContractID = &instance.Status.Rental.ID
	}
	return body, nil
}

// tokenOf reads the token of a claim.
func (s *Server) tokenOf(ctx context.Context, claim *warmpool.WarmClaim) (string, error) {
	var secret corev1.Secret
	key := types.NamespacedName{Namespace: claim.Namespace, Name: claim.Status.CredentialsSecretRef.Name}
	if err := s.options.Client.Get(ctx, key, &secret); err != nil {
		return "", fmt.Errorf("reading the Secret of claim %s: %w", claim.Name, err)
	}
	return strings.TrimSpace(string(secret.Data[warmpool.SecretKeyClaimToken])), nil
}
