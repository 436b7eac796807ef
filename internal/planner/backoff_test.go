package planner

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// poolFailure is a failure of a template's kind on a machine.
func poolFailure(uid string, machine int64, reason string, at int) PoolFailure {
	return PoolFailure{InstanceUID: uid, InstanceName: "sdxl-" + uid, MachineID: machine, Reason: reason, Message: "It went wrong.", TemplateHash: "v1-a", At: moment(at)}
}

// onHost makes it the host's fault.
func onHost(failure PoolFailure) PoolFailure {
	failure.HostFault = true
	return failure
}

func TestComputeBackoff(t *testing.T) {
	t.Parallel()
	run := func(reasons ...string) []PoolFailure {
		var failures []PoolFailure
		for k, reason := range reasons {
			failures = append(failures, poolFailure(fmt.Sprint(k), 7, reason, 10*k))
		}
		return failures
	}
	tests := map[string]struct {
		change      func(*BackoffInput)
		failures    []PoolFailure
		consecutive int
		// wait is counted from the newest failure; 0 when there is none.
		wait     int
		waiting  bool
		template bool
	}{
		"none":                                {nil, nil, 0, 0, false, false},
		"one":                                 {nil, run("A"), 1, 30, true, false},
		"two":                                 {nil, run("A", "B"), 2, 60, true, false},
		"three":                               {nil, run("A", "B", "C"), 3, 120, true, false},
		"ten reach the longest":               {nil, run("A", "B", "C", "D", "E", "F", "G", "H", "I", "J"), 10, 3600, true, false},
		"the wait is over":                    {func(in *BackoffInput) { in.Now = moment(30) }, run("A"), 1, 30, false, false},
		"forgotten after a quiet time":        {func(in *BackoffInput) { in.Now = moment(30 + 3600) }, run("A"), 0, 0, false, false},
		"not before":                          {func(in *BackoffInput) { in.Now = moment(29 + 3600) }, run("A"), 1, 30, false, false},
		"a success starts anew":               {func(in *BackoffInput) { in.LastSuccess = moment(10) }, run("A", "B"), 0, 0, false, false},
		"a success in between":                {func(in *BackoffInput) { in.LastSuccess = moment(5) }, run("A", "B"), 1, 30, true, false},
		"another template is forgiven":        {func(in *BackoffInput) { in.TemplateHash = "v1-b" }, run("A", "A"), 0, 0, false, false},
		"one machine is no template fault":    {nil, run("A", "A", "A"), 3, 120, true, false},
		"two machines are":                    {nil, []PoolFailure{poolFailure("a", 1, "ModelMissing", 0), poolFailure("b", 2, "ModelMissing", 10)}, 2, 3600, true, true},
		"two reasons on two machines":         {nil, []PoolFailure{poolFailure("a", 1, "ModelMissing", 0), poolFailure("b", 2, "CrashLooping", 10)}, 2, 60, true, false},
		"unknown machines prove nothing":      {nil, []PoolFailure{poolFailure("a", 0, "A", 0), poolFailure("b", 0, "A", 10)}, 2, 60, true, false},
		"an unknown machine is no second one": {nil, []PoolFailure{poolFailure("a", 0, "A", 0), poolFailure("b", 7, "A", 10)}, 2, 60, true, false},
		"host faults alike on two machines":   {nil, []PoolFailure{onHost(poolFailure("a", 1, "ImagePullTimeout", 0)), onHost(poolFailure("b", 2, "ImagePullTimeout", 10))}, 2, 3600, true, true},
		"not while the template works elsewhere": {
			func(in *BackoffInput) { in.ReadyNow = 1 },
			[]PoolFailure{onHost(poolFailure("a", 1, "ImagePullTimeout", 0)), onHost(poolFailure("b", 2, "ImagePullTimeout", 10))},
			2, 60, true, false,
		},
		"a template's reason is one even then": {
			func(in *BackoffInput) { in.ReadyNow = 1 },
			[]PoolFailure{poolFailure("a", 1, "ModelMissing", 0), poolFailure("b", 2, "ModelMissing", 10)},
			2, 3600, true, true,
		},
		"an odd policy waits at least the first": {func(in *BackoffInput) { in.Policy.MaxSeconds = 1 }, run("A"), 1, 30, true, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := BackoffInput{
				Failures: tc.failures, TemplateHash: "v1-a", LastSuccess: moment(-100),
				Policy: BackoffPolicy{InitialSeconds: 30, MaxSeconds: 3600, ResetAfterSeconds: 3600}, Now: moment(0),
			}
			if len(tc.failures) > 0 {
				in.Now = tc.failures[len(tc.failures)-1].At
			}
			if tc.change != nil {
				tc.change(&in)
			}
			got := ComputeBackoff(&in)
			if got.Consecutive != tc.consecutive || got.Waiting != tc.waiting || got.TemplateFailing != tc.template {
				t.Errorf("ComputeBackoff() = %+v, want %d in a row, waiting %t, template failing %t", got, tc.consecutive, tc.waiting, tc.template)
			}
			if (got.Message != "") != (tc.consecutive > 0) || got.OneAtATime != (tc.consecutive > 0) {
				t.Errorf("%d failures in a row, message %q, one at a time %t", got.Consecutive, got.Message, got.OneAtATime)
			}
			if tc.wait == 0 {
				if !got.NextAttemptAt.IsZero() {
					t.Errorf("waits until %s without a failure", got.NextAttemptAt)
				}
				return
			}
			if want := tc.failures[len(tc.failures)-1].At.Add(time.Duration(tc.wait) * time.Second); !got.NextAttemptAt.Equal(want) {
				t.Errorf("next attempt at %s, want %s", got.NextAttemptAt, want)
			}
		})
	}
}

