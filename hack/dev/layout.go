package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// modulePath marks the root of the repository.
	modulePath = "module github.com/warmpool-dev/warmpool"
	// assetsVariable is the variable that envtest reads, too.
	assetsVariable = "KUBEBUILDER_ASSETS"
)

// layout says where everything is.
type layout struct {
	// root of the repository.
	root string
	// binaries has the manager and the simulator; assets the control plane.
	binaries, assets string
	// run has logs and the kubeconfig; state is the working directory of the
	// control plane, and is removed at the end.
	run, state string
}

// findLayout finds the repository above the working directory. A run with
// --once has a directory of its own, so that it can pass beside a run that a
// person watches.
func findLayout(options *settings) (*layout, error) {
	root, err := repositoryRoot()
	if err != nil {
		return nil, err
	}
	place := &layout{root: root, binaries: filepath.Join(root, "bin"), assets: filepath.Join(root, "bin", "k8s"), run: filepath.Join(root, ".run")}
	if override := os.Getenv(assetsVariable); override != "" {
		place.assets = override
	}
	if options.once {
		place.run = filepath.Join(place.run, "once")
	}
	if options.directory != "" {
		if place.run, err = filepath.Abs(options.directory); err != nil {
			return nil, fmt.Errorf("finding --directory: %w", err)
		}
	}
	place.state = filepath.Join(place.run, "state")
	if options.real {
		place.state = filepath.Join(place.run, "real")
	}
	if err := os.MkdirAll(place.run, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the run: %w", err)
	}
	return place, nil
}

func repositoryRoot() (string, error) {
	directory, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the repository: %w", err)
	}
	for {
		text, err := os.ReadFile(filepath.Join(directory, "go.mod")) //nolint:gosec // a parent of the working directory
		if err == nil && strings.HasPrefix(string(text), modulePath+"\n") {
			return directory, nil
		}
		parent := filepath.Dir(directory)
		if parent == directory {
			return "", errors.New("finding the repository: start this in a clone of it")
		}
		directory = parent
	}
}

// lock keeps a second run out of the same directory. The lock ends with the
// process, however that ends.
func (l *layout) lock() (func(), error) {
	file, err := os.OpenFile(filepath.Join(l.run, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", l.run, err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another make run works in %s: end it with Ctrl-C in its terminal, or use another clone", l.run), file.Close())
	}
	return func() { file.Close() }, nil //nolint:errcheck,gosec // nothing was written
}

// shown is a path as a person would type it.
func (l *layout) shown(path string) string {
	if directory, err := os.Getwd(); err == nil {
		if relative, err := filepath.Rel(directory, path); err == nil && len(relative) < len(path) {
			return relative
		}
	}
	return path
}

// kubeconfig, log and so on name the files of a run.
func (l *layout) kubeconfig() string     { return filepath.Join(l.run, "kubeconfig") }
func (l *layout) targets() string        { return filepath.Join(l.run, "prometheus.json") }
func (l *layout) log(name string) string { return filepath.Join(l.run, name+".log") }

// kubectl returns the kubectl of the PATH, or else the one that was built.
func (l *layout) kubectl() (path string, built bool) {
	if found, err := exec.LookPath("kubectl"); err == nil {
		return found, false
	}
	return filepath.Join(l.assets, "kubectl"), true
}

// missing lists the programs of the control plane that are not there.
func (l *layout) missing() []string {
	programs := []string{"etcd", "kube-apiserver"}
	if _, built := l.kubectl(); built {
		programs = append(programs, "kubectl")
	}
	return slices.DeleteFunc(programs, func(name string) bool {
		_, err := exec.LookPath(filepath.Join(l.assets, name))
		return err == nil
	})
}

// childEnvironment is what children get of ours: neither the settings of other
// programs, which would change them unseen, nor a secret.
func childEnvironment(environ []string, secrets dotEnv, added ...string) []string {
	kept := slices.DeleteFunc(slices.Clone(environ), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		_, secret := secrets[name]
		return secret || name == keyVariable || name == saltVariable || name == "KUBECONFIG" ||
			strings.HasPrefix(name, "WARMPOOL_") || strings.HasPrefix(name, "VASTSIM_") || strings.HasPrefix(name, "ETCD_")
	})
	return append(kept, added...)
}

// seconds shows a duration as people read it while they wait.
func seconds(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
}
