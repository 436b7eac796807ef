package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// ensurePrograms builds what is not there. "make run" has built everything
// before; this serves those who start the program by themselves.
func ensurePrograms(ctx context.Context, place *layout, out *console) error {
	if missing := place.missing(); len(missing) > 0 {
		if place.assets != filepath.Join(place.root, "bin", "k8s") {
			return fmt.Errorf("%s=%s has no %s: unset it, and they are built", assetsVariable, place.assets, strings.Join(missing, ", "))
		}
		out.say("Building %s from source. This takes about 8 minutes on two cores, once; later runs take seconds.", strings.Join(missing, ", "))
		script := filepath.Join(place.root, "hack", "controlplane", "build.sh")
		if err := build(ctx, out, place.root, script, append([]string{place.assets}, missing...)...); err != nil {
			return err
		}
	}
	if isBuiltBeside(place.binaries) {
		return nil
	}
	return build(ctx, out, place.root, "go", "build", "-o", place.binaries+string(filepath.Separator), "./cmd/manager", "./cmd/sidecar", "./cmd/vastsim")
}

// isBuiltBeside is true when this program and those that it starts came out of
// one build, as with "make run".
func isBuiltBeside(binaries string) bool {
	own, err := os.Executable()
	if err != nil || filepath.Dir(own) != binaries {
		return false
	}
	for _, name := range []string{"manager", "sidecar", "vastsim"} {
		if _, err := os.Stat(filepath.Join(binaries, name)); err != nil {
			return false
		}
	}
	return true
}

// build runs a program that builds, shows what it says, and says every half
// minute that it still works, for those who see nothing else.
func build(ctx context.Context, out *console, directory, program string, arguments ...string) error {
	const period = 30 * time.Second
	started := time.Now()
	command := exec.CommandContext(ctx, program, arguments...) //nolint:gosec // scripts and the go command of this repository
	command.Dir, command.Stdout, command.Stderr = directory, os.Stderr, os.Stderr
	if err := command.Start(); err != nil {
		return fmt.Errorf("building with %s: %w", filepath.Base(program), err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			if ctx.Err() != nil {
				return fmt.Errorf("building: interrupted after %s; what is compiled is kept", seconds(time.Since(started)))
			}
			if err != nil {
				return fmt.Errorf("building with %s: %w", filepath.Base(program), err)
			}
			return nil
		case <-ticker.C:
			out.say("  still building, %s", seconds(time.Since(started)))
		}
	}
}
