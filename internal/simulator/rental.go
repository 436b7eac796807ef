package simulator

import (
	"math/rand/v2"
	"slices"
	"time"
)

// The values of "actual_status" and of the contract states.
const (
	stateCreated   = "created"
	stateLoading   = "loading"
	stateRunning   = "running"
	stateStopped   = "stopped"
	stateExited    = "exited"
	stateRebooting = "rebooting"
	stateRecycling = "recycling"
	stateOffline   = "offline"
	statePending   = "pending" // the meter's name for a null status
	endDestroyed   = "destroyed"
	endExpired     = "expired"
	endVanished    = "vanished"
	pullSteps      = 4
)

// rental is one contract. Lock of the world held throughout.
type rental struct {
	id      int64
	account *account
	record  *RentalRecord
	machine *machine
	row     map[string]any // the recorded row of the slice
	gpus    []int          // nil while the GPUs are given back
	size    int
	order   createOrder
	label   *string

	actual                       *string
	intended, current, next      string
	statusMsg                    *string
	startDate, endDate           time.Time
	gpuRate, storageRate         int64 // micro-dollars per hour, each when billed
	dphBase, dphTotal, dphDisk   float64
	showAddress, showPorts       bool
	goneAt                       time.Time // when reads stop showing it; zero while it lives
	hiddenUntil                  time.Time // reads do not show it before: a lagging read path
	draws                        *rand.Rand
	seed                         uint64
	epoch                        int // makes scheduled steps of another life void
	boots                        int
	wantsStart                   bool // a start is queued until GPUs are free
	container                    *container
	onlineAgain                  func()
	jupyterToken, instanceAPIKey string
	// faults of the life, decided when it begins
	stuckAt     string
	bootError   string
	badAddress  bool
	comfyFaults []BackendFault
	sshKeys     []int64
}

// later schedules a step of the rental's present life.
func (w *world) later(r *rental, d time.Duration, step func()) {
	epochThen := r.epoch
	w.after(d, func() {
		if r.epoch == epochThen && r.goneAt.IsZero() {
			step()
		}
	})
}

// setStatus sets "actual_status"; "" is null.
func (r *rental) setStatus(actual, msg string) {
	r.actual, r.statusMsg = nil, nil
	if actual != "" {
		r.actual = &actual
	}
	if msg != "" {
		r.statusMsg = &msg
	}
}

// setStates sets the intended, current and next state.
func (r *rental) setStates(intended, current, next string) {
	r.intended, r.current, r.next = intended, current, next
}

// bill begins an interval of the bill: whether the GPU and the storage cost
// something from now on.
func (w *world) bill(r *rental, state string, gpu, storage bool) {
	interval := StateInterval{State: state, From: w.now}
	if gpu {
		interval.GPUMicrosPerHour = r.gpuRate
	}
	if storage {
		interval.StorageMicrosPerHour = r.storageRate
	}
	before := int64(0)
	if n := len(r.record.Intervals); n > 0 && r.record.Intervals[n-1].To.IsZero() {
		last := &r.record.Intervals[n-1]
		last.To = w.now
		before = last.GPUMicrosPerHour + last.StorageMicrosPerHour
	}
	r.record.Intervals = append(r.record.Intervals, interval)
	w.changeRate(r.account, interval.GPUMicrosPerHour+interval.StorageMicrosPerHour-before)
}

// closeBill ends the last interval.
func (w *world) closeBill(r *rental) {
	n := len(r.record.Intervals)
	if n == 0 || !r.record.Intervals[n-1].To.IsZero() {
		return
	}
	last := &r.record.Intervals[n-1]
	last.To = w.now
	w.changeRate(r.account, -last.GPUMicrosPerHour-last.StorageMicrosPerHour)
}

// provision begins the usual life: null, created, loading, running.
func (w *world) provision(r *rental) {
	r.epoch++
	r.setStates(stateRunning, stateRunning, stateRunning)
	r.setStatus("", "")
	w.bill(r, statePending, false, true)
	if r.stuckAt == statePending {
		return
	}
	p := w.cfg.Provisioning
	w.later(r, p.Report.draw(r.draws), func() {
		r.setStatus(stateCreated, "")
		w.bill(r, stateCreated, false, true)
		if r.stuckAt == stateCreated {
			return
		}
		w.later(r, p.Create.draw(r.draws), func() { w.pull(r, p.Pull.draw(r.draws)) })
	})
}

