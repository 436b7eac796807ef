package main

import (
	"testing"

	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/legacyapi"
)

func TestSidecarSecretsAreThoseOfDotEnvWhenTheyCanBeUsed(t *testing.T) {
	const good = "a-key-of-a-person-4711"
	for name, test := range map[string]struct {
		secrets dotEnv
		kept    bool
	}{
		"none":        {nil, false},
		"good":        {dotEnv{adminVariable: good, saltVariable: good + "-salt"}, true},
		"the default": {dotEnv{adminVariable: "secure_admin_key_change_me", saltVariable: "change-me-change-me"}, false},
		"empty":       {dotEnv{adminVariable: "", saltVariable: ""}, false},
	} {
		t.Run(name, func(t *testing.T) {
			credentials := dotEnv{keyVariable: simulatorKey}
			if err := withSidecarSecrets(credentials, test.secrets); err != nil {
				t.Fatal(err)
			}
			if legacyapi.CheckAdminKey(credentials[adminVariable]) != nil || audit.CheckSalt(credentials[saltVariable]) != nil {
				t.Error("the sidecar would not start with these")
			}
			if kept := credentials[adminVariable] == test.secrets[adminVariable] && credentials[saltVariable] == test.secrets[saltVariable]; kept != test.kept {
				t.Errorf("those of .env kept: %v, want %v", kept, test.kept)
			}
			if credentials[keyVariable] != simulatorKey {
				t.Error("the key of Vast.ai was changed")
			}
		})
	}
}
