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

// Sidecar holds the settings of cmd/sidecar.
type Sidecar struct {
	// Kubeconfig is the path of a kubeconfig; empty uses the pod's service account or the usual places.
	Kubeconfig string
	// Pool is the WarmPool that is served.
	Pool NamespacedName
	// Secret is the name of the Secret with ADMIN_API_KEY, AUDIT_SALT and the tokens, in the pool's namespace.
	Secret string
	// Deployment is what the pm2 routes show and restart.
	Deployment NamespacedName
	// Address, MetricsAddress and HealthAddress are "host:port"; MetricsAddress and HealthAddress "0" turn them off.
	Address, MetricsAddress, HealthAddress string
	// TLSCert and TLSKey are paths of PEM files; both or none.
	TLSCert, TLSKey string
	// AuditDir is the directory of the audit log.
	AuditDir string
	// KeyInURL accepts keys as query parameters.
	KeyInURL bool
	// Origins are the origins of pages that may call the API.
	Origins []string
	// RequestsPerSecond, Burst and WrongKeysPerMinute bound one peer.
	RequestsPerSecond, Burst, WrongKeysPerMinute int
	// ClaimWait is how long a claim may take to be bound.
	ClaimWait time.Duration
	// LogLevel is 0 (changes), 1 (also every request) or 2.
	LogLevel int
	// ShutdownTimeout is how long running requests may take after a stop signal.
	ShutdownTimeout time.Duration
}

// NamespacedName names an object.
type NamespacedName struct{ Namespace, Name string }

// String is "namespace/name", empty for none.
func (n *NamespacedName) String() string {
	if n.Name == "" {
		return ""
	}
	return n.Namespace + "/" + n.Name
}

var errNamespacedName = errors.New("give namespace/name, such as default/sdxl")

// Set implements flag.Value.
func (n *NamespacedName) Set(text string) error {
	namespace, name, found := strings.Cut(text, "/")
	pattern := regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
	if !found || !pattern.MatchString(namespace) || !pattern.MatchString(name) {
		return errNamespacedName
	}
	n.Namespace, n.Name = namespace, name
	return nil
}

// legacyPort is the variable that the legacy server took its port from.
const legacyPort = "PORT"

// sidecarFlags binds the settings to their flags.
func sidecarFlags(s *Sidecar, address string) *flag.FlagSet {
	s.Deployment = NamespacedName{"warmpool-system", "warmpool-manager"}
	flags := flag.NewFlagSet("sidecar", flag.ContinueOnError)
	flags.StringVar(&s.Kubeconfig, "kubeconfig", "", "path of a kubeconfig; by default the pod's service account, $KUBECONFIG or ~/.kube/config")
	flags.Var(&s.Pool, "pool", "namespace/name of the WarmPool that is served")
	flags.StringVar(&s.Secret, "secret", "warmpool-credentials", "name of the Secret with ADMIN_API_KEY, AUDIT_SALT and the tokens, in the namespace of the pool")
	flags.Var(&s.Deployment, "deployment", "namespace/name of the Deployment that the pm2 routes show and restart")
	flags.StringVar(&s.Address, "bind-address", address, "address to serve on; the variable PORT of old changes its port")
	flags.StringVar(&s.MetricsAddress, "metrics-bind-address", "127.0.0.1:8082", "address of the metrics endpoint; 0 turns it off")
	flags.StringVar(&s.HealthAddress, "health-probe-bind-address", "127.0.0.1:8083", "address of /healthz and /readyz; 0 turns them off")
	flags.StringVar(&s.TLSCert, "tls-cert-file", "", "certificate to serve HTTPS with, read again when it changes; by default plain HTTP")
	flags.StringVar(&s.TLSKey, "tls-key-file", "", "its private key")
	flags.StringVar(&s.AuditDir, "audit-dir", "audit", "directory of the audit log; it must survive restarts")
	flags.BoolVar(&s.KeyInURL, "allow-key-in-url", false, "accept adminKey, adminApiKey and claimToken in the URL, for clients that cannot send a header; URLs end up in the logs of whatever is in between")
	flags.Func("cors-origins", "comma-separated origins of pages that may call the API, such as https://studio.example.com; by default none", func(value string) error {
		s.Origins = nil
		for origin := range strings.SplitSeq(value, ",") {
			if trimmed := strings.TrimSpace(origin); trimmed != "" {
				s.Origins = append(s.Origins, trimmed)
			}
		}
		return nil
	})
	flags.IntVar(&s.RequestsPerSecond, "requests-per-second", 20, "requests that one peer may make in a second")
	flags.IntVar(&s.Burst, "request-burst", 60, "requests that one peer may make at once")
	flags.IntVar(&s.WrongKeysPerMinute, "wrong-keys-per-minute", 10, "wrong keys that one peer may send in a minute")
	flags.DurationVar(&s.ClaimWait, "claim-timeout", 10*time.Second, "how long a claim may take to get its instance")
	flags.IntVar(&s.LogLevel, "log-level", 0, "0: changes; 1: also every request; 2: also what the libraries say")
	flags.DurationVar(&s.ShutdownTimeout, "shutdown-timeout", 20*time.Second, "how long running requests may take after a stop signal")
	return flags
}

