package controllers

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// Reasons of the events that tell what became of a rent whose answer was lost.
const (
	reasonAttemptAdopted   = "Adopted"
	reasonAttemptAbandoned = "AttemptAbandoned"
)

// note is an event to send once the status is written.
type note struct {
	warning         bool
	reason, message string
}

// observeInstance returns the instance as a sweep shows it, or nil when
// nothing changed.
func (r *VastAccountReconciler) observeInstance(before *warmpool.WarmInstance, in *sweepInput, plan *sweepPlan) (*warmpool.WarmInstance, []note) {
	after := before.DeepCopy()
	now := metav1.Time{Time: r.Clock.Now()}
	notes := r.applyResolutions(after, plan, now)
	recordLateRentals(after, plan, now)
	//warmpool:gate observe-needs-trust
	if after.Status.Rental != nil && plan.sweep.Trusted {
		for k := range plan.sweep.Listing.Rentals {
			if row := &plan.sweep.Listing.Rentals[k]; row.ID == after.Status.Rental.ID {
				observeRow(after, row, now)
				notes = append(notes, judgeLabel(before, after, plan, now)...)
				notes = append(notes, judgePrice(before, after, in.session.increases, now)...)
			}
		}
	}
	if equality.Semantic.DeepEqual(before.Status, after.Status) {
		return nil, nil
	}
	return after, notes
}

// applyResolutions records what a sweep says about attempts of unknown outcome.
func (r *VastAccountReconciler) applyResolutions(instance *warmpool.WarmInstance, plan *sweepPlan, now metav1.Time) []note {
	var notes []note
	for k := range plan.resolved.Resolutions {
		resolution := &plan.resolved.Resolutions[k]
		if resolution.UID != string(instance.UID) {
			continue
		}
		at := slices.IndexFunc(instance.Status.Attempts, func(a warmpool.RentAttempt) bool { return a.Number == resolution.AttemptNumber })
		if at < 0 {
			continue
		}
		attempt := &instance.Status.Attempts[at]
		switch resolution.Action {
		case planner.ResolveAdopt:
			adoptRental(instance, attempt, resolution, now)
			notes = append(notes, note{reason: reasonAttemptAdopted, message: fmt.Sprintf("Found rental %d of attempt %d, whose answer was lost, and recorded it.", resolution.RentalID, attempt.Number)})
		case planner.ResolveAbandon:
			attempt.Outcome, attempt.FinishedTime, attempt.Reason, attempt.Message = warmpool.AttemptAbandoned, &now, resolution.Reason, bounded(resolution.Message, maxMessage)
			setPendingConditions(instance, metav1.ConditionFalse, planner.ReasonAbsent, resolution.Message, now)
			notes = append(notes, note{reason: reasonAttemptAbandoned, message: resolution.Message})
		case planner.ResolveWait:
			attempt.Outcome = warmpool.AttemptUnknown
			reason := planner.ReasonRentOutcomeUnknown
			if resolution.Reason == planner.ReasonLabelCopied || resolution.Reason == planner.ReasonLabelLost {
				reason = resolution.Reason
				notes = append(notes, note{warning: true, reason: reason, message: resolution.Message})
			}
			setPendingConditions(instance, metav1.ConditionUnknown, reason, resolution.Message, now)
		}
	}
	return notes
}

// adoptRental records a rental that was found by its label.
func adoptRental(instance *warmpool.WarmInstance, attempt *warmpool.RentAttempt, resolution *planner.Resolution, now metav1.Time) {
	attempt.Outcome, attempt.FinishedTime, attempt.RentalID = warmpool.AttemptSucceeded, &now, resolution.RentalID
	attempt.Reason, attempt.Message = resolution.Reason, bounded(resolution.Message, maxMessage)
	instance.Status.Rental = &warmpool.Rental{ID: resolution.RentalID, MachineID: attempt.MachineID, RecordedTime: &now}
	if resolution.Rental != nil {
		instance.Status.Rental.Label = bounded(resolution.Rental.Label, maxLabel)
	}
	instance.Status.Price.QuotedUSDPerHour = warmpool.SignedUSD(attempt.QuotedUSDPerHour)
	conditionsAt(&instance.Status.Conditions, now).set(warmpool.ConditionRented, metav1.ConditionTrue, reasonRented, resolution.Message)
	conditionsAt(&instance.Status.Conditions, now).set(warmpool.ConditionReady, metav1.ConditionFalse, reasonProvisioning, "Rented; Vast.ai is preparing the container.")
}

