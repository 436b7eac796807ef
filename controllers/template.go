package controllers

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// Ports and texts of Vast.ai's own ComfyUI image. Source: vast-ai/base-image,
// the template that its quality gate runs.
const (
	presetImage      = "vastai/comfy:@vastai-automatic-tag"
	presetOnStart    = "entrypoint.sh"
	presetPortalPort = 1111
	// presetPortals makes the front serve the portal and ComfyUI; without an
	// entry named ComfyUI the image never starts it.
	presetPortals = "localhost:1111:11111:/:Instance Portal|localhost:8188:18188:/:ComfyUI"
	// presetComfyArgs keeps ComfyUI behind the front.
	presetComfyArgs = "--disable-auto-launch --port 18188 --enable-cors-header"
)

// Names of the ports that every instance of the preset publishes.
const (
	endpointComfyUI = "comfyui"
	endpointPortal  = "portal"
)

// errCannotPrepare reports a template that cannot be rented as it is; only a
// person can mend it.
var errCannotPrepare = errors.New("nothing can be rented")

// effectiveTemplate fills in what the preset leaves to us. It is the only
// place that knows the preset.
func effectiveTemplate(template warmpool.InstanceTemplate) warmpool.InstanceTemplate {
	result := *template.DeepCopy()
	preset := result.Preset != warmpool.PresetCustom
	if result.TLS == nil {
		result.TLS = &warmpool.TLSSettings{Mode: warmpool.TLSOff}
		if preset {
			result.TLS.Mode = warmpool.TLSPinned
		}
	}
	result.TLS.Mode = cmp.Or(result.TLS.Mode, warmpool.TLSPinned)
	result.Comfy.Port = cmp.Or(result.Comfy.Port, 8188)
	result.DiskGB = cmp.Or(result.DiskGB, 64)
	if !preset {
		result.LaunchMode = cmp.Or(result.LaunchMode, warmpool.LaunchSSH)
		return result
	}
	result.Image = cmp.Or(result.Image, presetImage)
	result.LaunchMode = cmp.Or(result.LaunchMode, warmpool.LaunchJupyter)
	result.OnStart = cmp.Or(result.OnStart, presetOnStart)
	return result
}

// presetEnv is the environment of Vast.ai's own image: the front asks for our
// password, speaks HTTPS unless TLS is off, and a failed provisioning never
// stops or destroys the instance behind our back.
func presetEnv(template *warmpool.InstanceTemplate, password string) map[string]string {
	env := map[string]string{
		"PORTAL_CONFIG":               presetPortals,
		"OPEN_BUTTON_PORT":            "1111",
		"OPEN_BUTTON_TOKEN":           "1",
		"COMFYUI_API_BASE":            "http://localhost:18188",
		"COMFYUI_ARGS":                presetComfyArgs,
		"DATA_DIRECTORY":              "/workspace/",
		"JUPYTER_DIR":                 "/",
		"ENABLE_AUTH":                 "true",
		"ENABLE_HTTPS":                "true",
		"PROVISIONER_FAILURE_ACTION":  "continue",
		warmpool.SecretKeyWebPassword: password,
	}
	if template.TLS.Mode == warmpool.TLSOff {
		env["ENABLE_HTTPS"] = "false"
	}
	return env
}

// publishedPorts are the container ports of a template by endpoint name.
func publishedPorts(template *warmpool.InstanceTemplate) map[string]int {
	ports := map[string]int{endpointComfyUI: int(template.Comfy.Port)}
	if template.Preset != warmpool.PresetCustom {
		ports[endpointPortal] = presetPortalPort
	}
	for _, port := range template.Ports {
		ports[port.Name] = int(port.ContainerPort)
	}
	return ports
}

// renderRent turns a template into the request of a rent. The secrets are the
// Secrets that the template names, by name. It returns errCannotPrepare with
// the variable, the Secret and the key when one is not there.
func renderRent(template warmpool.InstanceTemplate, secrets map[string]*corev1.Secret, password string) (fleet.RentRequest, error) {
	effective := effectiveTemplate(template)
	env := map[string]string{warmpool.SecretKeyWebPassword: password}
	if effective.Preset != warmpool.PresetCustom {
		env = presetEnv(&effective, password)
	}
	if effective.ProvisioningScriptURL != "" {
		env["PROVISIONING_SCRIPT"] = effective.ProvisioningScriptURL
	}
	for _, variable := range effective.Env {
		value, err := resolveVariable(&variable, secrets)
		if err != nil {
			return fleet.RentRequest{}, err
		}
		env[variable.Name] = value
	}
	ports := slices.Collect(maps.Values(publishedPorts(&effective)))
	slices.Sort(ports)
	return fleet.RentRequest{
		Image:      effective.Image,
		DiskGB:     int64(effective.DiskGB),
		Env:        env,
		Ports:      slices.Compact(ports),
		OnStart:    effective.OnStart,
		LaunchMode: launchModes()[effective.LaunchMode],
	}, nil
}

// launchModes maps the API's launch modes to the nouns of fleet.
func launchModes() map[warmpool.LaunchMode]string {
	return map[warmpool.LaunchMode]string{
		warmpool.LaunchSSH: "ssh", warmpool.LaunchJupyter: "jupyter", warmpool.LaunchArgs: "args",
	}
}

func resolveVariable(variable *warmpool.EnvVar, secrets map[string]*corev1.Secret) (string, error) {
	if variable.Value != nil {
		return *variable.Value, nil
	}
	if variable.ValueFrom == nil {
		return "", nil
	}
	ref := variable.ValueFrom.SecretKeyRef
	secret, found := secrets[ref.Name]
	if !found {
		return "", fmt.Errorf("%w: variable %s needs key %q of Secret %q, and there is no such Secret; create it in the namespace of the pool, or change spec.template.env", errCannotPrepare, variable.Name, ref.Key, ref.Name)
	}
	value, found := secret.Data[ref.Key]
	if !found {
		return "", fmt.Errorf("%w: variable %s needs key %q of Secret %q, and the Secret has no such key; add it, or change spec.template.env", errCannotPrepare, variable.Name, ref.Key, ref.Name)
	}
	return string(value), nil
}

// secretNames lists the Secrets that a template names, sorted.
func secretNames(template *warmpool.InstanceTemplate) []string {
	var names []string
	for _, variable := range template.Env {
		if variable.ValueFrom != nil {
			names = append(names, variable.ValueFrom.SecretKeyRef.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// templateHash tells templates apart. Metadata does not count: it changes
// nothing in the container.
func templateHash(template *warmpool.InstanceTemplate) string {
	bare := template.DeepCopy()
	bare.Metadata = warmpool.TemplateMetadata{}
	text, err := json.Marshal(bare)
	if err != nil {
		// Without a hash no failure is forgiven, which is the safe side.
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
