package plugin

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/controllers"
	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// stopTimeout allows rentals to be confirmed gone: two lists at least half a
// minute apart have to agree.
const stopTimeout = 10 * time.Minute

// bill is what some instances cost together.
type bill struct {
	instances, billing, claimed int
	usdPerHour                  fleet.USDMicros
}

// add takes an instance into account.
func (b *bill) add(instance *warmpool.WarmInstance) {
	b.instances++
	if instance.Spec.ClaimRef != nil {
		b.claimed++
	}
	if cost := controllers.InstanceCost(instance); cost > 0 {
		b.billing++
		b.usdPerHour += cost
	}
}

// words says it for people.
func (b *bill) words() string {
	return fmt.Sprintf("%s (%d of them bill, %s together)", plural(b.instances, "instance", "instances"), b.billing, perHour(b.usdPerHour))
}

func newDrain(o *options) *cobra.Command {
	var yes bool
	command := &cobra.Command{
		Use:   "drain POOL",
		Short: "End every instance of a pool that is not claimed, and rent nothing more",
		Long: "drain sets spec.mode of a pool to Drain: nothing is rented for it, and every instance that is not claimed is ended. It asks first, and says\n" +
			"what ends. To resume: kubectl patch wp NAME --type=merge -p '{\"spec\":{\"mode\":\"Active\"}}'",
		Example:           "  kubectl warmpool drain sdxl\n  kubectl warmpool drain sdxl --yes --wait=false",
		Args:              arguments(1, 1, "one pool"),
		ValidArgsFunction: o.completeFirst(kindPool),
	}
	waits := addWaiting(command, stopTimeout, "until what is not claimed is gone")
	command.RunE = func(command *cobra.Command, given []string) error {
		return o.drain(command.Context(), given[0], yes, waits)
	}
	command.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return command
}

// drain asks, drains and waits.
func (o *options) drain(ctx context.Context, name string, yes bool, waits *waiting) error {
	cluster, err := o.connect()
	if err != nil {
		return err
	}
	pool := &warmpool.WarmPool{}
	if err = cluster.get(ctx, name, pool); err != nil {
		return err
	}
	isOurs := func(instance *warmpool.WarmInstance) bool { return instance.Spec.PoolRef.Name == name }
	all, err := o.billOf(ctx, cluster, isOurs)
	if err != nil {
		return err
	}
	isUnclaimed := func(instance *warmpool.WarmInstance) bool { return isOurs(instance) && instance.Spec.ClaimRef == nil }
	ends, err := o.billOf(ctx, cluster, isUnclaimed)
	if err != nil {
		return err
	}
	question := fmt.Sprintf("Draining %s %s/%s ends %s; %s in use and stay.", kindPool, pool.Namespace, pool.Name, ends.words(), plural(all.claimed, "is", "are"))
	if err = o.confirm(ctx, yes, question); err != nil {
		return err
	}
	before := pool.DeepCopy()
	pool.Spec.Mode = warmpool.PoolDrain
	if err = cluster.Client.Patch(ctx, pool, client.MergeFrom(before)); err != nil {
		return cluster.explain(err, "change", pool, name)
	}
	resume := fmt.Sprintf(`To resume: kubectl -n %s patch wp %s --type=merge -p '{"spec":{"mode":"Active"}}'`, pool.Namespace, name)
	o.say("%s %s is being drained. %s", kindPool, name, resume)
	if err = o.awaitNone(ctx, cluster, waits, "The pool goes on draining. "+resume, isUnclaimed); err != nil || !waits.wait {
		return err
	}
	_, err = fmt.Fprintf(o.env.Streams.Out, "%s %s is drained: nothing that is not claimed is left.\n", kindPool, name)
	return err
}

// billOf adds up the instances of the namespace that count.
func (o *options) billOf(ctx context.Context, cluster *Cluster, counts func(*warmpool.WarmInstance) bool) (bill, error) {
	var sum bill
	var list warmpool.WarmInstanceList
	if err := cluster.list(ctx, false, &list); err != nil {
		return sum, err
	}
	for k := range list.Items {
		if counts(&list.Items[k]) {
			sum.add(&list.Items[k])
		}
	}
	return sum, nil
}

