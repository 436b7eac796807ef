// Package adminclient calls the admin API of a simulator, in this process or in
// its own. It imports nothing of this project.
package adminclient

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Client is the admin API of one simulator. Its methods may be called from
// several goroutines.
type Client struct {
	url  string
	http http.Client
}

// New does not connect.
func New(url string) *Client {
	const timeout = time.Minute
	return &Client{url: url, http: http.Client{Timeout: timeout}}
}

// Call makes one call: in is the body, unless nil, and into gets the answer,
// unless nil. An answer other than 200 is an error with what was refused.
func (c *Client) Call(ctx context.Context, method, path string, in, into any) error {
	body := []byte{}
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("asking the simulator for %s: %w", path, err)
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("asking the simulator for %s: %w", path, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // it was read to its end
	const most = 64 << 20
	text, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		var refusal struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(text, &refusal) == nil && refusal.Error != "" {
			return fmt.Errorf("the simulator refused: %s", refusal.Error)
		}
		return fmt.Errorf("the simulator answered %s", response.Status)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}