// maxLabel is Vast.ai's limit at creation.
const maxLabel = 256

// recordLateRentals notes a rental that an attempt made after it was settled,
// so that it counts under the ceiling until it is gone.
func recordLateRentals(instance *warmpool.WarmInstance, plan *sweepPlan, now metav1.Time) {
	for _, extra := range plan.resolved.Extras {
		if extra.UID != string(instance.UID) {
			continue
		}
		for k := range instance.Status.Attempts {
			attempt := &instance.Status.Attempts[k]
			if attempt.Number == extra.AttemptNumber && (attempt.RentalID == 0 || attempt.RentalGone) && attempt.Outcome != warmpool.AttemptSucceeded {
				attempt.RentalID, attempt.RentalGone, attempt.FinishedTime = extra.RentalID, false, &now
			}
		}
	}
}

// observeRow copies what the account's list says about a rental.
func observeRow(instance *warmpool.WarmInstance, row *fleet.Rental, now metav1.Time) {
	status := &instance.Status
	rental := status.Rental
	rental.MachineID, rental.HostID = cmp.Or(row.MachineID, rental.MachineID), cmp.Or(row.HostID, rental.HostID)
	rental.GPUName = bounded(cmp.Or(row.GPUName, rental.GPUName), maxName)
	rental.GPUs = cmp.Or(int32(row.GPUs), rental.GPUs) //nolint:gosec // at most 16
	rental.GPUMemoryMB = cmp.Or(row.GPUMemoryMB, rental.GPUMemoryMB)
	rental.Geolocation = bounded(cmp.Or(row.Geolocation, rental.Geolocation), maxName)
	rental.StartTime, rental.EndTime = wholeSecond(row.StartedAt), wholeSecond(row.EndsAt)
	observePrice(status, row, now)
	observeState(&status.Provider, row, now)
	template := effectiveTemplate(instance.Spec.Template)
	if endpoints := endpointsOf(&template, row); len(endpoints) > 0 {
		status.Endpoints = endpoints
	}
	status.SSH.Host, status.SSH.Port = bounded(row.SSHHost, maxURL), int32(row.SSHPort) //nolint:gosec // a port
	if address, port := row.PublicIP, row.Ports[sshPort]; address != "" && port != 0 {
		status.SSH.Host, status.SSH.Port = bounded(address, maxURL), int32(port) //nolint:gosec // a port
	}
}

const (
	maxName = 128
	maxURL  = 256
	sshPort = 22
)

// wholeSecond drops what a status cannot hold, so that equal times compare equal.
func wholeSecond(at time.Time) *metav1.Time {
	if at.IsZero() {
		return nil
	}
	return &metav1.Time{Time: at.Truncate(time.Second).Local()}
}

func observePrice(status *warmpool.WarmInstanceStatus, row *fleet.Rental, now metav1.Time) {
	price, known := planner.ObservePrice(plannerRental(status), row)
	if price > 0 {
		status.Price.CurrentUSDPerHour = signedUSD(price)
		status.Price.StorageUSDPerHour = signedUSD(row.StorageUSDPerHour)
	}
	if known && status.Price.ObservedTime == nil {
		status.Price.ObservedTime = &now
	}
}

func observeState(state *warmpool.ProviderState, row *fleet.Rental, now metav1.Time) {
	const maxState = 32
	seen := warmpool.ProviderState{
		ActualStatus: bounded(string(row.ActualStatus), maxState), IntendedStatus: bounded(row.IntendedStatus, maxState),
		CurrentState: bounded(row.CurrentState, maxState), Message: bounded(row.StatusMessage, maxMessage),
		RunningTime: state.RunningTime, ChangedTime: state.ChangedTime,
	}
	if seen.RunningTime == nil && row.ActualStatus == fleet.StatusRunning {
		seen.RunningTime = &now
	}
	if seen.ActualStatus != state.ActualStatus || seen.IntendedStatus != state.IntendedStatus || seen.CurrentState != state.CurrentState {
		seen.ChangedTime = &now
	}
	*state = seen
}

