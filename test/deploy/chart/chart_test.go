package chart

import (
	"testing"

	"github.com/warmpool-dev/warmpool/test/deploy/internal/render"
)

func TestX(t *testing.T) {
	r, err := render.Chart(render.Options{Values: `
account: {create: true, spec: {ceilingUSDPerHour: "6.00"}}
credentials: {create: true, data: {VASTAI_API_KEY: x}}
pools: {sdxl: {replicas: 2, cost: {ceilingUSDPerHour: "1.50"}}}
sidecar: {enabled: true, pool: sdxl}
audit: {storage: PersistentClaim}
monitoring: {serviceMonitor: {enabled: true}, dashboard: {enabled: true}}
`})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range r.Objects {
		t.Log(render.Key(o))
	}
	t.Log(r.Notes)
}
