package simulator

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestScale runs 2,000 rentals with two listening ports each in one process, and
// proves that the simulator itself keeps no goroutine per rental.
func TestScale(t *testing.T) {
	const rentals = 2000
	s := startSim(t, func(c *Config) { c.Market.Offers = manyOffers(rentals) })
	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for worker := range int64(4) {
		wg.Go(func() {
			for offer := worker + 1; offer <= rentals; offer += 4 {
				s.do("PUT", "/api/v0/asks/"+asText(offer)+"/", `{"image":"x","disk":10,"env":{"-p 8188:8188":"1","-p 1111:1111":"1"}}`)
			}
		})
	}
	wg.Wait()
	s.step(readyAfter)
	all, pages := s.readAll(25)
	if len(all) != rentals || pages != rentals/25 {
		t.Errorf("%d rentals on %d pages", len(all), pages)
	}
	if grown := runtime.NumGoroutine() - before; grown > 50 {
		t.Errorf("%d more goroutines for %d rentals", grown, rentals)
	}
	s.step(time.Hour)
	if m := s.Meter(); len(m.Live("")) != rentals {
		t.Errorf("%d live", len(m.Live("")))
	}
}
