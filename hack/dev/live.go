package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// period is the time between two looks at the cluster.
const period = 500 * time.Millisecond

// runLive starts everything and shows it until somebody ends it or a program
// that it needs is gone.
func runLive(stop *stopper, s *stack) error {
	err := s.start(stop.asked())
	if err == nil {
		s.welcome()
		err = s.show(stop.asked(), nil)
		s.out.leave()
		switch {
		case s.options.real && err != nil:
			// What would end the rentals is gone.
			err = errors.Join(err, s.stillBilling())
		case s.options.real:
			err = s.endRentals(stop)
		}
	}
	interrupted := stop.asked().Err() != nil
	if interrupted && errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, s.finish(stop))
}

// finish stops everything and says what the meter counted.
func (s *stack) finish(stop *stopper) error {
	s.out.leave()
	s.out.say("Stopping: the sidecar, the manager, the API server, etcd%s.", map[bool]string{true: "", false: ", the simulator"}[s.options.real])
	counted, err := s.stop(stop.insisted())
	if counted != nil {
		s.out.say("%s", epilogue(counted))
	}
	if err == nil && !s.keepState {
		s.out.say("Nothing is left running. The logs are in %s.", s.place.shown(s.place.run))
	}
	return err
}

// epilogue says what the meter counted in the whole run.
func epilogue(counted *witness) string {
	row := witnessRowOf(counted)
	live := "none live"
	if row.live > 0 {
		live = fmt.Sprintf("%d live, which ends with the simulator", row.live)
	}
	return fmt.Sprintf("The simulator's meter: %d rentals, %s; cost $%s; at most $%s per hour at a time; %d labels rented twice.",
		row.rentals, live, row.cost.Cents(), row.peak.Cents(), row.rentedTwice)
}

// show draws the picture, or writes what changed, until ctx ends, a program is
// gone, or isOver says so.
func (s *stack) show(ctx context.Context, isOver func(*snapshot) bool) error {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	var last *snapshot
	for {
		shown, err := s.gather(ctx, time.Now())
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && last != nil:
			kept := *last
			kept.problem, kept.elapsed = err.Error(), shown.elapsed
			shown = &kept
		case err != nil:
			shown.problem = err.Error()
		}
		s.display(last, shown)
		if err == nil && isOver != nil && isOver(shown) {
			return nil
		}
		last = shown
		select {
		case <-ctx.Done():
			return nil
		case failure := <-s.failed:
			return failure
		case <-ticker.C:
		}
	}
}

func (s *stack) display(last, shown *snapshot) {
	if s.out.live {
		s.out.draw(func(width, height int) string { return render(shown, s.out.paint, width, height) })
		return
	}
	for _, line := range changes(last, shown) {
		s.out.say("%s", line)
	}
}

// welcome prints what to try in another shell.
func (s *stack) welcome() {
	paint := s.out.paint
	say := func(command, meaning string) {
		const column = 60
		padding := strings.Repeat(" ", max(0, column-len(command)))
		s.out.say("%s", strings.TrimRight("  "+paint.apply(command, heading)+padding+"  "+paint.apply(meaning, faint), " "))
	}
	s.out.say("\nUp after %s. Ctrl-C ends everything. In another shell:\n", seconds(time.Since(s.started)))
	say("export KUBECONFIG="+s.place.kubeconfig(), "")
	if path, built := s.place.kubectl(); built {
		say("export PATH="+filepath.Dir(path)+":$PATH", "the kubectl that was built")
	}
	say("kubectl get wp,wi,va", "pools, instances, the account")
	say("kubectl describe wp sdxl", "what happened, and why")
	say(s.place.shown(filepath.Join(s.place.root, "bin", "kubectl-warmpool"))+" why sdxl", "why it is not at its size; --help has more")
	say("kubectl scale wp/sdxl --replicas=4", "two more, if the ceiling affords them")
	say("kubectl delete wp sdxl", "returns when nothing bills any more")
	if s.sim != nil {
		say(fmt.Sprintf("kill -9 %d", s.operator.child().PID), "the manager; it starts again and goes on")
		say(fmt.Sprintf(`curl %s/faults -d '{"name":"offline"}'`, s.sim.AdminURL), "every host is cut off; GET lists the faults")
		say("curl "+s.sim.AdminURL+"/meter", "what was rented and what it cost")
	}
	if s.sidecar != nil {
		say(`export ADMIN_API_KEY=$(kubectl get secret warmpool-credentials -o jsonpath='{.data.ADMIN_API_KEY}' | base64 -d)`, "")
		say(`curl -H "x-admin-key: $ADMIN_API_KEY" `+s.sidecar.URL+"/api/proxy/admin/warm-pool", "the legacy HTTP API")
		say("echo $ADMIN_API_KEY", "sign in with it at "+s.sidecar.URL+"/admin/warm-pool, the admin page")
	}
	say("tail -f "+s.place.shown(s.place.log("manager")), "the manager's log")
	say("curl "+s.operator.metricsURL(), "its metrics")
	say("cat "+s.place.shown(s.place.targets()), "the targets of a Prometheus beside it (file_sd_configs)")
	s.out.say("")
}
