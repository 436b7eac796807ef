package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"k8s.io/apimachinery/pkg/util/uuid"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// act is something that is done to the stage.
type act func(ctx context.Context, s *stage) error

// raising is what raises one alert.
type raising struct {
	alert string
	// how says it in a few words.
	how string
	// do is nil when what was done before is enough.
	do act
}

// scene raises alerts one after the other, takes back what it did, and waits until
// all of them have ended.
type scene struct {
	raise []raising
	// mend is nil when the alert ends by itself.
	mend act
	// clear is done when the alerts have ended; nil is nothing.
	clear act
}

// scenes are played group by group; those of a group do not disturb each other and
// are played at the same time.
func scenes() [][]scene {
	return [][]scene{
		{templateFails(), keysAreGuessed(), ledgerIsCorrected(), nobodyLeads()},
		{rentalLeaks(), strangersRent(), endingIsIgnored()},
		{answerIsLost(), pricesRise()},
		{listFails(), creditRunsOut()},
		{keyIsRevoked()},
		{managerIsStopped()},
	}
}

// settled waits until the pool is as desired again.
func settled(ctx context.Context, s *stage) error { return s.becomesReady(ctx) }

// templateFails gives every new ComfyUI a fault that no machine is to blame for,
// and makes a second pool, which meets it twice.
func templateFails() scene {
	const name = "broken"
	broken := fault{spec: simulator.FaultSpec{Name: simulator.FaultComfy, Params: map[string]string{"fault": "cpu-device"}}}
	return scene{
		raise: []raising{{"WarmpoolTemplateFailing", "fault comfy=cpu-device, a second pool", func(ctx context.Context, s *stage) error {
			return errors.Join(broken.set(ctx, s), s.addPool(ctx, name, func(spec *warmpool.WarmPoolSpec) {
				spec.Remediation.Backoff.InitialSeconds = 2
			}))
		}}},
		mend: func(ctx context.Context, s *stage) error {
			return errors.Join(broken.remove(ctx, s), s.changePool(ctx, name, func(spec *warmpool.WarmPoolSpec) {
				spec.Template.Env = append(spec.Template.Env, warmpool.EnvVar{Name: "MENDED", Value: new("yes")})
			}))
		},
		clear: func(ctx context.Context, s *stage) error { return s.removePool(ctx, name) },
	}
}

// keysAreGuessed sends wrong keys to the sidecar.
func keysAreGuessed() scene {
	const guesses = 30
	return scene{raise: []raising{{"WarmpoolSidecarAuthenticationFailures", "30 requests with a wrong key", func(ctx context.Context, s *stage) error {
		for range guesses {
			if err := s.guessKey(ctx); err != nil {
				return err
			}
		}
		return nil
	}}}}
}

// ledgerIsCorrected writes the result of a daily comparison into the account's
// status: a real one comes at noon UTC.
func ledgerIsCorrected() scene {
	correct := func(amount warmpool.SignedUSD) act {
		return func(ctx context.Context, s *stage) error { return s.writeCorrection(ctx, amount) }
	}
	return scene{
		raise: []raising{{"WarmpoolLedgerCorrectionLarge", "a correction of $5.00, written into the status", correct("5.00")}},
		mend:  correct("0.00"),
	}
}

// nobodyLeads starts a second manager, for a namespace that is not there, whose
// lease somebody else holds.
func nobodyLeads() scene {
	second := &follower{}
	return scene{
		raise: []raising{{"WarmpoolNoLeader", "a manager whose lease somebody else holds", second.start}},
		mend:  second.lead,
		clear: second.stop,
	}
}

// rentalLeaks makes a rental with a label of ours that nothing records.
func rentalLeaks() scene {
	var rental int64
	return scene{
		raise: []raising{{"WarmpoolSuspectedLeak", "a rental with our label, past the operator", func(ctx context.Context, s *stage) error {
			account, err := s.account(ctx)
			if err != nil {
				return err
			}
			offers, err := s.offers(ctx)
			if err != nil {
				return err
			}
			label := fmt.Sprintf("wp1.%s.%s.1", account.Status.InstallationID, uuid.NewUUID())
			rental, err = s.rentAside(ctx, offers[0], label)
			return err
		}}},
		mend: func(ctx context.Context, s *stage) error { return s.endAside(ctx, rental) },
	}
}

// strangersRent rents so much by hand that the account's ceiling is reached.
func strangersRent() scene {
	var rentals []int64
	return scene{
		raise: []raising{
			{"WarmpoolAccountCeilingNear", "rentals by hand", func(ctx context.Context, s *stage) error {
				offers, err := s.offers(ctx)
				if err != nil {
					return err
				}
				for total, k := 0.0, len(offers)-1; total < accountCeiling && k > 0; k-- {
					rental, err := s.rentAside(ctx, offers[k], "by-hand")
					if err != nil {
						return err
					}
					rentals, total = append(rentals, rental), total+offers[k].Price
				}
				return nil
			}},
			{"WarmpoolAccountCeilingReached", "the same", nil},
		},
		mend: func(ctx context.Context, s *stage) (err error) {
			for _, rental := range rentals {
				err = errors.Join(err, s.endAside(ctx, rental))
			}
			return err
		},
	}
}

