package planner

import (
	"cmp"
	"slices"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

const (
	// maxBlocked bounds the list: it is kept in an object's status.
	maxBlocked = 200
	// maxBlock bounds one block: 30 days, the most that the field for it allows.
	maxBlock = 30 * 24 * time.Hour
)

// BlockedMachine is a machine that is avoided because instances failed on it.
type BlockedMachine struct {
	// MachineID is the machine.
	MachineID int64
	// Until is the end of the block. The entry stays for as long again after
	// it, so that a repeated failure is recognised.
	Until time.Time
	// Strikes counts the failures, from 1.
	Strikes int32
	// Reason is that of the last failure.
	Reason string
	// LastFailureAt is when that was.
	LastFailureAt time.Time
}

// ComputeBlocked brings the list of blocked machines up to date: every failure
// that is the host's fault blocks its machine for ttl, and for twice as long as
// the last time when it fails again (30 days at most). The same failures may be
// given again and again; one that is not younger than the last one of its
// machine changes nothing. The result is sorted by machine id and holds at most
// 200 entries, those that block longest. A ttl of 0 blocks nothing new.
func ComputeBlocked(existing []BlockedMachine, failures []fleet.Failure, ttl time.Duration, now time.Time) []BlockedMachine {
	byMachine := make(map[int64]BlockedMachine, len(existing))
	for _, entry := range existing {
		if remembered(&entry, ttl, now) {
			byMachine[entry.MachineID] = entry
		}
	}
	inOrder := slices.Clone(failures)
	slices.SortStableFunc(inOrder, func(a, b fleet.Failure) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.MachineID, b.MachineID), cmp.Compare(a.Reason, b.Reason))
	})
	for k := range inOrder {
		failure := &inOrder[k]
		entry := byMachine[failure.MachineID]
		if !failure.HostFault || failure.MachineID == 0 || ttl <= 0 || !failure.At.After(entry.LastFailureAt) {
			continue
		}
		entry.MachineID, entry.Reason, entry.LastFailureAt = failure.MachineID, failure.Reason, failure.At
		entry.Strikes++
		entry.Until = failure.At.Add(blockFor(ttl, entry.Strikes))
		if remembered(&entry, ttl, now) {
			byMachine[failure.MachineID] = entry
		}
	}
	return boundBlocked(byMachine)
}

// BlockedMachineIDs returns the machines whose block has not ended.
func BlockedMachineIDs(blocked []BlockedMachine, now time.Time) map[int64]bool {
	ids := make(map[int64]bool, len(blocked))
	for k := range blocked {
		//warmpool:gate blocked-machine
		if blocked[k].Until.After(now) {
			ids[blocked[k].MachineID] = true
		}
	}
	return ids
}

// remembered is true while an entry blocks, and for as long again as its block lasted.
func remembered(entry *BlockedMachine, ttl time.Duration, now time.Time) bool {
	lasted := max(entry.Until.Sub(entry.LastFailureAt), ttl)
	return entry.Until.Add(lasted).After(now)
}

// blockFor doubles the ttl with every strike after the first.
func blockFor(ttl time.Duration, strikes int32) time.Duration {
	block := min(ttl, maxBlock)
	for range strikes - 1 {
		if block = min(2*block, maxBlock); block == maxBlock {
			break
		}
	}
	return block
}

// boundBlocked keeps the entries that block longest, sorted by machine.
func boundBlocked(byMachine map[int64]BlockedMachine) []BlockedMachine {
	entries := make([]BlockedMachine, 0, len(byMachine))
	for _, entry := range byMachine {
		entries = append(entries, entry)
	}
	slices.SortFunc(entries, func(a, b BlockedMachine) int {
		return cmp.Or(b.Until.Compare(a.Until), cmp.Compare(a.MachineID, b.MachineID))
	})
	entries = entries[:min(len(entries), maxBlocked)]
	slices.SortFunc(entries, func(a, b BlockedMachine) int { return cmp.Compare(a.MachineID, b.MachineID) })
	return entries
}
