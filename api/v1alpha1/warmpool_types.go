package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// PoolMode says what a pool may do.
// +kubebuilder:validation:Enum=Active;Paused;DryRun;Drain
type PoolMode string

// The pool modes.
const (
	// PoolActive rents and ends instances as needed.
	PoolActive PoolMode = "Active"
	// PoolPaused rents nothing and ends nothing voluntarily.
	PoolPaused PoolMode = "Paused"
	// PoolDryRun decides and reports what it would rent, and rents and ends nothing.
	PoolDryRun PoolMode = "DryRun"
	// PoolDrain rents nothing and ends every instance that is not claimed.
	PoolDrain PoolMode = "Drain"
)

// ScaleDownOrder says which Ready instance is ended first when there are too many.
// +kubebuilder:validation:Enum=HighestCost;Newest;Oldest
type ScaleDownOrder string

// The scale-down orders.
const (
	// ScaleDownHighestCost ends the dearest first.
	ScaleDownHighestCost ScaleDownOrder = "HighestCost"
	// ScaleDownNewest ends the youngest first.
	ScaleDownNewest ScaleDownOrder = "Newest"
	// ScaleDownOldest ends the oldest first.
	ScaleDownOldest ScaleDownOrder = "Oldest"
)

// OverCeilingPolicy says what happens when more is committed than the ceiling.
// +kubebuilder:validation:Enum=Hold;ScaleDownUnclaimed;ScaleDownAll
type OverCeilingPolicy string

// The over-ceiling policies.
const (
	// OverCeilingHold rents nothing and ends nothing.
	OverCeilingHold OverCeilingPolicy = "Hold"
	// OverCeilingScaleDownUnclaimed ends unclaimed instances until the rest fits.
	OverCeilingScaleDownUnclaimed OverCeilingPolicy = "ScaleDownUnclaimed"
	// OverCeilingScaleDownAll ends claimed instances too, last.
	OverCeilingScaleDownAll OverCeilingPolicy = "ScaleDownAll"
)

