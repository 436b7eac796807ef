package page

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
)

// poolView is everything that the page shows. Its texts are clean; the template
// escapes them.
type poolView struct {
	CSRF   string
	Notice *notice
	// Name and Namespace of the pool; Found is false when there is none.
	Name, Namespace string
	Found           bool
	// Problems say what could not be read.
	Problems []string
	Now      moment
	// Announce is what a screen reader is told when it changes.
	Announce string

	Mode, ModeText string
	// Active is true in the mode Active.
	Active bool
	Size   int
	Counts []countView
	Alerts []alertView

	Cost      costView
	Plot      *plot
	Budgets   []budgetView
	Days      []dayView
	Account   *accountView
	Instances []instanceView
	Claims    []claimView
	// ClaimMinutes is how long a claim holds its instance when it says nothing, and
	// ClaimMost the longest that the pool allows.
	ClaimMinutes, ClaimMost int
	Conditions              []conditionView
	Failures                []failureView
	Events                  []eventView
	Audit                   auditView
}

// countView is one number of instances.
type countView struct {
	Label string
	Value int32
	// State is the shape beside it.
	State string
	// Quiet is true for a zero that means nothing.
	Quiet bool
}

// alertView is something that wants attention.
type alertView struct {
	// Level is "error", "warning" or "info".
	Level string
	// Word says the level in words.
	Word, Title, Reason, Message string
}

// conditionView is one condition.
type conditionView struct {
	Type, Status, Reason, Message string
	Since                         moment
}

// newView makes the view of a snapshot.
func (p *Page) newView(s *snapshot) *poolView {
	v := &poolView{
		Name: p.options.Pool.Name, Namespace: p.options.Pool.Namespace,
		Now: momentOf(s.taken, s.taken), Found: s.pool != nil,
	}
	for _, problem := range s.problems {
		v.Problems = append(v.Problems, p.text.line(problem))
	}
	slices.Sort(v.Problems)
	if s.pool == nil {
		v.Announce = "There is no pool to show."
		return v
	}
	pool := s.pool
	v.Size, v.Counts = replicasOf(pool), countsOf(pool)
	v.Mode = p.text.line(cmp.Or(string(pool.Spec.Mode), string(v1alpha1.PoolActive)))
	v.ModeText, v.Active = modeText(pool.Spec.Mode), v.Mode == string(v1alpha1.PoolActive)
	v.Alerts = p.alerts(s)
	v.Cost = p.costView(s)
	v.Plot = plotOf(p.options.Series.Samples(), s.taken)
	v.Budgets, v.Days = p.budgets(s), p.days(s)
	v.Account = p.account(s)
	for i := range s.instances {
		v.Instances = append(v.Instances, p.instanceView(&s.instances[i], s))
	}
	v.Claims = p.claimViews(s)
	const secondsPerMinute = 60
	v.ClaimMinutes = int(claimTTL(pool, 0).Minutes())
	v.ClaimMost = cmp.Or(int(pool.Spec.ClaimPolicy.MaxTTLSeconds)/secondsPerMinute, maxMinutes)
	v.Conditions = p.conditions(pool.Status.Conditions, s)
	v.Failures = p.failureViews(s)
	v.Events = p.eventViews(s)
	v.Announce = announce(v, pool)
	return v
}

func announce(v *poolView, pool *v1alpha1.WarmPool) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d of %d ready, %d claimed, %s an hour committed.",
		pool.Status.ReadyReplicas, v.Size, pool.Status.ClaimedReplicas, v.Cost.Committed.Hour)
	for i := range v.Alerts {
		text.WriteString(" " + v.Alerts[i].Title + ".")
	}
	return text.String()
}

func modeText(mode v1alpha1.PoolMode) string {
	switch mode {
	case v1alpha1.PoolPaused:
		return "rents nothing, ends nothing voluntarily"
	case v1alpha1.PoolDryRun:
		return "decides and reports only"
	case v1alpha1.PoolDrain:
		return "rents nothing, ends what is not claimed"
	default:
		return "rents and ends as needed"
	}
}

