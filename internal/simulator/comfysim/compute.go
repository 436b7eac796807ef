package comfysim

import (
	"hash/fnv"
	"path"
	"strings"
)

// modelFolder is the folder a loader class reads from; empty for other classes.
func modelFolder(class string) string {
	switch class {
	case "CheckpointLoaderSimple":
		return "checkpoints"
	case "LoraLoader":
		return "loras"
	case "VAELoader":
		return "vae"
	case "UNETLoader":
		return "diffusion_models"
	case "CLIPLoader":
		return "text_encoders"
	case "ControlNetLoader":
		return "controlnet"
	case "UpscaleModelLoader":
		return "upscale_models"
	default:
		return ""
	}
}

func modelInput(class string) string {
	switch class {
	case "CheckpointLoaderSimple":
		return "ckpt_name"
	case "LoraLoader":
		return "lora_name"
	case "VAELoader":
		return "vae_name"
	case "UNETLoader":
		return "unet_name"
	case "CLIPLoader":
		return "clip_name"
	case "ControlNetLoader":
		return "control_net_name"
	default:
		return "model_name"
	}
}

// compute is what the node does. The instance's lock is held: nothing here takes long, since pictures are drawn when they are
// looked at.
func (r *run) compute(id string, node *graphNode, def nodeDef) (values []value, saved []fileRef, failure *nodeFailure) {
	switch {
	case node.class == "SaveImage":
		return r.save(id, node, "output", node.text("filename_prefix"))
	case node.class == "PreviewImage":
		return r.save(id, node, "temp", "ComfyUI")
	case def.output:
		return nil, []fileRef{}, nil
	case def.custom != nil:
		return r.custom(node, def), nil, nil
	case strings.HasPrefix(node.class, "KSampler"):
		return []value{r.sampled(node)}, nil, nil
	case modelFolder(node.class) != "":
		out := make([]value, len(def.outputs))
		for n := range out {
			out[n].model = node.text(modelInput(node.class))
		}
		return out, nil, nil
	}
	out, failure := r.image(node)
	if failure != nil {
		return nil, nil, failure
	}
	if def.gpu {
		r.corrupt(out)
	}
	values = []value{out}
	for len(values) < len(def.outputs) {
		values = append(values, value{})
	}
	return values, nil, nil
}

// image computes the classes that make or change pictures and latents.
func (r *run) image(node *graphNode) (value, *nodeFailure) {
	size := func() (int, int) { return int(node.integer("width")), int(node.integer("height")) }
	switch node.class {
	case "EmptyImage":
		width, height := size()
		color := node.integer("color")
		flat := flatPicture(width, height, [3]uint8{uint8(color >> 16), uint8(color >> 8), uint8(color)}) //nolint:gosec // one byte each
		return value{pictures: repeatPicture(flat, int(node.integer("batch_size")))}, nil
	case "EmptyLatentImage":
		width, height := size()
		return value{latent: latent{width: width, height: height, batch: int(node.integer("batch_size"))}}, nil
	case "LoadImage":
		loaded, err := r.inst.files.load("input", node.text("image"))
		if err != nil {
			return value{}, &nodeFailure{exception: "PIL.UnidentifiedImageError", message: "cannot identify image file"}
		}
		return value{pictures: []*picture{loaded}}, nil
	case "VAEDecode":
		return value{pictures: r.input(node, "samples").latent.decode()}, nil
	case "VAEEncode":
		out := latent{batch: 1}
		if pictures := r.input(node, "pixels").pictures; len(pictures) > 0 {
			out = latent{width: pictures[0].width, height: pictures[0].height, batch: len(pictures)}
		}
		return value{latent: out}, nil
	default:
		return r.filter(node), nil
	}
}

// filter computes the classes that make a picture of each picture.
func (r *run) filter(node *graphNode) value {
	var change func(*picture) *picture
	switch node.class {
	case "ImageScale":
		width, height := int(node.integer("width")), int(node.integer("height"))
		change = func(p *picture) *picture { return p.scaled(width, height) }
	case "ImageInvert":
		change = (*picture).inverted
	case "ImageBlur":
		change = func(p *picture) *picture { return r.rounded(p.blurred()) }
	case "Canny":
		change = (*picture).edges
	default:
		return value{}
	}
	var out value
	for _, p := range r.input(node, "image").pictures {
		out.pictures = append(out.pictures, change(p))
	}
	return out
}

