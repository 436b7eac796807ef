package legacyapi_test

import (
	"net/http"
	"strings"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/legacyapi"
)

type worlds = []func(*world)

// accessCases are those of every route, by who may call it.
func accessCases(route legacyapi.Route) []goldenCase {
	call := request{method: route.Method, path: route.Path, peer: localPeer}
	var cases []goldenCase
	add := func(name string, r request) { cases = append(cases, goldenCase{name, nil, r}) }
	wrong := call.with("X-Admin-Key", wrongKeyValue)
	remote := call
	remote.peer = remotePeer
	switch {
	case route.NeedsKey:
		add("no key", call)
		add("wrong key", wrong)
		add("both headers, x-admin-key is wrong", wrong.with("X-Admin-Api-Key", adminKeyValue))
		add("both headers, x-admin-api-key is wrong", call.with("X-Admin-Key", adminKeyValue).with("X-Admin-Api-Key", wrongKeyValue))
		add("x-admin-api-key", call.with("X-Admin-Api-Key", adminKeyValue))
		add("bearer", call.with("Authorization", "Bearer "+adminKeyValue))
		inURL := call
		inURL.path += "?adminKey=not-shown-here"
		add("key in the URL", inURL)
		add("remote peer", remote.with("X-Admin-Key", adminKeyValue))
		add("remote peer that claims to be local", remote.with("X-Admin-Key", adminKeyValue).with("X-Forwarded-For", "127.0.0.1"))
	case route.OptionalKey:
		add("wrong key", wrong)
		add("remote peer", remote)
	case route.LocalOnly:
		add("remote peer", remote)
		add("remote peer with the key", remote.with("X-Admin-Key", adminKeyValue))
		add("through a proxy on this host", call.with("X-Forwarded-For", "198.51.100.9"))
		add("through a proxy on this host with the key", call.with("X-Forwarded-For", "198.51.100.9").with("X-Admin-Key", adminKeyValue))
		add("under a name that somebody else decides about", call.with("Host", "rebound.example.com"))
	default:
		add("remote peer", remote)
	}
	other := call
	other.method = http.MethodPut
	add("another method", other)
	shouting := call
	shouting.path = "/API/Proxy" + route.Path[len("/api/proxy"):] + "/"
	if route.NeedsKey {
		shouting = shouting.with("X-Admin-Key", adminKeyValue)
	}
	add("other case and a slash at the end", shouting)
	if route.Method == http.MethodPost {
		add("a page of another origin", call.with("X-Admin-Key", adminKeyValue).with("Sec-Fetch-Site", "cross-site").with("Origin", "https://evil.example.com"))
		broken := call.with("X-Admin-Key", adminKeyValue)
		broken.body = `{"desiredSize":`
		add("broken JSON", broken)
	}
	return cases
}

// routeCases are those of single routes.
func routeCases() map[string][]goldenCase {
	all := map[string][]goldenCase{}
	for _, part := range []map[string][]goldenCase{publicCases(), statusCases(), sizeCases(), prewarmCases(), endCases(), claimCases(), tokenCases(), configCases(), processCases(), comfyCases()} {
		for key, cases := range part {
			all[key] = append(all[key], cases...)
		}
	}
	return all
}

func publicCases() map[string][]goldenCase {
	get := func(path string) request {
		return request{method: http.MethodGet, path: "/api/proxy/" + path, peer: localPeer}
	}
	health, warm, gpu, tokens := get("health"), get("warm-pool"), get("gpu-status"), get("check-tokens")
	return map[string][]goldenCase{
		"GET /api/proxy/health": {
			{"no instance", nil, health},
			{"ready", worlds{withReady}, health},
			{"running", worlds{withRunning}, health},
			{"waiting", worlds{withPending}, health},
			{"no pool", worlds{withoutPool}, health},
			{"no API server", worlds{brokenAPI}, health},
			{"head", nil, request{method: http.MethodHead, path: health.path, peer: localPeer}},
		},
		"GET /api/proxy/warm-pool": {
			{"no instance", nil, warm},
			{"ready, to a stranger", worlds{withReady}, warm},
			{"ready, to an admin", worlds{withReady}, warm.with("X-Admin-Key", adminKeyValue)},
			{"no pool", worlds{withoutPool}, warm},
			{"no API server", worlds{brokenAPI}, warm},
		},
		"GET /api/proxy/gpu-status": {
			{"no instance, none wanted", worlds{withNoneWanted}, gpu},
			{"none yet", nil, gpu},
			{"waiting", worlds{withPending}, gpu},
			{"waiting for money", worlds{withReason("CostCeilingReached", "the next instance needs $0.40/h"), withPending}, gpu},
			{"running", worlds{withRunning}, gpu},
			{"ready", worlds{withReady}, gpu},
			{"claimed", worlds{withClaimed}, gpu},
			{"failed", worlds{withFailed}, gpu},
			{"safe mode", worlds{withMode(warmpool.PoolDrain)}, gpu},
			{"no API server", worlds{brokenAPI}, gpu},
		},
		"GET /api/proxy/check-tokens": {{"some", nil, tokens}},
	}
}