func countsOf(pool *v1alpha1.WarmPool) []countView {
	status := &pool.Status
	counts := []countView{
		{Label: "Claimed", Value: status.ClaimedReplicas, State: stateClaimed},
		{Label: "On their way", Value: status.ProvisioningReplicas, State: stateStarting},
		{Label: "Waiting", Value: status.PendingReplicas, State: stateWaiting},
		{Label: "Unhealthy", Value: status.UnhealthyReplicas, State: stateUnhealthy},
		{Label: "Unknown", Value: status.UnknownReplicas, State: stateUnknown},
		{Label: "Ending", Value: status.TerminatingReplicas, State: stateEnding},
	}
	for i := range counts {
		counts[i].Quiet = counts[i].Value == 0
	}
	return slices.Insert(counts, 0, countView{Label: "Ready", Value: status.ReadyReplicas, State: stateReady})
}

// watched is a condition that wants attention when it has a status.
type watched struct {
	kind         string
	status       metav1.ConditionStatus
	level, title string
}

// watchedPool and watchedAccount are the conditions that want attention, worst first.
func watchedPool() []watched {
	return []watched{
		{v1alpha1.ConditionStalled, metav1.ConditionTrue, "error", "The pool needs you"},
		{v1alpha1.ConditionWithinCeiling, metav1.ConditionFalse, "warning", "The pool is over its ceiling"},
		{v1alpha1.ConditionWithinBudget, metav1.ConditionFalse, "warning", "A budget is used up"},
		{v1alpha1.ConditionAccountReady, metav1.ConditionFalse, "warning", "The account cannot rent"},
		{v1alpha1.ConditionHealthBudgetOK, metav1.ConditionFalse, "warning", "Too many instances fail at once"},
		{v1alpha1.ConditionOffersAvailable, metav1.ConditionFalse, "warning", "No offer passes the filters"},
	}
}

func watchedAccount() []watched {
	return []watched{
		{v1alpha1.ConditionNoLeaks, metav1.ConditionFalse, "warning", "Rentals that nobody records may bill"},
		{v1alpha1.ConditionTerminationsProgressing, metav1.ConditionFalse, "warning", "A rental does not go away"},
		{v1alpha1.ConditionBalanceSufficient, metav1.ConditionFalse, "warning", "The credit runs out"},
	}
}

// alerts are the conditions that want attention, worst first. What two conditions
// say in the same words is said once.
func (p *Page) alerts(s *snapshot) []alertView {
	found := p.alertsOf(watchedPool(), s.pool.Status.Conditions)
	if s.account != nil {
		found = append(found, p.alertsOf(watchedAccount(), s.account.Status.Conditions)...)
	}
	found = append(found, p.alertsOf([]watched{
		{v1alpha1.ConditionFullyProvisioned, metav1.ConditionFalse, "info", "Not all instances are ready"},
	}, s.pool.Status.Conditions)...)
	said := map[string]bool{}
	return slices.DeleteFunc(found, func(a alertView) bool {
		again := a.Message != "" && said[a.Message]
		said[a.Message] = true
		return again
	})
}

func (p *Page) alertsOf(watch []watched, conditions []metav1.Condition) []alertView {
	words := map[string]string{"error": "Error", "warning": "Warning", "info": "Note"}
	var alerts []alertView
	for _, each := range watch {
		if c := conditionOf(conditions, each.kind); c != nil && c.Status == each.status {
			alerts = append(alerts, alertView{each.level, words[each.level], each.title, p.text.line(c.Reason), p.text.line(c.Message)})
		}
	}
	return alerts
}

func conditionOf(conditions []metav1.Condition, kind string) *metav1.Condition {
	at := slices.IndexFunc(conditions, func(c metav1.Condition) bool { return c.Type == kind })
	if at < 0 {
		return nil
	}
	return &conditions[at]
}

func (p *Page) conditions(conditions []metav1.Condition, s *snapshot) []conditionView {
	views := make([]conditionView, 0, len(conditions))
	for i := range conditions {
		c := &conditions[i]
		views = append(views, conditionView{
			p.text.line(c.Type), p.text.line(string(c.Status)), p.text.line(c.Reason), p.text.line(c.Message),
			momentOf(c.LastTransitionTime.Time, s.taken),
		})
	}
	slices.SortFunc(views, func(a, b conditionView) int { return cmp.Compare(a.Type, b.Type) })
	return views
}

