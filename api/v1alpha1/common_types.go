package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// USD is an amount of US dollars, or a rate in US dollars per hour where the
// field name says so: a decimal string with at most six decimals, such as "1.50".
// +kubebuilder:validation:Pattern=`^(0|[1-9][0-9]{0,5})(\.[0-9]{1,6})?$`
// +kubebuilder:validation:MaxLength=13
type USD string

// SignedUSD is an amount of US dollars that may be negative, as reported in a status.
// +kubebuilder:validation:Pattern=`^-?[0-9]{1,15}(\.[0-9]{1,6})?$`
// +kubebuilder:validation:MaxLength=24
type SignedUSD string

// LocalReference names an object in the same namespace.
type LocalReference struct {
	// name of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name"`
}

// RejectedOffers counts the offers that one filter turned away.
type RejectedOffers struct {
	// reason is the filter that the offers failed first, such as GPUName or AboveInstanceCap.
	// +kubebuilder:validation:MaxLength=64
	// +required
	Reason string `json:"reason"`
	// count of offers.
	// +kubebuilder:validation:Minimum=0
	// +required
	Count int32 `json:"count"`
}

// AdmissionDecision is the outcome of looking for an offer.
// +kubebuilder:validation:Enum=Admitted;Deferred;DryRun
type AdmissionDecision string

// The admission decisions.
const (
	// DecisionAdmitted means that an offer was rented or is being rented.
	DecisionAdmitted AdmissionDecision = "Admitted"
	// DecisionDeferred means that nothing was rented; the reason says why.
	DecisionDeferred AdmissionDecision = "Deferred"
	// DecisionDryRun means that an offer would have been rented, were the pool Active.
	DecisionDryRun AdmissionDecision = "DryRun"
)

// Admission is the last answer to "may the next instance be rented, and which offer?".
type Admission struct {
	// time of the decision. It changes only when the answer changes.
	// +required
	Time metav1.Time `json:"time"`
	// decision is Admitted, Deferred or DryRun.
	// +required
	Decision AdmissionDecision `json:"decision"`
	// reason is a CamelCase constant, such as CostCeilingReached.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Reason string `json:"reason,omitempty"`
	// message says it in a sentence, with the remedy.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`
	// neededUSDPerHour is the price of the offer that was considered.
	// +optional
	NeededUSDPerHour SignedUSD `json:"neededUSDPerHour,omitempty"`
	// headroomUSDPerHour is what was left under the ceiling that decided.
	// +optional
	HeadroomUSDPerHour SignedUSD `json:"headroomUSDPerHour,omitempty"`
	// cheapestOfferUSDPerHour is the price of the cheapest offer that passed every filter.
	// +optional
	CheapestOfferUSDPerHour SignedUSD `json:"cheapestOfferUSDPerHour,omitempty"`
	// offersSeen is how many offers the search returned.
	// +optional
	OffersSeen int32 `json:"offersSeen,omitempty"`
	// rejectedBy counts the offers that were turned away, by filter.
	// +listType=map
	// +listMapKey=reason
	// +kubebuilder:validation:MaxItems=32
	// +optional
	RejectedBy []RejectedOffers `json:"rejectedBy,omitempty"`
}
