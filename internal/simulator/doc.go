// Package simulator is a fake Vast.ai: the REST API over HTTP, with a market,
// lives, bills, rate limits and faults, so that the real client, curl and the
// real Vast command-line tool work against it.
//
// It is a discrete-event simulation behind one lock. Simulated time is the
// injected clock multiplied by a speed factor; whoever looks at the world first
// plays every event that is due, in order, at the event's own time, so a
// rental's bill does not depend on when somebody reads it. One goroutine
// wakes for the next event; there is none per rental.
//
// # Parts
//
// The market is seeded from recorded offers (market/NOTICE) and modelled on
// machines and slices: a rent withdraws the slices that overlap, a destroy
// returns them under new offer ids, prices drift and machines come and go at
// the recorded rates. A life goes null, created, loading, running; address and
// ports follow. A published port is a real listener on loopback; behind it runs
// a [Backend]. The [Meter] is an independent witness of what was rented, when,
// and what it cost, in integer micro-dollars.
//
// # Admin API
//
// A second HTTP server, on a port of its own and without a key, scripts the
// simulation:
//
//	GET    /healthz              200 when it runs
//	GET    /clock                simulated time, speed
//	POST   /clock/advance        {"seconds": 60}: jump ahead
//	GET    /faults               the registry and the faults that are set
//	POST   /faults               {"name","params","count","durationSeconds","match"}: set one
//	DELETE /faults, /faults/{id} remove all, or one
//	GET    /meter                totals, peaks, rents per label (?prefix=… repeated)
//	GET    /rentals              every rental's record
//	POST   /rentals              {"offerID","label"}: a rental that nobody here ordered
//	POST   /rentals/{id}/fault   {"name","params"}: a fault of the ComfyUI behind it
//	DELETE /rentals/{id}/fault/{name}  ends it
//	GET    /market               the offers as they are now
//	POST   /market               {"add":[…],"remove":[…],"machines":[…]}: change them
//	POST   /keys                 {"action":"add|revoke|rotate|other-account","key","newKey"}
//	GET    /requests             answered calls per endpoint and status
//
// The Go API does the same in process: [Start], [Server.AddFault],
// [Server.Meter], [Server.Faults] and so on. docs/reference/simulator.md
// describes both for people.
//
// The package may import internal/vastai/schema and internal/simulator/comfysim
// of ours and nothing else: a witness that shared code with the accused would
// share its errors.
package simulator
