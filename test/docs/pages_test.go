package docs

import (
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// indexPage lists every page of the documentation.
const indexPage = "docs/index.md"

// page is one Markdown file of the repository.
type page struct {
	// path is relative to the root, with slashes.
	path string
	// lines are its text; those of code blocks are empty.
	lines []string
	// anchors are what a link into it may name behind #.
	anchors map[string]bool
}

// link is one link of a page.
type link struct {
	line   int
	target string
}

// pages reads every Markdown file of the repository, but those of directories
// that are built or hidden.
func pages(t *testing.T) map[string]*page {
	t.Helper()
	found := map[string]*page{}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "bin" || (strings.HasPrefix(entry.Name(), ".") && file != root)) {
			return fs.SkipDir
		}
		if filepath.Ext(file) != ".md" {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(relative)
		found[name] = newPage(name, string(text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var (
	fencePattern    = regexp.MustCompile("^ *(```+|~~~+)")
	headingPattern  = regexp.MustCompile(`^#{1,6} +(.+?) *#*$`)
	htmlIDPattern   = regexp.MustCompile(`<a +(?:id|name)="([^"]+)"`)
	codePattern     = regexp.MustCompile("`[^`]*`")
	linkPattern     = regexp.MustCompile(`\]\(\s*<?([^)<>\s]+)>?(?:\s+"[^"]*")?\s*\)`)
	htmlLinkPattern = regexp.MustCompile(`(?:href|src|srcset)="([^"]+)"`)
	linkTextPattern = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
)

// newPage takes the code blocks out of a text and collects its headings.
func newPage(name, text string) *page {
	p := &page{path: name, anchors: map[string]bool{}}
	fence := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if mark := fencePattern.FindStringSubmatch(line); mark != nil && (fence == "" || strings.HasPrefix(mark[1], fence)) {
			if fence == "" {
				fence = mark[1]
			} else {
				fence = ""
			}
			line = ""
		}
		if fence != "" {
			line = ""
		}
		p.lines = append(p.lines, line)
		if heading := headingPattern.FindStringSubmatch(line); heading != nil {
			p.addAnchor(slug(heading[1]))
		}
		for _, id := range htmlIDPattern.FindAllStringSubmatch(line, -1) {
			p.anchors[id[1]] = true
		}
	}
	return p
}

// isGenerated is true for a page that says so in its first line.
func (p *page) isGenerated() bool {
	return len(p.lines) > 0 && strings.HasPrefix(p.lines[0], "<!-- Written by")
}

// addAnchor adds the anchor of a heading; a second one of the same text ends in -1.
func (p *page) addAnchor(anchor string) {
	unique := anchor
	for k := 1; p.anchors[unique]; k++ {
		unique = anchor + "-" + strconv.Itoa(k)
	}
	p.anchors[unique] = true
}

// slug is the anchor that GitHub makes of a heading.
func slug(heading string) string {
	heading = linkTextPattern.ReplaceAllString(heading, "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r):
			return unicode.ToLower(r)
		default:
			return -1
		}
	}, strings.ReplaceAll(heading, "`", ""))
}

// links lists what a page links to, pictures included.
func (p *page) links() []link {
	var found []link
	for k, line := range p.lines {
		text := codePattern.ReplaceAllString(line, "")
		for _, pattern := range []*regexp.Regexp{linkPattern, htmlLinkPattern} {
			for _, match := range pattern.FindAllStringSubmatch(text, -1) {
				found = append(found, link{line: k + 1, target: match[1]})
			}
		}
	}
	return found
}

// isElsewhere is true for what no file of the repository answers.
func isElsewhere(target string) bool {
	parsed, err := url.Parse(target)
	return err == nil && (parsed.Scheme != "" || parsed.Host != "")
}

// resolve returns the path and the anchor that a link of a page leads to.
func (p *page) resolve(target string) (file, anchor string) {
	file, anchor, _ = strings.Cut(target, "#")
	if file == "" {
		return p.path, anchor
	}
	return path.Join(path.Dir(p.path), file), anchor
}

// listed are the files that a page links to.
func (p *page) listed() map[string]bool {
	files := map[string]bool{}
	for _, l := range p.links() {
		if !isElsewhere(l.target) {
			file, _ := p.resolve(l.target)
			files[file] = true
		}
	}
	return files
}

// TestLinksLeadSomewhere follows every link between pages, to its anchor.
func TestLinksLeadSomewhere(t *testing.T) {
	all := pages(t)
	followed := 0
	for _, p := range all {
		for _, l := range p.links() {
			if isElsewhere(l.target) {
				continue
			}
			followed++
			file, anchor := p.resolve(l.target)
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(file))); err != nil {
				t.Errorf("%s:%d links to %s, and there is no %s", p.path, l.line, l.target, file)
				continue
			}
			if target := all[file]; anchor != "" && (target == nil || !target.anchors[anchor]) {
				t.Errorf("%s:%d links to %s, and %s has no heading with the anchor #%s", p.path, l.line, l.target, file, anchor)
			}
		}
	}
	// Fewer would mean that links are not recognised any more.
	const atLeast = 140
	if followed < atLeast {
		t.Errorf("%d links were followed, and at least %d were expected", followed, atLeast)
	}
}

