package simulator

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

const (
	// maxPage is the most rows of a page, and what a page has by default;
	// leastPage is what a limit of nothing gives.
	maxPage   = 25
	leastPage = 5
)

// listQuery is a v1 list request after parsing.
type listQuery struct {
	limit   int
	after   *pageToken
	order   []schema.ListOrder
	columns []string
	filters schema.SelectFilters
}

// pageToken is where a page ended; callers treat it as opaque.
type pageToken struct {
	Values struct {
		ID int64 `json:"id"`
	} `json:"values"`
	// Position is how many rows came before, for orders other than the id.
	Position int `json:"position"`
}

// handleList answers GET /api/v1/instances/.
func handleList(w *world, c *call) answer {
	query, refused := parseList(c)
	if refused != nil {
		return *refused
	}
	rentals := w.selectRentals(query, c.principal.account)
	if w.hitCall(c, FaultEmptyList, EndpointList) != nil {
		rentals = nil
	}
	start := 0
	if query.after != nil {
		start = positionAfter(rentals, query.after, query.order)
	}
	page := rentals[start:min(start+query.limit, len(rentals))]
	body := object{
		"success": true, "total_instances": len(rentals), "label_counts": labelCounts(rentals), "next_token": nil,
	}
	if end := start + len(page); end < len(rentals) {
		body["next_token"] = newToken(page[len(page)-1].id, end)
	}
	page = w.spoilPage(c, body, page, start/query.limit+1)
	rows := make([]object, 0, len(page))
	for _, r := range page {
		rows = append(rows, selectColumns(w.instanceRow(r, true), query.columns))
	}
	body["instances"], body["instances_found"] = rows, len(rows)
	return okAnswer(body)
}

// spoilPage lets faults act on a page.
func (w *world) spoilPage(c *call, body object, page []*rental, pageNumber int) []*rental {
	if body["next_token"] != nil {
		f := w.faults.hit(w.now, FaultPageDrop, func(f *Fault) bool {
			return w.fitsCall(f.Match, c, EndpointList) && f.int("page") == pageNumber
		})
		if f != nil {
			body["next_token"] = nil
		}
	}
	if f := w.hitCall(c, FaultWrongTotal, EndpointList); f != nil {
		total, ok := body["total_instances"].(int)
		if ok {
			body["total_instances"] = total + f.int("delta")
		}
	}
	if f := w.hitCall(c, FaultShortPage, EndpointList); f != nil {
		page = page[:max(0, len(page)-f.int("rows"))]
	}
	return page
}

// parseList reads the parameters of a list.
func parseList(c *call) (listQuery, *answer) {
	values := c.request.URL.Query()
	q := listQuery{limit: maxPage, columns: []string{"*"}, order: []schema.ListOrder{{Col: "id", Dir: "asc"}}}
	if text := values.Get("limit"); text != "" {
		n, err := strconv.Atoi(strings.Trim(text, `"`))
		if err != nil {
			return q, new(failure(http.StatusBadRequest, "invalid_request", "Error in query parameters: limit"))
		}
		q.limit = min(n, maxPage)
		if n <= 0 {
			q.limit = leastPage
		}
	}
	for name, into := range map[string]any{"order_by": &q.order, "select_cols": &q.columns, "select_filters": &q.filters} {
		if text := values.Get(name); text != "" && json.Unmarshal([]byte(text), into) != nil {
			return q, new(failure(http.StatusBadRequest, "invalid_request", "Error in query parameters: "+name))
		}
	}
	if text := strings.Trim(values.Get("after_token"), `"`); text != "" && text != "null" {
		decoded, err := base64.URLEncoding.DecodeString(text)
		if err != nil || json.Unmarshal(decoded, &q.after) != nil || q.after == nil {
			return q, new(failure(http.StatusBadRequest, "invalid_token", "Invalid after_token"))
		}
	}
	return q, q.refuseColumns()
}

