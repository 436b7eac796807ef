// Package tracing writes spans and sends them to a collector by OTLP over HTTP.
// It is the only room that knows OpenTelemetry: what it offers to the others is a
// span with texts and numbers, and no place for anything else. It imports nothing
// of ours.
//
// A nil *Tracer is tracing that is off. It costs nothing, and whoever wires things
// leaves the decorators out altogether then.
//
// No free text enters a span, neither a message of an error nor anything that was
// sent or received: names of objects, numbers, and words out of fixed sets only (I8).
package tracing
