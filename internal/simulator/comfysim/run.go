package comfysim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// nodeResult is what a node left behind, as the execution cache keeps it.
type nodeResult struct {
	values []value
	ui     map[string]any // the images of an output node; nil for the others
	meta   map[string]any
}

// value is one output of a node: pictures, or a latent, or the name of a model.
type value struct {
	pictures []*picture
	latent   latent
	model    string
}

type latent struct {
	width, height, batch int
	seed                 uint64
}

// nodeFailure is why a prompt ended early.
type nodeFailure struct {
	exception   string
	message     string
	interrupted bool
	gone        bool // the process has ended: nobody is left to say anything
}

// run is the execution of one prompt by the worker.
type run struct {
	inst     *Instance
	proc     *process
	it       *item
	defs     map[string]nodeDef
	order    []string
	signer   *signer
	results  map[string]*nodeResult
	executed []string
	states   map[string]any
	entry    *historyEntry
}

func newRun(p *process, it *item) *run {
	return &run{
		inst: p.inst, proc: p, it: it, results: map[string]*nodeResult{}, executed: []string{}, states: map[string]any{},
		entry: &historyEntry{it: it, outputs: map[string]any{}, meta: map[string]any{}},
	}
}

// execute runs the prompt and records it. It returns false when the worker must not go on.
func (r *run) execute() bool {
	if !r.begin() {
		return false
	}
	for _, id := range r.order {
		failure := r.node(id)
		if failure == nil {
			continue
		}
		if failure.gone {
			return false
		}
		return r.fail(id, failure)
	}
	r.inst.mu.Lock()
	defer r.inst.mu.Unlock()
	if r.inst.proc != r.proc {
		return false
	}
	r.say("execution_success", map[string]any{"prompt_id": r.it.id}, false)
	r.entry.status = "success"
	r.end()
	return true
}

// begin announces the prompt, drops from the cache what this prompt does not need, and says what it found there.
func (r *run) begin() bool {
	i, p := r.inst, r.proc
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.proc != p {
		return false
	}
	r.defs = i.nodesLocked()
	r.entry.started = i.nowLocked()
	i.comfyLogLocked(i.nowLocked(), "got prompt")
	r.say("execution_start", map[string]any{"prompt_id": r.it.id}, false)
	if dead, ok := i.active[FaultWorkerDead]; ok && dead.text("where") == "inside" {
		i.killWorkerLocked(r.it.id)
		p.working = false
		return false
	}
	cached := r.lookUpCacheLocked()
	r.say("execution_cached", map[string]any{"nodes": cached, "prompt_id": r.it.id}, false)
	r.order = r.it.graph.executionOrder(r.it.outputs, func(id string) bool { return r.results[id] != nil })
	return true
}

// lookUpCacheLocked is ComfyUI's classic cache: it keeps only what the present prompt uses, so a prompt that differs drops the
// results of the one before it. --cache-lru keeps more, --cache-none nothing.
func (r *run) lookUpCacheLocked() []string {
	p := r.proc
	r.signer = &signer{graph: r.it.graph, known: map[string]string{}, salt: func(node *graphNode) string {
		if node.class == "LoadImage" {
			return r.inst.files.version("input", node.text("image"))
		}
		return ""
	}}
	keep := map[string]*nodeResult{}
	suffixes := map[string]string{}
	cached := []string{}
	for _, id := range r.it.graph.order {
		key := r.signer.signature(id)
		if result := p.cache[key]; result != nil {
			keep[key] = result
			r.results[id] = result
			cached = append(cached, id)
		}
		class := id + "/" + r.it.graph.nodes[id].class
		if suffix, ok := p.suffixes[class]; ok {
			suffixes[class] = suffix
		}
	}
	p.suffixes = suffixes
	if r.inst.args.cacheLRU == 0 {
		p.cache = keep
	}
	return cached
}

func (r *run) remember(id string, result *nodeResult) {
	p, limit := r.proc, r.inst.args.cacheLRU
	if r.inst.args.cacheNone {
		return
	}
	key := r.signer.signature(id)
	p.cache[key] = result
	if limit == 0 {
		return
	}
	p.cacheAge = append(slices.DeleteFunc(p.cacheAge, func(old string) bool { return old == key }), key)
	for len(p.cacheAge) > limit {
		delete(p.cache, p.cacheAge[0])
		p.cacheAge = p.cacheAge[1:]
	}
}

// say adds a message to the history and sends it to the prompt's client, or to everybody if it is a broadcast without a client.
func (r *run) say(event string, data map[string]any, broadcast bool) {
	data["timestamp"] = r.inst.nowLocked().UnixMilli()
	r.entry.messages = append(r.entry.messages, message{Event: event, Data: data})
	if client := r.it.clientID(); client != "" || broadcast {
		r.proc.send(client, event, data)
	}
}

