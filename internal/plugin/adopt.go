package plugin

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// adoptTimeout allows for a few lists of the account's instances.
const adoptTimeout = 3 * time.Minute

// adoptFlags say for whom a rental is taken over.
type adoptFlags struct{ pool, secret, name string }

func newAdopt(o *options) *cobra.Command {
	flags := &adoptFlags{}
	command := &cobra.Command{
		Use:   "adopt RENTAL --pool=POOL --secret=SECRET",
		Short: "Take over a rental that exists at Vast.ai and that no WarmInstance records",
		Long: "adopt makes a WarmInstance for a rental that exists, such as one that is newer than a restored backup, or a suspected leak that you want to\n" +
			"keep. The Secret holds the password of its ComfyUI under the key WEB_PASSWORD. From then on it is an instance like any other: it counts\n" +
			"for the pool, and deleting it ends the rental.",
		Example: "  kubectl create secret generic old-password --from-literal=WEB_PASSWORD='<its password>'\n" +
			"  kubectl warmpool adopt 12345678 --pool=sdxl --secret=old-password",
		Args:              arguments(1, 1, "the number of a rental"),
		ValidArgsFunction: o.completeLeaks,
	}
	waits := addWaiting(command, adoptTimeout, "until it is taken over")
	command.RunE = func(command *cobra.Command, given []string) error {
		return o.adopt(command.Context(), given[0], flags, waits)
	}
	command.Flags().StringVar(&flags.pool, "pool", "", "the pool that it belongs to from then on (required)")
	command.Flags().StringVar(&flags.secret, "secret", "", "the Secret with the password of its ComfyUI under WEB_PASSWORD (required)")
	command.Flags().StringVar(&flags.name, "name", "", "name of the WarmInstance; by default the pool's and the number of the rental")
	_ = command.RegisterFlagCompletionFunc("pool", o.completeFirst(kindPool)) //nolint:errcheck // the flag is there
	return command
}

// completeLeaks completes the rentals that no WarmInstance records.
func (o *options) completeLeaks(command *cobra.Command, given []string, begun string) ([]string, cobra.ShellCompDirective) {
	cluster, err := o.connect()
	if err != nil || len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var list warmpool.VastAccountList
	if err := cluster.list(command.Context(), false, &list); err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var ids []string
	for k := range list.Items {
		for _, leak := range list.Items[k].Status.SuspectedLeaks {
			ids = append(ids, strconv.FormatInt(leak.RentalID, 10))
		}
	}
	return beginWith(ids, begun), cobra.ShellCompDirectiveNoFileComp
}

// adopt makes the WarmInstance and waits until it is bound.
func (o *options) adopt(ctx context.Context, rental string, flags *adoptFlags, waits *waiting) error {
	id, err := strconv.ParseInt(rental, 10, 64)
	switch {
	case err != nil || id <= 0:
		return exit(ExitUsage, "%q is no number of a rental: status.suspectedLeaks of the VastAccount lists those that nobody records", rental)
	case flags.pool == "":
		return exit(ExitUsage, "--pool is missing: name the pool that the rental belongs to from now on")
	case flags.secret == "":
		return exit(ExitUsage, "--secret is missing: name the Secret with the password of its ComfyUI under the key %s", warmpool.SecretKeyWebPassword)
	}
	cluster, err := o.connect()
	if err != nil {
		return err
	}
	instance, err := cluster.prepareAdoption(ctx, id, flags)
	if err != nil {
		return err
	}
	if err = cluster.Client.Create(ctx, instance); err != nil {
		return cluster.explain(err, "create", instance, instance.Name)
	}
	o.say("Made WarmInstance %s for rental %d.", instance.Name, id)
	hint := fmt.Sprintf("It is tried again with every list of instances. To give it up: kubectl -n %s delete wi %s", instance.Namespace, instance.Name)
	err = o.await(ctx, waits, hint, func(ctx context.Context) (bool, string, error) {
		if lookErr := cluster.get(ctx, instance.Name, instance); lookErr != nil {
			return false, "", lookErr
		}
		rented := conditionOf(instance.Status.Conditions, warmpool.ConditionRented)
		return instance.Status.Rental != nil, rented.Message, nil
	})
	if err != nil || !waits.wait {
		return err
	}
	_, err = fmt.Fprintf(o.env.Streams.Out, "WarmInstance %s has taken over rental %d. Deleting it ends the rental.\n", instance.Name, id)
	return err
}

// prepareAdoption checks what must be there, and makes the object.
func (c *Cluster) prepareAdoption(ctx context.Context, id int64, flags *adoptFlags) (*warmpool.WarmInstance, error) {
	pool := &warmpool.WarmPool{}
	if err := c.get(ctx, flags.pool, pool); err != nil {
		return nil, err
	}
	var secret corev1.Secret
	err := c.Client.Get(ctx, types.NamespacedName{Namespace: c.Namespace, Name: flags.secret}, &secret)
	switch {
	case apierrors.IsForbidden(err):
		// Whoever may not read it may still name it: the operator looks.
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("there is no Secret %q in namespace %q: kubectl -n %s create secret generic %s --from-literal=%s='<its password>'", flags.secret, c.Namespace, c.Namespace, flags.secret, warmpool.SecretKeyWebPassword)
	case err != nil:
		return nil, c.explain(err, "read", &secret, flags.secret)
	case len(secret.Data[warmpool.SecretKeyWebPassword]) == 0:
		return nil, fmt.Errorf("the Secret %q has no key %s, or it is empty: the instance could not be asked, and would be given up", flags.secret, warmpool.SecretKeyWebPassword)
	}
	name := flags.name
	if name == "" {
		name = fmt.Sprintf("%s-%d", pool.Name, id)
	}
	return &warmpool.WarmInstance{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: name},
		Spec: warmpool.WarmInstanceSpec{
			PoolRef: warmpool.LocalReference{Name: pool.Name}, AccountRef: pool.Spec.AccountRef, Template: *pool.Spec.Template.DeepCopy(),
			Adopt: &warmpool.RentalAdoption{RentalID: id, CredentialsSecretRef: warmpool.LocalReference{Name: flags.secret}},
		},
	}, nil
}