// ParseSidecar reads the settings of cmd/sidecar from arguments and the
// environment. The error lists every fault with the flag, the value and the
// remedy; it is flag.ErrHelp when help was asked for.
func ParseSidecar(arguments []string, lookup LookupEnv) (Sidecar, error) {
	var s Sidecar
	address := defaultSidecarAddress
	if port, found := lookup(legacyPort); found && port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return Sidecar{}, fmt.Errorf("environment variable %s=%q: give a port from 0 to 65535", legacyPort, port)
		}
		address = "127.0.0.1:" + port
	}
	if err := parse(sidecarFlags(&s, address), arguments, lookup); err != nil {
		return Sidecar{}, err
	}
	return s, s.validate()
}

const defaultSidecarAddress = "127.0.0.1:3000"

// SidecarUsage writes the help of cmd/sidecar.
func SidecarUsage(out io.Writer) error {
	return usage(sidecarFlags(&Sidecar{}, defaultSidecarAddress), out)
}

func (s *Sidecar) validate() error {
	var failures []error
	refuse := func(wrong bool, name, value, remedy string) {
		if wrong {
			failures = append(failures, fault(name, value, remedy))
		}
	}
	refuse(s.Pool.Name == "", "pool", "", "give the WarmPool that is served as namespace/name")
	refuse(s.Secret == "", "secret", "", "give the name of a Secret in the namespace of the pool")
	refuse(s.AuditDir == "", "audit-dir", "", "give a directory: nothing is changed that is not recorded")
	refuse((s.TLSCert == "") != (s.TLSKey == ""), "tls-cert-file", s.TLSCert, "give it together with --tls-key-file")
	for _, listen := range []struct {
		name, address string
		mayBeOff      bool
	}{
		{"bind-address", s.Address, false}, {"metrics-bind-address", s.MetricsAddress, true}, {"health-probe-bind-address", s.HealthAddress, true},
	} {
		_, port, err := net.SplitHostPort(listen.address)
		_, portErr := strconv.ParseUint(port, 10, 16)
		off := listen.mayBeOff && listen.address == "0"
		refuse(!off && (err != nil || portErr != nil), listen.name, listen.address, "give host:port, such as 127.0.0.1:3000")
	}
	for _, origin := range s.Origins {
		parsed, err := url.Parse(origin)
		refuse(err != nil || parsed.Host == "" || parsed.Scheme+"://"+parsed.Host != origin, "cors-origins", origin, "give origins such as https://studio.example.com, without a path; all of them (*) is not possible")
	}
	return errors.Join(append(failures, s.validateNumbers())...)
}

func (s *Sidecar) validateNumbers() error {
	const most = 100_000
	var failures []error
	for _, number := range []struct {
		name            string
		value, min, max int
	}{
		{"requests-per-second", s.RequestsPerSecond, 1, most},
		{"request-burst", s.Burst, 1, most},
		{"wrong-keys-per-minute", s.WrongKeysPerMinute, 1, 1000},
		{"log-level", s.LogLevel, 0, 2},
	} {
		if number.value < number.min || number.value > number.max {
			failures = append(failures, fault(number.name, strconv.Itoa(number.value), fmt.Sprintf("use %d to %d", number.min, number.max)))
		}
	}
	if s.ClaimWait < time.Second || s.ClaimWait > 45*time.Second {
		failures = append(failures, fault("claim-timeout", s.ClaimWait.String(), "use 1s to 45s"))
	}
	if s.ShutdownTimeout < 0 {
		failures = append(failures, fault("shutdown-timeout", s.ShutdownTimeout.String(), "must not be negative"))
	}
	return errors.Join(failures...)
}
