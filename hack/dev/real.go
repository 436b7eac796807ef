package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/warmpool-dev/warmpool/internal/localplane"
	"github.com/warmpool-dev/warmpool/internal/options"
)

// confirmation asks a person.
type confirmation struct {
	console *console
	answers io.Reader
}

var errNotConfirmed = errors.New("nothing was rented: answer yes to the question, or give --yes when nobody can be asked")

// admitReal makes sure that a run with --real has a key and is meant.
func admitReal(settled *settings, place *layout, secrets dotEnv, ask confirmation) error {
	if secrets.key(os.LookupEnv) == "" {
		return fmt.Errorf("--real needs a key: put %s=... into %s (see .env.example), or into the environment", keyVariable, place.shown(place.root+"/.env"))
	}
	account, pool, err := samples(place.root)
	if err != nil {
		return err
	}
	ceiling := string(pool.Spec.Cost.CeilingUSDPerHour)
	if settled.ceiling != "" {
		ceiling = settled.ceiling
	}
	ask.console.say("This rents real machines on %s with your key and costs money:", options.DefaultVastBaseURL)
	ask.console.say("  %d instances for the pool %s, together at most $%s per hour;", settled.replicas, pool.Name, ceiling)
	ask.console.say("  with everything else in the account at most $%s per hour.", account.Spec.CeilingUSDPerHour)
	ask.console.say("Ctrl-C destroys them and waits until Vast.ai confirms that they are gone.")
	if settled.yes {
		return nil
	}
	ask.console.say("Type yes to go on:")
	answer, err := bufio.NewReader(ask.answers).ReadString('\n')
	if strings.TrimSpace(answer) != "yes" {
		return errors.Join(errNotConfirmed, ignoreEOF(err))
	}
	return nil
}

// ignoreEOF keeps errors of reading that a person can mend.
func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// realCredentials are what the account's Secret holds: the filled lines of
// .env, as "kubectl create secret --from-env-file" would take them.
func realCredentials(secrets dotEnv, lookup func(string) (string, bool)) dotEnv {
	credentials := maps.Clone(secrets)
	if credentials == nil {
		credentials = dotEnv{}
	}
	maps.DeleteFunc(credentials, func(_, value string) bool { return value == "" })
	credentials[keyVariable] = secrets.key(lookup)
	return credentials
}

// endRentals deletes the pools and waits until every rental is confirmed gone,
// or until a person insists on leaving.
func (s *stack) endRentals(stop *stopper) error {
	ctx := stop.insisted()
	s.out.say("Deleting the pools. Waiting until Vast.ai confirms that every rental is gone; this takes about a minute.")
	const pause = 2 * time.Second
	for {
		err := s.cluster.deletePools(ctx)
		if err == nil || ctx.Err() != nil {
			break
		}
		s.out.say("%v; trying again", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	err := s.show(ctx, func(shown *snapshot) bool { return len(shown.pools) == 0 && len(shown.instances) == 0 })
	s.out.leave()
	if err == nil && ctx.Err() == nil {
		s.keepState = false
		s.out.say("Every rental is confirmed gone.")
		return nil
	}
	return errors.Join(err, s.stillBilling())
}

// stillBilling says what a person has to end, and how.
func (s *stack) stillBilling() error {
	ctx, cancel := context.WithTimeout(context.Background(), localplane.StopTimeout)
	defer cancel()
	shown, err := s.gather(ctx, time.Now())
	if err != nil {
		return errors.Join(err, fmt.Errorf("rentals may still bill: look at %s/instances/ and destroy those whose label begins with %s", options.DefaultVastBaseURL, labelPrefix))
	}
	var text strings.Builder
	for k := range shown.instances {
		instance := &shown.instances[k]
		if instance.rental == 0 {
			fmt.Fprintf(&text, "\n  instance %s: the outcome of its rent is not known (%s); look for its label", instance.name, dash(instance.reason))
			continue
		}
		fmt.Fprintf(&text, "\n  rental %d (%s, $%s per hour): vastai destroy instance %d", instance.rental, instance.gpu, cents(instance.price), instance.rental)
	}
	return fmt.Errorf("these rentals are not confirmed gone and may still bill:%s\nEnd them so, or at %s/instances/, "+
		"or start make run ARGS=--real again and let it end them: it remembers them", text.String(), options.DefaultVastBaseURL)
}
