package comfysim

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"path"
	"strconv"
	"strings"
)

// fileRef is a file as answers name it.
type fileRef struct {
	Filename  string `json:"filename"`
	Subfolder string `json:"subfolder"`
	Type      string `json:"type"`
}

// storedFile is a file of ComfyUI's output, temp or input directory: drawn on demand, or uploaded bytes.
type storedFile struct {
	picture *picture
	prompt  json.RawMessage
	data    []byte
}

func (f storedFile) bytes() ([]byte, error) {
	if f.data != nil {
		return f.data, nil
	}
	return f.picture.encodePNG(f.prompt)
}

// fileStore is the three directories. It is guarded by the instance's lock; the maps appear with the first file.
type fileStore struct {
	files    map[string]map[string]storedFile
	counters map[string]int
}

// exampleImage is the one file that is always in the input directory.
const exampleImage = "example.png"

func (s *fileStore) put(kind, name string, file storedFile) {
	if s.files == nil {
		s.files = map[string]map[string]storedFile{}
	}
	if s.files[kind] == nil {
		s.files[kind] = map[string]storedFile{}
	}
	s.files[kind][name] = file
}

func (s *fileStore) get(kind, name string) (storedFile, bool) {
	file, ok := s.files[kind][name]
	if !ok && kind == "input" && name == exampleImage {
		return storedFile{picture: noisePicture(512, 512, 7, 16)}, true
	}
	return file, ok
}

// save stores under prefix_NNNNN_.png; the number is one more than the largest there.
func (s *fileStore) save(kind, subfolder, prefix string, file storedFile) fileRef {
	if s.counters == nil {
		s.counters = map[string]int{}
	}
	key := kind + "/" + path.Join(subfolder, prefix)
	s.counters[key]++
	ref := fileRef{Filename: fmt.Sprintf("%s_%05d_.png", prefix, s.counters[key]), Subfolder: subfolder, Type: kind}
	s.put(kind, path.Join(subfolder, ref.Filename), file)
	return ref
}

func (s *fileStore) wipe(kind string) {
	delete(s.files, kind)
	for key := range s.counters {
		if strings.HasPrefix(key, kind+"/") {
			delete(s.counters, key)
		}
	}
}

func (s *fileStore) names(kind string) []string {
	names := sortedKeys(s.files[kind])
	if kind == "input" {
		if _, own := s.files[kind][exampleImage]; !own {
			names = append([]string{exampleImage}, names...)
		}
	}
	return names
}

// version changes with a file's content.
func (s *fileStore) version(kind, name string) string {
	file, ok := s.get(kind, name)
	if !ok {
		return "absent"
	}
	hash := fnv.New64a()
	_, _ = hash.Write(file.data)
	return strconv.FormatUint(hash.Sum64(), 16)
}

func (s *fileStore) load(kind, name string) (*picture, error) {
	file, ok := s.get(kind, name)
	if !ok {
		return nil, fmt.Errorf("loading image %q: it is not there", name)
	}
	if file.picture != nil {
		return file.picture, nil
	}
	return decodePicture(file.data)
}

func (i *Instance) inputImagesLocked() []string { return i.files.names("input") }
