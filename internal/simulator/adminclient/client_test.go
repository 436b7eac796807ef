package adminclient_test

import (
	"strings"
	"testing"

	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/internal/simulator/adminclient"
)

func TestCall(t *testing.T) {
	server, err := simulator.Start(t.Context(), simulator.Config{Market: simulator.Market{Offers: []simulator.OfferSpec{{}}}, Backend: simulator.NoBackend()})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	admin := adminclient.New(server.AdminURL())
	var fault simulator.Fault
	if err = admin.Call(t.Context(), "POST", "/faults", simulator.FaultSpec{Name: simulator.FaultHTML}, &fault); err != nil || fault.ID == 0 {
		t.Errorf("setting a fault: %+v, %v", fault, err)
	}
	if err = admin.Call(t.Context(), "DELETE", "/faults", nil, nil); err != nil || len(server.Faults()) != 0 {
		t.Errorf("removing all faults left %v: %v", server.Faults(), err)
	}
	for path, want := range map[string]string{"/faults": "refused: unknown fault", "/nowhere": "answered 404"} {
		if err = admin.Call(t.Context(), "POST", path, simulator.FaultSpec{Name: "storm"}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("POST %s: got %v, want an error that says %q", path, err, want)
		}
	}
}
