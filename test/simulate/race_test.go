//go:build race

package simulate

// ordinarySchedules is small here: the race detector makes each ten times as long.
const ordinarySchedules = 30
