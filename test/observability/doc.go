// Command observability runs the demo of "make run" under a real Prometheus and
// breaks it, one thing after the other: faults of the simulator raise every alert
// of config/observability/alerts.yaml and are taken back, and each has to fire and
// to end. While an alert fires, the diagnosis commands of its page are run. In the
// end every query of the dashboard and every recorded one must have had data. The
// manager sends its traces here meanwhile, and no value of a Secret may be in one.
//
// Prometheus evaluates a copy of the rules in which time is short: no "for" is
// longer than ten seconds, and thresholds of age are as scaled() says. Nothing else
// is changed.
package main