// WarmPoolSpec says how many ready ComfyUI instances there shall be, from
// which offers, under which ceiling.
// +kubebuilder:validation:XValidation:rule="!has(self.minReadyReplicas) || (has(self.replicas) && self.minReadyReplicas <= self.replicas)",message="minReadyReplicas must not exceed replicas",fieldPath=".minReadyReplicas"
// +kubebuilder:validation:XValidation:rule="!has(self.maxReplicas) || !has(self.replicas) || self.maxReplicas >= self.replicas",message="maxReplicas must not be less than replicas",fieldPath=".maxReplicas"
type WarmPoolSpec struct {
	// replicas is how many instances shall be Ready and unclaimed. The default 0 costs nothing.
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=500
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`
	// minReadyReplicas is how many of them make the pool Ready; by default all.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=500
	// +optional
	MinReadyReplicas *int32 `json:"minReadyReplicas,omitempty"`
	// maxReplicas limits all instances of the pool together: ready, claimed, on their way,
	// of unknown outcome and terminating. Unset means no limit but the ceiling.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	// +optional
	MaxReplicas *int32 `json:"maxReplicas,omitempty"`
	// accountRef names the VastAccount that pays, in the same namespace.
	// +kubebuilder:default={name: default}
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="accountRef cannot be changed: rentals stay with the account that pays them. Make a new pool."
	// +optional
	AccountRef LocalReference `json:"accountRef,omitzero"`
	// mode is Active (default), Paused (rent nothing, end nothing voluntarily), DryRun (decide
	// and report only) or Drain (rent nothing, end what is not claimed).
	// +kubebuilder:default=Active
	// +optional
	Mode PoolMode `json:"mode,omitempty"`
	// cost holds the ceilings. They are never passed by a rent of Warmpool's.
	// +required
	Cost PoolCost `json:"cost"`
	// template describes the container. Its defaults run Vast.ai's own ComfyUI image.
	// +kubebuilder:default={}
	// +optional
	Template InstanceTemplate `json:"template,omitzero"`
	// offers says which offers of the market may be rented.
	// +kubebuilder:default={}
	// +optional
	Offers OfferRequirements `json:"offers,omitzero"`
	// probes says how the health of an instance is judged.
	// +kubebuilder:default={}
	// +optional
	Probes Probes `json:"probes,omitzero"`
	// lifecycle holds the deadlines on the way to Ready.
	// +kubebuilder:default={}
	// +optional
	Lifecycle Lifecycle `json:"lifecycle,omitzero"`
	// remediation says what happens after failures.
	// +kubebuilder:default={}
	// +optional
	Remediation Remediation `json:"remediation,omitzero"`
	// scaleDown says which instances are ended first when there are too many.
	// +kubebuilder:default={}
	// +optional
	ScaleDown ScaleDown `json:"scaleDown,omitzero"`
	// claimPolicy says what the pool's claims may ask for.
	// +kubebuilder:default={}
	// +optional
	ClaimPolicy ClaimPolicy `json:"claimPolicy,omitzero"`
}

// PoolCost holds the ceilings of a pool.
// +kubebuilder:validation:XValidation:rule="!has(self.maxInstanceUSDPerHour) || quantity(self.maxInstanceUSDPerHour).compareTo(quantity(self.ceilingUSDPerHour)) <= 0",message="cost.maxInstanceUSDPerHour must not exceed cost.ceilingUSDPerHour",fieldPath=".maxInstanceUSDPerHour"
type PoolCost struct {
	// ceilingUSDPerHour is the most that all rentals of the pool may cost in an hour, in US
	// dollars: a decimal string such as "1.50". Nothing is rented beyond it.
	// +required
	CeilingUSDPerHour USD `json:"ceilingUSDPerHour"`
	// maxInstanceUSDPerHour is the most that one rental may cost in an hour; by default the ceiling.
	// +optional
	MaxInstanceUSDPerHour USD `json:"maxInstanceUSDPerHour,omitempty"`
	// overCeilingPolicy says what happens when more is committed than the ceiling through no
	// rent of Warmpool's, such as a ceiling that was lowered or a price that a host raised:
	// ScaleDownUnclaimed (default), Hold (rent nothing, end nothing) or ScaleDownAll (end
	// claimed instances too, when ending all others is not enough).
	// +kubebuilder:default=ScaleDownUnclaimed
	// +optional
	OverCeilingPolicy OverCeilingPolicy `json:"overCeilingPolicy,omitempty"`
	// budgets limit what the pool spends in a day, a week or a month.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=4
	// +optional
	Budgets []Budget `json:"budgets,omitempty"`
}

// Probes says how the health of an instance is judged.
type Probes struct {
	// periodSeconds is the time between two looks at an instance.
	// +kubebuilder:default=15
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=300
	// +optional
	PeriodSeconds int32 `json:"periodSeconds,omitempty"`
	// failureThreshold is how many probes in a row an idle instance must fail before it is not
	// Ready; after twice as many it is replaced.
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=20
	// +optional
	FailureThreshold int32 `json:"failureThreshold,omitempty"`
	// busySilenceSeconds is how long an instance with work in its queue may stay silent.
	// +kubebuilder:default=180
	// +kubebuilder:validation:Minimum=30
	// +kubebuilder:validation:Maximum=3600
	// +optional
	BusySilenceSeconds int32 `json:"busySilenceSeconds,omitempty"`
	// maxPromptSeconds is how long one prompt may run before the instance counts as hung.
	// +kubebuilder:default=1800
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=86400
	// +optional
	MaxPromptSeconds int32 `json:"maxPromptSeconds,omitempty"`
	// reproveSeconds is how often an idle instance must render its test prompt again.
	// +kubebuilder:default=1800
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=86400
	// +optional
	ReproveSeconds int32 `json:"reproveSeconds,omitempty"`
}

// Lifecycle holds the deadlines on the way to Ready.
type Lifecycle struct {
	// provisioningDeadlineSeconds is how long Vast.ai may take from the rent until the
	// container runs.
	// +kubebuilder:default=900
	// +kubebuilder:validation:Minimum=30
	// +kubebuilder:validation:Maximum=14400
	// +optional
	ProvisioningDeadlineSeconds int32 `json:"provisioningDeadlineSeconds,omitempty"`
	// startupDeadlineSeconds is how long ComfyUI may take from there until it is Ready.
	// +kubebuilder:default=1800
	// +kubebuilder:validation:Minimum=30
	// +kubebuilder:validation:Maximum=14400
	// +optional
	StartupDeadlineSeconds int32 `json:"startupDeadlineSeconds,omitempty"`
}

// Remediation says what happens after failures.
type Remediation struct {
	// maxUnhealthy is the share of instances that may fail at once. When more fail, none is
	// ended: the fault is then probably ours, such as a broken network.
	// +kubebuilder:default="40%"
	// +kubebuilder:validation:Pattern=`^(100|[1-9]?[0-9])%$`
	// +kubebuilder:validation:MaxLength=4
	// +optional
	MaxUnhealthy string `json:"maxUnhealthy,omitempty"`
	// backoff is the pause before the next rent after a failure.
	// +kubebuilder:default={}
	// +optional
	Backoff Backoff `json:"backoff,omitzero"`
	// machineBlocklistSeconds is how long a machine that failed is avoided; doubled each time
	// it fails again.
	// +kubebuilder:default=86400
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2592000
	// +optional
	MachineBlocklistSeconds *int32 `json:"machineBlocklistSeconds,omitempty"`
}

// Backoff is the pause before the next rent; it doubles with each failure in a row.
// +kubebuilder:validation:XValidation:rule="!has(self.initialSeconds) || !has(self.maxSeconds) || self.initialSeconds <= self.maxSeconds",message="backoff.initialSeconds must not exceed backoff.maxSeconds",fieldPath=".initialSeconds"
type Backoff struct {
	// initialSeconds is the pause after the first failure.
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	// +optional
	InitialSeconds int32 `json:"initialSeconds,omitempty"`
	// maxSeconds is the longest pause.
	// +kubebuilder:default=3600
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	// +optional
	MaxSeconds int32 `json:"maxSeconds,omitempty"`
	// resetAfterSeconds without a failure start the count anew.
	// +kubebuilder:default=3600
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=604800
	// +optional
	ResetAfterSeconds int32 `json:"resetAfterSeconds,omitempty"`
}

// ScaleDown says which instances are ended first.
type ScaleDown struct {
	// order among Ready instances: HighestCost (default), Newest or Oldest. Instances that are
	// not Ready are always ended before those that are; claimed ones are never ended for the size.
	// +kubebuilder:default=HighestCost
	// +optional
	Order ScaleDownOrder `json:"order,omitempty"`
}

// WarmPoolStatus is what the controllers observed.
type WarmPoolStatus struct {
	// observedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// replicas are the live unclaimed instances: waiting, on their way and ready.
	// +optional
	Replicas int32 `json:"replicas"`
	// readyReplicas are Ready and unclaimed.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas"`
	// claimedReplicas are in exclusive use.
	// +optional
	ClaimedReplicas int32 `json:"claimedReplicas"`
	// pendingReplicas wait for money or for an offer; they cost nothing.
	// +optional
	PendingReplicas int32 `json:"pendingReplicas"`
	// provisioningReplicas are rented and on their way to Ready.
	// +optional
	ProvisioningReplicas int32 `json:"provisioningReplicas"`
	// unhealthyReplicas were Ready and are not any more.
	// +optional
	UnhealthyReplicas int32 `json:"unhealthyReplicas"`
	// unknownReplicas have a rent whose outcome is not known yet; their price stays reserved.
	// +optional
	UnknownReplicas int32 `json:"unknownReplicas"`
	// terminatingReplicas are being ended; they count under the ceiling until confirmed gone.
	// +optional
	TerminatingReplicas int32 `json:"terminatingReplicas"`
	// totalReplicas are all WarmInstances of the pool.
	// +optional
	TotalReplicas int32 `json:"totalReplicas"`
	// selector of the pool's WarmInstances, for the scale subresource.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Selector string `json:"selector,omitempty"`
	// cost is the money of the pool.
	// +optional
	Cost PoolCostStatus `json:"cost,omitzero"`
	// lastAdmission is why the oldest waiting instance is not rented, or what was rented last.
	// +optional
	LastAdmission *Admission `json:"lastAdmission,omitempty"`
	// failures is the memory of what went wrong lately.
	// +optional
	Failures PoolFailures `json:"failures,omitzero"`
	// conditions of the pool; see the reference of conditions.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// PoolCostStatus is the money of a pool.
type PoolCostStatus struct {
	// ceilingUSDPerHour is the ceiling in force.
	// +optional
	CeilingUSDPerHour SignedUSD `json:"ceilingUSDPerHour,omitempty"`
	// committedUSDPerHour is what all rentals may cost: prices, and quotes where the outcome or
	// the price is not known yet.
	// +optional
	CommittedUSDPerHour SignedUSD `json:"committedUSDPerHour,omitempty"`
	// observedUSDPerHour is the sum of the prices that Vast.ai reports for rentals that bill.
	// +optional
	ObservedUSDPerHour SignedUSD `json:"observedUSDPerHour,omitempty"`
	// headroomUSDPerHour is the ceiling less what is committed.
	// +optional
	HeadroomUSDPerHour SignedUSD `json:"headroomUSDPerHour,omitempty"`
	// spentTodayUSD is what the pool spent since midnight UTC.
	// +optional
	SpentTodayUSD SignedUSD `json:"spentTodayUSD,omitempty"`
	// spentMonthUSD is what the pool spent since the month began, in UTC.
	// +optional
	SpentMonthUSD SignedUSD `json:"spentMonthUSD,omitempty"`
	// projectedMonthUSD is what the month will cost if everything goes on as it is.
	// +optional
	ProjectedMonthUSD SignedUSD `json:"projectedMonthUSD,omitempty"`
	// ledgerThrough is until when spending is counted in these figures.
	// +optional
	LedgerThrough *metav1.Time `json:"ledgerThrough,omitempty"`
}

// PoolFailures is the memory of what went wrong lately.
type PoolFailures struct {
	// consecutive failures since the last instance became Ready.
	// +optional
	Consecutive int32 `json:"consecutive,omitempty"`
	// nextAttemptTime is when the next instance may be rented.
	// +optional
	NextAttemptTime *metav1.Time `json:"nextAttemptTime,omitempty"`
	// lastSuccessTime is when the instance of lastSuccessUID became Ready. It forgives the
	// failures before it, unless that instance failed in the end.
	// +optional
	LastSuccessTime *metav1.Time `json:"lastSuccessTime,omitempty"`
	// lastSuccessUID is the UID of the instance that became Ready last.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	LastSuccessUID string `json:"lastSuccessUID,omitempty"`
	// recent failures, newest first.
	// +listType=map
	// +listMapKey=instanceUID
	// +kubebuilder:validation:MaxItems=10
	// +optional
	Recent []PoolFailure `json:"recent,omitempty"`
}

// PoolFailure is one instance that was given up.
type PoolFailure struct {
	// instanceUID of the WarmInstance.
	// +kubebuilder:validation:MaxLength=64
	// +required
	InstanceUID string `json:"instanceUID"`
	// instance is the name of the WarmInstance.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Instance string `json:"instance,omitempty"`
	// machineID on which it happened.
	// +optional
	MachineID int64 `json:"machineID,omitempty"`
	// reason is a CamelCase constant.
	// +kubebuilder:validation:MaxLength=64
	// +required
	Reason string `json:"reason"`
	// message says it in a sentence, with the remedy.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`
	// hostFault is true when the machine is to blame and is avoided.
	// +optional
	HostFault bool `json:"hostFault,omitempty"`
	// templateHash tells which template failed: failures of another one are forgiven.
	// +kubebuilder:validation:MaxLength=16
	// +optional
	TemplateHash string `json:"templateHash,omitempty"`
	// logTail holds the last lines of the instance's log, without secrets.
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	LogTail string `json:"logTail,omitempty"`
	// time of the failure.
	// +required
	Time metav1.Time `json:"time"`
}

// WarmPool keeps a number of ready ComfyUI instances on Vast.ai, under a
// ceiling of dollars per hour.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:resource:shortName=wp,categories=warmpool
// +kubebuilder:printcolumn:name="Desired",type=integer,JSONPath=`.spec.replicas`
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.readyReplicas`
// +kubebuilder:printcolumn:name="Claimed",type=integer,JSONPath=`.status.claimedReplicas`
// +kubebuilder:printcolumn:name="Pending",type=integer,JSONPath=`.status.provisioningReplicas`,description="Rented, and on their way to Ready"
// +kubebuilder:printcolumn:name="$/h",type=string,JSONPath=`.status.cost.committedUSDPerHour`
// +kubebuilder:printcolumn:name="Ceiling",type=string,JSONPath=`.spec.cost.ceilingUSDPerHour`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="FullyProvisioned")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Total",type=integer,JSONPath=`.status.totalReplicas`,priority=1
// +kubebuilder:printcolumn:name="Unknown",type=integer,JSONPath=`.status.unknownReplicas`,priority=1
// +kubebuilder:printcolumn:name="Spent-Month",type=string,JSONPath=`.status.cost.spentMonthUSD`,priority=1
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`,priority=1
// +kubebuilder:printcolumn:name="Account",type=string,JSONPath=`.spec.accountRef.name`,priority=1
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 52",message="the name of a WarmPool has at most 52 characters: the names of its instances and the label on them begin with it"
type WarmPool struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what is wanted.
	// +required
	Spec WarmPoolSpec `json:"spec"`
	// status is what was observed.
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status WarmPoolStatus `json:"status,omitzero"`
}

// WarmPoolList is a list of WarmPools.
// +kubebuilder:object:root=true
type WarmPoolList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []WarmPool `json:"items"`
}