func statusCases() map[string][]goldenCase {
	all := map[string][]goldenCase{}
	for _, path := range []string{"/api/proxy/admin/warm-pool", "/api/proxy/admin/warm-pool/status"} {
		status := admin(http.MethodGet, path, "")
		all["GET "+path] = []goldenCase{
			{"no instance", nil, status},
			{"ready", worlds{withReady}, status},
			{"running", worlds{withRunning}, status},
			{"waiting", worlds{withReason("CostCeilingReached", "the next instance needs $0.40/h"), withPending}, status},
			{"ready, claimed and ending", worlds{withReady, withClaimed, withEnding}, status},
			{"failed", worlds{withFailed}, status},
			{"no pool", worlds{withoutPool}, status},
			{"no API server", worlds{brokenAPI}, status},
		}
	}
	reset, reload := admin(http.MethodPost, "/api/proxy/admin/reset-state", "{}"), admin(http.MethodPost, "/api/proxy/admin/reload-state", "")
	logs := func(query string) request { return admin(http.MethodGet, "/api/proxy/admin/logs"+query, "") }
	all["POST /api/proxy/admin/reset-state"] = []goldenCase{{"no instance", nil, reset}, {"ready", worlds{withReady}, reset}, {"no API server", worlds{brokenAPI}, reset}}
	all["POST /api/proxy/admin/reload-state"] = []goldenCase{{"ready", worlds{withReady}, reload}, {"no pool", worlds{withoutPool}, reload}}
	all["GET /api/proxy/admin/logs"] = []goldenCase{
		{"none", nil, logs("")},
		{"with everything", nil, logs("?limit=500&offset=0&since=2026-01-01T00:00:00.000Z&action=terminate")},
		{"a word for a limit", nil, logs("?limit=all")},
		{"a negative limit", nil, logs("?limit=-1")},
		{"a huge offset", nil, logs("?offset=1000000")},
	}
	return all
}

func sizeCases() map[string][]goldenCase {
	set := func(body string) request { return admin(http.MethodPost, "/api/proxy/admin/warm-pool", body) }
	form := set("desiredSize=3").with("Content-Type", "application/x-www-form-urlencoded")
	return map[string][]goldenCase{"POST /api/proxy/admin/warm-pool": {
		{"nothing", worlds{withReady}, set("{}")},
		{"three", worlds{withReady}, set(`{"desiredSize":3}`)},
		{"three in a form", nil, form},
		{"JSON that curl calls a form", nil, set(`{"desiredSize":3}`).with("Content-Type", "application/x-www-form-urlencoded")},
		{"none", worlds{withReady, withClaimed}, set(`{"desiredSize":0}`)},
		{"safe mode", worlds{withReady, withClaimed}, set(`{"safeMode":true}`)},
		{"no safe mode", worlds{withMode(warmpool.PoolDrain)}, set(`{"desiredSize":1,"safeMode":false}`)},
		{"no safe mode of a paused pool", worlds{withMode(warmpool.PoolPaused)}, set(`{"safeMode":false}`)},
		{"no safe mode as a text", worlds{withReady}, set(`{"safeMode":"false"}`)},
		{"a word for safe mode", worlds{withReady}, set(`{"safeMode":"maybe"}`)},
		{"a word for a size", worlds{withReady}, set(`{"desiredSize":"many"}`)},
		{"a negative size", worlds{withReady}, set(`{"desiredSize":-3}`)},
		{"half an instance", worlds{withReady}, set(`{"desiredSize":1.5}`)},
		{"too many", worlds{withReady}, set(`{"desiredSize":501}`)},
		{"a list", worlds{withReady}, set(`[1]`)},
		{"no pool", worlds{withoutPool}, set(`{"desiredSize":1}`)},
		{"no API server", worlds{brokenAPI}, set(`{"desiredSize":1}`)},
	}}
}

