package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
)

const (
	// bridge joins all hosts. Its own address is this program's, whose
	// connections are never cut.
	bridge  = "chaos0"
	hubCIDR = "10.99.0.1/24"
	// nowhere is a hardware address that nobody has: what is sent to it is
	// dropped without a word, as a broken network drops it.
	nowhere = "02:00:00:00:00:fe"
)

// addressOf is the address of a host.
func addressOf(host string) string {
	return map[string]string{
		hostEtcd: "10.99.0.10", hostAPI: "10.99.0.11", hostVast: "10.99.0.12", hostInstances: "10.99.0.13",
		hostManager1: "10.99.0.21", hostManager2: "10.99.0.22",
	}[host]
}

// namespaceOf is the network namespace of a host: rentals live in the simulator's.
func namespaceOf(host string) string {
	if host == hostInstances {
		return hostVast
	}
	return host
}

// network is the bridge and what is cut of it.
type network struct {
	mu sync.Mutex
	// cuts counts, per way, how many acts cut it at present.
	cuts map[string]int
}

// newNetwork makes the bridge and a namespace for each host.
func newNetwork(ctx context.Context) (*network, error) {
	n := &network{cuts: map[string]int{}}
	for _, line := range []string{
		"link set lo up", "link add " + bridge + " type bridge", "addr add " + hubCIDR + " dev " + bridge, "link set " + bridge + " up",
	} {
		if err := ip(ctx, line); err != nil {
			return nil, err
		}
	}
	for number, host := range []string{hostEtcd, hostAPI, hostVast, hostManager1, hostManager2} {
		link := fmt.Sprintf("veth%d", number)
		for _, line := range []string{
			"netns add " + host, "link add " + link + " type veth peer name eth0 netns " + host, "link set " + link + " master " + bridge + " up",
			"-n " + host + " link set lo up", "-n " + host + " addr add " + addressOf(host) + "/24 dev eth0", "-n " + host + " link set eth0 up",
		} {
			if err := ip(ctx, line); err != nil {
				return nil, err
			}
		}
	}
	return n, ip(ctx, "-n "+hostVast+" addr add "+addressOf(hostInstances)+"/24 dev eth0")
}

// ip runs iproute2.
func ip(ctx context.Context, line string) error {
	output, err := exec.CommandContext(ctx, "ip", strings.Fields(line)...).CombinedOutput() //nolint:gosec // words of this file
	if err != nil {
		return fmt.Errorf("running ip %s: %w: %s", line, err, strings.TrimSpace(string(output)))
	}
	return nil
}

// enter returns the words that start a program on a host.
func enter(host string) []string { return []string{"ip", "netns", "exec", namespaceOf(host)} }

// directions are the ways that an act cuts: requests, answers, or both.
func directions(kind, pair string) []string {
	from, to, _ := strings.Cut(pair, ">")
	switch forth, back := from+">"+to, to+">"+from; kind {
	case kindCutForth:
		return []string{forth}
	case kindCutBack:
		return []string{back}
	default:
		return []string{forth, back}
	}
}

// cut drops everything that goes one way between two hosts.
func (n *network) cut(ctx context.Context, direction string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	namespace, address := wayOf(direction)
	n.cuts[namespace+">"+address]++
	if n.cuts[namespace+">"+address] > 1 {
		return nil
	}
	return ip(ctx, fmt.Sprintf("-n %s neigh replace %s lladdr %s dev eth0 nud permanent", namespace, address, nowhere))
}

// heal ends one cut of a direction.
func (n *network) heal(ctx context.Context, direction string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	namespace, address := wayOf(direction)
	n.cuts[namespace+">"+address]--
	if n.cuts[namespace+">"+address] > 0 {
		return nil
	}
	return ip(ctx, fmt.Sprintf("-n %s neigh del %s dev eth0", namespace, address))
}

// wayOf is where a direction is cut: what the sender's namespace sends to an address.
func wayOf(direction string) (namespace, address string) {
	from, to, _ := strings.Cut(direction, ">")
	return namespaceOf(from), addressOf(to)
}

// errNotCut is a network that goes on carrying what was cut.
var errNotCut = errors.New("a link that was cut still carries connections, or one that was healed does not: nothing that follows would be true")

// prove shows that a cut cuts and that healing heals, from the namespace of
// one host to a port of another that listens.
func (n *network) prove(ctx context.Context, from, to, port string) error {
	reaches := func() bool {
		const within = "2"
		// Bash connects by itself; there may be no other tool.
		script := fmt.Sprintf("exec 3<>/dev/tcp/%s/%s", addressOf(to), port)
		words := append(enter(from), "timeout", within, "bash", "-c", script)
		return exec.CommandContext(ctx, words[0], words[1:]...).Run() == nil //nolint:gosec // words of this file
	}
	var states []bool
	for _, kind := range []string{"", kindCutForth, "", kindCutBack, ""} {
		var ways []string
		if kind != "" {
			ways = directions(kind, from+">"+to)
		}
		for _, way := range ways {
			if err := n.cut(ctx, way); err != nil {
				return err
			}
		}
		states = append(states, reaches())
		for _, way := range ways {
			if err := n.heal(ctx, way); err != nil {
				return err
			}
		}
	}
	if !slices.Equal(states, []bool{true, false, true, false, true}) {
		return fmt.Errorf("%w (%s>%s: %v)", errNotCut, from, to, states)
	}
	return nil
}
