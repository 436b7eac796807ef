package simulator

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

// Docker errors as they show in "status_msg".
const (
	errorOCI = "Error response from daemon: failed to create task for container: failed to create shim task: " +
		"OCI runtime create failed: error modifying OCI spec: failed to inject CDI devices: unresolvable CDI devices"
	errorManifest     = "Error response from daemon: manifest unknown: manifest not found"
	errorDisk         = "Error response from daemon: failed to register layer: no space left on device"
	errorUnauthorized = "Error response from daemon: unauthorized: authentication required"
)

// hitRent finds a fault for a rent.
func (w *world) hitRent(name string, c *call, label string) *Fault {
	machine := int64(0)
	if o := w.market.offers[c.id]; o != nil {
		machine = o.machine.id
	}
	return w.faults.hit(w.now, name, func(f *Fault) bool {
		m := f.Match
		return (m.Endpoint == "" || m.Endpoint == c.endpoint) &&
			(m.Offer == 0 || m.Offer == c.id) &&
			(m.Machine == 0 || m.Machine == machine) &&
			strings.HasPrefix(label, m.LabelPrefix)
	})
}

// faultCreate answers a rent instead of the handler. The rental may exist all
// the same. Lock held.
func (w *world) faultCreate(c *call, body *schema.RentRequest) (answer, bool) {
	if c.replay {
		return answer{}, false
	}
	label := string(body.Label)
	if f := w.hitRent(FaultOfferGone, c, label); f != nil {
		return w.loseOffer(c.id, f.text("form")), true
	}
	if f := w.hitRent(FaultCreateRefused, c, label); f != nil {
		if f.text("error") == "insufficient_credit" {
			reply := insufficientCredit()
			reply.status = f.int("status")
			return reply, true
		}
		return failure(f.int("status"), f.text("error"), "Refused: "+f.text("error")), true
	}
	if f := w.hitRent(FaultCreateLate, c, label); f != nil {
		// The handler runs later, as the request was; nobody sees its answer.
		again := *c
		again.replay = true
		w.after(f.duration("after"), func() { handleCreate(w, &again) })
		return lost(f.text("how"), 0), true
	}
	for _, name := range []string{FaultCreateWithError, FaultCreateNoID} {
		if f := w.hitRent(name, c, label); f != nil {
			return w.createAnyway(c, f)
		}
	}
	return answer{}, false
}

// loseOffer lets somebody else take an offer.
func (w *world) loseOffer(id int64, form string) answer {
	if o := w.market.offers[id]; o != nil {
		o.machine.taken = true
	}
	msg := fmt.Sprintf("error 400/3603: no_such_ask Instance type by id %d is not available.", id)
	switch form {
	case "410":
		return offerGone(id, true)
	case "400":
		return askFailure(http.StatusBadRequest, "no_such_ask", msg, id)
	case "200":
		return askFailure(http.StatusOK, "no_such_ask", msg, id)
	default:
		return offerGone(id, false)
	}
}

// createAnyway rents and spoils the answer.
func (w *world) createAnyway(c *call, f *Fault) (answer, bool) {
	before := w.nextID
	again := *c
	again.replay = true
	reply := handleCreate(w, &again)
	r := w.rentals[w.nextID]
	if w.nextID == before || r == nil {
		return reply, true
	}
	if f.Name == FaultCreateNoID {
		return okAnswer(object{"success": true}), true
	}
	if !f.bool("running") {
		w.refuseBid(r)
	}
	return jsonAnswer(f.int("status"), object{
		"success": false, "error": "start_failed", "new_contract": r.id, "ask_id": c.id,
		"msg": "The instance was created but could not be started.",
	}), true
}

// hitNew finds a fault for a rental that begins.
func (w *world) hitNew(name string, r *rental) *Fault {
	return w.faults.hit(w.now, name, func(f *Fault) bool {
		return f.Match.fitsRental(r) && (f.Match.Offer == 0 || f.Match.Offer == r.record.OfferID)
	})
}

