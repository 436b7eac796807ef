package problems

import (
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// TestMain keeps the controllers quiet: what they have to say is in the events.
func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	m.Run()
}
