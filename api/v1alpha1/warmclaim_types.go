package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ReleasePolicy says what becomes of an instance when its claim ends.
// +kubebuilder:validation:Enum=Terminate;Recycle
type ReleasePolicy string

// The release policies.
const (
	// ReleaseTerminate ends the rental: the next holder gets another machine and password.
	ReleaseTerminate ReleasePolicy = "Terminate"
	// ReleaseRecycle empties the queue, the history and the memory of the same ComfyUI, and has
	// it render a test prompt before the next claim gets it. Its password stays the same, and so
	// do the files on its disk.
	ReleaseRecycle ReleasePolicy = "Recycle"
)

// TemplateCurrency says whether an instance must have the template that its pool has now.
// +kubebuilder:validation:Enum=Required;Preferred
type TemplateCurrency string

// The template requirements.
const (
	// TemplateRequired takes only instances with the pool's template of now.
	TemplateRequired TemplateCurrency = "Required"
	// TemplatePreferred takes them first.
	TemplatePreferred TemplateCurrency = "Preferred"
)

// ClaimPolicy is what a pool's claims may ask for.
// +kubebuilder:validation:XValidation:rule="!has(self.defaultTTLSeconds) || !has(self.maxTTLSeconds) || self.defaultTTLSeconds <= self.maxTTLSeconds",message="claimPolicy.defaultTTLSeconds must not exceed claimPolicy.maxTTLSeconds",fieldPath=".defaultTTLSeconds"
type ClaimPolicy struct {
	// defaultTTLSeconds is how long a claim holds its instance when it says nothing.
	// +kubebuilder:default=1800
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2592000
	// +optional
	DefaultTTLSeconds int32 `json:"defaultTTLSeconds,omitempty"`
	// maxTTLSeconds is the longest that any claim holds its instance, whatever it asks for.
	// Lowering it shortens the claims that run.
	// +kubebuilder:default=28800
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2592000
	// +optional
	MaxTTLSeconds int32 `json:"maxTTLSeconds,omitempty"`
	// onRelease is what becomes of the instance of a claim that does not say: Terminate
	// (default) or Recycle.
	// +kubebuilder:default=Terminate
	// +optional
	OnRelease ReleasePolicy `json:"onRelease,omitempty"`
	// recycleDeadlineSeconds is how long recycling may take. An instance that has not rendered
	// its test prompt by then is ended.
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=30
	// +kubebuilder:validation:Maximum=3600
	// +optional
	RecycleDeadlineSeconds int32 `json:"recycleDeadlineSeconds,omitempty"`
	// maxPending is how many claims may wait. A claim that comes later is finished at once with
	// the reason QueueFull; with 0 only those are served that find an instance ready.
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	// +optional
	MaxPending *int32 `json:"maxPending,omitempty"`
}

// ClaimRequirements says which instances of the pool will do.
type ClaimRequirements struct {
	// gpuNames are the accepted GPUs as Vast.ai names them, such as "RTX 4090"; empty accepts any.
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	// +optional
	GPUNames []string `json:"gpuNames,omitempty"`
	// minGPUMemoryMB is the least memory of each GPU in MB.
	// +kubebuilder:validation:Minimum=0
	// +optional
	MinGPUMemoryMB int32 `json:"minGPUMemoryMB,omitempty"`
	// templateCurrent is Preferred (default: an instance with the pool's template of now is
	// taken first) or Required (no other one is taken).
	// +kubebuilder:default=Preferred
	// +optional
	TemplateCurrent TemplateCurrency `json:"templateCurrent,omitempty"`
}

