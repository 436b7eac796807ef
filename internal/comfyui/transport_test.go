package comfyui_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/warmpool-dev/warmpool/internal/comfyui"
	"github.com/warmpool-dev/warmpool/internal/fleet"
)

func TestTransportTrustsThePinnedCertificateOnly(t *testing.T) {
	asked := 0
	front := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer front.Close()
	right := comfyui.Fingerprint(front.Certificate().Raw)
	for name, test := range map[string]struct {
		config  comfyui.TLSConfig
		reaches bool
	}{
		"the pinned one": {comfyui.TLSConfig{Mode: comfyui.TLSPinned, PinnedSHA256: right}, true},
		"another one":    {comfyui.TLSConfig{Mode: comfyui.TLSPinned, PinnedSHA256: "ab" + right[2:]}, false},
		"an empty CA":    {comfyui.TLSConfig{Mode: comfyui.TLSCA}, false},
	} {
		t.Run(name, func(t *testing.T) {
			transport, err := comfyui.NewTransport(test.config, time.Now)
			if err != nil {
				t.Fatal(err)
			}
			defer transport.CloseIdleConnections()
			before, request := asked, httptest.NewRequestWithContext(t.Context(), http.MethodGet, front.URL, http.NoBody)
			response, err := transport.RoundTrip(request)
			if err == nil {
				_, err = io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
			if (err == nil) != test.reaches || (asked > before) != test.reaches {
				t.Fatalf("reached %v, error %v", asked > before, err)
			}
			if !test.reaches && comfyui.SignalOf(err) != fleet.SignalCertificateUntrusted {
				t.Errorf("the error does not say that the certificate is not trusted: %v", err)
			}
		})
	}
}

func TestTransportNeedsAPin(t *testing.T) {
	if _, err := comfyui.NewTransport(comfyui.TLSConfig{Mode: comfyui.TLSPinned, PinnedSHA256: " "}, time.Now); err == nil {
		t.Error("a transport without a pin would give the password to whoever answers")
	}
}
