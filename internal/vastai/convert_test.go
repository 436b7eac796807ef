package vastai

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

// recorded returns the recorded offers of one file.
func recorded(t *testing.T, name string) []byte {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestEveryRecordedOfferIsUnderstood(t *testing.T) {
	total := 0
	for _, name := range []string{"vast-offers-20260303T1625Z.json.gz", "vast-offers-20260303T1640Z.json.gz"} {
		data := recorded(t, name)
		var rows []schema.Offer
		if err := json.Unmarshal(data, &rows); err != nil {
			t.Fatal(err)
		}
		var raw []map[string]json.RawMessage
		if err := json.Unmarshal(data, &raw); err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			offer, err := offerFromSchema(&rows[i])
			if err != nil {
				t.Fatalf("%s, row %d: %v", name, i, err)
			}
			checkOffer(t, &offer, raw[i])
			checkRoundTrip(t, &rows[i], raw[i])
			total++
		}
	}
	if total < 400 {
		t.Errorf("only %d recorded offers", total)
	}
}

// checkOffer compares a conversion with the digits of the recording.
func checkOffer(t *testing.T, offer *fleet.Offer, raw map[string]json.RawMessage) {
	t.Helper()
	price, err := fleet.ParseUSD(string(raw["dph_total"]))
	if err != nil || offer.PriceUSDPerHour != price || price <= 0 {
		t.Errorf("offer %d: price %s of %s", offer.ID, offer.PriceUSDPerHour, raw["dph_total"])
	}
	if offer.GPUs < 1 || offer.GPUName == "" || offer.GPUMemoryMB < 1000 || offer.DiskGB < 1 || offer.HostID < 1 ||
		offer.RemainingSeconds < 1 || offer.StorageUSDPerHour < 1 || offer.StorageUSDPerHour >= price {
		t.Errorf("offer %d is incomplete: %+v", offer.ID, offer)
	}
	if offer.ReliabilityPPM < 0 || offer.ReliabilityPPM > 1_000_000 {
		t.Errorf("offer %d: reliability %d", offer.ID, offer.ReliabilityPPM)
	}
	switch offer.Verification {
	case "verified", "unverified", "deverified":
	default:
		t.Errorf("offer %d: verification %q", offer.ID, offer.Verification)
	}
	if string(raw["rentable"]) != map[bool]string{true: "true", false: "false"}[offer.Rentable] {
		t.Errorf("offer %d: rentable %t of %s", offer.ID, offer.Rentable, raw["rentable"])
	}
}

// checkRoundTrip proves that no key, digit or null of a row is lost.
func checkRoundTrip(t *testing.T, row *schema.Offer, raw map[string]json.RawMessage) {
	t.Helper()
	encoded, err := json.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	var again map[string]json.RawMessage
	if err := json.Unmarshal(encoded, &again); err != nil {
		t.Fatal(err)
	}
	for key, want := range raw {
		got := string(again[key])
		if got == string(want) || (got == "null" && string(want) == `""`) {
			continue
		}
		t.Errorf("%s = %s, want %s", key, got, want)
	}
	if len(again) != len(raw) {
		t.Errorf("%d keys became %d", len(raw), len(again))
	}
}

func TestOfferConversion(t *testing.T) {
	row := `{"id":1001,"machine_id":77,"host_id":8,"gpu_name":"RTX_4090","num_gpus":2,"gpu_ram":24564,"cpu_cores_effective":10.6667,
		"cpu_ram":"64000","disk_space":499.99,"inet_down":812.4,"inet_up":799.9,"inet_down_cost":0.0026041666666666665,"inet_up_cost":2e-6,
		"direct_port_count":100,"cuda_max_good":12.8,"compute_cap":890,"reliability2":0.99999999,"verification":"verified",
		"hosting_type":1,"static_ip":1,"geolocation":", US","dph_total":0.34830001,"storage_total_cost":0.0083,"dlperf":90.0019,
		"score":300.25,"duration":864000.9,"rentable":true}`
	var decoded schema.Offer
	if err := json.Unmarshal([]byte(row), &decoded); err != nil {
		t.Fatal(err)
	}
	got, err := offerFromSchema(&decoded)
	want := fleet.Offer{
		ID: 1001, MachineID: 77, HostID: 8, GPUName: "RTX 4090", GPUs: 2, GPUMemoryMB: 24564, CPUCoresMilli: 10666,
		MemoryMB: 64000, DiskGB: 499, DownloadMbps: 812, UploadMbps: 799, DownloadUSDPerTB: 2_604_167, UploadUSDPerTB: 2_000,
		DirectPorts: 100, CUDAVersionCenti: 1280, ComputeCapabilityCenti: 890, ReliabilityPPM: 999_999,
		Verification: "verified", Datacenter: true, StaticIP: true, CountryCode: "US", PriceUSDPerHour: 348_301,
		StorageUSDPerHour: 8_300, PerformanceMilli: 90_001, ScoreMilli: 300_250, RemainingSeconds: 864_000, Rentable: true,
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("err %v, offer (-want +got):\n%s", err, diff)
	}
}

