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

// handleCharges answers GET /charges/: what rentals cost on the days that were
// asked for, one charge each.
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
		if c.principal.account != w.account {
			continue
		}
		if charge, some := chargeOf(r, chargedDays(w.now, day)); some {
			charges = append(charges, charge)
		}
	}
	if values.Get("latest_first") == trueText {
		for i, j := 0, len(charges)-1; i < j; i, j = i+1, j-1 {
			charges[i], charges[j] = charges[j], charges[i]
		}
	}
	return pageOf(c, "results", charges)
}

// days is a stretch of whole days of UTC, cut off at the present time.
type days struct{ from, to time.Time }

// chargedDays reads the filter by day. A day is named by any moment in it.
func chargedDays(now time.Time, day map[string]json.RawMessage) days {
	const secondsPerDay = 24 * 3600
	asked := days{to: now}
	for operator, raw := range day {
		var bound float64
		if json.Unmarshal(raw, &bound) != nil {
			continue
		}
		begins := time.Unix(int64(bound)/secondsPerDay*secondsPerDay, 0).UTC()
		if operator == opGte || operator == opGt || operator == opEq {
			asked.from = begins
		}
		if ends := begins.AddDate(0, 0, 1); (operator == opLte || operator == opLt || operator == opEq) && ends.Before(asked.to) {
			asked.to = ends
		}
	}
	return asked
}

// chargeOf is what one rental cost on some days, and false when it did not
// live on them.
func chargeOf(r *RentalRecord, asked days) (object, bool) {
	from, to := r.Start, asked.to
	if from.Before(asked.from) {
		from = asked.from
	}
	if !r.End.IsZero() && r.End.Before(to) {
		to = r.End
	}
	if !from.Before(to) {
		return nil, false
	}
	gpu, storage := r.costsWithin(from, to)
	item := func(kind string, amount cost) object {
		return object{
			"type": kind, "amount": toUSD(amount.up()), "start": epoch(from), "end": epoch(to), "items": []any{},
			"source": "instance-" + strconv.FormatInt(r.ID, 10), "metadata": object{},
			"description": fmt.Sprintf("%.3f hours", to.Sub(from).Hours()),
		}
	}
	return object{
		"start": epoch(from), "end": epoch(to), "type": "instance",
		"source":      "instance-" + strconv.FormatInt(r.ID, 10),
		"description": fmt.Sprintf("Instance %d", r.ID), "amount": toUSD(gpu.plus(storage).up()),
		"metadata": object{"label": emptyNull(r.Label), "template_id": nil, "endpoint_id": nil, "workergroup_id": nil},
		"items":    []object{item("gpu", gpu), item("disk", storage)},
	}, true
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
