package comfysim

import (
	"fmt"
	"strings"
	"time"
)

// startPeriod is supervisor's startsecs for comfyui: a process that lives shorter was not started.
const startPeriod = 5 * time.Second

// startRetries is supervisor's startretries: after so many starts too short the process is FATAL.
const startRetries = 3

// bootState is the container's boot. A zero time means "not scheduled".
type bootState struct {
	frontAt      time.Time
	provEnds     time.Time
	front        bool
	provisioning string // as the portal says it: none, in_progress, complete, failed
	frontUpAt    time.Time
}

// supervised is ComfyUI as supervisor sees it.
type supervised struct {
	pid      int
	spawned  time.Time // start of the present or last process
	alive    bool      // the script or main.py runs, whether it listens or not
	listenAt time.Time
	diesAt   time.Time
	retryAt  time.Time
	failures int
	fatal    bool
	stopped  bool
	// skipped is true when PORTAL_CONFIG does not name ComfyUI: the script ends itself for ever and the portal hides it.
	skipped bool
	exit    string
}

func (i *Instance) beginBootLocked(now time.Time) {
	i.boot.provisioning = "none"
	i.boot.frontAt = now.Add(i.slowed(i.cfg.Timings.CaddyUp))
	i.sup.pid = 200 + i.rng.IntN(300)
	i.sup.skipped = true
	for _, app := range i.apps {
		if strings.Contains(strings.ToLower(app.Name), "comfyui") {
			i.sup.skipped = false
		}
	}
	i.logLocked("Boot: starting services")
}

// slowed stretches a duration of the boot by the slow-start fault.
func (i *Instance) slowed(d time.Duration) time.Duration {
	if slow, ok := i.active[FaultSlowStart]; ok {
		return time.Duration(float64(d)*slow.number("factor")) + slow.duration("extra")
	}
	return d
}

// advanceLocked lets happen everything that is due by now, in order, each at its own moment.
func (i *Instance) advanceLocked() {
	now := i.clk.Now()
	for !i.stopped {
		at, happen := i.nextEventLocked()
		if happen == nil || at.After(now) {
			break
		}
		happen(at)
		i.notifyLocked()
	}
	if !i.stalled.IsZero() && !now.Before(i.stalled) {
		i.stalled = time.Time{}
		delete(i.active, FaultGILStall)
	}
}

func (i *Instance) nextEventLocked() (time.Time, func(time.Time)) {
	events := [...]struct {
		at     time.Time
		happen func(time.Time)
	}{
		{i.boot.frontAt, i.frontComesUp},
		{i.boot.provEnds, i.provisioningEnds},
		{i.sup.diesAt, i.comfyDies},
		{i.sup.listenAt, i.comfyListens},
		{i.sup.retryAt, i.comfySpawns},
	}
	var at time.Time
	var happen func(time.Time)
	for _, event := range events {
		if !event.at.IsZero() && (happen == nil || event.at.Before(at)) {
			at, happen = event.at, event.happen
		}
	}
	return at, happen
}

func (i *Instance) frontComesUp(at time.Time) {
	i.boot.frontAt, i.boot.frontUpAt = time.Time{}, at
	i.boot.front = len(i.apps) > 0
	i.logLocked("Starting Caddy...")
	if i.boot.front {
		// The real banner shows the credentials: a reader of logs has to redact them, and can be tested against this.
		i.logLocked("* Your web credentials are: %s / %s", i.auth.username, i.auth.password)
		i.logLocked("* To make API requests, pass an Authorization header (Authorization: Bearer %s)", i.auth.password)
	} else {
		i.logLocked("Error: No configuration found in YAML or environment variable")
	}
	i.boot.provisioning = "in_progress"
	i.logLocked("%s", strings.Repeat("*", 60))
	i.logLocked("Provisioning instance with %s", i.provisioningSource())
	if i.sup.skipped {
		i.logLocked("Skipping comfyui startup (not in /etc/portal.yaml)")
	} else {
		i.sup.alive, i.sup.spawned = true, at
		i.logLocked("comfyui startup paused until instance provisioning has completed (/.provisioning present)")
	}
	if _, stalled := i.active[FaultProvisioningStall]; !stalled {
		i.boot.provEnds = at.Add(i.slowed(i.cfg.Timings.Provisioning))
	}
}

func (i *Instance) provisioningSource() string {
	for _, key := range []string{"PROVISIONING_MANIFEST", "PROVISIONING_SCRIPT"} {
		if i.cfg.Env[key] != "" {
			return "the file named by " + key
		}
	}
	return "/provisioning.yaml"
}

func (i *Instance) provisioningEnds(at time.Time) {
	i.boot.provEnds = time.Time{}
	if failed, ok := i.active[FaultProvisioningFailed]; ok {
		i.boot.provisioning = "failed"
		i.logLocked("[ERROR] Provisioning Script failed: %s", failed.text("message"))
		i.logLocked("Note: Provisioning encountered issues but instance startup will continue")
	} else {
		i.boot.provisioning = "complete"
		i.logLocked("Provisioning complete!")
	}
	if !i.sup.skipped && i.sup.alive {
		i.scheduleStartLocked(at, i.cfg.Timings.ComfyStart)
	}
}

// scheduleStartLocked decides when main.py, started at at, listens, and whether it dies first.
func (i *Instance) scheduleStartLocked(at time.Time, takes time.Duration) {
	i.sup.listenAt, i.sup.diesAt = at.Add(i.slowed(takes)), time.Time{}
	if _, ok := i.active[FaultProcessFatal]; ok {
		i.sup.diesAt = at
		return
	}
	if crash, ok := i.active[FaultCrashLoop]; ok {
		i.sup.diesAt = at.Add(crash.duration("after"))
	}
	if !i.sup.diesAt.IsZero() && !i.sup.diesAt.After(i.sup.listenAt) {
		i.sup.listenAt = time.Time{}
	}
}

