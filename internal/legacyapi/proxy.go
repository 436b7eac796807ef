package legacyapi

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	stdlog "log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
)

// maxUpload bounds one request to ComfyUI: its own default is 100 MB, and models
// are not sent this way.
const maxUpload = 512 << 20

// proxy hands requests on to rented ComfyUIs: bodies as they come, in both
// directions, WebSockets included.
type proxy struct {
	server *Server

	mu         sync.Mutex
	transports map[Target]*http.Transport
	// holders remembers which claim a token opens, by its SHA-256.
	holders map[[sha256.Size]byte]holder
}

// holder is a claim that a token opened lately.
type holder struct {
	claim  string
	seenAt time.Time
}

func newProxy(s *Server) *proxy {
	return &proxy{server: s, transports: map[Target]*http.Transport{}, holders: map[[sha256.Size]byte]holder{}}
}

// close drops the connections that nobody uses.
func (p *proxy) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, transport := range p.transports {
		transport.CloseIdleConnections()
	}
}

// isComfy is true for a path that is handed on.
func isComfy(requestPath string) bool {
	lower := strings.ToLower(requestPath)
	return lower == routeComfy || strings.HasPrefix(lower, routeComfy+"/")
}

// serve hands a request on: the admin key opens the first instance that nobody
// holds, the token of a claim opens the claimed one.
func (p *proxy) serve(w http.ResponseWriter, r *http.Request, c *call) {
	allowed, turnedAway := p.admit(r, c)
	if turnedAway == nil && addressOf(allowed.instance) == "" {
		none := refuse(http.StatusNotFound, "no connection URL available")
		turnedAway = &none
	}
	rest := r.URL.EscapedPath()[len(routeComfy):]
	if turnedAway == nil && hasDots(rest) {
		none := refuse(http.StatusBadRequest, "the path must not contain . or .. segments")
		turnedAway = &none
	}
	if turnedAway != nil {
		p.server.send(w, *turnedAway)
		return
	}
	to, err := p.destinationOf(r.Context(), allowed.instance)
	if err != nil {
		p.fail(w, allowed.instance, err)
		return
	}
	p.server.takeTime(w)
	ctx, cut := context.WithCancel(r.Context())
	defer cut()
	go p.watch(ctx, cut, allowed)
	p.forward(w, r.WithContext(ctx), allowed.instance, to, "/"+strings.TrimPrefix(rest, "/"))
}

// permit is the leave to use an instance.
type permit struct {
	instance *warmpool.WarmInstance
	// holds says whether the leave still holds.
	holds func(ctx context.Context) (bool, error)
}

// permitPeriod is how often a request that lasts, such as a WebSocket, is asked
// for its leave again.
const permitPeriod = 5 * time.Second

// watch cuts a request whose leave has ended: its claim is over, or somebody has
// claimed the instance. While the API server cannot be asked, it goes on.
func (p *proxy) watch(ctx context.Context, cut context.CancelFunc, allowed *permit) {
	ticker := p.server.options.Clock.NewTicker(permitPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
		if holds, err := allowed.holds(ctx); err == nil && !holds {
			p.server.log.Info("Cutting a request whose leave has ended", "instance", allowed.instance.Name)
			cut()
			return
		}
	}
}

