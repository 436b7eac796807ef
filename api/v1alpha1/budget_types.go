package v1alpha1

// BudgetPeriod is the length of a budget's window.
// +kubebuilder:validation:Enum=Day;Week;Month
type BudgetPeriod string

// The periods.
const (
	// BudgetDay is a calendar day of the zone: 23 or 25 hours long when the clocks change.
	BudgetDay BudgetPeriod = "Day"
	// BudgetWeek begins on Monday.
	BudgetWeek BudgetPeriod = "Week"
	// BudgetMonth is a calendar month.
	BudgetMonth BudgetPeriod = "Month"
)

// BudgetAction says what happens when a budget is used up.
// +kubebuilder:validation:Enum=Alert;StopRenting;DrainUnclaimed;TerminateAll
type BudgetAction string

// The actions, each of which includes the ones before it.
const (
	// BudgetAlert only says so: the condition WithinBudget turns False.
	BudgetAlert BudgetAction = "Alert"
	// BudgetStopRenting rents nothing more; what runs stays.
	BudgetStopRenting BudgetAction = "StopRenting"
	// BudgetDrainUnclaimed also ends what is not claimed.
	BudgetDrainUnclaimed BudgetAction = "DrainUnclaimed"
	// BudgetTerminateAll ends claimed instances too.
	BudgetTerminateAll BudgetAction = "TerminateAll"
)

// Budget is an amount of money for a day, a week or a month.
type Budget struct {
	// name of the budget, for messages.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +required
	Name string `json:"name"`
	// period is Day, Week (from Monday) or Month, of the calendar in timeZone.
	// +required
	Period BudgetPeriod `json:"period"`
	// timeZone is the IANA name of the zone in which the period begins, such as "Europe/Oslo".
	// A name that is not known stops renting until it is mended.
	// +kubebuilder:default="Etc/UTC"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_+/-]+$`
	// +optional
	TimeZone string `json:"timeZone,omitempty"`
	// limitUSD is the most that may be spent in one period, in US dollars: a decimal string
	// such as "25.00".
	// +required
	LimitUSD USD `json:"limitUSD"`
	// action when the budget is used up: Alert, StopRenting (default), DrainUnclaimed (also end
	// what is not claimed) or TerminateAll (end claimed instances too). Everything comes back by
	// itself when the next period begins.
	// +kubebuilder:default=StopRenting
	// +optional
	Action BudgetAction `json:"action,omitempty"`
}
