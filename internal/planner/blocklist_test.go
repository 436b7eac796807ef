package planner

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

func TestComputeBlocked(t *testing.T) {
	const ttl = time.Hour
	failure := func(machine int64, at int) fleet.Failure {
		return fleet.Failure{Reason: "GpuFault", MachineID: machine, HostFault: true, At: moment(at)}
	}
	entry := func(machine int64, strikes int32, failedAt, until int) BlockedMachine {
		return BlockedMachine{MachineID: machine, Strikes: strikes, Reason: "GpuFault", LastFailureAt: moment(failedAt), Until: moment(until)}
	}
	template := failure(4, 0)
	template.HostFault = false
	tests := map[string]struct {
		existing []BlockedMachine
		failures []fleet.Failure
		ttl      time.Duration
		now      int
		want     []BlockedMachine
	}{
		"a host fault blocks its machine":        {nil, []fleet.Failure{failure(4, 0)}, ttl, 10, []BlockedMachine{entry(4, 1, 0, 3600)}},
		"another fault blocks nothing":           {nil, []fleet.Failure{template}, ttl, 10, []BlockedMachine{}},
		"no machine, no block":                   {nil, []fleet.Failure{failure(0, 0)}, ttl, 10, []BlockedMachine{}},
		"ttl 0 blocks nothing":                   {nil, []fleet.Failure{failure(4, 0)}, 0, 10, []BlockedMachine{}},
		"the same failure counts once":           {[]BlockedMachine{entry(4, 1, 0, 3600)}, []fleet.Failure{failure(4, 0), failure(4, 0)}, ttl, 10, []BlockedMachine{entry(4, 1, 0, 3600)}},
		"a repeated failure doubles":             {[]BlockedMachine{entry(4, 1, 0, 3600)}, []fleet.Failure{failure(4, 4000)}, ttl, 4000, []BlockedMachine{entry(4, 2, 4000, 4000+7200)}},
		"two new failures in one call double":    {nil, []fleet.Failure{failure(4, 100), failure(4, 0)}, ttl, 100, []BlockedMachine{entry(4, 2, 100, 100+7200)}},
		"an ended block is remembered as long":   {[]BlockedMachine{entry(4, 1, 0, 3600)}, nil, ttl, 7199, []BlockedMachine{entry(4, 1, 0, 3600)}},
		"and then forgotten":                     {[]BlockedMachine{entry(4, 1, 0, 3600)}, nil, ttl, 7200, []BlockedMachine{}},
		"a forgotten failure does not come back": {nil, []fleet.Failure{failure(4, 0)}, ttl, 7200, []BlockedMachine{}},
		"sorted by machine":                      {[]BlockedMachine{entry(9, 1, 0, 3600)}, []fleet.Failure{failure(4, 0)}, ttl, 1, []BlockedMachine{entry(4, 1, 0, 3600), entry(9, 1, 0, 3600)}},
		"30 days are the most":                   {[]BlockedMachine{entry(4, 60, 0, 86400)}, []fleet.Failure{failure(4, 5)}, ttl, 10, []BlockedMachine{entry(4, 61, 5, 5+30*86400)}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := ComputeBlocked(tc.existing, tc.failures, tc.ttl, moment(tc.now))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("ComputeBlocked (-want +got):\n%s", diff)
			}
		})
	}
}

func TestComputeBlockedIsBounded(t *testing.T) {
	failures := make([]fleet.Failure, 0, 300)
	for machine := range int64(300) {
		failures = append(failures, fleet.Failure{MachineID: machine + 1, HostFault: true, At: moment(int(machine))})
	}
	got := ComputeBlocked(nil, failures, time.Hour, moment(300))
	if len(got) != 200 || got[0].MachineID != 101 || got[199].MachineID != 300 {
		t.Errorf("%d entries from %d to %d, want the 200 that block longest, 101 to 300",
			len(got), got[0].MachineID, got[len(got)-1].MachineID)
	}
}

func TestBlockedMachineIDs(t *testing.T) {
	blocked := []BlockedMachine{{MachineID: 1, Until: moment(10)}, {MachineID: 2, Until: moment(11)}}
	if diff := cmp.Diff(map[int64]bool{2: true}, BlockedMachineIDs(blocked, moment(10))); diff != "" {
		t.Errorf("a block ends at its time (-want +got):\n%s", diff)
	}
}