// failureView is an instance that was given up.
type failureView struct {
	ID, Instance, Reason, Message, LogTail string
	Machine                                int64
	HostFault                              bool
	Time                                   moment
}

func (p *Page) failureViews(s *snapshot) []failureView {
	recent := s.pool.Status.Failures.Recent
	views := make([]failureView, 0, len(recent))
	for i := range recent {
		f := &recent[i]
		views = append(views, failureView{
			ID: p.text.line(f.InstanceUID), Instance: p.text.line(f.Instance), Reason: p.text.line(f.Reason),
			Message: p.text.line(f.Message), LogTail: p.text.block(f.LogTail),
			Machine: f.MachineID, HostFault: f.HostFault, Time: momentOf(f.Time.Time, s.taken),
		})
	}
	return views
}

// eventView is one event.
type eventView struct {
	ID, Type, Reason, Kind, Name, Message string
	// Warning is true for one that is not Normal.
	Warning bool
	Count   int32
	Time    moment
}

func (p *Page) eventViews(s *snapshot) []eventView {
	views := make([]eventView, 0, len(s.events))
	for i := range s.events {
		e := &s.events[i]
		count := e.Count
		if e.Series != nil {
			count = e.Series.Count
		}
		views = append(views, eventView{
			ID: p.text.line(string(e.UID)), Type: p.text.line(e.Type), Reason: p.text.line(e.Reason),
			Kind: p.text.line(e.InvolvedObject.Kind), Name: p.text.line(e.InvolvedObject.Name),
			Message: p.text.line(e.Message), Warning: e.Type != "Normal", Count: count,
			Time: momentOf(eventTime(e), s.taken),
		})
	}
	return views
}

// auditView is the end of the audit log and what its verification has found.
type auditView struct {
	Records []auditRow
	// Problem is why it cannot be read.
	Problem string
	// Word is the state of the verification: "Intact", "Not intact", "Not verified yet".
	Word, State, Message string
	Verified             moment
	// Count is how many records were verified, with the word.
	Count string
}

// auditRow is one record.
type auditRow struct {
	Sequence                                          uint64
	Time                                              moment
	Actor, Peer, Route, Action, Outcome, Details, MAC string
}

// shownRecords is how many records of the audit log are shown.
const shownRecords = 50

func (p *Page) auditView(ctx context.Context) auditView {
	now := p.options.Clock.Now()
	found := p.options.Records.Verification()
	v := auditView{Message: p.text.line(found.Message), Verified: momentOf(found.Time, now), Count: plural(int(found.Records), "record")} //nolint:gosec // a log holds fewer
	switch {
	case found.Time.IsZero():
		v.Word, v.State = "Not verified yet", stateWaiting
	case found.Intact:
		v.Word, v.State = "Intact", stateReady
	default:
		v.Word, v.State = "Not intact", stateFailed
	}
	records, err := p.options.Records.Recent(ctx, shownRecords)
	if err != nil {
		p.options.Log.Error(err, "Cannot read the audit log for the admin page")
		v.Problem = "The audit log cannot be read; the sidecar's log says why."
		return v
	}
	for i := range records {
		r := &records[i]
		v.Records = append(v.Records, auditRow{
			Sequence: r.Sequence, Time: momentOf(r.Time, now), Actor: short(p.text.line(string(r.Actor))),
			Peer: p.text.line(r.Peer), Route: p.text.line(r.Route), Action: p.text.line(r.Action),
			Outcome: p.text.line(string(r.Outcome)), MAC: short(p.text.line(r.MAC)), Details: p.details(r.Details),
		})
	}
	return v
}

// short is enough of a fingerprint to tell two apart.
func short(text string) string {
	const length = 12
	if characters := []rune(text); len(characters) > length {
		return string(characters[:length])
	}
	return text
}

func (p *Page) details(details map[string]audit.Value) string {
	names := slices.Sorted(maps.Keys(details))
	texts := make([]string, 0, len(names))
	for _, name := range names {
		texts = append(texts, p.text.line(name+"="+details[name].String()))
	}
	return strings.Join(texts, " ")
}
