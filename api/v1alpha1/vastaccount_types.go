package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AccountMode says what may be done with an account.
// +kubebuilder:validation:Enum=Active;Frozen;EmergencyStop
type AccountMode string

// The account modes.
const (
	// AccountActive rents and ends as the pools need.
	AccountActive AccountMode = "Active"
	// AccountFrozen rents nothing; what runs stays.
	AccountFrozen AccountMode = "Frozen"
	// AccountEmergencyStop ends every instance of every pool of the account, claimed ones
	// too, costliest first.
	AccountEmergencyStop AccountMode = "EmergencyStop"
)

// LeakAction says what is done with a suspected leak.
// +kubebuilder:validation:Enum=Report;Terminate
type LeakAction string

// The leak actions.
const (
	// LeakReport only reports.
	LeakReport LeakAction = "Report"
	// LeakTerminate destroys after minAgeSeconds, at most maxPerHour.
	LeakTerminate LeakAction = "Terminate"
)

// VastAccountSpec says whose credentials are used and what the account may cost.
type VastAccountSpec struct {
	// credentialsSecretRef names the Secret with the API key, in the same namespace.
	// +kubebuilder:default={}
	// +optional
	CredentialsSecretRef CredentialsReference `json:"credentialsSecretRef,omitzero"`
	// ceilingUSDPerHour is the most that everything in the account may cost in an hour, in US
	// dollars, instances that are not Warmpool's included: a decimal string such as "6.00".
	// +required
	CeilingUSDPerHour USD `json:"ceilingUSDPerHour"`
	// budgets limit what everything in the account together spends in a day, a week or a month,
	// instances that are not Warmpool's included. Their actions apply to all pools of the account.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=4
	// +optional
	Budgets []Budget `json:"budgets,omitempty"`
	// minBalanceUSD is the credit that must be left after runwaySeconds of everything that is
	// committed, or nothing is rented.
	// +kubebuilder:default="5"
	// +optional
	MinBalanceUSD USD `json:"minBalanceUSD,omitempty"`
	// runwaySeconds is how long the credit must last before a rent is allowed.
	// +kubebuilder:default=7200
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=604800
	// +optional
	RunwaySeconds *int32 `json:"runwaySeconds,omitempty"`
	// pollPeriodSeconds is the time between two sweeps of the account's instances.
	// +kubebuilder:default=15
	// +kubebuilder:validation:Minimum=5
	// +kubebuilder:validation:Maximum=300
	// +optional
	PollPeriodSeconds int32 `json:"pollPeriodSeconds,omitempty"`
	// mode is Active (default), Frozen (rent nothing) or EmergencyStop (end everything of ours).
	// +kubebuilder:default=Active
	// +optional
	Mode AccountMode `json:"mode,omitempty"`
	// leakPolicy says what is done with rentals that carry our label and that no WarmInstance
	// records.
	// +kubebuilder:default={}
	// +optional
	LeakPolicy LeakPolicy `json:"leakPolicy,omitzero"`
	// expectedUserID pins the Vast.ai user that the key must belong to; by default the first
	// one that is seen.
	// +kubebuilder:validation:Minimum=1
	// +optional
	ExpectedUserID *int64 `json:"expectedUserID,omitempty"`
}

// CredentialsReference names the Secret with the API key.
type CredentialsReference struct {
	// name of the Secret.
	// +kubebuilder:default=warmpool-credentials
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Name string `json:"name,omitempty"`
	// key in the Secret that holds the API key.
	// +kubebuilder:default=VASTAI_API_KEY
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Key string `json:"key,omitempty"`
}

// LeakPolicy says what is done with suspected leaks.
type LeakPolicy struct {
	// action is Report (default) or Terminate.
	// +kubebuilder:default=Report
	// +optional
	Action LeakAction `json:"action,omitempty"`
	// minAgeSeconds is the least age of a rental before it is terminated as a leak.
	// +kubebuilder:default=600
	// +kubebuilder:validation:Minimum=120
	// +kubebuilder:validation:Maximum=604800
	// +optional
	MinAgeSeconds int32 `json:"minAgeSeconds,omitempty"`
	// maxPerHour limits how many are terminated in an hour.
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	MaxPerHour int32 `json:"maxPerHour,omitempty"`
}

// AccountInstances counts the instances of an account.
type AccountInstances struct {
	// ours carry the label of this installation.
	// +optional
	Ours int32 `json:"ours"`
	// foreign are all others; their price counts under the account's ceiling.
	// +optional
	Foreign int32 `json:"foreign"`
}

// SweepStatus is the last reading of the account's instances.
type SweepStatus struct {
	// time when it ended.
	// +required
	Time metav1.Time `json:"time"`
	// total is the number of instances that Vast.ai says there are.
	// +optional
	Total int32 `json:"total"`
	// pages that were read.
	// +optional
	Pages int32 `json:"pages"`
	// trusted is true when the reading may be acted upon.
	// +required
	Trusted bool `json:"trusted"`
	// lastTrustedTime is when a trusted sweep last ended.
	// +optional
	LastTrustedTime *metav1.Time `json:"lastTrustedTime,omitempty"`
}

