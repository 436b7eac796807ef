package comfyui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestTargetNeverPrintsItsToken(t *testing.T) {
	target := Target{Address: "192.0.2.1:40123", PortalAddress: "192.0.2.1:40124", Token: token}
	wrapped := struct{ Target Target }{target}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "target", target, "pointer", &target, "wrapped", wrapped)
	encoded, err := json.Marshal(wrapped)
	if err != nil {
		t.Fatalf("encoding: %v", err)
	}
	for name, text := range map[string]string{
		"%v": fmt.Sprintf("%v", target), "%+v": fmt.Sprintf("%+v", target), "%#v": fmt.Sprintf("%#v", target),
		"%q": fmt.Sprintf("%q", target), "pointer": fmt.Sprintf("%+v", &target),
		"wrapped": fmt.Sprintf("%+v %#v", wrapped, wrapped), "json": string(encoded), "slog": log.String(),
		"logr": fmt.Sprint(target.MarshalLog()),
	} {
		if strings.Contains(text, token[:7]) {
			t.Errorf("%s shows the token", name)
		}
		if !strings.Contains(text, "192.0.2.1:40123") {
			t.Errorf("%s does not show the address: %s", name, text)
		}
	}
}

func TestQuoteMakesTextsOfTheInstanceSafe(t *testing.T) {
	cases := map[string]struct{ in, want string }{
		"plain":     {"CUDA error", "CUDA error"},
		"lines":     {"one\n\ttwo\x1b[31m", "one two [31m"},
		"not utf-8": {"a\xffb", "a b"},
		"echo":      {"GET /?token=" + token, "GET /?token=[hidden]"},
		"long":      {strings.Repeat("ä", 300), strings.Repeat("ä", 200) + "…"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := quote(c.in, "", token); got != c.want {
				t.Errorf("quote = %q, want %q", got, c.want)
			}
		})
	}
}
