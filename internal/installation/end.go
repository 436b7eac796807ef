package installation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// Labels of what a release has made.
const (
	labelName     = "app.kubernetes.io/name"
	labelInstance = "app.kubernetes.io/instance"
	// nameValue is the value of labelName on everything of ours.
	nameValue = "warmpool"
)

// EndOptions say what is ended.
type EndOptions struct {
	// Release is the name of the release, and Namespace where its account and
	// pools are.
	Release, Namespace string
	// Namespaces that the manager works in; empty is all. Nothing may be left in
	// any of them.
	Namespaces []string
	// Clock waits.
	Clock clock.Clock
	// Timeout bounds the whole.
	Timeout time.Duration
	// Out gets the progress, a line each.
	Out io.Writer
}

// ErrOthersLeft says that instances which the release did not make would be left
// without anybody to end them.
var ErrOthersLeft = errors.New("other WarmInstances would be left, and bill on without anybody to end them")

// End deletes the pools of a release, waits until the rentals of all instances
// are confirmed gone, and then deletes its account. It deletes nothing when
// instances of other pools are there: ErrOthersLeft names them. After the timeout
// the error says what is left; calling it again goes on.
func End(ctx context.Context, access client.Client, options *EndOptions) error {
	ctx, cancel := context.WithTimeout(ctx, options.Timeout)
	defer cancel()
	said := ""
	for {
		all, err := list(ctx, access, options.Namespaces)
		if err != nil {
			return err
		}
		left, err := options.next(ctx, access, &all)
		if err != nil {
			return err
		}
		if left == "" {
			_, err = fmt.Fprintln(options.Out, "Everything of the release is gone, and every rental is confirmed gone.")
			return err
		}
		if left != said {
			said = left
			if _, err = fmt.Fprintln(options.Out, left); err != nil {
				return err
			}
		}
		if wait(ctx, options.Clock) != nil {
			return fmt.Errorf("ending the release %s took longer than %s, and the manager is kept: %s; look for the reason with \"kubectl get warmpools,warminstances,vastaccounts -A\", then try again", options.Release, options.Timeout, left)
		}
	}
}

// next does what can be done now, and says what is waited for; empty for nothing.
func (o *EndOptions) next(ctx context.Context, access client.Client, all *objects) (string, error) {
	if err := o.refuseOthers(all); err != nil {
		return "", err
	}
	pools := 0
	for k := range all.pools {
		if pool := &all.pools[k]; o.isOurs(pool) {
			pools++
			if err := end(ctx, access, pool); err != nil {
				return "", err
			}
		}
	}
	if pools > 0 || len(all.instances) > 0 {
		return fmt.Sprintf("Waiting for %d pools and %d instances, at %s an hour, to be confirmed gone.", pools, len(all.instances), sum(all.instances)), nil
	}
	accounts := 0
	for k := range all.accounts {
		if account := &all.accounts[k]; o.isOurs(account) {
			accounts++
			if err := end(ctx, access, account); err != nil {
				return "", err
			}
		}
	}
	if accounts > 0 {
		return fmt.Sprintf("Waiting for %d accounts to go.", accounts), nil
	}
	return "", nil
}

// isOurs is true for what the release has made.
func (o *EndOptions) isOurs(object client.Object) bool {
	labels := object.GetLabels()
	return object.GetNamespace() == o.Namespace && labels[labelName] == nameValue && labels[labelInstance] == o.Release
}

// refuseOthers is an error when an instance has a pool that is not the release's.
// An instance whose pool is gone is being ended already.
func (o *EndOptions) refuseOthers(all *objects) error {
	others := map[string]bool{}
	for k := range all.pools {
		if pool := &all.pools[k]; !o.isOurs(pool) && pool.DeletionTimestamp.IsZero() {
			others[pool.Namespace+"/"+pool.Name] = true
		}
	}
	var left []warmpool.WarmInstance
	var names []string
	for k := range all.instances {
		instance := &all.instances[k]
		if pool := instance.Namespace + "/" + instance.Spec.PoolRef.Name; others[pool] {
			left = append(left, *instance)
			if !slices.Contains(names, pool) {
				names = append(names, pool)
			}
		}
	}
	if len(left) == 0 {
		return nil
	}
	slices.Sort(names)
	return fmt.Errorf("%w: %d of the pools %s, at %s an hour; delete these pools first and wait until they are gone, or keep the release",
		ErrOthersLeft, len(left), strings.Join(names, ", "), sum(left))
}

// end deletes an object, once.
func end(ctx context.Context, access client.Client, object client.Object) error {
	if !object.GetDeletionTimestamp().IsZero() {
		return nil
	}
	if err := access.Delete(ctx, object); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting %T %s/%s: %w", object, object.GetNamespace(), object.GetName(), err)
	}
	return nil
}

// sum is what instances cost in an hour.
func sum(instances []warmpool.WarmInstance) string {
	var total fleet.USDMicros
	for k := range instances {
		total += price(&instances[k])
	}
	return "$" + total.Cents()
}
