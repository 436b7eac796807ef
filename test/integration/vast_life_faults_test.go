package integration

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/onsi/gomega"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// lifeFault is a mishap of a rental after which the instance is given up and
// another takes its place.
type lifeFault struct {
	spec simulator.FaultSpec
	// running is true for what happens to a rental that was ready, false for
	// what a new rental comes with.
	running bool
	// reason is that of the event, of the instance's failure and of the pool's memory.
	reason string
	note   []string
	// blocked is true when the machine must be avoided afterwards.
	blocked bool
	// ended is how the meter's book says that the rental ended.
	ended string
}

// lifeFaults are the mishaps that cost the instance.
func lifeFaults() map[string]lifeFault {
	return map[string]lifeFault{
		"the image is loaded for ever": {
			spec: once(simulator.FaultSpec{Name: simulator.FaultStuck}), reason: "ImagePullTimeout", blocked: true, ended: "destroyed",
			note: []string{"The container did not run within 60 s of the rent", "Vast.ai says: "},
		},
		"the host never reports": {
			spec:   once(simulator.FaultSpec{Name: simulator.FaultStuck, Params: map[string]string{"state": "pending"}}),
			reason: "ImagePullTimeout", blocked: true, ended: "destroyed", note: []string{"The container did not run within 60 s of the rent"},
		},
		"the container cannot be made": {
			spec: once(simulator.FaultSpec{Name: simulator.FaultBootError}), reason: "ImagePullFailed", blocked: true, ended: "destroyed",
			note: []string{"The host cannot start the image. Another machine is tried", "failed to create shim task"},
		},
		"the image is unknown": {
			spec:   once(simulator.FaultSpec{Name: simulator.FaultBootError, Params: map[string]string{"kind": "manifest"}}),
			reason: "ImagePullFailed", ended: "destroyed", note: []string{"check spec.template.image and its registry", "manifest unknown"},
		},
		"ComfyUI runs on the CPU": {
			spec:   once(simulator.FaultSpec{Name: simulator.FaultComfy, Params: map[string]string{"fault": "cpu-device"}}),
			reason: "CpuDevice", ended: "destroyed", note: []string{"CPU", "COMFYUI_ARGS"},
		},
		"the container ends": {
			spec: simulator.FaultSpec{Name: simulator.FaultExited}, running: true, reason: "ContainerExited", ended: "destroyed",
			note: []string{"Its container ended by itself, and the rental still bills. It is replaced"},
		},
		"outbid": {
			spec: simulator.FaultSpec{Name: simulator.FaultOutbid}, running: true, reason: "InstanceStopped", ended: "destroyed",
			note: []string{"Vast.ai reports it stopped: somebody stopped it, the credit ran out or the contract ended. It is replaced"},
		},
		"the host stays offline": {
			spec: simulator.FaultSpec{Name: simulator.FaultOffline}, running: true, reason: "Unresponsive", ended: "destroyed",
			note: []string{"probes in a row failed over", "It is replaced."},
		},
		"the contract vanishes": {
			spec: simulator.FaultSpec{Name: simulator.FaultVanished}, running: true, reason: "InstanceLost", ended: "vanished",
			note: []string{"has ended without Warmpool: it is absent from the account, and a lookup confirms it."},
		},
	}
}

// TestMishapsOfNewRentals lets one rental after the other never become ready.
func TestMishapsOfNewRentals(t *testing.T) { mishaps(t, false) }

// TestMishapsOfReadyRentals lets one ready rental after the other meet its end.
func TestMishapsOfReadyRentals(t *testing.T) { mishaps(t, true) }

