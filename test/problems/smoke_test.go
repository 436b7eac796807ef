package problems

import (
	"testing"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// TestAQuietLifeOfAPool shows that the stage works: without any trouble a pool
// fills, and ends without a trace.
func TestAQuietLifeOfAPool(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	w.newPool(3, 2)
	w.settle(2)
	if live := w.live(); len(live) != 2 {
		t.Fatalf("%d rentals live, want 2", len(live))
	}
	w.remove(&warmpool.WarmPool{}, "sdxl")
	w.pass(8 * pollPeriod)
	if left := w.instances(); len(left) != 0 || len(w.live()) != 0 || w.exists(&warmpool.WarmPool{}, "sdxl") {
		w.dump()
		t.Fatalf("%d objects and %d rentals are left", len(left), len(w.live()))
	}
}
