package integration

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator"
	"github.com/warmpool-dev/warmpool/internal/simulator/comfysim"
)

// comfyCase is one fault of a ComfyUI, what a person sees of it, and what the
// operator does about it.
type comfyCase struct {
	// fault and params are of comfysim's registry.
	fault  string
	params map[string]string
	// serving faults come once the instance is Ready; others are there from the start.
	serving bool
	// twin: the second machine has it as well.
	twin bool
	// passes: it ends as soon as everything in sees was seen.
	passes bool
	// held: provisioning is held up until everything in sees was seen, and for a while longer.
	held bool
	// edit changes the pool.
	edit func(*warmpool.WarmPoolSpec)
	// sees are answers of conditions that must show, in any order.
	sees []comfySight
	// gives is the reason of the failure, says a part of its message; empty when
	// the instance is kept.
	gives, says string
	// logs is a part of the log that is kept with the failure.
	logs string
	// host: the machine is to blame and is avoided.
	host bool
}

// readySays is an answer of the instance's condition Ready.
func readySays(answer, part string) comfySight {
	return comfySight{"WarmInstance", "", warmpool.ConditionReady, answer, part}
}

// startedSays is an answer of the instance's condition Started.
func startedSays(answer, part string) comfySight {
	return comfySight{"WarmInstance", "", warmpool.ConditionStarted, answer, part}
}

// poolSays is an answer of a condition of the pool.
func poolSays(condition, answer, part string) comfySight {
	return comfySight{"WarmPool", "", condition, answer, part}
}

// comfyTables are all cases, by the test that runs them.
func comfyTables() map[string]map[string]comfyCase {
	return map[string]map[string]comfyCase{
		"host": comfyHostFaults(), "template": comfyTemplateFaults(), "harmless": comfyHarmlessFaults(),
		"serving": comfyServingFaults(), "serving network": comfyServingNetworkFaults(), "slow boot": comfySlowBootFaults(),
	}
}

// TestEveryComfyFaultIsInATable fails when comfysim learns a fault whose effect
// on people is not written down here.
func TestEveryComfyFaultIsInATable(t *testing.T) {
	t.Parallel()
	covered := map[string]bool{}
	for _, table := range comfyTables() {
		for _, test := range table {
			covered[test.fault] = true
		}
	}
	for _, fault := range comfysim.Registry() {
		if !covered[fault.Name] {
			t.Errorf("fault %q of comfysim is in no table", fault.Name)
		}
		delete(covered, fault.Name)
	}
	for name := range covered {
		t.Errorf("a table names fault %q, which comfysim does not have", name)
	}
}

// TestComfyFaultsOfTheHost: the instance is given up, its machine is avoided,
// and another machine serves.
func TestComfyFaultsOfTheHost(t *testing.T) { comfyRun(t, comfyHostFaults(), nil) }

// TestComfyFaultsOfTheTemplate: the instance is given up; on one machine it is
// drawn again, and on two nothing more is bought.
func TestComfyFaultsOfTheTemplate(t *testing.T) { comfyRun(t, comfyTemplateFaults(), nil) }

// TestComfyFaultsThatDoNoHarm: the operator waits, or does not care.
func TestComfyFaultsThatDoNoHarm(t *testing.T) { comfyRun(t, comfyHarmlessFaults(), nil) }

// TestComfyFaultsWhileServing break an instance that was Ready.
func TestComfyFaultsWhileServing(t *testing.T) { comfyRun(t, comfyServingFaults(), nil) }

// TestComfyNetworkFaultsWhileServing break the way to an instance that was Ready.
func TestComfyNetworkFaultsWhileServing(t *testing.T) { comfyRun(t, comfyServingNetworkFaults(), nil) }

// TestComfyFaultsOfASlowBoot need a ComfyUI that takes long to start, so that
// the portal can be seen.
func TestComfyFaultsOfASlowBoot(t *testing.T) {
	comfyRun(t, comfySlowBootFaults(), func(backend *simulator.ComfyBackend) { backend.Timings.ComfyStart = 120 * time.Second })
}

// comfyRun runs all cases of a table side by side, each in a pool of its own.
func comfyRun(t *testing.T, cases map[string]comfyCase, change func(*simulator.ComfyBackend)) {
	t.Helper()
	w := newComfyWorld(t, slices.Collect(maps.Keys(cases)), change)
	w.comfyCases(cases)
	if !t.Failed() {
		w.finish()
	}
}

