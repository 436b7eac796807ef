package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
)

//go:embed templates static
var files embed.FS

// renderer turns views into pages.
type renderer struct {
	pages  map[string]*template.Template
	static http.Handler
}

func newRenderer() (*renderer, error) {
	r := &renderer{pages: map[string]*template.Template{}}
	for _, name := range []string{"pool", "login", "confirm", "message"} {
		page, err := template.New("layout.html").ParseFS(files, "templates/layout.html", "templates/parts.html", "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("reading template %s: %w", name, err)
		}
		r.pages[name] = page
	}
	static, err := newStatic()
	if err != nil {
		return nil, err
	}
	r.static = static
	return r, nil
}

// page writes a page, whole or not at all.
func (r *renderer) page(w http.ResponseWriter, status int, name string, view any) {
	var body bytes.Buffer
	if err := r.pages[name].Execute(&body, view); err != nil {
		http.Error(w, "The page could not be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	// A browser that has gone away needs no answer.
	_, _ = body.WriteTo(w) //nolint:errcheck // see above
}

// staticFile is one file of static/.
type staticFile struct {
	content   []byte
	kind, tag string
}

// static serves the embedded files by name. They hold no secret and may be kept by
// a browser as long as it asks whether they have changed.
type static map[string]staticFile

func newStatic() (static, error) {
	entries, err := fs.ReadDir(files, "static")
	if err != nil {
		return nil, fmt.Errorf("reading static files: %w", err)
	}
	all := static{}
	for _, entry := range entries {
		content, err := fs.ReadFile(files, "static/"+entry.Name())
		if err != nil {
			return nil, fmt.Errorf("reading static file %s: %w", entry.Name(), err)
		}
		sum := sha256.Sum256(content)
		all[entry.Name()] = staticFile{content: content, kind: kindOf(entry.Name()), tag: `"` + hex.EncodeToString(sum[:]) + `"`}
	}
	return all, nil
}

// kindOf is the media type of a file. The table of the system is not asked: it may
// say anything.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return "application/octet-stream"
	}
}

// ServeHTTP implements http.Handler.
func (s static) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	file, ok := s[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", file.tag)
	if r.Header.Get("If-None-Match") == file.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", file.kind)
	_, _ = w.Write(file.content) //nolint:errcheck // a browser that has gone away needs no answer
}
