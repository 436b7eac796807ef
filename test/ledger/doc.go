// Package ledger holds the test of the ledger against the simulator's meter:
// thirty simulated days of rentals and faults, swept by the real sweep
// controller with the real client. It exports nothing.
package ledger