func TestRentalConversion(t *testing.T) {
	redactor := newRedactor(testKey)
	for name, test := range map[string]struct {
		row  string
		want fleet.Rental
	}{
		"running": {
			`{"id":9000,"machine_id":77,"host_id":8,"actual_status":"running","cur_state":"running","next_state":"running",
			"intended_status":"running","status_msg":"success, running vastai_comfy/ssh\n","label":"pool-a","num_gpus":1,
			"gpu_name":"RTX 4090","ssh_host":"ssh5.vast.ai","ssh_port":20000,"public_ipaddr":" 192.0.2.4\n","ports":
			{"22/tcp":[{"HostIp":"0.0.0.0","HostPort":"40022"}],"53/udp":[{"HostIp":"0.0.0.0","HostPort":"40053"}],
			"8188/tcp":[{"HostIp":"::","HostPort":"40999"},{"HostIp":"0.0.0.0","HostPort":"40123"}]},"dph_total":0.3483,
			"storage_total_cost":0.00833333333,"start_date":1795390000.5,"end_date":1800000000,"geolocation":"Sweden, SE",
			"extra_env":[["A","b"]],"os_version":22.04}`,
			fleet.Rental{
				ID: 9000, MachineID: 77, HostID: 8, ActualStatus: fleet.StatusRunning, IntendedStatus: "running",
				CurrentState: "running", NextState: "running", StatusMessage: "success, running vastai_comfy/ssh", Label: "pool-a",
				GPUs: 1, GPUName: "RTX 4090", SSHHost: "ssh5.vast.ai", SSHPort: 20000, PublicIP: "192.0.2.4",
				Ports: map[int]int{22: 40022, 8188: 40123}, PriceUSDPerHour: 348_300, StorageUSDPerHour: 8_334,
				StartedAt: time.UnixMilli(1795390000500).UTC(), EndsAt: time.Unix(1800000000, 0).UTC(), Geolocation: "Sweden, SE",
			},
		},
		"just created": {
			`{"id":"9001","actual_status":null,"label":null,"ports":null,"dph_total":"1.5","start_date":null,"end_date":null}`,
			fleet.Rental{ID: 9001, PriceUSDPerHour: 1_500_000},
		},
		"ports as a list, price in the breakdown": {
			`{"id":9002,"ports":[8080,8081],"search":{"totalHour":0.25}}`,
			fleet.Rental{ID: 9002, PriceUSDPerHour: 250_000},
		},
		"a price below a micro-dollar": {`{"id":9003,"dph_total":1e-9}`, fleet.Rental{ID: 9003, PriceUSDPerHour: 1}},
		"odd shapes where it does not matter": {
			`{"id":9004,"dph_total":0,"gpu_temp":{"a":1},"extra_env":"none","search":[],"static_ip":"yes","volume_info":7}`,
			fleet.Rental{ID: 9004},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var row schema.Instance
			if err := json.Unmarshal([]byte(test.row), &row); err != nil {
				t.Fatal(err)
			}
			got, err := rentalFromSchema(&row, redactor)
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("err %v, rental (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestCountryCodes(t *testing.T) {
	for geolocation, want := range map[string]string{
		"Sweden, SE": "SE", ", US": "US", "US": "US", "Norway": "", "": "", "Texas, us ": "US", "A, B, NL": "NL", "x, U5": "",
	} {
		if got := countryCode(geolocation); got != want {
			t.Errorf("countryCode(%q) = %q, want %q", geolocation, got, want)
		}
	}
}

// FuzzAnswers feeds arbitrary bodies to everything that reads answers.
func FuzzAnswers(f *testing.F) {
	for _, test := range rentVerdicts() {
		f.Add(test.status, test.body)
	}
	f.Add(200, page(1, "", 1))
	f.Add(200, `{"instances":[{"id":1,"dph_total":1e400,"start_date":1e300,"ports":{"1/tcp":[{}]}}],"total_instances":1e9}`)
	f.Add(200, `{"offers":[{"id":1,"machine_id":1,"dph_total":"1e-7","inet_down_cost":"-5e3"}]}`)
	f.Add(429, "Retry-After")
	redactor := newRedactor(testKey)
	f.Fuzz(func(t *testing.T, status int, body string) {
		answer := &reply{status: status, body: []byte(body)}
		rent := &call{endpoint: EndpointRent, operation: "rent", explicit: true}
		if failure := classify(rent, answer); failure != nil {
			if failure.Definite && (failure.RentalID != 0 || status >= 500) {
				t.Errorf("definite, with rental %d and status %d", failure.RentalID, status)
			}
			if failure.Kind == "" {
				t.Error("a failure without a kind")
			}
			if text := redactor.message(failure.Message+testKey, nil); strings.Contains(text, testKey) || len([]rune(text)) > maxMessage+1 {
				t.Errorf("message %q", text)
			}
		} else if status != 200 && (status < 200 || status > 299) {
			t.Errorf("status %d is a success", status)
		}
		retryAfter(answer, time.Unix(0, 0))
		var list schema.InstanceList
		if json.Unmarshal([]byte(body), &list) == nil {
			for i := range list.Instances {
				rental, err := rentalFromSchema(&list.Instances[i], redactor)
				if err == nil && (rental.ID <= 0 || rental.PriceUSDPerHour < 0) {
					t.Errorf("rental %+v", rental)
				}
			}
		}
		var offers schema.OfferList
		if json.Unmarshal([]byte(body), &offers) == nil {
			for i := range offers.Offers {
				offer, err := offerFromSchema(&offers.Offers[i])
				if err == nil && (offer.ID <= 0 || offer.MachineID <= 0 || offer.PriceUSDPerHour < 0) {
					t.Errorf("offer %+v", offer)
				}
			}
		}
	})
}
