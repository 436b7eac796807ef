package metrics

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// collectTimeout bounds one scrape; the reads are from a local cache.
const collectTimeout = 5 * time.Second

// Collector reads pools, instances and accounts when it is scraped.
type Collector struct {
	reader  client.Reader
	clock   clock.PassiveClock
	context func() context.Context
	leads   func() bool
	descs   map[string]*prometheus.Desc
}

// NewCollector reads the objects through reader, which should be a cache. The
// context function gives the context that a scrape belongs to; leads says
// whether this process may act.
func NewCollector(reader client.Reader, now clock.PassiveClock, scrapeContext func() context.Context, leads func() bool) *Collector {
	descs := map[string]*prometheus.Desc{}
	for _, d := range Descriptions() {
		descs[d.Name] = prometheus.NewDesc(d.Name, d.Help, d.Labels, nil)
	}
	return &Collector{reader: reader, clock: now, context: scrapeContext, leads: leads, descs: descs}
}

// collected names the metrics that Collect sends; the others are counters.
func collected() []string {
	return []string{
		namePoolInfo, nameReplicas, nameDesired, nameMinimum, nameClaims, namePoolCommitted, namePoolObserved, namePoolCeiling, namePoolHeadroom, nameFailures,
		namePoolToday, namePoolMonth, namePoolProjected, nameAccountToday, nameAccountMonth, nameAccountProject, nameLedgerAge, nameCorrection,
		nameCondition, nameUnknownRents, nameUnknownAge, nameTerminatingAge, nameLeading, nameAccountBalance, nameAccountCommit, nameAccountCeiling,
		nameAccountList, nameLeaks, nameListTrusted, nameSweepAge, nameBlocked,
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, name := range collected() {
		out <- c.descs[name]
	}
}

// Collect implements prometheus.Collector. A read that fails sends an invalid
// metric, so that the scrape fails visibly.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(c.context(), collectTimeout)
	defer cancel()
	var pools warmpool.WarmPoolList
	var instances warmpool.WarmInstanceList
	var accounts warmpool.VastAccountList
	var claims warmpool.WarmClaimList
	for _, list := range []client.ObjectList{&pools, &instances, &accounts, &claims} {
		if err := c.reader.List(ctx, list); err != nil {
			out <- prometheus.NewInvalidMetric(c.descs[nameReplicas], err)
			return
		}
	}
	out <- prometheus.MustNewConstMetric(c.descs[nameLeading], prometheus.GaugeValue, oneIf(c.leads()))
	oldest, states := c.oldest(instances.Items), claimStates(claims.Items)
	for k := range pools.Items {
		pool := &pools.Items[k]
		c.collectPool(out, pool, oldest[poolName{pool.Namespace, pool.Name}])
	}
	for k := range pools.Items {
		pool := &pools.Items[k]
		for _, state := range []string{claimWaiting, claimBound, claimFinished} {
			c.sender(out, pool.Namespace, pool.Name)(nameClaims, float64(states[poolName{pool.Namespace, pool.Name}][state]), state)
		}
	}
	for k := range accounts.Items {
		c.collectAccount(out, &accounts.Items[k])
	}
}

// The states of a claim.
const (
	claimWaiting  = "waiting"
	claimBound    = "bound"
	claimFinished = "finished"
)

// claimStates counts the claims of each pool by their state.
func claimStates(claims []warmpool.WarmClaim) map[poolName]map[string]int {
	counts := map[poolName]map[string]int{}
	for k := range claims {
		claim := &claims[k]
		state := claimWaiting
		switch {
		case claim.Status.FinishedTime != nil:
			state = claimFinished
		case claim.Status.BoundTime != nil:
			state = claimBound
		default:
		}
		key := poolName{claim.Namespace, claim.Spec.PoolRef.Name}
		if counts[key] == nil {
			counts[key] = map[string]int{}
		}
		counts[key][state]++
	}
	return counts
}

type poolName struct{ namespace, name string }

// ages are those of what a pool waits for, in seconds.
type ages struct{ terminating, unknown float64 }

// oldest finds, per pool, how long the oldest deletion and the oldest rent of
// unknown outcome last.
func (c *Collector) oldest(instances []warmpool.WarmInstance) map[poolName]ages {
	oldest := map[poolName]ages{}
	for k := range instances {
		instance := &instances[k]
		key := poolName{instance.Namespace, instance.Spec.PoolRef.Name}
		found := oldest[key]
		if !instance.DeletionTimestamp.IsZero() {
			found.terminating = max(found.terminating, c.clock.Since(instance.DeletionTimestamp.Time).Seconds())
		}
		for _, attempt := range instance.Status.Attempts {
			if attempt.Outcome == warmpool.AttemptUnknown || attempt.Outcome == warmpool.AttemptPending {
				found.unknown = max(found.unknown, c.clock.Since(attempt.StartedTime.Time).Seconds())
			}
		}
		oldest[key] = found
	}
	return oldest
}

