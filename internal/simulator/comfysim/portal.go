package comfysim

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// supervisorProcess is one entry of /supervisor/processes.
type supervisorProcess struct {
	Name        string `json:"name"`
	Group       string `json:"group"`
	State       string `json:"state"`
	Description string `json:"description"`
	PID         int    `json:"pid"`
	Start       int64  `json:"start"`
	Now         int64  `json:"now"`
	Unstoppable bool   `json:"unstoppable"`
}

// servePortalBackend is the instance portal behind Caddy on port 1111.
func (i *Instance) servePortalBackend(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "uvicorn")
	answer := &reply{ResponseWriter: w}
	i.portal(answer, r)
	answer.flush()
}

func (i *Instance) portal(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		i.portalControl(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		writeJSON(w, http.StatusMethodNotAllowed, detail("Method Not Allowed"))
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.advanceLocked()
	switch r.URL.Path {
	case "/":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		writeString(w, "<!DOCTYPE html><html><head><title>Instance Portal</title></head><body></body></html>")
	case "/health":
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	case "/supervisor/processes":
		writeJSON(w, http.StatusOK, i.processesLocked())
	case "/system-metrics":
		writeJSON(w, http.StatusOK, i.metricsLocked())
	case "/capabilities", "/.well-known/vast-capabilities":
		writeJSON(w, http.StatusOK, i.capabilitiesLocked(strings.Contains(r.URL.Query().Get("include"), "metrics")))
	default:
		writeJSON(w, http.StatusNotFound, detail("Not Found"))
	}
}

func detail(text string) map[string]string { return map[string]string{"detail": text} }

// portalControl is POST /supervisor/process/{name}/{start,stop,restart}.
func (i *Instance) portalControl(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/supervisor/process/")
	name, action, both := strings.Cut(rest, "/")
	if !ok || !both {
		writeJSON(w, http.StatusNotFound, detail("Not Found"))
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.advanceLocked()
	status, problem := i.controlLocked(name, action)
	if problem != "" {
		writeJSON(w, status, detail(problem))
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok", "name": name, "action": action})
}

// controlLocked obeys, or returns the status and the reason of a refusal.
func (i *Instance) controlLocked(name, action string) (status int, problem string) {
	processes := i.processesLocked()
	n := slices.IndexFunc(processes, func(p supervisorProcess) bool { return p.Name == name })
	switch {
	case action != "restart" && action != "start" && action != "stop":
		return http.StatusNotFound, "Not Found"
	case n < 0 && action == "restart":
		return http.StatusNotFound, "Process '" + name + "' not found"
	case n < 0:
		return http.StatusBadRequest, "BAD_NAME: " + name
	case action == "stop" && processes[n].Unstoppable:
		return http.StatusForbidden, "Process '" + name + "' cannot be stopped"
	case name != "comfyui":
		return http.StatusOK, "" // nothing else here has anything to stop or start
	}
	return http.StatusBadRequest, i.controlComfyLocked(action)
}

// controlComfyLocked obeys for ComfyUI, or returns supervisor's complaint.
func (i *Instance) controlComfyLocked(action string) string {
	now := i.clk.Now()
	running := i.sup.alive || !i.sup.retryAt.IsZero()
	switch action {
	case "restart":
		i.restartLocked(now)
	case "start":
		if running {
			return "ALREADY_STARTED: comfyui"
		}
		i.restartLocked(now)
	case "stop":
		if !running {
			return "NOT_RUNNING: comfyui"
		}
		i.stopComfyLocked()
	}
	return ""
}

// processesLocked is what supervisor runs. A ComfyUI that PORTAL_CONFIG does not name is hidden, as the real portal hides it.
func (i *Instance) processesLocked() []supervisorProcess {
	now := i.nowLocked()
	up := i.boot.frontUpAt
	uptime := "pid 30, uptime " + now.Sub(up).Truncate(time.Second).String()
	list := []supervisorProcess{}
	if !i.sup.skipped {
		state, description := i.stateLocked(i.clk.Now())
		pid := 0
		if i.sup.alive {
			pid = i.sup.pid
		}
		list = append(list, supervisorProcess{
			Name: "comfyui", Group: "comfyui", State: state, Description: description,
			PID: pid, Start: i.sup.spawned.Unix(), Now: now.Unix(),
		})
	}
	for n, name := range []string{"caddy", "instance_portal", "tunnel_manager", "syncthing", "cron"} {
		list = append(list, supervisorProcess{
			Name: name, Group: name, State: "RUNNING", Description: uptime, PID: 30 + n,
			Start: up.Unix(), Now: now.Unix(), Unstoppable: n < 3,
		})
	}
	return list
}

func (i *Instance) metricsLocked() map[string]any {
	percent := 40.0
	if full, ok := i.active[FaultDiskPressure]; ok {
		percent = min(full.number("percent"), 100)
	}
	usage := func(total int64, percent float64) map[string]any {
		return map[string]any{"total": total, "used": int64(float64(total) * percent / 100), "percent": percent}
	}
	load, used := 0.0, int64(0)
	if p := i.proc; p != nil {
		used = p.torchReserved()
		if p.running != nil && !p.noWorker {
			load = 97
		}
	}
	total := i.vramTotalLocked() * int64(i.cfg.GPUs)
	gpu := map[string]any{
		"count": i.cfg.GPUs, "avg_load_percent": load, "memory_used": used >> 20, "memory_total": total >> 20,
		"memory_percent": float64(used) * 100 / float64(max(total, 1)), "memory_unit": "MB", "nvidia_count": i.cfg.GPUs,
	}
	ram := 100 * float64(i.cfg.RAMBytes-i.ramFree()) / float64(i.cfg.RAMBytes)
	return map[string]any{
		"ram": usage(i.cfg.RAMBytes, ram), "disk": usage(i.cfg.DiskBytes, percent), "environment": "container",
		"cpu": map[string]any{"percent": load / 4, "count": 8}, "gpu": gpu,
	}
}

func (i *Instance) capabilitiesLocked(metrics bool) map[string]any {
	scheme := "http"
	if strings.EqualFold(i.cfg.Env["ENABLE_HTTPS"], "true") {
		scheme = "https"
	}
	services := []map[string]any{}
	for _, app := range i.apps {
		state, process := "RUNNING", "instance_portal"
		if strings.Contains(strings.ToLower(app.Name), "comfyui") {
			state, _ = i.stateLocked(i.clk.Now())
			process = "comfyui"
		}
		services = append(services, map[string]any{
			"name": app.Name, "hostname": app.Hostname, "internal_port": app.InternalPort, "external_port": app.ExternalPort,
			"open_path": app.Path, "supervisor_process": process, "state": state, "direct_url": nil,
		})
	}
	_, noDriver := i.active[FaultCPUDevice]
	hardware := map[string]any{"gpu": map[string]any{"summary": i.gpuNameLocked(), "cuda": map[string]any{"driver_version": "12.9", "available": !noDriver}}}
	if metrics {
		hardware["metrics"] = i.metricsLocked()
	}
	return map[string]any{
		"schema_version": "1.0",
		"generated_at":   i.nowLocked().UTC().Format(time.RFC3339),
		"instance": map[string]any{
			"container_id": i.cfg.Env["CONTAINER_ID"], "containerlabel": i.cfg.Env["VAST_CONTAINERLABEL"],
			"workspace": "/workspace", "scheme": scheme, "public_ip": i.cfg.Env["PUBLIC_IPADDR"],
		},
		"credentials":  map[string]bool{"HF_TOKEN": i.cfg.Env["HF_TOKEN"] != "", "CIVITAI_TOKEN": i.cfg.Env["CIVITAI_TOKEN"] != ""},
		"hardware":     hardware,
		"services":     services,
		"provisioning": map[string]any{"status": i.boot.provisioning, "log_file": "/var/log/portal/provisioning.log"},
		"auth": map[string]any{
			"edge": "caddy", "enabled": i.auth.enabled, "methods": []string{"bearer", "cookie", "query"},
			"token_env": []string{"OPEN_BUTTON_TOKEN", "WEB_PASSWORD"}, "query_param": "token",
		},
	}
}