// creditRunsOut leaves credit for a little more than an hour.
func creditRunsOut() scene {
	const hours = 1.2
	return scene{
		raise: []raising{{"WarmpoolBalanceRunwayShort", "fault credit: enough for 1.2 hours", func(ctx context.Context, s *stage) error {
			account, err := s.account(ctx)
			if err != nil {
				return err
			}
			left := usd(dollars(string(account.Status.CommittedUSDPerHour)) * hours)
			return setCredit(left.String())(ctx, s)
		}}},
		mend: setCredit("1000"),
	}
}

func setCredit(amount string) act {
	return func(ctx context.Context, s *stage) error {
		credit := fault{spec: simulator.FaultSpec{Name: simulator.FaultCredit, Count: 1, Params: map[string]string{"usd": amount}}}
		return credit.set(ctx, s)
	}
}

// endingIsIgnored lets destroys answer success and do nothing.
func endingIsIgnored() scene {
	ignored := fault{spec: simulator.FaultSpec{Name: simulator.FaultDestroyIgnored}}
	return scene{
		raise: []raising{{"WarmpoolTerminationStuck", "fault destroy-ignored, one instance fewer", func(ctx context.Context, s *stage) error {
			return errors.Join(ignored.set(ctx, s), s.scale(ctx, 1))
		}}},
		mend: ignored.remove,
		clear: func(ctx context.Context, s *stage) error {
			return errors.Join(s.scale(ctx, replicas), settled(ctx, s))
		},
	}
}

// pricesRise lets hosts raise their prices: first close to the ceiling, then past
// it, so that an instance is ended and the pool is short.
func pricesRise() scene {
	const nearly = 0.7
	return scene{
		raise: []raising{
			{"WarmpoolPoolCeilingNear", "fault price-raise=1.2", func(ctx context.Context, s *stage) error {
				var pool warmpool.WarmPool
				if err := s.cluster.Get(ctx, s.key(poolName), &pool); err != nil {
					return err
				}
				ceiling := usd(dollars(string(pool.Status.Cost.CommittedUSDPerHour)) / nearly)
				if err := s.changePool(ctx, poolName, func(spec *warmpool.WarmPoolSpec) {
					spec.Cost.CeilingUSDPerHour = warmpool.USD(ceiling.String())
				}); err != nil {
					return err
				}
				return raisePrices("1.2")(ctx, s)
			}},
			{"WarmpoolPoolCeilingReached", "fault price-raise=1.4", raisePrices("1.4")},
			{"WarmpoolPoolBelowMinimum", "the same: one instance is ended for it", nil},
		},
		mend: func(ctx context.Context, s *stage) error {
			return s.changePool(ctx, poolName, func(spec *warmpool.WarmPoolSpec) { spec.Cost.CeilingUSDPerHour = ceiling })
		},
		clear: settled,
	}
}

func raisePrices(factor string) act {
	return func(ctx context.Context, s *stage) error {
		raised := fault{spec: simulator.FaultSpec{Name: simulator.FaultPriceRaise, Count: replicas, Params: map[string]string{"factor": factor}}}
		return raised.set(ctx, s)
	}
}

// answerIsLost closes the connection on the rent of a second pool, which was not
// carried out. The alert ends when trusted lists have not shown a rental of it for
// two minutes, three minutes after the rent.
func answerIsLost() scene {
	const name = "lost"
	lost := fault{spec: simulator.FaultSpec{Name: simulator.FaultHangUp, Count: 1, Match: simulator.Match{Endpoint: simulator.EndpointCreate}}}
	return scene{
		raise: []raising{{"WarmpoolRentUnknown", "fault hang-up of a rent, a second pool", func(ctx context.Context, s *stage) error {
			return errors.Join(lost.set(ctx, s), s.addPool(ctx, name, func(spec *warmpool.WarmPoolSpec) { spec.MinReadyReplicas = new(int32(0)) }))
		}}},
		clear: func(ctx context.Context, s *stage) error { return s.removePool(ctx, name) },
	}
}

// listFails lets the list of instances fail.
func listFails() scene {
	broken := fault{spec: simulator.FaultSpec{
		Name: simulator.FaultHTTPError, Params: map[string]string{"status": "503"}, Match: simulator.Match{Endpoint: simulator.EndpointList},
	}}
	return scene{
		raise: []raising{
			{"WarmpoolSweepUntrusted", "fault http-error=503 of the list", broken.set},
			{"WarmpoolSweepStale", "the same, for longer", nil},
		},
		mend:  broken.remove,
		clear: settled,
	}
}

// keyIsRevoked revokes the API key and makes it good again.
func keyIsRevoked() scene {
	return scene{
		raise: []raising{{"WarmpoolCredentialsRefused", "the key is revoked", changeKey("revoke")}},
		mend:  changeKey("add"),
		clear: settled,
	}
}

// managerIsStopped stops the manager as a machine that hangs does.
func managerIsStopped() scene {
	return scene{
		raise: []raising{{"WarmpoolManagerAbsent", "SIGSTOP of the manager", signalManager(syscall.SIGSTOP)}},
		mend:  signalManager(syscall.SIGCONT),
		clear: settled,
	}
}
