package comfysim

import (
	"net"
	"runtime"
	"testing"
	"time"
)

// TestManyIdleInstancesAreCheap counts what an instance costs that boots, listens on two ports and is not used.
func TestManyIdleInstancesAreCheap(t *testing.T) {
	const many = 200
	clk := newStepClock()
	goroutines := runtime.NumGoroutine()
	heap := heapBytes()
	instances := make([]*Instance, 0, many)
	t.Cleanup(func() {
		for _, inst := range instances {
			inst.Stop()
		}
	})
	listening := make(chan struct{}, 2*many)
	listen := func() (net.Listener, error) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		listening <- struct{}{}
		return ln, err
	}
	for seed := range uint64(many) {
		inst, err := New(Config{
			ListenComfy: listen, ListenPortal: listen, Env: standardEnv(), Clock: clk, Seed: seed, Timings: quickTimings(),
		})
		if err != nil {
			t.Fatal(err)
		}
		instances = append(instances, inst)
	}
	for range 20 {
		clk.step(10 * time.Second)
	}
	for range 2 * many {
		<-listening
	}
	for _, inst := range instances {
		inst.Logs(1) // somebody looks: ComfyUI has started
	}
	if perInstance := float64(runtime.NumGoroutine()-goroutines) / many; perInstance > 2 {
		t.Errorf("%.2f goroutines an instance, want the two accept loops", perInstance)
	}
	if perInstance := (heapBytes() - heap) / many; perInstance > 64<<10 {
		t.Errorf("%d bytes of heap an instance", perInstance)
	} else {
		t.Logf("%d bytes of heap an instance", perInstance)
	}
}

func heapBytes() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
