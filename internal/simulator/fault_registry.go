package simulator

import "slices"

// The kinds of parameters; any other kind is a list of allowed words.
const (
	paramText    = "text"
	paramInt     = "integer"
	paramFloat   = "number"
	paramSeconds = "seconds"
	paramBool    = "true|false"
)

// FaultParam documents one parameter of a fault.
type FaultParam struct {
	// Name is the key in "params".
	Name string `json:"name"`
	// Kind is text, integer, number, seconds (simulated), or words divided by "|".
	Kind string `json:"kind"`
	// Default is what holds without it.
	Default string `json:"default"`
	// Summary says what it does.
	Summary string `json:"summary"`
}

// FaultKind documents one fault. The registry is the only list of them: the
// admin API, the reference and the tests read it.
type FaultKind struct {
	// Name names it.
	Name string `json:"name"`
	// Scope is http, search, create, read, destroy, life or account.
	Scope string `json:"scope"`
	// Endpoint is where it acts when the match names none; empty is everywhere.
	Endpoint Endpoint `json:"endpoint,omitempty"`
	// Summary says what happens.
	Summary string `json:"summary"`
	// Params are its parameters.
	Params []FaultParam `json:"params"`
	// FreeParams accepts further parameters, which are passed on.
	FreeParams bool `json:"freeParams,omitempty"`

	// immediate acts on a rental that exists; it reports whether it could.
	immediate func(w *world, r *rental, f *Fault) bool
	// act acts on the account.
	act func(w *world, f *Fault)
	// once faults act when they are set and are not kept.
	once bool
}

// The names of the faults.
const (
	FaultHTTPError       = "http-error"
	FaultHTML            = "html"
	FaultEmptyBody       = "empty-body"
	FaultTruncatedBody   = "truncated-body"
	FaultHangUp          = "hang-up"
	FaultSlow            = "slow"
	FaultRateLimit       = "rate-limit"
	FaultAuthError       = "auth-error"
	FaultDeprecated      = "deprecated"
	FaultLostAnswer      = "lost-answer"
	FaultSchemaDrift     = "schema-drift"
	FaultOtherAccount    = "other-account"
	FaultOfferGone       = "offer-gone"
	FaultNoOffers        = "no-offers"
	FaultStaleOffer      = "stale-offer"
	FaultCreateWithError = "create-with-error"
	FaultCreateLate      = "create-late"
	FaultCreateNoID      = "create-no-id"
	FaultCreateRefused   = "create-refused"
	FaultCreateDearer    = "create-dearer"
	FaultReadLag         = "read-lag"
	FaultPageDrop        = "page-drop"
	FaultShortPage       = "short-page"
	FaultWrongTotal      = "wrong-total"
	FaultEmptyList       = "empty-list"
	FaultStatusFlicker   = "status-flicker"
	FaultLabelChanged    = "label-changed"
	FaultHiddenRental    = "hidden-rental"
	FaultDestroyError    = "destroy-error"
	FaultDestroyLingers  = "destroy-lingers"
	FaultDestroyIgnored  = "destroy-ignored"
	FaultResourcesTaken  = "resources-unavailable"
	FaultStuck           = "stuck"
	FaultBootError       = "boot-error"
	FaultBadAddress      = "bad-address"
	FaultExited          = "exited"
	FaultOffline         = "offline"
	FaultOutbid          = "outbid"
	FaultPriceRaise      = "price-raise"
	FaultVanished        = "vanished"
	FaultComfy           = "comfy"
	FaultCredit          = "credit"
	FaultNoLogs          = "no-logs"
	FaultV0Empty         = "v0-empty"
)

// FaultKinds returns the registry.
func FaultKinds() []FaultKind {
	return slices.Concat(httpFaults(), createFaults(), readFaults(), lifeFaults())
}

