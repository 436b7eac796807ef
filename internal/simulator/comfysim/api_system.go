package comfysim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

func (i *Instance) onCPULocked() bool {
	_, cpu := i.active[FaultCPUDevice]
	return cpu || i.args.cpu
}

func (i *Instance) vramTotalLocked() int64 {
	if i.onCPULocked() {
		return i.cfg.RAMBytes
	}
	if small, ok := i.active[FaultSmallVRAM]; ok {
		return int64(small.number("bytes"))
	}
	return i.cfg.VRAMBytes
}

func (i *Instance) gpuNameLocked() string {
	if wrong, ok := i.active[FaultWrongGPU]; ok {
		return wrong.text("name")
	}
	return i.cfg.GPUName
}

// ramFree is what the container has left; ComfyUI and the driver hold about 4 GiB of it.
func (i *Instance) ramFree() int64 { return max(i.cfg.RAMBytes-4*gib, i.cfg.RAMBytes/4) }

// devicesLocked is the list of /system_stats: every device in newer versions, the first one in older.
func (i *Instance) devicesLocked(p *process) []map[string]any {
	devices := []map[string]any{}
	if _, none := i.active[FaultNoDevice]; none {
		return devices
	}
	total := i.vramTotalLocked()
	if i.onCPULocked() {
		return append(devices, map[string]any{
			"name": "cpu", "type": "cpu", "index": nil,
			"vram_total": total, "vram_free": i.ramFree(), "torch_vram_total": total, "torch_vram_free": i.ramFree(),
		})
	}
	count := 1
	if i.prof.newer {
		count = i.cfg.GPUs
	}
	occupied := total / 64 // the context and the driver
	if low, ok := i.active[FaultLowVRAM]; ok {
		occupied += int64(float64(total) * min(low.number("percent"), 100) / 100)
	}
	for n := range count {
		reserved := int64(0)
		if n == 0 {
			reserved = p.torchReserved()
		}
		unused := reserved / 8
		devices = append(devices, map[string]any{
			"name": fmt.Sprintf("cuda:%d NVIDIA %s : cudaMallocAsync", n, i.gpuNameLocked()), "type": "cuda", "index": n,
			"vram_total": total, "vram_free": max(total-occupied-reserved+unused, 0),
			"torch_vram_total": reserved, "torch_vram_free": unused,
		})
	}
	return devices
}

// getSystemStats touches CUDA: on a dead context it raises, in a wedged driver it never returns.
func (c *call) getSystemStats() {
	if !c.i.await(c.r.Context().Done(), func(time.Time) (time.Duration, bool) {
		_, wedged := c.i.active[FaultDriverWedge]
		c.p.wedged = wedged
		return 0, !wedged || c.i.proc != c.p
	}) {
		return
	}
	c.i.mu.Lock()
	defer c.i.mu.Unlock()
	if _, broken := c.i.active[FaultGPUFault]; broken && !c.i.onCPULocked() {
		c.trouble()
		return
	}
	prof := c.i.prof
	system := map[string]any{
		"os": prof.os, "ram_total": c.i.cfg.RAMBytes, "ram_free": c.i.ramFree(), "comfyui_version": prof.version,
		"required_frontend_version": prof.frontend, "installed_templates_version": prof.templates,
		"required_templates_version": prof.templates, "python_version": prof.python, "pytorch_version": prof.pytorch,
		"embedded_python": false, "argv": c.i.args.argv,
	}
	if prof.newer {
		system["deploy_environment"] = "local-git"
		system["comfy_package_versions"] = []map[string]string{
			{"name": "comfyui-frontend-package", "installed": prof.frontend, "required": prof.frontend},
		}
	}
	c.json(http.StatusOK, map[string]any{"system": system, "devices": c.i.devicesLocked(c.p)})
}

func (c *call) getFeatures() {
	features := map[string]any{"supports_preview_metadata": true, "max_upload_size": c.i.args.maxUploadMB << 20}
	if c.i.prof.newer {
		features["extension"] = map[string]any{"manager": map[string]any{"supports_v4": true}}
	}
	c.json(http.StatusOK, features)
}

func (c *call) getObjectInfo() {
	c.i.mu.Lock()
	defer c.i.mu.Unlock()
	out := map[string]any{}
	for class, def := range c.i.nodesLocked() {
		out[class] = def.wire(c.i.prof.newer)
	}
	c.json(http.StatusOK, out)
}

