package render

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// Agreement is what both say of one state of an object.
type Agreement struct {
	// Health is Argo CD's answer.
	Health Health
	// Kstatus is the answer of kstatus's own library: InProgress, Failed, Current or Terminating.
	Kstatus status.Status
}

// Agree asks both, and is an error when they do not mean the same. Suspended is
// Argo CD's alone: kstatus knows nobody who has switched something off.
func Agree(object *unstructured.Unstructured) (Agreement, error) {
	health, err := HealthOf(object.Object, object.GetKind())
	if err != nil {
		return Agreement{}, err
	}
	computed, err := status.Compute(object)
	if err != nil {
		return Agreement{}, fmt.Errorf("computing kstatus of %s: %w", Key(object), err)
	}
	said := Agreement{Health: health, Kstatus: computed.Status}
	mean := map[string][]status.Status{
		"Healthy":     {status.CurrentStatus},
		"Progressing": {status.InProgressStatus, status.TerminatingStatus},
		"Degraded":    {status.FailedStatus},
		"Suspended":   {status.FailedStatus, status.CurrentStatus},
	}
	for _, one := range mean[health.Status] {
		if one == computed.Status {
			return said, nil
		}
	}
	return said, fmt.Errorf("%s: Argo CD says %s (%s) and kstatus %s (%s)", Key(object), health.Status, health.Message, computed.Status, computed.Message)
}
