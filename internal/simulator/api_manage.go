package simulator

import (
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

// own returns the caller's rental, nil when there is none that it may touch.
func (w *world) own(c *call, id int64) *rental {
	r := w.rentals[id]
	if r == nil || r.account != c.principal.account || !r.goneAt.IsZero() {
		return nil
	}
	return r
}

// noSuchInstance is the refusal of a change to what is not there.
func noSuchInstance(id int64) answer {
	return failure(http.StatusNotFound, "no_such_instance", fmt.Sprintf("Instance %d not found.", id))
}

// success is the shortest good answer.
func success() answer { return okAnswer(object{"success": true}) }

// handleUpdate answers PUT /instances/{id}/: state or label.
func handleUpdate(w *world, c *call) answer {
	var body schema.ManageRequest
	if reply, ok := decode(c, &body); !ok {
		return reply
	}
	return w.update(c, c.id, &body)
}

// update changes one rental.
func (w *world) update(c *call, id int64, body *schema.ManageRequest) answer {
	r := w.own(c, id)
	if r == nil {
		return noSuchInstance(id)
	}
	if body.Label != nil {
		if utf8.RuneCountInString(string(*body.Label)) > maxLabel {
			return failure(http.StatusBadRequest, "label_too_long", "Label is too long.")
		}
		r.label = nullable(*body.Label)
	}
	switch body.State {
	case "":
	case stateStopped:
		w.stop(r)
	case stateRunning:
		return w.userStart(c, r)
	default:
		return failure(http.StatusBadRequest, "invalid_args", "Invalid state.")
	}
	return success()
}

// userStart starts a rental for its owner.
func (w *world) userStart(c *call, r *rental) answer {
	r.account.settle(w.now)
	if r.account.broke() {
		return insufficientCredit()
	}
	if !w.now.Before(r.endDate) {
		return failure(http.StatusBadRequest, "invalid_args", "The contract has ended.")
	}
	if r.current != stateRunning {
		if f := w.hitCall(c, FaultResourcesTaken, c.endpoint); f != nil {
			r.intended, r.next = stateRunning, stateRunning
			if d := f.duration("fires"); d > 0 {
				w.later(r, d, func() { w.resumeOrQueue(r) })
			}
			return resourcesUnavailable()
		}
	}
	if !w.resumeOrQueue(r) {
		return resourcesUnavailable()
	}
	return success()
}

// resourcesUnavailable is the 200 of a start that was queued.
func resourcesUnavailable() answer {
	return failure(http.StatusOK, "resources_unavailable", "Required resources are currently unavailable, state change queued.")
}

// handleUpdateMany answers PUT /instances/.
func handleUpdateMany(w *world, c *call) answer {
	var body schema.ManageRequest
	if reply, ok := decode(c, &body); !ok {
		return reply
	}
	for _, number := range body.IDs {
		id, _ := number.Int64()
		if reply := w.update(c, id, &body); reply.status != http.StatusOK {
			return reply
		}
	}
	return success()
}

// handleDestroy answers DELETE /instances/{id}/.
func handleDestroy(w *world, c *call) answer {
	if w.hitCall(c, FaultDestroyIgnored, EndpointDestroy) != nil {
		return success()
	}
	f := w.hitCall(c, FaultDestroyError, EndpointDestroy)
	if f == nil {
		return w.destroy(c, c.id)
	}
	if f.bool("executed") {
		w.destroy(c, c.id)
	}
	if f.int("status") == http.StatusNotFound {
		return failure(http.StatusNotFound, f.text("error"), "Instance not found")
	}
	return failure(f.int("status"), "internal_error", "Internal server error")
}

// destroy ends one rental for its owner.
func (w *world) destroy(c *call, id int64) answer {
	r := w.own(c, id)
	if r == nil {
		return failure(http.StatusNotFound, "not_found", "Instance not found")
	}
	w.end(r, endDestroyed, w.lingering(c, r))
	return okAnswer(object{"success": true, "msg": fmt.Sprintf("Instance %d destroyed.", id)})
}

// handleDestroyMany answers DELETE /instances/.
func handleDestroyMany(w *world, c *call) answer {
	var body schema.DestroyRequest
	if reply, ok := decode(c, &body); !ok {
		return reply
	}
	for _, number := range body.InstanceIDs {
		id, _ := number.Int64()
		if reply := w.destroy(c, id); reply.status != http.StatusOK {
			return reply
		}
	}
	return success()
}

// handleReboot answers PUT /instances/reboot/{id}/.
func handleReboot(w *world, c *call) answer { return w.userRestart(c, false) }

// handleRecycle answers PUT /instances/recycle/{id}/.
func handleRecycle(w *world, c *call) answer { return w.userRestart(c, true) }

// userRestart restarts a rental that runs.
func (w *world) userRestart(c *call, recycle bool) answer {
	r := w.own(c, c.id)
	if r == nil {
		return noSuchInstance(c.id)
	}
	if r.current != stateRunning {
		return failure(http.StatusBadRequest, "invalid_args", "Instance is not running.")
	}
	w.restart(r, recycle)
	return success()
}

// handleBid answers PUT /instances/bid_price/{id}/.
func handleBid(w *world, c *call) answer {
	var body struct {
		Price schema.Number `json:"price"`
	}
	if reply, ok := decode(c, &body); !ok {
		return reply
	}
	r := w.own(c, c.id)
	if r == nil {
		return failure(http.StatusNotFound, "no_such_instance", "Instance with that ID does not exist.")
	}
	const mostPerGPU = 32
	price := numberOf(body.Price)
	if price <= 0 || price > mostPerGPU*float64(r.size) {
		return failure(http.StatusBadRequest, "invalid_price", "Invalid price.")
	}
	r.order.bid = &price
	w.reprice(r, price)
	if price >= number(r.row["min_bid"])*r.machine.factor && r.current == stateStopped && r.intended == stateStopped {
		w.resumeOrQueue(r)
	}
	return success()
}

// propose is a price that the host wants and the renter may refuse.
func (w *world) propose(r *rental, dphBase float64) {
	w.account.nextID++
	w.increases = append(w.increases, priceIncrease{w.account.nextID, r, dphBase, w.now})
}

// priceIncrease is a proposal.
type priceIncrease struct {
	id      int64
	rental  *rental
	dphBase float64
	// createdAt is when the host proposed it.
	createdAt time.Time
}

// handlePriceIncreases answers GET /instances/pending-price-increases/.
func handlePriceIncreases(w *world, c *call) answer {
	list := []object{}
	for _, p := range w.increases {
		if p.rental.account == c.principal.account && p.rental.goneAt.IsZero() {
			list = append(list, p.row())
		}
	}
	return okAnswer(object{
		"success": true, "count": len(list), "truncated": false, "pending_price_increases": list,
	})
}

// row is a proposal as it goes on the wire, with rates per second.
func (p priceIncrease) row() object {
	const secondsPerHour = 3600
	storage := number(p.rental.row["storage_cost"]) / (hoursPerMonth * secondsPerHour) // of one GB
	return object{
		"pending_price_increase_id": p.id, "contract_id": p.rental.id, "host_id": p.rental.machine.hostID,
		"new_gpu_costpersec": p.dphBase / secondsPerHour, "old_gpu_costpersec": p.rental.dphBase / secondsPerHour,
		"new_disk_ram_costpersec": storage, "old_disk_ram_costpersec": storage,
		"new_bwu_cost": p.rental.row["inet_up_cost"], "old_bwu_cost": p.rental.row["inet_up_cost"],
		"new_bwd_cost": p.rental.row["inet_down_cost"], "old_bwd_cost": p.rental.row["inet_down_cost"],
		"new_platform_fee": nil, "old_platform_fee": nil,
		"contract_end_date": epoch(p.rental.endDate), "ask_end_date": epoch(p.rental.endDate), "created_at": epoch(p.createdAt),
	}
}

// handleAcceptIncrease answers PUT /instances/accept-price-increase/.
func handleAcceptIncrease(w *world, c *call) answer { return w.decide(c, true) }

// handleRejectIncrease answers PUT /instances/reject-price-increase/.
func handleRejectIncrease(w *world, c *call) answer { return w.decide(c, false) }

// decide accepts or rejects a proposal.
func (w *world) decide(c *call, accept bool) answer {
	var body struct {
		ID schema.Number `json:"pending_price_increase_id"`
	}
	if reply, ok := decode(c, &body); !ok {
		return reply
	}
	for i, p := range w.increases {
		if strings.TrimSpace(string(body.ID)) != fmt.Sprint(p.id) || w.own(c, p.rental.id) == nil {
			continue
		}
		w.increases = append(w.increases[:i], w.increases[i+1:]...)
		if accept {
			w.reprice(p.rental, p.dphBase)
		}
		return success()
	}
	return failure(http.StatusNotFound, "no_pending_price_increase", "No pending price increase with that id.")
}
