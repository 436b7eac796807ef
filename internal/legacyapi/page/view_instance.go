package page

import (
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// States of an instance or a claim. Each has a word and a shape of its own.
const (
	stateReady     = "ready"
	stateClaimed   = "claimed"
	stateStarting  = "starting"
	stateWaiting   = "waiting"
	stateUnknown   = "unknown"
	stateUnhealthy = "unhealthy"
	stateFailed    = "failed"
	stateEnding    = "ending"
	stateOver      = "over"
)

// instanceView is one instance.
type instanceView struct {
	Name, UID string
	// State is the shape, Word says it.
	State, Word, Reason, Message string
	GPU, Place, Claim            string
	Price                        rate
	// Quoted is true while the price is that of the offer.
	Quoted     bool
	Created    moment
	ComfyUI    string
	SSH        string
	Ending     bool
	Facts      []factView
	Conditions []conditionView
	Attempts   []attemptView
	// LogTail holds the last lines of the log of an instance that has failed.
	LogTail string
}

// factView is one thing to know.
type factView struct {
	Label, Value string
}

// attemptView is one call to rent.
type attemptView struct {
	Number                   int32
	Offer, Machine           int64
	Quote                    amount
	Outcome, Reason, Message string
	Started                  moment
}

// stateOf is what an instance is, in one word.
func stateOf(instance *v1alpha1.WarmInstance) (state, word string) {
	status, claim := &instance.Status, instance.Spec.ClaimRef
	ready := isTrue(status.Conditions, v1alpha1.ConditionReady)
	switch {
	case !instance.DeletionTimestamp.IsZero():
		return stateEnding, "Ending"
	case status.Failure != nil:
		return stateFailed, "Failed"
	case claim != nil && claim.RecycleTime != nil:
		return stateStarting, "Recycling"
	case status.ReadyTime != nil && !ready:
		return stateUnhealthy, "Unhealthy"
	case claim != nil:
		return stateClaimed, "Claimed"
	case ready:
		return stateReady, "Ready"
	default:
		return stateOnTheWay(status)
	}
}

// stateOnTheWay is stateOf for an instance that was never ready.
func stateOnTheWay(status *v1alpha1.WarmInstanceStatus) (state, word string) {
	rented := conditionOf(status.Conditions, v1alpha1.ConditionRented)
	switch {
	case status.Rental != nil:
		return stateStarting, "Starting"
	case rented != nil && rented.Status == metav1.ConditionUnknown:
		return stateUnknown, "Unknown"
	default:
		return stateWaiting, "Waiting"
	}
}

func isTrue(conditions []metav1.Condition, kind string) bool {
	found := conditionOf(conditions, kind)
	return found != nil && found.Status == metav1.ConditionTrue
}

func (p *Page) instanceView(instance *v1alpha1.WarmInstance, s *snapshot) instanceView {
	status := &instance.Status
	price, quoted := priceOf(instance)
	v := instanceView{
		Name: p.text.line(instance.Name), UID: p.text.line(string(instance.UID)),
		Price: rateOf(price), Quoted: quoted && price.known, Ending: !instance.DeletionTimestamp.IsZero(),
		Created: momentOf(instance.CreationTimestamp.Time, s.taken),
		SSH:     p.text.ssh(status.SSH.Host, status.SSH.Port),
		Facts:   p.facts(instance, s), Conditions: p.conditions(status.Conditions, s), Attempts: p.attempts(status.Attempts, s),
	}
	v.State, v.Word = stateOf(instance)
	v.Reason, v.Message = p.whyOf(instance)
	if claim := instance.Spec.ClaimRef; claim != nil {
		v.Claim = p.text.line(claim.Name)
	}
	if rental := status.Rental; rental != nil {
		v.GPU, v.Place = p.text.line(rental.GPUName), p.text.line(rental.Geolocation)
		if rental.GPUs > 1 {
			v.GPU = strconv.Itoa(int(rental.GPUs)) + " × " + v.GPU
		}
	}
	at := slices.IndexFunc(status.Endpoints, func(e v1alpha1.InstanceEndpoint) bool { return e.Name == "comfyui" })
	if at >= 0 {
		v.ComfyUI = p.text.link(status.Endpoints[at].URL)
	}
	if status.Failure != nil {
		v.LogTail = p.text.block(status.Failure.LogTail)
	}
	return v
}

// whyOf says why an instance is what it is.
func (p *Page) whyOf(instance *v1alpha1.WarmInstance) (reason, message string) {
	status := &instance.Status
	if !instance.DeletionTimestamp.IsZero() {
		if ended := conditionOf(status.Conditions, v1alpha1.ConditionTerminated); ended != nil {
			return p.text.line(ended.Reason), p.text.line(ended.Message)
		}
	}
	if failure := status.Failure; failure != nil {
		return p.text.line(failure.Reason), p.text.line(failure.Message)
	}
	if ready := conditionOf(status.Conditions, v1alpha1.ConditionReady); ready != nil {
		return p.text.line(ready.Reason), p.text.line(ready.Message)
	}
	if last := status.LastAdmission; last != nil {
		return p.text.line(last.Reason), p.text.line(last.Message)
	}
	return "", ""
}

// facts are what the table has no room for.
func (p *Page) facts(instance *v1alpha1.WarmInstance, s *snapshot) []factView {
	var facts []factView
	add := func(label, value string) {
		if value = p.text.line(value); value != "" && value != "0" {
			facts = append(facts, factView{label, value})
		}
	}
	status := &instance.Status
	if rental := status.Rental; rental != nil {
		add("Rental", strconv.FormatInt(rental.ID, 10))
		add("Machine", strconv.FormatInt(rental.MachineID, 10))
		add("Host", strconv.FormatInt(rental.HostID, 10))
		add("Label", rental.Label)
		add("Contract ends", timeText(rental.EndTime, s))
	}
	add("Quoted", amountText(status.Price.QuotedUSDPerHour))
	add("Storage", amountText(status.Price.StorageUSDPerHour))
	add("ComfyUI", status.ComfyUIVersion)
	add("Ready since", timeText(status.ReadyTime, s))
	add("Last test render", timeText(status.LastProofTime, s))
	add("Vast.ai says", status.Provider.ActualStatus)
	add("Host says", status.Provider.Message)
	add("Certificate SHA-256", status.CertificateSHA256)
	if secret := status.CredentialsSecretRef; secret != nil {
		add("Password in Secret", secret.Name)
	}
	if end := status.Termination; end != nil {
		add("Asked to end", timeText(end.RequestedTime, s))
		add("Times asked", strconv.Itoa(int(end.Requests)))
		add("Answer", end.Message)
	}
	for i := range status.Endpoints {
		if endpoint := &status.Endpoints[i]; endpoint.Name != "comfyui" || p.text.link(endpoint.URL) == "" {
			add("Port "+p.text.line(endpoint.Name), endpoint.URL)
		}
	}
	return facts
}

func amountText(text v1alpha1.SignedUSD) string {
	if a := amountOf(text); a.known {
		return a.String() + " an hour"
	}
	return ""
}

func timeText(t *metav1.Time, s *snapshot) string {
	if t.IsZero() {
		return ""
	}
	return momentOf(t.Time, s.taken).Full
}

func (p *Page) attempts(attempts []v1alpha1.RentAttempt, s *snapshot) []attemptView {
	views := make([]attemptView, 0, len(attempts))
	for i := range attempts {
		a := &attempts[i]
		views = append(views, attemptView{
			Number: a.Number, Offer: a.OfferID, Machine: a.MachineID, Quote: amountOf(a.QuotedUSDPerHour),
			Outcome: p.text.line(string(a.Outcome)), Reason: p.text.line(a.Reason), Message: p.text.line(a.Message),
			Started: momentOf(a.StartedTime.Time, s.taken),
		})
	}
	return views
}

// claimView is one claim.
type claimView struct {
	Name, UID, State, Word, Reason, Message string
	Holder, Instance, Endpoint, Secret      string
	Position                                int32
	Price                                   rate
	Created                                 moment
	// Left is how long it still holds its instance, Expires when it ends.
	Left    string
	Expires moment
	// Live is true until it has ended.
	Live bool
}

// shownClaims bounds the list: claims that ended stay until somebody deletes them.
const shownClaims = 50

func (p *Page) claimViews(s *snapshot) []claimView {
	views := make([]claimView, 0, len(s.claims))
	for i := range s.claims[:min(len(s.claims), shownClaims)] {
		views = append(views, p.claimView(&s.claims[i], s))
	}
	return views
}

func (p *Page) claimView(claim *v1alpha1.WarmClaim, s *snapshot) claimView {
	status := &claim.Status
	v := claimView{
		Name: p.text.line(claim.Name), UID: p.text.line(string(claim.UID)), Holder: p.text.line(claim.Spec.Holder),
		Endpoint: p.text.link(status.Endpoint), Position: status.QueuePosition,
		Created: momentOf(claim.CreationTimestamp.Time, s.taken),
		Live:    status.FinishedTime == nil && claim.DeletionTimestamp.IsZero(),
	}
	var why *metav1.Condition
	if v.State, v.Word, why = stateOfClaim(claim); why != nil {
		v.Reason, v.Message = p.text.line(why.Reason), p.text.line(why.Message)
	}
	if status.InstanceRef != nil {
		v.Instance = p.text.line(status.InstanceRef.Name)
	}
	if status.CredentialsSecretRef != nil && v.Live {
		v.Secret = p.text.line(status.CredentialsSecretRef.Name)
	}
	if held := heldBy(s, claim); held != nil {
		price, _ := priceOf(held)
		v.Price = rateOf(price)
	}
	if status.ExpirationTime != nil && v.Live {
		v.Expires, v.Left = momentOf(status.ExpirationTime.Time, s.taken), age(status.ExpirationTime.Sub(s.taken))
	}
	return v
}

// stateOfClaim is what a claim is, in one word, and the condition that says why.
func stateOfClaim(claim *v1alpha1.WarmClaim) (state, word string, why *metav1.Condition) {
	conditions := claim.Status.Conditions
	bound := conditionOf(conditions, v1alpha1.ConditionBound)
	switch {
	case !claim.DeletionTimestamp.IsZero():
		return stateEnding, "Releasing", bound
	case claim.Status.FinishedTime != nil:
		return stateOver, "Finished", conditionOf(conditions, v1alpha1.ConditionFinished)
	case isTrue(conditions, v1alpha1.ConditionBound):
		return stateClaimed, "Bound", bound
	default:
		return stateWaiting, "Waiting", bound
	}
}
