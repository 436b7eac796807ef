package simulator

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

// FuzzRent proves that no body of a rent breaks the decoder or the checks.
func FuzzRent(f *testing.F) {
	for _, seed := range []string{`{}`, `{"image":"x","disk":"10","env":{"-p 8188:8188":"1"}}`, `{"env":[["a","b"]],"price":"x"}`, `{"disk":1e308,"label":7}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data string) {
		c := &call{body: []byte(data)}
		var body schema.RentRequest
		if _, ok := decode(c, &body); !ok {
			return
		}
		order, refused := newOrder(1, &body)
		if refused == nil && (order.image == "" || order.diskGB < minDiskGB) {
			t.Errorf("accepted: image %q, disk %v", order.image, order.diskGB)
		}
	})
}

// FuzzList proves that no list parameters break the parser.
func FuzzList(f *testing.F) {
	f.Add("25", "", `{"label":{"in":["a"]}}`, `[{"col":"id","dir":"asc"}]`)
	f.Add("-1", "eyJ2YWx1ZXMiOnsiaWQiOjF9fQ==", `{}`, `null`)
	f.Add("x", "%%", `[]`, `{}`)
	f.Fuzz(func(t *testing.T, limit, token, filters, order string) {
		query := url.Values{"limit": {limit}, "after_token": {token}, "select_filters": {filters}, "order_by": {order}}
		c := &call{request: &http.Request{URL: &url.URL{RawQuery: query.Encode()}}}
		if q, refused := parseList(c); refused == nil && (q.limit < 1 || q.limit > maxPage) {
			t.Errorf("limit %d of %q", q.limit, limit)
		}
	})
}
