package vastai

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

const (
	// logPolls and logPollInterval are how long the upload of a log is waited for.
	logPolls        = 30
	logPollInterval = 300 * time.Millisecond
	// maxLog bounds a log; what lies behind is cut off.
	maxLog = 256 << 10
)

// Logs returns the last lines of a container's log, without terminal colours
// and without what looks like a secret, at most 256 KiB. The platform uploads
// the log to a storage server, which takes seconds and is waited for. That
// server is never shown the key. Source: PUT /api/v0/instances/request_logs/{id}/.
func (c *Client) Logs(ctx context.Context, id int64, tailLines int) (string, error) {
	var answer schema.LogsResponse
	request := &call{
		endpoint: EndpointLogs, operation: "logs", method: http.MethodPut,
		path: fmt.Sprintf("/api/v0/instances/request_logs/%d/", id),
		body: schema.LogsRequest{Tail: schema.Text(schema.Int(int64(tailLines)))}, into: &answer,
	}
	if err := c.read(ctx, request); err != nil {
		return "", err
	}
	target, ok := logURL(string(answer.ResultURL))
	if !ok {
		return "", c.invalid(request, "the answer has no usable address of the log")
	}
	for poll := range logPolls {
		if poll > 0 && !sleep(ctx, c.clock, logPollInterval) {
			return "", request.failure(fleet.KindUnavailable, "gave up waiting for the log", ctx.Err())
		}
		log, uploaded, err := c.fetchLog(ctx, request, target)
		if err != nil {
			return "", err
		}
		if uploaded {
			//warmpool:gate redact-log
			return c.redactor.text(plainText(log), nil), nil
		}
	}
	return "", request.failure(fleet.KindUnavailable, "the log was not uploaded in time", nil)
}

// fetchLog asks the storage server once; a 403 or 404 means not yet. The
// address is signed, so it is in no error.
func (c *Client) fetchLog(ctx context.Context, request *call, target string) (log string, uploaded bool, err error) {
	get, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return "", false, c.invalid(request, "the address of the log cannot be used")
	}
	get.Header.Set("User-Agent", c.wire.userAgent)
	answer, err := c.wire.exchange(get, request.timeout, maxLog)
	switch {
	case errors.Is(err, errTooLarge) && answer.status == http.StatusOK:
		return string(answer.body), true, nil
	case err != nil:
		request.status = 0
		return "", false, request.failure(fleet.KindUnavailable, "the log cannot be fetched", c.redactor.wrap(err, []string{target}))
	}
	switch answer.status {
	case http.StatusOK:
		return string(answer.body), true, nil
	case http.StatusForbidden, http.StatusNotFound:
		return "", false, nil
	default:
		request.status = answer.status
		return "", false, request.failure(fleet.KindUnavailable, "the storage server refuses the log", nil)
	}
}

// logURL accepts absolute web addresses without credentials in them.
func logURL(text string) (string, bool) {
	target, err := url.Parse(text)
	if err != nil || target.Host == "" || target.User != nil {
		return "", false
	}
	return text, target.Scheme == "http" || target.Scheme == "https"
}

// plainText removes terminal control sequences and control characters and
// repairs broken characters. What a carriage return overwrote is dropped, so
// that a progress bar is one line.
func plainText(log string) string {
	sequences := regexp.MustCompile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[@-Z\\\\^_])")
	log = sequences.ReplaceAllString(strings.ToValidUTF8(log, "�"), "")
	lines := strings.Split(strings.ReplaceAll(log, "\r\n", "\n"), "\n")
	for i, line := range lines {
		line = strings.TrimRight(line, "\r")
		lines[i] = line[strings.LastIndexByte(line, '\r')+1:]
	}
	return strings.Map(func(c rune) rune {
		if c != '\n' && c != '\t' && unicode.IsControl(c) {
			return -1
		}
		return c
	}, strings.Join(lines, "\n"))
}
