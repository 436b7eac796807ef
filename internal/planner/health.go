package planner

import (
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// HealthStage is where an instance is on its way from rented to ready, or back.
type HealthStage string

// The stages of an instance.
const (
	// StagePulling: Vast.ai does not report a running container yet.
	StagePulling HealthStage = "Pulling"
	// StageBooting: the container runs, nothing answers on its port yet.
	StageBooting HealthStage = "Booting"
	// StageProvisioning: the front answers; models and nodes are being fetched.
	StageProvisioning HealthStage = "Provisioning"
	// StageStarting: the front answers, ComfyUI does not yet.
	StageStarting HealthStage = "Starting"
	// StageVerifying: ComfyUI answers and has to prove that it renders.
	StageVerifying HealthStage = "Verifying"
	// StageReady: it rendered, it answers, its queue is empty.
	StageReady HealthStage = "Ready"
	// StageBusy: as Ready, with work in its queue.
	StageBusy HealthStage = "Busy"
	// StageUnready: it was Ready and is not now.
	StageUnready HealthStage = "Unready"
	// StageFailed: it is to be given up; Failure says why.
	StageFailed HealthStage = "Failed"
)

// HealthAction is what the prober shall do next with an instance.
type HealthAction string

// The actions of a prober.
const (
	// ActionNone: only look at the rental again.
	ActionNone HealthAction = "None"
	// ActionProbe: GET /prompt, the liveness probe.
	ActionProbe HealthAction = "Probe"
	// ActionPortal: ask the instance portal how the boot is going.
	ActionPortal HealthAction = "Portal"
	// ActionQueue: GET /queue, to see whether work moves.
	ActionQueue HealthAction = "Queue"
	// ActionVerify: GPU, inventory and a rendered prompt.
	ActionVerify HealthAction = "Verify"
)

// HealthRental is what the account's sweeps say about the rental.
type HealthRental struct {
	// ID is the contract number; 0 means that nothing is rented, and nothing is judged.
	ID int64
	// MachineID is the machine that a host fault blames.
	MachineID int64
	// ActualStatus, IntendedStatus, CurrentState and StatusMessage are the
	// provider's words.
	ActualStatus                                fleet.ActualStatus
	IntendedStatus, CurrentState, StatusMessage string
	// EndpointKnown is true once the address of ComfyUI's port is known. It
	// stays true while a recorded address may still be tried.
	EndpointKnown bool
	// RentedAt is when the rental was recorded.
	RentedAt time.Time
	// RunningSince is when the container was first seen running; zero before.
	RunningSince time.Time
	// ReadAt is when the trusted sweep that showed all this was taken. Two
	// calls with the same time are one reading; with a zero time nothing that
	// needs several readings is ever concluded.
	ReadAt time.Time
}

// HealthDeadlines bound the way to the first Ready. Zero values take the
// defaults of the API.
type HealthDeadlines struct {
	// ProvisioningSeconds is from the rent to a running container, 900 by default.
	ProvisioningSeconds int64
	// StartupSeconds is from there to Ready, 1800 by default.
	StartupSeconds int64
}

// HealthProbes are the thresholds of an instance's probes. Zero values take the
// defaults of the API.
type HealthProbes struct {
	// PeriodSeconds is the time between two looks, 15 by default.
	PeriodSeconds int64
	// FailureThreshold is how many probes in a row an idle instance must fail
	// before it is not Ready, 3 by default; after twice as many it fails.
	FailureThreshold int
	// BusySilenceSeconds is how long an instance with work in its queue may
	// stay silent, 180 by default.
	BusySilenceSeconds int64
	// MaxPromptSeconds is how long one prompt may run, 1800 by default.
	MaxPromptSeconds int64
	// ReproveSeconds is how often an idle instance must render again, 1800 by default.
	ReproveSeconds int64
	// UnhealthyAfterSeconds is how long a rental may be offline, without an
	// address, or answered by something that is not our ComfyUI, 300 by default.
	UnhealthyAfterSeconds int64
}

// HealthInput is everything that decides about one instance. The results are
// those of the action just taken, at most one of each; nil when it was not
// taken. A result that was already given is ignored by its time.
type HealthInput struct {
	// Now is the time of the decision.
	Now time.Time
	// Rental is what the sweeps say.
	Rental HealthRental
	// WasReady is true once the instance has ever been Ready (status.readyTime).
	WasReady bool
	// IsReady is the Ready condition as last written. After a restart it is
	// kept until a probe says otherwise.
	IsReady bool
	// IsStarted is the Started condition as last written.
	IsStarted bool
	// Claimed is true while a claim holds the instance; no prompt of ours runs then.
	Claimed bool
	// Recycling is true from the end of a claim until it has proved itself again;
	// EmptiedAt is when nothing of that claim was left, zero before. A proof from
	// before then does not count.
	Recycling bool
	EmptiedAt time.Time
	// LastProofAt is when it last rendered our prompt (status.lastProofTime);
	// zero when unknown.
	LastProofAt time.Time
	// Tried is the action that was just carried out, with or without a result;
	// empty when the call only takes in new facts. Without it an action that
	// yields nothing is asked for again at once.
	Tried HealthAction
	// Probe, Portal, Queue and Verify are fresh results. PortalAt is when the
	// portal answered; the portal's answer may also come inside Probe.
	Probe    *fleet.ProbeResult
	Portal   *fleet.Portal
	PortalAt time.Time
	Queue    *fleet.QueueResult
	Verify   *fleet.VerifyResult
	// Deadlines and Probes are the pool's settings.
	Deadlines HealthDeadlines
	Probes    HealthProbes
}

// HealthMemory is what the prober remembers of an instance between two
// decisions. It is a value, kept in memory only. The zero value, after a
// restart, is safe: every count starts anew, nothing fails sooner for it, and
// an instance that was Ready stays so until probes say otherwise.
type HealthMemory struct {
	// probe is the newest probe taken in; hasProbe is false before the first.
	probe    fleet.ProbeResult
	hasProbe bool
	// contacted is true once anything answered on the port.
	contacted bool
	// servedAt is the newest serving probe, firstServedAt the first.
	servedAt, firstServedAt time.Time
	// failures counts probes in a row that were not serving; failingSince is the first of them.
	failures     int
	failingSince time.Time
	// sameSignal counts probes in a row with the newest signal; signalSince is the first of them.
	sameSignal  int
	signalSince time.Time
	// knownIdle is true when the newest answer showed an empty queue. Unknown,
	// as after a restart, counts as busy: patience is the safe side.
	knownIdle bool

	// portal is the newest portal answer; portalAt when it came.
	portal   fleet.Portal
	portalAt time.Time
	// restarts counts process restarts that the portal showed since ComfyUI last proved itself.
	restarts int
	// deadLooks and failedLooks count portal answers in a row with a dead process, and with failed provisioning.
	deadLooks, failedLooks int

	// queueAt is the newest look at the queue; head is what ran then, since headSince.
	queueAt   time.Time
	head      string
	headSince time.Time
	// stuckSince is the first look in a row that saw work wait and nothing run; stuckLooks counts them.
	stuckSince time.Time
	stuckLooks int

	// verifyAt is the newest verification, verify its result, verifyFailures those in a row that failed.
	verifyAt       time.Time
	verify         fleet.VerifyResult
	verifyFailures int
	// provenAt is the newest verification that passed in this process.
	provenAt time.Time
	// suspect is true when ComfyUI may have restarted: it has to prove itself again.
	suspect bool

	// portalTriedAt, queueTriedAt and verifyTriedAt are when the action was last
	// carried out, so that one that yields no result is not repeated in a loop.
	portalTriedAt, queueTriedAt, verifyTriedAt time.Time

	// decided is true after the first decision; ready is what it said last.
	decided, ready bool
	// firstSeenAt is the first decision of this process.
	firstSeenAt time.Time
	// readAt is the newest reading of the rental.
	readAt time.Time
	// stoppedReadings counts readings in a row that showed it stopped; stoppedSince is the first.
	stoppedReadings int
	stoppedSince    time.Time
	// offlineSince and portlessSince are the first reading in a row that showed it offline, running without a port.
	offlineSince, portlessSince time.Time
}

// HealthCondition is one condition of an instance, without its type.
type HealthCondition struct {
	// Status is True, False or Unknown.
	Status string
	// Reason is a CamelCase constant, Message a sentence.
	Reason, Message string
}

// HealthDecision is what is known about an instance and what to do next.
type HealthDecision struct {
	// Stage is where it is.
	Stage HealthStage
	// Running, Started and Ready are its conditions.
	Running, Started, Ready HealthCondition
	// Busy is true while work is in its queue, as far as is known. A claim
	// should prefer an idle instance; sizing ends idle ones first.
	Busy bool
	// Reason and Message say the same as Ready's, with the remedy.
	Reason, Message string
	// Next is what to do, NextAfter how long from now. NextTimeout is how long
	// that call may take: a busy ComfyUI may hold its answer back for seconds.
	Next                   HealthAction
	NextAfter, NextTimeout time.Duration
	// Failure is set when the instance is to be given up. It is no latch: it
	// stays only as long as its cause, so that an instance which was spared by
	// the health budget may recover.
	Failure *fleet.Failure
}

const (
	// statusTrue, statusFalse and statusUnknown are the values of a condition.
	statusTrue    = "True"
	statusFalse   = "False"
	statusUnknown = "Unknown"
)

// ComputeHealth takes in what was seen of one instance and decides what it is
// worth and what to look at next. One failed probe never ends an instance, and
// what Vast.ai says is ignored while ComfyUI itself answers.
//
// A Failure is only the instance's own verdict: whether it is acted upon is
// HealthBudget's.
func ComputeHealth(memory HealthMemory, in *HealthInput) (HealthMemory, HealthDecision) {
	input := in.withDefaults()
	memory.observe(&input)
	h := health{in: &input, mem: &memory}
	return memory, h.decide()
}

// withDefaults returns a copy of the input with every unset number replaced.
func (in *HealthInput) withDefaults() HealthInput {
	out := *in
	out.Deadlines.ProvisioningSeconds = orDefault(in.Deadlines.ProvisioningSeconds, 900)
	out.Deadlines.StartupSeconds = orDefault(in.Deadlines.StartupSeconds, 1800)
	out.Probes.PeriodSeconds = orDefault(in.Probes.PeriodSeconds, 15)
	out.Probes.FailureThreshold = orDefault(in.Probes.FailureThreshold, 3)
	out.Probes.BusySilenceSeconds = orDefault(in.Probes.BusySilenceSeconds, 180)
	out.Probes.MaxPromptSeconds = orDefault(in.Probes.MaxPromptSeconds, 1800)
	out.Probes.ReproveSeconds = orDefault(in.Probes.ReproveSeconds, 1800)
	out.Probes.UnhealthyAfterSeconds = orDefault(in.Probes.UnhealthyAfterSeconds, 300)
	return out
}

// orDefault replaces a number that is not positive.
func orDefault[N int | int64](value, other N) N {
	if value > 0 {
		return value
	}
	return other
}
