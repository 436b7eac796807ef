package vastai

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// FuzzCalls answers every call of the client with any status and body, as often
// as it asks: its errors are of one kind, show no key, and are never taken for
// an empty account or a rental that is gone.
func FuzzCalls(f *testing.F) {
	f.Add(200, page(1, "", 1))
	f.Add(200, `{"instances":null}`)
	f.Add(200, `{"instances":{"id":9,"dph_total":0.5}}`)
	f.Add(200, `{"id":5,"credit":12.5}`)
	f.Add(200, `{"results":[{"amount":"0.5","source":"instance-9","start":1}],"next_token":null}`)
	f.Add(200, `{"pending_price_increases":[{"pending_price_increase_id":1,"contract_id":9,"new_gpu_costpersec":1e-9}]}`)
	f.Add(200, `[{"id":1,"public_key":"ssh-ed25519 A"}]`)
	f.Add(200, `{"success":true,"result_url":"https://s3.test/log","new_contract":7,"key":{"id":1}}`)
	for _, test := range rentVerdicts() {
		f.Add(test.status, test.body)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 100 || status > 999 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			answer := func(int, *http.Request) (*http.Response, error) { return respond(status, body), nil }
			client := newTestClient(t, &wire{answer: answer}, withoutLimits)
			for name, call := range everyCall() {
				err := call(t, client)
				var failure *fleet.ProviderError
				if err == nil {
					continue
				}
				if !errors.As(err, &failure) || failure.Kind == "" || failure.Operation == "" {
					t.Errorf("%s: error %#v", name, err)
				}
				if strings.Contains(err.Error(), testKey) {
					t.Errorf("%s: the error shows the key", name)
				}
			}
		})
	})
}

// everyCall is every call of the client, each with what must be true of its answer.
func everyCall() map[string]func(*testing.T, *Client) error {
	day := time.Unix(1_800_000_000, 0)
	return map[string]func(*testing.T, *Client) error{
		"list": func(t *testing.T, c *Client) error {
			t.Helper()
			listing, err := c.ListRentals(t.Context())
			if (err != nil) != (listing.Rentals == nil) {
				t.Errorf("listing %+v beside error %v", listing, err)
			}
			return err
		},
		"get": func(t *testing.T, c *Client) error {
			t.Helper()
			rental, err := c.GetRental(t.Context(), 9)
			if rental != nil && rental.ID != 9 {
				t.Errorf("asked for rental 9, got %d", rental.ID)
			}
			return err
		},
		"search": func(t *testing.T, c *Client) error {
			t.Helper()
			offers, err := c.SearchOffers(t.Context(), fleet.OfferQuery{DiskGB: 8})
			for _, offer := range offers {
				if offer.ID <= 0 || offer.PriceUSDPerHour < 0 {
					t.Errorf("offer %+v", offer)
				}
			}
			return err
		},
		"user": func(t *testing.T, c *Client) error {
			t.Helper()
			user, err := c.CurrentUser(t.Context())
			if err == nil && user.ID <= 0 {
				t.Errorf("user %+v", user)
			}
			return err
		},
		"rent": func(t *testing.T, c *Client) error {
			t.Helper()
			id, err := rentOnce(t.Context(), c)
			if (err == nil) != (id > 0) {
				t.Errorf("rental %d beside error %v", id, err)
			}
			return err
		},
		"destroy": func(t *testing.T, c *Client) error {
			t.Helper()
			return c.DestroyRental(t.Context(), 9)
		},
		"label": func(t *testing.T, c *Client) error {
			t.Helper()
			return c.SetLabel(t.Context(), 9, "x")
		},
		"logs": func(t *testing.T, c *Client) error {
			t.Helper()
			_, err := c.Logs(t.Context(), 9, 10)
			return err
		},
		"keys": func(t *testing.T, c *Client) error {
			t.Helper()
			_, err := c.SSHKeys(t.Context())
			return err
		},
		"add key": func(t *testing.T, c *Client) error {
			t.Helper()
			_, err := c.AddSSHKey(t.Context(), "k")
			return err
		},
		"charges": func(t *testing.T, c *Client) error {
			t.Helper()
			_, err := c.Charges(t.Context(), day, day.Add(time.Hour))
			return err
		},
		"increases": func(t *testing.T, c *Client) error {
			t.Helper()
			increases, err := c.PendingPriceIncreases(t.Context())
			for _, increase := range increases {
				if increase.RentalID <= 0 || increase.NewGPUUSDPerHour < 0 {
					t.Errorf("increase %+v", increase)
				}
			}
			return err
		},
	}
}

// FuzzRedaction: whatever stands around them, the key and what was sent do not show.
func FuzzRedaction(f *testing.F) {
	f.Add("Invalid user key ", " at ")
	f.Add(strings.Repeat("x", maxScanned), "=")
	f.Add(`{"a":"`, `"}`)
	redactor := newRedactor(testKey)
	f.Fuzz(func(t *testing.T, before, after string) {
		const password = "verySecretPassword1"
		text := before + testKey + after + password + before
		for _, shown := range []string{redactor.text(text, []string{password}), redactor.message(text, []string{password})} {
			if strings.Contains(shown, testKey) || strings.Contains(shown, password) {
				t.Errorf("%q shows a secret", shown)
			}
		}
	})
}

// FuzzSearchRequest: any raw filter of a user is sent as JSON, or refused.
func FuzzSearchRequest(f *testing.F) {
	f.Add("cpu_arch", "eq", "amd64")
	f.Add("limit", "in", "1e5")
	f.Add("order", "gte", "true")
	f.Fuzz(func(t *testing.T, key, operator, value string) {
		transport := always(200, `{"offers":[]}`)
		query := fleet.OfferQuery{DiskGB: 8, Extra: []fleet.ExtraFilter{{Key: key, Operator: operator, Values: []string{value}}}}
		_, err := newTestClient(t, transport, withoutLimits).SearchOffers(context.Background(), query)
		for _, sent := range transport.calls() {
			if !json.Valid([]byte(sent.Body)) {
				t.Errorf("sent %s", sent.Body)
			}
		}
		if err != nil && fleet.KindOf(err) != fleet.KindNotSent {
			t.Errorf("error %v", err)
		}
	})
}
