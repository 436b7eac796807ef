package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Ledger is what the account has spent, counted from the observed prices of
// trusted sweeps. It is written with the sweep, in one write, so that a crash
// loses nothing: the next sweep counts on from through.
type Ledger struct {
	// since is when the counting began.
	// +required
	Since metav1.Time `json:"since"`
	// through is until when everything is counted. It never moves back.
	// +required
	Through metav1.MicroTime `json:"through"`
	// account is everything in the account, instances that are not Warmpool's included.
	// +optional
	Account LedgerTotals `json:"account,omitzero"`
	// pools are the parts of the account's pools. A pool that is gone stays until its month
	// ends; pools beyond 199 are counted together under the name "*".
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=200
	// +optional
	Pools []PoolLedger `json:"pools,omitempty"`
	// lastCorrection is the last comparison with what Vast.ai charged.
	// +optional
	LastCorrection *LedgerCorrection `json:"lastCorrection,omitempty"`
	// correctionProblem is why the charges cannot be read, empty when they can.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	CorrectionProblem string `json:"correctionProblem,omitempty"`
}

// PoolLedger is the part of one pool.
type PoolLedger struct {
	// name of the pool.
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name         string `json:"name"`
	LedgerTotals `json:",inline"`
	// rentals are the newest that were counted for the pool, in order. Charges name rentals, not
	// pools; this list tells them apart.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Rentals []int64 `json:"rentals,omitempty"`
}

// LedgerTotals are sums of money over periods.
type LedgerTotals struct {
	// usdPerHour is what was billed at the moment of through.
	// +optional
	USDPerHour SignedUSD `json:"usdPerHour,omitempty"`
	// windows are the running periods: always the day and the month of UTC, and the periods of
	// the budgets.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Windows []LedgerWindow `json:"windows,omitempty"`
	// days are the last days of UTC, oldest first, and the last day of the month before.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=12
	// +optional
	Days []LedgerDay `json:"days,omitempty"`
}

// LedgerWindow is one running period.
type LedgerWindow struct {
	// period is Day, Week or Month.
	// +required
	Period BudgetPeriod `json:"period"`
	// timeZone in which it begins.
	// +kubebuilder:validation:MaxLength=64
	// +required
	TimeZone string `json:"timeZone"`
	// start of the period. It never moves back, whatever the clock does.
	// +required
	Start metav1.Time `json:"start"`
	// spentUSD since then, in US dollars.
	// +required
	SpentUSD SignedUSD `json:"spentUSD"`
	// previousUSD is what the period before cost, as it was counted when it ended.
	// +optional
	PreviousUSD SignedUSD `json:"previousUSD,omitempty"`
}

// LedgerDay is one day of UTC.
type LedgerDay struct {
	// day as "2006-01-02".
	// +kubebuilder:validation:MaxLength=10
	// +required
	Day string `json:"day"`
	// spentUSD on that day: what was counted, or what was charged once that was compared.
	// +required
	SpentUSD SignedUSD `json:"spentUSD"`
	// certainUSD is the part that was spent for certain: the cheaper of two sightings of a
	// rental, where spentUSD counts the dearer one.
	// +optional
	CertainUSD SignedUSD `json:"certainUSD,omitempty"`
}

// LedgerCorrection compares one finished day of UTC with the charges of Vast.ai.
type LedgerCorrection struct {
	// day that was compared.
	// +kubebuilder:validation:MaxLength=10
	// +required
	Day string `json:"day"`
	// ledgerUSD is what was counted for the day.
	// +required
	LedgerUSD SignedUSD `json:"ledgerUSD"`
	// chargedUSD is what Vast.ai charged for it.
	// +required
	ChargedUSD SignedUSD `json:"chargedUSD"`
	// correctionUSD is what was added to the ledger for it; negative when less was charged, and
	// never so much that what was certainly spent is taken away.
	// +required
	CorrectionUSD SignedUSD `json:"correctionUSD"`
	// time of the comparison.
	// +required
	Time metav1.Time `json:"time"`
}
