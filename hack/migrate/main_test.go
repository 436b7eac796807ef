package main

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/dotenv"
)

var update = flag.Bool("update", false, "write the golden files anew")

const legacyEnv = "testdata/legacy.env"

// printed returns what the command prints.
func printed(t *testing.T, arguments ...string) string {
	t.Helper()
	var out, notes bytes.Buffer
	if err := run(append([]string{"--env=" + legacyEnv, "--ceiling=1.50"}, arguments...), &out, &notes); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestPoolAndReport(t *testing.T) {
	for what, golden := range map[string]string{"pool": "pool.yaml", "report": "report.txt"} {
		t.Run(what, func(t *testing.T) {
			got, path := printed(t, what), filepath.Join("testdata", golden)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got; go test ./hack/migrate -update writes it anew):\n%s", what, diff)
			}
			for _, secret := range []string{"0000legacy", "0123-an-admin", "hf_none", "sl.none", "a-salt-of"} {
				if strings.Contains(got, secret) {
					t.Errorf("%s shows the value of a secret", what)
				}
			}
		})
	}
}

func TestPoolIsAWarmPoolThatRentsNothing(t *testing.T) {
	var pool warmpool.WarmPool
	if err := yaml.UnmarshalStrict([]byte(printed(t, "pool")), &pool); err != nil {
		t.Fatal(err)
	}
	if pool.Spec.Replicas == nil || *pool.Spec.Replicas != 0 {
		t.Error("a pool that was just written rents")
	}
}

func TestSecretHoldsValuesWithoutQuotesAndComments(t *testing.T) {
	var secret corev1.Secret
	if err := yaml.UnmarshalStrict([]byte(printed(t, "secret")), &secret); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"VASTAI_API_KEY": "0000legacy-vast-key", "ADMIN_API_KEY": "0123-an-admin-key-of-old", "HUGGINGFACE_HUB_TOKEN": "hf_none",
		"AUDIT_SALT": "a-salt-of-sixteen-or-more", "DROPBOX_TOKEN": "sl.none",
	}
	if diff := cmp.Diff(want, secret.StringData); diff != "" {
		t.Errorf("the Secret (-want +got):\n%s", diff)
	}
}

func TestWrongValuesAreNamedAndNotShown(t *testing.T) {
	for text, want := range map[string]string{
		"WARM_POOL_DISK_GB=hush\n":       "WARM_POOL_DISK_GB: it is no whole number",
		"WARM_POOL_DISK_GB=9000\n":       "it makes 9000, and 8 to 8192 is possible",
		"WARM_POOL_MAX_DPH=hush\n":       "it is no amount of dollars",
		"VASTAI_MIN_RELIABILITY=hush\n":  "it is no number between 0 and 1",
		"VASTAI_MIN_RELIABILITY=95\n":    "it is no number between 0 and 1",
		"COMFYUI_PROVISION_SCRIPT=hush":  "it is no address",
		"VASTAI_MIN_CUDA_CAPABILITY=all": "it is no version",
	} {
		variables, err := dotenv.Parse(text)
		if err == nil {
			_, err = migrate(variables, &settings{})
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestTheGuideListsEveryVariable: who looks a variable up finds it, and where it goes.
func TestTheGuideListsEveryVariable(t *testing.T) {
	text, err := os.ReadFile("../../docs/guides/migrate.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for row := range strings.Lines(string(text)) {
		cells := strings.Split(row, "|")
		const columns = 5
		if len(cells) != columns {
			continue
		}
		for word := range strings.SplitSeq(cells[1], "`") {
			rows[word] = cells[2]
		}
	}
	all := rules()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		where, listed := rows[name]
		if !listed {
			t.Errorf("docs/guides/migrate.md has no row for %s", name)
			continue
		}
		for part := range strings.SplitSeq(all[name].where, ", ") {
			field, _, _ := strings.Cut(part, ":")
			if !strings.Contains(where, field) {
				t.Errorf("docs/guides/migrate.md says that %s goes to%s, and the command says %s", name, where, part)
			}
		}
	}
}
