package comfysim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// nodeDef is one node class as /object_info shows it and as validation uses it.
type nodeDef struct {
	class    string
	display  string
	category string
	module   string
	required []inputDef
	optional []inputDef
	hidden   map[string]string
	outputs  []string
	names    []string
	output   bool
	gpu      bool
	custom   *NodeSpec
}

// inputDef is one input: a type name, or a list to choose from.
type inputDef struct {
	name    string
	kind    string
	choices []string
	combo   bool
	options string // JSON object; empty means none
	v3      bool   // the choices are written as ["COMBO",{"options":[…]}]
}

func in(name, kind, options string) inputDef {
	return inputDef{name: name, kind: kind, options: options}
}

func pick(name string, choices []string, options string) inputDef {
	return inputDef{name: name, combo: true, choices: choices, options: options}
}

// config is the input as object_info and error messages write it: [type] or [type, options].
func (d inputDef) config() []any {
	options := json.RawMessage(d.options)
	choices := d.choices
	if choices == nil {
		choices = []string{}
	}
	if d.combo && d.v3 {
		return []any{"COMBO", map[string]any{"multiselect": false, "options": choices}}
	}
	var kind any = d.kind
	if d.combo {
		kind = choices
	}
	if d.options == "" {
		return []any{kind}
	}
	return []any{kind, options}
}

// errorConfig is the input as errors echo it: options are always there.
func (d inputDef) errorConfig() []any {
	config := d.config()
	if len(config) == 1 {
		config = append(config, map[string]any{})
	}
	return config
}

const (
	sizeOptions    = `{"default":512,"min":1,"max":16384,"step":1}`
	latentOptions  = `{"default":512,"min":16,"max":16384,"step":8,"tooltip":"The size of the latent image in pixels."}`
	batchOptions   = `{"default":1,"min":1,"max":4096}`
	scaleOptions   = `{"default":512,"min":0,"max":16384,"step":1}`
	stepOptions    = `{"default":20,"min":1,"max":10000,"tooltip":"The number of steps used in the denoising process."}`
	cfgOptions     = `{"default":8.0,"min":0.0,"max":100.0,"step":0.1,"round":0.01}`
	denoiseOptions = `{"default":1.0,"min":0.0,"max":1.0,"step":0.01}`
	seedOptions    = `{"default":0,"min":0,"max":18446744073709551615,"control_after_generate":true,"tooltip":"The random seed used for creating the noise."}`
	weightOptions  = `{"default":1.0,"min":-100.0,"max":100.0,"step":0.01}`
	ckptOptions    = `{"tooltip":"The name of the checkpoint (model) to load."}`
)

// nodesLocked lists every class that the instance has now.
func (i *Instance) nodesLocked() map[string]nodeDef {
	defs := map[string]nodeDef{}
	for _, list := range [][]nodeDef{imageNodes(i.inputImagesLocked()), i.samplingNodes(), i.loaderNodes(), i.customNodes()} {
		for _, def := range list {
			if i.hasNodeLocked(def.class) {
				defs[def.class] = def
			}
		}
	}
	return defs
}

// hasNodeLocked tells whether a class, core or custom, was imported.
func (i *Instance) hasNodeLocked(class string) bool {
	if missing, ok := i.active[FaultMissingNode]; ok && missing.text("class") == class {
		return false
	}
	custom := slices.ContainsFunc(i.cfg.Nodes, func(n NodeSpec) bool { return n.Class == class })
	return !custom || i.boot.provisioning != "failed"
}