func TestComputeBackoffSaysWhatToDo(t *testing.T) {
	t.Parallel()
	got := ComputeBackoff(&BackoffInput{
		Failures: []PoolFailure{poolFailure("b", 12, "ModelMissing", 10), poolFailure("a", 7, "ModelMissing", 0)},
		Policy:   BackoffPolicy{InitialSeconds: 30, MaxSeconds: 3600, ResetAfterSeconds: 3600}, Now: moment(20),
	})
	for _, want := range []string{"ModelMissing", "machines 7, 12", "logTail", "spec.template", "2026-09-01T13:00:10Z"} {
		if !strings.Contains(got.Message, want) {
			t.Errorf("the message lacks %q: %s", want, got.Message)
		}
	}
}

func TestRecordFailures(t *testing.T) {
	t.Parallel()
	first := poolFailure("a", 1, "A", 0)
	again := poolFailure("a", 1, "B", 50)
	second := poolFailure("b", 2, "A", 20)
	existing := []PoolFailure{first}
	got := RecordFailures(existing, second, again)
	if diff := cmp.Diff([]PoolFailure{second, first}, got); diff != "" {
		t.Errorf("RecordFailures() (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]PoolFailure{first}, existing); diff != "" {
		t.Errorf("the argument was changed:\n%s", diff)
	}
}

func TestRecordFailuresProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		failure := rapid.Custom(func(t *rapid.T) PoolFailure {
			uid := rapid.IntRange(0, 25).Draw(t, "uid")
			return poolFailure(fmt.Sprint(uid), int64(uid), "A", 7*uid%13)
		})
		existing := RecordFailures(nil, rapid.SliceOfN(failure, 0, 15).Draw(t, "existing")...)
		more := rapid.SliceOfN(failure, 0, 15).Draw(t, "more")
		once := RecordFailures(existing, more...)
		if diff := cmp.Diff(once, RecordFailures(once, more...)); diff != "" && len(once) < maxPoolFailures {
			t.Fatalf("recording the same again changes something:\n%s", diff)
		}
		if len(once) > maxPoolFailures {
			t.Fatalf("%d are remembered", len(once))
		}
		if !slices.IsSortedFunc(once, newestFailureFirst) {
			t.Fatalf("not the newest first: %v", once)
		}
	})
}
