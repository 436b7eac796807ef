package main

import (
	"testing"

	"github.com/warmpool-dev/warmpool/internal/legacyapi"
)

func TestSidecarKeyIsThatOfDotEnvWhenItCanBeUsed(t *testing.T) {
	const good, salt = "a-key-of-a-person-4711", "a-salt-of-a-person-4711"
	for name, test := range map[string]struct {
		secrets dotEnv
		kept    bool
	}{
		"none":        {nil, false},
		"good":        {dotEnv{adminVariable: good}, true},
		"the default": {dotEnv{adminVariable: "secure_admin_key_change_me"}, false},
		"empty":       {dotEnv{adminVariable: ""}, false},
	} {
		t.Run(name, func(t *testing.T) {
			credentials := dotEnv{keyVariable: simulatorKey}
			withSidecarSecrets(credentials, test.secrets, salt)
			if legacyapi.CheckAdminKey(credentials[adminVariable]) != nil {
				t.Error("the sidecar would not start with this key")
			}
			if kept := credentials[adminVariable] == test.secrets[adminVariable]; kept != test.kept {
				t.Errorf("the key of .env kept: %v, want %v", kept, test.kept)
			}
			if credentials[keyVariable] != simulatorKey || credentials[saltVariable] != salt {
				t.Error("the key of Vast.ai or the salt is another one")
			}
		})
	}
}
