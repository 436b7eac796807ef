package schema

import (
	"encoding/json"
	"strings"
)

// Ports maps a container port ("8188/tcp") to where it is reachable from
// outside. It is nil until the container really runs. Put omitempty on fields:
// the platform leaves the key out, and its command line cannot read null.
type Ports map[string][]PortBinding

// PortBinding is one public address of a container port.
type PortBinding struct {
	// HostIP is "0.0.0.0" or "::".
	HostIP Text `json:"HostIp"`
	// HostPort is a string on the wire.
	HostPort Text `json:"HostPort"`
}

// NewPortBindings returns the two bindings that the platform shows for a public port.
func NewPortBindings(hostPort int) []PortBinding {
	port := Text(Int(int64(hostPort)))
	return []PortBinding{{HostIP: "0.0.0.0", HostPort: port}, {HostIP: "::", HostPort: port}}
}

// UnmarshalJSON reads the object form. The list that the documentation shows
// ([8080, 8081]) says nothing about public ports and so reads as no ports, as
// does any other shape; it does not fail.
func (p *Ports) UnmarshalJSON(data []byte) error {
	*p = nil
	var object map[string]json.RawMessage
	if json.Unmarshal(data, &object) != nil {
		return nil //nolint:nilerr // a list or another shape is no port map; see above
	}
	for port, raw := range object {
		var bindings []PortBinding
		if json.Unmarshal(raw, &bindings) != nil || len(bindings) == 0 {
			continue
		}
		if *p == nil {
			*p = Ports{}
		}
		(*p)[port] = bindings
	}
	return nil
}

// TCP returns the public port of a TCP container port by number, IPv4 bindings
// first, and leaves out what is no valid port number.
func (p Ports) TCP() map[int]int {
	var result map[int]int
	for name, bindings := range p {
		number, protocol, found := strings.Cut(name, "/")
		container, ok := portNumber(Number(number))
		if !ok || (found && protocol != "tcp") {
			continue
		}
		if public, ok := firstPort(bindings); ok {
			if result == nil {
				result = map[int]int{}
			}
			result[container] = public
		}
	}
	return result
}

// firstPort prefers a binding that is not IPv6.
func firstPort(bindings []PortBinding) (int, bool) {
	fallback, found := 0, false
	for _, binding := range bindings {
		port, ok := portNumber(Number(binding.HostPort))
		switch {
		case !ok:
		case !strings.Contains(string(binding.HostIP), ":"):
			return port, true
		case !found:
			fallback, found = port, true
		}
	}
	return fallback, found
}

// portNumber reads a port. Container "ports" of 70000 and more are names for
// identity-mapped ports, so only a rough upper bound applies.
func portNumber(text Number) (int, bool) {
	const maxPort = 99_999
	value, ok := text.Int64()
	return int(value), ok && value > 0 && value <= maxPort
}