// hasDots is true for a path that the two sides could read differently.
func hasDots(path string) bool {
	plain, err := url.PathUnescape(path)
	if err != nil {
		return true
	}
	for part := range strings.SplitSeq(strings.ReplaceAll(plain, `\`, "/"), "/") {
		if part == "." || part == ".." {
			return true
		}
	}
	return false
}

// forward streams a request and its answer.
func (p *proxy) forward(w http.ResponseWriter, r *http.Request, instance *warmpool.WarmInstance, to *destination, path string) {
	handler := &httputil.ReverseProxy{
		Transport:     to.transport,
		FlushInterval: -1, // what ComfyUI says is passed on at once
		Rewrite: func(pr *httputil.ProxyRequest) {
			rewrite(pr, to, path)
		},
		ModifyResponse: func(response *http.Response) error {
			harden(response.Header)
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) { p.fail(w, instance, err) },
		ErrorLog:     stdlog.New(io.Discard, "", 0), // what breaks off is counted and logged in fail
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxUpload)
	handler.ServeHTTP(w, r)
}

// rewrite addresses a request to the instance and takes out what is meant for
// this server: keys, cookies, and what would make ComfyUI take it for a page of
// another origin.
func rewrite(pr *httputil.ProxyRequest, to *destination, path string) {
	out := pr.Out
	out.URL.Scheme, out.URL.Host, out.Host = to.scheme, to.address, to.address
	out.URL.Path, out.URL.RawPath = path, ""
	if plain, err := url.PathUnescape(path); err == nil {
		out.URL.Path, out.URL.RawPath = plain, path
	}
	query := out.URL.Query()
	for _, name := range []string{queryKey, queryAPIKey, queryToken} {
		query.Del(name)
	}
	if len(query) != len(out.URL.Query()) {
		out.URL.RawQuery = query.Encode()
	}
	for name := range out.Header {
		if name == headerKey || name == headerAPIKey || strings.HasPrefix(name, "Sec-Fetch-") || strings.HasPrefix(name, "X-Forwarded-") {
			out.Header.Del(name)
		}
	}
	for _, name := range []string{"Origin", "Referer", "Cookie", "Proxy-Authorization", "Forwarded", "Via", "X-Real-Ip"} {
		out.Header.Del(name)
	}
	to.authorize(out.Header)
}

// harden keeps what a rented machine answers from acting as a page of this
// server: its scripts do not run under our origin, and it sets no cookie here.
func harden(header http.Header) {
	for name := range header {
		if strings.HasPrefix(name, "Access-Control-") {
			header.Del(name)
		}
	}
	for _, name := range []string{"Set-Cookie", "Clear-Site-Data", "Strict-Transport-Security", "Service-Worker-Allowed", "Alt-Svc", "Content-Security-Policy", "Www-Authenticate", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Cache-Control"} {
		header.Del(name)
	}
}

// fail answers 502 without the words of the error, which hold addresses.
func (p *proxy) fail(w http.ResponseWriter, instance *warmpool.WarmInstance, err error) {
	var tooLarge *http.MaxBytesError
	shown := err
	if !errors.Is(err, errUntrusted) && !errors.Is(err, errNoPassword) {
		shown = p.explain(err)
	}
	reason := "unreachable"
	switch {
	case errors.As(err, &tooLarge):
		p.server.send(w, refuse(http.StatusRequestEntityTooLarge, "the body is too large: at most %d bytes go to ComfyUI in one request", tooLarge.Limit))
		return
	case errors.Is(err, context.Canceled):
		reason = "cut"
	case errors.Is(shown, errUntrusted):
		reason = "untrusted"
	}
	p.server.metrics.proxied.WithLabelValues(reason).Inc()
	p.server.log.Info("Handing a request on failed", "instance", instance.Name, "reason", reason, "error", err.Error())
	p.server.send(w, answer{status: http.StatusBadGateway, body: faultBody{Error: "comfy proxy error", Details: sentence(shown)}})
}

// admit finds the instance that a request may use.
func (p *proxy) admit(r *http.Request, c *call) (*permit, *answer) {
	token, found := p.tokenIn(r)
	if !found {
		return p.asAdmin(r, c)
	}
	values, err := p.server.keys.read(r.Context())
	if err == nil && CheckAdminKey(values[keyAdmin]) == nil && sameSecret(token, values[keyAdmin]) {
		return p.asAdmin(r, c)
	}
	return p.asHolder(r, c, token)
}

// asAdmin finds the first instance that nobody holds.
func (p *proxy) asAdmin(r *http.Request, c *call) (*permit, *answer) {
	comfy := &route{path: routeComfy, access: adminKey, denial: forbidden}
	if turnedAway := p.server.checkKey(r.Context(), keyOf(r, false), peerOf(r), comfy, c); turnedAway != nil {
		return nil, turnedAway
	}
	st, err := p.server.gather(r.Context())
	if err != nil {
		turnedAway := p.server.trouble(err)
		return nil, &turnedAway
	}
	if free := st.unclaimed(); len(free) > 0 && free[0].Status.Failure == nil {
		return &permit{instance: free[0], holds: func(ctx context.Context) (bool, error) { return p.isStillFree(ctx, free[0]) }}, nil
	}
	turnedAway := refuse(http.StatusNotFound, "no warm instance available")
	return nil, &turnedAway
}

// asHolder finds the instance of the claim that a token opens. A look through
// all claims costs one wrong key of the peer's allowance, which it gets back for
// a right one.
func (p *proxy) asHolder(r *http.Request, c *call, token string) (*permit, *answer) {
	giveBack := p.server.limits.tryKey(peerOf(r))
	if giveBack == nil {
		return nil, p.server.locked()
	}
	instance, err := p.claimedBy(r.Context(), token)
	if err != nil {
		giveBack()
		turnedAway := p.server.trouble(err)
		return nil, &turnedAway
	}
	if instance == nil {
		c.actor = p.server.options.Audit.Fingerprint(token)
		p.server.recordAttempt(r.Context(), c, &route{path: routeComfy}, audit.OutcomeFailure)
		return nil, p.server.deny("wrong", forbidden)
	}
	giveBack()
	return &permit{instance: instance, holds: func(ctx context.Context) (bool, error) {
		held, err := p.claimedBy(ctx, token)
		return held != nil && held.UID == instance.UID, err
	}}, nil
}

// isStillFree is true for an instance that nobody has claimed since.
func (p *proxy) isStillFree(ctx context.Context, instance *warmpool.WarmInstance) (bool, error) {
	now := &warmpool.WarmInstance{}
	if err := p.server.options.Client.Get(ctx, client.ObjectKeyFromObject(instance), now); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return now.UID == instance.UID && !isClaimed(now), nil
}

// tokenIn returns what may be the token of a claim. The headers of the admin key
// come first.
func (p *proxy) tokenIn(r *http.Request) (string, bool) {
	if r.Header.Get(headerKey) != "" || r.Header.Get(headerAPIKey) != "" {
		return "", false
	}
	if token, found := bearerOf(r); found && token != "" && len(token) <= maxKey {
		return token, true
	}
	token := r.URL.Query().Get(queryToken)
	return token, p.server.options.KeyInURL && token != "" && len(token) <= maxKey
}

// holderAge is how long it is remembered which claim a token opens. The claim
// itself is read for every request.
const (
	holderAge  = time.Minute
	maxHolders = 1000
)

// claimedBy returns the instance of the claim that a token opens; nil when it
// opens none.
func (p *proxy) claimedBy(ctx context.Context, token string) (*warmpool.WarmInstance, error) {
	sum := sha256.Sum256([]byte(token))
	if name := p.remembered(sum); name != "" {
		claim := &warmpool.WarmClaim{}
		err := p.server.options.Client.Get(ctx, types.NamespacedName{Namespace: p.server.options.Pool.Namespace, Name: name}, claim)
		if err == nil && p.opens(ctx, token, claim) {
			return p.instanceOf(ctx, claim)
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
	}
	var claims warmpool.WarmClaimList
	if err := p.server.options.Client.List(ctx, &claims, client.InNamespace(p.server.options.Pool.Namespace)); err != nil {
		return nil, err
	}
	for k := range claims.Items {
		if claim := &claims.Items[k]; p.opens(ctx, token, claim) {
			p.remember(sum, claim.Name)
			return p.instanceOf(ctx, claim)
		}
	}
	return nil, nil
}

// opens is true when a token is that of a claim of this pool that holds an instance.
func (p *proxy) opens(ctx context.Context, token string, claim *warmpool.WarmClaim) bool {
	if claim.Spec.PoolRef.Name != p.server.options.Pool.Name || !isUsable(claim) {
		return false
	}
	if until := claim.Status.ExpirationTime; until != nil && !p.server.options.Clock.Now().Before(until.Time) {
		return false
	}
	wanted, err := p.server.tokenOf(ctx, claim)
	if err != nil {
		p.server.log.V(1).Info("Reading the token of a claim failed", "claim", claim.Name, "error", err.Error())
		return false
	}
	return sameSecret(token, wanted)
}

// instanceOf reads the instance of a claim, as long as it names that claim: the
// token of a claim that has ended must not open what its successor holds.
func (p *proxy) instanceOf(ctx context.Context, claim *warmpool.WarmClaim) (*warmpool.WarmInstance, error) {
	instance := &warmpool.WarmInstance{}
	key := types.NamespacedName{Namespace: claim.Namespace, Name: claim.Status.InstanceRef.Name}
	if err := p.server.options.Client.Get(ctx, key, instance); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	reference := instance.Spec.ClaimRef
	if reference == nil || reference.UID != claim.UID || reference.RecycleTime != nil {
		return nil, nil
	}
	return instance, nil
}

func (p *proxy) remembered(sum [sha256.Size]byte) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.holders[sum]
	if p.server.options.Clock.Since(known.seenAt) > holderAge {
		return ""
	}
	return known.claim
}

func (p *proxy) remember(sum [sha256.Size]byte, claim string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.holders) >= maxHolders {
		clear(p.holders)
	}
	p.holders[sum] = holder{claim: claim, seenAt: p.server.options.Clock.Now()}
}