func (c *call) getObjectInfoOf() {
	c.i.mu.Lock()
	defer c.i.mu.Unlock()
	out := map[string]any{}
	if def, ok := c.i.nodesLocked()[c.rest]; ok {
		out[c.rest] = def.wire(c.i.prof.newer)
	}
	c.json(http.StatusOK, out)
}

func (c *call) getModelFolders() {
	c.i.mu.Lock()
	defer c.i.mu.Unlock()
	c.json(http.StatusOK, c.i.modelFoldersLocked())
}

// folder answers 404 itself for a folder that ComfyUI does not know.
func (c *call) folder() (string, bool) {
	if slices.Contains(c.i.modelFoldersLocked(), c.rest) {
		return c.rest, true
	}
	c.empty(http.StatusNotFound)
	return "", false
}

func (c *call) getModels() {
	c.i.mu.Lock()
	defer c.i.mu.Unlock()
	if folder, ok := c.folder(); ok {
		c.json(http.StatusOK, c.i.modelNamesLocked(folder))
	}
}

func (c *call) getExperimentFolders() {
	c.i.mu.Lock()
	defer c.i.mu.Unlock()
	list := []any{}
	for _, folder := range c.i.modelFoldersLocked() {
		if folder != "configs" && folder != "custom_nodes" {
			list = append(list, map[string]any{"name": folder, "folders": []string{"/workspace/ComfyUI/models/" + folder}})
		}
	}
	c.json(http.StatusOK, list)
}

func (c *call) getExperimentModels() {
	c.i.mu.Lock()
	defer c.i.mu.Unlock()
	folder, ok := c.folder()
	if !ok {
		return
	}
	list := []any{}
	for _, file := range c.i.modelsLocked(folder) {
		at := float64(c.p.started.Unix())
		list = append(list, map[string]any{"name": file.Name, "pathIndex": 0, "modified": at, "created": at, "size": file.SizeBytes})
	}
	c.json(http.StatusOK, list)
}

func (c *call) getEmbeddings() {
	c.i.mu.Lock()
	defer c.i.mu.Unlock()
	names := []string{}
	for _, name := range c.i.modelNamesLocked("embeddings") {
		if dot := strings.LastIndex(name, "."); dot > 0 {
			name = name[:dot]
		}
		names = append(names, name)
	}
	c.json(http.StatusOK, names)
}

func (c *call) getExtensions() {
	c.i.mu.Lock()
	defer c.i.mu.Unlock()
	files := []string{"/extensions/core/groupNode.js"}
	for _, node := range c.i.cfg.Nodes {
		if c.i.hasNodeLocked(node.Class) {
			files = append(files, "/extensions/"+moduleOf(node)+"/main.js")
		}
	}
	c.json(http.StatusOK, files)
}

func (c *call) getIndex() {
	c.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	writeString(c.w, "<!DOCTYPE html><html><head><title>ComfyUI</title></head><body></body></html>")
}

func (c *call) getLogs() {
	c.i.mu.Lock()
	defer c.i.mu.Unlock()
	var text strings.Builder
	for _, line := range c.p.ring {
		text.WriteString(line.T + " - " + line.M)
	}
	c.json(http.StatusOK, text.String())
}

func (c *call) getRawLogs() {
	c.i.mu.Lock()
	defer c.i.mu.Unlock()
	c.json(http.StatusOK, map[string]any{"entries": c.p.ring, "size": terminalSize()})
}

func (c *call) patchSubscribe() {
	var request struct {
		ClientID string `json:"clientId"`
		Enabled  bool   `json:"enabled"`
	}
	if !c.body(&request) {
		return
	}
	c.i.mu.Lock()
	if request.Enabled {
		c.p.subscribers[request.ClientID] = true
	} else {
		delete(c.p.subscribers, request.ClientID)
	}
	c.i.mu.Unlock()
	c.empty(http.StatusOK)
}

func (c *call) getFolderPaths() {
	c.i.mu.Lock()
	defer c.i.mu.Unlock()
	out := map[string][]string{}
	for _, folder := range c.i.modelFoldersLocked() {
		out[folder] = []string{"/workspace/ComfyUI/models/" + folder}
	}
	c.json(http.StatusOK, out)
}

func (c *call) getFiles() {
	if c.rest != "output" && c.rest != "input" && c.rest != "temp" {
		c.json(http.StatusBadRequest, map[string]string{"error": "Invalid directory type"})
		return
	}
	c.i.mu.Lock()
	defer c.i.mu.Unlock()
	c.json(http.StatusOK, append([]string{}, c.i.files.names(c.rest)...))
}
