package integration

import (
	"testing"

	"github.com/onsi/gomega"
)

func TestPoolBecomesReadyScalesAndEnds(t *testing.T) {
	w := newWorld(t, nil)
	w.create(account(nil)...)
	w.create(pool(2, "1.50"))
	w.waitReady(2)
	answer, message := condition(w.get().Status.Conditions, "Ready")
	w.Expect(answer).To(gomega.HavePrefix("True/"), message)
	w.deletePool()
	meter := w.vast.Meter()
	w.Expect(meter.Live("")).To(gomega.BeEmpty())
}
