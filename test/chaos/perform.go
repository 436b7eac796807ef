package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// performer carries the plan out and writes down what was done.
type performer struct {
	*stage
	mu   sync.Mutex
	done []deed
	// userGuard lets users do one thing after the other.
	userGuard sync.Mutex
	// mirrored counts, per pool and for the account, the acts that have set
	// something for a while: the last one to end sets it back.
	held map[string]int
}

// errNothing is an act for which there was nothing to do it to.
var errNothing = errors.New("there is nothing to do it to")

// performRound carries out one round and returns when its last act has ended.
func (p *performer) performRound(ctx context.Context, plan []act, round int) error {
	var keeper sync.WaitGroup
	defer keeper.Wait()
	kept, release := context.WithCancel(ctx)
	keeper.Go(func() { p.keepAPIServer(kept) })
	var acts sync.WaitGroup
	defer func() { acts.Wait(); release() }()
	started := time.Now()
	for k := range plan {
		if plan[k].Round != round {
			continue
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.vast.Done:
			return p.vast.Obituary()
		case <-p.plane.Etcd.Done:
			return p.plane.Etcd.Obituary()
		case <-time.After(time.Until(started.Add(plan[k].At))):
		}
		acts.Go(func() { p.perform(ctx, &plan[k]) })
	}
	return nil
}

// keepAPIServer starts the API server again when it has ended by itself.
func (p *performer) keepAPIServer(ctx context.Context) {
	const period = time.Second
	for ctx.Err() == nil {
		// What does not work now is tried again.
		_ = p.reviveAPIServer(ctx) //nolint:errcheck // see above
		wait(ctx, period)
	}
}

// perform carries out one act, from its beginning to its end.
func (p *performer) perform(ctx context.Context, planned *act) {
	result := deed{act: *planned, began: time.Now()}
	switch planned.Group {
	case groupKill, groupPause:
		result.failed = p.disturbProcess(ctx, planned)
	case groupCut:
		result.failed = p.cutLink(ctx, planned)
	case groupProvider:
		result.failed = p.disturbProvider(ctx, &result)
	case groupRental:
		result.failed = p.disturbRental(ctx, &result)
	case groupUser:
		result.failed = p.actAsUser(ctx, &result)
	default:
		result.failed = fmt.Errorf("nobody knows the group %q", planned.Group)
	}
	result.ended = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = append(p.done, result)
}

// deeds are what was done until now.
func (p *performer) deeds() []deed {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.done)
}

// wait lets an act last.
func wait(ctx context.Context, length time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(length):
	}
}

func (p *performer) disturbProcess(ctx context.Context, planned *act) error {
	switch planned.Kind {
	case kindKillManager, kindStopManager:
		signal := syscall.SIGKILL
		if planned.Kind == kindStopManager {
			signal = syscall.SIGTERM
		}
		hit, err := p.managers[planned.Target].kill(signal, planned.Length)
		if err == nil && !hit {
			err = errNothing
		}
		return err
	case kindKillAPIServer:
		return p.restartAPIServer(ctx, planned.Length)
	case kindPauseManager:
		return pause(ctx, p.managers[planned.Target].running().Signal, planned.Length)
	case kindPauseVast:
		return pause(ctx, p.vast.Signal, planned.Length)
	case kindPauseAPI:
		p.planeGuard.Lock()
		defer p.planeGuard.Unlock()
		return pause(ctx, p.plane.API.Signal, planned.Length)
	default:
		return fmt.Errorf("nobody knows how to %s", planned.Kind)
	}
}

// pause stops a process for a while.
func pause(ctx context.Context, send func(syscall.Signal) error, length time.Duration) error {
	if err := send(syscall.SIGSTOP); err != nil {
		return err
	}
	wait(ctx, length)
	return send(syscall.SIGCONT)
}

// restartAPIServer kills it and starts it again.
func (p *performer) restartAPIServer(ctx context.Context, length time.Duration) error {
	p.planeGuard.Lock()
	defer p.planeGuard.Unlock()
	if err := p.plane.API.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.plane.API.Done
	wait(ctx, length)
	return p.ensureAPIServer(ctx)
}

// ensureAPIServer starts the API server until it is ready: while it is cut off
// from etcd it ends itself.
func (p *performer) ensureAPIServer(ctx context.Context) error {
	const tries = 5
	var err error
	for try := 0; try < tries && ctx.Err() == nil; try++ {
		if err = p.plane.StartAPIServer(ctx); err == nil {
			return nil
		}
		if p.plane.API != nil && p.plane.API.IsRunning() {
			if killErr := p.plane.API.Signal(syscall.SIGKILL); killErr != nil {
				return killErr
			}
			<-p.plane.API.Done
		}
	}
	return err
}

// reviveAPIServer starts the API server when it has ended by itself.
func (p *performer) reviveAPIServer(ctx context.Context) error {
	p.planeGuard.Lock()
	defer p.planeGuard.Unlock()
	if p.plane.API.IsRunning() {
		return nil
	}
	return p.ensureAPIServer(ctx)
}

func (p *performer) cutLink(ctx context.Context, planned *act) error {
	ways := directions(planned.Kind, planned.Target)
	for _, way := range ways {
		if err := p.network.cut(ctx, way); err != nil {
			return err
		}
	}
	wait(ctx, planned.Length)
	var failures []error
	for _, way := range ways {
		failures = append(failures, p.network.heal(context.WithoutCancel(ctx), way))
	}
	return errors.Join(failures...)
}

