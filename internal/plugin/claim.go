package plugin

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

const (
	// claimTimeout allows a pool to rent and start an instance first.
	claimTimeout = 20 * time.Minute
	// releaseTimeout allows an instance to be let go.
	releaseTimeout = 2 * time.Minute
)

// claimReport is a claim that was made, and how to use it.
type claimReport struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Pool      string `json:"pool"`
	Ready     bool   `json:"ready"`
	Instance  string `json:"instance,omitempty"`
	Endpoint  string `json:"endpoint,omitempty"`
	Expires   string `json:"expires,omitempty"`
	// TokenSecret and TokenKey say where the token is; it is never printed.
	TokenSecret string `json:"tokenSecret,omitempty"`
	TokenKey    string `json:"tokenKey,omitempty"`
}

// claimFlags are what a claim can ask for.
type claimFlags struct {
	name, holder, onRelease string
	ttl                     time.Duration
	gpus                    []string
}

func newClaim(o *options) *cobra.Command {
	flags := &claimFlags{}
	command := &cobra.Command{
		Use:   "claim POOL",
		Short: "Take an instance of a pool for exclusive use, and say how to reach it",
		Long: "claim makes a WarmClaim, waits until it has a ready instance, and prints the URL and where the token is. A claim that waits makes the pool\n" +
			"rent, within its ceilings. The instance bills until it is released: kubectl warmpool release NAME, or by itself after --ttl.\n" +
			"Ctrl-C ends the waiting, not the claim.",
		Example: "  kubectl warmpool claim sdxl --holder='nightly renders' --ttl=30m\n" +
			"  kubectl warmpool claim sdxl --name=job --timeout=20m -o json",
		Args:              arguments(1, 1, "one pool"),
		ValidArgsFunction: o.completeFirst(kindPool),
	}
	waits := addWaiting(command, claimTimeout, "until the instance is ready")
	command.RunE = func(command *cobra.Command, given []string) error {
		return o.claim(command.Context(), given[0], flags, waits)
	}
	command.Flags().StringVar(&flags.name, "name", "", "name of the claim; by default one that begins with that of the pool")
	command.Flags().StringVar(&flags.holder, "holder", "", "for whom the instance is, for people who look at it")
	command.Flags().DurationVar(&flags.ttl, "ttl", 0, "how long the instance is held; by default what the pool says, and never more than its maximum")
	command.Flags().StringVar(&flags.onRelease, "on-release", "", "Terminate (end the rental) or Recycle (clean it for the next claim); by default what the pool says")
	command.Flags().StringSliceVar(&flags.gpus, "gpu", nil, "accepted GPUs as Vast.ai names them, such as 'RTX 4090'; by default any of the pool's")
	_ = command.RegisterFlagCompletionFunc("on-release", cobra.FixedCompletions([]string{string(warmpool.ReleaseTerminate), string(warmpool.ReleaseRecycle)}, cobra.ShellCompDirectiveNoFileComp)) //nolint:errcheck // the flag is there
	o.addOutput(command, false)
	return command
}

// claim makes a claim and waits for it.
func (o *options) claim(ctx context.Context, pool string, flags *claimFlags, waits *waiting) error {
	if flags.ttl < 0 || (flags.ttl > 0 && flags.ttl < time.Second) {
		return exit(ExitUsage, "--ttl is %s, and at least a second is needed", flags.ttl)
	}
	cluster, err := o.connect()
	if err != nil {
		return err
	}
	if err = cluster.get(ctx, pool, &warmpool.WarmPool{}); err != nil {
		return err
	}
	claim := newWarmClaim(cluster.Namespace, pool, flags)
	if err = cluster.Client.Create(ctx, claim); err != nil {
		if apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("there is a WarmClaim %q in namespace %q already: give another --name, or release it first (kubectl warmpool release %s)", claim.Name, claim.Namespace, claim.Name)
		}
		return cluster.explain(err, "create", claim, claim.Name)
	}
	o.say("Made WarmClaim %s. Give it back with: kubectl warmpool -n %s release %s", claim.Name, claim.Namespace, claim.Name)
	hint := fmt.Sprintf("The claim stays and makes the pool rent. Give it up with: kubectl warmpool -n %s release %s", claim.Namespace, claim.Name)
	err = o.await(ctx, waits, hint, func(ctx context.Context) (bool, string, error) {
		if lookErr := cluster.get(ctx, claim.Name, claim); lookErr != nil {
			return false, "", lookErr
		}
		return claimProgress(claim)
	})
	if err != nil {
		return err
	}
	return o.print(reportOfClaim(claim))
}

func newWarmClaim(namespace, pool string, flags *claimFlags) *warmpool.WarmClaim {
	claim := &warmpool.WarmClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: flags.name},
		Spec: warmpool.WarmClaimSpec{
			PoolRef: warmpool.LocalReference{Name: pool}, Holder: flags.holder,
			OnRelease:    warmpool.ReleasePolicy(flags.onRelease),
			Requirements: warmpool.ClaimRequirements{GPUNames: flags.gpus},
		},
	}
	if flags.name == "" {
		claim.GenerateName = pool + "-"
	}
	if flags.ttl > 0 {
		seconds := int32(min(flags.ttl/time.Second, 1<<30))
		claim.Spec.TTLSeconds = &seconds
	}
	return claim
}

