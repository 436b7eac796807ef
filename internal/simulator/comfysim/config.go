package comfysim

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"k8s.io/utils/clock"
)

// Profiles that [Config.Profile] accepts: the ComfyUI version whose wire behaviour the instance shows.
const (
	// ProfileV0364 is ComfyUI 0.3.64 (October 2025): no /api/jobs, any prompt_id, one device, "posix".
	ProfileV0364 = "v0.3.64"
	// ProfileV038 is ComfyUI 0.38 (2026): /api/jobs, canonical prompt ids only, every device, "linux".
	ProfileV038 = "v0.38"
)

// ModelFile is one file below ComfyUI's models directory.
type ModelFile struct {
	// Name is relative to its folder, with slashes: "sdxl/base.safetensors".
	Name string
	// SizeBytes is the size of the complete file. Zero means 2 GiB.
	SizeBytes int64
	// BuiltIn files are part of the image: they are there even when provisioning fails.
	BuiltIn bool
}

// NodeSpec is a custom node class beside the core ones. It is installed by provisioning, so a failed provisioning loses it.
type NodeSpec struct {
	// Class is the class_type of a prompt.
	Class string
	// Module is the directory below custom_nodes; empty means the class.
	Module string
	// Required maps an input name to its type ("IMAGE", "INT", "STRING", …).
	Required map[string]string
	// Outputs are the types it returns. A first IMAGE input is passed through to an IMAGE output.
	Outputs []string
	// OutputNode makes the class end a prompt, as SaveImage does.
	OutputNode bool
	// GPU nodes fail with the GPU.
	GPU bool
	// Duration is what one run takes.
	Duration time.Duration
}

// Timings are durations of the instance's life in the injected clock's time. Zero means instant.
type Timings struct {
	// CaddyUp is from New until the front listens.
	CaddyUp time.Duration
	// Provisioning is from the front until the provisioner ends.
	Provisioning time.Duration
	// ComfyStart is from the start of main.py until it listens.
	ComfyStart time.Duration
	// DependencyCheck precedes ComfyStart at every start but the first: the image installs requirements again.
	DependencyCheck time.Duration
	// FirstCUDA is added to the first GPU node of a process.
	FirstCUDA time.Duration
	// NodeTime is what one executed node takes besides what follows.
	NodeTime time.Duration
	// RenderTime is what one KSampler run takes, spread over its steps.
	RenderTime time.Duration
	// ModelLoad is what loading one model file takes.
	ModelLoad time.Duration
	// WrongPassword delays the answer to wrong Basic credentials: bcrypt at cost 14.
	WrongPassword time.Duration
}

// DefaultTimings returns the durations of an ordinary host, from the figures in public reports.
func DefaultTimings() Timings {
	return Timings{
		CaddyUp:         8 * time.Second,
		Provisioning:    90 * time.Second,
		ComfyStart:      12 * time.Second,
		DependencyCheck: 3 * time.Second,
		FirstCUDA:       2 * time.Second,
		NodeTime:        15 * time.Millisecond,
		RenderTime:      3 * time.Second,
		ModelLoad:       6 * time.Second,
		WrongPassword:   700 * time.Millisecond,
	}
}

// Hastened returns the durations divided by a speed above 0.
func (t Timings) Hastened(speed float64) Timings {
	for _, d := range []*time.Duration{
		&t.CaddyUp, &t.Provisioning, &t.ComfyStart, &t.DependencyCheck, &t.FirstCUDA, &t.NodeTime, &t.RenderTime, &t.ModelLoad, &t.WrongPassword,
	} {
		*d = time.Duration(float64(*d) / speed)
	}
	return t
}

// Config says what one instance is.
type Config struct {
	// ListenComfy listens on the port that is mapped to container port 8188; it is called when Caddy comes up, and again after a
	// fault that closed the port, so it must be repeatable. Nil means that the port is not mapped.
	ListenComfy func() (net.Listener, error)
	// ListenPortal is the same for container port 1111, the instance portal.
	ListenPortal func() (net.Listener, error)
	// Env is the container's environment: WEB_USERNAME, WEB_PASSWORD, OPEN_BUTTON_TOKEN, ENABLE_AUTH, AUTH_EXCLUDE, ENABLE_HTTPS,
	// PORTAL_CONFIG, COMFYUI_ARGS, PROVISIONING_SCRIPT, PROVISIONING_MANIFEST, VAST_CONTAINERLABEL, CONTAINER_ID, PUBLIC_IPADDR.
	// OPEN_BUTTON_TOKEN=1 is taken literally: replacing it is the platform's work.
	Env map[string]string
	// Profile is ProfileV0364 or ProfileV038; empty means ProfileV038.
	Profile string
	// GPUName is as the driver says it, without the vendor: "GeForce RTX 4090". Empty means that one.
	GPUName string
	// GPUs is the number of devices; zero means one.
	GPUs int
	// VRAMBytes is one device's memory; zero means 24 GiB.
	VRAMBytes int64
	// RAMBytes is the container's memory; zero means 64 GiB.
	RAMBytes int64
	// DiskBytes is the container's disk; zero means 100 GiB.
	DiskBytes int64
	// Models maps a folder ("checkpoints") to its files. Nil means the image's own SD 1.5 checkpoint only.
	Models map[string][]ModelFile
	// Nodes are custom nodes.
	Nodes []NodeSpec
	// Clock is the simulated clock; required.
	Clock clock.Clock
	// Seed makes names, identifiers and rounding errors reproducible.
	Seed uint64
	// Timings are the durations; see [DefaultTimings].
	Timings Timings
	// Faults are set before the first moment of the instance's life: name to parameters, as for SetFault.
	Faults map[string]map[string]string
}

const gib = int64(1) << 30

// SD15Checkpoint is the one checkpoint that the image itself ships.
const SD15Checkpoint = "v1-5-pruned-emaonly-fp16.safetensors"

// withDefaults returns a copy of c with every default filled in.
func (c Config) withDefaults() (Config, error) {
	if c.Clock == nil {
		return c, errors.New("configuring a simulated ComfyUI: Config.Clock is nil: give it a clock")
	}
	if c.Profile == "" {
		c.Profile = ProfileV038
	}
	if c.GPUName == "" {
		c.GPUName = "GeForce RTX 4090"
	}
	c.GPUs = max(c.GPUs, 1)
	setDefault(&c.VRAMBytes, 24*gib)
	setDefault(&c.RAMBytes, 64*gib)
	setDefault(&c.DiskBytes, 100*gib)
	c.Env = maps.Clone(c.Env)
	if c.Models == nil {
		c.Models = map[string][]ModelFile{"checkpoints": {{Name: SD15Checkpoint, SizeBytes: 2132696762, BuiltIn: true}}}
	}
	models := make(map[string][]ModelFile, len(c.Models))
	for folder, files := range c.Models {
		files = slices.Clone(files)
		for n := range files {
			if files[n].Name == "" {
				return c, fmt.Errorf("configuring a simulated ComfyUI: a model in folder %q has no name: name it", folder)
			}
			setDefault(&files[n].SizeBytes, 2*gib)
		}
		models[folder] = files
	}
	c.Models = models
	for _, node := range c.Nodes {
		if node.Class == "" {
			return c, errors.New("configuring a simulated ComfyUI: a custom node has no class: name it")
		}
	}
	return c, nil
}

func setDefault(value *int64, fallback int64) {
	if *value == 0 {
		*value = fallback
	}
}
