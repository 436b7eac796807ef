package v1alpha1

// Preset names a set of defaults for the container.
// +kubebuilder:validation:Enum=VastComfyUI;Custom
type Preset string

// The presets.
const (
	// PresetVastComfyUI is Vast.ai's own ComfyUI image with its portal, HTTPS and password.
	PresetVastComfyUI Preset = "VastComfyUI"
	// PresetCustom adds nothing: the image must serve ComfyUI on comfy.port by itself.
	PresetCustom Preset = "Custom"
)

// LaunchMode is how Vast.ai starts the container.
// +kubebuilder:validation:Enum=SSH;Jupyter;Args
type LaunchMode string

// The launch modes.
const (
	// LaunchSSH starts an SSH server beside onStart.
	LaunchSSH LaunchMode = "SSH"
	// LaunchJupyter starts Jupyter and an SSH server beside onStart.
	LaunchJupyter LaunchMode = "Jupyter"
	// LaunchArgs runs the image's own entry point.
	LaunchArgs LaunchMode = "Args"
)

// TLSMode says how the connection to an instance is protected.
// +kubebuilder:validation:Enum=Pinned;CA;Off
type TLSMode string

// The TLS modes.
const (
	// TLSPinned records the first certificate that is seen and accepts no other.
	TLSPinned TLSMode = "Pinned"
	// TLSCA accepts certificates signed by the authorities in a ConfigMap.
	TLSCA TLSMode = "CA"
	// TLSOff uses plain HTTP: the password then crosses the internet in clear.
	TLSOff TLSMode = "Off"
)

// InstanceTemplate describes the container of every instance of a pool.
// +kubebuilder:validation:XValidation:rule="!has(self.preset) || self.preset != 'Custom' || has(self.image)",message="template.image is required when template.preset is Custom",fieldPath=".image"
// +kubebuilder:validation:XValidation:rule="!has(self.tls) || !has(self.tls.mode) || self.tls.mode != 'CA' || has(self.tls.caConfigMapRef)",message="template.tls.caConfigMapRef is required when template.tls.mode is CA",fieldPath=".tls.caConfigMapRef"
// +kubebuilder:validation:XValidation:rule="!has(self.env) || self.env.all(e, e.name != 'WEB_PASSWORD')",message="WEB_PASSWORD cannot be set: every instance gets a random password of its own, in the Secret named by its status.credentialsSecretRef",fieldPath=".env"
type InstanceTemplate struct {
	// metadata is copied to every WarmInstance. Changing it does not touch instances that exist.
	// +optional
	Metadata TemplateMetadata `json:"metadata,omitzero"`
	// preset is VastComfyUI (default: Vast.ai's own ComfyUI image with everything it needs) or
	// Custom (only what this template says). Fields set here win over the preset.
	// +kubebuilder:default=VastComfyUI
	// +optional
	Preset Preset `json:"preset,omitempty"`
	// image is the container image, by default the preset's (vastai/comfy with the tag that
	// Vast.ai picks for the machine). A digest keeps every instance the same.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Image string `json:"image,omitempty"`
	// diskGB is the disk of each instance in GB, fixed for its life and part of its price.
	// +kubebuilder:default=64
	// +kubebuilder:validation:Minimum=8
	// +kubebuilder:validation:Maximum=8192
	// +optional
	DiskGB int32 `json:"diskGB,omitempty"`
	// launchMode is SSH, Jupyter or Args; by default the preset's, which is Jupyter for
	// VastComfyUI and SSH for Custom.
	// +optional
	LaunchMode LaunchMode `json:"launchMode,omitempty"`
	// env are environment variables of the container. They win over the preset's.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Env []EnvVar `json:"env,omitempty"`
	// onStart is shell text that runs when the container starts; by default the preset's.
	// Vast.ai takes at most 4096 characters.
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	OnStart string `json:"onStart,omitempty"`
	// ports are further container ports to publish, beside ComfyUI's and the preset's.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Ports []TemplatePort `json:"ports,omitempty"`
	// comfy says where ComfyUI listens and what must be there before an instance is Ready.
	// +kubebuilder:default={}
	// +optional
	Comfy ComfyRequirements `json:"comfy,omitzero"`
	// tls says how the connection to ComfyUI is protected; by default Pinned with the preset
	// VastComfyUI, and Off with Custom.
	// +optional
	TLS *TLSSettings `json:"tls,omitempty"`
	// provisioningScriptURL is the address of a shell script that the preset's image runs
	// before ComfyUI starts, for example to download models.
	// +kubebuilder:validation:Pattern=`^https?://[^\s]+$`
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	ProvisioningScriptURL string `json:"provisioningScriptURL,omitempty"`
	// sshPublicKeys are attached to every instance after it was rented.
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=16
	// +kubebuilder:validation:items:MaxLength=2048
	// +optional
	SSHPublicKeys []string `json:"sshPublicKeys,omitempty"`
}