// httpFaults disturb any call.
func httpFaults() []FaultKind {
	executed := FaultParam{"executed", paramBool, falseText, "do what was asked before answering so"}
	return []FaultKind{
		{Name: FaultHTTPError, Scope: "http", Summary: "answers an HTTP error", Params: []FaultParam{
			{"status", paramInt, "503", "HTTP status"},
			{"error", paramText, "", "slug of the JSON body"},
			{"msg", paramText, "Internal error", "text of the JSON body"},
			executed,
		}},
		{Name: FaultHTML, Scope: "http", Summary: "answers an HTML page, as a front does", Params: []FaultParam{
			{"status", paramInt, "403", "HTTP status; 200 is possible"}, executed,
		}},
		{Name: FaultEmptyBody, Scope: "http", Summary: "answers 200 with nothing", Params: []FaultParam{executed}},
		{Name: FaultTruncatedBody, Scope: "http", Summary: "answers the first half of the JSON body; what was asked is done"},
		{Name: FaultHangUp, Scope: "http", Summary: "closes the connection without an answer", Params: []FaultParam{executed}},
		{Name: FaultSlow, Scope: "http", Summary: "does what was asked and answers late", Params: []FaultParam{
			{"delay", paramSeconds, "30", "how late"},
		}},
		{Name: FaultRateLimit, Scope: "http", Summary: "answers 429", Params: []FaultParam{
			{"body", "text|detail|msg|error", "text", "form of the body"},
			{"retryAfter", paramText, "", "value of a Retry-After header; none when empty"},
		}},
		{Name: FaultAuthError, Scope: "http", Summary: "calls a good key wrong", Params: []FaultParam{
			{"status", "401|403|404", "404", "HTTP status"},
		}},
		{Name: FaultDeprecated, Scope: "http", Summary: "calls the endpoint retired", Endpoint: EndpointList, Params: []FaultParam{
			{"status", "410|200", "410", "HTTP status"},
		}},
		{Name: FaultLostAnswer, Scope: "http", Summary: "does what was asked, then loses the answer", Endpoint: EndpointCreate, Params: []FaultParam{
			{"how", "hang-up|timeout|502|504", "hang-up", "what the caller sees instead"},
			{"delay", paramSeconds, "300", "how long a timeout keeps the caller waiting before it hangs up"},
		}},
		{Name: FaultSchemaDrift, Scope: "http", Summary: "renames the key that holds the result", Endpoint: EndpointList},
		{Name: FaultOtherAccount, Scope: "account", Summary: "answers with another account's user and rentals, as a mixed-up key does", Params: []FaultParam{
			{"identity", paramBool, trueText, "users/current shows the other account too; false hides the mix-up from it"},
		}},
	}
}

// createFaults disturb searches and rents.
func createFaults() []FaultKind {
	return []FaultKind{
		{Name: FaultNoOffers, Scope: "search", Endpoint: EndpointSearch, Summary: "a search finds nothing"},
		{Name: FaultStaleOffer, Scope: "search", Endpoint: EndpointSearch, Summary: "a search shows offers that are taken at once by others: every rent of them finds them gone"},
		{Name: FaultOfferGone, Scope: "create", Endpoint: EndpointCreate, Summary: "the offer is taken by somebody else just now", Params: []FaultParam{
			{"form", "404|410|400|200", "404", "form of the refusal: 404 invalid_args, 410 and 400 no_such_ask, 200 with success false"},
		}},
		{Name: FaultCreateWithError, Scope: "create", Endpoint: EndpointCreate, Summary: "answers an error that carries new_contract; the rental exists and bills", Params: []FaultParam{
			{"status", paramInt, "400", "HTTP status"},
			{"running", paramBool, falseText, "the rental provisions; otherwise it is stopped and bills storage"},
		}},
		{Name: FaultCreateLate, Scope: "create", Endpoint: EndpointCreate, Summary: "loses the answer and makes the rental only later", Params: []FaultParam{
			{"after", paramSeconds, "60", "how much later"},
			{"how", "hang-up|502|504", "504", "what the caller sees now"},
		}},
		{Name: FaultCreateNoID, Scope: "create", Endpoint: EndpointCreate, Summary: "rents and answers success without the id"},
		{Name: FaultCreateRefused, Scope: "create", Endpoint: EndpointCreate, Summary: "refuses for want of money, or for another documented reason", Params: []FaultParam{
			{"error", paramText, "insufficient_credit", "insufficient_credit, spend_rate_limit, missing_billing, invalid_args, no_ssh_key_for_vm …"},
			{"status", paramInt, "400", "HTTP status"},
		}},
		{Name: FaultCreateDearer, Scope: "create", Endpoint: EndpointCreate, Summary: "the rental costs more than the search said", Params: []FaultParam{
			{"factor", paramFloat, "1.25", "multiplies the GPU price"},
		}},
	}
}

// readFaults disturb what reads show; the rentals themselves are as they are.
func readFaults() []FaultKind {
	return []FaultKind{
		{Name: FaultReadLag, Scope: "read", Endpoint: EndpointCreate, Summary: "reads do not show a new rental for a while", Params: []FaultParam{
			{"delay", paramSeconds, "30", "how long"},
		}},
		{Name: FaultPageDrop, Scope: "read", Endpoint: EndpointList, Summary: "a page of the list ends the listing early: no token for the next one", Params: []FaultParam{
			{"page", paramInt, "1", "after which page, from 1"},
		}},
		{Name: FaultShortPage, Scope: "read", Endpoint: EndpointList, Summary: "a page lacks rows, the total does not", Params: []FaultParam{
			{"rows", paramInt, "1", "how many rows are lost, from the end"},
		}},
		{Name: FaultWrongTotal, Scope: "read", Endpoint: EndpointList, Summary: "total_instances is wrong", Params: []FaultParam{
			{"delta", paramInt, "1", "what is added to it"},
		}},
		{Name: FaultEmptyList, Scope: "read", Endpoint: EndpointList, Summary: "a list that is whole, consistent and empty"},
		{Name: FaultHiddenRental, Scope: "read", Summary: "lists and look-ups do not know a rental that lives; the total agrees"},
		{Name: FaultStatusFlicker, Scope: "read", Summary: "reads show another actual_status now and then", Params: []FaultParam{
			{"status", paramText, "exited", "what they show; empty is null"},
			{"probability", paramFloat, "0.5", "how often, between 0 and 1, drawn from the seed"},
		}},
		{Name: FaultLabelChanged, Scope: "read", Summary: "somebody changes the labels for good", Params: []FaultParam{
			{"label", paramText, "", "the new label; empty is none"},
		}, immediate: changeLabel, once: true},
		{Name: FaultV0Empty, Scope: "read", Endpoint: EndpointListV0, Summary: "the retired list answers 200 and nothing instead of 410"},
		{Name: FaultNoLogs, Scope: "read", Endpoint: EndpointLogs, Summary: "a requested log is never uploaded"},
	}
}

