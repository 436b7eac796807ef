package page

import (
	"context"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/warmpool-dev/warmpool/internal/audit"
)

// fieldOwner is who changed a field, in the managed fields of an object.
const fieldOwner = "warmpool-admin-page"

// plan is one act, thought through: what the confirmation says, and how it is done.
type plan struct {
	// action is its name in the audit log: those of the legacy system where it had one.
	action  string
	details audit.Details
	confirm confirmation
	// spends is true when the act may cost more than not acting. Such an act is not
	// done when it cannot be audited; one that saves money is.
	spends bool
	// do does it.
	do func(ctx context.Context, cluster Cluster) error
	// done says what was done.
	done string
}

// confirmation is what a person reads before an act.
type confirmation struct {
	CSRF string
	// Act is the last part of its address.
	Act string
	// Title says what will be done, Lines what follows from it.
	Title string
	Lines []string
	// Costs name the cost before and after, per hour and per day.
	Costs []costLine
	// Warning says what cannot be undone, or what may surprise.
	Warning string
	// Button is the label of the button that does it. Danger marks an act that ends something.
	Button string
	Danger bool
	// Fields go back with the form.
	Fields []field
	// Problem says why the last try did nothing.
	Problem string
}

// costLine is one line of the cost in a confirmation.
type costLine struct {
	Label string
	Cost  rate
}

// field is a hidden field of a form.
type field struct {
	Name, Value string
}

// refusal is an act that cannot be done, for people. It is an error with a status.
type refusal struct {
	status      int
	title, text string
}

// Error implements error.
func (r *refusal) Error() string { return r.title + ": " + r.text }

// planner plans one kind of act. It is pure: the snapshot and the form in, the plan out.
type planner func(s *snapshot, form *form) (*plan, *refusal)

// planners are the acts by the last part of their address.
func planners() map[string]planner {
	return map[string]planner{
		"prewarm": planPrewarm, "resize": planResize,
		"pause": planPause, "resume": planResume, "drain": planDrain,
		"terminate": planTerminate, "claim": planClaim, "release": planRelease,
	}
}

// plan finds out what an act would do now.
func (p *Page) plan(r *http.Request, read *form) (*plan, *refusal) {
	think := planners()[read.act]
	if think == nil {
		return nil, &refusal{http.StatusNotFound, "There is no such act", "The address may be mistyped. Nothing was done."}
	}
	s := p.gather.fresh(r.Context())
	if s.pool == nil {
		text := "There is no WarmPool " + p.options.Pool.Name + " in the namespace " + p.options.Pool.Namespace + ". Make it first."
		if problem := s.problems["The pool"]; problem != "" {
			text = problem
		}
		return nil, &refusal{http.StatusConflict, "Nothing was done", text}
	}
	return think(s, read)
}

// askAct shows the confirmation of an act.
func (p *Page) askAct(w http.ResponseWriter, r *http.Request, who *session) {
	planned, refused := p.plan(r, readForm(r.PathValue("act"), r.URL.Query()))
	if refused != nil {
		p.showMessage(w, refused.status, refused.title, p.text.line(refused.text))
		return
	}
	p.showConfirmation(w, http.StatusOK, who, planned, "")
}

func (p *Page) showConfirmation(w http.ResponseWriter, status int, who *session, planned *plan, problem string) {
	view := planned.confirm
	view.CSRF, view.Problem = who.csrf, p.text.line(problem)
	view.Title, view.Warning, view.Button = p.text.line(view.Title), p.text.line(view.Warning), p.text.line(view.Button)
	for i := range view.Lines {
		view.Lines[i] = p.text.line(view.Lines[i])
	}
	p.render.page(w, status, "confirm", &view)
}

// act does what was confirmed. The audit log knows of it before it is done, and
// what came of it before it is answered.
func (p *Page) act(w http.ResponseWriter, r *http.Request, who *session) {
	read := readForm(r.PathValue("act"), r.PostForm)
	planned, refused := p.plan(r, read)
	if refused != nil {
		p.showMessage(w, refused.status, refused.title, p.text.line(refused.text))
		return
	}
	if seen := planned.seen(); seen != read.seen {
		p.showConfirmation(w, http.StatusConflict, who, planned,
			"It changed since you looked at it, and nothing was done. Read it again, and confirm if you still want it.")
		return
	}
	unrecorded := !p.record(r, who.actor, planned.action, audit.OutcomeStarted, planned.details)
	if unrecorded && planned.spends {
		p.showConfirmation(w, http.StatusServiceUnavailable, who, planned,
			"The audit log cannot be written, so nothing was done: what may cost money must be recorded first. The sidecar's log says why it cannot be written.")
		return
	}
	// What was begun is finished and recorded, also when the browser goes away.
	ctx := context.WithoutCancel(r.Context())
	r = r.WithContext(ctx)
	err := planned.do(ctx, p.options.Cluster)
	p.gather.forget()
	outcome := outcomeOf(err)
	unrecorded = !p.record(r, who.actor, planned.action, outcome, planned.details) || unrecorded
	if err != nil {
		p.options.Log.Error(err, "Cannot do what the admin page was asked for", "action", planned.action)
		p.showConfirmation(w, http.StatusConflict, who, planned, failureText(outcome)+remedy(err))
		return
	}
	p.options.Log.Info("Did what the admin page was asked for", "action", planned.action, "pool", p.options.Pool)
	if unrecorded {
		who.leave(notice{Kind: "warning", Text: p.text.line(planned.done) + " It could not be written to the audit log; the sidecar's log says why."})
	} else {
		who.leave(notice{Kind: "done", Text: p.text.line(planned.done)})
	}
	http.Redirect(w, r, Path, http.StatusSeeOther)
}

// seen is what the confirmation was about: a form that says something else was
// made from an older state.
func (p *plan) seen() string {
	for _, f := range p.confirm.Fields {
		if f.Name == fieldSeen {
			return f.Value
		}
	}
	return ""
}

// outcomeOf says whether an act was certainly not done, or perhaps.
func outcomeOf(err error) audit.Outcome {
	switch {
	case err == nil:
		return audit.OutcomeOK
	case apierrors.ReasonForError(err) == "" || apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsInternalError(err):
		return audit.OutcomeUnknown
	default:
		return audit.OutcomeRefused
	}
}

func failureText(outcome audit.Outcome) string {
	if outcome == audit.OutcomeUnknown {
		return "It may have been done or not: "
	}
	return "It was not done: "
}