// mishaps demands of each that the instance says why, the pool remembers it,
// the rental is ended, and another takes its place.
func mishaps(t *testing.T, running bool) {
	t.Helper()
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	wp := swiftPool(0, "0.90")
	wp.Spec.Lifecycle.ProvisioningDeadlineSeconds = 60
	w.create(wp)
	w.recovers()
	step := 0
	for name, test := range lifeFaults() {
		if test.running != running {
			continue
		}
		w.step(name, func(w *world) {
			before := w.rents()
			step++
			replicas := int32(0)
			if running {
				replicas = 1
			}
			// Another template each time: it is judged without what came before.
			w.change(func(spec *warmpool.WarmPoolSpec) {
				spec.Replicas, spec.Template.Image = new(replicas), fmt.Sprintf("vastai/comfy:step-%d", step)
			})
			if running {
				w.waitReady(1)
			}
			w.fault(test.spec)
			w.scale(1)
			w.sawEvent("WarmInstance/"+test.reason, test.note...)
			w.eventually(func(g gomega.Gomega) { g.Expect(w.rents()-before).To(gomega.Equal(2), "another is rented") })
			w.waitReady(1)
			w.checkMishap(before, &test)
			w.scaleToNothing()
		})
	}
	w.finish(900_000)
}

// checkMishap looks at what is remembered of a rental that met its end.
func (w *world) checkMishap(record int, test *lifeFault) {
	w.Helper()
	doomed := w.vast.Meter().Records[record]
	w.Expect(doomed.EndReason).To(gomega.Equal(test.ended))
	if test.ended == "vanished" {
		return // the object may go before the pool has looked at it
	}
	w.eventually(func(g gomega.Gomega) {
		recent := w.get().Status.Failures.Recent
		g.Expect(recent).NotTo(gomega.BeEmpty())
		g.Expect(recent[0].Reason).To(gomega.Equal(test.reason))
		g.Expect(recent[0].MachineID).To(gomega.Equal(doomed.MachineID))
		if test.blocked {
			g.Expect(w.blocked(doomed.MachineID)).To(gomega.BeTrue(), "machine %d is avoided", doomed.MachineID)
		}
	})
}

// blocked is true while the account avoids a machine.
func (w *world) blocked(machine int64) bool {
	for _, blocked := range w.vastAccount().Status.BlockedMachines {
		if blocked.MachineID == machine {
			return true
		}
	}
	return false
}

// TestSameFaultOnTwoMachinesIsTheTemplates gives every machine the same fault:
// after two the pool stops buying and says what to mend, and a new template is
// tried at once.
func TestSameFaultOnTwoMachinesIsTheTemplates(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	lift := w.fault(simulator.FaultSpec{Name: simulator.FaultBootError, Params: map[string]string{"kind": "manifest"}})
	wp := swiftPool(2, "0.90")
	wp.Spec.Remediation.Backoff.MaxSeconds = 3600
	w.create(wp)
	w.sees(thePool, warmpool.ConditionFullyProvisioned, "False/TemplateFailing", "ImagePullFailed on machines ", "a fault of the template", "mend spec.template")
	w.sees(thePool, warmpool.ConditionStalled, "True/TemplateFailing")
	w.sawEvent("WarmPool/TemplateFailing", "buying more would not help")
	w.eventually(func(g gomega.Gomega) { g.Expect(w.alive()).To(gomega.BeEmpty()) })
	w.quiet(3 * time.Minute)
	lift()
	w.change(func(spec *warmpool.WarmPoolSpec) { spec.Template.Image = "vastai/comfy:another" })
	w.waitReady(2)
	w.finish(900_000)
}

// TestHostThatComesBackIsKept cuts a host off for a while; when it comes back,
// the instance is ready again without having been replaced.
func TestHostThatComesBackIsKept(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.create(swiftPool(1, "0.90"))
	w.waitReady(1)
	before, alive := w.instances()[0], w.alive()
	w.fault(simulator.FaultSpec{Name: simulator.FaultOffline})
	w.sees(anyInstance, warmpool.ConditionReady, "False/HostOffline", "It may come back; until then nothing is sent to it.")
	w.sees(anyInstance, warmpool.ConditionRunning, "False/HostOffline", "Vast.ai reports offline.")
	w.sees(thePool, warmpool.ConditionReady, "False/InstancesUnhealthy", "0 of 1 ready, 1 unhealthy", "HostOffline")
	w.sawEvent("WarmInstance/HostOffline", "Vast.ai reports the host offline")
	w.fault(simulator.FaultSpec{Name: simulator.FaultOffline, Params: map[string]string{"back": "true"}})
	w.waitReady(1)
	after := w.instances()[0]
	w.Expect(after.UID).To(gomega.Equal(before.UID))
	w.Expect(w.alive()).To(gomega.Equal(alive))
	w.finish(900_000)
}

