package legacyapi

import (
	"context"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/warmpool-dev/warmpool/internal/audit"
)

// access says who may call a route.
type access int

const (
	// public needs no key.
	public access = iota
	// optionalKey needs none, and shows more to whoever has the right one.
	optionalKey
	// adminKey needs the admin key; the header x-admin-key comes first.
	adminKey
	// prewarmKey needs it, too; the header x-admin-api-key comes first.
	prewarmKey
	// localhost needs no key from a TCP peer on this host, and is closed to all others.
	localhost
	// localAdmin needs both.
	localAdmin
)

// The two texts of a 403, which differ by route as they always did.
const (
	forbiddenKey = "forbidden - invalid admin key"
	forbidden    = "forbidden"
)

// route is one method and path.
type route struct {
	method, path string
	access       access
	// denial is the text of a 403 without the right key; remote that of one
	// from elsewhere than localhost.
	denial, remote string
	// action is the word in the audit log of a route that changes something.
	action string
	handle func(s *Server, ctx context.Context, c *call) answer
}

// call is one request that may be handled.
type call struct {
	request *http.Request
	fields  fields
	actor   audit.Fingerprint
	peer    string
	// isAdmin is true when the right admin key came with it.
	isAdmin bool
}

// routeComfy is the label of the way to rented instances.
const routeComfy = "/api/proxy/comfy"

// routePage is the label of the admin page, which serves more than one path.
const routePage = "/admin/warm-pool"

// table lists every route but those to ComfyUI and to the admin page.
func table() []route {
	return slices.Concat(statusRoutes(), poolRoutes(), settingsRoutes(), processRoutes())
}

// statusRoutes answer questions.
func statusRoutes() []route {
	const get = http.MethodGet
	return []route{
		{method: get, path: "/api/proxy/health", handle: (*Server).health},
		{method: get, path: "/api/proxy/warm-pool", access: optionalKey, denial: forbiddenKey, handle: (*Server).warmPool},
		{method: get, path: "/api/proxy/gpu-status", handle: (*Server).gpuStatus},
		{method: get, path: "/api/proxy/check-tokens", handle: (*Server).checkTokens},
		{method: get, path: "/api/proxy/admin/warm-pool", access: adminKey, denial: forbiddenKey, handle: (*Server).adminStatus},
		{method: get, path: "/api/proxy/admin/warm-pool/status", access: adminKey, denial: forbiddenKey, handle: (*Server).adminStatus},
		{method: get, path: "/api/proxy/admin/warm-pool/health", access: adminKey, denial: forbidden, action: "health_check", handle: (*Server).healthCheck},
		{method: get, path: "/api/proxy/admin/model-inventory", access: adminKey, denial: forbidden, handle: (*Server).inventory},
		{method: get, path: "/api/proxy/admin/config", access: adminKey, denial: forbidden, handle: (*Server).config},
		{method: get, path: "/api/proxy/admin/logs", access: adminKey, denial: forbiddenKey, action: "view_logs", handle: (*Server).logs},
		{method: get, path: "/api/proxy/admin/pm2/status", access: adminKey, denial: forbiddenKey, handle: (*Server).processStatus},
	}
}

// poolRoutes change the pool and its instances.
func poolRoutes() []route {
	const post = http.MethodPost
	return []route{
		{method: post, path: "/api/proxy/admin/warm-pool", access: adminKey, denial: forbiddenKey, action: "set_warm_pool", handle: (*Server).setWarmPool},
		{method: post, path: "/api/proxy/admin/warm-pool/prewarm", access: prewarmKey, denial: forbiddenKey, action: "prewarm", handle: (*Server).prewarm},
		{method: post, path: "/api/proxy/warm-pool/prewarm", access: prewarmKey, denial: forbiddenKey, action: "prewarm", handle: (*Server).prewarm},
		{method: post, path: "/api/proxy/warm-pool/terminate", access: adminKey, denial: forbiddenKey, action: "terminate", handle: (*Server).terminate},
		{method: post, path: "/api/proxy/admin/terminate", access: adminKey, denial: forbidden, action: "terminate", handle: (*Server).terminate},
		{method: post, path: "/api/proxy/admin/warm-pool/terminate", access: adminKey, denial: forbiddenKey, action: "terminate", handle: (*Server).terminate},
		{method: post, path: "/api/proxy/admin/warm-pool/reprovision", access: adminKey, denial: forbiddenKey, action: "reprovision", handle: (*Server).reprovision},
		{method: post, path: "/api/proxy/admin/reset-state", access: adminKey, denial: forbidden, action: "reset_state", handle: (*Server).resetState},
		{method: post, path: "/api/proxy/admin/reload-state", access: adminKey, denial: forbidden, action: "reload_state", handle: (*Server).reloadState},
		{method: post, path: "/api/proxy/admin/report-tunnel", access: adminKey, denial: forbiddenKey, action: "report_tunnel", handle: (*Server).reportTunnel},
		{method: post, path: "/api/proxy/admin/model-inventory/refresh", access: adminKey, denial: forbidden, action: "refresh_inventory", handle: (*Server).refreshInventory},
		{method: post, path: "/api/proxy/warm-pool/claim", access: adminKey, denial: forbiddenKey, action: "claim", handle: (*Server).claim},
	}
}