// claimProgress says how far a claim has come.
func claimProgress(claim *warmpool.WarmClaim) (done bool, progress string, err error) {
	if finished := conditionOf(claim.Status.Conditions, warmpool.ConditionFinished); finished.Status == metav1.ConditionTrue {
		return false, "", fmt.Errorf("WarmClaim %s has ended without an instance: %s: %s Delete it: kubectl warmpool -n %s release %s",
			claim.Name, finished.Reason, finished.Message, claim.Namespace, claim.Name)
	}
	ready := conditionOf(claim.Status.Conditions, warmpool.ConditionReady)
	if ready.Status == metav1.ConditionTrue {
		return true, "", nil
	}
	bound := conditionOf(claim.Status.Conditions, warmpool.ConditionBound)
	if bound.Status == metav1.ConditionTrue {
		return false, ready.Message, nil
	}
	if bound.Reason == reasonNotReported {
		return false, "Waiting for the operator to see the claim.", nil
	}
	return false, bound.Message, nil
}

func reportOfClaim(claim *warmpool.WarmClaim) *claimReport {
	answer := &claimReport{
		Namespace: claim.Namespace, Name: claim.Name, Pool: claim.Spec.PoolRef.Name, Endpoint: claim.Status.Endpoint,
		Ready: conditionOf(claim.Status.Conditions, warmpool.ConditionReady).Status == metav1.ConditionTrue,
	}
	if claim.Status.InstanceRef != nil {
		answer.Instance = claim.Status.InstanceRef.Name
	}
	if claim.Status.ExpirationTime != nil {
		answer.Expires = moment(claim.Status.ExpirationTime)
	}
	if claim.Status.CredentialsSecretRef != nil {
		answer.TokenSecret, answer.TokenKey = claim.Status.CredentialsSecretRef.Name, warmpool.SecretKeyClaimToken
	}
	return answer
}

// write implements report.
func (r *claimReport) write(out io.Writer, _ bool) error {
	var text strings.Builder
	if !r.Ready {
		fmt.Fprintf(&text, "WarmClaim %s waits for an instance of pool %s: kubectl -n %s wait --for=condition=Ready wc/%s\n", r.Name, r.Pool, r.Namespace, r.Name)
	} else {
		fmt.Fprintf(&text, "WarmClaim %s holds instance %s until %s.\n", r.Name, r.Instance, r.Expires)
		fmt.Fprintf(&text, "ComfyUI: %s\n", plainLines(r.Endpoint))
		fmt.Fprintf(&text, "Token:   %s\n", tokenCommand(r.Namespace, r.TokenSecret, r.TokenKey))
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// tokenCommand is the line that prints a token; this program never does.
func tokenCommand(namespace, secret, key string) string {
	if secret == "" {
		return "-"
	}
	return fmt.Sprintf("kubectl -n %s get secret %s -o jsonpath='{.data.%s}' | base64 -d", namespace, secret, key)
}

func newRelease(o *options) *cobra.Command {
	command := &cobra.Command{
		Use:   "release CLAIM...",
		Short: "Give claimed instances back",
		Long: "release deletes WarmClaims. What becomes of their instances is spec.onRelease of the claim, by default what the pool says: the rental is\n" +
			"ended, or cleaned for the next claim.",
		Example:           "  kubectl warmpool release job",
		Args:              arguments(1, -1, "at least one claim"),
		ValidArgsFunction: o.completeEvery(kindClaim),
	}
	waits := addWaiting(command, releaseTimeout, "until the instance is let go")
	command.RunE = func(command *cobra.Command, given []string) error {
		cluster, err := o.connect()
		if err != nil {
			return err
		}
		for _, name := range given {
			if err := o.release(command.Context(), cluster, name, waits); err != nil {
				return err
			}
		}
		return nil
	}
	return command
}

// release deletes one claim.
func (o *options) release(ctx context.Context, cluster *Cluster, name string, waits *waiting) error {
	claim := &warmpool.WarmClaim{}
	if err := cluster.get(ctx, name, claim); err != nil {
		return err
	}
	if err := cluster.Client.Delete(ctx, claim); err != nil && !apierrors.IsNotFound(err) {
		return cluster.explain(err, "delete", claim, name)
	}
	uid := claim.UID
	err := o.await(ctx, waits, "The claim is released all the same.", func(ctx context.Context) (bool, string, error) {
		err := cluster.Client.Get(ctx, keyOf(claim), claim)
		if apierrors.IsNotFound(err) || (err == nil && claim.UID != uid) {
			return true, "", nil
		}
		return false, fmt.Sprintf("Releasing WarmClaim %s.", name), cluster.explain(err, "read", claim, name)
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(o.env.Streams.Out, "WarmClaim %s is released.\n", name)
	return err
}
