package main

import (
	"context"
	"crypto/rand"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/audithead"
	"github.com/warmpool-dev/warmpool/internal/legacyapi"
	"github.com/warmpool-dev/warmpool/internal/legacyapi/page"
	"github.com/warmpool-dev/warmpool/internal/options"
)

// servePage puts the admin page into the server, and keeps what it shows up to
// date until ctx ends. The function that it returns waits for that.
func servePage(ctx context.Context, settings *options.Sidecar, made *parts, server *legacyapi.Server) (wait func(), err error) {
	ticks, log, pool := clock.RealClock{}, made.logger.WithName("AdminPage"), types.NamespacedName(settings.Pool)
	series := &page.Series{}
	watch := page.NewAuditWatch(made.records, verification(settings, made), ticks, log)
	handler, err := page.New(page.Options{
		Cluster: made.client, Pool: pool, Keys: server, Audit: made.records, Records: watch,
		Series: series, Clock: ticks, Random: rand.Reader, Log: log,
	})
	if err != nil {
		return nil, err
	}
	server.ServePage(handler, page.Path, page.LegacyPath)
	sampler := &page.Sampler{Reader: made.client, Pool: pool, Series: series, Clock: ticks, Log: log}
	var running sync.WaitGroup
	for _, start := range []func(context.Context) error{watch.Start, sampler.Start} {
		running.Go(func() { _ = start(ctx) }) //nolint:errcheck // they return nil when ctx has ended
	}
	return running.Wait, nil
}

// verification verifies the sidecar's own records against the head that was
// published last. Records under a salt of old pass when a later one vouches for them.
func verification(settings *options.Sidecar, made *parts) func(context.Context) (audit.Report, error) {
	heads := audithead.New(made.client, settings.Pool.Namespace, auditComponent)
	return func(ctx context.Context) (audit.Report, error) {
		head, err := heads.PublishedOf(ctx, made.records.Head().Log)
		if err != nil {
			return audit.Report{}, err
		}
		return audit.Verify(ctx, audit.VerifyOptions{
			Dir: settings.AuditDir, Component: auditComponent, Salts: []string{made.salt}, Head: head, AcceptUnknownSalts: true,
		})
	}
}