// comfyCases makes the pools, sets the faults and checks every case.
func (w *comfyWorld) comfyCases(cases map[string]comfyCase) {
	w.Helper()
	for _, name := range w.order {
		test := cases[name]
		for n := range 2 {
			if !test.serving && !test.held && (n == 0 || test.twin) {
				w.breakMachine(w.machine(name, n), test.fault, test.params)
			}
		}
		if test.held {
			w.breakMachine(w.machine(name, 0), comfysim.FaultProvisioningStall, nil)
		}
		w.newPool(name, test.edit)
	}
	for _, name := range w.order {
		if cases[name].twin {
			w.takeAway(name) // soon, before anything is rented a second time
		}
	}
	for _, name := range w.order {
		switch test := cases[name]; {
		case test.held:
			w.hold(name, test)
		case test.serving:
			rental := w.ready(name, 1)[0].Status.Rental.ID
			w.setFault(rental, test.fault, test.params)
			if test.passes {
				w.saw(name, test.sees...)
				w.clearFault(rental, test.fault)
			}
		}
	}
	for _, name := range w.order {
		w.step(name, func(w *comfyWorld) { w.expect(name, cases[name]) })
	}
}

// hold sets a fault of the boot while the boot does not end, and then lets it end.
func (w *comfyWorld) hold(name string, test comfyCase) {
	w.Helper()
	w.eventually(func(g gomega.Gomega) { g.Expect(w.rentals(name)).NotTo(gomega.BeEmpty()) })
	rental := w.rentals(name)[0].ID
	w.setFault(rental, test.fault, test.params)
	w.saw(name, test.sees...)
	w.comfyLasting(40*time.Second, func(g gomega.Gomega) {
		g.Expect(w.diary.saw(comfySight{"WarmInstance", name, warmpool.ConditionReady, "False/UnexpectedService", ""})).To(gomega.BeFalse())
	})
	w.clearFault(rental, comfysim.FaultProvisioningStall)
}

// breakMachine gives the fault to the first ComfyUI that is rented on a machine.
func (w *comfyWorld) breakMachine(machine int64, name string, params map[string]string) {
	w.Helper()
	params = maps.Clone(params)
	if params == nil {
		params = map[string]string{}
	}
	params["fault"] = name
	if _, err := w.vast.AddFault(simulator.FaultSpec{
		Name: simulator.FaultComfy, Params: params, Count: 1, Match: simulator.Match{Machine: machine},
	}); err != nil {
		w.Fatal(err)
	}
}

// expect checks what one case promises.
func (w *comfyWorld) expect(name string, test comfyCase) {
	w.Helper()
	w.saw(name, test.sees...)
	switch {
	case test.gives == "":
		w.expectKept(name)
	case test.twin:
		w.expectTemplateFailing(name, test)
	default:
		w.expectReplaced(name, test)
	}
}

// saw waits until all of these were seen of a pool.
func (w *comfyWorld) saw(pool string, sights ...comfySight) {
	w.Helper()
	for _, sight := range sights {
		sight.pool = pool
		w.eventually(func(g gomega.Gomega) {
			g.Expect(w.diary.saw(sight)).To(gomega.BeTrue(), "%s %s=%s: … %s … is not among\n%s",
				sight.kind, sight.condition, sight.answer, sight.message, strings.Join(w.diary.lines(pool), "\n"))
		})
	}
}

// expectKept: the rental that was made first becomes Ready, and it proves again
// that it renders after the fault.
func (w *comfyWorld) expectKept(name string) {
	w.Helper()
	proof := w.clock.Now().Add(30 * time.Second)
	w.eventually(func(g gomega.Gomega) {
		live := w.instancesOf(name)
		g.Expect(live).To(gomega.HaveLen(1))
		answer, message := condition(live[0].Status.Conditions, warmpool.ConditionReady)
		g.Expect(answer).To(gomega.Equal("True/Ready"), message)
		g.Expect(live[0].Status.LastProofTime).NotTo(gomega.BeNil())
		g.Expect(live[0].Status.LastProofTime.After(proof)).To(gomega.BeTrue(), "a proof after %s", proof)
	})
	w.Expect(w.rentals(name)).To(gomega.HaveLen(1))
	w.Expect(w.pool(name).Status.Failures.Recent).To(gomega.BeEmpty())
	w.event(name, "WarmInstance/Ready", "Ready at $0.4")
}