// providerFault is the simulator's fault for a kind of act.
func providerFault(kind string) simulator.FaultSpec {
	name, variant, _ := strings.Cut(kind, "/")
	spec := simulator.FaultSpec{Name: name, Params: map[string]string{}}
	switch name {
	case "lost-answer", "create-late", "create-with-error", "create-no-id", "create-refused", "create-dearer", "offer-gone", "stuck", "boot-error":
		spec.Count = 1
	case "read-lag":
		spec.Count, spec.Params["delay"] = 1, fmt.Sprintf("%g", readLag.Seconds())
	case "slow":
		spec.Params["delay"] = "5"
	case "credit":
		spec.Params["usd"] = "1"
	case "status-flicker":
		spec.Params["probability"] = "0.4"
	default:
	}
	setVariant(&spec, variant)
	return spec
}

// setVariant sets the parameter that a variant stands for.
func setVariant(spec *simulator.FaultSpec, variant string) {
	switch {
	case variant == "":
	case variant == "executed", variant == "running":
		spec.Params[variant] = "true"
	case variant == "hidden":
		spec.Params["identity"] = "false"
	case spec.Name == "create-late":
		spec.Params["after"] = variant
	default:
		spec.Params["how"] = variant
	}
}

// disturbProvider sets a fault of Vast.ai for a while.
func (p *performer) disturbProvider(ctx context.Context, result *deed) error {
	spec := providerFault(result.Kind)
	if result.Kind == "hidden-rental" {
		id, err := p.someRental(ctx, result.Pick)
		if err != nil {
			return err
		}
		result.rental, spec.Match.Rental = id, id
	}
	fault, err := p.setFault(ctx, &spec)
	if err != nil {
		return err
	}
	wait(ctx, result.Length)
	ctx = context.WithoutCancel(ctx)
	if result.Kind == "credit" {
		_, creditErr := p.setFault(ctx, &simulator.FaultSpec{Name: "credit", Params: map[string]string{"usd": "100000"}})
		return creditErr
	}
	return p.clearFault(ctx, fault.ID)
}

func (p *performer) setFault(ctx context.Context, spec *simulator.FaultSpec) (simulator.Fault, error) {
	var fault simulator.Fault
	return fault, p.admin.Call(ctx, "POST", "/faults", spec, &fault)
}

func (p *performer) clearFault(ctx context.Context, id int64) error {
	return p.admin.Call(ctx, "DELETE", fmt.Sprintf("/faults/%d", id), nil, nil)
}

// disturbRental breaks one rental that lives.
func (p *performer) disturbRental(ctx context.Context, result *deed) error {
	choose := p.someRental
	if result.Kind == "label-changed" {
		choose = p.someRecorded
	}
	id, err := choose(ctx, result.Pick)
	if err != nil {
		return err
	}
	result.rental = id
	if name, found := strings.CutPrefix(result.Kind, "comfy/"); found {
		return p.admin.Call(ctx, "POST", fmt.Sprintf("/rentals/%d/fault", id), simulator.BackendFault{Name: name}, nil)
	}
	spec := &simulator.FaultSpec{Name: result.Kind, Count: 1, Params: map[string]string{}, Match: simulator.Match{Rental: id}}
	switch result.Kind {
	case "offline":
		spec.Params["for"] = fmt.Sprintf("%g", result.Length.Seconds())
	case "price-raise":
		const least, steps, hundred = 110, 80, 100.0
		spec.Params["factor"] = fmt.Sprintf("%.2f", float64(least+result.Pick%steps)/hundred)
	case "label-changed":
		spec.Params["label"] = "changed-by-somebody"
	default:
	}
	if _, err = p.setFault(ctx, spec); err == nil {
		wait(ctx, result.Length)
	}
	return err
}

// someRecorded chooses one that its instance has recorded. When the label is
// taken away before that, and the answer was lost as well, the operator waits for
// a person to say whose the rental is, and this run has none.
func (p *performer) someRecorded(ctx context.Context, pick uint64) (int64, error) {
	instances, err := p.instances(ctx)
	if err != nil {
		return 0, err
	}
	var recorded []int64
	for k := range instances {
		if rental := instances[k].Status.Rental; rental != nil && instances[k].DeletionTimestamp.IsZero() {
			recorded = append(recorded, rental.ID)
		}
	}
	if len(recorded) == 0 {
		return 0, errNothing
	}
	return recorded[pick%uint64(len(recorded))], nil
}

// records reads the simulator's book.
func (s *stage) records(ctx context.Context) ([]simulator.RentalRecord, error) {
	var list []simulator.RentalRecord
	return list, s.admin.Call(ctx, "GET", "/rentals", nil, &list)
}

// someRental chooses one of our rentals that live.
func (p *performer) someRental(ctx context.Context, pick uint64) (int64, error) {
	list, err := p.records(ctx)
	if err != nil {
		return 0, err
	}
	live := simulator.Meter{Records: list}.Live(ours)
	if len(live) == 0 {
		return 0, errNothing
	}
	return live[pick%uint64(len(live))].ID, nil
}
