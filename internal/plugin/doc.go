// Package plugin holds the commands of kubectl warmpool: what a person asks of a
// pool, and what a person does to one, from a terminal or a script.
//
// Everything goes through the Kubernetes API with the rights of the person who
// calls; nothing here decides what the operator does. "plan" asks the operator's
// own decision (controllers.PreviewPool), and "logs" is the one command that
// speaks to Vast.ai, with the key that the person may read.
//
// It may import api, fleet, planner, audit, audithead, vastai (for logs) and the
// pure functions of controllers. It must not import the operator, the prober, the
// sidecar or the simulator.
package plugin
