package vastai

import (
	"context"
	"maps"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

func TestEveryCallCarriesTheKeyAndNothingElseDoes(t *testing.T) {
	transport := always(200, `{"instances":null}`)
	client := newTestClient(t, transport, func(o *Options) { o.APIKey = testKey + "\n"; o.UserAgent = "warmpool/1.2" })
	if _, err := client.GetRental(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	want := http.Header{
		"Authorization": {"Bearer " + testKey}, "Accept": {"application/json"}, "User-Agent": {"warmpool/1.2"},
	}
	if diff := cmp.Diff(want, transport.calls()[0].Header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}

func TestRentSendsTheWholeContract(t *testing.T) {
	for mode, runType := range map[string]string{
		"ssh": "ssh_direc ssh_proxy", "jupyter": "jupyter_direc ssh_direc ssh_proxy", "args": "args", "": "ssh_direc ssh_proxy",
	} {
		t.Run("mode "+mode, func(t *testing.T) {
			transport := always(200, `{"success":true,"new_contract":5}`)
			rent := testRent()
			rent.LaunchMode = mode
			rent.Ports = []int{8188, 1111}
			if _, err := newTestClient(t, transport).Rent(t.Context(), rent); err != nil {
				t.Fatal(err)
			}
			sent := transport.calls()[0]
			if sent.Method != http.MethodPut || sent.Path != "/api/v0/asks/1001/" {
				t.Errorf("request = %s %s", sent.Method, sent.Path)
			}
			want := map[string]any{
				"client_id": "me", "image": "vastai/comfy:v1", "price": nil, "disk": 40.0, "label": rent.Label,
				"onstart": "entrypoint.sh", "runtype": runType, "cancel_unavail": true, "target_state": "running",
				"env": map[string]any{"WEB_PASSWORD": "verySecretPassword1", "-p 8188:8188": "1", "-p 1111:1111": "1"},
			}
			if diff := cmp.Diff(want, fields(t, sent.Body)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}

func TestARentThatMakesNoSenseIsNotSent(t *testing.T) {
	for name, change := range map[string]func(*fleet.RentRequest){
		"no offer":         func(r *fleet.RentRequest) { r.OfferID = 0 },
		"no label":         func(r *fleet.RentRequest) { r.Label = "" },
		"unknown mode":     func(r *fleet.RentRequest) { r.LaunchMode = "vnc" },
		"flag as variable": func(r *fleet.RentRequest) { r.Env = map[string]string{"-v /:/host": "1"} },
		"blank in a name":  func(r *fleet.RentRequest) { r.Env = map[string]string{"A B": "1"} },
		"empty name":       func(r *fleet.RentRequest) { r.Env = map[string]string{"": "1"} },
	} {
		t.Run(name, func(t *testing.T) {
			transport := always(200, `{"success":true,"new_contract":5}`)
			rent := testRent()
			change(&rent)
			_, err := newTestClient(t, transport).Rent(t.Context(), rent)
			if failure := providerError(t, err); failure.Kind != fleet.KindNotSent || !failure.Definite || len(transport.calls()) != 0 {
				t.Errorf("error = %v, %d calls", failure, len(transport.calls()))
			}
		})
	}
}

func TestManagingCalls(t *testing.T) {
	type sent struct{ Method, Path, Body string }
	for name, test := range map[string]struct {
		do   func(context.Context, *Client) error
		want sent
	}{
		"destroy": {
			func(ctx context.Context, c *Client) error { return c.DestroyRental(ctx, 9) },
			sent{"DELETE", "/api/v0/instances/9/", `{}`},
		},
		"stop": {
			func(ctx context.Context, c *Client) error { return c.StopRental(ctx, 9) },
			sent{"PUT", "/api/v0/instances/9/", `{"state":"stopped"}`},
		},
		"start": {
			func(ctx context.Context, c *Client) error { return c.StartRental(ctx, 9) },
			sent{"PUT", "/api/v0/instances/9/", `{"state":"running"}`},
		},
		"label": {
			func(ctx context.Context, c *Client) error { return c.SetLabel(ctx, 9, "a.b") },
			sent{"PUT", "/api/v0/instances/9/", `{"label":"a.b"}`},
		},
		"attach": {
			func(ctx context.Context, c *Client) error { return c.AttachSSHKey(ctx, 9, "ssh-ed25519 A") },
			sent{"POST", "/api/v0/instances/9/ssh/", `{"ssh_key":"ssh-ed25519 A"}`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			transport := always(200, `{"success":true}`)
			if err := test.do(t.Context(), newTestClient(t, transport)); err != nil {
				t.Fatal(err)
			}
			call := transport.calls()[0]
			if diff := cmp.Diff(test.want, sent{call.Method, call.Path, call.Body}); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSearchAsksForWhatTheQuerySays(t *testing.T) {
	base := map[string]any{
		"rentable": map[string]any{"eq": true}, "rented": map[string]any{"eq": false}, "external": map[string]any{"eq": false},
		"verified": map[string]any{"in": []any{true, false}}, "disk_space": map[string]any{"gte": 40.0},
		"order": []any{[]any{"dph_total", "asc"}}, "type": "on-demand", "limit": 64.0, "allocated_storage": 40.0,
	}
	for name, test := range map[string]struct {
		query fleet.OfferQuery
		want  map[string]any
	}{
		"nothing special": {fleet.OfferQuery{DiskGB: 40}, map[string]any{}},
		"one gpu name":    {fleet.OfferQuery{DiskGB: 40, GPUNames: []string{"RTX 4090"}}, map[string]any{"gpu_name": map[string]any{"eq": "RTX 4090"}}},
		"everything": {
			fleet.OfferQuery{
				GPUNames: []string{"RTX 4090", "A100 PCIE"}, MinGPUs: 1, MaxGPUs: 2, MinGPUMemoryMB: 20000, DiskGB: 40,
				MinCPUCores: 4, MinMemoryMB: 16000, MinDownloadMbps: 500, MinUploadMbps: 50, MinDirectPorts: 2,
				MinCUDAVersionCenti: 1280, MinComputeCapabilityCenti: 890, MinReliabilityPPM: 975500, VerifiedOnly: true,
				DatacenterOnly: true, MinRemainingSeconds: 86400, IncludeCountries: []string{"SE", "NO"},
				ExcludeCountries: []string{"CN"}, MaxDownloadUSDPerTB: 2_500_000, MaxUploadUSDPerTB: 1,
				Extra: []fleet.ExtraFilter{
					{Key: "cpu_arch", Operator: "eq", Values: []string{"amd64"}},
					{Key: "pci_gen", Operator: "gte", Values: []string{"4.5"}},
					{Key: "gpu_display_active", Operator: "eq", Values: []string{"false"}},
					{Key: "machine_id", Operator: "notin", Values: []string{"5", "6"}},
					{Key: "driver_version", Operator: "eq", Values: []string{"535.86.05"}},
				},
				Order: fleet.OrderPerformancePerPrice,
			},
			map[string]any{
				"gpu_name": map[string]any{"in": []any{"RTX 4090", "A100 PCIE"}}, "num_gpus": map[string]any{"gte": 1.0, "lte": 2.0},
				"gpu_ram": map[string]any{"gte": 20000.0}, "cpu_cores_effective": map[string]any{"gte": 4.0},
				"cpu_ram": map[string]any{"gte": 16000.0}, "inet_down": map[string]any{"gte": 500.0}, "inet_up": map[string]any{"gte": 50.0},
				"direct_port_count": map[string]any{"gte": 2.0}, "cuda_max_good": map[string]any{"gte": 12.8},
				"compute_cap": map[string]any{"gte": 890.0}, "reliability2": map[string]any{"gte": 0.9755},
				"verified": map[string]any{"eq": true}, "hosting_type": map[string]any{"gte": 1.0}, "duration": map[string]any{"gte": 86400.0},
				"geolocation":    map[string]any{"in": []any{"SE", "NO"}, "notin": []any{"CN"}},
				"inet_down_cost": map[string]any{"lte": 0.0025}, "inet_up_cost": map[string]any{"lte": 0.000000001},
				"cpu_arch": map[string]any{"eq": "amd64"}, "pci_gen": map[string]any{"gte": 4.5},
				"gpu_display_active": map[string]any{"eq": false}, "machine_id": map[string]any{"notin": []any{5.0, 6.0}},
				"driver_version": map[string]any{"eq": "535.86.05"},
				"order":          []any{[]any{"dlperf_per_dphtotal", "desc"}},
			},
		},
		"by score": {fleet.OfferQuery{DiskGB: 40, Order: fleet.OrderScore}, map[string]any{"order": []any{[]any{"score", "desc"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			transport := always(200, `{"offers":[]}`)
			offers, err := newTestClient(t, transport).SearchOffers(t.Context(), test.query)
			if err != nil || offers == nil || len(offers) != 0 {
				t.Fatalf("SearchOffers() = %v, %v", offers, err)
			}
			want := map[string]any{}
			maps.Copy(want, base)
			maps.Copy(want, test.want)
			sent := transport.calls()[0]
			if diff := cmp.Diff(want, fields(t, sent.Body)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			if sent.Method != http.MethodPost || sent.Path != "/api/v0/bundles/" {
				t.Errorf("request = %s %s", sent.Method, sent.Path)
			}
		})
	}
}

func TestAFilterOnAControlKeyIsNotSent(t *testing.T) {
	transport := always(200, `{"offers":[]}`)
	query := fleet.OfferQuery{DiskGB: 8, Extra: []fleet.ExtraFilter{{Key: "type", Operator: "eq", Values: []string{"bid"}}}}
	_, err := newTestClient(t, transport).SearchOffers(t.Context(), query)
	if fleet.KindOf(err) != fleet.KindNotSent || len(transport.calls()) != 0 {
		t.Errorf("error = %v, %d calls", err, len(transport.calls()))
	}
}

func TestSearchLeavesOutWhatItCannotRead(t *testing.T) {
	body := `{"offers":[{"id":1,"machine_id":2,"dph_total":"0.5","rentable":true},{"id":1,"machine_id":2,"dph_total":0.5},` +
		`{"id":3,"machine_id":2},{"machine_id":4,"dph_total":1},{"id":5,"dph_total":1},{"id":6,"machine_id":1,"dph_total":-1},` +
		`{"ask_contract_id":7,"machine_id":1,"dph_total":1}]}`
	offers, err := newTestClient(t, always(200, body)).SearchOffers(t.Context(), fleet.OfferQuery{DiskGB: 8})
	want := []fleet.Offer{
		{ID: 1, MachineID: 2, PriceUSDPerHour: 500_000, Rentable: true}, {ID: 7, MachineID: 1, PriceUSDPerHour: 1_000_000},
	}
	if diff := cmp.Diff(want, offers); diff != "" || err != nil {
		t.Errorf("err %v, offers (-want +got):\n%s", err, diff)
	}
	_, err = newTestClient(t, always(200, `{"offers":[{"a":1}]}`)).SearchOffers(t.Context(), fleet.OfferQuery{DiskGB: 8})
	if fleet.KindOf(err) != fleet.KindInvalidResponse {
		t.Errorf("an answer of which nothing can be read: %v", err)
	}
}

func TestAccountCalls(t *testing.T) {
	t.Run("user", func(t *testing.T) {
		body := `{"id":42,"credit":12.3456789,"balance":-3,"api_key":"` + testKey + `"}`
		user, err := newTestClient(t, always(200, body)).CurrentUser(t.Context())
		if diff := cmp.Diff(fleet.User{ID: 42, BalanceUSD: 12_345_678}, user); diff != "" || err != nil {
			t.Errorf("err %v, user (-want +got):\n%s", err, diff)
		}
	})
	t.Run("charges", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			transport := sequence(
				`{"success":true,"next_token":"n","results":[{"start":1700000000,"end":1700003600.5,"type":"instance","source":"instance-77","amount":"0.1234567","metadata":{"label":"wp1.x"}}]}`,
				`{"success":true,"next_token":null,"results":[{"type":"volume","source":"volume-3","amount":1,"metadata":null}]}`)
			charges, err := newTestClient(t, transport).Charges(t.Context(), time.Unix(100, 0), time.Unix(200, 0))
			want := []fleet.Charge{
				{
					RentalID: 77, Kind: "instance", Label: "wp1.x", AmountUSD: 123_457,
					StartedAt: time.Unix(1700000000, 0).UTC(), EndedAt: time.UnixMilli(1700003600500).UTC(),
				},
				{Kind: "volume", AmountUSD: 1_000_000},
			}
			if diff := cmp.Diff(want, charges); diff != "" || err != nil {
				t.Errorf("err %v, charges (-want +got):\n%s", err, diff)
			}
		})
	})
	t.Run("charges repeat", func(t *testing.T) {
		body := `{"next_token":"n","results":[]}`
		_, err := newTestClient(t, always(200, body), withoutLimits).Charges(t.Context(), time.Unix(1, 0), time.Unix(2, 0))
		if fleet.KindOf(err) != fleet.KindInvalidResponse {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("price increases", func(t *testing.T) {
		body := `{"success":true,"count":1,"pending_price_increases":[{"pending_price_increase_id":9,"contract_id":77,"host_id":3,` +
			`"old_gpu_costpersec":0.0001,"new_gpu_costpersec":1.0000000001e-4,"contract_end_date":1700000000.0,"ask_end_date":null}]}`
		increases, err := newTestClient(t, always(200, body)).PendingPriceIncreases(t.Context())
		want := []fleet.PriceIncrease{{
			ID: 9, RentalID: 77, HostID: 3, OldGPUUSDPerHour: 360_000, NewGPUUSDPerHour: 360_001,
			ContractEndsAt: time.Unix(1700000000, 0).UTC(),
		}}
		if diff := cmp.Diff(want, increases); diff != "" || err != nil {
			t.Errorf("err %v, increases (-want +got):\n%s", err, diff)
		}
	})
	t.Run("ssh keys", func(t *testing.T) {
		body := `[{"id":1,"key":"ssh-ed25519 A\n"},{"id":2,"public_key":"ssh-ed25519 B","deleted_at":1700000000.5}]`
		keys, err := newTestClient(t, always(200, body)).SSHKeys(t.Context())
		if diff := cmp.Diff([]fleet.SSHKey{{ID: 1, PublicKey: "ssh-ed25519 A"}}, keys); diff != "" || err != nil {
			t.Errorf("err %v, keys (-want +got):\n%s", err, diff)
		}
	})
	t.Run("no ssh keys", func(t *testing.T) {
		keys, err := newTestClient(t, always(404, `{"success":false,"error":"no_ssh_keys"}`)).SSHKeys(t.Context())
		if err != nil || len(keys) != 0 {
			t.Errorf("SSHKeys() = %v, %v", keys, err)
		}
	})
	t.Run("ssh keys with a wrong key", func(t *testing.T) {
		if _, err := newTestClient(t, always(404, wrongKey)).SSHKeys(t.Context()); fleet.KindOf(err) != fleet.KindUnauthorized {
			t.Errorf("error = %v", err)
		}
	})
	t.Run("add ssh key", func(t *testing.T) {
		body := `{"success":true,"key":{"id":5,"user_id":1,"public_key":"ssh-ed25519 A","created_at":1}}`
		key, err := newTestClient(t, always(200, body)).AddSSHKey(t.Context(), "ssh-ed25519 A")
		if key.ID != 5 || err != nil {
			t.Errorf("AddSSHKey() = %+v, %v", key, err)
		}
	})
}