// applyLifeFaults decides, when a rental begins, what will go wrong with it.
func (w *world) applyLifeFaults(r *rental, base *float64) {
	if r.account != w.account {
		return
	}
	if f := w.hitNew(FaultCreateDearer, r); f != nil {
		*base *= f.float("factor")
	}
	if f := w.hitNew(FaultReadLag, r); f != nil {
		r.hiddenUntil = w.now.Add(f.duration("delay"))
	}
	if f := w.hitNew(FaultStuck, r); f != nil {
		r.stuckAt = f.text("state")
	}
	if f := w.hitNew(FaultBootError, r); f != nil {
		r.bootError = map[string]string{
			"oci": errorOCI, "manifest": errorManifest, "disk": errorDisk, "unauthorized": errorUnauthorized,
		}[f.text("kind")]
	}
	if f := w.hitNew(FaultBadAddress, r); f != nil {
		r.badAddress = true
	}
	if f := w.hitNew(FaultComfy, r); f != nil {
		params := maps.Clone(f.Params)
		delete(params, "fault")
		r.comfyFaults = append(r.comfyFaults, BackendFault{Name: f.text("fault"), Params: params})
	}
}

// afterwards lets a fault act after its parameter "after".
func afterwards(act func(w *world, r *rental, f *Fault) bool) func(w *world, r *rental, f *Fault) bool {
	return func(w *world, r *rental, f *Fault) bool {
		delay := f.duration("after")
		if delay == 0 {
			return act(w, r, f)
		}
		w.after(delay, func() {
			if r.goneAt.IsZero() {
				act(w, r, f)
			}
		})
		return true
	}
}

// exitContainer ends the container while the contract runs on.
func exitContainer(w *world, r *rental, _ *Fault) bool {
	if r.container == nil {
		return false
	}
	r.epoch++
	w.stopContainer(r)
	r.setStatus(stateExited, "")
	w.bill(r, stateExited, true, true)
	return true
}

// disconnect cuts a rental off, or brings it back.
func disconnect(w *world, r *rental, f *Fault) bool {
	if f.bool("back") {
		if r.onlineAgain == nil {
			return false
		}
		r.onlineAgain()
		return true
	}
	if r.onlineAgain != nil {
		return false
	}
	w.goOffline(r, f.duration("for"), f.bool("remap"))
	return true
}

// outbid stops a rental until its bid wins again.
func outbid(w *world, r *rental, f *Fault) bool {
	if r.current == stateStopped {
		return false
	}
	w.halt(r, "")
	if d := f.duration("for"); d > 0 {
		w.later(r, d, func() { w.resumeOrQueue(r) })
	}
	return true
}

// raisePrice changes the price at once, or proposes to.
func raisePrice(w *world, r *rental, f *Fault) bool {
	price := r.dphBase * f.float("factor")
	if f.bool("pending") {
		w.propose(r, price)
		return true
	}
	w.reprice(r, price)
	return true
}

// vanish ends a contract without a word.
func vanish(w *world, r *rental, _ *Fault) bool {
	w.end(r, endVanished, 0)
	return true
}

// changeLabel is somebody else with the key.
func changeLabel(_ *world, r *rental, f *Fault) bool {
	r.label = nil
	if label := f.text("label"); label != "" {
		r.label = &label
	}
	return true
}

// setCredit sets the balance.
func setCredit(w *world, f *Fault) {
	w.account.settle(w.now)
	w.addCredit(toMicros(f.float("usd")) - w.account.credit())
	if w.account.broke() {
		w.exhaust()
	}
}

// shownStatus is the actual_status that a read shows, which a fault may change.
func (w *world) shownStatus(r *rental) *string {
	for _, f := range w.faults.on(w.now, FaultStatusFlicker, r) {
		if w.faults.draws.Float64() >= f.float("probability") {
			continue
		}
		f.Hits++
		if status := f.text("status"); status != "" {
			return &status
		}
		return nil
	}
	return r.actual
}

// shows is true when reads of an account show the rental.
func (w *world) shows(r *rental, reader *account) bool {
	if r == nil || r.account != reader || !r.visible(w.now) {
		return false
	}
	hidden := w.faults.on(w.now, FaultHiddenRental, r)
	for _, f := range hidden {
		f.Hits++
	}
	return len(hidden) == 0
}

// lingering returns how long a destroyed rental still shows.
func (w *world) lingering(c *call, r *rental) time.Duration {
	if f := w.hitCall(c, FaultDestroyLingers, c.endpoint); f != nil {
		return f.duration("for")
	}
	return w.cfg.Provisioning.Destroy.draw(r.draws)
}
