package controllers

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
)

func TestRenderRentOfTheSmallestTemplateServesComfyUI(t *testing.T) {
	got, err := renderRent(warmpool.InstanceTemplate{}, nil, "own-password")
	if err != nil {
		t.Fatal(err)
	}
	want := fleet.RentRequest{
		Image: "vastai/comfy:@vastai-automatic-tag", DiskGB: 64, Ports: []int{1111, 8188}, OnStart: "entrypoint.sh", LaunchMode: "jupyter",
		Env: map[string]string{
			"PORTAL_CONFIG":    "localhost:1111:11111:/:Instance Portal|localhost:8188:18188:/:ComfyUI",
			"OPEN_BUTTON_PORT": "1111", "OPEN_BUTTON_TOKEN": "1", "COMFYUI_API_BASE": "http://localhost:18188",
			"COMFYUI_ARGS": "--disable-auto-launch --port 18188 --enable-cors-header", "DATA_DIRECTORY": "/workspace/", "JUPYTER_DIR": "/",
			"ENABLE_AUTH": "true", "ENABLE_HTTPS": "true", "PROVISIONER_FAILURE_ACTION": "continue", "WEB_PASSWORD": "own-password",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRenderRent(t *testing.T) {
	secrets := map[string]*corev1.Secret{"hub": {Data: map[string][]byte{"token": []byte("t0ken")}}}
	fromSecret := func(name, key string) *warmpool.EnvVarSource {
		return &warmpool.EnvVarSource{SecretKeyRef: warmpool.SecretKeyReference{Name: name, Key: key}}
	}
	for name, test := range map[string]struct {
		template warmpool.InstanceTemplate
		check    func(fleet.RentRequest) bool
		refusal  string
	}{
		"a value wins over the preset": {
			template: warmpool.InstanceTemplate{Env: []warmpool.EnvVar{{Name: "COMFYUI_ARGS", Value: new("--lowvram")}}},
			check:    func(r fleet.RentRequest) bool { return r.Env["COMFYUI_ARGS"] == "--lowvram" },
		},
		"a value from a Secret": {
			template: warmpool.InstanceTemplate{Env: []warmpool.EnvVar{{Name: "HF_TOKEN", ValueFrom: fromSecret("hub", "token")}}},
			check:    func(r fleet.RentRequest) bool { return r.Env["HF_TOKEN"] == "t0ken" },
		},
		"no such Secret": {
			template: warmpool.InstanceTemplate{Env: []warmpool.EnvVar{{Name: "HF_TOKEN", ValueFrom: fromSecret("other", "token")}}},
			refusal:  `variable HF_TOKEN needs key "token" of Secret "other", and there is no such Secret`,
		},
		"no such key": {
			template: warmpool.InstanceTemplate{Env: []warmpool.EnvVar{{Name: "HF_TOKEN", ValueFrom: fromSecret("hub", "key")}}},
			refusal:  `variable HF_TOKEN needs key "key" of Secret "hub", and the Secret has no such key`,
		},
		"plain HTTP turns the front's TLS off": {
			template: warmpool.InstanceTemplate{TLS: &warmpool.TLSSettings{Mode: warmpool.TLSOff}},
			check:    func(r fleet.RentRequest) bool { return r.Env["ENABLE_HTTPS"] == "false" },
		},
		"a custom image gets nothing but what it says, and its password": {
			template: warmpool.InstanceTemplate{
				Preset: warmpool.PresetCustom, Image: "acme/comfy:1", Comfy: warmpool.ComfyRequirements{Port: 3000},
				Ports: []warmpool.TemplatePort{{Name: "ssh", ContainerPort: 22}, {Name: "again", ContainerPort: 3000}},
			},
			check: func(r fleet.RentRequest) bool {
				return r.Image == "acme/comfy:1" && r.LaunchMode == "ssh" && r.OnStart == "" &&
					cmp.Equal(r.Ports, []int{22, 3000}) && cmp.Equal(r.Env, map[string]string{"WEB_PASSWORD": "pw"})
			},
		},
		"a provisioning script": {
			template: warmpool.InstanceTemplate{ProvisioningScriptURL: "https://example.org/p.sh"},
			check:    func(r fleet.RentRequest) bool { return r.Env["PROVISIONING_SCRIPT"] == "https://example.org/p.sh" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := renderRent(test.template, secrets, "pw")
			if test.refusal != "" {
				if !errors.Is(err, errCannotPrepare) || !strings.Contains(err.Error(), test.refusal) {
					t.Errorf("got error %v", err)
				}
				return
			}
			if err != nil || !test.check(got) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestTemplateHashIgnoresMetadataOnly(t *testing.T) {
	base := warmpool.InstanceTemplate{Image: "a"}
	labelled := warmpool.InstanceTemplate{Image: "a", Metadata: warmpool.TemplateMetadata{Labels: map[string]string{"x": "y"}}}
	other := warmpool.InstanceTemplate{Image: "b"}
	if templateHash(&base) != templateHash(&labelled) || templateHash(&base) == templateHash(&other) {
		t.Errorf("hashes: %s %s %s", templateHash(&base), templateHash(&labelled), templateHash(&other))
	}
}

func TestWithoutSecretsLeavesNothingOfThem(t *testing.T) {
	text := "* Your web credentials are: vastai / LONGSECRETVALUE\nand LONGSECRET and true"
	got := withoutSecrets(text, []string{"LONGSECRET", "true", "LONGSECRETVALUE"})
	if want := "* Your web credentials are: vastai / REDACTED\nand REDACTED and true"; got != want {
		t.Errorf("got %q", got)
	}
}

func TestLastPartStartsAtALine(t *testing.T) {
	for text, want := range map[string]string{"short": "short", "first line\nsecond\nthird": "third", "oneverylongline": "ylongline"} {
		if got := lastPart(text, 9); got != want {
			t.Errorf("lastPart(%q) = %q, want %q", text, got, want)
		}
	}
}