// node runs one node, or repeats what the cache knows of it.
func (r *run) node(id string) *nodeFailure {
	i := r.inst
	node := r.it.graph.nodes[id]
	def := r.defs[node.class]
	if result := r.results[id]; result != nil {
		i.mu.Lock()
		defer i.mu.Unlock()
		r.showOutput(id, result)
		return nil
	}
	if failure := r.start(id, def); failure != nil {
		return failure
	}
	if failure := r.spend(id, node, def); failure != nil {
		return failure
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.proc != r.proc {
		return &nodeFailure{gone: true}
	}
	values, saved, failure := r.compute(id, node, def)
	if failure != nil {
		return failure
	}
	result := &nodeResult{values: values}
	if def.output {
		result.ui = map[string]any{"images": saved}
		result.meta = map[string]any{"node_id": id, "display_node": id, "parent_node": nil, "real_node_id": id}
	}
	r.results[id] = result
	r.remember(id, result)
	r.showOutput(id, result)
	r.state(id, "finished", 1, 1)
	r.executed = append(r.executed, id)
	return nil
}

// start marks the node as running, takes an interrupt that waits, and fails GPU nodes of a broken GPU.
func (r *run) start(id string, def nodeDef) *nodeFailure {
	i := r.inst
	if failure := r.wait(0); failure != nil {
		return failure
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.proc != r.proc {
		return &nodeFailure{gone: true}
	}
	r.proc.lastNode = id
	r.state(id, "running", 0, 1)
	if client := r.it.clientID(); client != "" {
		r.proc.send(client, "executing", map[string]any{"node": id, "display_node": id, "prompt_id": r.it.id})
	}
	if !def.gpu || i.onCPULocked() {
		return nil
	}
	return i.gpuFailureLocked()
}

// gpuFailureLocked is what torch raises on a GPU that does not work.
func (i *Instance) gpuFailureLocked() *nodeFailure {
	accelerator := "torch.AcceleratorError"
	if broken, ok := i.active[FaultGPUFault]; ok {
		return &nodeFailure{exception: accelerator, message: broken.text("message")}
	}
	if _, ok := i.active[FaultNoKernelImage]; ok {
		return &nodeFailure{exception: accelerator, message: "CUDA error: no kernel image is available for execution on the device"}
	}
	if _, ok := i.active[FaultOOM]; ok {
		return &nodeFailure{exception: "torch.OutOfMemoryError", message: "Allocation on device "}
	}
	return nil
}

// spend lets the node's time pass: loading a model, the first use of CUDA, sampling steps.
func (r *run) spend(id string, node *graphNode, def nodeDef) *nodeFailure {
	took, factor := r.cost(def)
	if def.gpu {
		if failure := r.hang(); failure != nil {
			return failure
		}
	}
	if folder := modelFolder(node.class); folder != "" {
		if failure := r.load(folder, node); failure != nil {
			return failure
		}
	}
	if failure := r.wait(time.Duration(float64(took) * factor)); failure != nil {
		return failure
	}
	if strings.HasPrefix(node.class, "KSampler") {
		return r.sample(id, node, time.Duration(float64(r.inst.cfg.Timings.RenderTime)*factor))
	}
	return nil
}

// cost is a node's own time and what a slow GPU multiplies it by. The first GPU node of a process starts CUDA.
func (r *run) cost(def nodeDef) (took time.Duration, factor float64) {
	i, times := r.inst, r.inst.cfg.Timings
	i.mu.Lock()
	defer i.mu.Unlock()
	took, factor = times.NodeTime, 1.0
	if def.custom != nil {
		took = def.custom.Duration
	}
	if !def.gpu {
		return took, factor
	}
	if slow, ok := i.active[FaultSlowGPU]; ok {
		factor = slow.number("factor")
	}
	if !i.onCPULocked() && !r.proc.cudaReady {
		r.proc.cudaReady = true
		took += times.FirstCUDA
	}
	return took, factor
}

// hang is a kernel that never ends: no interrupt reaches it.
func (r *run) hang() *nodeFailure {
	i := r.inst
	if !i.await(r.proc.dead, func(time.Time) (time.Duration, bool) {
		_, hung := i.active[FaultHang]
		return 0, !hung
	}) {
		return &nodeFailure{gone: true}
	}
	return nil
}

// wait lets time pass and then takes an interrupt, if one was asked for meanwhile: only a boundary between steps notices it.
func (r *run) wait(d time.Duration) *nodeFailure {
	i := r.inst
	until := i.clk.Now().Add(d)
	interrupted := false
	if !i.await(r.proc.dead, func(now time.Time) (time.Duration, bool) {
		if now.Before(i.stalled) {
			return i.stalled.Sub(now), false
		}
		if now.Before(until) {
			return until.Sub(now), false
		}
		interrupted = r.proc.interrupt
		r.proc.interrupt = false
		return 0, true
	}) {
		return &nodeFailure{gone: true}
	}
	if interrupted {
		return &nodeFailure{interrupted: true}
	}
	return nil
}

// load reads a model file; a truncated one fails as safetensors does. It cannot be interrupted.
func (r *run) load(folder string, node *graphNode) *nodeFailure {
	i := r.inst
	name := node.text(modelInput(node.class))
	key := folder + "/" + name
	i.mu.Lock()
	_, warm := r.proc.loaded[key]
	short, isShort := i.active[FaultTruncatedModel]
	broken := isShort && short.text("folder") == folder && short.text("name") == name
	i.mu.Unlock()
	if broken {
		return &nodeFailure{
			exception: "safetensors_rust.SafetensorError", message: "Error while deserializing header: MetadataIncompleteBuffer",
		}
	}
	if warm || name == "pixel_space" {
		return nil
	}
	if !i.pause(r.proc.dead, i.cfg.Timings.ModelLoad) {
		return &nodeFailure{gone: true}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, file := range i.modelsLocked(folder) {
		if file.Name == name {
			if r.proc.torchReserved()+file.SizeBytes > i.vramTotalLocked() {
				r.proc.loaded = map[string]int64{} // the older models make room
			}
			r.proc.loaded[key] = min(file.SizeBytes, i.vramTotalLocked()/2)
			return nil
		}
	}
	return &nodeFailure{exception: "FileNotFoundError", message: "No such file or directory: " + strconv.Quote(name)}
}

// maxBoundaries bounds how often one sampler run reports progress.
const maxBoundaries = 100

func (r *run) sample(id string, node *graphNode, took time.Duration) *nodeFailure {
	steps := max(int(node.integer("steps")), 1)
	boundaries := min(steps, maxBoundaries)
	for n := 1; n <= boundaries; n++ {
		if failure := r.wait(took / time.Duration(boundaries)); failure != nil {
			return failure
		}
		done := steps * n / boundaries
		r.inst.mu.Lock()
		r.state(id, "running", done, steps)
		if client := r.it.clientID(); client != "" {
			r.proc.send(client, "progress", map[string]any{"value": done, "max": steps, "prompt_id": r.it.id, "node": id})
			if r.inst.args.previews {
				r.proc.sendPreview(client, node.seed("seed"))
			}
		}
		r.inst.mu.Unlock()
	}
	return nil
}

// state sends progress_state: to the prompt's client, or to everybody when the prompt has none.
func (r *run) state(id, state string, done, total int) {
	r.states[id] = map[string]any{
		"value": float64(done), "max": float64(total), "state": state, "node_id": id, "prompt_id": r.it.id,
		"display_node_id": id, "parent_node_id": nil, "real_node_id": id,
	}
	r.proc.send(r.it.clientID(), "progress_state", map[string]any{"prompt_id": r.it.id, "nodes": r.states}) // encoded at once
}

func (r *run) showOutput(id string, result *nodeResult) {
	if result.ui == nil {
		return
	}
	r.entry.outputs[id], r.entry.meta[id] = result.ui, result.meta
	if client := r.it.clientID(); client != "" {
		r.proc.send(client, "executed", map[string]any{
			"node": id, "display_node": id, "output": result.ui, "prompt_id": r.it.id,
		})
	}
}

// fail records an interrupted or failed prompt; the worker goes on with the next.
func (r *run) fail(id string, failure *nodeFailure) bool {
	i := r.inst
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.proc != r.proc {
		return false
	}
	class := r.it.graph.nodes[id].class
	r.entry.status = "error"
	data := map[string]any{"prompt_id": r.it.id, "node_id": id, "node_type": class, "executed": r.executed}
	if failure.interrupted {
		i.comfyLogLocked(i.nowLocked(), "Processing interrupted")
		r.say("execution_interrupted", data, true)
		r.end()
		return true
	}
	tips := "\n"
	if failure.exception == "torch.OutOfMemoryError" {
		tips = "\nThis error means you ran out of memory on your GPU.\n"
		r.proc.loaded = map[string]int64{}
	}
	i.comfyLogLocked(i.nowLocked(), "!!! Exception during processing !!! %s", failure.message)
	if failure.exception == "torch.OutOfMemoryError" {
		i.comfyLogLocked(i.nowLocked(), "Got an OOM, unloading all loaded models.")
	}
	data["exception_message"] = failure.message + tips
	data["exception_type"] = failure.exception
	data["traceback"] = []string{fmt.Sprintf("  File \"/workspace/ComfyUI/execution.py\", in execute\n    %s\n", class)}
	data["current_inputs"] = map[string]any{}
	data["current_outputs"] = sortedKeys(r.results)
	r.entry.failure = data
	r.say("execution_error", data, false)
	r.end()
	return true
}

func (r *run) end() {
	now := r.inst.nowLocked()
	r.entry.ended = now
	if r.entry.status == "success" {
		r.inst.comfyLogLocked(now, "Prompt executed in %.2f seconds", now.Sub(r.entry.started).Seconds())
	}
	r.proc.finish(r.entry)
	r.inst.notifyLocked()
}
