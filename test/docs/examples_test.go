package docs

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// examplesRoom holds the files that pages show word for word.
const examplesRoom = "docs/examples"

// block is one code block of a page.
type block struct {
	// page and line say where it begins; language is the word behind the fence.
	page     string
	line     int
	language string
	text     string
	// file is the example that the comment before it names, empty for none.
	file string
}

var examplePattern = regexp.MustCompile(`^<!-- (docs/examples/\S+) -->$`)

// blocks lists the code blocks of every page.
func blocks(t *testing.T) []block {
	t.Helper()
	var found []block
	for name := range pages(t) {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, blocksOf(name, string(text))...)
	}
	return found
}

// blocksOf lists the code blocks of one page.
func blocksOf(name, text string) []block {
	var found []block
	var open *block
	fence, file, number := "", "", 0
	for line := range strings.Lines(text) {
		number++
		trimmed := strings.TrimRight(line, "\r\n")
		mark := fencePattern.FindStringSubmatch(trimmed)
		switch {
		case open == nil && mark != nil:
			fence = mark[1]
			open = &block{page: name, line: number, language: strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(trimmed), fence)), file: file}
			file = ""
		case open != nil && mark != nil && strings.HasPrefix(mark[1], fence):
			found = append(found, *open)
			open = nil
		case open != nil:
			open.text += line
		default:
			file = ""
			if named := examplePattern.FindStringSubmatch(trimmed); named != nil {
				file = named[1]
			}
		}
	}
	return found
}

// TestExamplesAreShownAsTheyAre: what a page shows is the file that is compiled,
// applied or run by a test, and no file is shown nowhere.
func TestExamplesAreShownAsTheyAre(t *testing.T) {
	shown := map[string]bool{}
	for _, b := range blocks(t) {
		if b.file == "" {
			continue
		}
		shown[b.file] = true
		want, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(b.file)))
		if err != nil {
			t.Errorf("%s:%d shows %s: %v", b.page, b.line, b.file, err)
			continue
		}
		if string(want) != b.text {
			t.Errorf("%s:%d shows another text than %s: copy the file into the block", b.page, b.line, b.file)
		}
	}
	for _, file := range exampleFiles(t) {
		if !shown[file] {
			t.Errorf("no page shows %s: write \"<!-- %s -->\" before a code block that holds it", file, file)
		}
	}
}

// exampleFiles lists the examples, but not their tests.
func exampleFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(filepath.Join(root, filepath.FromSlash(examplesRoom)), func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(file, "_test.go") {
			return err
		}
		relative, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		files = append(files, filepath.ToSlash(relative))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("there are no examples")
	}
	return files
}

// TestScriptsOfExamplesAreWellFormed has the interpreters of this machine look at them.
func TestScriptsOfExamplesAreWellFormed(t *testing.T) {
	for _, file := range exampleFiles(t) {
		var check []string
		switch filepath.Ext(file) {
		case ".sh":
			check = []string{"bash", "-n"}
		case ".py":
			if _, err := exec.LookPath("python3"); err != nil {
				continue
			}
			check = []string{"python3", "-c", "import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])"}
		default:
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		output, err := exec.CommandContext(ctx, check[0], append(check[1:], filepath.Join(root, filepath.FromSlash(file)))...).CombinedOutput()
		cancel()
		if err != nil {
			t.Errorf("%s: %v\n%s", file, err, output)
		}
	}
}

// manifestPattern finds whole objects of ours.
var manifestPattern = regexp.MustCompile(`(?m)^apiVersion: warmpool\.dev/v1alpha1$`)

// TestManifestsOfPagesAreOurs: a field that is spelled wrongly would be refused.
func TestManifestsOfPagesAreOurs(t *testing.T) {
	decoded := 0
	for _, b := range blocks(t) {
		if b.language != "yaml" || !manifestPattern.MatchString(b.text) {
			continue
		}
		for document := range strings.SplitSeq(b.text, "\n---\n") {
			var kind struct {
				Kind string `json:"kind"`
			}
			if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
				t.Errorf("%s:%d: %v", b.page, b.line, err)
				continue
			}
			object := map[string]any{
				"WarmPool": &warmpool.WarmPool{}, "WarmClaim": &warmpool.WarmClaim{},
				"WarmInstance": &warmpool.WarmInstance{}, "VastAccount": &warmpool.VastAccount{},
			}[kind.Kind]
			if object == nil {
				continue
			}
			decoded++
			if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
				t.Errorf("%s:%d: %v", b.page, b.line, err)
			}
		}
	}
	if decoded < 5 {
		t.Errorf("%d manifests were found: they are not recognised any more", decoded)
	}
}

// fieldPattern finds fields of spec and status in a sentence.
var fieldPattern = regexp.MustCompile("`((?:spec|status)(?:\\.[a-zA-Z]+(?:\\[\\])?)+)`")

// TestFieldsThatPagesNameAreThere: a field that was renamed must not live on in prose.
func TestFieldsThatPagesNameAreThere(t *testing.T) {
	known := fieldPaths(t)
	named := 0
	for name, p := range pages(t) {
		// What was decided once may name what was there then, and Kubernetes' own
		// objects have fields, too.
		if strings.HasPrefix(name, "docs/adr/") || name == "CHANGELOG.md" {
			continue
		}
		for k, line := range p.lines {
			for _, match := range fieldPattern.FindAllStringSubmatch(line, -1) {
				named++
				if field := strings.ReplaceAll(match[1], "[]", ""); !known[field] {
					t.Errorf("%s:%d names %s, which no kind has", name, k+1, match[1])
				}
			}
		}
	}
	if named < 50 {
		t.Errorf("%d fields were found: they are not recognised any more", named)
	}
}

// fieldPaths collects the paths of all fields of all kinds, without marks of lists.
func fieldPaths(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "config", "crd", "warmpool.dev_*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no CRDs were found: %v", err)
	}
	known := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var crd struct {
			Spec struct {
				Versions []struct {
					Schema struct {
						OpenAPIV3Schema property `json:"openAPIV3Schema"`
					} `json:"schema"`
				} `json:"versions"`
			} `json:"spec"`
		}
		if err := yaml.Unmarshal(text, &crd); err != nil {
			t.Fatal(err)
		}
		for k := range crd.Spec.Versions {
			crd.Spec.Versions[k].Schema.OpenAPIV3Schema.collect("", known)
		}
	}
	return known
}

// property is what is read of a schema.
type property struct {
	Properties map[string]*property `json:"properties"`
	Items      *property            `json:"items"`
}

func (p *property) collect(at string, known map[string]bool) {
	for name, below := range p.Properties {
		path := strings.TrimPrefix(at+"."+name, ".")
		known[path] = true
		below.collect(path, known)
	}
	if p.Items != nil {
		p.Items.collect(at, known)
	}
}

func TestBlocksAreRecognised(t *testing.T) {
	found := blocksOf("a.md", "<!-- docs/examples/x.yaml -->\n```yaml\na: 1\n```\ntext\n````\n```\n````\n")
	want := []block{
		{page: "a.md", line: 2, language: "yaml", text: "a: 1\n", file: "docs/examples/x.yaml"},
		{page: "a.md", line: 6, text: "```\n"},
	}
	if !slices.Equal(found, want) {
		t.Errorf("blocks %+v, want %+v", found, want)
	}
}
