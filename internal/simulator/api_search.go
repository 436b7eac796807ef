package simulator

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

// handleSearch answers POST /bundles/.
func handleSearch(w *world, c *call) answer { return w.searchBody(c, c.body) }

// handleSearchGet answers GET /bundles?q=….
func handleSearchGet(w *world, c *call) answer {
	return w.searchBody(c, []byte(c.request.URL.Query().Get("q")))
}

// handleSearchAsks answers PUT /search/asks/.
func handleSearchAsks(w *world, c *call) answer {
	var body struct {
		Q json.RawMessage `json:"q"`
	}
	if reply, ok := decode(c, &body); !ok {
		return reply
	}
	return w.searchBody(c, body.Q)
}

// searchBody answers a search, whatever carried it.
func (w *world) searchBody(c *call, body []byte) answer {
	if len(body) == 0 {
		body = []byte("{}")
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return jsonAnswer(http.StatusBadRequest, object{"error": "invalid_request", "msg": "Invalid json body"})
	}
	var request schema.SearchRequest
	if err := json.Unmarshal(body, &request); err != nil {
		return failure(http.StatusBadRequest, "bad_request", "q: Input should be a valid dictionary: "+err.Error())
	}
	rows := w.market.search(&request, w.now)
	if w.hitCall(c, FaultNoOffers, EndpointSearch) != nil {
		rows = []map[string]any{}
	}
	if w.hitCall(c, FaultStaleOffer, EndpointSearch) != nil {
		for _, row := range rows {
			if o := w.market.offers[integer(row["id"])]; o != nil {
				o.machine.taken = true
			}
		}
	}
	return okAnswer(object{"offers": rows})
}

// handleGPUNames answers GET /gpu_names/unique/.
func handleGPUNames(w *world, _ *call) answer {
	names := []string{}
	for _, id := range w.market.ids {
		for _, row := range w.market.machines[id].rows {
			if name := asString(row["gpu_name"]); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return okAnswer(object{"gpu_names": names})
}
