package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// someSettings wrap this test itself, as if it were the manager.
func someSettings(t *testing.T) settings {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	table := "Go standard library\t\tBSD-3-Clause\n"
	for _, module := range []string{
		"github.com/google/go-containerregistry", "github.com/klauspost/compress", "github.com/opencontainers/go-digest",
		"github.com/opencontainers/image-spec", "golang.org/x/sync",
	} {
		table += module + "\tv1\tApache-2.0\n"
	}
	for place, text := range map[string][]byte{
		"bin/linux-amd64/manager": program, "texts/licenses.tsv": []byte(table), "texts/example.com/one/LICENSE": []byte("be nice"),
	} {
		path := filepath.Join(directory, place)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return settings{
		binaries: filepath.Join(directory, "bin"), licenses: filepath.Join(directory, "texts"), out: filepath.Join(directory, "out"),
		name: "example.com/warmpool", version: "v1.2.3", commit: "abc", entrypoint: "manager", created: time.Unix(1_700_000_000, 0).UTC(),
	}
}

// TestSameInputSameBytes is what makes an image reproducible.
func TestSameInputSameBytes(t *testing.T) {
	first, second := someSettings(t), someSettings(t)
	for _, one := range []*settings{&first, &second} {
		if err := one.build(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"warmpool.oci.tar", "warmpool-amd64.docker.tar", "warmpool.spdx.json", "warmpool.digest"} {
		one, err := os.ReadFile(filepath.Join(first.out, name))
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(filepath.Join(second.out, name))
		if err != nil || !bytes.Equal(one, other) {
			t.Errorf("%s differs between two builds (%v)", name, err)
		}
	}
}

// TestImage reads the image back: who runs what, and what nobody may change.
func TestImage(t *testing.T) {
	s := someSettings(t)
	if err := s.build(t.Context()); err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(filepath.Join(s.out, "warmpool-amd64.docker.tar"), nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "65532:65532" || !slices.Equal(config.Config.Entrypoint, []string{"/manager"}) || config.Architecture != "amd64" || !config.Created.Equal(s.created) {
		t.Errorf("got %+v", config)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for reader := tar.NewReader(content); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got[header.Name] = header.Mode
		if !header.ModTime.Equal(s.created) || header.Uid != 0 {
			t.Errorf("%s is of %v and user %d", header.Name, header.ModTime, header.Uid)
		}
	}
	for name, mode := range map[string]int64{"manager": 0o555, "licenses/": 0o755, "licenses/example.com/one/LICENSE": 0o444} {
		if got[name] != mode {
			t.Errorf("%s has mode %o, want %o; all: %v", name, got[name], mode, got)
		}
	}
}

// TestPackages are those that the build information of the program names.
func TestPackages(t *testing.T) {
	s := someSettings(t)
	if err := s.build(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(s.out, "warmpool.spdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for k := range d.Packages {
		names[d.Packages[k].Name] = d.Packages[k].Concluded
	}
	if names["github.com/google/go-containerregistry"] != "Apache-2.0" || names["stdlib"] != "BSD-3-Clause" || names["linux-amd64/manager"] == "" {
		t.Errorf("got %v", names)
	}
	if err := os.WriteFile(filepath.Join(s.licenses, "licenses.tsv"), []byte("a\tv1\tMIT\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.build(t.Context()); !errors.Is(err, errNotListed) {
		t.Errorf("a module without a licence was let through: %v", err)
	}
}

func TestNoPlatform(t *testing.T) {
	s := settings{binaries: t.TempDir(), out: t.TempDir(), name: "x", version: "v1", entrypoint: "y"}
	if err := s.build(t.Context()); !errors.Is(err, errNoPlatform) {
		t.Errorf("got %v", err)
	}
}
