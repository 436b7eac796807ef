package version

import (
	"bytes"
	"regexp"
	"testing"
)

func TestPrint(t *testing.T) {
	var out bytes.Buffer
	if err := Print(&out, "manager"); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^manager unknown \(commit unknown, go\d\.\S+, [a-z]+/[a-z0-9]+\)\n$`).MatchString(out.String()) {
		t.Errorf("got %q", out.String())
	}
}

func TestIsAsked(t *testing.T) {
	for name, tc := range map[string]struct {
		arguments []string
		want      bool
	}{
		"asked":       {[]string{"--version"}, true},
		"one dash":    {[]string{"-version"}, true},
		"nothing":     {nil, false},
		"not alone":   {[]string{"--version", "--leader-elect"}, false},
		"a flag else": {[]string{"--leader-elect"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := IsAsked(tc.arguments); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
