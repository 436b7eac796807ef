package options

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Manager holds the settings of cmd/manager.
type Manager struct {
	// Kubeconfig is the path of a kubeconfig; empty uses the pod's service account or the usual places.
	Kubeconfig string
	// Namespaces limits the controllers to these namespaces; empty watches all.
	Namespaces []string
	// MetricsAddress and HealthAddress are "host:port"; MetricsAddress "0" turns metrics off.
	MetricsAddress, HealthAddress string
	// LeaderElect lets one of several replicas work.
	LeaderElect bool
	// LeaderElectionNamespace holds the lease; empty uses the pod's own namespace.
	LeaderElectionNamespace string
	// LeaseDuration, RenewDeadline and RetryPeriod are those of leader election.
	LeaseDuration, RenewDeadline, RetryPeriod time.Duration
	// VastBaseURL is the address of the Vast.ai API.
	VastBaseURL string
	// InstallationID is the second part of every label; empty derives it from the cluster.
	InstallationID string
	// ProbeConcurrency is how many instances are probed at the same time.
	ProbeConcurrency int
	// AccountConcurrency is how many accounts are served at the same time.
	AccountConcurrency int
	// LogLevel is 0 (changes), 1 (also why nothing was done) or 2 (also the wire, redacted).
	LogLevel int
	// OTLPEndpoint is the base URL of a collector for traces; empty writes none.
	OTLPEndpoint string
	// OTLPHeaders are sent to the collector; they may hold a key, and so are no flag.
	OTLPHeaders string `json:"-"`
	// Pprof serves net/http/pprof beside the metrics.
	Pprof bool
	// ShutdownTimeout is how long running work may take after a stop signal.
	ShutdownTimeout time.Duration
	// Audit says where the audit log is kept.
	Audit Audit
}

// OpenTelemetry's own variables: where a collector is, unless the flag or its
// variable says so, and what is sent along, such as a key.
const (
	otlpVariable        = "OTEL_EXPORTER_OTLP_ENDPOINT"
	otlpHeadersVariable = "OTEL_EXPORTER_OTLP_HEADERS"
)

// DefaultVastBaseURL is the Vast.ai API.
const DefaultVastBaseURL = "https://console.vast.ai"

// installationPattern keeps labels short and free of the separator.
var installationPattern = regexp.MustCompile(`^[a-z0-9]{1,8}$`)

