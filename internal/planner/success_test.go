package planner

import "testing"

func TestNewestSuccess(t *testing.T) {
	t.Parallel()
	a, b := Success{"a", moment(10)}, Success{"b", moment(20)}
	failed := func(uid string) []PoolFailure { return []PoolFailure{{InstanceUID: uid, At: moment(30)}} }
	for name, tc := range map[string]struct {
		remembered Success
		ready      []Success
		failures   []PoolFailure
		want       Success
	}{
		"none":                           {},
		"ready now":                      {ready: []Success{a, b}, want: b},
		"remembered after scaling to 0":  {remembered: a, want: a},
		"the newer of both":              {remembered: b, ready: []Success{a}, want: b},
		"one that failed in the end":     {remembered: b, ready: []Success{a}, failures: failed("b"), want: a},
		"the only one failed in the end": {remembered: b, failures: failed("b")},
		"another one failed":             {remembered: b, failures: failed("x"), want: b},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := NewestSuccess(tc.remembered, tc.ready, tc.failures); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

// TestOldFailuresStayForgivenAfterScalingToZero: the back-off must not come back
// when the instance that ended it is gone.
func TestOldFailuresStayForgivenAfterScalingToZero(t *testing.T) {
	t.Parallel()
	failures := []PoolFailure{{InstanceUID: "x", MachineID: 1, Reason: "CrashLooping", At: moment(100)}, {InstanceUID: "y", MachineID: 2, Reason: "CrashLooping", At: moment(200)}}
	success := NewestSuccess(Success{"ok", moment(300)}, nil, failures)
	state := ComputeBackoff(&BackoffInput{
		Failures: failures, LastSuccess: success.At, Now: moment(400),
		Policy: BackoffPolicy{InitialSeconds: 30, MaxSeconds: 3600, ResetAfterSeconds: 3600},
	})
	if state.Consecutive != 0 || state.Waiting {
		t.Errorf("got %+v", state)
	}
}
