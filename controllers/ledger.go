package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// ledgerSession is what a process remembers of an account's ledger between two
// sweeps.
type ledgerSession struct {
	memory planner.LedgerMemory
	// sweptAt is when the last counted sweep began, with the reading of the
	// clock that nobody can set.
	sweptAt time.Time
	// triedAt is when the charges were last asked for.
	triedAt time.Time
}

const (
	// correctionRetry is the pause after charges that could not be read.
	correctionRetry = time.Hour
	// correctionTimeout bounds the reading: a sweep waits for it, once a day.
	correctionTimeout = 20 * time.Second
)

// keepLedger counts a trusted sweep into the status that is about to be
// written, so that what is counted and until when are one write. The function
// that it returns is to be called when that write has succeeded.
//
// An untrusted sweep counts nothing: the next trusted one counts for it. So
// does a failure here, which must not hold up the rest of the status.
func (r *VastAccountReconciler) keepLedger(ctx context.Context, in *sweepInput, plan *sweepPlan) func() {
	//warmpool:gate ledger-counts-trusted-sweeps-only
	if !plan.sweep.Trusted {
		return func() {}
	}
	var pools warmpool.WarmPoolList
	if err := r.Client.List(ctx, &pools, client.InNamespace(in.account.Namespace)); err != nil {
		log.FromContext(ctx).Error(err, "Counting what is spent waits for the next sweep")
		return func() {}
	}
	status, next := &in.account.Status, in.session.ledgerMemory()
	at := plan.sweep.Listing.StartedAt
	input := planner.LedgerInput{
		Ledger: plannerLedger(status.Ledger), Memory: next.memory,
		Rentals: plan.sweep.Listing.Rentals, Instances: in.planned, Installation: r.InstallationID,
		At: at, LongGap: maxSweepAge(in.account, plan.sweep.Listing.FinishedAt.Sub(at)),
		Pools: map[string][]planner.LedgerZone{}, Account: ledgerZones(in.account.Spec.Budgets),
	}
	if !next.sweptAt.IsZero() {
		input.Elapsed = at.Sub(next.sweptAt)
	}
	for k := range pools.Items {
		if pool := &pools.Items[k]; pool.Spec.AccountRef.Name == in.account.Name {
			input.Pools[pool.Name] = ledgerZones(pool.Spec.Cost.Budgets)
		}
	}
	ledger, memory := planner.IntegrateLedger(&input)
	next.memory, next.sweptAt = memory, at
	shown := statusLedger(&ledger, status.Ledger)
	correction := r.correctLedger(ctx, in, &next, shown)
	status.Ledger = shown
	spent := spentOf(&shown.Account, shown.Through.Time)
	status.SpentTodayUSD, status.SpentMonthUSD, status.ProjectedMonthUSD = spent.today, spent.month, spent.projected
	return func() {
		in.session.rememberLedger(next)
		if correction != nil && correction.IsLarge() {
			r.event(in.account, correction.CorrectionUSD > 0, reasonLedgerCorrected, "CompareCharges", correctionMessage(correction))
		}
	}
}

// reasonLedgerCorrected is the event of a large correction.
const reasonLedgerCorrected = "LedgerCorrected"

func correctionMessage(c *planner.LedgerCorrection) string {
	return fmt.Sprintf("Vast.ai charged $%s for %s, and $%s was counted. The ledger is corrected by $%s. Traffic, volumes and serverless show in the charges only; if none of these explains it, compare status.ledger with the billing page of Vast.ai.",
		c.ChargedUSD, c.Day, c.LedgerUSD, c.CorrectionUSD)
}

