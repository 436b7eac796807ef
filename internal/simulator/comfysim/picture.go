package comfysim

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"slices"
)

// picture is an image that is drawn when somebody looks: most never are, and thousands of instances keep many.
type picture struct {
	width, height int
	flat          bool
	color         [3]uint8 // of a flat picture
	at            func(x, y int) [3]uint8
}

func flatPicture(width, height int, c [3]uint8) *picture {
	return &picture{width: width, height: height, flat: true, color: c, at: func(int, int) [3]uint8 { return c }}
}

func repeatPicture(p *picture, count int) []*picture {
	return slices.Repeat([]*picture{p}, max(count, 1))
}

// mix is a cheap hash of a position.
func mix(seed uint64, x, y int) uint64 {
	h := seed ^ uint64(x)*0x9e3779b97f4a7c15 ^ uint64(y)*0xc2b2ae3d27d4eb4f //nolint:gosec // coordinates are not negative
	h ^= h >> 29
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 32
	return h
}

// noisePicture has a gradient and noise of the given amplitude: nothing constant in it.
func noisePicture(width, height int, seed uint64, amplitude uint64) *picture {
	return &picture{width: width, height: height, at: func(x, y int) [3]uint8 {
		h := mix(seed, x, y)
		var c [3]uint8
		for n := range c {
			base := (mix(seed, n, -1&0xffff) + uint64(x*(n+1)+y*(3-n))) / 2 //nolint:gosec // coordinates are not negative
			c[n] = uint8((base + (h>>(8*n))%(amplitude+1)) & 0xff)
		}
		return c
	}}
}

// decode is what the VAE makes of a latent: something of the right size that depends on the seed.
func (l latent) decode() []*picture {
	pictures := make([]*picture, 0, max(l.batch, 1))
	for n := range max(l.batch, 1) {
		pictures = append(pictures, noisePicture(max(l.width, 8)/8*8, max(l.height, 8)/8*8, l.seed+uint64(n), 24))
	}
	return pictures
}

func (p *picture) mapped(change func([3]uint8) [3]uint8) *picture {
	if p.flat {
		return flatPicture(p.width, p.height, change(p.color))
	}
	return &picture{width: p.width, height: p.height, at: func(x, y int) [3]uint8 { return change(p.at(x, y)) }}
}

func (p *picture) inverted() *picture {
	return p.mapped(func(c [3]uint8) [3]uint8 { return [3]uint8{255 - c[0], 255 - c[1], 255 - c[2]} })
}

func (p *picture) scaled(width, height int) *picture {
	if width == 0 {
		width = max(p.width*max(height, 1)/max(p.height, 1), 1)
	}
	if height == 0 {
		height = max(p.height*width/max(p.width, 1), 1)
	}
	if p.flat {
		return flatPicture(width, height, p.color)
	}
	return &picture{width: width, height: height, at: func(x, y int) [3]uint8 {
		return p.at(x*p.width/width, y*p.height/height)
	}}
}

func (p *picture) blurred() *picture {
	if p.flat {
		return p
	}
	return &picture{width: p.width, height: p.height, at: func(x, y int) [3]uint8 {
		var sum [3]int
		for dy := -1; dy <= 1; dy++ {
			for dx := -1; dx <= 1; dx++ {
				c := p.at(min(max(x+dx, 0), p.width-1), min(max(y+dy, 0), p.height-1))
				for n := range sum {
					sum[n] += int(c[n])
				}
			}
		}
		return [3]uint8{uint8(sum[0] / 9), uint8(sum[1] / 9), uint8(sum[2] / 9)} //nolint:gosec // a mean of bytes
	}}
}

// edges is Canny's answer, roughly: nothing where nothing changes.
func (p *picture) edges() *picture {
	if p.flat {
		return flatPicture(p.width, p.height, [3]uint8{})
	}
	return &picture{width: p.width, height: p.height, at: func(x, y int) [3]uint8 {
		a, b := p.at(x, y), p.at(min(x+1, p.width-1), y)
		if int(a[0])-int(b[0]) > 48 || int(b[0])-int(a[0]) > 48 {
			return [3]uint8{255, 255, 255}
		}
		return [3]uint8{}
	}}
}

func (p *picture) draw() *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, p.width, p.height))
	for y := range p.height {
		for x := range p.width {
			c := p.at(x, y)
			out.SetRGBA(x, y, color.RGBA{R: c[0], G: c[1], B: c[2], A: 255})
		}
	}
	return out
}

// encodePNG draws the picture as ComfyUI saves it: truecolour, and the prompt in a tEXt chunk unless metadata is off.
func (p *picture) encodePNG(prompt json.RawMessage) ([]byte, error) {
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := encoder.Encode(&out, p.draw()); err != nil {
		return nil, fmt.Errorf("encoding an image: %w", err)
	}
	if prompt == nil {
		return out.Bytes(), nil
	}
	return insertText(out.Bytes(), "prompt", prompt), nil
}

func (p *picture) encodeJPEG() ([]byte, error) {
	var out bytes.Buffer
	if err := jpeg.Encode(&out, p.draw(), nil); err != nil {
		return nil, fmt.Errorf("encoding an image: %w", err)
	}
	return out.Bytes(), nil
}

// insertText puts a tEXt chunk behind a PNG's first chunk, which is always 25 bytes after the 8 of the signature.
func insertText(data []byte, keyword string, text []byte) []byte {
	const afterHeader = 8 + 25
	body := append([]byte("tEXt"+keyword+"\x00"), text...)
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(body)-4)) //nolint:gosec // a prompt is far below 4 GiB
	chunk = append(chunk, body...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(body))
	return slices.Insert(data, afterHeader, chunk...)
}

// decodePicture reads an uploaded image.
func decodePicture(data []byte) (*picture, error) {
	decoded, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("decoding an image: %w", err)
	}
	bounds := decoded.Bounds()
	return &picture{width: bounds.Dx(), height: bounds.Dy(), at: func(x, y int) [3]uint8 {
		r, g, b, _ := decoded.At(bounds.Min.X+x, bounds.Min.Y+y).RGBA()
		return [3]uint8{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8)} //nolint:gosec // 16 bits become 8
	}}, nil
}
