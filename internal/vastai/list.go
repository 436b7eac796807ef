package vastai

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

const (
	// pageSize is the default and the maximum of the platform.
	pageSize = 25
	// maxPages bounds a reading: 5,000 instances, several times what the rate
	// limit lets one account handle.
	maxPages = 200
	// instancesPath lists instances; the v0 path is retired and must not be used.
	instancesPath = "/api/v1/instances/"
)

// ListRentals reads every page of the account's instances. Anything that is
// not a complete reading is an error, never a short list: a page that fails,
// a page without its fields, an instance that appears twice, a page token that
// repeats. Whether the totals add up is for the caller to judge. Source: GET
// /api/v1/instances/.
func (c *Client) ListRentals(ctx context.Context) (fleet.Listing, error) {
	reading := &listReading{
		client: c, tokens: map[string]struct{}{}, ids: map[int64]struct{}{},
		listing: fleet.Listing{StartedAt: c.clock.Now(), Rentals: []fleet.Rental{}},
	}
	token := ""
	for {
		next, err := reading.page(ctx, token)
		if err != nil {
			//warmpool:gate list-never-short
			return fleet.Listing{}, err
		}
		if next == "" {
			reading.listing.FinishedAt = c.clock.Now()
			return reading.listing, nil
		}
		token = next
	}
}

// listReading is one walk over the pages.
type listReading struct {
	client  *Client
	listing fleet.Listing
	tokens  map[string]struct{}
	ids     map[int64]struct{}
}

// page reads one page and returns the token of the next, empty on the last.
func (r *listReading) page(ctx context.Context, token string) (string, error) {
	var list schema.InstanceList
	request := &call{
		endpoint: EndpointList, operation: "list", method: http.MethodGet, path: instancesPath,
		query: pageQuery(token), into: &list,
	}
	if r.listing.Pages == maxPages {
		return "", r.client.invalid(request, fmt.Sprintf("the list does not end after %d pages", maxPages))
	}
	if err := r.client.read(ctx, request); err != nil {
		return "", err
	}
	total, ok := list.TotalInstances.Int64()
	switch {
	//warmpool:gate list-has-rows
	case list.Instances == nil:
		return "", r.client.invalid(request, "the answer has no list of instances")
	//warmpool:gate list-has-a-total
	case !ok || total < 0:
		return "", r.client.invalid(request, "the answer has no total of instances")
	}
	for i := range list.Instances {
		if err := r.add(request, &list.Instances[i]); err != nil {
			return "", err
		}
	}
	if r.listing.Pages == 0 {
		r.listing.FirstTotal = int(total)
	}
	r.listing.LastTotal = int(total)
	r.listing.Pages++
	return r.nextToken(request, string(list.NextToken))
}

// add takes one row over.
func (r *listReading) add(request *call, row *schema.Instance) error {
	rental, err := rentalFromSchema(row, r.client.redactor)
	if err != nil {
		return r.client.invalid(request, err.Error())
	}
	//warmpool:gate list-row-once
	if _, twice := r.ids[rental.ID]; twice {
		return r.client.invalid(request, fmt.Sprintf("instance %d is on the list twice", rental.ID))
	}
	r.ids[rental.ID] = struct{}{}
	r.listing.Rentals = append(r.listing.Rentals, rental)
	return nil
}

// nextToken refuses a token that was there before: the walk would not end.
func (r *listReading) nextToken(request *call, next string) (string, error) {
	if next == "" {
		return "", nil
	}
	//warmpool:gate list-token-once
	if _, seen := r.tokens[next]; seen {
		return "", r.client.invalid(request, "the list repeats a page token")
	}
	r.tokens[next] = struct{}{}
	return next, nil
}

// pageQuery asks for one page in a stable order, so that a row cannot move
// from one page to another while they are read.
func pageQuery(token string) url.Values {
	query := url.Values{
		"limit":          {string(schema.Int(pageSize))},
		"order_by":       {`[{"col":"id","dir":"asc"}]`},
		"select_filters": {"{}"},
	}
	if token != "" {
		query.Set("after_token", token)
	}
	return query
}
