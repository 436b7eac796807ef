package simulate

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestClockStepMovesTheWallAlone: setting the wall clock must not move what is
// measured between two readings of one process.
func TestClockStepMovesTheWallAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &steppedClock{started: time.Now()}
		before := clock.Now()
		time.Sleep(90 * time.Second)
		clock.stepSeconds.Store(-300)
		after := clock.Now()
		if passed := after.Sub(before); passed != 90*time.Second {
			t.Errorf("%s passed by the monotonic clock", passed)
		}
		if passed := after.Round(0).Sub(before.Round(0)); passed != -210*time.Second {
			t.Errorf("%s passed on the wall", passed)
		}
		if want := time.Now().Add(-300 * time.Second); !after.Equal(want) {
			t.Errorf("the wall shows %s, not %s", after, want)
		}
		if passed := clock.Since(before); passed != 90*time.Second {
			t.Errorf("%s since then", passed)
		}
	})
}
