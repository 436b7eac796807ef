package plugin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/controllers"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// The answers of a check.
const (
	answerYes     = "yes"
	answerNo      = "NO"
	answerUnknown = "unknown"
)

// whyReport explains why a pool is or is not at its size. Money is in dollars.
type whyReport struct {
	Namespace string      `json:"namespace"`
	Pool      string      `json:"pool"`
	AtSize    bool        `json:"atSize"`
	Reason    string      `json:"reason"`
	Message   string      `json:"message"`
	Checks    []check     `json:"checks"`
	Offers    *offersView `json:"offers,omitempty"`
	Waiting   []waitView  `json:"waiting"`
	OnTheWay  []waitView  `json:"onTheWay"`
	Failures  []failView  `json:"failures"`
}

// check is one thing that must hold before the next instance is rented.
type check struct {
	Name string `json:"name"`
	// Answer is yes, NO or unknown.
	Answer string `json:"answer"`
	Detail string `json:"detail"`
}

// offersView is what became of the offers of the last search.
type offersView struct {
	Time               string       `json:"time"`
	For                string       `json:"for"`
	Seen               int32        `json:"seen"`
	Passed             int32        `json:"passed"`
	CheapestUSDPerHour string       `json:"cheapestUSDPerHour,omitempty"`
	Filters            []filterView `json:"filters"`
}

// filterView is one filter that turned offers away, in the order of the filters.
type filterView struct {
	Filter   string `json:"filter"`
	Field    string `json:"field"`
	Value    string `json:"value"`
	Rejected int32  `json:"rejected"`
	// Left is how many offers passed this filter and those before it.
	Left int32 `json:"left"`
}

// waitView is an instance that is not ready.
type waitView struct {
	Instance string `json:"instance"`
	Reason   string `json:"reason"`
	Message  string `json:"message"`
	Since    string `json:"since,omitempty"`
}

// failView is an instance that was given up lately.
type failView struct {
	Instance  string `json:"instance"`
	Machine   int64  `json:"machineID,omitempty"`
	Reason    string `json:"reason"`
	Message   string `json:"message"`
	Time      string `json:"time"`
	HostFault bool   `json:"hostFault"`
	LogTail   string `json:"logTail,omitempty"`
}

func newWhy(o *options) *cobra.Command {
	command := &cobra.Command{
		Use:   "why POOL",
		Short: "Explain why a pool is not at its size: every check, every filter of offers, every failure",
		Long: "why explains what stands between a pool and its size: what must hold before the next instance is rented, how many offers of the\n" +
			"market each filter of the pool turned away, what waits, what is on its way, and what failed lately with the end of its log.\n" +
			"It reads what the operator has written into the status; it asks nobody else and changes nothing.",
		Example:           "  kubectl warmpool why sdxl\n  kubectl warmpool why sdxl -o json",
		Args:              arguments(1, 1, "one pool"),
		ValidArgsFunction: o.completeFirst(kindPool),
		RunE:              o.aboutPool(func(seen *world, pool *warmpool.WarmPool) report { return seen.why(pool) }),
	}
	o.addOutput(command, false)
	return command
}

// why computes the explanation. It is pure.
func (w *world) why(pool *warmpool.WarmPool) *whyReport {
	full := conditionOf(pool.Status.Conditions, warmpool.ConditionFullyProvisioned)
	answer := &whyReport{
		Namespace: pool.Namespace, Pool: pool.Name, AtSize: full.Status == metav1.ConditionTrue,
		Reason: full.Reason, Message: full.Message,
		Waiting: []waitView{}, OnTheWay: []waitView{}, Failures: []failView{},
	}
	last := w.newestLook(pool)
	answer.Checks = w.checks(pool, last.admission)
	if last.admission != nil && last.admission.OffersSeen > 0 {
		answer.Offers = offersOf(pool, last)
	}
	for _, instance := range w.ofPool(pool) {
		w.sortIn(answer, instance)
	}
	for _, failure := range pool.Status.Failures.Recent {
		answer.Failures = append(answer.Failures, failView{
			Instance: failure.Instance, Machine: failure.MachineID, Reason: failure.Reason, Message: failure.Message,
			Time: moment(&failure.Time), HostFault: failure.HostFault, LogTail: failure.LogTail,
		})
	}
	return answer
}