// pull loads the image for so long, then runs the container.
func (w *world) pull(r *rental, duration time.Duration) {
	w.bill(r, stateLoading, false, true)
	r.showAddress = false
	r.setStatus(stateLoading, r.order.image+": Pulling from registry")
	if r.stuckAt == stateLoading {
		w.later(r, duration/pullSteps, func() { r.setStatus(stateLoading, layer(r)+": Pull complete\n") })
		return
	}
	for step := range pullSteps - 1 {
		verb := []string{": Pulling fs layer", ": Download complete", ": Pull complete\n"}[step]
		w.later(r, duration*time.Duration(step+1)/pullSteps, func() { r.setStatus(stateLoading, layer(r)+verb) })
	}
	w.later(r, duration, func() {
		if r.bootError != "" {
			w.failBoot(r)
			return
		}
		w.run(r)
	})
}

// failBoot ends a life before it began: the container does not start.
func (w *world) failBoot(r *rental) {
	status := stateCreated
	if r.bootError == errorManifest {
		status = stateLoading
	}
	r.setStatus(status, r.bootError)
	r.setStates(stateStopped, stateStopped, stateStopped)
	w.bill(r, stateStopped, false, true)
	w.freeGPUs(r)
}

// run starts the container: the GPU bills from now on.
func (w *world) run(r *rental) {
	r.setStates(stateRunning, stateRunning, stateRunning)
	r.setStatus(stateRunning, "success, running "+imageSlug(r.order.image)+"/ssh")
	w.bill(r, stateRunning, true, true)
	if r.account == w.account {
		w.startContainer(r) // the other account's rentals are rows only
	}
	p := w.cfg.Provisioning
	w.later(r, p.Address.draw(r.draws), func() { r.showAddress = true })
	w.later(r, p.Ports.draw(r.draws), func() { r.showPorts = true })
}

// halt stops a rental at once, for whatever reason but the user's: outbid, no
// credit, expiry. Storage bills on.
func (w *world) halt(r *rental, msg string) {
	r.epoch++
	r.wantsStart, r.onlineAgain = false, nil
	w.stopContainer(r)
	r.setStatus(stateExited, msg)
	r.setStates(stateStopped, stateStopped, stateStopped)
	w.bill(r, stateStopped, false, true)
	w.freeGPUs(r)
}

// stop is the user's stop.
func (w *world) stop(r *rental) {
	r.wantsStart = false
	r.intended, r.next = stateStopped, stateStopped
	if r.current == stateStopped {
		return
	}
	r.epoch++
	w.later(r, w.cfg.Provisioning.Stop.draw(r.draws), func() { w.halt(r, "") })
}

// resumeOrQueue is the user's start; it reports false when the GPUs are taken and the
// start was queued.
func (w *world) resumeOrQueue(r *rental) bool {
	if !w.now.Before(r.endDate) {
		return false
	}
	if r.current == stateRunning {
		w.takeBackStop(r)
		return true
	}
	r.intended, r.next = stateRunning, stateRunning
	if r.gpus == nil {
		r.gpus = w.market.takeFree(r.machine, r.size)
	}
	if r.gpus == nil {
		r.wantsStart = true
		r.statusMsg = nil
		return false
	}
	w.resume(r)
	return true
}

// takeBackStop keeps a rental running whose stop is under way, and starts the
// container of one that exited.
func (w *world) takeBackStop(r *rental) {
	stopping := r.intended == stateStopped
	r.intended, r.next = stateRunning, stateRunning
	switch {
	case r.actual != nil && *r.actual == stateExited:
		w.resume(r)
	case stopping && r.container == nil:
		r.epoch++
		w.pull(r, w.cfg.Provisioning.Pull.draw(r.draws))
	case stopping:
		r.epoch++
		r.showAddress, r.showPorts = true, true
	}
}

// resume starts the container of a stopped rental that has its GPUs.
func (w *world) resume(r *rental) {
	r.epoch++
	r.wantsStart = false
	r.current = stateRunning
	r.setStatus(stateLoading, "")
	w.bill(r, stateLoading, false, true)
	w.later(r, w.cfg.Provisioning.Start.draw(r.draws), func() { w.run(r) })
}

