// Package controllers holds the reconcilers of WarmPool, VastAccount and
// WarmInstance. Each has the same steps in the same order: gather, plan (a pure
// function of internal/planner), journal, execute, report.
//
// It sees Vast.ai and ComfyUI only through the interfaces in provider.go and
// must not import internal/vastai or internal/comfyui.
package controllers
