package main

import "time"

// The processes and hosts. Each host is a network namespace; the rentals have
// an address of their own in the simulator's.
const (
	hostEtcd      = "etcd"
	hostAPI       = "apiserver"
	hostVast      = "vast"
	hostInstances = "instances"
	hostManager1  = "manager-1"
	hostManager2  = "manager-2"
)

// The kinds of acts on processes and networks.
const (
	kindKillManager   = "kill-manager"
	kindKillAPIServer = "kill-apiserver"
	kindStopManager   = "stop-manager"
	kindPauseManager  = "pause-manager"
	kindPauseAPI      = "pause-apiserver"
	kindPauseVast     = "pause-simulator"
	kindCut           = "cut"
	kindCutForth      = "cut-requests"
	kindCutBack       = "cut-answers"
)

// The kinds of what users do.
const (
	kindScale         = "scale"
	kindCeiling       = "ceiling"
	kindAccountLimit  = "account-ceiling"
	kindDeletePool    = "delete-pool"
	kindDeleteOne     = "delete-instance"
	kindClaim         = "claim"
	kindUnclaim       = "unclaim"
	kindPoolMode      = "pool-mode"
	kindFreeze        = "freeze-account"
	kindEmergencyStop = "emergency-stop"
	kindSecretWrong   = "secret-wrong-key"
	kindSecretRotate  = "secret-other-key"
	kindSecretForeign = "secret-of-other-account"
	kindRentByHand    = "rent-by-hand"
)

// pairs are the links that are cut, "from>to" in the direction of requests.
func pairs() []string {
	return []string{
		hostManager1 + ">" + hostAPI, hostManager2 + ">" + hostAPI,
		hostManager1 + ">" + hostVast, hostManager2 + ">" + hostVast,
		hostManager1 + ">" + hostInstances, hostManager2 + ">" + hostInstances,
		hostAPI + ">" + hostEtcd,
	}
}

// tracks are all sequences of acts.
func tracks() []track {
	return []track{processTrack(), networkTrack(), providerTrack(), rentTrack(), rentalTrack(), userTrack()}
}

// processTrack kills and pauses. The lease lasts six seconds: pauses are
// shorter and longer than that.
func processTrack() track {
	managers := []string{hostManager1, hostManager2}
	return track{meanGap: 2600 * time.Millisecond, calm: true, recipes: []recipe{
		{groupKill, kindKillManager, managers, 60, 200 * time.Millisecond, 3 * time.Second},
		{groupKill, kindKillAPIServer, []string{hostAPI}, 6, 200 * time.Millisecond, 3 * time.Second},
		{groupKill, kindStopManager, managers, 5, 200 * time.Millisecond, 3 * time.Second},
		{groupPause, kindPauseManager, managers, 22, 500 * time.Millisecond, 14 * time.Second},
		{groupPause, kindPauseAPI, []string{hostAPI}, 3, time.Second, 6 * time.Second},
		{groupPause, kindPauseVast, []string{hostVast}, 4, time.Second, 8 * time.Second},
	}}
}

// networkTrack cuts links, whole or in one direction: requests that never
// arrive, and requests that are carried out and whose answers are lost.
func networkTrack() track {
	const shortest, longest = 500 * time.Millisecond, 12 * time.Second
	return track{meanGap: 2600 * time.Millisecond, calm: true, recipes: []recipe{
		{groupCut, kindCut, pairs(), 4, shortest, longest},
		{groupCut, kindCutForth, pairs(), 3, shortest, longest},
		{groupCut, kindCutBack, pairs(), 3, shortest, longest},
	}}
}

