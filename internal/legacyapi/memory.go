package legacyapi

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// maxRemembered bounds how many instances are remembered.
const maxRemembered = 1000

// memory holds what was last seen of instances. Losing it loses nothing but
// optional fields of answers.
type memory struct {
	mu     sync.Mutex
	health map[types.UID]*healthReport
	models map[types.UID]*modelInventory
}

func newMemory() *memory {
	m := &memory{}
	m.clear()
	return m
}

// of returns what is remembered of an instance; nil for nothing.
func (m *memory) of(instance types.UID) (*healthReport, *modelInventory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.health[instance], m.models[instance]
}

func (m *memory) keepHealth(instance types.UID, report *healthReport) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.health) >= maxRemembered {
		clear(m.health)
	}
	m.health[instance] = report
}

func (m *memory) keepModels(instance types.UID, models *modelInventory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.models) >= maxRemembered {
		clear(m.models)
	}
	m.models[instance] = models
}

func (m *memory) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.health, m.models = map[types.UID]*healthReport{}, map[types.UID]*modelInventory{}
}