// awaitNone waits until none of the instances that count is left.
func (o *options) awaitNone(ctx context.Context, cluster *Cluster, waits *waiting, hint string, counts func(*warmpool.WarmInstance) bool) error {
	return o.await(ctx, waits, hint, func(ctx context.Context) (bool, string, error) {
		left, err := o.billOf(ctx, cluster, counts)
		return err == nil && left.instances == 0, "Still there: " + left.words() + ".", err
	})
}

func newEmergencyStop(o *options) *cobra.Command {
	var yes bool
	command := &cobra.Command{
		Use:   "emergency-stop [ACCOUNT]",
		Short: "End everything of an account, claimed instances too, costliest first",
		Long: "emergency-stop sets spec.mode of a VastAccount to EmergencyStop: every instance of every pool of the account is ended, those in use too,\n" +
			"costliest first, and nothing is rented. It asks first, with the number of instances and what they cost.\n" +
			"To resume: kubectl patch va NAME --type=merge -p '{\"spec\":{\"mode\":\"Active\"}}'",
		Example:           "  kubectl warmpool emergency-stop\n  kubectl warmpool emergency-stop default --yes",
		Args:              arguments(0, 1, "at most one account"),
		ValidArgsFunction: o.completeFirst(kindAccount),
	}
	waits := addWaiting(command, stopTimeout, "until everything is confirmed gone")
	command.RunE = func(command *cobra.Command, given []string) error {
		name := "default"
		if len(given) > 0 {
			name = given[0]
		}
		return o.emergencyStop(command.Context(), name, yes, waits)
	}
	command.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask, for scripts")
	return command
}

// emergencyStop asks, stops and waits.
func (o *options) emergencyStop(ctx context.Context, name string, yes bool, waits *waiting) error {
	cluster, err := o.connect()
	if err != nil {
		return err
	}
	account := &warmpool.VastAccount{}
	if err = cluster.get(ctx, name, account); err != nil {
		return err
	}
	isPaidByIt := func(instance *warmpool.WarmInstance) bool { return instance.Spec.AccountRef.Name == name }
	ends, err := o.billOf(ctx, cluster, isPaidByIt)
	if err != nil {
		return err
	}
	if err = o.confirm(ctx, yes, stopQuestion(account, &ends)); err != nil {
		return err
	}
	before := account.DeepCopy()
	account.Spec.Mode = warmpool.AccountEmergencyStop
	if err = cluster.Client.Patch(ctx, account, client.MergeFrom(before)); err != nil {
		return cluster.explain(err, "change", account, name)
	}
	resume := fmt.Sprintf(`To resume: kubectl -n %s patch va %s --type=merge -p '{"spec":{"mode":"Active"}}'`, account.Namespace, name)
	o.say("%s %s is stopped: %s end, and nothing is rented. %s", kindAccount, name, ends.words(), resume)
	if err = o.awaitNone(ctx, cluster, waits, "The stop goes on. "+resume, isPaidByIt); err != nil || !waits.wait {
		return err
	}
	_, err = fmt.Fprintf(o.env.Streams.Out, "Nothing of %s %s is left.\n", kindAccount, name)
	return err
}

// stopQuestion names what ends.
func stopQuestion(account *warmpool.VastAccount, ends *bill) string {
	question := fmt.Sprintf("The emergency stop of %s %s/%s ends %s, %d of them claimed.", kindAccount, account.Namespace, account.Name, ends.words(), ends.claimed)
	if leaks := account.Status.SuspectedLeaks; len(leaks) > 0 {
		sum := fleet.USDMicros(0)
		for _, leak := range leaks {
			sum += dollars(leak.USDPerHour)
		}
		question += fmt.Sprintf(" It also ends what carries our label and is not recorded: %s at %s.", plural(len(leaks), "suspected leak", "suspected leaks"), perHour(sum))
	}
	return question
}

