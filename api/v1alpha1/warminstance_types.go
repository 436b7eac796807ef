package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// WarmInstanceSpec says for which pool one rental is made and what runs in it.
// It cannot be changed, except for claimRef.
// +kubebuilder:validation:XValidation:rule="self.poolRef == oldSelf.poolRef && self.accountRef == oldSelf.accountRef && self.template == oldSelf.template && has(self.adopt) == has(oldSelf.adopt) && (!has(self.adopt) || self.adopt == oldSelf.adopt)",message="the spec of a WarmInstance cannot be changed: it records one rental. Change the WarmPool, or delete this instance."
type WarmInstanceSpec struct {
	// poolRef names the WarmPool.
	// +required
	PoolRef LocalReference `json:"poolRef"`
	// accountRef names the VastAccount that pays.
	// +required
	AccountRef LocalReference `json:"accountRef"`
	// template is a copy of the pool's template at the time this instance was made.
	// +kubebuilder:default={}
	// +optional
	Template InstanceTemplate `json:"template,omitzero"`
	// adopt names a rental that exists at Vast.ai and that this instance takes over. Nothing is
	// ever rented for such an instance. Only people make them, for example after the restore of
	// a backup that does not know the rental.
	// +optional
	Adopt *RentalAdoption `json:"adopt,omitempty"`
	// claimRef names who uses this instance exclusively. A claimed instance is not ended by
	// scaling (I3) and does not count as ready in its pool.
	// +optional
	ClaimRef *ClaimReference `json:"claimRef,omitempty"`
}

// RentalAdoption names a rental to take over.
type RentalAdoption struct {
	// rentalID is Vast.ai's number of the instance.
	// +kubebuilder:validation:Minimum=1
	// +required
	RentalID int64 `json:"rentalID"`
	// credentialsSecretRef names a Secret that holds the password of its ComfyUI under the key
	// WEB_PASSWORD. Without it the instance could not be asked, and would be given up.
	// +required
	CredentialsSecretRef LocalReference `json:"credentialsSecretRef"`
}

// ClaimReference names the holder of an instance.
type ClaimReference struct {
	// name of the claim.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name"`
	// uid of the claim.
	// +required
	UID types.UID `json:"uid"`
	// boundTime is when the claim got the instance.
	// +optional
	BoundTime *metav1.Time `json:"boundTime,omitempty"`
	// recycleTime is when the claim let go of the instance and its recycling began. The claim
	// holds it no more, and no other one gets it before it has rendered a test prompt.
	// +optional
	RecycleTime *metav1.Time `json:"recycleTime,omitempty"`
}

// AttemptOutcome is what became of one call to rent.
// +kubebuilder:validation:Enum=Pending;Succeeded;Rejected;Unknown;Abandoned
type AttemptOutcome string

// The outcomes of an attempt.
const (
	// AttemptPending is written before the call.
	AttemptPending AttemptOutcome = "Pending"
	// AttemptSucceeded has a rental.
	AttemptSucceeded AttemptOutcome = "Succeeded"
	// AttemptRejected was refused for certain; nothing was rented.
	AttemptRejected AttemptOutcome = "Rejected"
	// AttemptUnknown may have rented or not; it is resolved by its label.
	AttemptUnknown AttemptOutcome = "Unknown"
	// AttemptAbandoned was not found in three trusted sweeps over two minutes.
	AttemptAbandoned AttemptOutcome = "Abandoned"
)

// RentAttempt is the journal entry of one call to rent. It is written before the call.
type RentAttempt struct {
	// number counts the attempts of this instance from 1; it is the last part of the label.
	// +kubebuilder:validation:Minimum=1
	// +required
	Number int32 `json:"number"`
	// offerID that was asked for.
	// +required
	OfferID int64 `json:"offerID"`
	// machineID of that offer.
	// +optional
	MachineID int64 `json:"machineID,omitempty"`
	// quotedUSDPerHour is the price of the offer when it was chosen.
	// +required
	QuotedUSDPerHour USD `json:"quotedUSDPerHour"`
	// startedTime is when this entry was written.
	// +required
	StartedTime metav1.Time `json:"startedTime"`
	// finishedTime is when the outcome was recorded.
	// +optional
	FinishedTime *metav1.Time `json:"finishedTime,omitempty"`
	// outcome is Pending, Succeeded, Rejected, Unknown or Abandoned.
	// +required
	Outcome AttemptOutcome `json:"outcome"`
	// rentalID is the rental that this attempt made, if it is known.
	// +optional
	RentalID int64 `json:"rentalID,omitempty"`
	// rentalGone is true when that rental is confirmed gone and is not status.rental.
	// +optional
	RentalGone bool `json:"rentalGone,omitempty"`
	// httpStatus of the answer, 0 when there was none.
	// +optional
	HTTPStatus int32 `json:"httpStatus,omitempty"`
	// reason is the kind of error.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Reason string `json:"reason,omitempty"`
	// message is what Vast.ai said, without secrets.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Message string `json:"message,omitempty"`
}