// sortIn puts an instance that is not ready where it belongs.
func (w *world) sortIn(answer *whyReport, instance *warmpool.WarmInstance) {
	row := w.rowOf(instance)
	view := waitView{Instance: instance.Name, Reason: row.Reason, Message: row.Message, Since: moment(&instance.CreationTimestamp)}
	switch {
	case row.Terminating || row.Ready == string(metav1.ConditionTrue):
	case instance.Status.Rental == nil:
		answer.Waiting = append(answer.Waiting, view)
	default:
		answer.OnTheWay = append(answer.OnTheWay, view)
	}
}

// marketLook is an admission, and for whom it was decided.
type marketLook struct {
	admission *warmpool.Admission
	instance  string
}

// newestLook is the newest answer for an instance that waits, or what the pool remembers.
func (w *world) newestLook(pool *warmpool.WarmPool) marketLook {
	newest := marketLook{}
	for _, instance := range w.ofPool(pool) {
		last := instance.Status.LastAdmission
		if last == nil || instance.Status.Rental != nil || !instance.DeletionTimestamp.IsZero() {
			continue
		}
		if newest.admission == nil || newest.admission.Time.Before(&last.Time) {
			newest = marketLook{admission: last, instance: instance.Name}
		}
	}
	if newest.admission == nil {
		newest.admission = pool.Status.LastAdmission
	}
	return newest
}

// checks are what must hold before the next instance is rented, in the order in
// which the operator asks.
func (w *world) checks(pool *warmpool.WarmPool, last *warmpool.Admission) []check {
	account := w.account(pool.Namespace, pool.Spec.AccountRef.Name)
	paid := fromCondition("account", pool.Status.Conditions, warmpool.ConditionAccountReady)
	if account == nil {
		paid.Answer, paid.Detail = answerNo, fmt.Sprintf("There is no VastAccount %q in namespace %q, so nobody pays. Make it.", pool.Spec.AccountRef.Name, pool.Namespace)
	}
	checks := []check{
		w.checkSize(pool), checkMode(pool), paid,
		fromCondition("budgets", pool.Status.Conditions, warmpool.ConditionWithinBudget),
		w.checkFailures(pool),
		fromCondition("health", pool.Status.Conditions, warmpool.ConditionHealthBudgetOK),
		fromCondition("offers", pool.Status.Conditions, warmpool.ConditionOffersAvailable),
		w.checkPoolCeiling(pool, last),
	}
	if account != nil {
		checks = append(checks, checkAccountCeiling(account, last),
			fromCondition("balance", account.Status.Conditions, warmpool.ConditionBalanceSufficient))
	}
	return checks
}

// fromCondition makes a check of a condition.
func fromCondition(name string, conditions []metav1.Condition, kind string) check {
	found := conditionOf(conditions, kind)
	answer := answerUnknown
	switch found.Status {
	case metav1.ConditionTrue:
		answer = answerYes
	case metav1.ConditionFalse:
		answer = answerNo
	default:
	}
	return check{Name: name, Answer: answer, Detail: found.Message}
}

// checkSize says what is wanted and what there is.
func (w *world) checkSize(pool *warmpool.WarmPool) check {
	preview := w.preview(pool)
	wanted := int(replicasOf(pool))
	parts := []string{fmt.Sprintf("spec.replicas is %d", wanted)}
	waiting := 0
	for _, claim := range w.claimsOf(pool) {
		if claim.Status.BoundTime == nil {
			waiting++
		}
	}
	if waiting > 0 {
		parts = append(parts, plural(waiting, "claim waits", "claims wait"))
	}
	counts := preview.Verdict.PoolCounts
	parts = append(parts, countsInWords(&counts))
	answer := answerYes
	if counts.Ready < wanted+waiting {
		answer = answerNo
	}
	return check{Name: "size", Answer: answer, Detail: strings.Join(parts, "; ") + "."}
}

// countsInWords names the states that instances are in.
func countsInWords(counts *planner.PoolCounts) string {
	words := []string{fmt.Sprintf("%d ready", counts.Ready)}
	for _, state := range []struct {
		n    int
		word string
	}{
		{counts.Claimed, "claimed"},
		{counts.Provisioning, "on the way"},
		{counts.Pending, "waiting"},
		{counts.Unhealthy, "unhealthy"},
		{counts.Unknown, "of unknown outcome"},
		{counts.Terminating, "ending"},
	} {
		if state.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", state.n, state.word))
		}
	}
	return strings.Join(words, ", ")
}

