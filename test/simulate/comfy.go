package simulate

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/warmpool-dev/warmpool/controllers"
	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// The ways in which a ComfyUI of the simulation goes wrong.
const (
	comfyHangs     = "hangs"
	comfyNoGPU     = "no-gpu"
	comfyNeverUp   = "never-up"
	comfyOldSecret = "other-password"
)

// comfyFaults are all of them.
func comfyFaults() []string { return []string{comfyHangs, comfyNoGPU, comfyNeverUp, comfyOldSecret} }

// comfys stands for what runs in the containers: enough of a ComfyUI for a
// prober that asks no network.
type comfys struct {
	world *world

	mu     sync.Mutex
	byPort map[int]*comfy
}

var _ simulator.Backend = (*comfys)(nil)

// comfy is one container.
type comfy struct {
	owner   *comfys
	rental  int64
	port    int
	token   string
	readyAt time.Time

	mu    sync.Mutex
	fault string
}

// Start implements simulator.Backend.
func (c *comfys) Start(_ context.Context, spec simulator.BackendSpec) (simulator.BackendInstance, error) {
	dice := c.world.decide.fixed(fmt.Sprintf("boot of rental %d, %d", spec.RentalID, spec.Boot))
	container := &comfy{
		owner: c, rental: spec.RentalID, port: simulator.PortOf(spec.RentalID, comfyPort), token: spec.Env["WEB_PASSWORD"],
		readyAt: spec.StartedAt.Add(dice.between(time.Second, 20*time.Second)),
	}
	for _, fault := range spec.Faults {
		container.fault = fault.Name
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byPort[container.port] = container
	return container, nil
}

const comfyPort = 8188

// SetFault implements simulator.BackendInstance.
func (c *comfy) SetFault(name string, _ map[string]string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = name
	return nil
}

// ClearFault implements simulator.BackendInstance.
func (c *comfy) ClearFault(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if name == "" || c.fault == name {
		c.fault = ""
	}
}

// Stop implements simulator.BackendInstance.
func (c *comfy) Stop() {
	c.owner.mu.Lock()
	defer c.owner.mu.Unlock()
	if c.owner.byPort[c.port] == c {
		delete(c.owner.byPort, c.port)
	}
}

// Logs implements simulator.BackendInstance. It prints its password, as a
// careless script does.
func (c *comfy) Logs(int) []string {
	return []string{"booting", "WEB_PASSWORD=" + c.token, "done"}
}

// at finds the container behind an address.
func (c *comfys) at(address string) *comfy {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byPort[number]
}

// answer says what there is at an address, and which fault it has.
func (c *comfys) answer(target *controllers.InstanceTarget) (fleet.Signal, string) {
	container := c.at(target.Address)
	switch {
	case container == nil:
		return fleet.SignalConnectionRefused, ""
	case c.world.isOffline(container.rental):
		return fleet.SignalConnectTimeout, ""
	}
	container.mu.Lock()
	fault := container.fault
	container.mu.Unlock()
	switch {
	case fault == comfyNeverUp || c.world.now().Before(container.readyAt):
		return fleet.SignalPlaceholder, fault
	case fault == comfyHangs:
		return fleet.SignalNoAnswer, fault
	case container.token != target.Token || fault == comfyOldSecret:
		return fleet.SignalAuthRejected, fault
	default:
		return fleet.SignalServing, fault
	}
}

// prober asks the containers for one process.
type prober struct{ process *process }

var (
	_ controllers.Prober   = (*prober)(nil)
	_ controllers.Recycler = (*prober)(nil)
)

// ask waits for the answer, as over a network, and says what there was.
func (p *prober) ask(ctx context.Context, what string, target *controllers.InstanceTarget) (fleet.Signal, string) {
	if _, err := p.process.await(ctx, loopOf(ctx)+" "+what+" "+target.Address); err != nil {
		return "", ""
	}
	w := p.process.world
	signal, fault := w.comfys.answer(target)
	if signal == fleet.SignalServing && w.isCut(p.process.slot, cutInstances) {
		signal = fleet.SignalConnectTimeout
	}
	if _, err := p.process.await(ctx, loopOf(ctx)+" "+what+" "+target.Address+" answered"); err != nil {
		return "", ""
	}
	w.note(p.process.name, loopOf(ctx), "%s %s: %s", what, target.Address, signal)
	return signal, fault
}

// Probe implements controllers.Prober.
func (p *prober) Probe(ctx context.Context, target controllers.InstanceTarget, _ bool) fleet.ProbeResult {
	signal, _ := p.ask(ctx, "probe", &target)
	result := fleet.ProbeResult{Signal: signal, Message: "The double says " + string(signal) + ".", At: p.process.clock.Now()}
	if signal == fleet.SignalServing {
		result.CertificateSHA256 = "00ff"
	}
	return result
}

// Portal implements controllers.Prober.
func (p *prober) Portal(ctx context.Context, target controllers.InstanceTarget) (*fleet.Portal, error) {
	signal, _ := p.ask(ctx, "portal", &target)
	if signal != fleet.SignalServing && signal != fleet.SignalPlaceholder {
		return nil, errConnection
	}
	return &fleet.Portal{Provisioning: "complete", ComfyUIProcess: "RUNNING", ComfyUIPID: 1}, nil
}

// Queue implements controllers.Prober.
func (p *prober) Queue(ctx context.Context, target controllers.InstanceTarget) (fleet.QueueResult, error) {
	if signal, _ := p.ask(ctx, "queue", &target); signal != fleet.SignalServing {
		return fleet.QueueResult{}, errConnection
	}
	return fleet.QueueResult{At: p.process.clock.Now()}, nil
}

// Recycle implements controllers.Recycler.
func (p *prober) Recycle(ctx context.Context, target controllers.InstanceTarget) error {
	if signal, _ := p.ask(ctx, "recycle", &target); signal != fleet.SignalServing {
		return errConnection
	}
	return nil
}

// Verify implements controllers.Prober.
func (p *prober) Verify(ctx context.Context, target controllers.InstanceTarget, want fleet.Expectations) fleet.VerifyResult {
	signal, fault := p.ask(ctx, "verify", &target)
	result := fleet.VerifyResult{Signal: signal, Message: "The double says " + string(signal) + ".", GPUName: want.GPUName, ComfyUIVersion: "0.3.64", RenderMillis: 900, At: p.process.clock.Now()}
	switch {
	case signal != fleet.SignalServing:
		result.Fault = fleet.FaultUnreachable
	case fault == comfyNoGPU:
		result.Fault = fleet.FaultNoGPU
	}
	return result
}