func prewarmCases() map[string][]goldenCase {
	all := map[string][]goldenCase{}
	for _, path := range []string{"/api/proxy/admin/warm-pool/prewarm", "/api/proxy/warm-pool/prewarm"} {
		call := admin(http.MethodPost, path, `{"mode":"x","models":[]}`)
		all["POST "+path] = []goldenCase{
			{"from nothing", worlds{withNoneWanted}, call},
			{"while one is held", worlds{withNoneWanted, withClaimed}, call},
			{"ready", worlds{withReady}, call},
			{"running", worlds{withRunning}, call},
			{"waiting", worlds{withReason("CostCeilingReached", "the next instance needs $0.40/h"), withPending}, call},
			{"wanted already", nil, call},
			{"safe mode", worlds{withMode(warmpool.PoolDrain)}, call},
			{"paused", worlds{withMode(warmpool.PoolPaused)}, call},
			{"rehearsing", worlds{withMode(warmpool.PoolDryRun)}, call},
			{"the template fails", worlds{withReason("TemplateFailing", "GPU after GPU fails")}, call},
			{"no pool", worlds{withoutPool}, call},
			{"no API server", worlds{brokenAPI}, call},
		}
	}
	again := func(body string) request {
		return admin(http.MethodPost, "/api/proxy/admin/warm-pool/reprovision", body)
	}
	withScript := func(w *world) {
		changed := pool(1)
		changed.Spec.Template.ProvisioningScriptURL = "https://example.com/provision.sh"
		w.objects[0] = changed
	}
	all["POST /api/proxy/admin/warm-pool/reprovision"] = []goldenCase{
		{"no instance", worlds{withNoneWanted}, again("{}")},
		{"ready", worlds{withScript, withReady}, again("{}")},
		{"with the default script", worlds{withScript, withReady}, again(`{"useDefaultScript":true}`)},
		{"reset wins", worlds{withScript, withReady}, again(`{"useDefaultScript":true,"resetFallback":true}`)},
		{"safe mode", worlds{withMode(warmpool.PoolDrain), withReady}, again("{}")},
		{"a word for a flag", worlds{withReady}, again(`{"useDefaultScript":"please"}`)},
		{"no API server", worlds{brokenAPI}, again("{}")},
	}
	return all
}

func endCases() map[string][]goldenCase {
	all := map[string][]goldenCase{}
	for _, path := range []string{"/api/proxy/warm-pool/terminate", "/api/proxy/admin/terminate", "/api/proxy/admin/warm-pool/terminate"} {
		end := func(body string) request { return admin(http.MethodPost, path, body) }
		all["POST "+path] = []goldenCase{
			{"no instance", nil, end("{}")},
			{"the only one", worlds{withReady}, end("")},
			{"by number", worlds{withReady}, end(`{"instanceId":9002}`)},
			{"by text", worlds{withReady}, end(`{"contractId":"9002"}`)},
			{"by label", worlds{withReady}, end(`{"contractId":"C.9002"}`)},
			{"by a number of old", worlds{withReady}, end(`{"contractId":"9002.0"}`)},
			{"by name", worlds{withPending}, end(`{"instanceId":"sdxl-a1"}`)},
			{"one of another", worlds{withReady}, end(`{"instanceId":4711}`)},
			{"one that is ending", worlds{withEnding}, end(`{"instanceId":9005}`)},
			{"the claimed one by number", worlds{withClaimed}, end(`{"instanceId":9003}`)},
			{"only claimed ones", worlds{withClaimed}, end("{}")},
			{"an object for an id", worlds{withReady}, end(`{"instanceId":{"$gt":0}}`)},
			{"no API server", worlds{brokenAPI}, end("{}")},
		}
	}
	return all
}

func claimCases() map[string][]goldenCase {
	claim := func(body string) request { return admin(http.MethodPost, "/api/proxy/warm-pool/claim", body) }
	return map[string][]goldenCase{"POST /api/proxy/warm-pool/claim": {
		{"half an hour", worlds{withReady, binder}, claim("{}")},
		{"by the name of the studio", worlds{withReady, binder}, claim(`{"maxSessionMinutes":5}`)},
		{"zero is the default", worlds{withReady, binder}, claim(`{"maxMinutes":0}`)},
		{"null is the default", worlds{withReady, binder}, claim(`{"maxMinutes":null}`)},
		{"no instance", nil, claim("{}")},
		{"only claimed ones", worlds{withClaimed}, claim("{}")},
		{"not ready", worlds{withRunning}, claim("{}")},
		{"somebody was faster", worlds{withReady, finisher}, claim("{}")},
		{"a word for minutes", worlds{withReady}, claim(`{"maxMinutes":"long"}`)},
		{"for ever", worlds{withReady}, claim(`{"maxMinutes":1e9}`)},
		{"no API server", worlds{brokenAPI}, claim("{}")},
	}}
}

