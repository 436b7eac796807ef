package legacyapi

import (
	"errors"
	"sync"
	"testing"
)

// TestThoseWhoComeAtTheSameTimeShareAReading: nobody gets one that began before he
// asked, and there is never more than one under way.
func TestThoseWhoComeAtTheSameTimeShareAReading(t *testing.T) {
	var r readings
	begun, goOn := make(chan int), make(chan struct{})
	count := 0
	look := func() (*state, error) {
		count++
		begun <- count
		<-goOn
		if count == 2 {
			return nil, errors.New("nobody answers")
		}
		return &state{}, nil
	}
	first := r.join(look)
	<-begun
	// The first has begun: these ask too late for it, and share the second.
	const newcomers = 200
	joined := make([]*reading, newcomers)
	var group sync.WaitGroup
	for k := range joined {
		group.Go(func() { joined[k] = r.join(look) })
	}
	group.Wait()
	goOn <- struct{}{}
	<-first.done
	if first.state == nil || first.err != nil {
		t.Errorf("the first reading gave %v, %v", first.state, first.err)
	}
	<-begun
	for _, other := range joined {
		if other != joined[0] || other == first {
			t.Fatal("those who came at the same time do not share the next reading")
		}
	}
	goOn <- struct{}{}
	<-joined[0].done
	if joined[0].state != nil || joined[0].err == nil {
		t.Errorf("the second reading gave %v, %v", joined[0].state, joined[0].err)
	}
	// Nobody waits, so nobody reads; whoever comes now begins another one.
	third := r.join(look)
	if number := <-begun; number != 3 {
		t.Errorf("%d readings", number)
	}
	goOn <- struct{}{}
	<-third.done
}
