package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// cgroups is where the kernel shows control groups.
const cgroups = "/sys/fs/cgroup"

// hierarchies returns the directories in which a group has to be made: one of
// version 2, or one for each controller of version 1.
func hierarchies() ([]string, error) {
	if _, err := os.Stat(filepath.Join(cgroups, "cgroup.controllers")); err == nil {
		return []string{cgroups}, nil
	}
	entries, err := os.ReadDir(cgroups)
	if err != nil {
		return nil, fmt.Errorf("reading the control groups: %w", err)
	}
	var found []string
	for _, entry := range entries {
		if entry.IsDir() {
			found = append(found, filepath.Join(cgroups, entry.Name()))
		}
	}
	return found, nil
}

// MakeCgroups makes the group that everything of a node is below.
func MakeCgroups(name string) error {
	places, err := hierarchies()
	if err != nil {
		return err
	}
	for _, place := range places {
		if err := os.Mkdir(filepath.Join(place, name), 0o755); err != nil { //nolint:gosec // the mode of all control groups
			return fmt.Errorf("making a control group: %w", err)
		}
	}
	return nil
}

// RemoveCgroups removes the group and all below it, after its processes have ended.
func RemoveCgroups(name string) error {
	places, err := hierarchies()
	if err != nil {
		return err
	}
	var failures []error
	for _, place := range places {
		var groups []string
		err := filepath.WalkDir(filepath.Join(place, name), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				groups = append(groups, path)
			}
			return err
		})
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		failures = append(failures, err)
		// The innermost first: a control group is removed when nothing is below it.
		for _, group := range slices.Backward(groups) {
			failures = append(failures, os.Remove(group))
		}
	}
	return errors.Join(failures...)
}
