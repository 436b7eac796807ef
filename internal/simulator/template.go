package simulator

// template is a stored launch template.
type template struct {
	id                            int64
	hash, name, image             string
	tag, onStart, runType, envRaw string
	env                           map[string]string
}

// builtinTemplates returns the templates that every account sees.
func builtinTemplates() []template {
	return []template{{
		id: 401, hash: "5a1f0f3f3f7c4d0e9b1d8a2c6e4b7f10", name: "ComfyUI", image: "vastai/comfy:v0.10.0-cuda-12.9-py312",
		tag: "v0.10.0-cuda-12.9-py312", onStart: "entrypoint.sh", runType: "jupyter_direc ssh_direc ssh_proxy",
		envRaw: `-p 1111:1111 -p 8188:8188 -e OPEN_BUTTON_PORT=1111 -e OPEN_BUTTON_TOKEN=1 -e DATA_DIRECTORY=/workspace/ ` +
			`-e PORTAL_CONFIG="localhost:1111:11111:/:Instance Portal|localhost:8188:18188:/:ComfyUI"`,
		env: map[string]string{
			"-p 1111:1111": "1", "-p 8188:8188": "1", "OPEN_BUTTON_PORT": "1111", "OPEN_BUTTON_TOKEN": "1",
			"DATA_DIRECTORY": "/workspace/",
			"PORTAL_CONFIG":  "localhost:1111:11111:/:Instance Portal|localhost:8188:18188:/:ComfyUI",
		},
	}}
}

// templateByHash finds a template.
func templateByHash(hash string) (template, bool) {
	for _, t := range builtinTemplates() {
		if hash != "" && t.hash == hash {
			return t, true
		}
	}
	return template{}, false
}

// handleTemplates answers GET /template/.
func handleTemplates(w *world, _ *call) answer {
	rows := []object{}
	for _, t := range builtinTemplates() {
		rows = append(rows, object{
			"id": t.id, "hash_id": t.hash, "name": t.name, "image": t.image, "tag": t.tag, "env": t.envRaw,
			"onstart": t.onStart, "runtype": t.runType, "args_str": "", "use_ssh": true, "ssh_direct": true,
			"jup_direct": true, "use_jupyter_lab": false, "docker_login_repo": nil, "extra_filters": object{},
			"recommended_disk_space": 40, "private": false, "readme": "", "desc": t.name, "href": "",
			"creator_id": 1, "created_at": epoch(w.clock.start), "count_created": 1, "recent_create_date": epoch(w.clock.start),
		})
	}
	return okAnswer(object{"success": true, "templates_found": len(rows), "templates": rows})
}
