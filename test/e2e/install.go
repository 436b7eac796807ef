package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const (
	release = "warmpool"
	// adminKey opens the legacy API of this installation and nothing else.
	adminKey = "e2e-admin-key-0f8e7d6c5b4a39281706f5e4d3c2b1a0" //nolint:gosec // made up for a cluster that ends with the test
	salt     = "e2e-salt-00112233445566778899aabbccddeeff0011"
	// firstPool is made by the chart, secondPool by hand.
	firstPool, secondPool = "first", "second"
	// podPatience is how long pods may take to run, on a machine that does other things.
	podPatience = 3 * time.Minute
	// poolPatience is how long pools may take to be what they should.
	poolPatience = 4 * time.Minute
)

// object is a piece of YAML.
type object = map[string]any

// values are those of the chart; every value that is not its default is needed
// because the provider is a pod.
func values(image, vastURL string) object {
	at := strings.LastIndex(image, ":")
	return object{
		"image": object{"repository": image[:at], "tag": image[at+1:]},
		"vast":  object{"baseURL": vastURL},
		"account": object{
			"create": true, "namespace": poolNamespace, "spec": object{"ceilingUSDPerHour": "6.00", "pollPeriodSeconds": 5},
		},
		"pools": object{firstPool: object{
			"replicas": 2,
			"probes":   object{"periodSeconds": 5},
			// A zone needs the time zones that the manager brings along.
			"cost": object{"ceilingUSDPerHour": "3.00", "budgets": []object{{"name": "day", "period": "Day", "timeZone": "Europe/Berlin", "limitUSD": "50", "action": "Alert"}}},
		}},
		"manager": object{
			"extraEnv":          []object{{"name": "SSL_CERT_FILE", "value": "/authority/ca.crt"}},
			"extraVolumes":      []object{{"name": "authority", "configMap": object{"name": authority}}},
			"extraVolumeMounts": []object{{"name": "authority", "mountPath": "/authority", "readOnly": true}},
		},
		"audit":   object{"storage": "EmptyDir"},
		"sidecar": object{"enabled": true, "pool": firstPool},
		// The provider and its instances are pods here.
		"networkPolicy": object{"except": []string{}, "provider": object{"ports": []int{portVast}}},
	}
}

// writeValues writes values for helm and returns the path.
func writeValues(directory string, content object) (string, error) {
	text, err := yaml.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("encoding the values: %w", err)
	}
	path := filepath.Join(directory, "values.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", fmt.Errorf("writing the values: %w", err)
	}
	return path, nil
}

// makeSecrets makes what the chart expects to be there.
func (c *cluster) makeSecrets(ctx context.Context) error {
	for _, namespace := range []string{operatorNamespace, poolNamespace} {
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "warmpool-credentials"},
			StringData: map[string]string{"VASTAI_API_KEY": apiKey, "ADMIN_API_KEY": adminKey, "AUDIT_SALT": salt},
		}
		if err := c.objects.Create(ctx, secret); err != nil {
			return fmt.Errorf("making a Secret: %w", err)
		}
	}
	return nil
}

// helm runs helm, whose own files are in the directory of the test; an error has
// what it printed.
func (c *course) helm(ctx context.Context, arguments ...string) error {
	one := exec.CommandContext(ctx, c.chosen.helm, append(arguments, "--kubeconfig="+c.kubeconfig, "--namespace="+operatorNamespace)...) //nolint:gosec // the settings' program
	one.Env = append(os.Environ(), "HELM_CACHE_HOME="+c.directory, "HELM_CONFIG_HOME="+c.directory, "HELM_DATA_HOME="+c.directory)
	output, err := one.CombinedOutput()
	if err != nil {
		return fmt.Errorf("running helm %s: %w: %s", arguments[0], err, strings.TrimSpace(string(output)))
	}
	return nil
}
