package main

import (
	"context"
	"net/http"
	"time"

	"github.com/warmpool-dev/warmpool/internal/simulator/adminclient"
)

// simAdmin is the admin API of a simulator, in this process or in its own.
type simAdmin struct {
	URL      string `json:"url"`
	AdminURL string `json:"adminURL"`
	admin    *adminclient.Client
}

// newSimAdmin does not connect.
func newSimAdmin(url, adminURL string) *simAdmin {
	return &simAdmin{URL: url, AdminURL: adminURL, admin: adminclient.New(adminURL)}
}

// offerRow is what is needed of an offer.
type offerRow struct {
	ID        int64  `json:"id"`
	MachineID int64  `json:"machine_id"`
	GPUName   string `json:"gpu_name"`
	GPUs      int32  `json:"num_gpus"`
	// DiskGB is what the host has left.
	DiskGB float64 `json:"disk_space"`
}

// offers lists what can be rented, at most one offer of each machine, with one
// GPU: the slices of a machine overlap.
func (s *simAdmin) offers(ctx context.Context) ([]offerRow, error) {
	var answer struct {
		Offers []offerRow `json:"offers"`
	}
	if err := s.admin.Call(ctx, http.MethodGet, "/market", nil, &answer); err != nil {
		return nil, err
	}
	seen, kept := map[int64]bool{}, []offerRow{}
	for _, offer := range answer.Offers {
		if !seen[offer.MachineID] && offer.GPUs == 1 && offer.DiskGB > diskGB {
			seen[offer.MachineID] = true
			kept = append(kept, offer)
		}
	}
	return kept, nil
}

// addKey adds a key of the account.
func (s *simAdmin) addKey(ctx context.Context, key string) error {
	return s.admin.Call(ctx, http.MethodPost, "/keys", map[string]string{"action": "add", "key": key}, nil)
}

// advance moves simulated time ahead.
func (s *simAdmin) advance(ctx context.Context, by time.Duration) error {
	return s.admin.Call(ctx, http.MethodPost, "/clock/advance", map[string]float64{"seconds": by.Seconds()}, nil)
}

// requestCounts counts answered calls per endpoint and HTTP status.
type requestCounts map[string]map[int]int

// of sums all statuses of one endpoint.
func (c requestCounts) of(endpoint string) int {
	sum := 0
	for _, count := range c[endpoint] {
		sum += count
	}
	return sum
}

// total sums everything.
func (c requestCounts) total() int {
	sum := 0
	for endpoint := range c {
		sum += c.of(endpoint)
	}
	return sum
}
