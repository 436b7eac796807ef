package simulator

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	defaultCharges = 100
	maxCharges     = 500
)

// handleCharges answers GET /charges/: what rentals cost, one charge each.
func handleCharges(w *world, c *call) answer {
	values := c.request.URL.Query()
	var filters map[string]map[string]json.RawMessage
	if text := values.Get("select_filters"); text != "" && json.Unmarshal([]byte(text), &filters) != nil {
		return failure(http.StatusBadRequest, "invalid_request", "Error in query parameters: select_filters")
	}
	day, ok := filters["day"]
	if !ok {
		return failure(http.StatusBadRequest, "invalid_request", "Error in query parameters: day is required")
	}
	charges := []object{}
	for _, r := range w.records {
		if c.principal.account != w.account || !chargedWithin(r, w.now, day) {
			continue
		}
		charges = append(charges, chargeOf(r, w.now))
	}
	if values.Get("latest_first") == trueText {
		for i, j := 0, len(charges)-1; i < j; i, j = i+1, j-1 {
			charges[i], charges[j] = charges[j], charges[i]
		}
	}
	return pageOf(c, "results", charges)
}

// chargedWithin is true when a rental overlaps the days that were asked for.
func chargedWithin(r *RentalRecord, now time.Time, day map[string]json.RawMessage) bool {
	const secondsPerDay = 24 * 3600
	end := r.End
	if end.IsZero() {
		end = now
	}
	for operator, raw := range day {
		var bound float64
		if json.Unmarshal(raw, &bound) != nil {
			continue
		}
		switch operator {
		case opGte, opGt:
			if epoch(end) < bound {
				return false
			}
		case opLte, opLt:
			if epoch(r.Start) > bound+secondsPerDay {
				return false
			}
		case opEq:
			if epoch(end) < bound || epoch(r.Start) > bound+secondsPerDay {
				return false
			}
		}
	}
	return true
}

// chargeOf is one rental as a charge.
func chargeOf(r *RentalRecord, now time.Time) object {
	gpu, storage := r.costs(now)
	end := r.End
	if end.IsZero() {
		end = now
	}
	item := func(kind string, amount cost) object {
		return object{
			"type": kind, "amount": toUSD(amount.up()), "start": epoch(r.Start), "end": epoch(end), "items": []any{},
			"source": "instance-" + strconv.FormatInt(r.ID, 10), "metadata": object{},
			"description": fmt.Sprintf("%.3f hours", end.Sub(r.Start).Hours()),
		}
	}
	return object{
		"start": epoch(r.Start), "end": epoch(end), "type": "instance",
		"source":      "instance-" + strconv.FormatInt(r.ID, 10),
		"description": fmt.Sprintf("Instance %d", r.ID), "amount": toUSD(gpu.plus(storage).up()),
		"metadata": object{"label": emptyNull(r.Label), "template_id": nil, "endpoint_id": nil, "workergroup_id": nil},
		"items":    []object{item("gpu", gpu), item("disk", storage)},
	}
}

// pageOf answers one page of a list of the billing API.
func pageOf(c *call, name string, all []object) answer {
	values := c.request.URL.Query()
	limit := defaultCharges
	if n, err := strconv.Atoi(values.Get("limit")); err == nil && n > 0 {
		limit = min(n, maxCharges)
	}
	start := 0
	if text := strings.Trim(values.Get("after_token"), `"`); text != "" && text != "null" {
		decoded, err := base64.URLEncoding.DecodeString(text)
		n, convErr := strconv.Atoi(string(decoded))
		if err != nil || convErr != nil || n < 0 {
			return failure(http.StatusBadRequest, "invalid_token", "Invalid after_token")
		}
		start = min(n, len(all))
	}
	end := min(start+limit, len(all))
	var next any
	if end < len(all) {
		next = base64.URLEncoding.EncodeToString([]byte(strconv.Itoa(end)))
	}
	return okAnswer(object{
		"success": true, "count": end - start, "total": len(all), "next_token": next, name: all[start:end],
	})
}

// handleInvoices answers GET /api/v1/invoices/: the one payment that filled the account.
func handleInvoices(w *world, c *call) answer {
	return pageOf(c, "results", []object{{
		"start": epoch(w.clock.start), "end": epoch(w.clock.start), "type": "credit", "source": "simulator-1",
		"description": "Credit added", "amount": toUSD(c.principal.account.balance.micros),
		"metadata": object{"invoice_id": 1}, "items": []any{},
	}})
}

// handleOldInvoices answers GET /users/me/invoices.
func handleOldInvoices(w *world, c *call) answer {
	a := c.principal.account
	a.settle(w.now)
	return okAnswer(object{
		"invoices": []any{},
		"current":  object{"charges": toUSD(a.spent.up()), "service_fee": 0, "total": toUSD(a.spent.up()), "credit": toUSD(a.credit())},
	})
}