func tokenCases() map[string][]goldenCase {
	local := func(body string) request {
		return request{method: http.MethodPost, path: "/api/proxy/admin/set-tokens", body: body, peer: localPeer}
	}
	checked, updated := admin(http.MethodPost, "/api/proxy/admin/validate-tokens", ""), func(body string) request {
		return admin(http.MethodPost, "/api/proxy/admin/update-token", body)
	}
	unverified := func(w *world) { w.objects[1] = &warmpool.VastAccount{ObjectMeta: account().ObjectMeta} }
	return map[string][]goldenCase{
		"POST /api/proxy/admin/set-tokens": {
			{"one", nil, local(`{"civitai":"` + newTokenValue + `","huggingface":"","other":"x"}`)},
			{"none", nil, local("{}")},
			{"over IPv6", nil, request{method: http.MethodPost, path: "/api/proxy/admin/set-tokens", body: `{"vastai":"` + newTokenValue + `"}`, peer: "[::1]:5000"}},
			{"mapped", nil, request{method: http.MethodPost, path: "/api/proxy/admin/set-tokens", peer: "[::ffff:127.0.0.1]:5000"}},
			{"a number", nil, local(`{"vastai":5}`)},
			{"a line feed", nil, local(`{"vastai":"a\nb"}`)},
		},
		"POST /api/proxy/admin/validate-tokens": {{"some", nil, checked}, {"not verified yet", worlds{unverified}, checked}},
		"POST /api/proxy/admin/update-token": {
			{"civitai", nil, updated(`{"service":"Civitai","token":"` + newTokenValue + `"}`)},
			{"no token", nil, updated(`{"service":"vastai"}`)},
			{"no service", nil, updated(`{"token":"` + newTokenValue + `"}`)},
			{"unknown", nil, updated(`{"service":"dropbox","token":"` + newTokenValue + `"}`)},
			{"a number for a service", nil, updated(`{"service":1,"token":"x"}`)},
		},
	}
}

func configCases() map[string][]goldenCase {
	shown, set := admin(http.MethodGet, "/api/proxy/admin/config", ""), func(body string) request {
		return admin(http.MethodPost, "/api/proxy/admin/config", body)
	}
	return map[string][]goldenCase{
		"GET /api/proxy/admin/config": {{"defaults", nil, shown}, {"safe mode", worlds{withMode(warmpool.PoolDrain)}, shown}, {"no API server", worlds{brokenAPI}, shown}},
		"POST /api/proxy/admin/config": {
			{"nothing", nil, set("{}")},
			{"a token", nil, set(`{"huggingface_token":"` + newTokenValue + `"}`)},
			{"everything else", nil, set(`{"provision_script":"https://example.com/p.sh?token=hidden","min_cuda_capability":8.9,"warm_pool_disk_gb":"120"}`)},
			{"the page's name for the script", nil, set(`{"provision_script_url":"https://example.com/p.sh"}`)},
			{"a whole capability", nil, set(`{"min_cuda_capability":"8"}`)},
			{"a script without TLS", nil, set(`{"provision_script":"http://example.com/p.sh"}`)},
			{"a script that breaks out", nil, set(`{"provision_script":"https://example.com/$(reboot)\" x"}`)},
			{"a small disk", nil, set(`{"warm_pool_disk_gb":1}`)},
			{"a word for a capability", nil, set(`{"min_cuda_capability":"new"}`)},
			{"no API server", worlds{brokenAPI}, set(`{"warm_pool_disk_gb":100}`)},
		},
	}
}