func imageNodes(inputs []string) []nodeDef {
	hidden := map[string]string{"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
	return []nodeDef{
		{
			class: "EmptyImage", display: "EmptyImage", category: "image", module: "nodes",
			required: []inputDef{
				in("width", "INT", sizeOptions), in("height", "INT", sizeOptions), in("batch_size", "INT", batchOptions),
				in("color", "INT", `{"default":0,"min":0,"max":16777215,"step":1,"display":"color"}`),
			},
			outputs: []string{"IMAGE"},
		},
		{
			class: "ImageBlur", category: "image/postprocessing", module: "comfy_extras.nodes_post_processing", gpu: true,
			required: []inputDef{
				in("image", "IMAGE", ""), in("blur_radius", "INT", `{"default":1,"min":1,"max":31,"step":1}`),
				in("sigma", "FLOAT", `{"default":1.0,"min":0.1,"max":10.0,"step":0.1}`),
			},
			outputs: []string{"IMAGE"},
		},
		{
			class: "Canny", category: "image/preprocessors", module: "comfy_extras.nodes_canny", gpu: true,
			required: []inputDef{
				in("image", "IMAGE", ""), in("low_threshold", "FLOAT", `{"default":0.4,"min":0.01,"max":0.99,"step":0.01}`),
				in("high_threshold", "FLOAT", `{"default":0.8,"min":0.01,"max":0.99,"step":0.01}`),
			},
			outputs: []string{"IMAGE"},
		},
		{
			class: "ImageInvert", display: "Invert Image", category: "image", module: "nodes",
			required: []inputDef{in("image", "IMAGE", "")}, outputs: []string{"IMAGE"},
		},
		{
			class: "ImageScale", display: "Upscale Image", category: "image/upscaling", module: "nodes",
			required: []inputDef{
				in("image", "IMAGE", ""), pick("upscale_method", []string{"nearest-exact", "bilinear", "area", "bicubic", "lanczos"}, ""),
				in("width", "INT", scaleOptions), in("height", "INT", scaleOptions), pick("crop", []string{"disabled", "center"}, ""),
			},
			outputs: []string{"IMAGE"},
		},
		{
			class: "LoadImage", display: "Load Image", category: "image", module: "nodes",
			required: []inputDef{pick("image", inputs, `{"image_upload":true}`)}, outputs: []string{"IMAGE", "MASK"},
		},
		{
			class: "PreviewImage", display: "Preview Image", category: "image", module: "nodes", output: true, hidden: hidden,
			required: []inputDef{in("images", "IMAGE", "")},
		},
		{
			class: "SaveImage", display: "Save Image", category: "image", module: "nodes", output: true, hidden: hidden,
			required: []inputDef{
				in("images", "IMAGE", `{"tooltip":"The images to save."}`),
				in("filename_prefix", "STRING", `{"default":"ComfyUI","tooltip":"The prefix for the file to save."}`),
			},
		},
	}
}

func (i *Instance) samplingNodes() []nodeDef {
	samplers := []string{
		"euler", "euler_cfg_pp", "euler_ancestral", "heun", "dpm_2", "lms", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_sde", "ddpm",
		"lcm", "ipndm", "deis", "res_multistep", "er_sde", "sa_solver", "ddim", "uni_pc", "uni_pc_bh2", "dpm_fast", "dpm_adaptive",
	}
	schedulers := []string{"simple", "sgm_uniform", "karras", "exponential", "ddim_uniform", "beta", "normal", "linear_quadratic", "kl_optimal"}
	latent := []inputDef{
		in("width", "INT", latentOptions), in("height", "INT", latentOptions), in("batch_size", "INT", batchOptions),
	}
	conditioning := []inputDef{
		in("positive", "CONDITIONING", ""), in("negative", "CONDITIONING", ""), in("latent_image", "LATENT", ""),
	}
	sampler := []inputDef{
		in("model", "MODEL", ""), in("seed", "INT", seedOptions), in("steps", "INT", stepOptions), in("cfg", "FLOAT", cfgOptions),
		pick("sampler_name", samplers, ""), pick("scheduler", schedulers, ""),
	}
	advanced := slices.Clone(sampler)
	advanced[1] = in("noise_seed", "INT", seedOptions)
	advanced = slices.Insert(advanced, 1, pick("add_noise", []string{"enable", "disable"}, ""))
	advanced = append(append(advanced, conditioning...),
		in("start_at_step", "INT", `{"default":0,"min":0,"max":10000}`), in("end_at_step", "INT", `{"default":10000,"min":0,"max":10000}`),
		pick("return_with_leftover_noise", []string{"disable", "enable"}, ""))
	sampler = append(append(sampler, conditioning...), in("denoise", "FLOAT", denoiseOptions))
	return []nodeDef{
		{
			class: "CLIPTextEncode", display: "CLIP Text Encode (Prompt)", category: "conditioning", module: "nodes", gpu: true,
			required: []inputDef{in("text", "STRING", `{"multiline":true,"dynamicPrompts":true}`), in("clip", "CLIP", "")},
			outputs:  []string{"CONDITIONING"},
		},
		{
			class: "EmptyLatentImage", display: "Empty Latent Image", category: "latent", module: "nodes",
			required: latent, outputs: []string{"LATENT"},
		},
		{
			class: "KSampler", display: "KSampler", category: "sampling", module: "nodes", gpu: true,
			required: sampler, outputs: []string{"LATENT"},
		},
		{
			class: "KSamplerAdvanced", display: "KSampler (Advanced)", category: "sampling", module: "nodes", gpu: true,
			required: advanced, outputs: []string{"LATENT"},
		},
		{
			class: "VAEDecode", display: "VAE Decode", category: "latent", module: "nodes", gpu: true,
			required: []inputDef{in("samples", "LATENT", ""), in("vae", "VAE", "")}, outputs: []string{"IMAGE"},
		},
		{
			class: "VAEEncode", display: "VAE Encode", category: "latent", module: "nodes", gpu: true,
			required: []inputDef{in("pixels", "IMAGE", ""), in("vae", "VAE", "")}, outputs: []string{"LATENT"},
		},
	}
}

// loaderNodes are the classes that choose a model file; the choices are what is on the disk now.
func (i *Instance) loaderNodes() []nodeDef {
	loader := func(class, display, category string, outputs []string, required ...inputDef) nodeDef {
		return nodeDef{class: class, display: display, category: category, module: "nodes", required: required, outputs: outputs}
	}
	upscale := pick("model_name", i.modelNamesLocked("upscale_models"), "")
	upscale.v3 = i.prof.newer
	upscaler := loader("UpscaleModelLoader", "Load Upscale Model", "loaders", []string{"UPSCALE_MODEL"}, upscale)
	upscaler.module = "comfy_extras.nodes_upscale_model"
	return []nodeDef{
		loader("CheckpointLoaderSimple", "Load Checkpoint", "loaders", []string{"MODEL", "CLIP", "VAE"},
			pick("ckpt_name", i.modelNamesLocked("checkpoints"), ckptOptions)),
		loader("LoraLoader", "Load LoRA (Model and CLIP)", "loaders", []string{"MODEL", "CLIP"},
			in("model", "MODEL", ""), in("clip", "CLIP", ""), pick("lora_name", i.modelNamesLocked("loras"), ""),
			in("strength_model", "FLOAT", weightOptions), in("strength_clip", "FLOAT", weightOptions)),
		loader("VAELoader", "Load VAE", "loaders", []string{"VAE"},
			pick("vae_name", append(i.modelNamesLocked("vae"), "pixel_space"), "")),
		loader("UNETLoader", "Load Diffusion Model", "advanced/loaders", []string{"MODEL"},
			pick("unet_name", i.modelNamesLocked("diffusion_models"), ""),
			pick("weight_dtype", []string{"default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"}, "")),
		loader("CLIPLoader", "Load CLIP", "advanced/loaders", []string{"CLIP"},
			pick("clip_name", i.modelNamesLocked("text_encoders"), ""),
			pick("type", []string{"stable_diffusion", "sd3", "flux2", "wan", "qwen_image", "hunyuan_image"}, "")),
		loader("ControlNetLoader", "Load ControlNet Model", "loaders", []string{"CONTROL_NET"},
			pick("control_net_name", i.modelNamesLocked("controlnet"), "")),
		upscaler,
	}
}

func (i *Instance) customNodes() []nodeDef {
	defs := make([]nodeDef, 0, len(i.cfg.Nodes))
	for n := range i.cfg.Nodes {
		spec := &i.cfg.Nodes[n]
		def := nodeDef{
			class: spec.Class, display: spec.Class, category: "custom", module: "custom_nodes." + moduleOf(*spec),
			outputs: spec.Outputs, output: spec.OutputNode, gpu: spec.GPU, custom: spec,
		}
		for _, name := range sortedKeys(spec.Required) {
			def.required = append(def.required, in(name, spec.Required[name], ""))
		}
		defs = append(defs, def)
	}
	return defs
}

func moduleOf(node NodeSpec) string {
	if node.Module == "" {
		return node.Class
	}
	return node.Module
}

// wire is the class as /object_info shows it.
func (d nodeDef) wire(newer bool) map[string]any {
	input := map[string]any{"required": inputsWire(d.required)}
	order := map[string]any{"required": inputNames(d.required)}
	if len(d.optional) > 0 {
		input["optional"], order["optional"] = inputsWire(d.optional), inputNames(d.optional)
	}
	if d.hidden != nil {
		input["hidden"], order["hidden"] = d.hidden, sortedKeys(d.hidden)
	}
	outputs := append([]string{}, d.outputs...)
	names := d.names
	if names == nil {
		names = outputs
	}
	display := any(d.display)
	if d.display == "" && newer {
		display = nil // a V3 node without a name of its own
	} else if d.display == "" {
		display = d.class
	}
	out := map[string]any{
		"input": input, "input_order": order, "output": outputs, "output_is_list": make([]bool, len(outputs)), "output_name": names,
		"name": d.class, "display_name": display, "description": "", "python_module": d.module, "category": d.category,
		"output_node": d.output,
	}
	if newer {
		out["is_input_list"] = false
		out["search_aliases"] = []string{}
	}
	return out
}

func inputsWire(inputs []inputDef) map[string]any {
	out := make(map[string]any, len(inputs))
	for _, input := range inputs {
		out[input.name] = input.config()
	}
	return out
}

func inputNames(inputs []inputDef) []string {
	names := make([]string, 0, len(inputs))
	for _, input := range inputs {
		names = append(names, input.name)
	}
	return names
}

// modelFoldersLocked are the folders that ComfyUI knows, and those of the configuration.
func (i *Instance) modelFoldersLocked() []string {
	folders := []string{
		"checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision", "style_models", "embeddings",
		"diffusers", "vae_approx", "controlnet", "gligen", "upscale_models", "custom_nodes", "hypernetworks", "photomaker",
		"classifiers", "model_patches", "audio_encoders",
	}
	for _, folder := range sortedKeys(i.cfg.Models) {
		if !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	return folders
}

// modelsLocked are the files of a folder that are there now, sorted by name as ComfyUI lists them.
func (i *Instance) modelsLocked(folder string) []ModelFile {
	var files []ModelFile
	missing, isMissing := i.active[FaultMissingModel]
	short, isShort := i.active[FaultTruncatedModel]
	for _, file := range i.cfg.Models[folder] {
		if i.boot.provisioning != "complete" && !file.BuiltIn {
			continue
		}
		if isMissing && missing.text("folder") == folder && missing.text("name") == file.Name {
			continue
		}
		if isShort && short.text("folder") == folder && short.text("name") == file.Name {
			file.SizeBytes = int64(float64(file.SizeBytes) * min(short.number("percent"), 99) / 100)
		}
		files = append(files, file)
	}
	slices.SortFunc(files, func(a, b ModelFile) int { return strings.Compare(a.Name, b.Name) })
	return files
}

func (i *Instance) modelNamesLocked(folder string) []string {
	names := []string{}
	for _, file := range i.modelsLocked(folder) {
		names = append(names, file.Name)
	}
	return names
}

// pythonList writes strings as Python's str(list) does.
func pythonList(values []string) string {
	quoted := make([]string, 0, len(values))
	for _, value := range values {
		quoted = append(quoted, fmt.Sprintf("'%s'", strings.ReplaceAll(value, "'", `\'`)))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
