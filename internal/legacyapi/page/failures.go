package page

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

const (
	// failuresAllowed wrong keys of one peer in a row are answered at once; then
	// one more for each failureForgiven that passes.
	failuresAllowed = 5
	failureForgiven = time.Minute
	// failuresAllowedToAll bounds the guesses of many peers together.
	failuresAllowedToAll = 100
	// maxPeers bounds how many are remembered.
	maxPeers = 4096
)

// bucket counts failures, of which one is forgiven per period.
type bucket struct {
	failures int
	// since is from when on periods are counted.
	since time.Time
}

// forgive takes off what time has forgiven.
func (b *bucket) forgive(now time.Time, period time.Duration) {
	passed := int(max(now.Sub(b.since), 0) / period)
	if passed >= b.failures {
		b.failures, b.since = 0, now
		return
	}
	b.failures -= passed
	b.since = b.since.Add(period * time.Duration(passed))
}

// failures limits guessing. Only wrong keys count: who has the key is never
// slowed down by himself.
type failures struct {
	now func() time.Time

	mu    sync.Mutex
	peers map[string]*bucket
	all   bucket
}

func newFailures(now func() time.Time) *failures {
	return &failures{now: now, peers: map[string]*bucket{}}
}

// wait says how long a peer must wait before it may try a key; 0 for now.
func (f *failures) wait(peer string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	f.all.forgive(now, failureForgiven/failuresAllowed)
	if f.all.failures >= failuresAllowedToAll {
		return failureForgiven / failuresAllowed
	}
	one := f.peers[peer]
	if one == nil {
		return 0
	}
	if one.forgive(now, failureForgiven); one.failures < failuresAllowed {
		return 0
	}
	return one.since.Add(failureForgiven).Sub(now)
}

// count notes a wrong key.
func (f *failures) count(peer string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	f.all.forgive(now, failureForgiven/failuresAllowed)
	if f.all.failures++; f.all.failures == 1 {
		f.all.since = now
	}
	one := f.peers[peer]
	if one == nil {
		f.makeRoom(now)
		one = &bucket{since: now}
		f.peers[peer] = one
	}
	one.forgive(now, failureForgiven)
	one.failures++
}

// makeRoom forgets peers that are forgiven. When there are still too many it
// forgets all: the limit for all together holds meanwhile.
func (f *failures) makeRoom(now time.Time) {
	if len(f.peers) < maxPeers {
		return
	}
	for peer, one := range f.peers {
		if one.forgive(now, failureForgiven); one.failures == 0 {
			delete(f.peers, peer)
		}
	}
	if len(f.peers) >= maxPeers {
		clear(f.peers)
	}
}

// forget clears a peer that gave the right key.
func (f *failures) forget(peer string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.peers, peer)
}

// peerOf is the address of the TCP peer.
func peerOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// limitedPeer is what is limited together: an IPv4 address, or the /64 network of
// an IPv6 address, which one customer has to himself.
func limitedPeer(r *http.Request) string {
	const network = 64
	address, err := netip.ParseAddr(peerOf(r))
	if err != nil {
		return peerOf(r)
	}
	address = address.Unmap().WithZone("")
	if address.Is4() {
		return address.String()
	}
	prefix, err := address.Prefix(network)
	if err != nil {
		return address.String()
	}
	return prefix.String()
}
