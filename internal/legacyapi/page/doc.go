// Package page is the admin page at /admin/warm-pool: one pool with its
// instances, what they cost against the ceiling, budgets, claims, events and the
// audit log, and the acts that people do by hand, each after a confirmation that
// names what it costs.
//
// It is rendered by the server and works without a script. static/page.js adds
// two things: it fetches the same page again and again and puts the differences
// in, and it shows the confirmations in a dialog. Nothing has to be built to
// change it: templates and static files are embedded as they are.
//
// Every value that it shows comes from somewhere else, so each is hostile until
// it went through clean and html/template. The content security policy allows
// no inline script and no inline style, so neither may a template have one.
//
// It reads and writes objects of the API server and nothing else. It may import
// the API types, the audit log and the nouns of internal/fleet, whose money it
// counts with; neither the Vast.ai client nor the planner.
package page
