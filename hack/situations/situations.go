package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/planner"
	"github.com/warmpool-dev/warmpool/internal/simulator" //nolint:depguard // this program scripts simulators and ships with nothing
)

// situation is one state of a pool that people meet.
type situation struct {
	// name is the namespace, title the heading.
	name, title string
	// introduction is for somebody who was just woken up.
	introduction string
	// vast is the Vast.ai of this situation, key the API key in the Secret.
	vast simulator.Config
	key  string
	// manifest is applied first.
	manifest string
	// steps lead to the situation.
	steps []step
	// instance chooses the instance to show.
	instance func(*warmpool.WarmInstance) bool
}

// step is an act and what it leads to.
type step struct {
	do      func(ctx context.Context, s *stage, namespace string) error
	leadsTo string
	reached func(*sight) bool
}

// situations are all of them, in the order of the page.
func situations() []situation {
	return []situation{healthy(), ceiling(), noOffers(), wrongKey(), failingTemplate()}
}

func healthy() situation {
	return situation{
		name: "healthy", title: "Two ready instances",
		introduction: "All is well: `STATUS` is True, as many instances are `READY` as `DESIRED`, and `$/H` is what they cost together.\n" +
			"Nobody has to do anything; this is what the other pages should look like again when you are done.",
		vast: offersAt(4), key: goodKey,
		manifest: manifestOf(2, "1.50", ""),
		steps:    []step{isReady(2)},
		instance: isRented,
	}
}

func ceiling() situation {
	return situation{
		name: "ceiling", title: "The ceiling is reached",
		introduction: "The pool wants four instances and its ceiling pays for three; what runs is untouched, and nothing more is rented.\n" +
			"Raise `spec.cost.ceilingUSDPerHour`, or lower `spec.replicas` if three are enough; the message has the figures.",
		vast: offersAt(5), key: goodKey,
		manifest: manifestOf(4, "1.25", ""),
		steps: []step{isReady(3), {
			leadsTo: planner.ReasonCostCeilingReached,
			reached: func(s *sight) bool {
				return s.reason(warmpool.ConditionFullyProvisioned) == planner.ReasonCostCeilingReached && s.reason(warmpool.ConditionReconciling) != planner.PoolReasonProvisioning
			},
		}},
		instance: isWaiting,
	}
}

func noOffers() situation {
	return situation{
		name: "no-offers", title: "No offer matches",
		introduction: "The pool asks for something that nobody on the market has, so nothing is rented and nothing is spent.\n" +
			"The message counts the offers by the first filter that turned each away: widen the one with the largest number.",
		vast: simulator.Config{Seed: 1, Market: simulator.Market{Frozen: true}}, key: goodKey,
		manifest: manifestOf(2, "3.00", `
  offers:
    gpuNames: [RTX 4090, RTX 5090]
    minGPUMemoryMB: 30000
    minReliabilityPercent: 99
    minDownloadMbps: 2000
    geolocations:
      include: [IS, SE]`),
		steps:    []step{says(warmpool.ConditionFullyProvisioned, planner.ReasonNoMatchingOffers)},
		instance: isWaiting,
	}
}

func wrongKey() situation {
	return situation{
		name: "wrong-key", title: "The key is refused",
		introduction: "Vast.ai refuses the API key: it was mistyped, revoked or has expired. Nothing can be rented or ended until it is replaced, and what was rented before goes on billing.\n" +
			"Take a key from the Vast.ai console and run the command in the message; no restart is needed.",
		vast: offersAt(4), key: "a-key-with-a-typing-error",
		manifest: manifestOf(2, "1.50", ""),
		steps:    []step{says(warmpool.ConditionFullyProvisioned, planner.PoolReasonInvalidUserKey), somethingWaits()},
		instance: isWaiting,
	}
}

func failingTemplate() situation {
	return situation{
		name: "failing-template", title: "The template fails",
		introduction: "The template asks for a node that its image does not have. Two machines failed the same way, so machines are not the fault, and Warmpool has stopped buying.\n" +
			"Read the last lines of the log in `status.failures.recent` of the pool and mend `spec.template`; failures of the old template then no longer count.",
		vast: offersAt(6), key: goodKey,
		manifest: manifestOf(2, "1.50", `
  template:
    comfy:
      requiredNodes: [KSampler, IPAdapterAdvanced]`),
		steps: []step{{
			leadsTo: planner.PoolReasonTemplateFailing + ", with an instance that failed and is being ended",
			reached: func(s *sight) bool {
				return s.reason(warmpool.ConditionFullyProvisioned) == planner.PoolReasonTemplateFailing && slices.ContainsFunc(s.instances, hasFailed)
			},
		}},
		instance: func(i *warmpool.WarmInstance) bool { return hasFailed(*i) },
	}
}

// offersAt is a Vast.ai that sells a few machines around 40 cents an hour.
func offersAt(machines int) simulator.Config {
	market := simulator.Market{Frozen: true, Offers: []simulator.OfferSpec{}}
	const cheapest, step, firstMachine, diskGB = 385_000, 8_500, 41_001, 512.0
	for k := range machines {
		market.Offers = append(market.Offers, simulator.OfferSpec{
			MachineID: int64(firstMachine + 13*k), PriceMicros: int64(cheapest + step*k), Fields: map[string]any{"disk_space": diskGB},
		})
	}
	return simulator.Config{Seed: 7, Market: market}
}

// manifestOf is an account and a pool, with more of the pool's spec.
func manifestOf(replicas int, ceiling, more string) string {
	return strings.TrimSpace(fmt.Sprintf(`
apiVersion: warmpool.dev/v1alpha1
kind: VastAccount
metadata:
  name: %s
spec:
  ceilingUSDPerHour: "6.00"
---
apiVersion: warmpool.dev/v1alpha1
kind: WarmPool
metadata:
  name: %s
spec:
  replicas: %d
  cost:
    ceilingUSDPerHour: %q%s
`, accountName, poolName, replicas, ceiling, more)) + "\n"
}

func isReady(replicas int32) step {
	return step{leadsTo: fmt.Sprintf("%d ready instances", replicas), reached: func(s *sight) bool { return s.pool.Status.ReadyReplicas == replicas }}
}

func says(condition, reason string) step {
	return step{leadsTo: reason, reached: func(s *sight) bool { return s.reason(condition) == reason }}
}

func somethingWaits() step {
	return step{leadsTo: "an instance that waits", reached: func(s *sight) bool { return s.waits() }}
}

func hasFailed(instance warmpool.WarmInstance) bool {
	return instance.Status.Failure != nil && instance.Status.Termination != nil
}

func isRented(instance *warmpool.WarmInstance) bool { return instance.Status.Rental != nil }

func isWaiting(instance *warmpool.WarmInstance) bool { return instance.Status.Rental == nil }
