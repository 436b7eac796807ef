package schema

import "encoding/json"

// RentRequest is the body of PUT /api/v0/asks/{id}/. Pointers and empty values
// tell an absent key from a given one where that makes a difference.
type RentRequest struct {
	// ClientID is always "me".
	ClientID Text `json:"client_id"`
	// Image is the container image.
	Image Text `json:"image"`
	// Env holds variables and, as keys with the value "1", docker flags such as "-p 8188:8188".
	Env EnvObject `json:"env"`
	// Price is a bid in USD/h; null rents on demand.
	Price Number `json:"price"`
	// Disk is in GB.
	Disk Number `json:"disk"`
	// Label is free text, at most 256 characters.
	Label Text `json:"label"`
	// OnStart is shell text.
	OnStart Text `json:"onstart"`
	// RunType is "ssh", "jupyter", "args" or the historical combinations.
	RunType Text `json:"runtype,omitempty"`
	// CancelUnavail makes an offer that cannot start an error. Absent means
	// true for on-demand rents with a target state of running, else false.
	CancelUnavail *Flag `json:"cancel_unavail,omitempty"`
	// TargetState is "running" or "stopped".
	TargetState Text `json:"target_state,omitempty"`
	// Args and ArgsStr are entry point arguments for run type "args".
	Args    []string `json:"args,omitempty"`
	ArgsStr Text     `json:"args_str,omitempty"`
	// TemplateHashID names a template; its values apply where the request has none.
	TemplateHashID Text `json:"template_hash_id,omitempty"`
	// TemplateID names a template by number.
	TemplateID Number `json:"template_id,omitempty"`
	// Extra holds docker options (legacy).
	Extra Text `json:"extra,omitempty"`
	// ImageLogin is "-u USER -p PASSWORD REGISTRY".
	ImageLogin Secret `json:"image_login,omitempty"`
	// PythonUTF8, LangUTF8, UseJupyterLab, Force and VM are switches of the command line.
	PythonUTF8    Flag `json:"python_utf8,omitempty"`
	LangUTF8      Flag `json:"lang_utf8,omitempty"`
	UseJupyterLab Flag `json:"use_jupyter_lab,omitempty"`
	Force         Flag `json:"force,omitempty"`
	VM            Flag `json:"vm,omitempty"`
	// JupyterDir is where Jupyter starts.
	JupyterDir Text `json:"jupyter_dir,omitempty"`
	// User is the user in the container.
	User Text `json:"user,omitempty"`
	// SSHKey is a public key.
	SSHKey Text `json:"ssh_key,omitempty"`
	// VolumeInfo asks for a volume.
	VolumeInfo json.RawMessage `json:"volume_info,omitempty"`
}

// RentResponse is the answer to a rent: {"success":true,"new_contract":N}.
type RentResponse struct {
	Answer
	// InstanceAPIKey is a key that can only manage that instance.
	InstanceAPIKey Secret `json:"instance_api_key,omitempty"`
}
