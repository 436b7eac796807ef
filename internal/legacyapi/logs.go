package legacyapi

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/warmpool-dev/warmpool/internal/audit"
)

const (
	defaultRows = 50
	maxRows     = 100
	// maxOffset bounds how many records one question makes the log hold in memory.
	maxOffset = 100_000
)

// logsBody is the answer of admin/logs.
type logsBody struct {
	Total int      `json:"total"`
	Rows  []logRow `json:"rows"`
}

// logRow is a record in the columns of old, with those that prove it.
type logRow struct {
	ID          uint64        `json:"id"`
	Timestamp   string        `json:"ts"`
	Fingerprint *string       `json:"admin_fingerprint"`
	IP          string        `json:"ip"`
	Route       string        `json:"route"`
	Action      string        `json:"action"`
	Details     audit.Details `json:"details"`
	Outcome     audit.Outcome `json:"outcome"`
	Previous    string        `json:"prev"`
	MAC         string        `json:"mac"`
}

// logs shows audit records, the youngest first.
func (s *Server) logs(ctx context.Context, c *call) answer {
	query, err := logQuery(c.request.URL.Query())
	if err != nil {
		return refuse(http.StatusBadRequest, "%s", err)
	}
	page, err := s.options.Audit.Query(ctx, query)
	if err != nil {
		s.log.Error(err, "Reading the audit log failed")
		return refuse(http.StatusInternalServerError, "the audit log cannot be read; the sidecar's log says why")
	}
	body := logsBody{Total: page.Total, Rows: []logRow{}}
	for k := range page.Records {
		body.Rows = append(body.Rows, rowOf(&page.Records[k]))
	}
	return ok(body).with(audit.Details{
		"limit": audit.Number(int64(query.Limit)), "offset": audit.Number(int64(query.Offset)),
		"since": audit.Text(query.Since), "action": audit.Text(query.Action),
	})
}

func rowOf(record *audit.Record) logRow {
	return logRow{
		ID: record.Sequence, Timestamp: record.TimeText(), Fingerprint: textOrNull(string(record.Actor)), IP: record.Peer,
		Route: record.Route, Action: record.Action, Details: record.Details, Outcome: record.Outcome,
		Previous: record.Previous, MAC: record.MAC,
	}
}

// logQuery reads the four parameters. A limit beyond the most is cut, as it was.
func logQuery(given url.Values) (audit.Query, error) {
	const longest = 64
	limit, err := countOf(given, "limit", defaultRows)
	if err != nil {
		return audit.Query{}, err
	}
	offset, err := countOf(given, "offset", 0)
	if err != nil {
		return audit.Query{}, err
	}
	if offset > maxOffset {
		return audit.Query{}, fmt.Errorf("offset must be at most %d; use since", maxOffset)
	}
	if len(given.Get("since")) > longest || len(given.Get("action")) > longest {
		return audit.Query{}, fmt.Errorf("since and action have at most %d characters", longest)
	}
	return audit.Query{Since: given.Get("since"), Action: given.Get("action"), Limit: min(limit, maxRows), Offset: offset}, nil
}

// countOf reads a whole number that is not negative; empty and 0 are the fallback.
func countOf(given url.Values, name string, fallback int) (int, error) {
	text := given.Get(name)
	if text == "" {
		return fallback, nil
	}
	number, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%s must be a whole number from 0", name)
	}
	if number == 0 {
		return fallback, nil
	}
	return int(number), nil
}