func (i *Instance) comfyListens(at time.Time) {
	i.sup.listenAt = time.Time{}
	i.sup.failures = 0
	i.files.wipe("temp")
	i.proc = newProcess(i, at)
	device := "cuda:0 NVIDIA " + i.cfg.GPUName + " : cudaMallocAsync"
	if i.onCPULocked() {
		device = "cpu"
	}
	i.comfyLogLocked(at, "Total VRAM %d MB, total RAM %d MB", i.vramTotalLocked()>>20, i.cfg.RAMBytes>>20)
	i.comfyLogLocked(at, "pytorch version: %s", i.prof.pytorch)
	i.comfyLogLocked(at, "Device: %s", device)
	i.comfyLogLocked(at, "ComfyUI version: %s", i.prof.version)
	i.comfyLogLocked(at, "Import times for custom nodes:")
	for _, node := range i.cfg.Nodes {
		failed := ""
		if !i.hasNodeLocked(node.Class) {
			failed = " (IMPORT FAILED)"
		}
		i.comfyLogLocked(at, "   0.1 seconds%s: /workspace/ComfyUI/custom_nodes/%s", failed, moduleOf(node))
	}
	i.comfyLogLocked(at, "Starting server\n")
	i.comfyLogLocked(at, "To see the GUI go to: http://127.0.0.1:%d", i.args.port)
	if _, dead := i.active[FaultWorkerDead]; dead {
		i.killWorkerLocked("")
	}
}

// comfyDies ends the process and lets supervisor decide what follows.
func (i *Instance) comfyDies(at time.Time) {
	lived := at.Sub(i.sup.spawned)
	message := "Killed"
	if crash, ok := i.active[FaultCrashLoop]; ok {
		message = crash.text("message")
	}
	i.endProcessLocked()
	i.sup.alive, i.sup.exit = false, message
	i.logLocked("Traceback (most recent call last):\n  File \"/workspace/ComfyUI/main.py\", line 1, in <module>\n%s", message)
	if fatal, ok := i.active[FaultProcessFatal]; ok {
		i.sup.fatal = true
		i.logLocked("INFO gave up: comfyui entered FATAL state: %s", fatal.text("message"))
		return
	}
	if lived >= startPeriod {
		i.sup.failures = 0
		i.logLocked("INFO exited: comfyui (exit status 1; not expected)")
		i.sup.retryAt = at.Add(time.Second)
		return
	}
	i.sup.failures++
	if i.sup.failures > startRetries {
		i.sup.fatal = true
		i.logLocked("INFO gave up: comfyui entered FATAL state, too many start retries too quickly")
		return
	}
	i.sup.retryAt = at.Add(time.Duration(i.sup.failures) * time.Second)
}

// endProcessLocked kills what runs: queue, history and sockets are gone, and with them the faults that live in the process.
func (i *Instance) endProcessLocked() {
	i.sup.listenAt, i.sup.diesAt, i.sup.retryAt = time.Time{}, time.Time{}, time.Time{}
	if i.proc != nil {
		close(i.proc.dead)
		i.proc = nil
	}
	i.stalled = time.Time{}
	for name, values := range i.active {
		if values.spec.process && !values.flag("survives_restart") {
			delete(i.active, name)
		}
	}
	i.notifyLocked()
}

// comfySpawns is supervisor starting ComfyUI again.
func (i *Instance) comfySpawns(at time.Time) {
	i.sup.retryAt = time.Time{}
	i.sup.pid += 1 + i.rng.IntN(40)
	i.sup.alive, i.sup.spawned, i.sup.fatal, i.sup.stopped = true, at, false, false
	i.logLocked("INFO spawned: 'comfyui' with pid %d", i.sup.pid)
	if i.boot.provisioning == "in_progress" {
		return // the script waits for the end of provisioning
	}
	i.scheduleStartLocked(at, i.cfg.Timings.DependencyCheck+i.cfg.Timings.ComfyStart)
}

// restartLocked is supervisorctl restart comfyui.
func (i *Instance) restartLocked(at time.Time) {
	i.endProcessLocked()
	i.sup.failures, i.sup.exit = 0, ""
	i.comfySpawns(at)
}

func (i *Instance) stopComfyLocked() {
	i.endProcessLocked()
	i.sup.alive, i.sup.stopped = false, true
}

// stateLocked is supervisor's word for ComfyUI and its description.
func (i *Instance) stateLocked(now time.Time) (state, description string) {
	switch {
	case i.sup.fatal:
		return "FATAL", "Exited too quickly (process log may have details)"
	case i.sup.stopped || i.sup.spawned.IsZero():
		return "STOPPED", "Not started"
	case !i.sup.alive && i.sup.failures > 0:
		return "BACKOFF", "Exited too quickly (process log may have details)"
	case !i.sup.alive:
		return "EXITED", "exited"
	case now.Sub(i.sup.spawned) < startPeriod:
		return "STARTING", ""
	default:
		up := now.Sub(i.sup.spawned).Truncate(time.Second)
		return "RUNNING", fmt.Sprintf("pid %d, uptime %s", i.sup.pid, up)
	}
}

// comfyLogLocked writes a line to the container's log and to the ring that /internal/logs shows.
func (i *Instance) comfyLogLocked(at time.Time, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	i.logLocked("%s", strings.TrimRight(text, "\n"))
	if i.proc != nil {
		i.proc.logEntry(at, text+"\n")
	}
}