// endpointsOf lists the published ports with their public addresses; empty
// until the container really runs.
func endpointsOf(template *warmpool.InstanceTemplate, row *fleet.Rental) []warmpool.InstanceEndpoint {
	ports := publishedPorts(template)
	var endpoints []warmpool.InstanceEndpoint
	for _, name := range slices.Sorted(maps.Keys(ports)) {
		address, published := row.Endpoint(ports[name])
		if !published {
			continue
		}
		url := bounded(address, maxURL)
		if name == endpointComfyUI || name == endpointPortal {
			url = bounded(scheme(template)+"://"+address, maxURL)
		}
		endpoints = append(endpoints, warmpool.InstanceEndpoint{Name: name, URL: url})
	}
	return endpoints
}

func scheme(template *warmpool.InstanceTemplate) string {
	if template.TLS.Mode == warmpool.TLSOff {
		return "http"
	}
	return "https"
}

// attachKeys adds the template's public keys to the first rental that runs and
// does not have them yet. It comes last and serves one instance per sweep: keys
// are a convenience, and must not hold up what money depends on.
func (r *VastAccountReconciler) attachKeys(ctx context.Context, in *sweepInput) {
	for k := range in.instances {
		instance := &in.instances[k]
		status := &instance.Status
		if len(instance.Spec.Template.SSHPublicKeys) == 0 || status.SSH.KeysAttached || status.Rental == nil ||
			status.Provider.RunningTime == nil || !instance.DeletionTimestamp.IsZero() {
			continue
		}
		for _, key := range instance.Spec.Template.SSHPublicKeys {
			// A key that is refused was attached before, or never will be.
			if err := in.link.provider.AttachSSHKey(ctx, status.Rental.ID, key); err != nil && fleet.KindOf(err) != fleet.KindInvalidRequest {
				log.FromContext(ctx).Info("Attaching an SSH key failed", "instance", instance.Name, "error", err.Error())
				return
			}
		}
		status.SSH.KeysAttached = true
		if err := r.Client.Status().Update(ctx, instance); err != nil {
			log.FromContext(ctx).V(1).Info("Instance changed meanwhile", "instance", instance.Name)
		}
		return
	}
}

// instancesElsewhere collects what the WarmInstances of all other accounts hold
// that this process can see. Two account objects may hold keys of one user, and
// neither may take the other's rentals for leaks.
func (r *VastAccountReconciler) instancesElsewhere(ctx context.Context, account types.NamespacedName) (planner.Elsewhere, error) {
	var list warmpool.WarmInstanceList
	if err := r.Client.List(ctx, &list); err != nil {
		return planner.Elsewhere{}, err
	}
	var others []planner.Instance
	for k := range list.Items {
		if instance := &list.Items[k]; instance.Namespace != account.Namespace || instance.Spec.AccountRef.Name != account.Name {
			others = append(others, plannerInstance(instance))
		}
	}
	return planner.RecordElsewhere(others), nil
}

// machineBlock is how long a machine is avoided: the longest that any pool of
// the account asks for.
func (r *VastAccountReconciler) machineBlock(ctx context.Context, account types.NamespacedName) (time.Duration, error) {
	var pools warmpool.WarmPoolList
	if err := r.Client.List(ctx, &pools, client.InNamespace(account.Namespace)); err != nil {
		return 0, err
	}
	var longest int64
	for k := range pools.Items {
		if pools.Items[k].Spec.AccountRef.Name == account.Name {
			longest = max(longest, int64Of(pools.Items[k].Spec.Remediation.MachineBlocklistSeconds))
		}
	}
	return time.Duration(longest) * time.Second, nil
}

// leakPolicy converts the account's policy.
func leakPolicy(account *warmpool.VastAccount) planner.LeakPolicy {
	policy := account.Spec.LeakPolicy
	return planner.LeakPolicy{
		Action: planner.LeakAction(policy.Action), MinAge: time.Duration(policy.MinAgeSeconds) * time.Second, MaxPerHour: int(policy.MaxPerHour),
	}
}

// machineName is for people.
func machineName(id int64) string { return "machine " + strconv.FormatInt(id, 10) }
