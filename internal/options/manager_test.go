package options_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/options"
)

func environment(values map[string]string) options.LookupEnv {
	return func(name string) (string, bool) {
		value, found := values[name]
		return value, found
	}
}

func TestParseManagerDefaults(t *testing.T) {
	got, err := options.ParseManager(nil, environment(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := options.Manager{
		MetricsAddress: ":8080", HealthAddress: ":8081", LeaderElect: true,
		LeaseDuration: 30 * time.Second, RenewDeadline: 20 * time.Second, RetryPeriod: 4 * time.Second,
		VastBaseURL: "https://console.vast.ai", ProbeConcurrency: 64, AccountConcurrency: 8,
		ShutdownTimeout: 30 * time.Second,
		Audit:           options.Audit{RotateBytes: 16 << 20, RotateAfter: 24 * time.Hour, Retention: 90 * 24 * time.Hour, HeadPeriod: 30 * time.Second},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseManagerFlagWinsOverEnvironment(t *testing.T) {
	got, err := options.ParseManager([]string{"--log-level=2"}, environment(map[string]string{
		"WARMPOOL_LOG_LEVEL": "1", "WARMPOOL_NAMESPACES": "a, b", "WARMPOOL_INSTALLATION_ID": "prod1",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got.LogLevel != 2 || got.InstallationID != "prod1" || !cmp.Equal(got.Namespaces, []string{"a", "b"}) {
		t.Errorf("got %+v", got)
	}
}

func TestTheAuditSaltComesFromTheEnvironment(t *testing.T) {
	got, err := options.ParseManager([]string{"--audit-dir=/var/log/warmpool"}, environment(map[string]string{"AUDIT_SALT": "a salt"}))
	if err != nil || got.Audit.Salt != "a salt" || got.Audit.Dir != "/var/log/warmpool" {
		t.Errorf("got %+v, %v", got.Audit, err)
	}
	var help strings.Builder
	if err := options.ManagerUsage(&help); err != nil || strings.Contains(help.String(), "--audit-salt") {
		t.Errorf("the salt is a flag (%v)", err)
	}
}

func TestParseManagerRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		arguments []string
		env       map[string]string
		want      string
	}{
		"plain http to a public host": {[]string{"--vast-base-url=http://example.org"}, nil, "use https"},
		"no scheme":                   {[]string{"--vast-base-url=console.vast.ai"}, nil, `--vast-base-url="console.vast.ai"`},
		"installation with a dot":     {[]string{"--installation-id=a.b"}, nil, `--installation-id="a.b"`},
		"no concurrency":              {[]string{"--probe-concurrency=0"}, nil, "use 1 to 1024"},
		"loud":                        {[]string{"--log-level=9"}, nil, "use 0 to 2"},
		"an audit file for a record":  {[]string{"--audit-rotate-bytes=1"}, nil, `--audit-rotate-bytes="1"`},
		"an audit log for a second":   {[]string{"--audit-retention=1s"}, nil, `--audit-retention="1s"`},
		"an audit file for a second":  {[]string{"--audit-rotate-after=1s"}, nil, `--audit-rotate-after="1s"`},
		"heads without a pause":       {[]string{"--audit-head-period=0"}, nil, "use a second or more"},
		"the salt as a flag":          {[]string{"--audit-salt=x"}, nil, "audit-salt"},
		"lease shorter than renewal":  {[]string{"--leader-election-lease-duration=5s"}, nil, "lease duration"},
		"word in the environment":     {nil, map[string]string{"WARMPOOL_LOG_LEVEL": "much"}, "WARMPOOL_LOG_LEVEL"},
		"a collector without http":    {[]string{"--otlp-endpoint=otel-collector:4317"}, nil, "http://otel-collector:4318"},
		"a password for a collector":  {[]string{"--otlp-endpoint=http://me:canary@otel:4318"}, nil, "OTEL_EXPORTER_OTLP_HEADERS"},
		"a key for a collector":       {nil, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318?key=canary"}, "OTEL_EXPORTER_OTLP_HEADERS"},
		"positional argument":         {[]string{"now"}, nil, `unexpected argument "now"`},
		"unknown flag":                {[]string{"--speed=9"}, nil, "speed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := options.ParseManager(test.arguments, environment(test.env))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one that says %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestTracesAreOffUnlessAskedFor(t *testing.T) {
	const usual, ours, flag = "http://usual:4318", "http://ours:4318", "--otlp-endpoint=http://flag:4318"
	for name, test := range map[string]struct {
		arguments []string
		env       map[string]string
		want      string
	}{
		"nobody asks":             {nil, nil, ""},
		"the usual variable":      {nil, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": usual}, usual},
		"our variable wins":       {nil, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": usual, "WARMPOOL_OTLP_ENDPOINT": ours}, ours},
		"the flag wins over both": {[]string{flag}, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": usual, "WARMPOOL_OTLP_ENDPOINT": ours}, "http://flag:4318"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := options.ParseManager(test.arguments, environment(test.env))
			if err != nil || got.OTLPEndpoint != test.want {
				t.Errorf("got %q, %v; want %q", got.OTLPEndpoint, err, test.want)
			}
		})
	}
}

func TestManagerUsageNamesEveryVariable(t *testing.T) {
	var out strings.Builder
	if err := options.ManagerUsage(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"--vast-base-url (WARMPOOL_VAST_BASE_URL", "--leader-elect", "--pprof"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("usage lacks %q", want)
		}
	}
}

func TestInstallationCommandsReadTheirFlags(t *testing.T) {
	nothing := func(string) (string, bool) { return "", false }
	check, err := options.ParseCheck([]string{"--namespaces=a, b", "--lease-namespace=gpu", "--timeout=90s"}, nothing)
	if err != nil || len(check.Namespaces) != 2 || check.Namespaces[1] != "b" || check.LeaseNamespace != "gpu" || check.Timeout != 90*time.Second {
		t.Errorf("manager check reads %+v (%v)", check, err)
	}
	uninstall, err := options.ParseUninstall([]string{"--release=warmpool", "--release-namespace=gpu"}, nothing)
	if err != nil || uninstall.Release != "warmpool" || uninstall.ReleaseNamespace != "gpu" || uninstall.Timeout != 15*time.Minute {
		t.Errorf("manager uninstall reads %+v (%v)", uninstall, err)
	}
	for want, parse := range map[string]func() error{
		"--timeout=\"0s\": use a second or more": func() error { _, err := options.ParseCheck([]string{"--timeout=0s"}, nothing); return err },
		"--release: say whose pools are ended": func() error {
			_, err := options.ParseUninstall([]string{"--release-namespace=gpu"}, nothing)
			return err
		},
		"--release-namespace: say whose pools":      func() error { _, err := options.ParseUninstall([]string{"--release=warmpool"}, nothing); return err },
		"unexpected argument \"everything\": every": func() error { _, err := options.ParseUninstall([]string{"everything"}, nothing); return err },
	} {
		if err := parse(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("it says %v, want %q in it", err, want)
		}
	}
}
