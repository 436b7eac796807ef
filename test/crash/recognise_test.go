package crash

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
)

// The await points: every request of the rent and the termination protocol.
const (
	// What Vast.ai is asked.
	pointIdentity = "identity"
	pointList     = "list"
	pointSearch   = "search"
	pointRent     = "rent"
	pointLookup   = "lookup"
	pointDestroy  = "destroy"

	// What is read of the cluster past the cache.
	pointReadAccount      = "read account"
	pointReadKey          = "read key"
	pointReadInstances    = "read instances"
	pointReadPools        = "read pools"
	pointReadClaims       = "read claims"
	pointReadPool         = "read pool"
	pointReadPassword     = "read password"
	pointReadOutcome      = "read for outcome"
	pointRecheckInstances = "recheck instances"
	pointRecheckPool      = "recheck pool"

	// What is written about pools, accounts and Secrets.
	pointHoldPool       = "hold pool"
	pointReleasePool    = "release pool"
	pointPoolStatus     = "pool status"
	pointHoldAccount    = "hold account"
	pointReleaseAccount = "release account"
	pointAccountStatus  = "account status"
	pointCreateSecret   = "create secret"
	pointDeleteSecret   = "delete secret"

	// What is written about instances.
	pointCreateInstance  = "create instance"
	pointDeleteInstance  = "delete instance"
	pointReleaseInstance = "release instance"

	// What is written into the status of an instance.
	pointJournal       = "journal"
	pointSucceeded     = "outcome succeeded"
	pointRejected      = "outcome rejected"
	pointUnknown       = "outcome unknown"
	pointWait          = "resolve wait"
	pointAdopt         = "adopt"
	pointAbandon       = "abandon"
	pointLateRental    = "late rental"
	pointMarkGone      = "mark gone"
	pointLost          = "lost"
	pointGiveUp        = "give up"
	pointRecordDestroy = "record destroy"
	pointObserve       = "observe"
	pointDefer         = "defer"
	pointHealth        = "health"
)

// vastStep recognises a request to Vast.ai.
func vastStep(request *http.Request) step {
	path := strings.Trim(strings.TrimPrefix(request.URL.Path, "/api/"), "/")
	if path == "v0/instances/pending-price-increases" {
		// It is for people and moves no money.
		return step{line: "vast    " + request.Method + " " + request.URL.Path}
	}
	version, rest, _ := strings.Cut(path, "/")
	resource, name, named := strings.Cut(rest, "/")
	if named && resource != "users" {
		name = "*"
	}
	known := map[string]string{
		"GET v0/users/current": pointIdentity, "GET v1/instances/": pointList, "POST v0/bundles/": pointSearch,
		"PUT v0/asks/*": pointRent, "GET v0/instances/*": pointLookup, "DELETE v0/instances/*": pointDestroy,
	}
	point := known[request.Method+" "+version+"/"+resource+"/"+name]
	return step{
		point: point, write: request.Method != http.MethodGet && point != pointSearch, strange: point == "",
		line: "vast    " + request.Method + " " + request.URL.Path,
	}
}

// clusterStep recognises a request to the API server.
func clusterStep(request *http.Request, body []byte) step {
	s := step{
		line:  "cluster " + request.Method + " " + request.URL.RequestURI(),
		write: request.Method != http.MethodGet,
	}
	_, path, namespaced := strings.Cut(request.URL.Path, "/namespaces/")
	fields := strings.Split(path, "/") // namespace, resource, name, subresource
	if !namespaced || len(fields) < 2 {
		return s
	}
	resource, name, sub := fields[1], "", ""
	if len(fields) > 2 {
		name = fields[2]
	}
	if len(fields) > 3 {
		sub = fields[3]
	}
	switch {
	case resource == "events" || resource == "leases":
		// Neither holds nor moves money.
		s.write = false
		return s
	case request.Method == http.MethodGet && fillsCache(request.URL.Query()):
		return s
	case request.Method == http.MethodGet:
		s.point = readPoint(resource, name)
	case resource == "warminstances" && sub == "status":
		var instance warmpool.WarmInstance
		if json.Unmarshal(body, &instance) == nil {
			s.uid, s.status = string(instance.UID), &instance.Status
			return s // the gate, which knows what was there before, tells what it is
		}
	case sub == "status":
		s.point = map[string]string{"warmpools": pointPoolStatus, "vastaccounts": pointAccountStatus}[resource]
	default:
		s.point = objectPoint(request.Method, resource, body)
	}
	s.strange = s.point == ""
	return s
}

