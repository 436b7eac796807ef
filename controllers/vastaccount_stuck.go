package controllers

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// tellStuck says on an instance that its end takes too long, and for how long in
// whole minutes. The event is sent once.
func (r *VastAccountReconciler) tellStuck(ctx context.Context, in *terminateInput, stuck *planner.StuckTermination) error {
	instance := in.instances[stuck.UID]
	if instance == nil {
		return nil
	}
	now := metav1.Time{Time: r.Clock.Now()}
	message := stuckMessage(instance, stuck, in.session.latestListing(), now.Time)
	was := meta.FindStatusCondition(instance.Status.Conditions, warmpool.ConditionTerminated)
	if was != nil && was.Reason == planner.ReasonTerminationStuck && was.Message == bounded(message, maxConditionMessage) {
		return nil
	}
	updated := instance.DeepCopy()
	conditionsAt(&updated.Status.Conditions, now).set(warmpool.ConditionTerminated, metav1.ConditionFalse, planner.ReasonTerminationStuck, message)
	if err := r.Client.Status().Update(ctx, updated); err != nil {
		return err
	}
	in.instances[stuck.UID] = updated
	if was == nil || was.Reason != planner.ReasonTerminationStuck {
		log.FromContext(ctx).Info("An end takes too long", "instance", instance.Name, "rental", stuck.RentalID, "since", stuck.Since)
		r.event(updated, true, planner.ReasonTerminationStuck, "Terminate", message)
	}
	return nil
}

// stuckMessage says how long it takes, what Vast.ai shows and says, and what to do.
func stuckMessage(instance *warmpool.WarmInstance, stuck *planner.StuckTermination, listing *fleet.Listing, now time.Time) string {
	text := fmt.Sprintf("Terminating for %d min, and $%s/h counts until it is confirmed gone. ", int(now.Sub(stuck.Since).Minutes()), stuck.USDPerHour)
	if stuck.RentalID == 0 {
		return text + "It is not known whether a rent succeeded; lists of instances that can be trusted settle it. The VastAccount's condition ListTrusted says why there are none."
	}
	switch status, listed := listedAs(listing, stuck.RentalID); {
	case listing == nil:
		text += fmt.Sprintf("The list of instances could not be read, so it is not known whether rental %d is still there", stuck.RentalID)
	case listed && status == fleet.StatusOffline:
		text += fmt.Sprintf("Vast.ai still lists rental %d; its host is offline, and the end is carried out when it comes back", stuck.RentalID)
	case listed:
		text += fmt.Sprintf("Vast.ai still lists rental %d", stuck.RentalID)
	default:
		text += fmt.Sprintf("The last list does not show rental %d; it takes two trusted lists and a look-up to be certain", stuck.RentalID)
	}
	if termination := instance.Status.Termination; termination != nil {
		text += fmt.Sprintf(". Vast.ai was asked %d times; the last answer: %s.", termination.Requests, strings.TrimRight(termination.Message, "."))
	} else {
		text += ". Vast.ai could not be asked yet: the conditions of the VastAccount say why."
	}
	return text + fmt.Sprintf(" If it bills on, destroy it in the Vast.ai console. To let go of the object at your own risk: kubectl annotate wi %s %s=%d", instance.Name, warmpool.AnnotationAbandonRental, stuck.RentalID)
}

// sawEnding is when the end of an instance was first asked for, or else when this
// process first saw that it is wanted. The object's own deletion time is by the
// clock of the API server.
func (a *accountSession) sawEnding(instance *warmpool.WarmInstance, now time.Time) time.Time {
	if termination := instance.Status.Termination; termination != nil && termination.RequestedTime != nil {
		return termination.RequestedTime.Time
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.endingSince == nil {
		a.endingSince = map[string]time.Time{}
	}
	since, seen := a.endingSince[string(instance.UID)]
	if !seen {
		since = now
		a.endingSince[string(instance.UID)] = now
	}
	return since
}

// forgetEnding forgets the instances that are gone.
func (a *accountSession) forgetEnding(instances map[string]*warmpool.WarmInstance) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.endingSince, func(uid string, _ time.Time) bool { return instances[uid] == nil })
}

// listedAs finds a rental in a listing.
func listedAs(listing *fleet.Listing, id int64) (fleet.ActualStatus, bool) {
	if listing == nil {
		return "", false
	}
	for k := range listing.Rentals {
		if listing.Rentals[k].ID == id {
			return listing.Rentals[k].ActualStatus, true
		}
	}
	return "", false
}

// latestListing is the last reading that was trusted, nil when the latest was not.
func (a *accountSession) latestListing() *fleet.Listing {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.latest == nil || !a.latest.Trusted {
		return nil
	}
	return &a.latest.Listing
}

// abandonedPrefix starts the label of a rental that a person let go of. It is
// none of ours any more, so that the rental is not reported as a leak for ever.
const abandonedPrefix = "abandoned-"

// disown takes our label off a rental that a person let go of, while there is
// still an object that knows why. It returns what to add to the event: whoever
// let go must not wait for Vast.ai, so it is tried once.
func (r *VastAccountReconciler) disown(ctx context.Context, in *terminateInput, release *planner.Release) string {
	instance := in.instances[release.UID]
	rental := instance.Status.Rental
	if rental == nil || rental.ID != release.RentalID || rental.Label == "" {
		return ""
	}
	//warmpool:gate disown-own-account-only
	if in.account == nil || in.link.provider == nil || !in.link.verified || !in.link.isStable(in.account) {
		return " Its label could not be changed, because there is no key that works: once there is, it is reported as a suspected leak until you change its label."
	}
	if err := in.link.provider.SetLabel(ctx, rental.ID, abandonedPrefix+rental.Label); err != nil {
		log.FromContext(ctx).Info("Changing the label of an abandoned rental failed", "rental", rental.ID, "error", err.Error())
		return " Its label could not be changed, so it is reported as a suspected leak until you change it or the rental is gone."
	}
	return fmt.Sprintf(" Its label is now %q, so nobody takes it for a leak.", abandonedPrefix+rental.Label)
}
