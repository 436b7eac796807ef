package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/warmpool-dev/warmpool/internal/audit"
)

// measureAudit lets 200 clients append to an audit log at the same time, and then
// verifies what they wrote. The directory is on the disk that holds the logs of
// the bench: an fsync is what that disk makes of it.
func measureAudit(ctx context.Context, b *bench) (err error) {
	const (
		clients = 200
		watched = 5 * time.Second
		// A request of the old HTTP surface may wait so long for its record.
		appendBound = 50.0
		// 100,000 records in a second.
		verifyBound = 10.0
		salt        = "the salt of the benchmarks"
	)
	dir := filepath.Join(b.directory, "audit")
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	log, err := audit.Open(audit.Options{Dir: dir, Component: "bench", Salt: salt})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var group sync.WaitGroup
	counts, failures := make([]int, clients), make([]error, clients)
	started := time.Now()
	for k := range clients {
		entry := audit.Entry{
			Actor: log.Fingerprint("key of the benchmarks"), Peer: "127.0.0.1", Route: "/api/proxy/admin/warm-pool", Action: "set_warm_pool", Outcome: audit.OutcomeOK,
			Details: audit.Details{"client": audit.Number(int64(k)), "before": audit.Number(1), "after": audit.Text(strings.Repeat("x", 100))},
		}
		group.Go(func() {
			for time.Since(started) < watched && failures[k] == nil {
				_, failures[k] = log.Append(ctx, &entry)
				counts[k]++
			}
		})
	}
	group.Wait()
	took := time.Since(started)
	if err = errors.Join(errors.Join(failures...), log.Close()); err != nil {
		return err
	}
	appended := 0
	for _, count := range counts {
		appended += count
	}
	head := log.Head()
	started = time.Now()
	report, err := audit.Verify(ctx, audit.VerifyOptions{Dir: dir, Salts: []string{salt}, Head: &head})
	if err != nil {
		return err
	}
	verifying := time.Since(started)
	if report.Broken != nil || report.Records != appended+1 {
		return fmt.Errorf("%d appends left %d records, and this is broken: %v", appended, report.Records, report.Broken)
	}
	b.note("audit: %.0f appends in a second, each durable; %.0f records verified in a second", float64(appended)/took.Seconds(), float64(report.Records)/verifying.Seconds())
	return errors.Join(
		b.report("audit-append-200", took.Seconds()*1000*clients/float64(appended), "ms", appendBound),
		b.report("audit-verify", verifying.Seconds()*1e6/float64(report.Records), "us/record", verifyBound),
	)
}
