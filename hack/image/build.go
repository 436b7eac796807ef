package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// user is nobody's, and a number: the kubelet can tell that it is not root.
const user = "65532:65532"

// errNoPlatform is a directory without programs.
var errNoPlatform = errors.New("there is no directory linux-amd64 or linux-arm64 with programs in it")

// build writes everything and prints the digests.
func (s *settings) build(ctx context.Context) error {
	if err := os.MkdirAll(s.out, 0o750); err != nil {
		return fmt.Errorf("making the directory: %w", err)
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	platforms := 0
	for _, architecture := range []string{"amd64", "arm64"} {
		directory := filepath.Join(s.binaries, "linux-"+architecture)
		if _, err := os.Stat(directory); errors.Is(err, os.ErrNotExist) {
			continue
		}
		platforms++
		image, err := s.image(directory, architecture)
		if err != nil {
			return fmt.Errorf("making the image for %s: %w", architecture, err)
		}
		if err := s.writeLoadable(image, architecture); err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}},
		})
	}
	if platforms == 0 {
		return fmt.Errorf("%s: %w", s.binaries, errNoPlatform)
	}
	if err := s.writeLayout(ctx, index); err != nil {
		return err
	}
	if s.licenses != "" {
		return s.writePackages()
	}
	return nil
}

// image makes the image of one platform.
func (s *settings) image(directory, architecture string) (v1.Image, error) {
	files, err := collect(directory, "", programMode)
	if err != nil {
		return nil, err
	}
	if s.licenses != "" {
		texts, textsErr := collect(s.licenses, "licenses", textMode)
		if textsErr != nil {
			return nil, textsErr
		}
		files = append(files, texts...)
	}
	only, err := layer(files, s.created)
	if err != nil {
		return nil, err
	}
	image, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), mutate.Addendum{
		Layer: only, History: v1.History{Created: v1.Time{Time: s.created}, CreatedBy: "make image"},
	})
	if err != nil {
		return nil, fmt.Errorf("adding the layer: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", architecture, v1.Time{Time: s.created}
	config.Config = v1.Config{
		User: user, WorkingDir: "/", Env: []string{"PATH=/"}, Entrypoint: []string{"/" + s.entrypoint}, Labels: s.labels(),
	}
	return mutate.ConfigFile(image, config)
}

// labels are those of the Open Container Initiative.
func (s *settings) labels() map[string]string {
	const prefix = "org.opencontainers.image."
	return map[string]string{
		prefix + "title": s.base(), prefix + "version": s.version, prefix + "revision": s.commit, prefix + "created": s.created.Format(time.RFC3339),
		prefix + "source": "https://github.com/warmpool-dev/warmpool", prefix + "licenses": "Apache-2.0",
	}
}

// writeLoadable writes what docker load and ctr images import read.
func (s *settings) writeLoadable(image v1.Image, architecture string) error {
	tag, err := name.NewTag(s.name + ":" + s.version)
	if err != nil {
		return fmt.Errorf("naming the image: %w", err)
	}
	target := filepath.Join(s.out, fmt.Sprintf("%s-%s.docker.tar", s.base(), architecture))
	if err = tarball.WriteToFile(target, tag, image); err != nil {
		return fmt.Errorf("writing %s: %w", target, err)
	}
	digest, err := image.Digest()
	if err != nil {
		return fmt.Errorf("computing the digest: %w", err)
	}
	return announce(target, "linux/"+architecture, digest)
}

// writeLayout writes the OCI archive of all platforms, and its digest beside it.
func (s *settings) writeLayout(ctx context.Context, index v1.ImageIndex) (err error) {
	directory, err := os.MkdirTemp(s.out, ".layout-")
	if err != nil {
		return fmt.Errorf("making a directory for the layout: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	place, err := layout.Write(directory, empty.Index)
	if err != nil {
		return fmt.Errorf("starting the layout: %w", err)
	}
	if err = place.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": s.version, "io.containerd.image.name": s.name + ":" + s.version,
	})); err != nil {
		return fmt.Errorf("writing the layout: %w", err)
	}
	if err = ctx.Err(); err != nil {
		return err
	}
	target := filepath.Join(s.out, s.base()+".oci.tar")
	if err = writeArchive(directory, target, s.created); err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return fmt.Errorf("computing the digest: %w", err)
	}
	if err = os.WriteFile(filepath.Join(s.out, s.base()+".digest"), []byte(digest.String()+"\n"), 0o600); err != nil {
		return fmt.Errorf("writing the digest: %w", err)
	}
	return announce(target, "all platforms", digest)
}

// announce prints one line about what was written.
func announce(target, platform string, digest v1.Hash) error {
	info, err := os.Stat(target)
	if err != nil {
		return fmt.Errorf("looking at what was written: %w", err)
	}
	const mebi = 1 << 20
	_, err = fmt.Fprintf(os.Stdout, "%-45s %-13s %5.1f MiB  %s\n", strings.TrimPrefix(target, "./"), platform, float64(info.Size())/mebi, digest)
	return err
}