func processCases() map[string][]goldenCase {
	call := func(verb string) request { return admin(http.MethodPost, "/api/proxy/admin/pm2/"+verb, "") }
	status := admin(http.MethodGet, "/api/proxy/admin/pm2/status", "")
	return map[string][]goldenCase{
		"GET /api/proxy/admin/pm2/status": {
			{"no Deployment", nil, status}, {"online", worlds{withDeployment}, status}, {"paused", worlds{withMode(warmpool.PoolPaused), withDeployment}, status},
		},
		"POST /api/proxy/admin/pm2/restart": {{"a Deployment", worlds{withDeployment}, call("restart")}, {"none", nil, call("restart")}},
		"POST /api/proxy/admin/pm2/stop": {
			{"active", nil, call("stop")},
			{"paused", worlds{withMode(warmpool.PoolPaused)}, call("stop")},
			{"draining", worlds{withMode(warmpool.PoolDrain)}, call("stop")},
			{"no API server", worlds{brokenAPI}, call("stop")},
		},
		"POST /api/proxy/admin/pm2/start": {
			{"paused", worlds{withMode(warmpool.PoolPaused)}, call("start")},
			{"active", nil, call("start")},
			{"draining", worlds{withMode(warmpool.PoolDrain)}, call("start")},
			{"no pool", worlds{withoutPool}, call("start")},
		},
	}
}

func comfyCases() map[string][]goldenCase {
	check, listed := admin(http.MethodGet, "/api/proxy/admin/warm-pool/health", ""), admin(http.MethodGet, "/api/proxy/admin/model-inventory", "")
	refreshed, tunnel := admin(http.MethodPost, "/api/proxy/admin/model-inventory/refresh", ""), func(body string) request {
		return admin(http.MethodPost, "/api/proxy/admin/report-tunnel", body)
	}
	silent := func(w *world) {
		w.comfy = func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) }
	}
	return map[string][]goldenCase{
		"GET /api/proxy/admin/warm-pool/health": {
			{"ready", worlds{withReady}, check},
			{"no instance", nil, check},
			{"waiting", worlds{withPending}, check},
			{"silent", worlds{withReady, silent}, check},
			{"no password", worlds{func(w *world) { w.objects = append(w.objects, ready(instance(instanceName, rentalID))) }}, check},
			{"no API server", worlds{brokenAPI}, check},
		},
		"GET /api/proxy/admin/model-inventory":          {{"ready", worlds{withReady}, listed}, {"running", worlds{withRunning}, listed}, {"no instance", nil, listed}},
		"POST /api/proxy/admin/model-inventory/refresh": {{"ready", worlds{withReady}, refreshed}, {"no instance", nil, refreshed}, {"silent", worlds{withReady, silent}, refreshed}},
		"POST /api/proxy/admin/report-tunnel": {
			{"by label", worlds{withRunning}, tunnel(`{"contractId":"C.9002","tunnelUrl":"https://tunnel-one.trycloudflare.com"}`)},
			{"not reachable", worlds{withRunning}, tunnel(`{"contractId":9002,"tunnelUrl":"https://tunnel-two.trycloudflare.com"}`)},
			{"one of another", worlds{withRunning}, tunnel(`{"contractId":"unknown","tunnelUrl":"https://tunnel-one.trycloudflare.com"}`)},
			{"no id", nil, tunnel(`{"tunnelUrl":"https://tunnel-one.trycloudflare.com"}`)},
			{"no address", nil, tunnel(`{"contractId":1}`)},
			{"another address", nil, tunnel(`{"contractId":1,"tunnelUrl":"http://169.254.169.254/<script>"}`)},
		},
	}
}

func goneCases() []goldenCase {
	var cases []goldenCase
	for _, call := range []string{
		"POST bundles", "PUT asks/7", "POST instances/create", "GET instances", "GET instances/7", "DELETE instances/7",
		"POST prompt", "POST forward", "POST download-civitai", "POST generate", "GET generate/job_1", "GET workflow-templates", "GET Workflow-Templates/x/requirements/",
	} {
		method, path, _ := strings.Cut(call, " ")
		cases = append(cases, goldenCase{call, nil, request{method: method, path: "/api/proxy/" + path, peer: remotePeer}})
	}
	return cases
}

func unknownCases() []goldenCase {
	var cases []goldenCase
	for _, call := range []string{
		"GET /", "GET /data/warm_pool.db", "GET /.env", "GET /server/vastai-proxy.js", "GET /api/proxy/admin/../health", "GET /api/proxy//health",
		"GET /api/proxy/status/job_1", "BREW /api/proxy/health", "GET /api/proxy/<img/src=1>", "OPTIONS /api/proxy/health",
	} {
		method, path, _ := strings.Cut(call, " ")
		cases = append(cases, goldenCase{call, nil, request{method: method, path: path, peer: remotePeer}})
	}
	return cases
}
