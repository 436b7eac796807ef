package legacyapi

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
)

// configBody is the answer of GET config: the names of old, with what is in force.
type configBody struct {
	VastAPIKey       string      `json:"VASTAI_API_KEY"`
	AdminAPIKey      string      `json:"ADMIN_API_KEY"`
	HuggingFaceToken string      `json:"HUGGINGFACE_HUB_TOKEN"`
	CivitaiToken     string      `json:"CIVITAI_TOKEN"`
	ProvisionScript  string      `json:"COMFYUI_PROVISION_SCRIPT"`
	DiskGB           string      `json:"WARM_POOL_DISK_GB"`
	MinCapability    json.Number `json:"VASTAI_MIN_CUDA_CAPABILITY"`
	Image            string      `json:"VASTAI_COMFY_IMAGE"`
	SafeMode         string      `json:"WARM_POOL_SAFE_MODE"`
	// IdleMinutes is always 0: nothing was ever ended for being idle, whatever it said.
	IdleMinutes string `json:"WARM_POOL_IDLE_MINUTES"`
	Port        string `json:"PORT"`
}

const (
	configured  = "***configured***"
	notSet      = "NOT SET"
	notSetImage = "NOT SET (using the preset's)"
	// defaultDiskGB is the API's default.
	defaultDiskGB = 64
)

func masked(value string) string {
	if value == "" {
		return notSet
	}
	return configured
}

// config shows what is configured, and no secret.
func (s *Server) config(ctx context.Context, _ *call) answer {
	values, err := s.keys.read(ctx)
	if err != nil {
		return s.trouble(err)
	}
	st, err := s.gather(ctx)
	if err != nil {
		return s.trouble(err)
	}
	template := &st.pool.Spec.Template
	safe := "0"
	if st.mode() == warmpool.PoolDrain {
		safe = "1"
	}
	return ok(configBody{
		VastAPIKey: masked(values[keyVast]), AdminAPIKey: masked(values[keyAdmin]),
		HuggingFaceToken: masked(values[keyHuggingFace]), CivitaiToken: masked(values[keyCivitai]),
		ProvisionScript: cmp.Or(withoutQuery(template.ProvisioningScriptURL), notSet+" (using default)"),
		DiskGB:          strconv.Itoa(int(cmp.Or(template.DiskGB, defaultDiskGB))),
		MinCapability:   json.Number(cmp.Or(st.pool.Spec.Offers.MinComputeCapability, "0")),
		Image:           cmp.Or(template.Image, notSetImage),
		SafeMode:        safe, IdleMinutes: "0", Port: strconv.Itoa(s.options.Port),
	})
}

// withoutQuery hides what a person may have put into the address of a script.
func withoutQuery(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return ""
	}
	parsed.RawQuery, parsed.User, parsed.Fragment = "", nil, ""
	return parsed.String()
}

// configuredBody is the answer of POST config.
type configuredBody struct {
	Success bool   `json:"success"`
	Message string `json:"message"`
	Note    string `json:"note"`
}

// settings is what POST config asks for; nil stays as it is.
type settings struct {
	secrets    map[string]string
	script     *string
	capability *string
	diskGB     *int32
}

// updateConfig changes tokens in the Secret and the template in the pool.
func (s *Server) updateConfig(ctx context.Context, c *call) answer {
	wanted, err := settingsOf(c.fields)
	if err != nil {
		return refuse(http.StatusBadRequest, "%s", err)
	}
	if err := s.changeSecret(ctx, wanted.secrets); err != nil {
		return s.trouble(err)
	}
	details := changedNames(wanted.secrets)
	if _, err := s.changePool(ctx, wanted.apply); err != nil {
		return s.trouble(err).with(details)
	}
	wanted.describe(details)
	return ok(configuredBody{
		Success: true, Message: "Configuration updated",
		Note: "Some changes may require restarting the warm pool instance to take effect",
	}).with(details)
}

// capabilityPattern is that of offers.minComputeCapability.
const capabilityPattern = `^\d{1,3}\.\d{1,2}$`

func settingsOf(given fields) (settings, error) {
	wanted := settings{secrets: map[string]string{}}
	for _, read := range []func(fields) error{wanted.readTokens, wanted.readScript, wanted.readNumbers} {
		if err := read(given); err != nil {
			return settings{}, err
		}
	}
	return wanted, nil
}

func (w *settings) readTokens(given fields) error {
	for name, key := range map[string]string{"huggingface_token": keyHuggingFace, "civitai_token": keyCivitai} {
		token, err := given.secret(name)
		if err != nil {
			return err
		}
		if token != "" {
			w.secrets[key] = token
		}
	}
	return nil
}

// readScript takes the name of old and the one that the page of old sent.
func (w *settings) readScript(given fields) error {
	for _, name := range []string{"provision_script", "provision_script_url"} {
		if _, there := given[name]; !there {
			continue
		}
		script, err := given.script(name)
		if err != nil {
			return err
		}
		w.script = &script
	}
	return nil
}

// readNumbers takes an empty text for absent: forms send it.
func (w *settings) readNumbers(given fields) error {
	const capabilityName, diskName = "min_cuda_capability", "warm_pool_disk_gb"
	if given.has(capabilityName) && given[capabilityName] != "" {
		capability, err := given.capability(capabilityName)
		if err != nil {
			return err
		}
		w.capability = &capability
	}
	if given.has(diskName) && given[diskName] != "" {
		const least, most = 8, 8192
		size, err := given.integer(diskName, least, most)
		if err != nil {
			return err
		}
		w.diskGB = &size
	}
	return nil
}

// script returns the address of a script; empty for the default one.
func (f fields) script(name string) (string, error) {
	const longest = 2048
	text, err := f.text(name)
	if err != nil || text == "" {
		return "", err
	}
	parsed, err := url.Parse(text)
	if err != nil || parsed.Scheme != "https" || parsed.Host == "" || len(text) > longest || !regexp.MustCompile(`^[!-~]+$`).MatchString(text) {
		return "", fieldFault(name, "the https address of a script")
	}
	return text, nil
}

// capability returns a compute capability such as "8.9".
func (f fields) capability(name string) (string, error) {
	number, err := f.number(name)
	text := strconv.FormatFloat(number, 'f', -1, 64)
	if err == nil && number == float64(int64(number)) {
		text += ".0"
	}
	if err != nil || !regexp.MustCompile(capabilityPattern).MatchString(text) {
		return "", fieldFault(name, "a compute capability such as 8.9")
	}
	return text, nil
}

// apply changes the pool.
func (w *settings) apply(spec *warmpool.WarmPoolSpec) {
	if w.script != nil {
		spec.Template.ProvisioningScriptURL = *w.script
	}
	if w.capability != nil {
		spec.Offers.MinComputeCapability = *w.capability
	}
	if w.diskGB != nil {
		spec.Template.DiskGB = *w.diskGB
	}
}

// describe adds what was changed to an audit record.
func (w *settings) describe(details audit.Details) {
	if w.script != nil {
		details["provisionScript"] = audit.Text(cmp.Or(withoutQuery(*w.script), "default"))
	}
	if w.capability != nil {
		details["minComputeCapability"] = audit.Text(*w.capability)
	}
	if w.diskGB != nil {
		details["diskGB"] = audit.Number(int64(*w.diskGB))
	}
}