// Rental is the machine that was rented.
type Rental struct {
	// id is Vast.ai's number of the instance.
	// +required
	ID int64 `json:"id"`
	// label that ties it to this object.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Label string `json:"label,omitempty"`
	// labelRestoredTime is when a label that somebody had changed was put back. It is done once.
	// +optional
	LabelRestoredTime *metav1.Time `json:"labelRestoredTime,omitempty"`
	// machineID is the physical machine.
	// +optional
	MachineID int64 `json:"machineID,omitempty"`
	// hostID is its owner.
	// +optional
	HostID int64 `json:"hostID,omitempty"`
	// gpuName as Vast.ai names it.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	GPUName string `json:"gpuName,omitempty"`
	// gpus is their number.
	// +optional
	GPUs int32 `json:"gpus,omitempty"`
	// gpuMemoryMB is the memory of each GPU in MB.
	// +optional
	GPUMemoryMB int64 `json:"gpuMemoryMB,omitempty"`
	// geolocation is place and country.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Geolocation string `json:"geolocation,omitempty"`
	// recordedTime is when this record was written.
	// +optional
	RecordedTime *metav1.Time `json:"recordedTime,omitempty"`
	// startTime is when Vast.ai made the contract.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// endTime is when the contract ends.
	// +optional
	EndTime *metav1.Time `json:"endTime,omitempty"`
}

// InstancePrice is what the rental costs.
type InstancePrice struct {
	// quotedUSDPerHour is the price of the offer when it was rented.
	// +optional
	QuotedUSDPerHour SignedUSD `json:"quotedUSDPerHour,omitempty"`
	// currentUSDPerHour is the price that Vast.ai reports while it runs, storage included.
	// +optional
	CurrentUSDPerHour SignedUSD `json:"currentUSDPerHour,omitempty"`
	// storageUSDPerHour is the part that is storage.
	// +optional
	StorageUSDPerHour SignedUSD `json:"storageUSDPerHour,omitempty"`
	// observedTime is when a price was first seen while the container ran; from then on it
	// counts under the ceiling instead of the quote.
	// +optional
	ObservedTime *metav1.Time `json:"observedTime,omitempty"`
}

// ProviderState is what Vast.ai says about the container.
type ProviderState struct {
	// actualStatus is what the container does; it lags and flickers.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	ActualStatus string `json:"actualStatus,omitempty"`
	// intendedStatus is what was asked for.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	IntendedStatus string `json:"intendedStatus,omitempty"`
	// currentState of the contract.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	CurrentState string `json:"currentState,omitempty"`
	// message is the host's last word, without secrets.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Message string `json:"message,omitempty"`
	// runningTime is when the container was first seen running.
	// +optional
	RunningTime *metav1.Time `json:"runningTime,omitempty"`
	// changedTime is when one of the states above last changed.
	// +optional
	ChangedTime *metav1.Time `json:"changedTime,omitempty"`
}

// InstanceEndpoint is one published port.
type InstanceEndpoint struct {
	// name is comfyui, portal, or the port's name in the template.
	// +kubebuilder:validation:MaxLength=32
	// +required
	Name string `json:"name"`
	// url or address of the port.
	// +kubebuilder:validation:MaxLength=256
	// +required
	URL string `json:"url"`
}

// InstanceSSH says where SSH answers.
type InstanceSSH struct {
	// host to connect to, as root.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Host string `json:"host,omitempty"`
	// port to connect to.
	// +optional
	Port int32 `json:"port,omitempty"`
	// keysAttached is true when the template's public keys were attached.
	// +optional
	KeysAttached bool `json:"keysAttached,omitempty"`
}

// InstanceFailure is why the instance was given up.
type InstanceFailure struct {
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
	// logTail holds the last lines of the instance's log, without secrets.
	// +kubebuilder:validation:MaxLength=8192
	// +optional
	LogTail string `json:"logTail,omitempty"`
	// time of the decision.
	// +required
	Time metav1.Time `json:"time"`
}

// InstanceRecycle is how far the recycling after a claim has come.
type InstanceRecycle struct {
	// claimUID is the claim that let go of the instance.
	// +kubebuilder:validation:MaxLength=64
	// +required
	ClaimUID string `json:"claimUID"`
	// emptiedTime is when its queue, its history and its memory were empty.
	// +optional
	EmptiedTime *metav1.Time `json:"emptiedTime,omitempty"`
	// provenTime is when it rendered a test prompt after that: the recycling is complete.
	// +optional
	ProvenTime *metav1.Time `json:"provenTime,omitempty"`
	// message is what the last step has met, without secrets.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Message string `json:"message,omitempty"`
}