func (c *Collector) collectPool(out chan<- prometheus.Metric, pool *warmpool.WarmPool, oldest ages) {
	gauge := c.sender(out, pool.Namespace, pool.Name)
	status := &pool.Status
	gauge(namePoolInfo, 1, pool.Spec.AccountRef.Name, string(pool.Spec.Mode))
	for state, count := range map[string]int32{
		"ready": status.ReadyReplicas, "claimed": status.ClaimedReplicas, "pending": status.PendingReplicas,
		"provisioning": status.ProvisioningReplicas, "unhealthy": status.UnhealthyReplicas,
		"unknown": status.UnknownReplicas, "terminating": status.TerminatingReplicas,
	} {
		gauge(nameReplicas, float64(count), state)
	}
	if pool.Spec.Replicas != nil {
		gauge(nameDesired, float64(*pool.Spec.Replicas))
	}
	switch {
	case pool.Spec.MinReadyReplicas != nil:
		gauge(nameMinimum, float64(*pool.Spec.MinReadyReplicas))
	case pool.Spec.Replicas != nil:
		gauge(nameMinimum, float64(*pool.Spec.Replicas))
	default:
	}
	gauge(namePoolCommitted, dollars(string(status.Cost.CommittedUSDPerHour)))
	gauge(namePoolObserved, dollars(string(status.Cost.ObservedUSDPerHour)))
	gauge(namePoolCeiling, dollars(string(pool.Spec.Cost.CeilingUSDPerHour)))
	gauge(namePoolHeadroom, dollars(string(status.Cost.HeadroomUSDPerHour)))
	if status.Cost.LedgerThrough != nil {
		gauge(namePoolToday, dollars(string(status.Cost.SpentTodayUSD)))
		gauge(namePoolMonth, dollars(string(status.Cost.SpentMonthUSD)))
		gauge(namePoolProjected, dollars(string(status.Cost.ProjectedMonthUSD)))
	}
	gauge(nameFailures, float64(status.Failures.Consecutive))
	gauge(nameUnknownRents, float64(status.UnknownReplicas))
	gauge(nameUnknownAge, oldest.unknown)
	gauge(nameTerminatingAge, oldest.terminating)
	c.collectConditions(out, "WarmPool", pool, status.Conditions)
}

func (c *Collector) collectAccount(out chan<- prometheus.Metric, account *warmpool.VastAccount) {
	gauge := c.sender(out, account.Namespace, account.Name)
	status := &account.Status
	// 0 would look as if there were no credit.
	if status.BalanceUSD != "" {
		gauge(nameAccountBalance, dollars(string(status.BalanceUSD)))
	}
	gauge(nameAccountCommit, dollars(string(status.CommittedUSDPerHour)))
	gauge(nameAccountCeiling, dollars(string(account.Spec.CeilingUSDPerHour)))
	c.collectLedger(gauge, status)
	gauge(nameAccountList, float64(status.Instances.Ours), "ours")
	gauge(nameAccountList, float64(status.Instances.Foreign), "foreign")
	gauge(nameLeaks, float64(len(status.SuspectedLeaks)))
	gauge(nameBlocked, float64(len(status.BlockedMachines)))
	gauge(nameListTrusted, oneIf(status.LastSweep != nil && status.LastSweep.Trusted))
	if status.LastSweep != nil && status.LastSweep.LastTrustedTime != nil {
		gauge(nameSweepAge, c.clock.Since(status.LastSweep.LastTrustedTime.Time).Seconds())
	}
	c.collectConditions(out, "VastAccount", account, status.Conditions)
}

// collectLedger sends what was spent, once it is counted: 0 would look as if
// nothing had been.
func (c *Collector) collectLedger(gauge func(string, float64, ...string), status *warmpool.VastAccountStatus) {
	if status.Ledger == nil {
		return
	}
	gauge(nameAccountToday, dollars(string(status.SpentTodayUSD)))
	gauge(nameAccountMonth, dollars(string(status.SpentMonthUSD)))
	gauge(nameAccountProject, dollars(string(status.ProjectedMonthUSD)))
	gauge(nameLedgerAge, c.clock.Since(status.Ledger.Through.Time).Seconds())
	if correction := status.Ledger.LastCorrection; correction != nil {
		gauge(nameCorrection, dollars(string(correction.CorrectionUSD)))
	}
}

// sender sends gauges of one object.
func (c *Collector) sender(out chan<- prometheus.Metric, namespace, name string) func(string, float64, ...string) {
	return func(metric string, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(c.descs[metric], prometheus.GaugeValue, value, append([]string{namespace, name}, labels...)...)
	}
}

func (c *Collector) collectConditions(out chan<- prometheus.Metric, kind string, object client.Object, conditions []metav1.Condition) {
	for _, condition := range conditions {
		out <- prometheus.MustNewConstMetric(c.descs[nameCondition], prometheus.GaugeValue, 1,
			kind, object.GetNamespace(), object.GetName(), condition.Type, string(condition.Status), condition.Reason)
	}
}

// oneIf is 1 for true.
func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// dollars reads an amount for a gauge; Prometheus knows floats only. An amount
// that is not there yet is 0.
func dollars(text string) float64 {
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0
	}
	return value
}