// settingsRoutes change the Secret and the template.
func settingsRoutes() []route {
	const post = http.MethodPost
	return []route{
		{method: post, path: "/api/proxy/admin/config", access: adminKey, denial: forbidden, action: "update_config", handle: (*Server).updateConfig},
		{
			method: post, path: "/api/proxy/admin/set-tokens", access: localhost, denial: forbiddenKey,
			remote: "Forbidden - set tokens only allowed from localhost", action: "set_tokens", handle: (*Server).setTokens,
		},
		{method: post, path: "/api/proxy/admin/validate-tokens", access: adminKey, denial: forbiddenKey, action: "validate_tokens", handle: (*Server).validateTokens},
		{method: post, path: "/api/proxy/admin/update-token", access: adminKey, denial: forbiddenKey, action: "update_token", handle: (*Server).updateToken},
	}
}

// processRoutes stand for the process manager of old.
func processRoutes() []route {
	const remote = "forbidden - PM2 control only allowed from localhost"
	control := func(verb string, handle func(s *Server, ctx context.Context, c *call) answer) route {
		return route{
			method: http.MethodPost, path: "/api/proxy/admin/pm2/" + verb, access: localAdmin, denial: forbiddenKey, remote: remote,
			action: "pm2_" + verb, handle: handle,
		}
	}
	return []route{
		control("restart", (*Server).processRestart),
		control("stop", (*Server).processStop),
		control("start", (*Server).processStart),
	}
}

// routes finds routes by path and method.
type routes map[string]map[string]*route

func (s *Server) routes() routes {
	found := routes{}
	for _, entry := range table() {
		if found[entry.path] == nil {
			found[entry.path] = map[string]*route{}
		}
		found[entry.path][entry.method] = &entry
	}
	return found
}

// find returns the route of a request: its path in any case, with or without a
// slash at the end. allowed lists the methods of a path that has others.
func (t routes) find(method, requestPath string) (found *route, allowed []string) {
	methods := t[folded(requestPath)]
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if found = methods[method]; found != nil {
		return found, nil
	}
	for name := range methods {
		allowed = append(allowed, name)
		if name == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	slices.Sort(allowed)
	return nil, allowed
}

// folded is a path as the table has it; empty for one that is not clean.
func folded(requestPath string) string {
	lower := strings.ToLower(requestPath)
	if len(lower) > 1 {
		lower = strings.TrimSuffix(lower, "/")
	}
	if path.Clean(lower) != lower {
		return ""
	}
	return lower
}

// gone lists what rented, destroyed or forwarded without a key, and what
// belonged to the website, with where to go instead. Each stands for everything
// below it.
func gone() map[string]string {
	const (
		rents    = "Rentals are made by the WarmPool: raise desiredSize with POST /api/proxy/admin/warm-pool, or call POST /api/proxy/admin/warm-pool/prewarm."
		shows    = "GET /api/proxy/admin/warm-pool lists the instances of the pool, and POST /api/proxy/admin/terminate ends one. Others are seen and ended at Vast.ai."
		searches = "Offers are searched by the operator; spec.offers of the WarmPool says which are accepted."
		comfy    = "ComfyUI is reached below /api/proxy/comfy/, with the admin key or the token of a claim: POST /api/proxy/comfy/prompt."
		models   = "Name the file in the pool's provisioning script, or fetch it from civitai.com directly."
		website  = "This was part of the legacy website and is not served here. ComfyUI itself is reached below /api/proxy/comfy/."
	)
	return map[string]string{
		"/api/proxy/asks": rents, "/api/proxy/instances": shows, "/api/proxy/bundles": searches,
		"/api/proxy/forward": comfy, "/api/proxy/prompt": comfy, "/api/proxy/download-civitai": models,
		"/api/proxy/generate": comfy, "/api/proxy/workflow-templates": website, "/api/gallery": website,
	}
}

// goneFor returns where to go instead of a path that is gone, empty for others.
func goneFor(requestPath string) string {
	lower := folded(requestPath)
	for prefix, instead := range gone() {
		if lower == prefix || strings.HasPrefix(lower, prefix+"/") {
			return instead
		}
	}
	return ""
}