func checkMode(pool *warmpool.WarmPool) check {
	if pool.Spec.Mode == warmpool.PoolActive {
		return check{Name: "mode", Answer: answerYes, Detail: "spec.mode is Active."}
	}
	return check{Name: "mode", Answer: answerNo, Detail: fmt.Sprintf("spec.mode is %s, so nothing is rented. Set it to Active to resume.", pool.Spec.Mode)}
}

// checkFailures says whether the pool waits after failures.
func (w *world) checkFailures(pool *warmpool.WarmPool) check {
	failures := &pool.Status.Failures
	if failures.Consecutive == 0 {
		return check{Name: "failures", Answer: answerYes, Detail: "No instance failed since the last one became ready."}
	}
	detail := fmt.Sprintf("%s in a row", plural(int(failures.Consecutive), "instance failed", "instances failed"))
	if next := failures.NextAttemptTime; next != nil && next.After(w.now) {
		return check{Name: "failures", Answer: answerNo, Detail: detail + "; the next one is rented after " + moment(next) + "."}
	}
	return check{Name: "failures", Answer: answerYes, Detail: detail + "; the pause is over, and one is rented at a time."}
}

// checkPoolCeiling compares the headroom of the pool with what the next one needs.
func (w *world) checkPoolCeiling(pool *warmpool.WarmPool, last *warmpool.Admission) check {
	committed := fleet.USDMicros(0)
	for _, instance := range w.ofPool(pool) {
		committed += controllers.InstanceCost(instance)
	}
	return checkCeiling("ceiling of the pool", "spec.cost.ceilingUSDPerHour", dollars(pool.Spec.Cost.CeilingUSDPerHour), committed, last)
}

func checkAccountCeiling(account *warmpool.VastAccount, last *warmpool.Admission) check {
	return checkCeiling("ceiling of the account", "spec.ceilingUSDPerHour of VastAccount "+account.Name, dollars(account.Spec.CeilingUSDPerHour), dollars(account.Status.CommittedUSDPerHour), last)
}

// checkCeiling says what is left below a ceiling, and whether the next instance
// fits into it.
func checkCeiling(name, field string, ceiling, committed fleet.USDMicros, last *warmpool.Admission) check {
	left := ceiling - committed
	detail := fmt.Sprintf("%s of %s is committed, %s is left", perHour(committed), perHour(ceiling), perHour(max(left, 0)))
	if left < 0 {
		return check{Name: name, Answer: answerNo, Detail: fmt.Sprintf("%s of %s is committed, %s too much (%s).", perHour(committed), perHour(ceiling), perHour(-left), field)}
	}
	price := fleet.USDMicros(0)
	if last != nil && last.Decision != warmpool.DecisionAdmitted {
		price = dollars(last.CheapestOfferUSDPerHour)
	}
	switch {
	case price == 0:
		return check{Name: name, Answer: answerYes, Detail: detail + "."}
	case price > left:
		return check{Name: name, Answer: answerNo, Detail: fmt.Sprintf("%s; the cheapest offer that matches costs %s, %s too much (%s).", detail, perHour(price), perHour(price-left), field)}
	default:
		return check{Name: name, Answer: answerYes, Detail: fmt.Sprintf("%s; the cheapest offer that matches costs %s.", detail, perHour(price))}
	}
}

// offersOf shows filter by filter what became of the offers.
func offersOf(pool *warmpool.WarmPool, last marketLook) *offersView {
	view := &offersView{
		Time: last.admission.Time.UTC().Format(time.RFC3339), For: last.instance, Seen: last.admission.OffersSeen,
		CheapestUSDPerHour: string(last.admission.CheapestOfferUSDPerHour), Filters: []filterView{},
	}
	left := view.Seen
	rejected := slices.Clone(last.admission.RejectedBy)
	slices.SortStableFunc(rejected, func(a, b warmpool.RejectedOffers) int { return orderOf(a.Reason) - orderOf(b.Reason) })
	for _, filter := range rejected {
		left -= filter.Count
		field, value := filterField(pool, planner.OfferFilter(filter.Reason))
		view.Filters = append(view.Filters, filterView{Filter: filter.Reason, Field: field, Value: value, Rejected: filter.Count, Left: left})
	}
	view.Passed = left
	return view
}
