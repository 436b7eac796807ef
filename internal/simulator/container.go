package simulator

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

// The ports that a backend serves; other published ports only accept.
const (
	comfyPort   = 8188
	portalPort  = 1111
	sshPort     = 22
	jupyterPort = 8080
	// identityFloor is the first port number that Vast.ai maps to itself.
	identityFloor = 70_000
)

// container is a running container: its ports and what serves them.
type container struct {
	gate     *gate
	ports    map[string]int // "8188/tcp" → public port
	instance BackendInstance
	// startErr is why the backend did not start.
	startErr error
}

// startContainer opens the ports and starts the backend.
func (w *world) startContainer(r *rental) {
	r.boots++
	c := &container{gate: newGate(), ports: map[string]int{}}
	r.container = c
	listens := map[int]func() (net.Listener, error){}
	if w.portless {
		w.openFakePorts(r, c)
	} else {
		w.openPorts(r, c, listens)
	}
	w.startBackend(r, c, listens)
}

// openPorts reserves every published port and collects what the backend listens on.
func (w *world) openPorts(r *rental, c *container, listens map[int]func() (net.Listener, error)) {
	for _, name := range r.order.ports {
		container, proto, _ := strings.Cut(name, "/")
		number, err := strconv.Atoi(container)
		if err != nil {
			continue
		}
		reserved, err := w.reserve(c.gate)
		if err != nil {
			c.startErr = err
			continue
		}
		c.gate.reserved = append(c.gate.reserved, reserved)
		if number >= identityFloor {
			name = strconv.Itoa(reserved.Port()) + "/" + proto
		}
		c.ports[name] = reserved.Port()
		if proto != "tcp" {
			continue
		}
		if number == comfyPort || number == portalPort {
			listens[number] = reserved.listen
			continue
		}
		listener, err := reserved.listen()
		if err != nil {
			c.startErr = err
			continue
		}
		w.background.Go(func() { serveSimple(listener, number == sshPort) })
	}
}

// startBackend starts what runs in the container.
func (w *world) startBackend(r *rental, c *container, listens map[int]func() (net.Listener, error)) {
	spec := BackendSpec{
		RentalID: r.id, Boot: r.boots, Image: r.order.image, OnStart: r.order.onStart,
		Env: w.containerEnv(r), GPUName: asString(r.row["gpu_name"]), GPUs: r.size,
		GPUMemoryMB: integer(r.row["gpu_ram"]), RAMMB: integer(r.row["cpu_ram"]), DiskGB: int64(r.order.diskGB),
		Ports: listens, Clock: w.clock, Seed: r.seed, StartedAt: w.now,
		Faults: slices.Clone(r.comfyFaults),
	}
	c.instance, c.startErr = w.start(spec)
	if c.startErr != nil {
		msg := "Error response from daemon: " + c.startErr.Error()
		r.statusMsg = &msg
	}
}

// stopContainer ends the container; the teardown itself runs in the background.
func (w *world) stopContainer(r *rental) {
	r.showPorts = false
	c := r.container
	r.container = nil
	if c == nil {
		return
	}
	c.gate.close()
	switch {
	case c.instance == nil:
	case w.portless:
		c.instance.Stop()
	default:
		w.background.Go(c.instance.Stop)
	}
}

// block cuts or restores the network of a container that may not exist.
func (c *container) block(blocked bool) {
	if c != nil {
		c.gate.block(blocked)
	}
}

// containerEnv is the environment that a container sees: the account's secrets,
// what the renter gave, and what Vast.ai adds.
func (w *world) containerEnv(r *rental) map[string]string {
	env := maps.Clone(r.account.secrets)
	maps.Copy(env, r.order.env)
	if _, ok := env["OPEN_BUTTON_TOKEN"]; ok {
		env["OPEN_BUTTON_TOKEN"] = r.jupyterToken
	}
	id := strconv.FormatInt(r.id, 10)
	env["CONTAINER_ID"] = id
	env["CONTAINER_API_KEY"] = r.instanceAPIKey
	env["VAST_CONTAINERLABEL"] = "C." + id
	env["PUBLIC_IPADDR"] = w.cfg.InstanceAddress
	env["GPU_COUNT"] = strconv.Itoa(r.size)
	if env["DATA_DIRECTORY"] == "" {
		env["DATA_DIRECTORY"] = "/workspace/"
	}
	env["JUPYTER_TOKEN"] = r.jupyterToken
	for name, public := range r.container.ports {
		number, proto, _ := strings.Cut(name, "/")
		env["VAST_"+strings.ToUpper(proto)+"_PORT_"+number] = strconv.Itoa(public)
	}
	for _, name := range r.order.ports {
		// An identity-mapped port is announced under the number that was asked for.
		number, proto, _ := strings.Cut(name, "/")
		if n, err := strconv.Atoi(number); err == nil && n >= identityFloor {
			for mapped, public := range r.container.ports {
				if mapped == strconv.Itoa(public)+"/"+proto {
					env["VAST_"+strings.ToUpper(proto)+"_PORT_"+number] = strconv.Itoa(public)
				}
			}
		}
	}
	return env
}

// portMap is the "ports" of a row.
func (c *container) portMap() schema.Ports {
	ports := schema.Ports{}
	for name, public := range c.ports {
		ports[name] = schema.NewPortBindings(public)
	}
	return ports
}

// layer is an image layer's id in a status message.
func layer(r *rental) string {
	const bits = 48
	return fmt.Sprintf("%012x", r.draws.Uint64()>>(64-bits))
}

// imageSlug is an image name as status messages have it.
func imageSlug(image string) string { return strings.ReplaceAll(image, ":", "_") }

// asString reads a recorded text.
func asString(value any) string {
	text, ok := value.(string)
	if !ok {
		return ""
	}
	return text
}

// NoBackend returns a backend that serves nothing: a rental's ports are known,
// and a connection to them is refused. It is for tests of the Vast.ai half.
func NoBackend() Backend { return noBackend{} }

// noBackend serves nothing; a port that nobody listens on refuses.
type noBackend struct{}

// Start implements Backend.
func (noBackend) Start(context.Context, BackendSpec) (BackendInstance, error) {
	return noInstance{}, nil
}

type noInstance struct{}

// SetFault implements BackendInstance.
func (noInstance) SetFault(name string, _ map[string]string) error {
	return fmt.Errorf("setting fault %q: nothing runs in this container: configure a Backend", name)
}

// ClearFault implements BackendInstance.
func (noInstance) ClearFault(string) {}

// Stop implements BackendInstance.
func (noInstance) Stop() {}

// Logs implements BackendInstance.
func (noInstance) Logs(int) []string { return nil }
