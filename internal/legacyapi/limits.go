package legacyapi

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

const (
	// maxPeers bounds the memory that strangers can fill; peers beyond it share one allowance.
	maxPeers = 10_000
	// peerIdle is when the allowance of a peer is full again and can be forgotten.
	peerIdle = 2 * time.Minute
	// ipv6Prefix is what one subscriber usually has.
	ipv6Prefix = 64
)

// limiter holds the allowances of peers.
type limiter struct {
	limits Limits
	clock  clock.PassiveClock

	mu     sync.Mutex
	peers  map[netip.Prefix]*allowance
	shared *allowance
}

// allowance is what one peer may still do.
type allowance struct {
	requests, wrongKeys, records *rate.Limiter
	lastSeen                     time.Time
}

func newLimiter(limits Limits, now clock.PassiveClock) *limiter {
	l := &limiter{limits: limits, clock: now, peers: map[netip.Prefix]*allowance{}}
	l.shared = l.fresh()
	return l
}

func (l *limiter) fresh() *allowance {
	perKey := time.Minute / time.Duration(l.limits.WrongKeysPerMinute)
	return &allowance{
		requests:  rate.NewLimiter(rate.Limit(l.limits.RequestsPerSecond), l.limits.Burst),
		wrongKeys: rate.NewLimiter(rate.Every(perKey), l.limits.WrongKeysPerMinute),
		records:   rate.NewLimiter(rate.Every(perKey), l.limits.WrongKeysPerMinute),
	}
}

// of returns the allowance of a peer.
func (l *limiter) of(peer netip.Addr) *allowance {
	now := l.clock.Now()
	bits := peer.BitLen()
	if peer.Is6() {
		bits = ipv6Prefix
	}
	key, err := peer.Prefix(bits)
	if err != nil {
		return l.shared // a peer without an address
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	found := l.peers[key]
	if found == nil {
		if len(l.peers) >= maxPeers {
			l.sweep(now)
		}
		if len(l.peers) >= maxPeers {
			return l.shared
		}
		found = l.fresh()
		l.peers[key] = found
	}
	found.lastSeen = now
	return found
}

// sweep forgets peers that were not seen for long.
func (l *limiter) sweep(now time.Time) {
	for key, peer := range l.peers {
		if now.Sub(peer.lastSeen) > peerIdle {
			delete(l.peers, key)
		}
	}
}

// mayAsk takes one request from a peer's allowance.
func (l *limiter) mayAsk(peer netip.Addr) bool {
	return l.of(peer).requests.AllowN(l.clock.Now(), 1)
}

// mayRecord bounds the audit records that a peer without a key can cause; the
// metrics count all of its requests.
func (l *limiter) mayRecord(peer netip.Addr) bool {
	return l.of(peer).records.AllowN(l.clock.Now(), 1)
}

// tryKey takes one wrong key from a peer's allowance before the key is looked
// at, so that guesses at the same time cannot overdraw it. The function gives it
// back for a right key. It is nil when the allowance is used up.
func (l *limiter) tryKey(peer netip.Addr) (giveBack func()) {
	now := l.clock.Now()
	taken := l.of(peer).wrongKeys.ReserveN(now, 1)
	if !taken.OK() {
		return nil
	}
	if taken.DelayFrom(now) > 0 {
		taken.CancelAt(now)
		return nil
	}
	return func() { taken.CancelAt(now) }
}

// peerOf is the address of the TCP peer. No header can change it.
func peerOf(r *http.Request) netip.Addr {
	address, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return address.Addr().Unmap().WithZone("")
}
