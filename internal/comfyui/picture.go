package comfyui

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/url"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// A channel v may come out as v-below to v+above: saving truncates 255·x to an
// integer, and the GPU may round either way.
const below, above = 2, 1

// checkPicture fetches the rendered picture and compares every pixel: it proves
// that the content was computed, not only that a file exists.
func (v *verification) checkPicture(ctx context.Context, entry historyEntry, k smoke) *finding {
	file := entry.images[0]
	query := url.Values{"filename": {file.Filename}, "subfolder": {file.Subfolder}, "type": {file.Type}}
	r, err := v.session.do(ctx, request{method: http.MethodGet, path: "/view?" + query.Encode(), limit: maxImageBytes})
	if err != nil {
		return unreachable(err)
	}
	verdict := v.session.judgeStatus(r)
	switch {
	case verdict != nil && (r.status == http.StatusNotFound || r.status == http.StatusBadRequest || r.status == http.StatusForbidden):
		return found(fleet.FaultRenderFailed, fmt.Sprintf("The smoke prompt succeeded, but its picture cannot be fetched (HTTP %d). Check the disk of the instance.", r.status))
	case verdict != nil:
		return unreachable(verdict)
	case r.cut:
		return found(fleet.FaultRenderFailed, "The smoke prompt's picture is far too large to be it. Replace the instance.")
	}
	return comparePicture(r.body, k.expected())
}

// comparePicture decodes a PNG and compares it with one colour. The size is read
// before the pixels are, so that a small file cannot unfold into gigabytes.
func comparePicture(body []byte, want [3]int) *finding {
	config, err := png.DecodeConfig(bytes.NewReader(body))
	if err != nil {
		return found(fleet.FaultRenderFailed, "The smoke prompt's picture is no PNG. Check the disk of the instance.")
	}
	//warmpool:gate picture-measured-first
	if config.Width != smokeSide || config.Height != smokeSide {
		return found(fleet.FaultRenderFailed, fmt.Sprintf("The smoke prompt's picture is %d×%d and not %d×%d. Check the version and the custom nodes.",
			config.Width, config.Height, smokeSide, smokeSide))
	}
	picture, err := png.Decode(bytes.NewReader(body))
	if err != nil {
		return found(fleet.FaultRenderFailed, "The smoke prompt's picture is a broken PNG. Check the disk of the instance.")
	}
	//warmpool:gate ready-pixels-right
	if wrong := countWrong(picture, want); wrong > 0 {
		return found(fleet.FaultGPUCorrupt, fmt.Sprintf("The GPU computed %d of %d pixels wrong. Replace the instance and avoid the machine.", wrong, smokeSide*smokeSide))
	}
	return nil
}

// countWrong is the number of pixels that are not the wanted colour.
func countWrong(picture image.Image, want [3]int) int {
	wrong := 0
	bounds := picture.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			if !isColor(picture.At(x, y), want) {
				wrong++
			}
		}
	}
	return wrong
}

// isColor compares the channels; transparency is left out of account.
func isColor(pixel color.Color, want [3]int) bool {
	plain, ok := color.NRGBAModel.Convert(pixel).(color.NRGBA)
	if !ok {
		return false
	}
	for i, got := range [3]uint8{plain.R, plain.G, plain.B} {
		if difference := int(got) - want[i]; difference < -below || difference > above {
			return false
		}
	}
	return true
}
