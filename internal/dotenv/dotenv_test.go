package dotenv

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []Pair
	}{
		"empty":                   {"", []Pair{}},
		"comments and blanks":     {"# a\n\n  # b=c\nA=1\n", []Pair{{"A", "1"}}},
		"windows line ends":       {"A=1\r\nB=2\r\n", []Pair{{"A", "1"}, {"B", "2"}}},
		"byte order mark":         {"\ufeffA=1", []Pair{{"A", "1"}}},
		"export and blanks":       {"export A = 1 \n", []Pair{{"A", "1"}}},
		"quotes":                  {"A=\"1 2\"\nB='3#4'\nC=\"\"\nD=`5`", []Pair{{"A", "1 2"}, {"B", "3#4"}, {"C", ""}, {"D", "5"}}},
		"equals signs belong":     {"A=b=c==", []Pair{{"A", "b=c=="}}},
		"nothing is expanded":     {"A=$HOME`x`\\n", []Pair{{"A", "$HOME`x`\\n"}}},
		"no value":                {"A=", []Pair{{"A", ""}}},
		"the last one holds":      {"A=1\nB=2\nA=3", []Pair{{"B", "2"}, {"A", "3"}}},
		"hash inside the value":   {"A=1#2", []Pair{{"A", "1#2"}}},
		"comment behind a value":  {"A=1 # 2", []Pair{{"A", "1"}}},
		"comment behind nothing":  {"A= # 2", []Pair{{"A", ""}}},
		"comment behind quotes":   {"A=\"1 # 2\" # 3", []Pair{{"A", "1 # 2"}}},
		"quotes inside the value": {"A=1\"2\"", []Pair{{"A", "1\"2\""}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseNamesTheLineAndNotItsText(t *testing.T) {
	const secret = "hunter2hunter2"
	for name, text := range map[string]string{
		"no equals sign":     "A=1\n" + secret,
		"no name":            "A=1\n=" + secret,
		"bad name":           "A=1\n" + secret + "-x=1",
		"open quote":         "A=1\nB=\"" + secret,
		"lonely quote":       "A=1\nB='",
		"text behind quotes": "A=1\nB='1'" + secret,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(text)
			if err == nil || !strings.Contains(err.Error(), "line 2") || strings.Contains(err.Error(), "hunter") {
				t.Errorf("got %v, want line 2 and nothing of it", err)
			}
		})
	}
}

// Whatever the file holds, there are pairs or an error and never both, a name
// is one that a shell takes, and nothing is made up.
func TestParseInventsNothing(t *testing.T) {
	line := rapid.OneOf(rapid.String(), rapid.StringMatching(`(export )?[A-Z0-9_ ]{0,4}=? ?["']?[a-z$#= ]{0,8}["']?\r?`))
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(line).Draw(t, "lines"), "\n")
		pairs, err := Parse(text)
		if (err == nil) != (pairs != nil) {
			t.Fatalf("got both or none of pairs and an error: %v", err)
		}
		for _, p := range pairs {
			if !namePattern.MatchString(p.Name) || !strings.Contains(text, p.Name) || !strings.Contains(text, p.Value) || strings.Contains(p.Value, "\n") {
				t.Fatalf("got %q=%q", p.Name, p.Value)
			}
		}
	})
}