// fillsCache tells the reads of the cache: they watch, or name a resource version.
func fillsCache(query url.Values) bool { return query.Has("watch") || query.Has("resourceVersion") }

// readPoint recognises reads past the cache.
func readPoint(resource, name string) string {
	switch {
	case resource == "secrets" && strings.HasSuffix(name, "-auth"):
		return pointReadPassword
	case resource == "secrets":
		return pointReadKey
	case name == "":
		return map[string]string{"warminstances": pointReadInstances, "warmpools": pointReadPools, "warmclaims": pointReadClaims}[resource]
	default:
		return map[string]string{
			"warminstances": pointReadOutcome, "warmpools": pointReadPool, "vastaccounts": pointReadAccount,
		}[resource]
	}
}

// objectPoint recognises writes of whole objects.
func objectPoint(method, resource string, body []byte) string {
	var object struct {
		Metadata struct{ Finalizers []string }
	}
	_ = json.Unmarshal(body, &object) // a body that is no JSON holds no finalizer
	held := len(object.Metadata.Finalizers) > 0
	switch key := method + " " + resource; {
	case key == "PATCH warmpools" && held:
		return pointHoldPool
	case key == "PUT vastaccounts" && held:
		return pointHoldAccount
	default:
		return map[string]string{
			"PATCH warmpools": pointReleasePool, "PUT vastaccounts": pointReleaseAccount,
			"POST warminstances": pointCreateInstance, "DELETE warminstances": pointDeleteInstance,
			"PATCH warminstances": pointReleaseInstance,
			"POST secrets":        pointCreateSecret, "DELETE secrets": pointDeleteSecret,
		}[key]
	}
}

// statusPoint tells from what changed what a write of an instance's status is
// for. It is empty for a write that repeats what is there, from a stale cache.
func statusPoint(before, after *warmpool.WarmInstanceStatus) string {
	for k := range after.Attempts {
		if point := attemptPoint(attemptOf(before, after.Attempts[k].Number), &after.Attempts[k]); point != "" {
			return point
		}
	}
	same := equality.Semantic.DeepEqual
	switch {
	case before.Failure == nil && after.Failure != nil && after.Failure.Reason == planner.ReasonInstanceLost:
		return pointLost
	case before.Failure == nil && after.Failure != nil:
		return pointGiveUp
	case !same(before.Termination, after.Termination):
		return pointRecordDestroy
	case !same(before.Rental, after.Rental), !same(before.Provider, after.Provider), !same(before.Price, after.Price),
		!same(before.Endpoints, after.Endpoints), !same(before.SSH, after.SSH):
		return pointObserve
	case !same(before.LastAdmission, after.LastAdmission):
		return pointDefer
	case !same(before, after):
		return pointHealth
	default:
		return ""
	}
}

func attemptOf(status *warmpool.WarmInstanceStatus, number int32) *warmpool.RentAttempt {
	for k := range status.Attempts {
		if status.Attempts[k].Number == number {
			return &status.Attempts[k]
		}
	}
	return nil
}

// attemptPoint tells what happened to one attempt, empty for nothing.
func attemptPoint(before, after *warmpool.RentAttempt) string {
	switch {
	case before == nil:
		return pointJournal
	case before.Outcome != after.Outcome:
		return outcomePoint(after)
	case before.RentalID != after.RentalID:
		return pointLateRental
	case before.RentalGone != after.RentalGone:
		return pointMarkGone
	default:
		return ""
	}
}

func outcomePoint(attempt *warmpool.RentAttempt) string {
	switch {
	case attempt.Outcome == warmpool.AttemptSucceeded && attempt.Reason == planner.ReasonLabelMatched:
		return pointAdopt
	case attempt.Outcome == warmpool.AttemptSucceeded:
		return pointSucceeded
	case attempt.Outcome == warmpool.AttemptRejected:
		return pointRejected
	case attempt.Outcome == warmpool.AttemptAbandoned:
		return pointAbandon
	case attempt.Outcome == warmpool.AttemptUnknown && attempt.FinishedTime != nil:
		return pointUnknown
	default:
		return pointWait
	}
}
