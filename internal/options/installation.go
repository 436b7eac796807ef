package options

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"time"
)

// Installation holds the settings of "manager check" and "manager uninstall".
type Installation struct {
	// Kubeconfig is the path of a kubeconfig; empty uses the pod's service account or the usual places.
	Kubeconfig string
	// Namespaces are those that the manager works in; empty is all.
	Namespaces []string
	// LeaseNamespace holds the lease of the leader; of check only.
	LeaseNamespace string
	// Release is the name of the release, and ReleaseNamespace where its account
	// and pools are; of uninstall only.
	Release, ReleaseNamespace string
	// Timeout bounds the command.
	Timeout time.Duration
}

// commonFlags binds the settings that both commands have.
func commonFlags(name string, s *Installation, patience time.Duration) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.StringVar(&s.Kubeconfig, "kubeconfig", "", "path of a kubeconfig; by default the pod's service account, $KUBECONFIG or ~/.kube/config")
	namespacesFlag(flags, &s.Namespaces)
	flags.DurationVar(&s.Timeout, "timeout", patience, "how long this may take")
	return flags
}

func checkFlags(s *Installation) *flag.FlagSet {
	flags := commonFlags("check", s, time.Minute)
	flags.StringVar(&s.LeaseNamespace, "lease-namespace", "warmpool-system", "namespace of the leader's lease")
	return flags
}

func uninstallFlags(s *Installation) *flag.FlagSet {
	const patience = 15 * time.Minute
	flags := commonFlags("uninstall", s, patience)
	flags.StringVar(&s.Release, "release", "", "name of the release: the label app.kubernetes.io/instance of its account and pools")
	flags.StringVar(&s.ReleaseNamespace, "release-namespace", "", "namespace of its account and pools")
	return flags
}

// ParseCheck reads the settings of "manager check". The error is flag.ErrHelp
// when help was asked for.
func ParseCheck(arguments []string, lookup LookupEnv) (Installation, error) {
	var s Installation
	if err := parse(checkFlags(&s), arguments, lookup); err != nil {
		return Installation{}, err
	}
	return s, s.validate()
}

// ParseUninstall reads the settings of "manager uninstall". The error is
// flag.ErrHelp when help was asked for.
func ParseUninstall(arguments []string, lookup LookupEnv) (Installation, error) {
	var s Installation
	if err := parse(uninstallFlags(&s), arguments, lookup); err != nil {
		return Installation{}, err
	}
	var failures []error
	for name, value := range map[string]string{"release": s.Release, "release-namespace": s.ReleaseNamespace} {
		if value == "" {
			failures = append(failures, fmt.Errorf("--%s: say whose pools are ended", name))
		}
	}
	return s, errors.Join(append(failures, s.validate())...)
}

// CheckUsage writes the help of "manager check".
func CheckUsage(out io.Writer) error { return usage(checkFlags(&Installation{}), out) }

// UninstallUsage writes the help of "manager uninstall".
func UninstallUsage(out io.Writer) error { return usage(uninstallFlags(&Installation{}), out) }

func (s *Installation) validate() error {
	if s.Timeout < time.Second {
		return fault("timeout", s.Timeout.String(), "use a second or more")
	}
	return nil
}