// restart stops the container and starts it again: a reboot, or a recycle with
// a fresh pull and a fresh disk.
func (w *world) restart(r *rental, recycle bool) {
	r.epoch++
	// Without a container there is nothing to reboot: the pull begins again.
	recycle = recycle || (r.container == nil && r.boots == 0)
	w.stopContainer(r)
	if recycle {
		r.boots = 0
		r.setStatus(stateRecycling, "")
		w.later(r, w.cfg.Provisioning.Reboot.draw(r.draws), func() { w.pull(r, w.cfg.Provisioning.Pull.draw(r.draws)) })
		return
	}
	r.setStatus(stateRebooting, "")
	w.later(r, w.cfg.Provisioning.Reboot.draw(r.draws), func() { w.run(r) })
}

// goOffline disconnects the host: nothing bills, nothing answers. It comes back
// after d, or never when d is 0; remap gives it other ports.
func (w *world) goOffline(r *rental, d time.Duration, remap bool) {
	if r.onlineAgain != nil {
		return
	}
	status, msg := r.actual, r.statusMsg
	last := r.record.Intervals[len(r.record.Intervals)-1]
	booting := r.container == nil && r.current == stateRunning
	if booting {
		r.epoch++
	}
	r.container.block(true)
	r.setStatus(stateOffline, "")
	w.bill(r, stateOffline, false, false)
	r.onlineAgain = func() {
		r.onlineAgain = nil
		r.container.block(false)
		r.actual, r.statusMsg = status, msg
		w.bill(r, last.State, last.GPUMicrosPerHour > 0, true)
		switch {
		case booting:
			w.pull(r, w.cfg.Provisioning.Pull.draw(r.draws))
		case remap && r.container != nil:
			w.stopContainer(r)
			w.run(r)
		}
	}
	if d > 0 {
		w.later(r, d, func() {
			if r.onlineAgain != nil {
				r.onlineAgain()
			}
		})
	}
}

// freeGPUs gives the GPUs back to the market and fires starts that wait for them.
func (w *world) freeGPUs(r *rental) {
	if r.gpus == nil {
		return
	}
	gpus := r.gpus
	r.gpus = nil
	w.market.giveBack(r.machine, gpus)
	w.fireQueued(r.machine)
}

// fireQueued starts what waits for GPUs of a machine, oldest first.
func (w *world) fireQueued(c *machine) {
	for _, id := range slices.Clone(w.order) {
		r := w.rentals[id]
		if r == nil || !r.wantsStart || r.machine != c || !r.goneAt.IsZero() {
			continue
		}
		if r.gpus = w.market.takeFree(c, r.size); r.gpus != nil {
			w.resume(r)
		}
	}
}

// end ends a contract for good: billing stops now, reads may show it for a while.
func (w *world) end(r *rental, reason string, linger time.Duration) {
	if !r.goneAt.IsZero() {
		return
	}
	r.epoch++
	r.wantsStart, r.onlineAgain = false, nil
	w.stopContainer(r)
	w.closeBill(r)
	r.record.End, r.record.EndReason = w.now, reason
	r.goneAt = w.now.Add(linger)
	w.notify(r, true)
	w.freeGPUs(r)
	delete(w.keys, r.instanceAPIKey)
	w.at(r.goneAt, func() {
		delete(w.rentals, r.id)
		if at, found := slices.BinarySearch(w.order, r.id); found {
			w.order = slices.Delete(w.order, at, at+1)
		}
	})
}

// reprice changes the price of a rental, as a host can.
func (w *world) reprice(r *rental, dphBase float64) {
	r.dphBase = dphBase
	r.dphTotal = r.dphBase + r.dphDisk
	total := toMicros(r.dphTotal)
	r.storageRate = toMicros(r.dphDisk)
	r.gpuRate = total - r.storageRate
	r.record.Prices = append(r.record.Prices, PricePoint{At: w.now, MicrosPerHour: total})
	if n := len(r.record.Intervals); n > 0 && r.record.End.IsZero() {
		last := r.record.Intervals[n-1]
		w.bill(r, last.State, last.GPUMicrosPerHour > 0, last.StorageMicrosPerHour > 0)
	}
}

// visible is true while reads show the rental.
func (r *rental) visible(now time.Time) bool {
	return !now.Before(r.hiddenUntil) && (r.goneAt.IsZero() || now.Before(r.goneAt))
}
