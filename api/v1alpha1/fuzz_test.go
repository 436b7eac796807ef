package v1alpha1_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// FuzzRoundTrip reads any JSON into every kind, and writes it again: what was
// understood stays, and a deep copy is equal and shares nothing.
func FuzzRoundTrip(f *testing.F) {
	for _, seed := range []string{
		`{"metadata":{"name":"sdxl","namespace":"gpu"},"spec":{"replicas":2,"cost":{"ceilingUSDPerHour":"1.50","maxInstanceUSDPerHour":"0.75"},"offers":{"gpuNames":["RTX 4090"],"minGPUMemoryMB":24000,"extra":[{"key":"cpu_arch","operator":"Eq","values":["amd64"]}]},"template":{"image":"a","env":[{"name":"A","value":""},{"name":"B","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}}]}}}`,
		`{"spec":{"credentialsSecretRef":{"name":"vast","key":"api-key"},"ceilingUSDPerHour":"6","minBalanceUSD":"5","runwaySeconds":0,"leakPolicy":{"action":"Report"}},"status":{"balanceUSD":"-1.25","suspectedLeaks":[{"rentalID":7,"firstSeenTime":"2026-11-23T12:00:00Z"}]}}`,
		`{"spec":{"poolRef":{"name":"sdxl"},"claimRef":{"name":"c","uid":"u"}},"status":{"attempts":[{"number":1,"startedTime":"2026-11-23T12:00:00Z","outcome":"Pending","quotedUSDPerHour":"0.40"}],"rental":{"id":77},"price":{"currentUSDPerHour":"0.41"},"conditions":[{"type":"Ready","status":"True"}]}}`,
		`{"spec":{"replicas":null},"status":null}`, `{"status":{"attempts":[]}}`, `{}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		roundTrip(t, text, &warmpool.WarmPool{}, &warmpool.WarmPool{})
		roundTrip(t, text, &warmpool.WarmInstance{}, &warmpool.WarmInstance{})
		roundTrip(t, text, &warmpool.VastAccount{}, &warmpool.VastAccount{})
	})
}

// roundTrip reads the text into first, and what that writes into second.
func roundTrip(t *testing.T, text string, first, second runtime.Object) {
	t.Helper()
	if json.Unmarshal([]byte(text), first) != nil {
		return
	}
	once, err := json.Marshal(first)
	if err != nil {
		t.Fatalf("%T: %v", first, err)
	}
	if err = json.Unmarshal(once, second); err != nil {
		t.Fatalf("%T cannot read what it writes, %s: %v", first, once, err)
	}
	// An empty list is written as no list, and means the same.
	if !equality.Semantic.DeepEqual(first, second) {
		t.Errorf("%T writes\n%s\nand reads something else from it", first, once)
	}
	if copied := first.DeepCopyObject(); !reflect.DeepEqual(copied, first) {
		t.Errorf("%T: its copy differs", first)
	}
}