// TemplateMetadata is copied to every WarmInstance.
type TemplateMetadata struct {
	// labels of every WarmInstance. Names under warmpool.dev/ are set by the controllers.
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// annotations of every WarmInstance.
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}

// EnvVar is one environment variable: a value, or a key of a Secret.
// +kubebuilder:validation:XValidation:rule="has(self.value) != has(self.valueFrom)",message="set exactly one of value and valueFrom"
type EnvVar struct {
	// name of the variable.
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*$`
	// +kubebuilder:validation:MaxLength=128
	// +required
	Name string `json:"name"`
	// value of the variable. Put secrets into valueFrom instead.
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	Value *string `json:"value,omitempty"`
	// valueFrom takes the value from a Secret when the instance is rented.
	// +optional
	ValueFrom *EnvVarSource `json:"valueFrom,omitempty"`
}

// EnvVarSource says where the value of a variable is.
type EnvVarSource struct {
	// secretKeyRef names a key of a Secret in the pool's namespace.
	// +required
	SecretKeyRef SecretKeyReference `json:"secretKeyRef"`
}

// SecretKeyReference names a key of a Secret in the same namespace.
type SecretKeyReference struct {
	// name of the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name"`
	// key in the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Key string `json:"key"`
}

// TemplatePort is one container port to publish over TCP.
// +kubebuilder:validation:XValidation:rule="self.name != 'comfyui' && self.name != 'portal'",message="the names comfyui and portal are taken by the ports that every instance has",fieldPath=".name"
type TemplatePort struct {
	// name of the port, shown with its address in status.endpoints of the WarmInstance.
	// +kubebuilder:validation:Pattern=`^[a-z]([a-z0-9-]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=15
	// +required
	Name string `json:"name"`
	// containerPort to publish. Vast.ai chooses the public port.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +required
	ContainerPort int32 `json:"containerPort"`
}

// ComfyRequirements says where ComfyUI listens and what makes it usable.
type ComfyRequirements struct {
	// port is the container port on which ComfyUI (or the front before it) answers.
	// +kubebuilder:default=8188
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	Port int32 `json:"port,omitempty"`
	// requiredNodes are node classes that must exist, such as KSampler.
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +optional
	RequiredNodes []string `json:"requiredNodes,omitempty"`
	// requiredModels are model files that must exist.
	// +listType=map
	// +listMapKey=folder
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=128
	// +optional
	RequiredModels []RequiredModel `json:"requiredModels,omitempty"`
}

// RequiredModel names a model file that must be there before an instance is Ready.
type RequiredModel struct {
	// folder is ComfyUI's name for the kind of model, such as checkpoints or loras.
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_.-]+$`
	// +kubebuilder:validation:MaxLength=64
	// +required
	Folder string `json:"folder"`
	// name of the file, relative to the folder.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +required
	Name string `json:"name"`
	// minBytes is the least size; it catches a download that broke off.
	// +kubebuilder:validation:Minimum=0
	// +optional
	MinBytes int64 `json:"minBytes,omitempty"`
}

// TLSSettings says how the connection to ComfyUI is protected.
type TLSSettings struct {
	// mode is Pinned, CA or Off.
	// +kubebuilder:default=Pinned
	// +optional
	Mode TLSMode `json:"mode,omitempty"`
	// caConfigMapRef names a ConfigMap whose key ca.crt holds the accepted authorities (PEM).
	// +optional
	CAConfigMapRef *LocalReference `json:"caConfigMapRef,omitempty"`
}
