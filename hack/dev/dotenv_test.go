package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseDotEnv(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want map[string]string
	}{
		"empty":                 {"", map[string]string{}},
		"comments and blanks":   {"# a\n\n  # b=c\nA=1\n", map[string]string{"A": "1"}},
		"windows line ends":     {"A=1\r\nB=2\r\n", map[string]string{"A": "1", "B": "2"}},
		"byte order mark":       {"\ufeffA=1", map[string]string{"A": "1"}},
		"export and blanks":     {"export A = 1 \n", map[string]string{"A": "1"}},
		"quotes":                {"A=\"1 2\"\nB='3#4'\nC=\"\"", map[string]string{"A": "1 2", "B": "3#4", "C": ""}},
		"equals signs belong":   {"A=b=c==", map[string]string{"A": "b=c=="}},
		"nothing is expanded":   {"A=$HOME`x`\\n", map[string]string{"A": "$HOME`x`\\n"}},
		"no value":              {"A=", map[string]string{"A": ""}},
		"the last one holds":    {"A=1\nA=2", map[string]string{"A": "2"}},
		"hash inside the value": {"A=1#2", map[string]string{"A": "1#2"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseDotEnv(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, map[string]string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseDotEnvNamesTheLineAndNotItsText(t *testing.T) {
	const secret = "hunter2hunter2"
	for name, text := range map[string]string{
		"no equals sign": "A=1\n" + secret,
		"no name":        "A=1\n=" + secret,
		"bad name":       "A=1\n" + secret + "-x=1",
		"open quote":     "A=1\nB=\"" + secret,
		"lonely quote":   "A=1\nB='",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseDotEnv(text)
			if err == nil || !strings.Contains(err.Error(), "line 2") || strings.Contains(err.Error(), "hunter") {
				t.Errorf("got %v, want line 2 and nothing of it", err)
			}
		})
	}
}

func TestReadDotEnv(t *testing.T) {
	directory := t.TempDir()
	got, err := readDotEnv(directory)
	if err != nil || len(got) != 0 {
		t.Errorf("without a file: got %v, %v", got, err)
	}
	if err = os.WriteFile(filepath.Join(directory, ".env"), []byte("VASTAI_API_KEY=abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err = readDotEnv(directory); err != nil || got[keyVariable] != "abc" {
		t.Errorf("got %d values, %v", len(got), err)
	}
}

func TestDotEnvDoesNotPrintItsValues(t *testing.T) {
	values := dotEnv{keyVariable: "hunter2"}
	text := fmt.Sprintf("%v %+v %#v %s", values, values, values, errors.Join(fmt.Errorf("with %v", values)))
	if strings.Contains(text, "hunter") {
		t.Error("a value is printed")
	}
}

func TestChildrenGetNoSecretAndNoForeignSetting(t *testing.T) {
	got := childEnvironment([]string{
		"HOME=/root", "PATH=/bin", "VASTAI_API_KEY=x", "CIVITAI_TOKEN=x", "WARMPOOL_LOG_LEVEL=9", "VASTSIM_SPEED=1",
		"ETCD_NAME=other", "KUBECONFIG=/other", "HTTPS_PROXY=http://proxy",
	}, dotEnv{"CIVITAI_TOKEN": "x"}, "A=b")
	if diff := cmp.Diff([]string{"HOME=/root", "PATH=/bin", "HTTPS_PROXY=http://proxy", "A=b"}, got); diff != "" {
		t.Error(diff)
	}
}

// Whatever the file holds, there are values or an error and never both, a name
// is one that a shell takes, and nothing is made up.
func TestParseDotEnvInventsNothing(t *testing.T) {
	line := rapid.OneOf(rapid.String(), rapid.StringMatching(`(export )?[A-Z0-9_ ]{0,4}=? ?["']?[a-z$#= ]{0,8}["']?\r?`))
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(line).Draw(t, "lines"), "\n")
		values, err := parseDotEnv(text)
		if (err == nil) != (values != nil) {
			t.Fatalf("got both or none of values and an error: %v", err)
		}
		for name, value := range values {
			if !namePattern.MatchString(name) || !strings.Contains(text, name) || !strings.Contains(text, value) || strings.Contains(value, "\n") {
				t.Fatalf("got %q=%q", name, value)
			}
		}
	})
}