// BlockedMachine is a machine that is avoided.
type BlockedMachine struct {
	// machineID of the machine.
	// +required
	MachineID int64 `json:"machineID"`
	// reason of the last failure on it.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Reason string `json:"reason,omitempty"`
	// until when it is avoided.
	// +required
	Until metav1.Time `json:"until"`
	// lastFailureTime is when it last failed.
	// +required
	LastFailureTime metav1.Time `json:"lastFailureTime"`
	// failures that were counted.
	// +optional
	Failures int32 `json:"failures,omitempty"`
}

// SuspectedLeak is a rental with our label that no WarmInstance records.
type SuspectedLeak struct {
	// rentalID of the instance on Vast.ai.
	// +required
	RentalID int64 `json:"rentalID"`
	// label it carries.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Label string `json:"label,omitempty"`
	// usdPerHour is its price.
	// +optional
	USDPerHour SignedUSD `json:"usdPerHour,omitempty"`
	// startTime of the rental.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// firstSeenTime is when it was first reported.
	// +required
	FirstSeenTime metav1.Time `json:"firstSeenTime"`
	// madeElsewhere is true when a second manager with our installation id made it. While there
	// is one, nothing is rented and no leak is ended.
	// +optional
	MadeElsewhere bool `json:"madeElsewhere,omitempty"`
}

// VastAccountStatus is what the controllers observed.
type VastAccountStatus struct {
	// observedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// installationID is the second part of every label that this installation makes.
	// +kubebuilder:validation:MaxLength=16
	// +optional
	InstallationID string `json:"installationID,omitempty"`
	// userID is the Vast.ai user that the key belongs to. It is pinned: a key of another user
	// freezes the account.
	// +optional
	UserID int64 `json:"userID,omitempty"`
	// balanceUSD is the spendable credit.
	// +optional
	BalanceUSD SignedUSD `json:"balanceUSD,omitempty"`
	// committedUSDPerHour is what everything in the account may cost, quotes of unknown
	// outcomes and foreign instances included.
	// +optional
	CommittedUSDPerHour SignedUSD `json:"committedUSDPerHour,omitempty"`
	// observedUSDPerHour is the sum of the prices in the last trusted sweep.
	// +optional
	ObservedUSDPerHour SignedUSD `json:"observedUSDPerHour,omitempty"`
	// spentTodayUSD is what everything in the account spent since midnight UTC.
	// +optional
	SpentTodayUSD SignedUSD `json:"spentTodayUSD,omitempty"`
	// spentMonthUSD is what it spent since the month began, in UTC.
	// +optional
	SpentMonthUSD SignedUSD `json:"spentMonthUSD,omitempty"`
	// projectedMonthUSD is what the month will cost if everything goes on as it is.
	// +optional
	ProjectedMonthUSD SignedUSD `json:"projectedMonthUSD,omitempty"`
	// ledger is what was spent, in total and by pool.
	// +optional
	Ledger *Ledger `json:"ledger,omitempty"`
	// instances in the last trusted sweep.
	// +optional
	Instances AccountInstances `json:"instances"`
	// lastSweep is the last reading of the account's instances.
	// +optional
	LastSweep *SweepStatus `json:"lastSweep,omitempty"`
	// blockedMachines are avoided because they failed.
	// +listType=map
	// +listMapKey=machineID
	// +kubebuilder:validation:MaxItems=200
	// +optional
	BlockedMachines []BlockedMachine `json:"blockedMachines,omitempty"`
	// suspectedLeaks carry our label and are recorded by no WarmInstance.
	// +listType=map
	// +listMapKey=rentalID
	// +kubebuilder:validation:MaxItems=50
	// +optional
	SuspectedLeaks []SuspectedLeak `json:"suspectedLeaks,omitempty"`
	// conditions of the account; see the reference of conditions.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// VastAccount is one Vast.ai account: credentials, a ceiling for everything in
// it, its balance and its instances.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=va,categories=warmpool
// +kubebuilder:printcolumn:name="Balance",type=string,JSONPath=`.status.balanceUSD`
// +kubebuilder:printcolumn:name="$/h",type=string,JSONPath=`.status.committedUSDPerHour`
// +kubebuilder:printcolumn:name="Ceiling",type=string,JSONPath=`.spec.ceilingUSDPerHour`
// +kubebuilder:printcolumn:name="Ours",type=integer,JSONPath=`.status.instances.ours`
// +kubebuilder:printcolumn:name="Foreign",type=integer,JSONPath=`.status.instances.foreign`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Spent-Month",type=string,JSONPath=`.status.spentMonthUSD`,priority=1
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`,priority=1
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="the name of a VastAccount has at most 63 characters: it is a label on its instances"
type VastAccount struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what is wanted.
	// +required
	Spec VastAccountSpec `json:"spec"`
	// status is what was observed.
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status VastAccountStatus `json:"status,omitzero"`
}

// VastAccountList is a list of VastAccounts.
// +kubebuilder:object:root=true
type VastAccountList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []VastAccount `json:"items"`
}
