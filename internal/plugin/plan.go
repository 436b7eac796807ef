package plugin

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/controllers"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// The acts of a plan.
const (
	actCreate   = "make"
	actEnd      = "end"
	actWithhold = "would end"
	actRent     = "rent"
	actWait     = "wait"
)

// planReport is what would be done about a pool now.
type planReport struct {
	Namespace string `json:"namespace"`
	Pool      string `json:"pool"`
	Steps     []step `json:"steps"`
	// Then is what the status would say.
	Reason  string `json:"reason"`
	Message string `json:"message"`
	// RecheckTime is when time alone changes the answer, empty when it does not.
	RecheckTime string `json:"recheckTime,omitempty"`
}

// step is one thing that would be done.
type step struct {
	Act      string `json:"act"`
	Instance string `json:"instance,omitempty"`
	Count    int    `json:"count,omitempty"`
	Reason   string `json:"reason"`
	Message  string `json:"message"`
}

func newPlan(o *options) *cobra.Command {
	command := &cobra.Command{
		Use:   "plan POOL",
		Short: "Show what the operator would do about a pool now, and why, without doing it",
		Long: "plan asks the operator's own decision about the objects as they are: which instances would be made, ended or offered for a rent, in\n" +
			"which order, and why. It changes nothing and asks Vast.ai nothing: whether a waiting instance is rented depends on the offers of that\n" +
			"moment, too, of which it shows the last answer.",
		Example:           "  kubectl warmpool plan sdxl",
		Args:              arguments(1, 1, "one pool"),
		ValidArgsFunction: o.completeFirst(kindPool),
		RunE:              o.aboutPool(func(seen *world, pool *warmpool.WarmPool) report { return seen.plan(pool) }),
	}
	o.addOutput(command, false)
	return command
}

// plan puts the preview into words. It is pure.
func (w *world) plan(pool *warmpool.WarmPool) *planReport {
	preview := w.preview(pool)
	answer := &planReport{Namespace: pool.Namespace, Pool: pool.Name, Steps: []step{}, Reason: preview.Verdict.Reason}
	for _, condition := range preview.Verdict.Conditions {
		if condition.Type == warmpool.ConditionFullyProvisioned {
			answer.Message = condition.Message
		}
	}
	if at := preview.Verdict.RecheckAt; !at.IsZero() {
		answer.RecheckTime = at.UTC().Format(time.RFC3339)
	}
	answer.Steps = append(sizeSteps(&preview), w.rentSteps(pool, &preview.Pending)...)
	return answer
}

// sizeSteps are the instances that would be made and ended.
func sizeSteps(preview *controllers.Preview) []step {
	steps := []step{}
	for _, victim := range preview.Size.Delete {
		steps = append(steps, step{Act: actEnd, Instance: victim.Name, Reason: victim.Reason, Message: victim.Message})
	}
	for _, victim := range preview.Size.Withheld {
		steps = append(steps, step{
			Act: actWithhold, Instance: victim.Name, Reason: victim.Reason,
			Message: victim.Message + "; withheld in mode DryRun, or until a list of the account's instances can be trusted",
		})
	}
	if preview.Size.Create > 0 {
		made := step{Act: actCreate, Count: preview.Size.Create, Reason: preview.Size.CreateReason, Message: preview.Size.CreateMessage}
		if !preview.MayCreate {
			made.Act, made.Message = actWait, made.Message+"; nothing is made before the account exists and the operator holds it"
		}
		steps = append(steps, made)
	}
	return steps
}

// rentSteps are the waiting instances of the pool, in the order of the account.
func (w *world) rentSteps(pool *warmpool.WarmPool, pending *planner.PendingPlan) []step {
	key := pool.Namespace + "/" + pool.Name
	var steps []step
	for k := range pending.Candidates {
		candidate := &pending.Candidates[k]
		if candidate.Pool.Key != key {
			continue
		}
		rent := step{Act: actRent, Instance: candidate.Instance.Name, Reason: "NotAskedYet", Message: "No offer was looked at for it yet."}
		if last := w.lastAnswer(pool, candidate.Instance.Name); last != nil {
			rent.Reason, rent.Message = last.Reason, last.Message
			if last.Decision != warmpool.DecisionAdmitted {
				rent.Act = actWait
			}
		}
		rent.Message = fmt.Sprintf("number %d of what waits for the account; the last answer: %s", k+1, rent.Message)
		steps = append(steps, rent)
	}
	for _, deferral := range pending.Deferrals {
		for _, instance := range w.ofPool(pool) {
			if string(instance.UID) == deferral.UID {
				steps = append(steps, step{Act: actWait, Instance: instance.Name, Reason: deferral.Deferral.Reason, Message: deferral.Deferral.Message})
			}
		}
	}
	return steps
}

// lastAnswer is the last admission of an instance that waits.
func (w *world) lastAnswer(pool *warmpool.WarmPool, name string) *warmpool.Admission {
	for _, instance := range w.ofPool(pool) {
		if instance.Name == name {
			return instance.Status.LastAdmission
		}
	}
	return nil
}

// write implements report.
func (r *planReport) write(out io.Writer, _ bool) error {
	var text strings.Builder
	if len(r.Steps) == 0 {
		fmt.Fprintf(&text, "Nothing would be done about %s %s/%s now.\n", kindPool, r.Namespace, r.Pool)
	} else {
		fmt.Fprintf(&text, "What would be done about %s %s/%s now (this command does none of it):\n\n", kindPool, r.Namespace, r.Pool)
		steps := newTable("ACT", "INSTANCE", "REASON", "WHY")
		for k := range r.Steps {
			one := &r.Steps[k]
			what := one.Instance
			if one.Count > 0 {
				what = plural(one.Count, "instance", "instances")
			}
			steps.add(one.Act, what, one.Reason, one.Message)
		}
		text.WriteString(steps.text(""))
	}
	fmt.Fprintf(&text, "\nThe pool then says: %s. %s\n", r.Reason, plainLines(r.Message))
	if r.RecheckTime != "" {
		fmt.Fprintf(&text, "Without any other change this is looked at again at %s.\n", r.RecheckTime)
	}
	_, err := io.WriteString(out, text.String())
	return err
}