// InstanceTermination is how far the end of the rental has come.
type InstanceTermination struct {
	// requestedTime is when Vast.ai was first asked to destroy the rental.
	// +optional
	RequestedTime *metav1.Time `json:"requestedTime,omitempty"`
	// lastRequestTime is when it was last asked.
	// +optional
	LastRequestTime *metav1.Time `json:"lastRequestTime,omitempty"`
	// requests is how often it was asked.
	// +optional
	Requests int32 `json:"requests,omitempty"`
	// message is the answer to the last request.
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Message string `json:"message,omitempty"`
}

// WarmInstanceStatus is what the controllers observed.
type WarmInstanceStatus struct {
	// attempts is the journal of calls to rent, oldest first.
	// +listType=map
	// +listMapKey=number
	// +kubebuilder:validation:MaxItems=10
	// +optional
	Attempts []RentAttempt `json:"attempts,omitempty"`
	// lastAdmission is why it is not rented yet, or what was rented.
	// +optional
	LastAdmission *Admission `json:"lastAdmission,omitempty"`
	// rental is the machine, once rented.
	// +optional
	Rental *Rental `json:"rental,omitempty"`
	// price of the rental.
	// +optional
	Price InstancePrice `json:"price,omitzero"`
	// provider is what Vast.ai says about the container.
	// +optional
	Provider ProviderState `json:"provider,omitzero"`
	// endpoints are the published ports.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Endpoints []InstanceEndpoint `json:"endpoints,omitempty"`
	// ssh says where SSH answers.
	// +optional
	SSH InstanceSSH `json:"ssh,omitzero"`
	// credentialsSecretRef names the Secret with the instance's own password.
	// +optional
	CredentialsSecretRef *LocalReference `json:"credentialsSecretRef,omitempty"`
	// certificateSHA256 is the fingerprint of the certificate seen first, which must not change.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	CertificateSHA256 string `json:"certificateSHA256,omitempty"`
	// comfyUIVersion is what the instance says of itself.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	ComfyUIVersion string `json:"comfyUIVersion,omitempty"`
	// readyTime is when it first was Ready.
	// +optional
	ReadyTime *metav1.Time `json:"readyTime,omitempty"`
	// lastProofTime is when it last rendered the test prompt.
	// +optional
	LastProofTime *metav1.Time `json:"lastProofTime,omitempty"`
	// recycle is how far the recycling after a claim has come.
	// +optional
	Recycle *InstanceRecycle `json:"recycle,omitempty"`
	// failure is why it was given up.
	// +optional
	Failure *InstanceFailure `json:"failure,omitempty"`
	// termination is how far the end of the rental has come.
	// +optional
	Termination *InstanceTermination `json:"termination,omitempty"`
	// conditions of the instance; see the reference of conditions.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// WarmInstance is the record of one rental: it exists before the rent is
// called and goes away only when the rental is confirmed gone. Deleting it ends
// the rental.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=wi,categories=warmpool
// +kubebuilder:printcolumn:name="Pool",type=string,JSONPath=`.spec.poolRef.name`
// +kubebuilder:printcolumn:name="Rental",type=integer,JSONPath=`.status.rental.id`
// +kubebuilder:printcolumn:name="GPU",type=string,JSONPath=`.status.rental.gpuName`
// +kubebuilder:printcolumn:name="$/h",type=string,JSONPath=`.status.price.currentUSDPerHour`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Claim",type=string,JSONPath=`.spec.claimRef.name`,priority=1
// +kubebuilder:printcolumn:name="Machine",type=integer,JSONPath=`.status.rental.machineID`,priority=1
// +kubebuilder:printcolumn:name="Place",type=string,JSONPath=`.status.rental.geolocation`,priority=1
// +kubebuilder:printcolumn:name="Ends",type=string,JSONPath=`.status.rental.endTime`,priority=1
// +kubebuilder:printcolumn:name="ComfyUI",type=string,JSONPath=`.status.endpoints[?(@.name=="comfyui")].url`,priority=1
type WarmInstance struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what was asked for.
	// +required
	Spec WarmInstanceSpec `json:"spec"`
	// status is what was observed.
	// +optional
	Status WarmInstanceStatus `json:"status,omitzero"`
}

// WarmInstanceList is a list of WarmInstances.
// +kubebuilder:object:root=true
type WarmInstanceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []WarmInstance `json:"items"`
}