// WarmClaimSpec asks for the exclusive use of one ready instance for a limited time.
// +kubebuilder:validation:XValidation:rule="has(self.requirements) == has(oldSelf.requirements) && (!has(self.requirements) || self.requirements == oldSelf.requirements)",message="requirements cannot be changed: make a new claim.",fieldPath=".requirements"
type WarmClaimSpec struct {
	// poolRef names the WarmPool, in the same namespace.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="poolRef cannot be changed: make a new claim for another pool."
	// +required
	PoolRef LocalReference `json:"poolRef"`
	// ttlSeconds is how long the instance is held, counted from status.boundTime; by default the
	// pool's claimPolicy.defaultTTLSeconds, and never more than its maxTTLSeconds. Raise it to
	// keep the instance longer. Afterwards the instance is released.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2592000
	// +optional
	TTLSeconds *int32 `json:"ttlSeconds,omitempty"`
	// bindTimeoutSeconds is how long the claim waits for an instance, counted from its creation.
	// Then it is finished with the reason BindTimeout.
	// +kubebuilder:default=600
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	// +optional
	BindTimeoutSeconds int32 `json:"bindTimeoutSeconds,omitempty"`
	// requirements says which instances of the pool will do; by default any.
	// +kubebuilder:default={}
	// +optional
	Requirements ClaimRequirements `json:"requirements,omitzero"`
	// holder says for whom the instance is, for people who look at it.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Holder string `json:"holder,omitempty"`
	// onRelease is Terminate (end the rental) or Recycle (clean it for the next claim); by
	// default the pool's claimPolicy.onRelease. Recycle is for holders who trust each other: the
	// old one still knows the password of the instance.
	// +optional
	OnRelease ReleasePolicy `json:"onRelease,omitempty"`
}

// WarmClaimStatus is what the controllers observed.
type WarmClaimStatus struct {
	// observedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// instanceRef names the WarmInstance that the claim holds, or held.
	// +optional
	InstanceRef *LocalReference `json:"instanceRef,omitempty"`
	// endpoint is the URL of its ComfyUI.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Endpoint string `json:"endpoint,omitempty"`
	// credentialsSecretRef names the Secret with the keys url, username, token and, for pinned
	// certificates, certificateSHA256. It belongs to the claim and goes when the claim ends. The
	// token is the password of the instance: send it as "Authorization: Bearer".
	// +optional
	CredentialsSecretRef *LocalReference `json:"credentialsSecretRef,omitempty"`
	// boundTime is when the claim got its instance.
	// +optional
	BoundTime *metav1.Time `json:"boundTime,omitempty"`
	// expirationTime is when the instance is released: boundTime and the time that was asked
	// for, at most the pool's maximum.
	// +optional
	ExpirationTime *metav1.Time `json:"expirationTime,omitempty"`
	// finishedTime is when the claim ended. A finished claim never gets an instance again; it
	// stays until somebody deletes it.
	// +optional
	FinishedTime *metav1.Time `json:"finishedTime,omitempty"`
	// queuePosition is the place among the pool's claims that wait; 1 is served next. It is
	// absent when the claim does not wait.
	// +kubebuilder:validation:Minimum=0
	// +optional
	QueuePosition int32 `json:"queuePosition,omitempty"`
	// conditions of the claim; see the reference of conditions.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// WarmClaim is the exclusive use of one ready instance for a limited time.
// Deleting it releases the instance.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=wc,categories=warmpool
// +kubebuilder:printcolumn:name="Pool",type=string,JSONPath=`.spec.poolRef.name`
// +kubebuilder:printcolumn:name="Bound",type=string,JSONPath=`.status.conditions[?(@.type=="Bound")].status`
// +kubebuilder:printcolumn:name="Instance",type=string,JSONPath=`.status.instanceRef.name`
// +kubebuilder:printcolumn:name="Endpoint",type=string,JSONPath=`.status.endpoint`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.expirationTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name="Position",type=integer,JSONPath=`.status.queuePosition`,priority=1
// +kubebuilder:printcolumn:name="Holder",type=string,JSONPath=`.spec.holder`,priority=1
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="the name of a WarmClaim has at most 63 characters: it is a label of the claim's Secret"
type WarmClaim struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what is asked for.
	// +required
	Spec WarmClaimSpec `json:"spec"`
	// status is what was observed.
	// +kubebuilder:default={"observedGeneration":-1}
	// +optional
	Status WarmClaimStatus `json:"status,omitzero"`
}

// WarmClaimList is a list of WarmClaims.
// +kubebuilder:object:root=true
type WarmClaimList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []WarmClaim `json:"items"`
}
