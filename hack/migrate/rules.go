package main

import (
	"maps"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// rule says where a variable of the legacy server goes.
type rule struct {
	// where names a field, a flag or the Secret; note says what is different.
	where, note string
	// apply is nil for what has no place here.
	apply func(*move, string) error
}

const (
	toSecret     = "Secret"
	toTemplate   = "Secret, spec.template.env"
	toInstance   = "spec.template.env"
	toNowhere    = "nowhere"
	milliseconds = 1000
)

// rules hold every variable that the legacy server, its PM2 file or its example
// knew. docs/guides/migrate.md lists the same ones.
func rules() map[string]rule {
	all := map[string]rule{}
	for _, part := range []map[string]rule{secretRules(), offerRules(), templateRules(), healthRules(), serverRules(), deadRules()} {
		maps.Copy(all, part)
	}
	return all
}

func secretRules() map[string]rule {
	return map[string]rule{
		"VASTAI_API_KEY":        {toSecret, "the VastAccount reads it", keep("VASTAI_API_KEY")},
		"VAST_AI_API_KEY":       {toSecret, "as VASTAI_API_KEY, unless that is set", keepUnlessThere("VASTAI_API_KEY")},
		"ADMIN_API_KEY":         {toSecret, "the sidecar reads it: at least 16 characters, and no known default", keep("ADMIN_API_KEY")},
		"AUDIT_SALT":            {toSecret, "keep it, and fingerprints agree with the old rows", keep("AUDIT_SALT")},
		"HUGGINGFACE_HUB_TOKEN": {toTemplate, "handed to every instance, as before", handOver("HUGGINGFACE_HUB_TOKEN")},
		"HF_TOKEN":              {toSecret, "as HUGGINGFACE_HUB_TOKEN, unless that is set; the old server only checked it", keepUnlessThere("HUGGINGFACE_HUB_TOKEN")},
		"CIVITAI_TOKEN":         {toTemplate, "handed to every instance, as before", handOver("CIVITAI_TOKEN")},
		"CIVITAI_API_KEY":       {toSecret, "as CIVITAI_TOKEN, unless that is set; the old server only checked it", keepUnlessThere("CIVITAI_TOKEN")},
		"DROPBOX_TOKEN":         {toTemplate, "handed to every instance, as before", handOver("DROPBOX_TOKEN")},
	}
}

func offerRules() map[string]rule {
	return map[string]rule{
		"WARM_POOL_MAX_DPH": {"spec.cost.maxInstanceUSDPerHour", "limits one instance; the ceiling of the whole pool is new", dollars(func(m *move, amount warmpool.USD) {
			m.spec.Cost.MaxInstanceUSDPerHour = amount
		})},
		"VASTAI_MIN_GPU_RAM_MB": {"spec.offers.minGPUMemoryMB", "of each GPU; the old server added up the GPUs of an offer", whole(0, 1<<30, 1, func(m *move, n int32) {
			m.spec.Offers.MinGPUMemoryMB = &n
		})},
		"VASTAI_MIN_INET_DOWN": {"spec.offers.minDownloadMbps", "", whole(0, 1<<30, 1, func(m *move, n int32) {
			m.spec.Offers.MinDownloadMbps = &n
		})},
		"VASTAI_MAX_INET_DOWN_COST_TB": {"spec.offers.maxBandwidthUSDPerTB.download", "", dollars(func(m *move, amount warmpool.USD) {
			m.spec.Offers.MaxBandwidthUSDPerTB.Download = amount
		})},
		"VASTAI_MAX_INET_UP_COST_TB": {"spec.offers.maxBandwidthUSDPerTB.upload", "", dollars(func(m *move, amount warmpool.USD) {
			m.spec.Offers.MaxBandwidthUSDPerTB.Upload = amount
		})},
		"VASTAI_MIN_RELIABILITY":           {"spec.offers.minReliabilityPercent", "in whole percents, rounded down", reliability},
		"VASTAI_MIN_CUDA_CAPABILITY":       {"spec.offers.minComputeCapability", "now it filters; the old server compared it with the CUDA version and turned nothing away", capability},
		"WARM_POOL_SAFE_MODE":              {"spec.mode: Drain", "which also rents nothing until you set it to Active", safeMode},
		"WARM_POOL_MAX_PROVISION_ATTEMPTS": {"spec.remediation.backoff", "no count: after failures it waits longer each time, and one fault on two machines stops it", nil},
	}
}

func templateRules() map[string]rule {
	disk := whole(8, 8192, 1, func(m *move, n int32) { m.spec.Template.DiskGB = n })
	return map[string]rule{
		"WARM_POOL_DISK_GB": {"spec.template.diskGB", "it is part of the price; the old server used 100 at least, the default here is 64", disk},
		"WARM_POOL_DISK": {"spec.template.diskGB", "unless WARM_POOL_DISK_GB is set", func(m *move, value string) error {
			if m.spec.Template.DiskGB != 0 {
				return nil
			}
			return disk(m, value)
		}},
		"VASTAI_COMFY_IMAGE":       {"spec.template.image", "auto and nothing leave it to the preset", image},
		"COMFYUI_PROVISION_SCRIPT": {"spec.template.provisioningScriptURL", "no list of allowed addresses: who may change the pool may change it", script},
		"DROPBOX_FOLDER": {toInstance, "the old server set DROPBOX_PATH to the same", func(m *move, value string) error {
			for _, name := range []string{"DROPBOX_FOLDER", "DROPBOX_PATH"} {
				if err := hand(name)(m, value); err != nil {
					return err
				}
			}
			return nil
		}},
		"SCRIPTS_BASE_URL":          {toInstance, "for your script, as before", hand("SCRIPTS_BASE_URL")},
		"PROVISION_ALLOWED_SCRIPTS": {toInstance, "for your script, as before", hand("PROVISION_ALLOWED_SCRIPTS")},
		"PROVISION_ALLOWED_HOSTS":   {toInstance, "for your script, as before", hand("PROVISION_ALLOWED_HOSTS")},
		"PROVISION_STRICT":          {toInstance, "for your script; here there is never another script in its place", hand("PROVISION_STRICT")},
		"VASTAI_SSH_KEY_PATH":       {"spec.template.sshPublicKeys", "put the text of the public key there by hand", nil},
		"VASTAI_SSH_KEY_TYPE":       {toNowhere, "no key is made for you", nil},
		"VASTAI_SSH_KEY_BITS":       {toNowhere, "no key is made for you", nil},
		"VASTAI_SSH_PORT":           {"status.ssh of a WarmInstance", "Vast.ai chooses it", nil},
	}
}

func healthRules() map[string]rule {
	return map[string]rule{
		"COMFYUI_READY_TIMEOUT_MS": {"spec.lifecycle.startupDeadlineSeconds", "from the running container to Ready; the default here is 1800", whole(30, 14400, milliseconds, func(m *move, n int32) {
			m.spec.Lifecycle.StartupDeadlineSeconds = n
		})},
		"WARM_POOL_HEALTH_FAILURES_THRESHOLD": {"spec.probes.failureThreshold", "then it is not Ready; after twice as many it is replaced", whole(2, 20, 1, func(m *move, n int32) {
			m.spec.Probes.FailureThreshold = n
		})},
		"COMFYUI_MODELS_GRACE_MS":              {"spec.template.comfy.requiredModels", "name the models: an instance is Ready when they are there", nil},
		"WARM_POOL_HEALTH_BUFFER_MINUTES":      {toNowhere, "it is looked at from the start", nil},
		"WARM_POOL_HEALTH_SUCCESS_THRESHOLD":   {toNowhere, "one rendered picture is the proof", nil},
		"WARM_POOL_REPAIR_THRESHOLD":           {toNowhere, "an instance is replaced, not repaired", nil},
		"WARM_POOL_HEALTH_LATER_INTERVAL_MS":   {"spec.probes.periodSeconds", "15 by default; set it by hand", nil},
		"WARM_POOL_HEALTH_INITIAL_INTERVAL_MS": {"spec.probes.periodSeconds", "15 by default; set it by hand", nil},
		"WARM_POOL_HEALTH_TIMEOUT_MS":          {"spec.lifecycle.startupDeadlineSeconds", "set it by hand; the old server did not use it", nil},
		"WARM_POOL_POLL_INTERVAL_MS":           {"spec.pollPeriodSeconds of the VastAccount", "15 by default, one list for all instances", nil},
		"WARM_POOL_POLL_ACTIVE_INTERVAL_MS":    {"spec.pollPeriodSeconds of the VastAccount", "15 by default, one list for all instances", nil},
		"WARM_POOL_POLL_IDLE_INTERVAL_MS":      {"spec.pollPeriodSeconds of the VastAccount", "15 by default, one list for all instances", nil},
		"DISABLE_AUTO_RECOVERY":                {toNowhere, "spec.mode: Paused ends and rents nothing", nil},
		"WARM_POOL_IDLE_MINUTES":               {toNowhere, "it had no effect; see spec.replicas: 0 with claims", nil},
	}
}

func serverRules() map[string]rule {
	return map[string]rule{
		"PORT":                       {"PORT of the sidecar", "it changes the port of --bind-address", nil},
		"ADMIN_AUDIT_RETENTION_DAYS": {"--audit-retention of the manager", "90 days by default, and always 90 for the sidecar", nil},
		"WARM_POOL_ALERT_WEBHOOK":    {"alerts on metrics", "see the reference of metrics", nil},
		"COMFYUI_TUNNEL_URL":         {toNowhere, "the sidecar connects to the instance itself, at its recorded certificate", nil},
		"TOKEN_VALIDATION_CACHE_MS":  {toNowhere, "the operator checks the key every minute", nil},
		"TOKEN_PERIODIC_CHECK_MS":    {toNowhere, "the old server did not read it", nil},
		"TOKEN_ALERT_WEBHOOK":        {toNowhere, "the old server did not read it", nil},
	}
}

// deadRules are for what had no effect, or serves something that is not there.
func deadRules() map[string]rule {
	all := map[string]rule{}
	for note, names := range map[string][]string{
		"for Node": {"NODE_ENV"},
		"a hook of the old tests, or of the website": {"FORCE_MISSING_VAST_KEY", "ENABLE_ASYNC_GENERATION"},
		"the old code for it was never reached":      {"COMFYUI_KEEPALIVE_INTERVAL_MS", "COMFYUI_KEEPALIVE_TIMEOUT_MS", "COMFYUI_KEEPALIVE_MAX_FAILURES"},
		"the log of an instance that fails is in its status": {
			"SSH_MAX_CONSECUTIVE_FAILURES", "SSH_READY_TIMEOUT_MS", "SSH_KEEPALIVE_INTERVAL_MS", "SSH_KEEPALIVE_MAX_MISS",
		},
		"the old server did not read it": {"HUGGINGFACE_TOKEN", "COMFYUI_MINIMAL_SETUP"},
	} {
		for _, name := range names {
			all[name] = rule{toNowhere, note, nil}
		}
	}
	return all
}