// providerTrack disturbs Vast.ai's answers. Kinds are names of the simulator's
// faults, with a variant after a slash.
func providerTrack() track {
	const second = time.Second
	one := func(kind string, share int, shortest, longest time.Duration) recipe {
		return recipe{group: groupProvider, kind: kind, share: share, shortest: shortest, longest: longest}
	}
	return track{meanGap: 12 * second, calm: true, recipes: []recipe{
		one("http-error", 3, 3*second, 15*second), one("http-error/executed", 2, 2*second, 6*second), one("html", 1, 2*second, 8*second),
		one("empty-body", 1, 2*second, 8*second), one("truncated-body", 1, 2*second, 8*second),
		one("hang-up", 2, 2*second, 10*second), one("slow", 2, 3*second, 10*second), one("rate-limit", 4, 3*second, 15*second),
		one("auth-error", 2, 2*second, 8*second), one("deprecated", 1, 2*second, 8*second), one("schema-drift", 1, 2*second, 8*second),
		one("other-account", 1, 2*second, 12*second), one("other-account/hidden", 1, 2*second, 12*second),
		one("short-page", 1, 3*second, 10*second), one("wrong-total", 1, 3*second, 10*second),
		one("empty-list", 1, 2*second, 12*second), one("hidden-rental", 2, 3*second, 20*second), one("status-flicker", 2, 5*second, 20*second),
		one("no-offers", 1, 3*second, 10*second), one("stale-offer", 1, 3*second, 8*second),
		one("destroy-error", 2, 3*second, 10*second), one("destroy-error/executed", 1, 3*second, 10*second),
		one("destroy-lingers", 2, 5*second, 15*second), one("destroy-ignored", 2, 5*second, 15*second),
		one("credit", 1, 3*second, 10*second),
	}}
}

// rentTrack disturbs the next rent, whenever it comes.
func rentTrack() track {
	const armed = 30 * time.Second
	one := func(kind string, share int) recipe {
		return recipe{group: groupProvider, kind: kind, share: share, shortest: armed, longest: armed}
	}
	return track{meanGap: 12 * time.Second, recipes: []recipe{
		one("lost-answer", 4), one("lost-answer/502", 2), one("create-late/10", 2), one("create-late/45", 2), one("create-late/150", 2),
		one("create-with-error", 2), one("create-with-error/running", 1), one("create-no-id", 2), one("create-refused", 1),
		one("create-dearer", 2), one("offer-gone", 2), one("read-lag", 3), one("stuck", 1), one("boot-error", 1),
	}}
}

// rentalTrack breaks a rental that lives.
func rentalTrack() track {
	one := func(kind string, share int, length time.Duration) recipe {
		return recipe{group: groupRental, kind: kind, share: share, shortest: length, longest: length}
	}
	return track{meanGap: 25 * time.Second, recipes: []recipe{
		one("exited", 2, 0), one("offline", 3, 25*time.Second), one("outbid", 1, 0), one("vanished", 2, 0), one("price-raise", 3, 0),
		one("label-changed", 1, 0), one("comfy/worker-dead", 1, 0), one("comfy/process-fatal", 1, 0), one("comfy/restart", 2, 0),
	}}
}

// userTrack edits and deletes.
func userTrack() track {
	const second = time.Second
	one := func(kind string, share int, shortest, longest time.Duration) recipe {
		return recipe{group: groupUser, kind: kind, share: share, shortest: shortest, longest: longest}
	}
	return track{meanGap: 7 * second, recipes: []recipe{
		one(kindScale, 9, 0, 0), one(kindCeiling, 6, 0, 0), one(kindAccountLimit, 3, 10*second, 40*second), one(kindDeletePool, 2, 2*second, 20*second),
		one(kindDeleteOne, 4, 0, 0), one(kindClaim, 7, 0, 0), one(kindUnclaim, 4, 0, 0), one(kindPoolMode, 2, 5*second, 25*second),
		one(kindFreeze, 1, 3*second, 12*second), one(kindEmergencyStop, 1, 3*second, 8*second),
		one(kindSecretWrong, 1, 3*second, 15*second), one(kindSecretRotate, 3, 3*second, 15*second), one(kindSecretForeign, 1, 3*second, 12*second),
		one(kindRentByHand, 1, 20*second, 60*second),
	}}
}