// TestFlickeringStatusIsNotBelieved shows another status than the truth: as
// long as ComfyUI answers, the instance stays ready.
func TestFlickeringStatusIsNotBelieved(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.create(swiftPool(1, "0.90"))
	w.waitReady(1)
	for _, shown := range []string{"exited", "offline", ""} {
		w.step("shows "+strconv.Quote(shown), func(w *world) {
			lift := w.fault(simulator.FaultSpec{Name: simulator.FaultStatusFlicker, Params: map[string]string{"status": shown, "probability": "1"}})
			w.sees(anyInstance, warmpool.ConditionRunning, "True/Running", "ComfyUI answers, whatever Vast.ai reports.")
			w.quiet(90 * time.Second)
			lift()
			w.sees(anyInstance, warmpool.ConditionRunning, "True/Running", "Vast.ai reports a running container.")
			w.sees(anyInstance, warmpool.ConditionReady, "True/Ready")
		})
	}
	lift := w.fault(simulator.FaultSpec{Name: simulator.FaultStatusFlicker})
	w.quiet(2 * time.Minute)
	lift()
	w.sees(thePool, warmpool.ConditionReady, "True/AsDesired")
	w.Expect(w.rents()).To(gomega.Equal(1))
	w.finish(900_000)
}

// TestBlanksInAnAddressAreCutOff gives a rental an address with blanks and a
// line end: it is ready all the same, and the status shows a clean address.
func TestBlanksInAnAddressAreCutOff(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.fault(simulator.FaultSpec{Name: simulator.FaultBadAddress})
	w.create(swiftPool(1, "0.90"))
	w.waitReady(1)
	for _, endpoint := range w.instances()[0].Status.Endpoints {
		w.Expect(endpoint.URL).To(gomega.MatchRegexp(`^(https://)?127\.0\.0\.1:[0-9]+$`))
	}
	w.Expect(w.rents()).To(gomega.Equal(1))
	w.finish(900_000)
}

// TestChangedLabelLosesNothing lets somebody rename the rentals: they are known
// by their numbers, so the pool stays as it is and ends them in the end. The label
// is put back, once; whoever changes it again means it.
func TestChangedLabelLosesNothing(t *testing.T) {
	w := newVastWorld(t, nil)
	w.create(swiftAccount()...)
	w.create(swiftPool(2, "0.90"))
	w.waitReady(2)
	w.relabels = true
	rename := simulator.FaultSpec{Name: simulator.FaultLabelChanged, Params: map[string]string{"label": "mine"}}
	w.fault(rename)
	w.sawEvent("WarmInstance/LabelChanged", `to "mine"`, "the label is put back, once")
	w.sees(anyInstance, warmpool.ConditionLabelIntact, "True/LabelIntact")
	w.eventually(func(g gomega.Gomega) {
		for _, conditions := range w.conditionsOf(anyInstance) {
			intact, _ := condition(conditions, warmpool.ConditionLabelIntact)
			g.Expect(intact).To(gomega.Equal("True/LabelIntact"))
		}
	})
	w.fault(rename)
	w.sees(anyInstance, warmpool.ConditionLabelIntact, "False/LabelContested", "somebody means it")
	w.quiet(90 * time.Second)
	w.Expect(w.vast.Requests()[string(simulator.EndpointUpdate)][http.StatusOK]).To(gomega.Equal(2), "each label is put back once")
	w.sees(thePool, warmpool.ConditionReady, "True/AsDesired", "2 of 2 ready")
	w.sees(theAccount, warmpool.ConditionNoLeaks, "True/AsExpected")
	w.Expect(w.vastAccount().Status.Instances).To(gomega.Equal(warmpool.AccountInstances{Ours: 2}), "they are still ours")
	w.finish(900_000)
}
