package node

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestReadiness(t *testing.T) {
	for name, tc := range map[string]struct {
		conditions []corev1.NodeCondition
		ready      bool
		why        string
	}{
		"ready":     {[]corev1.NodeCondition{{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse}, {Type: corev1.NodeReady, Status: corev1.ConditionTrue, Message: "posting"}}, true, "posting"},
		"not ready": {[]corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse, Message: "no network"}}, false, "no network"},
		"silent":    {nil, false, "it says nothing of being ready"},
	} {
		t.Run(name, func(t *testing.T) {
			ready, why := readiness(&corev1.Node{Status: corev1.NodeStatus{Conditions: tc.conditions}})
			if ready != tc.ready || why != tc.why {
				t.Errorf("got %v, %q", ready, why)
			}
		})
	}
}