// TestIndexListsEveryPage: a page that the index does not name is found by nobody.
func TestIndexListsEveryPage(t *testing.T) {
	all := pages(t)
	// docs/guides/install.md stands in a room, docs/guides/runbooks/x.md in a folder of one.
	const roomDepth = 2
	index := all[indexPage]
	if index == nil {
		t.Fatalf("there is no %s", indexPage)
	}
	listed := index.listed()
	// A folder of many small pages, such as the runbooks, may be listed by a page
	// that the index lists.
	folders := map[string]bool{}
	for name := range listed {
		if p := all[name]; p != nil && strings.HasPrefix(name, "docs/") {
			maps.Copy(folders, p.listed())
		}
	}
	for name := range all {
		room, _, isPage := strings.Cut(strings.TrimPrefix(name, "docs/"), "/")
		if !strings.HasPrefix(name, "docs/") || !isPage || listed[name] || (folders[name] && strings.Count(name, "/") > roomDepth) {
			continue
		}
		t.Errorf("%s is not in %s: add \"- [<title>](%s): <what it is for>\" under the room %q", name, indexPage, strings.TrimPrefix(name, "docs/"), room)
	}
}

// TestPagesStandInARoom: there are four rooms, decisions, and what the pages show.
func TestPagesStandInARoom(t *testing.T) {
	rooms := []string{"tutorials", "guides", "reference", "explanation", "adr"}
	for name := range pages(t) {
		room, _, isBelow := strings.Cut(strings.TrimPrefix(name, "docs/"), "/")
		if strings.HasPrefix(name, "docs/") && name != indexPage && (!isBelow || !slices.Contains(rooms, room)) {
			t.Errorf("%s stands in no room: move it below one of docs/%s", name, strings.Join(rooms, ", docs/"))
		}
	}
}

func TestSlug(t *testing.T) {
	for heading, want := range map[string]string{
		"When a price rises":               "when-a-price-rises",
		"Every field, `spec.cost` too":     "every-field-speccost-too",
		"What it proves, and what not":     "what-it-proves-and-what-not",
		"A [link](index.md) in a heading":  "a-link-in-a-heading",
		"snake_case and kebab-case – both": "snake_case-and-kebab-case--both",
	} {
		if got := slug(heading); got != want {
			t.Errorf("slug(%q) = %q, want %q", heading, got, want)
		}
	}
}

func TestLinksAreRecognised(t *testing.T) {
	p := newPage("docs/a.md", "# A\n[b](b.md#x), `[no](no.md)`\n```\n[no](no.md)\n```\n<img src=\"c.svg\">\n## A\n[w](https://example.com \"title\")\n")
	var targets []string
	for _, l := range p.links() {
		targets = append(targets, l.target)
	}
	if want := []string{"b.md#x", "c.svg", "https://example.com"}; !slices.Equal(targets, want) {
		t.Errorf("links = %q, want %q", targets, want)
	}
	if !p.anchors["a"] || !p.anchors["a-1"] {
		t.Errorf("anchors = %v, want a and a-1", p.anchors)
	}
	if file, anchor := p.resolve("../README.md#x"); file != "README.md" || anchor != "x" {
		t.Errorf("resolve = %s, %s", file, anchor)
	}
}
