//go:build !race

package simulate

// ordinarySchedules is how many schedules an ordinary go test runs.
const ordinarySchedules = 400
