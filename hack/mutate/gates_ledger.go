package main

// ledgerGates are about what was spent: that it is counted, and that budgets hold.
func ledgerGates() []Gate {
	const counts, deferral = "TestLedgerCounts", "TestBudgetDeferral"
	return []Gate{
		{"ledger-counts-trusted-sweeps-only", "I5", "rentals that a list left out being missing from what was spent", "TestLedgerCountsTrustedSweepsOnly", never()},
		{"ledger-memory-of-another-ledger", "I1", "what was spent being counted from what another process remembered", counts, never()},
		{"ledger-long-gap", "I1", "a rental that ran while nobody looked being counted as if it had stood still", counts, never()},
		{"ledger-keep-what-is-certain", "I1", "charges that are not complete yet taking back what was spent for certain", "TestCorrectLedger", never()},
		{"budget-zone-unknown", "I1", "a budget counted in a period that nobody can tell", "TestBudgetZoneUnknownRefuses", never()},
		{"budget-ledger-unknown", "I1", "a budget that was never counted passing for an untouched one", "TestBudgetState", never()},
		{"budget-unknown-refuses", "I1", "renting on a budget of which nobody knows what is left", deferral, never()},
		{"budget-exhausted-refuses", "I1", "renting on a budget that is used up", deferral, never()},
		{"budget-soon-exhausted-refuses", "I1", "renting what the budget would end again before it is of use", deferral, never()},
		{"recheck-budgets", "I1", "a rent on a budget that was used up or lowered in the meantime", "TestTheLastLookReadsBudgetsLive", never()},
		{"budget-ends-instances", "I1", "spending on after a budget whose action is to end what costs", "TestBudgetsEndInstances", never()},
	}
}