// lifeFaults happen to rentals. Some act on rentals that exist, others on the
// next ones that begin, as their summaries say.
func lifeFaults() []FaultKind {
	lasting := FaultParam{"after", paramSeconds, "0", "how much later it happens"}
	return []FaultKind{
		{Name: FaultStuck, Scope: "life", Endpoint: EndpointCreate, Summary: "new rentals never get past a state", Params: []FaultParam{
			{"state", "pending|created|loading", "loading", "pending is a null status"},
		}},
		{Name: FaultBootError, Scope: "life", Endpoint: EndpointCreate, Summary: "the container of a new rental does not start; all states are stopped", Params: []FaultParam{
			{"kind", "oci|manifest|disk|unauthorized", "oci", "which docker error"},
		}},
		{Name: FaultBadAddress, Scope: "life", Endpoint: EndpointCreate, Summary: "a new rental's public_ipaddr carries blanks and a line end"},
		{Name: FaultComfy, Scope: "life", Endpoint: EndpointCreate, Summary: "the ComfyUI of a new rental has a fault from the start; further parameters go to it", Params: []FaultParam{
			{"fault", paramText, "", "name of a fault of the backend"},
		}, FreeParams: true},
		{Name: FaultExited, Scope: "life", Summary: "the container process ends; the GPU bills on", Params: []FaultParam{lasting}, immediate: afterwards(exitContainer), once: true},
		{Name: FaultOffline, Scope: "life", Summary: "the host is cut off: nothing answers, nothing bills", Params: []FaultParam{
			lasting,
			{"for", paramSeconds, "0", "how long; 0 is until cleared with back=true"},
			{"remap", paramBool, falseText, "it comes back with other ports"},
			{"back", paramBool, falseText, "true brings rentals back that are offline"},
		}, immediate: afterwards(disconnect), once: true},
		{Name: FaultOutbid, Scope: "life", Summary: "the rental is stopped by the platform; storage bills", Params: []FaultParam{
			lasting,
			{"for", paramSeconds, "0", "it resumes by itself after so long; 0 never"},
		}, immediate: afterwards(outbid), once: true},
		{Name: FaultPriceRaise, Scope: "life", Summary: "the host raises the price", Params: []FaultParam{
			lasting,
			{"factor", paramFloat, "1.5", "multiplies the GPU price"},
			{"pending", paramBool, falseText, "only propose it: GET pending-price-increases shows it"},
		}, immediate: afterwards(raisePrice), once: true},
		{Name: FaultVanished, Scope: "life", Summary: "the contract ends and is gone, without a word", Params: []FaultParam{lasting}, immediate: afterwards(vanish), once: true},
		{Name: FaultResourcesTaken, Scope: "life", Endpoint: EndpointUpdate, Summary: "a start finds the GPU taken and is queued", Params: []FaultParam{
			{"fires", paramSeconds, "60", "the queued start happens after so long; 0 never"},
		}},
		{Name: FaultDestroyError, Scope: "destroy", Endpoint: EndpointDestroy, Summary: "a destroy fails", Params: []FaultParam{
			{"status", "404|500", "500", "404 says that there is no such instance"},
			{"error", "not_found|no_such_instance", "not_found", "slug of the 404"},
			{"executed", paramBool, falseText, "it is destroyed all the same"},
		}},
		{Name: FaultDestroyLingers, Scope: "destroy", Endpoint: EndpointDestroy, Summary: "a destroy succeeds and reads show the rental for a while", Params: []FaultParam{
			{"for", paramSeconds, "60", "how long"},
		}},
		{Name: FaultDestroyIgnored, Scope: "destroy", Endpoint: EndpointDestroy, Summary: "a destroy answers success and nothing happens: the rental bills on"},
		{Name: FaultCredit, Scope: "account", Summary: "the balance becomes this", Params: []FaultParam{
			{"usd", paramFloat, "0", "dollars"},
		}, act: setCredit, once: true},
	}
}