// refuseColumns refuses filters and orders by what is not stored.
func (q listQuery) refuseColumns() *answer {
	blank := &rental{record: &RentalRecord{}, machine: &machine{}}
	for column := range q.filters {
		if _, ok := blank.stored(column); !ok {
			return new(notAKey(column))
		}
	}
	for _, by := range q.order {
		if _, ok := blank.stored(string(by.Col)); !ok {
			return new(notAKey(string(by.Col)))
		}
	}
	return nil
}

// selectRentals returns what a list shows, in its order.
func (w *world) selectRentals(q listQuery, reader *account) []*rental {
	var found []*rental
	for _, id := range w.order {
		r := w.rentals[id]
		if !w.shows(r, reader) {
			continue
		}
		matches := true
		for column, operators := range q.filters {
			value, _ := r.stored(column)
			matches = matches && matchesAll(value, operators)
		}
		if matches {
			found = append(found, r)
		}
	}
	if len(q.order) == 1 && q.order[0].Col == "id" && q.order[0].Dir != "desc" {
		return found // they are kept by id
	}
	slices.SortStableFunc(found, func(a, b *rental) int {
		for _, by := range q.order {
			x, _ := a.stored(string(by.Col))
			y, _ := b.stored(string(by.Col))
			result := compareNullable(x, y)
			if strings.EqualFold(string(by.Dir), "desc") {
				result = -result
			}
			if result != 0 {
				return result
			}
		}
		return cmp.Compare(a.id, b.id)
	})
	return found
}

// positionAfter finds where a page goes on. By ascending id this is exact even
// when rows came or went in between; other orders go by position.
func positionAfter(rentals []*rental, after *pageToken, order []schema.ListOrder) int {
	if len(order) > 0 && order[0].Col == "id" && order[0].Dir != "desc" {
		for i, r := range rentals {
			if r.id > after.Values.ID {
				return i
			}
		}
		return len(rentals)
	}
	return min(after.Position, len(rentals))
}

// newToken makes the token of the next page.
func newToken(lastID int64, position int) string {
	var token pageToken
	token.Values.ID, token.Position = lastID, position
	encoded, err := json.Marshal(token)
	if err != nil {
		return ""
	}
	return base64.URLEncoding.EncodeToString(encoded)
}

// labelCounts counts rentals by label, "" for none.
func labelCounts(rentals []*rental) map[string]int {
	counts := map[string]int{}
	for _, r := range rentals {
		label := ""
		if r.label != nil {
			label = *r.label
		}
		counts[label]++
	}
	return counts
}

// selectColumns keeps the columns that were asked for; unknown ones are null.
func selectColumns(row object, columns []string) object {
	if len(columns) == 0 || slices.Contains(columns, "*") {
		return row
	}
	selected := make(object, len(columns))
	for _, column := range columns {
		selected[column] = row[column]
	}
	return selected
}

// handleListV0 answers the retired list.
func handleListV0(w *world, c *call) answer {
	if w.cfg.EmptyV0List || w.hitCall(c, FaultV0Empty, EndpointListV0) != nil {
		return okAnswer(object{"instances": []any{}})
	}
	return deprecated(http.StatusGone, strings.TrimRight(c.request.URL.Path, "/"))
}

// handleGet answers GET /instances/{id}/: null for an id that is not there.
func handleGet(w *world, c *call) answer {
	r := w.rentals[c.id]
	if !w.shows(r, c.principal.account) {
		return okAnswer(object{"instances": nil})
	}
	return okAnswer(object{"instances": w.instanceRow(r, false)})
}

// handleFilters answers GET /instances/filters/.
func handleFilters(w *world, c *call) answer {
	filters := []object{}
	for _, id := range w.order {
		if r := w.rentals[id]; w.shows(r, c.principal.account) {
			filters = append(filters, object{
				"actual_status": r.actual, "verification": r.row["verification"], "gpu_name": r.row["gpu_name"],
			})
		}
	}
	return okAnswer(object{"success": true, "filters": filters})
}

// handleCount answers GET /instances/count/.
func handleCount(w *world, c *call) answer {
	count := 0
	for _, id := range w.order {
		count += boolInt(w.shows(w.rentals[id], c.principal.account))
	}
	return okAnswer(object{"success": true, "count": count})
}
