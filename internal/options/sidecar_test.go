package options_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/options"
)

func TestParseSidecarDefaults(t *testing.T) {
	got, err := options.ParseSidecar([]string{"--pool=default/sdxl"}, environment(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := options.Sidecar{
		Pool: options.NamespacedName{Namespace: "default", Name: "sdxl"}, Secret: "warmpool-credentials",
		Deployment: options.NamespacedName{Namespace: "warmpool-system", Name: "warmpool-manager"},
		Address:    "127.0.0.1:3000", MetricsAddress: "127.0.0.1:8082", HealthAddress: "127.0.0.1:8083", AuditDir: "audit",
		RequestsPerSecond: 20, Burst: 60, WrongKeysPerMinute: 10, ClaimWait: 10 * time.Second, ShutdownTimeout: 20 * time.Second,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseSidecarReadsTheEnvironmentOfOld(t *testing.T) {
	got, err := options.ParseSidecar(nil, environment(map[string]string{
		"PORT": "3100", "WARMPOOL_POOL": "media/flux", "WARMPOOL_CORS_ORIGINS": "https://a.example.com, https://b.example.com",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got.Address != "127.0.0.1:3100" || got.Pool.String() != "media/flux" || len(got.Origins) != 2 {
		t.Errorf("got %+v", got)
	}
}

func TestParseSidecarRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		arguments []string
		env       map[string]string
		want      string
	}{
		"no pool":                 {nil, nil, "--pool"},
		"pool without namespace":  {[]string{"--pool=sdxl"}, nil, "namespace/name"},
		"certificate without key": {[]string{"--pool=a/b", "--tls-cert-file=x"}, nil, "--tls-key-file"},
		"every origin":            {[]string{"--pool=a/b", "--cors-origins=*"}, nil, "not possible"},
		"origin with a path":      {[]string{"--pool=a/b", "--cors-origins=https://a.example.com/x"}, nil, "without a path"},
		"no limit":                {[]string{"--pool=a/b", "--requests-per-second=0"}, nil, "use 1 to"},
		"no audit log":            {[]string{"--pool=a/b", "--audit-dir="}, nil, "recorded"},
		"address without port":    {[]string{"--pool=a/b", "--bind-address=localhost"}, nil, "host:port"},
		"port of old":             {[]string{"--pool=a/b"}, map[string]string{"PORT": "many"}, `PORT="many"`},
		"endless claim":           {[]string{"--pool=a/b", "--claim-timeout=1h"}, nil, "1s to 45s"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := options.ParseSidecar(test.arguments, environment(test.env))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one that says %q", err, test.want)
			}
		})
	}
}

func TestSidecarUsageNamesEveryVariable(t *testing.T) {
	var out strings.Builder
	if err := options.SidecarUsage(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"--pool (WARMPOOL_POOL", "--allow-key-in-url", "--tls-cert-file"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("usage lacks %q", want)
		}
	}
}
