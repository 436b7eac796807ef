package examples

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// curl is a line of curl in the documentation.
type curl struct {
	// line is as it is written, file and number where.
	line, file string
	number     int

	method, address, body string
	header                http.Header
}

// name is by what an expectation finds it.
func (c *curl) name() string {
	_, path, _ := strings.Cut(c.address, sidecarOfTheDocs)
	path, _, _ = strings.Cut(path, "?")
	return c.method + " " + path
}

// sidecarOfTheDocs is where the documentation says that the sidecar is.
const sidecarOfTheDocs = "http://localhost:3000"

// curlsOf reads the lines of curl to the sidecar from the code blocks of a page.
func curlsOf(t *testing.T, page string) []*curl {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", page))
	if err != nil {
		t.Fatal(err)
	}
	var found []*curl
	inBlock := false
	for k, line := range strings.Split(string(text), "\n") {
		trimmed := strings.TrimPrefix(strings.TrimSpace(line), "$ ")
		switch {
		case strings.HasPrefix(trimmed, "```"):
			inBlock = !inBlock
		case inBlock && strings.HasPrefix(trimmed, "curl ") && strings.Contains(trimmed, "/api/proxy/"):
			read, err := readCurl(trimmed)
			if err != nil {
				t.Fatalf("%s:%d: %v: %s", page, k+1, err, trimmed)
			}
			read.file, read.number = page, k+1
			found = append(found, read)
		}
	}
	return found
}

var errNoCurl = errors.New("this line cannot be read; teach the test what it means, or write it as the others are written")

// readCurl reads what the documentation uses of curl. Anything else is an error:
// a line that is not understood is not tried.
func readCurl(line string) (*curl, error) {
	words, err := shellWords(line)
	if err != nil {
		return nil, err
	}
	c := &curl{line: line, method: http.MethodGet, header: http.Header{}}
	for k := 1; k < len(words); k++ {
		option := words[k]
		if !strings.HasPrefix(option, "-") {
			if c.address != "" {
				return nil, fmt.Errorf("%w: two addresses", errNoCurl)
			}
			c.address = option
			continue
		}
		if k++; k == len(words) {
			return nil, fmt.Errorf("%w: nothing follows %s", errNoCurl, option)
		}
		switch option {
		case "-X":
			c.method = words[k]
		case "-d":
			c.body = words[k]
		case "-H":
			key, value, found := strings.Cut(words[k], ": ")
			if !found {
				return nil, fmt.Errorf("%w: the header %q", errNoCurl, words[k])
			}
			c.header.Add(key, value)
		default:
			return nil, fmt.Errorf("%w: the option %s", errNoCurl, option)
		}
	}
	if !strings.HasPrefix(c.address, sidecarOfTheDocs+"/") {
		return nil, fmt.Errorf("%w: the address %q", errNoCurl, c.address)
	}
	return c, nil
}

// shellWords takes a line apart as a shell does: blanks, both kinds of quotes, and
// a comment at the end. Variables stay as they are written.
func shellWords(line string) ([]string, error) {
	var words []string
	word, inWord, quote := strings.Builder{}, false, rune(0)
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == '#' && !inWord:
			return words, nil
		case r == ' ' && inWord:
			words = append(words, word.String())
			word.Reset()
			inWord = false
		case r == ' ':
		case strings.ContainsRune("\\|;&<>`", r):
			return nil, fmt.Errorf("%w: %q outside of quotes", errNoCurl, r)
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("%w: a quote is not closed", errNoCurl)
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

func TestCurlIsReadAsAShellReadsIt(t *testing.T) {
	got, err := readCurl(`curl -X POST -H "x-admin-key: $ADMIN_API_KEY" -H 'Content-Type: application/json' -d '{"a": "b c"}' 'http://localhost:3000/api/proxy/x?y=1'   # why`)
	if err != nil {
		t.Fatal(err)
	}
	want := [...]string{"POST /api/proxy/x", "$ADMIN_API_KEY", "application/json", `{"a": "b c"}`, "http://localhost:3000/api/proxy/x?y=1"}
	if diff := cmp.Diff(want, [...]string{got.name(), got.header.Get("X-Admin-Key"), got.header.Get("Content-Type"), got.body, got.address}); diff != "" {
		t.Error(diff)
	}
	for _, line := range []string{
		"curl --location http://localhost:3000/x", "curl http://localhost:3000/x | jq", "curl 'http://localhost:3000/x", "curl -X", "curl http://elsewhere/x",
		"curl http://localhost:3000/x http://localhost:3000/y", "curl -H nothing http://localhost:3000/x",
	} {
		if _, err := readCurl(line); !errors.Is(err, errNoCurl) {
			t.Errorf("%s: %v", line, err)
		}
	}
}
