package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// modes of what is in the image: nobody may write there, whoever runs it.
const (
	programMode = 0o555
	textMode    = 0o444
	folderMode  = 0o755
)

// file is one regular file of an archive.
type file struct {
	name string
	mode int64
	text []byte
}

// collect reads all regular files of a directory, named below prefix.
func collect(directory, prefix string, mode int64) (files []file, err error) {
	root, err := os.OpenRoot(directory)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", directory, err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	err = fs.WalkDir(root.FS(), ".", func(place string, entry fs.DirEntry, walkErr error) error {
		if walkErr != nil || entry.IsDir() {
			return walkErr
		}
		text, readErr := fs.ReadFile(root.FS(), place)
		files = append(files, file{name: path.Join(prefix, place), mode: mode, text: text})
		return readErr
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", directory, err)
	}
	return files, nil
}

// writeTar writes files and the folders above them in the order of their names,
// with one time and one owner, so that the same files give the same bytes.
func writeTar(out io.Writer, files []file, when time.Time) error {
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	archive := tar.NewWriter(out)
	made := map[string]bool{".": true}
	for k := range files {
		one := &files[k]
		var folders []string
		for above := path.Dir(one.name); !made[above]; above = path.Dir(above) {
			made[above] = true
			folders = append(folders, above)
		}
		for _, folder := range slices.Backward(folders) {
			if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: folderMode, ModTime: when, Format: tar.FormatPAX}); err != nil {
				return err
			}
		}
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: one.name, Mode: one.mode, Size: int64(len(one.text)), ModTime: when, Format: tar.FormatPAX}); err != nil {
			return err
		}
		if _, err := archive.Write(one.text); err != nil {
			return err
		}
	}
	return archive.Close()
}

// layer makes the one layer of an image.
func layer(files []file, when time.Time) (v1.Layer, error) {
	var packed bytes.Buffer
	if err := writeTar(&packed, files, when); err != nil {
		return nil, fmt.Errorf("packing the layer: %w", err)
	}
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil }
	return tarball.LayerFromOpener(opener, tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithCompressedCaching)
}

// writeArchive packs a directory into a file.
func writeArchive(directory, target string, when time.Time) (err error) {
	files, err := collect(directory, "", textMode)
	if err != nil {
		return err
	}
	out, err := os.Create(filepath.Clean(target))
	if err != nil {
		return fmt.Errorf("making the archive: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	return writeTar(out, files, when)
}
