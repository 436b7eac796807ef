package simulate

import (
	"context"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/recorder"
)

// fakeManager is what the controllers need of a manager. They set themselves
// up on it with their own predicates, mappings and queues, and controller-runtime
// itself runs them.
type fakeManager struct {
	manager.Manager // nothing else is asked for
	process         *process
	scheme          *runtime.Scheme
	cache           *laggingCache
	client, live    client.Client
	runnables       []manager.Runnable
}

var _ manager.Manager = (*fakeManager)(nil)

// Add implements manager.Manager.
func (m *fakeManager) Add(runnable manager.Runnable) error {
	m.runnables = append(m.runnables, runnable)
	return nil
}

// start runs the controllers until the context ends.
func (m *fakeManager) start(ctx context.Context, running *sync.WaitGroup) {
	for _, runnable := range m.runnables {
		running.Go(func() {
			if err := runnable.Start(ctx); err != nil && ctx.Err() == nil {
				m.process.world.fail("setup", "a controller of %s ended: %v", m.process.name, err)
			}
		})
	}
}

// GetCache implements cluster.Cluster.
func (m *fakeManager) GetCache() cache.Cache { return m.cache }

// GetClient implements cluster.Cluster.
func (m *fakeManager) GetClient() client.Client { return m.client }

// GetAPIReader implements cluster.Cluster.
func (m *fakeManager) GetAPIReader() client.Reader { return m.live }

// GetScheme implements cluster.Cluster.
func (m *fakeManager) GetScheme() *runtime.Scheme { return m.scheme }

// GetFieldIndexer implements cluster.Cluster.
func (m *fakeManager) GetFieldIndexer() client.FieldIndexer { return m.cache }

// GetRESTMapper implements cluster.Cluster.
func (*fakeManager) GetRESTMapper() meta.RESTMapper { return nil }

// GetEventRecorder implements recorder.Provider.
func (m *fakeManager) GetEventRecorder(string) recorder.EventRecorder {
	return eventSink{m.process}
}

// GetEventRecorderFor implements recorder.Provider. Nobody asks for it.
func (*fakeManager) GetEventRecorderFor(string) record.EventRecorder { return nil }

// GetLogger implements manager.Manager.
func (m *fakeManager) GetLogger() logr.Logger { return logr.New(&logSink{process: m.process}) }

// GetControllerOptions implements manager.Manager.
func (*fakeManager) GetControllerOptions() config.Controller {
	return config.Controller{SkipNameValidation: new(true), RecoverPanic: new(false)}
}