// managerFlags binds the settings to their flags.
func managerFlags(m *Manager) *flag.FlagSet {
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	flags.StringVar(&m.Kubeconfig, "kubeconfig", "", "path of a kubeconfig; by default the pod's service account, $KUBECONFIG or ~/.kube/config")
	namespacesFlag(flags, &m.Namespaces)
	flags.StringVar(&m.MetricsAddress, "metrics-bind-address", ":8080", "address of the metrics endpoint; 0 turns it off")
	flags.StringVar(&m.HealthAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz")
	flags.BoolVar(&m.LeaderElect, "leader-elect", true, "let one of several replicas work")
	flags.StringVar(&m.LeaderElectionNamespace, "leader-election-namespace", "", "namespace of the lease; by default the pod's own")
	flags.DurationVar(&m.LeaseDuration, "leader-election-lease-duration", 30*time.Second, "how long a lease is valid without renewal")
	flags.DurationVar(&m.RenewDeadline, "leader-election-renew-deadline", 20*time.Second, "how long the leader tries to renew before it stops")
	flags.DurationVar(&m.RetryPeriod, "leader-election-retry-period", 4*time.Second, "time between two tries")
	flags.StringVar(&m.VastBaseURL, "vast-base-url", DefaultVastBaseURL, "address of the Vast.ai API, for all accounts")
	flags.StringVar(&m.InstallationID, "installation-id", "", "1 to 8 lower-case letters or digits that mark our rentals; by default derived from the cluster")
	flags.IntVar(&m.ProbeConcurrency, "probe-concurrency", 64, "instances that are probed at the same time")
	flags.IntVar(&m.AccountConcurrency, "account-concurrency", 8, "accounts that are served at the same time")
	flags.IntVar(&m.LogLevel, "log-level", 0, "0: changes; 1: also why nothing was done; 2: also the wire, redacted")
	flags.StringVar(&m.OTLPEndpoint, "otlp-endpoint", "", "base URL of an OpenTelemetry collector that takes OTLP over HTTP, such as http://otel-collector:4318; by default $OTEL_EXPORTER_OTLP_ENDPOINT, and without it no traces")
	flags.BoolVar(&m.Pprof, "pprof", false, "serve net/http/pprof beside the metrics")
	flags.DurationVar(&m.ShutdownTimeout, "shutdown-timeout", 30*time.Second, "how long running work may take after a stop signal")
	auditFlags(flags, &m.Audit)
	return flags
}

// namespacesFlag binds a list of namespaces.
func namespacesFlag(flags *flag.FlagSet, names *[]string) {
	flags.Func("namespaces", "comma-separated namespaces to work in; by default all", func(value string) error {
		*names = nil
		for name := range strings.SplitSeq(value, ",") {
			if trimmed := strings.TrimSpace(name); trimmed != "" {
				*names = append(*names, trimmed)
			}
		}
		return nil
	})
}

// ParseManager reads the settings of cmd/manager from arguments and the
// environment. The error lists every fault with the flag, the value and the
// remedy; it is flag.ErrHelp when help was asked for.
func ParseManager(arguments []string, lookup LookupEnv) (Manager, error) {
	var m Manager
	if err := parse(managerFlags(&m), arguments, lookup); err != nil {
		return Manager{}, err
	}
	m.Audit.readSalt(lookup)
	if m.OTLPEndpoint == "" {
		m.OTLPEndpoint, _ = lookup(otlpVariable)
	}
	m.OTLPHeaders, _ = lookup(otlpHeadersVariable)
	return m, m.validate()
}

// ManagerUsage writes the help of cmd/manager.
func ManagerUsage(out io.Writer) error { return usage(managerFlags(&Manager{}), out) }

// fault says that a flag has a value that cannot be, and what to give instead.
func fault(name, value, remedy string) error {
	return fmt.Errorf("--%s=%q: %s", name, value, remedy)
}

func (m *Manager) validate() error {
	return errors.Join(m.validateVast(), m.validateNumbers(), m.validateLease(), m.validateTraces(), m.Audit.validate())
}

// validateTraces accepts an origin with a path; keys belong into headers, and
// what is wrong with a URL is told without showing it.
func (m *Manager) validateTraces() error {
	if m.OTLPEndpoint == "" {
		return nil
	}
	endpoint, err := url.Parse(m.OTLPEndpoint)
	if err != nil || endpoint.Host == "" || (endpoint.Scheme != "http" && endpoint.Scheme != "https") {
		return errors.New("--otlp-endpoint: give a URL such as http://otel-collector:4318")
	}
	if endpoint.User != nil || endpoint.RawQuery != "" {
		return errors.New("--otlp-endpoint: give no user, password or query in the URL: a key belongs into OTEL_EXPORTER_OTLP_HEADERS")
	}
	return nil
}

// Faults of an address of the Vast.ai API.
var (
	errNoAddress = errors.New("give an address such as " + DefaultVastBaseURL)
	errPlainHTTP = errors.New("use https: the API key would cross the network in clear")
)

// CheckVastURL says what is wrong with an address of the Vast.ai API; plain
// HTTP is for this machine only.
func CheckVastURL(address string) error {
	base, err := url.Parse(address)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return errNoAddress
	}
	if base.Scheme == "http" && !isLoopback(base.Hostname()) {
		return errPlainHTTP
	}
	return nil
}

func (m *Manager) validateVast() error {
	if err := CheckVastURL(m.VastBaseURL); err != nil {
		return fault("vast-base-url", m.VastBaseURL, err.Error())
	}
	if m.InstallationID != "" && !installationPattern.MatchString(m.InstallationID) {
		return fault("installation-id", m.InstallationID, "use 1 to 8 lower-case letters or digits")
	}
	return nil
}

func (m *Manager) validateNumbers() error {
	const maxConcurrency = 1024
	var failures []error
	for _, number := range []struct {
		name            string
		value, min, max int
	}{
		{"probe-concurrency", m.ProbeConcurrency, 1, maxConcurrency},
		{"account-concurrency", m.AccountConcurrency, 1, maxConcurrency},
		{"log-level", m.LogLevel, 0, 2},
	} {
		if number.value < number.min || number.value > number.max {
			failures = append(failures, fault(number.name, strconv.Itoa(number.value), fmt.Sprintf("use %d to %d", number.min, number.max)))
		}
	}
	return errors.Join(failures...)
}

func (m *Manager) validateLease() error {
	if m.RetryPeriod <= 0 || m.RetryPeriod >= m.RenewDeadline || m.RenewDeadline >= m.LeaseDuration {
		return fault("leader-election-renew-deadline", m.RenewDeadline.String(),
			"must lie between the retry period and the lease duration")
	}
	if m.ShutdownTimeout < 0 {
		return fault("shutdown-timeout", m.ShutdownTimeout.String(), "must not be negative")
	}
	return nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
