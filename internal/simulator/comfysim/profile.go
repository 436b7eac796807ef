package comfysim

import (
	"fmt"
	"strconv"
	"strings"
)

// profile is what differs on the wire between two versions of ComfyUI.
type profile struct {
	version   string
	os        string
	frontend  string
	templates string
	python    string
	pytorch   string
	server    string
	// newer switches everything that 0.38 does and 0.3.64 does not: /api/jobs, canonical prompt ids, every device, create_time,
	// sensitive keys kept out of the queue, missing_node_type, more fields in /system_stats and /features.
	newer bool
}

func profileOf(name string) (profile, error) {
	switch name {
	case ProfileV0364:
		return profile{
			version: "0.3.64", os: "posix", frontend: "1.27.10", templates: "0.1.95",
			python: "3.12.11 (main, Jun  4 2025, 08:56:18) [GCC 13.3.0]", pytorch: "2.8.0+cu128",
			server: "Python/3.12 aiohttp/3.12.15",
		}, nil
	case ProfileV038:
		return profile{
			version: "0.38.1", os: "linux", frontend: "1.42.8", templates: "0.9.44",
			python: "3.12.11 (main, Jun  4 2025, 08:56:18) [GCC 13.3.0]", pytorch: "2.10.0+cu128",
			server: "Python/3.12 aiohttp/3.13.2", newer: true,
		}, nil
	default:
		return profile{}, fmt.Errorf("choosing the profile of a simulated ComfyUI: %q is unknown: use %s or %s", name, ProfileV0364, ProfileV038)
	}
}

// defaultComfyArgs is what the image starts ComfyUI with when COMFYUI_ARGS is unset.
const defaultComfyArgs = "--disable-auto-launch --port 18188 --enable-cors-header"

// comfyArgs are the command line flags that change behaviour.
type comfyArgs struct {
	argv            []string
	port            int
	cpu             bool
	cors            string // the allowed origin; empty means the origin check is on instead
	disableMetadata bool
	cacheNone       bool
	cacheLRU        int
	maxUploadMB     int64
	previews        bool
}

func parseComfyArgs(env map[string]string) comfyArgs {
	line, ok := env["COMFYUI_ARGS"]
	if !ok || strings.TrimSpace(line) == "" {
		line = defaultComfyArgs
	}
	words := strings.Fields(line)
	args := comfyArgs{argv: append([]string{"main.py"}, words...), port: 8188, maxUploadMB: 100}
	for n, word := range words {
		value := ""
		if n+1 < len(words) && !strings.HasPrefix(words[n+1], "--") {
			value = words[n+1]
		}
		args.set(word, value)
	}
	return args
}

func (a *comfyArgs) set(flag, value string) {
	switch flag {
	case "--cpu":
		a.cpu = true
	case "--enable-cors-header":
		a.cors = "*"
		if value != "" {
			a.cors = value
		}
	case "--disable-metadata":
		a.disableMetadata = true
	case "--cache-none":
		a.cacheNone = true
	case "--preview-method":
		a.previews = value != "" && value != "none"
	default:
		if number, err := strconv.Atoi(value); err == nil {
			a.setNumber(flag, number)
		}
	}
}

func (a *comfyArgs) setNumber(flag string, number int) {
	switch flag {
	case "--port":
		a.port = number
	case "--cache-lru":
		a.cacheLRU = number
	case "--max-upload-size":
		a.maxUploadMB = int64(number)
	}
}

// portalApp is one entry of PORTAL_CONFIG: hostname:external:internal:path:name.
type portalApp struct {
	Hostname     string
	ExternalPort int
	InternalPort int
	Path         string
	Name         string
}

// parsePortalConfig reads PORTAL_CONFIG as the image's Caddy manager does: one bad entry makes the whole configuration unusable.
func parsePortalConfig(value string) []portalApp {
	if value == "" {
		return nil
	}
	var apps []portalApp
	for entry := range strings.SplitSeq(value, "|") {
		parts := strings.SplitN(entry, ":", 5)
		if len(parts) != 5 {
			return nil
		}
		external, err := strconv.Atoi(parts[1])
		if err != nil {
			return nil
		}
		internal, err := strconv.Atoi(parts[2])
		if err != nil {
			return nil
		}
		apps = append(apps, portalApp{Hostname: parts[0], ExternalPort: external, InternalPort: internal, Path: parts[3], Name: parts[4]})
	}
	return apps
}
