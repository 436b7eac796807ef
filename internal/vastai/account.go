package vastai

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

// CurrentUser says whose key this is and what the account can spend. It is the
// proof that the key works. Source: GET /api/v0/users/current/.
func (c *Client) CurrentUser(ctx context.Context) (fleet.User, error) {
	var answer schema.User
	request := &call{
		endpoint: EndpointUser, operation: "user", method: http.MethodGet, path: "/api/v0/users/current/", into: &answer,
	}
	if err := c.read(ctx, request); err != nil {
		return fleet.User{}, err
	}
	user, err := userFromSchema(&answer)
	if err != nil {
		return fleet.User{}, c.invalid(request, err.Error())
	}
	return user, nil
}

// chargesPageSize is the maximum of the platform.
const chargesPageSize = 500

// Charges returns what was billed for days between from and to. Charges lag
// behind what was used. Any page that fails is an error.
// Source: GET /api/v0/charges/.
func (c *Client) Charges(ctx context.Context, from, to time.Time) ([]fleet.Charge, error) {
	charges := []fleet.Charge{}
	seen := map[schema.Text]struct{}{}
	token := schema.Text("")
	for range maxPages {
		var list schema.ChargeList
		request := &call{
			endpoint: EndpointCharges, operation: "charges", method: http.MethodGet, path: "/api/v0/charges/", into: &list,
		}
		query, err := chargesQuery(from, to, string(token))
		if err != nil {
			return nil, request.notSent(err)
		}
		request.query = query
		if err := c.read(ctx, request); err != nil {
			return nil, err
		}
		if list.Results == nil {
			return nil, c.invalid(request, "the answer has no list of charges")
		}
		for i := range list.Results {
			charge, err := chargeFromSchema(&list.Results[i])
			if err != nil {
				return nil, c.invalid(request, err.Error())
			}
			charges = append(charges, charge)
		}
		token = list.NextToken
		if _, repeated := seen[token]; repeated {
			return nil, c.invalid(request, "the list repeats a page token")
		}
		if token == "" {
			return charges, nil
		}
		seen[token] = struct{}{}
	}
	return nil, c.invalid(&call{operation: "charges"}, "the list of charges does not end")
}

// chargesQuery asks for one page; the platform requires the days.
func chargesQuery(from, to time.Time, token string) (url.Values, error) {
	filters, err := json.Marshal(map[string]any{
		"day":  map[string]int64{"gte": from.Unix(), "lte": to.Unix()},
		"type": map[string][]string{"in": {"instance", "volume", "serverless"}},
	})
	if err != nil {
		return nil, err
	}
	query := url.Values{
		"select_filters": {string(filters)},
		"format":         {"table"},
		"latest_first":   {"false"},
		"limit":          {string(schema.Int(chargesPageSize))},
	}
	if token != "" {
		query.Set("after_token", token)
	}
	return query, nil
}

// PendingPriceIncreases returns what hosts propose for the time after a
// contract ends. Source: GET /api/v0/instances/pending-price-increases/.
func (c *Client) PendingPriceIncreases(ctx context.Context) ([]fleet.PriceIncrease, error) {
	var list schema.PriceIncreaseList
	request := &call{
		endpoint: EndpointPriceIncreases, operation: "price increases", method: http.MethodGet,
		path: "/api/v0/instances/pending-price-increases/", into: &list,
	}
	if err := c.read(ctx, request); err != nil {
		return nil, err
	}
	if list.PendingPriceIncreases == nil {
		return nil, c.invalid(request, "the answer has no list of price increases")
	}
	increases := make([]fleet.PriceIncrease, 0, len(list.PendingPriceIncreases))
	for i := range list.PendingPriceIncreases {
		increase, err := priceIncreaseFromSchema(&list.PendingPriceIncreases[i])
		if err != nil {
			return nil, c.invalid(request, err.Error())
		}
		increases = append(increases, increase)
	}
	return increases, nil
}