// input is the value that another node left for an input.
func (r *run) input(node *graphNode, name string) value {
	l, _, ok := asLink(node.inputs[name])
	if !ok {
		return value{}
	}
	result := r.results[l.node]
	if result == nil || l.slot >= len(result.values) {
		return value{}
	}
	return result.values[l.slot]
}

// sampled is a latent that depends on everything the sampler was given.
func (r *run) sampled(node *graphNode) value {
	hash := fnv.New64a()
	for _, name := range sortedKeys(node.inputs) {
		_, _ = hash.Write(node.inputs[name])
	}
	for _, name := range []string{"positive", "negative", "model"} {
		if l, _, ok := asLink(node.inputs[name]); ok && r.it.graph.nodes[l.node] != nil {
			_, _ = hash.Write([]byte(r.it.graph.nodes[l.node].text("text")))
		}
	}
	out := r.input(node, "latent_image").latent
	out.seed = hash.Sum64()
	return value{latent: out}
}

// custom passes the first picture through to every picture output.
func (r *run) custom(node *graphNode, def nodeDef) []value {
	var first value
	for _, input := range def.required {
		if input.kind == "IMAGE" && len(first.pictures) == 0 {
			first = r.input(node, input.name)
		}
	}
	out := make([]value, len(def.outputs))
	for n, kind := range def.outputs {
		if kind == "IMAGE" {
			out[n] = first
		}
	}
	return out
}

// rounded is a GPU's rounding: a constant that went through a float convolution can come out one below itself, since saving
// truncates. On the CPU it does not.
func (r *run) rounded(p *picture) *picture {
	if !p.flat || r.inst.onCPULocked() {
		return p
	}
	out := p.color
	for n := range out {
		if out[n] > 0 && (uint64(out[n])*2654435761+r.inst.cfg.Seed)%4 == 0 {
			out[n]--
		}
	}
	return flatPicture(p.width, p.height, out)
}

// corrupt is the wrong-pixels fault.
func (r *run) corrupt(v value) {
	wrong, ok := r.inst.active[FaultWrongPixels]
	if !ok || r.inst.onCPULocked() {
		return
	}
	for n, p := range v.pictures {
		switch wrong.text("how") {
		case "black":
			v.pictures[n] = flatPicture(p.width, p.height, [3]uint8{})
		case "shift":
			v.pictures[n] = p.mapped(func(c [3]uint8) [3]uint8 { return [3]uint8{c[0] + 40, c[1], c[2]} })
		default:
			v.pictures[n] = noisePicture(p.width, p.height, r.inst.cfg.Seed+1, 255)
		}
	}
}

// save stores the pictures under ComfyUI's names. PreviewImage adds five random letters for each node object, which lives as long
// as the node is in the prompts.
func (r *run) save(id string, node *graphNode, kind, prefix string) ([]value, []fileRef, *nodeFailure) {
	if strings.Contains(prefix, "..") || strings.HasPrefix(prefix, "/") {
		return nil, nil, &nodeFailure{exception: "Exception", message: "**** ERROR: Saving image outside the output folder is not allowed."}
	}
	if kind == "temp" {
		class := id + "/" + node.class
		if r.proc.suffixes[class] == "" {
			r.proc.suffixes[class] = r.inst.letters(5)
		}
		prefix += "_temp_" + r.proc.suffixes[class]
	}
	subfolder, base := path.Split(prefix)
	saved := []fileRef{}
	for _, p := range r.input(node, "images").pictures {
		meta := r.it.graph.raw
		if r.inst.args.disableMetadata {
			meta = nil
		}
		saved = append(saved, r.inst.files.save(kind, strings.TrimSuffix(subfolder, "/"), base, storedFile{picture: p, prompt: meta}))
	}
	return []value{}, saved, nil
}
