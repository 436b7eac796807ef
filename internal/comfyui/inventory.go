package comfyui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// checkNodes asks for every required class by itself (GET /object_info/{class}):
// the whole of /object_info is megabytes and scans the disk.
func (v *verification) checkNodes(ctx context.Context) *finding {
	var missing, broken []string
	for _, class := range unique(v.expect.Nodes) {
		var has bool
		err := v.session.getJSON(ctx, "/object_info/"+url.PathEscape(class), func(body []byte) (ok bool) {
			has, ok = hasClass(body, class)
			return ok
		})
		switch {
		case SignalOf(err) == fleet.SignalServerError:
			broken = append(broken, class)
		case isNotFound(err):
			missing = append(missing, class)
		case err != nil:
			return unreachable(err)
		case !has:
			missing = append(missing, class)
		}
	}
	switch {
	//warmpool:gate ready-nodes-there
	case len(missing) > 0:
		return found(fleet.FaultNodeMissing, "ComfyUI does not have these required nodes: "+quote(strings.Join(missing, ", "))+
			". Look for IMPORT FAILED in the instance's log, and check what the template installs.")
	case len(broken) > 0:
		return found(fleet.FaultNodeMissing, "ComfyUI cannot describe these required nodes (HTTP 500): "+quote(strings.Join(broken, ", "))+
			". Look at the instance's log, and check what the template installs.")
	}
	return nil
}

// checkModels asks for every required file, folder by folder.
func (v *verification) checkModels(ctx context.Context) *finding {
	folders := make([]string, 0, len(v.expect.Models))
	for _, model := range v.expect.Models {
		folders = append(folders, model.Folder)
	}
	for _, folder := range unique(folders) {
		required := slices.DeleteFunc(slices.Clone(v.expect.Models), func(m fleet.ModelRequirement) bool { return m.Folder != folder })
		if f := v.checkFolder(ctx, folder, required); f != nil {
			return f
		}
	}
	return nil
}

// checkFolder checks the files of one folder, and their sizes when one is asked for.
func (v *verification) checkFolder(ctx context.Context, folder string, required []fleet.ModelRequirement) *finding {
	var names []string
	err := v.session.getJSON(ctx, "/models/"+url.PathEscape(folder), func(body []byte) (ok bool) {
		names, ok = decodeNames(body)
		return ok
	})
	if isNotFound(err) {
		return found(fleet.FaultModelMissing, fmt.Sprintf("ComfyUI has no model folder %q. Check the spelling: the keys are such as checkpoints, diffusion_models, text_encoders.", quote(folder)))
	}
	if err != nil {
		return unreachable(err)
	}
	var missing []string
	sizes := false
	for _, model := range required {
		if !slices.ContainsFunc(names, func(name string) bool { return sameFile(name, model.Name) }) {
			missing = append(missing, model.Name)
		}
		sizes = sizes || model.MinBytes > 0
	}
	if len(missing) > 0 {
		return found(fleet.FaultModelMissing, fmt.Sprintf("These required models are not in %s: %s. Check the download in the instance's log, and the tokens for gated models.",
			quote(folder), quote(strings.Join(missing, ", "))))
	}
	if !sizes {
		return nil
	}
	return v.checkSizes(ctx, folder, required)
}

// checkSizes catches downloads that broke off. A version without the route, or
// without sizes in it, cannot tell; the file's presence then has to do.
func (v *verification) checkSizes(ctx context.Context, folder string, required []fleet.ModelRequirement) *finding {
	var files []modelFile
	err := v.session.getJSON(ctx, "/experiment/models/"+url.PathEscape(folder), func(body []byte) (ok bool) {
		files, ok = decodeModelFiles(body)
		return ok
	})
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return unreachable(err)
	}
	for _, model := range required {
		at := slices.IndexFunc(files, func(file modelFile) bool { return sameFile(file.Name, model.Name) })
		if at < 0 || files[at].Size == nil || model.MinBytes <= 0 {
			continue
		}
		//warmpool:gate ready-models-whole
		if size := int64(*files[at].Size); size < model.MinBytes {
			return found(fleet.FaultModelTruncated, fmt.Sprintf("The model %s in %s has %d bytes where at least %d are expected: its download broke off. Provision again, or replace the instance.",
				quote(model.Name), quote(folder), size, model.MinBytes))
		}
	}
	return nil
}

// sameFile compares relative names; an instance may write either slash.
func sameFile(a, b string) bool {
	return strings.ReplaceAll(a, `\`, "/") == strings.ReplaceAll(b, `\`, "/")
}

// isNotFound is true when the instance said HTTP 404 or 405: no such thing, or no such route.
func isNotFound(err error) bool {
	var call *callError
	return errors.As(err, &call) && (call.status == http.StatusNotFound || call.status == http.StatusMethodNotAllowed)
}

// unique keeps the first of equal strings, in order.
func unique(all []string) []string {
	var kept []string
	for _, one := range all {
		if !slices.Contains(kept, one) {
			kept = append(kept, one)
		}
	}
	return kept
}
