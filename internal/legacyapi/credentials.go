package legacyapi

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Keys of the Secret.
const (
	keyAdmin       = "ADMIN_API_KEY"
	keyVast        = "VASTAI_API_KEY"
	keyHuggingFace = "HUGGINGFACE_HUB_TOKEN"
	keyCivitai     = "CIVITAI_TOKEN"
)

const (
	// secretAge is how long a value that was read is used: a changed key is in
	// force after it, and at once when it was changed through this server.
	secretAge = 2 * time.Second
	// secretPatience is how long the last values are used while the API server
	// cannot be asked: a revoked key must not live on behind a broken network.
	secretPatience = 30 * time.Second
)

// credentials are the values of the Secret, read again when they are older than
// secretAge.
type credentials struct {
	reader   client.Reader
	clock    clock.PassiveClock
	register func(secrets ...string)
	log      logr.Logger
	name     types.NamespacedName

	mu     sync.Mutex
	values map[string]string
	readAt time.Time
}

// read returns the values by key. A Secret that does not exist has none.
func (c *credentials) read(ctx context.Context) (map[string]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	age := c.clock.Since(c.readAt)
	if c.values != nil && age < secretAge {
		return maps.Clone(c.values), nil
	}
	var secret corev1.Secret
	err := c.reader.Get(ctx, c.name, &secret)
	if err != nil && !apierrors.IsNotFound(err) {
		if c.values != nil && age < secretPatience {
			return maps.Clone(c.values), nil
		}
		return nil, fmt.Errorf("reading Secret %s: %w", c.name, err)
	}
	values := map[string]string{}
	for name, value := range secret.Data {
		values[name] = unquoted(value)
	}
	if c.values != nil && c.values[keyAdmin] != values[keyAdmin] {
		c.log.Info("The admin key was changed", "secret", c.name.String(), "usable", CheckAdminKey(values[keyAdmin]) == nil)
	}
	c.values, c.readAt = values, c.clock.Now()
	c.register(slices.Collect(maps.Values(values))...)
	return maps.Clone(values), nil
}

// forget makes the next read ask the API server.
func (c *credentials) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readAt = time.Time{}
}

// remedy is the command that sets an admin key.
func (c *credentials) remedy() string {
	return fmt.Sprintf(`kubectl -n %s patch secret %s -p "{\"stringData\":{\"%s\":\"$(openssl rand -hex 24)\"}}"`, c.name.Namespace, c.name.Name, keyAdmin)
}