// expectReplaced: the instance is given up for its reason, and another is Ready.
func (w *comfyWorld) expectReplaced(name string, test comfyCase) {
	w.Helper()
	bad := w.machine(name, 0)
	w.eventually(func(g gomega.Gomega) {
		recent := w.pool(name).Status.Failures.Recent
		g.Expect(recent).To(gomega.HaveLen(1))
		g.Expect(recent[0].Reason).To(gomega.Equal(test.gives))
		g.Expect(recent[0].Message).To(gomega.ContainSubstring(test.says))
		g.Expect(recent[0].MachineID).To(gomega.Equal(bad))
		g.Expect(recent[0].HostFault).To(gomega.Equal(test.host), "hostFault")
	})
	w.saw(name, readySays("False/"+test.gives, ""))
	w.event(name, "WarmInstance/"+test.gives, fmt.Sprintf("on machine %d: ", bad))
	w.expectBlocked(bad, test)
	w.expectLog(name, test)
	w.ready(name, 1)
	records := w.rentals(name)
	w.Expect(records).To(gomega.HaveLen(2))
	w.Expect(records[0].MachineID).To(gomega.Equal(bad))
	if test.host {
		w.Expect(records[1].MachineID).To(gomega.Equal(w.machine(name, 1)))
	}
}

// expectBlocked: the account avoids a machine that is to blame, and no other.
func (w *comfyWorld) expectBlocked(machine int64, test comfyCase) {
	w.Helper()
	w.eventually(func(g gomega.Gomega) {
		reason := ""
		for _, blocked := range w.comfyAccount().Status.BlockedMachines {
			if blocked.MachineID == machine {
				reason = blocked.Reason
			}
		}
		want := ""
		if test.host {
			want = test.gives
		}
		g.Expect(reason).To(gomega.Equal(want), "why machine %d is blocked", machine)
	})
}

// expectLog: the end of the instance's log is kept, in the instance while it
// lasts and in the pool, which hears of it after the failure itself.
func (w *comfyWorld) expectLog(name string, test comfyCase) {
	w.Helper()
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.diary.logTail(name)).To(gomega.ContainSubstring(test.logs), "status.failure.logTail of the instance")
		for _, failure := range w.pool(name).Status.Failures.Recent {
			g.Expect(failure.LogTail).To(gomega.ContainSubstring(test.logs), "status.failures.recent[].logTail of the pool")
		}
	})
}

// expectTemplateFailing: after the same fault on two machines nothing more is
// bought, and a person is told why and what to do.
func (w *comfyWorld) expectTemplateFailing(name string, test comfyCase) {
	w.Helper()
	both := fmt.Sprintf("%s on machines %d, %d: ", test.gives, w.machine(name, 0), w.machine(name, 1))
	w.saw(name,
		readySays("False/"+test.gives, ""),
		poolSays(warmpool.ConditionFullyProvisioned, "False/TemplateFailing", both),
		poolSays(warmpool.ConditionReady, "False/TemplateFailing", test.says),
		poolSays(warmpool.ConditionStalled, "True/TemplateFailing", "mend spec.template"),
	)
	w.event(name, "WarmInstance/"+test.gives, test.says)
	w.event(name, "WarmPool/TemplateFailing", both)
	w.eventually(func(g gomega.Gomega) {
		status := w.pool(name).Status
		g.Expect(status.ReadyReplicas).To(gomega.BeZero())
		g.Expect(status.Failures.Recent).To(gomega.HaveLen(2))
		g.Expect(status.Failures.NextAttemptTime.After(w.clock.Now().Add(30*time.Minute))).To(gomega.BeTrue(), "the next rent is far away")
		answer, _ := condition(status.Conditions, warmpool.ConditionFullyProvisioned)
		g.Expect(answer).To(gomega.Equal("False/TemplateFailing"))
	})
	w.expectBlocked(w.machine(name, 0), test)
	w.expectLog(name, test)
	w.Expect(w.rentals(name)).To(gomega.HaveLen(2))
}
