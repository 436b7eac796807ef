package plugin

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"

	"sigs.k8s.io/yaml"
)

// krewManifest is what krew reads.
type krewManifest struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Version          string         `json:"version"`
		Homepage         string         `json:"homepage"`
		ShortDescription string         `json:"shortDescription"`
		Description      string         `json:"description"`
		Caveats          string         `json:"caveats"`
		Platforms        []krewPlatform `json:"platforms"`
	} `json:"spec"`
}

type krewPlatform struct {
	Selector struct {
		MatchLabels map[string]string `json:"matchLabels"`
	} `json:"selector"`
	URI    string `json:"uri"`
	SHA256 string `json:"sha256"`
	Bin    string `json:"bin"`
	Files  []struct {
		From string `json:"from"`
		To   string `json:"to"`
	} `json:"files"`
}

// TestKrewManifest fills the template in as a release does, and checks what krew
// and its index demand.
func TestKrewManifest(t *testing.T) {
	const tag = "v1.2.3"
	manifest := filledIn(t, tag)
	if manifest.APIVersion != "krew.googlecontainertools.github.com/v1alpha2" || manifest.Kind != "Plugin" || manifest.Metadata.Name != "warmpool" {
		t.Errorf("it is a %s %s named %s", manifest.APIVersion, manifest.Kind, manifest.Metadata.Name)
	}
	if manifest.Spec.Version != tag || !regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?$`).MatchString(manifest.Spec.Version) {
		t.Errorf("the version is %q", manifest.Spec.Version)
	}
	if n := len(manifest.Spec.ShortDescription); n == 0 || n > 50 || strings.HasSuffix(manifest.Spec.ShortDescription, ".") {
		t.Errorf("the short description has %d characters: krew's index takes at most 50, without a full stop", n)
	}
	var platforms []string
	for k := range manifest.Spec.Platforms {
		platform := &manifest.Spec.Platforms[k]
		name := platform.Selector.MatchLabels["os"] + "_" + platform.Selector.MatchLabels["arch"]
		platforms = append(platforms, name)
		program := "kubectl-warmpool"
		if strings.HasPrefix(name, "windows") {
			program += ".exe"
		}
		if want := fmt.Sprintf("https://github.com/warmpool-dev/warmpool/releases/download/%s/kubectl-warmpool_%s_%s.tar.gz", tag, tag, name); platform.URI != want {
			t.Errorf("%s: the archive is %s, want %s", name, platform.URI, want)
		}
		if len(platform.SHA256) != 64 || platform.Bin != program {
			t.Errorf("%s: checksum %q, program %q", name, platform.SHA256, platform.Bin)
		}
		var files []string
		for _, file := range platform.Files {
			files = append(files, file.From+" to "+file.To)
		}
		if want := []string{program + " to .", "LICENSE to ."}; !slices.Equal(files, want) {
			t.Errorf("%s: files %v, want %v", name, files, want)
		}
	}
	if want := []string{"linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64", "windows_amd64"}; !slices.Equal(platforms, want) {
		t.Errorf("platforms %v, want %v", platforms, want)
	}
	if _, err := os.Stat(filepath.Join("..", "..", "LICENSE")); err != nil {
		t.Error(err)
	}
}

// filledIn executes the template with the function that krew's release bot has.
func filledIn(t *testing.T, tag string) *krewManifest {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "hack", "krew", "warmpool.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	functions := template.FuncMap{"addURIAndSha": func(address, tagName string) (string, error) {
		inner, parseErr := template.New("address").Parse(address)
		if parseErr != nil {
			return "", parseErr
		}
		var filled bytes.Buffer
		if execErr := inner.Execute(&filled, map[string]string{"TagName": tagName}); execErr != nil {
			return "", execErr
		}
		return fmt.Sprintf("uri: %s\n    sha256: %s", filled.String(), strings.Repeat("0a", 32)), nil
	}}
	parsed, err := template.New("krew").Funcs(functions).Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	var filled bytes.Buffer
	if err := parsed.Execute(&filled, map[string]string{"TagName": tag}); err != nil {
		t.Fatal(err)
	}
	var manifest krewManifest
	if err := yaml.UnmarshalStrict(filled.Bytes(), &manifest); err != nil {
		t.Fatalf("%v:\n%s", err, filled.String())
	}
	return &manifest
}
