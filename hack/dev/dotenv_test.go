package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadDotEnv(t *testing.T) {
	directory := t.TempDir()
	got, err := readDotEnv(directory)
	if err != nil || len(got) != 0 {
		t.Errorf("without a file: got %v, %v", got, err)
	}
	if err = os.WriteFile(filepath.Join(directory, ".env"), []byte("VASTAI_API_KEY=abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err = readDotEnv(directory); err != nil || got[keyVariable] != "abc" {
		t.Errorf("got %d values, %v", len(got), err)
	}
}

func TestDotEnvDoesNotPrintItsValues(t *testing.T) {
	values := dotEnv{keyVariable: "hunter2"}
	text := fmt.Sprintf("%v %+v %#v %s", values, values, values, errors.Join(fmt.Errorf("with %v", values)))
	if strings.Contains(text, "hunter") {
		t.Error("a value is printed")
	}
}

func TestChildrenGetNoSecretAndNoForeignSetting(t *testing.T) {
	got := childEnvironment([]string{
		"HOME=/root", "PATH=/bin", "VASTAI_API_KEY=x", "CIVITAI_TOKEN=x", "WARMPOOL_LOG_LEVEL=9", "VASTSIM_SPEED=1",
		"ETCD_NAME=other", "KUBECONFIG=/other", "HTTPS_PROXY=http://proxy",
	}, dotEnv{"CIVITAI_TOKEN": "x"}, "A=b")
	if diff := cmp.Diff([]string{"HOME=/root", "PATH=/bin", "HTTPS_PROXY=http://proxy", "A=b"}, got); diff != "" {
		t.Error(diff)
	}
}
