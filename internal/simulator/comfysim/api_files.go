package comfysim

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (c *call) getView() {
	query := c.r.URL.Query()
	name, kind := query.Get("filename"), query.Get("type")
	if kind == "" {
		kind = "output"
	}
	name, status := viewPath(name, kind, query.Get("subfolder"))
	if status != http.StatusOK {
		c.empty(status)
		return
	}
	c.i.mu.Lock()
	file, ok := c.i.files.get(kind, name)
	c.i.mu.Unlock()
	if !ok {
		c.empty(http.StatusNotFound)
		return
	}
	data, contentType, err := file.view(query.Get("preview"), query.Get("channel"))
	if err != nil {
		c.trouble()
		return
	}
	c.w.Header().Set("Content-Type", contentType)
	c.w.Header().Set("Content-Disposition", "filename="+strconv.Quote(path.Base(name)))
	http.ServeContent(c.w, c.r, "", time.Time{}, bytes.NewReader(data))
}

// viewPath is the file's name below its directory, or the status of a refusal.
func viewPath(name, kind, subfolder string) (string, int) {
	switch {
	case name == "":
		return "", http.StatusNotFound
	case strings.HasPrefix(name, "/") || strings.Contains(name, "..") || !slices.Contains([]string{"output", "input", "temp"}, kind):
		return "", http.StatusBadRequest
	case subfolder == "":
		return name, http.StatusOK
	}
	clean := path.Join("/root", subfolder)
	if strings.HasPrefix(subfolder, "/") || (clean != "/root" && !strings.HasPrefix(clean, "/root/")) {
		return "", http.StatusForbidden
	}
	return path.Join(subfolder, path.Base(name)), http.StatusOK
}

// view is the file as asked for. There is no WebP encoder here: a WebP preview is answered as PNG.
func (f storedFile) view(preview, channel string) (data []byte, contentType string, err error) {
	format, _, _ := strings.Cut(preview, ";")
	picture := f.picture
	if picture == nil && (format == "jpeg" || channel == "a" || channel == "rgb") {
		if picture, err = decodePicture(f.data); err != nil {
			return nil, "", err
		}
	}
	switch {
	case format == "jpeg":
		data, err = picture.encodeJPEG()
		return data, "image/jpeg", err
	case channel == "a":
		data, err = flatPicture(picture.width, picture.height, [3]uint8{255, 255, 255}).encodePNG(nil)
	case channel == "rgb":
		data, err = picture.encodePNG(nil)
	default:
		data, err = f.bytes()
	}
	contentType = "image/png"
	if err == nil {
		contentType = http.DetectContentType(data)
	}
	return data, contentType, err
}

// postUpload stores an image. The same name with the same content is the same file; with another content it gets a number.
func (c *call) postUpload() {
	if err := c.r.ParseMultipartForm(8 << 20); err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			c.text(http.StatusRequestEntityTooLarge, "Maximum request body size exceeded")
			return
		}
		c.trouble()
		return
	}
	upload, header, err := c.r.FormFile("image")
	if err != nil || header.Filename == "" {
		c.empty(http.StatusBadRequest)
		return
	}
	data, err := io.ReadAll(upload)
	if err != nil {
		c.trouble()
		return
	}
	kind, subfolder := c.r.FormValue("type"), c.r.FormValue("subfolder")
	if kind == "" {
		kind = "input"
	}
	if strings.Contains(subfolder, "..") || strings.HasPrefix(subfolder, "/") {
		c.empty(http.StatusBadRequest)
		return
	}
	overwrite := c.r.FormValue("overwrite") == "true" || c.r.FormValue("overwrite") == "1"
	c.i.mu.Lock()
	name := c.i.files.upload(kind, path.Join(subfolder, path.Base(header.Filename)), data, overwrite)
	c.i.mu.Unlock()
	c.json(http.StatusOK, map[string]string{"name": path.Base(name), "subfolder": subfolder, "type": kind})
}

// upload stores bytes and returns the name they got.
func (s *fileStore) upload(kind, name string, data []byte, overwrite bool) string {
	extension := path.Ext(name)
	stem := strings.TrimSuffix(name, extension)
	for n := 1; !overwrite; n++ {
		old, exists := s.get(kind, name)
		if !exists || bytes.Equal(old.data, data) {
			break
		}
		name = stem + " (" + strconv.Itoa(n) + ")" + extension
	}
	s.put(kind, name, storedFile{data: data})
	return name
}