func newAbandon(o *options) *cobra.Command {
	var yes bool
	command := &cobra.Command{
		Use:   "abandon INSTANCE RENTAL",
		Short: "Let go of a rental that does not end: from then on nobody ends it but you",
		Long: "abandon is the last way out for an instance that is being ended and whose rental Vast.ai does not end. It names the rental, to show that you\n" +
			"know which one, and Warmpool lets the object go: the rental may bill on, unseen, until you end it in the Vast.ai console.\n" +
			"The instance must have been deleted before.",
		Example:           "  kubectl delete wi sdxl-x7k2p --wait=false\n  kubectl warmpool abandon sdxl-x7k2p 12345678",
		Args:              arguments(2, 2, "an instance and the number of its rental"),
		ValidArgsFunction: o.completeFirst(kindInstance),
		RunE: func(command *cobra.Command, given []string) error {
			return o.abandon(command.Context(), given[0], given[1], yes)
		},
	}
	command.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return command
}

// abandon asks and writes the annotation.
func (o *options) abandon(ctx context.Context, name, rental string, yes bool) error {
	id, err := strconv.ParseInt(rental, 10, 64)
	if err != nil || id <= 0 {
		return exit(ExitUsage, "%q is no number of a rental: it is under RENTAL in kubectl warmpool instances", rental)
	}
	cluster, err := o.connect()
	if err != nil {
		return err
	}
	instance := &warmpool.WarmInstance{}
	if err = cluster.get(ctx, name, instance); err != nil {
		return err
	}
	if !records(instance, id) {
		return fmt.Errorf("WarmInstance %q does not record rental %d, but %s: look at kubectl warmpool instances, and name the right one", name, id, rentalsOf(instance))
	}
	if instance.DeletionTimestamp.IsZero() {
		return fmt.Errorf("WarmInstance %q is not being ended, so there is nothing to let go of: end it first with kubectl -n %s delete wi %s --wait=false", name, instance.Namespace, name)
	}
	question := fmt.Sprintf("Rental %d of WarmInstance %s/%s costs %s. Abandoned, it bills on until YOU end it in the Vast.ai console; Warmpool does not see it any more.",
		id, instance.Namespace, name, perHour(controllers.InstanceCost(instance)))
	if err = o.confirm(ctx, yes, question); err != nil {
		return err
	}
	before := instance.DeepCopy()
	if instance.Annotations == nil {
		instance.Annotations = map[string]string{}
	}
	instance.Annotations[warmpool.AnnotationAbandonRental] = strconv.FormatInt(id, 10)
	if err = cluster.Client.Patch(ctx, instance, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return cluster.explain(err, "change", instance, name)
	}
	_, err = fmt.Fprintf(o.env.Streams.Out, "Rental %d is yours now. End it at https://cloud.vast.ai/instances/ .\n", id)
	return err
}

// records is true for a rental that the instance, or an attempt of it, has.
func records(instance *warmpool.WarmInstance, id int64) bool {
	if instance.Status.Rental != nil && instance.Status.Rental.ID == id {
		return true
	}
	for k := range instance.Status.Attempts {
		if attempt := &instance.Status.Attempts[k]; attempt.RentalID == id && !attempt.RentalGone {
			return true
		}
	}
	return false
}

// rentalsOf lists the rentals of an instance for people.
func rentalsOf(instance *warmpool.WarmInstance) string {
	var ids []string
	if instance.Status.Rental != nil {
		ids = append(ids, strconv.FormatInt(instance.Status.Rental.ID, 10))
	}
	for k := range instance.Status.Attempts {
		attempt := &instance.Status.Attempts[k]
		if attempt.RentalID != 0 && !attempt.RentalGone && (instance.Status.Rental == nil || attempt.RentalID != instance.Status.Rental.ID) {
			ids = append(ids, strconv.FormatInt(attempt.RentalID, 10))
		}
	}
	if len(ids) == 0 {
		return "none"
	}
	return strings.Join(ids, ", ")
}