// correctLedger compares finished days with the charges, once a day. It
// returns the comparison of the newest of them, nil when there was none.
func (r *VastAccountReconciler) correctLedger(ctx context.Context, in *sweepInput, next *ledgerSession, shown *warmpool.Ledger) *planner.LedgerCorrection {
	now, last := r.Clock.Now(), ""
	if shown.LastCorrection != nil {
		last = shown.LastCorrection.Day
	}
	ledger := plannerLedger(shown)
	due := planner.DueCorrection(ledger, last)
	if len(due) == 0 || (!next.triedAt.IsZero() && now.Sub(next.triedAt) < correctionRetry && !now.Before(next.triedAt)) {
		return nil
	}
	next.triedAt = now
	ctx, cancel := context.WithTimeout(ctx, correctionTimeout)
	defer cancel()
	var newest *planner.LedgerCorrection
	for _, begins := range due {
		const oneDay = 24 * time.Hour
		charges, err := in.link.provider.Charges(ctx, begins, begins.Add(oneDay-time.Second))
		if err != nil {
			log.FromContext(ctx).Info("Reading the charges failed; what is spent is not compared", "error", err.Error())
			shown.CorrectionProblem = bounded(chargesProblem(err), maxMessage)
			return nil
		}
		corrected, comparison := planner.CorrectLedger(ledger, &planner.ChargedDay{
			Begins: begins, Charges: charges, Pools: next.memory.Pools(), Installation: r.InstallationID,
		})
		ledger = &corrected
		if newest == nil {
			newest = &comparison
		}
	}
	*shown = *statusLedger(ledger, shown)
	shown.CorrectionProblem = ""
	shown.LastCorrection = &warmpool.LedgerCorrection{
		Day: newest.Day, LedgerUSD: signedUSD(newest.LedgerUSD), ChargedUSD: signedUSD(newest.ChargedUSD),
		CorrectionUSD: signedUSD(newest.CorrectionUSD), Time: metav1.Time{Time: now},
	}
	return newest
}

// chargesProblem says it with the remedy.
func chargesProblem(err error) string {
	var refusal *fleet.ProviderError
	if errors.As(err, &refusal) && refusal.Kind == fleet.KindForbidden {
		return "The API key may not read the charges, so what is counted is not compared with them. Make a key with billing_read as well. " + err.Error()
	}
	return "The charges cannot be read; it is tried again every hour. " + err.Error()
}

// ledgerMemory returns what this process remembers.
func (a *accountSession) ledgerMemory() ledgerSession {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ledger
}

// rememberLedger keeps what the next sweep counts on from.
func (a *accountSession) rememberLedger(next ledgerSession) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ledger = next
}

// spentFigures are the three figures that people look at.
type spentFigures struct{ today, month, projected warmpool.SignedUSD }

// spentOf reads them from totals that are counted until a moment.
func spentOf(totals *warmpool.LedgerTotals, through time.Time) spentFigures {
	var figures spentFigures
	for k := range totals.Windows {
		window := &totals.Windows[k]
		if window.TimeZone != planner.ZoneUTC {
			continue
		}
		switch window.Period {
		case warmpool.BudgetDay:
			figures.today = window.SpentUSD
		case warmpool.BudgetMonth:
			left := planner.PeriodEnd(planner.PeriodMonth, time.UTC, window.Start.Time).Sub(through)
			rest := usdOf(string(totals.USDPerHour)).ForSeconds(int64(left / time.Second))
			figures.month, figures.projected = window.SpentUSD, signedUSD(usdOf(string(window.SpentUSD))+rest)
		default:
		}
	}
	return figures
}

// ledgerShownEvery is how old the figures in a pool's status may get before
// they are written anew: a pool that is otherwise quiet is not written with
// every sweep.
const ledgerShownEvery = time.Minute

// showSpent copies the pool's part of its account's ledger.
func showSpent(in *poolInput, before, cost *warmpool.PoolCostStatus) {
	cost.SpentTodayUSD, cost.SpentMonthUSD = before.SpentTodayUSD, before.SpentMonthUSD
	cost.ProjectedMonthUSD, cost.LedgerThrough = before.ProjectedMonthUSD, before.LedgerThrough
	if in.account == nil || in.account.Status.Ledger == nil {
		return
	}
	ledger := in.account.Status.Ledger
	if age := ledger.Through.Sub(timeOf(before.LedgerThrough)); age >= 0 && age < ledgerShownEvery {
		return
	}
	for k := range ledger.Pools {
		if ledger.Pools[k].Name == in.pool.Name {
			spent := spentOf(&ledger.Pools[k].LedgerTotals, ledger.Through.Time)
			cost.SpentTodayUSD, cost.SpentMonthUSD, cost.ProjectedMonthUSD = spent.today, spent.month, spent.projected
			cost.LedgerThrough = wholeSecond(ledger.Through.Time)
		}
	}
}
