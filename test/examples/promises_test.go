package examples

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/simulator/adminclient"
)

// promises are what the operators of the legacy system were promised, as far as
// somebody who calls the HTTP API and reads the logs can see it. They are tried
// in this order, each on what the one before left.
func promises(h *house) {
	for _, promise := range []struct {
		name string
		keep func(h *house)
	}{
		{"the .env of old becomes the Secret", dotEnvBecomesASecret},
		{"tokens are set in a running process, from this host only", tokensAreSet},
		{"the configuration is shown without a value", configurationIsShown},
		{"the process manager's routes answer in their old shape", processRoutes},
		{"SSH shows in the status, and the health check asks ComfyUI", sshAndHealth},
		{"an idle instance is ended for certain", terminateEnds},
		{"prewarm makes an instance ready, and the log says WarmPool", prewarmRents},
		{"a leaked key is rotated without a restart", keyIsRotated},
		{"a weak admin key keeps the server from starting", weakKeyIsRefused},
		{"the audit logs are signed and verify", auditVerifies},
	} {
		h.Run(promise.name, func(t *testing.T) { promise.keep(&house{t, h.Stage, h.key}) })
	}
}

const token = "token-0f9a7c3e51b8d264"

func dotEnvBecomesASecret(h *house) {
	path := filepath.Join(h.TempDir(), ".env")
	names := []string{"VASTAI_API_KEY", "ADMIN_API_KEY", "HUGGINGFACE_HUB_TOKEN", "CIVITAI_TOKEN", "AUDIT_SALT"}
	if err := os.WriteFile(path, []byte(strings.Join(names, "="+token+"\n")+"="+token+"\n"), 0o600); err != nil {
		h.Fatal(err)
	}
	h.Shell("kubectl create secret generic migrated --from-env-file=" + path)
	for _, name := range names {
		if got := h.Shell("kubectl get secret migrated -o jsonpath='{.data." + name + "}' | base64 -d"); got != token {
			h.Errorf("%s became %q", name, got)
		}
	}
}

func tokensAreSet(h *house) {
	h.want(h.send(http.MethodPost, "/api/proxy/admin/set-tokens", `{"huggingface":"`+token+`"}`, http.Header{"Content-Type": {"application/json"}}),
		http.StatusOK, map[string]any{"huggingface": true, "vastai": true})
	if got := string(h.secret()["HUGGINGFACE_HUB_TOKEN"]); got != token {
		h.Errorf("the Secret has %q", got)
	}
	h.want(h.send(http.MethodGet, "/api/proxy/check-tokens", "", nil), http.StatusOK, map[string]any{"huggingface": true})
	strange := http.Header{"Content-Type": {"application/json"}, "X-Forwarded-For": {"203.0.113.9"}}
	h.want(h.send(http.MethodPost, "/api/proxy/admin/set-tokens", `{"huggingface":"another"}`, strange), http.StatusForbidden, map[string]any{"error": nil})
	if got := string(h.secret()["HUGGINGFACE_HUB_TOKEN"]); got != token {
		h.Errorf("somebody who came through a proxy changed the token to %q", got)
	}
}

func configurationIsShown(h *house) {
	got := h.admin(http.MethodGet, "/api/proxy/admin/config", "")
	h.want(got, http.StatusOK, map[string]any{
		"VASTAI_API_KEY": "***configured***", "ADMIN_API_KEY": "***configured***", "HUGGINGFACE_HUB_TOKEN": "***configured***",
		"CIVITAI_TOKEN": nil, "WARM_POOL_SAFE_MODE": "0",
	})
	for _, secret := range []string{h.key, token} {
		if strings.Contains(got.text, secret) {
			h.Errorf("a value is shown: %s", got.text)
		}
	}
}

func processRoutes(h *house) {
	h.want(h.admin(http.MethodGet, "/api/proxy/admin/pm2/status", ""), http.StatusOK, map[string]any{"managed": nil, "message": nil})
	for _, step := range []struct {
		action string
		mode   warmpool.PoolMode
	}{{"stop", warmpool.PoolPaused}, {"start", warmpool.PoolActive}} {
		h.want(h.admin(http.MethodPost, "/api/proxy/admin/pm2/"+step.action, ""), http.StatusOK, map[string]any{"success": true, "message": nil})
		if pool := h.pool(); pool.Spec.Mode != step.mode {
			h.Errorf("after %s the pool is %s", step.action, pool.Spec.Mode)
		}
	}
}

func (h *house) pool() *warmpool.WarmPool {
	h.Helper()
	pool := &warmpool.WarmPool{}
	if err := h.Client.Get(h.Context(), client.ObjectKey{Namespace: h.Namespace, Name: "sdxl"}, pool); err != nil {
		h.Fatal(err)
	}
	return pool
}

func sshAndHealth(h *house) {
	h.awaitFree(1)
	got := h.admin(http.MethodGet, "/api/proxy/admin/warm-pool/status", "")
	first, _ := got.fields["instance"].(map[string]any)
	if host, _ := first["ssh_host"].(string); host == "" || first["ssh_port"] == nil {
		h.Errorf("SSH is at %v:%v", first["ssh_host"], first["ssh_port"])
	}
	h.want(h.admin(http.MethodGet, "/api/proxy/admin/warm-pool/health", ""), http.StatusOK, map[string]any{"healthy": true, "healthReport": nil})
}

func terminateEnds(h *house) {
	h.awaitFree(1)
	before := *h.pool().Spec.Replicas
	got := h.admin(http.MethodPost, "/api/proxy/warm-pool/terminate", "{}")
	h.want(got, http.StatusOK, map[string]any{"status": "terminated"})
	details, _ := got.fields["details"].(map[string]any)
	name, _ := details["instance"].(string)
	h.endIsRecorded(name)
	if after := *h.pool().Spec.Replicas; after != max(before-1, 0) {
		h.Errorf("the size went from %d to %d", before, after)
	}
	rental, isNumber := details["contractId"].(float64)
	if !isNumber {
		h.Fatalf("the answer names no rental: %s", got.text)
	}
	h.eventually("the rental to end at Vast.ai", func() bool { return h.hasEnded(int64(rental)) })
}

// hasEnded asks the simulator whether a rental bills no more.
func (h *house) hasEnded(rental int64) bool {
	h.Helper()
	var rentals []struct {
		ID        int64  `json:"id"`
		EndReason string `json:"endReason"`
	}
	if err := adminclient.New(h.SimulatorURL).Call(h.Context(), http.MethodGet, "/rentals", nil, &rentals); err != nil {
		h.Fatal(err)
	}
	for _, one := range rentals {
		if one.ID == rental {
			return one.EndReason != ""
		}
	}
	h.Fatalf("the simulator does not know rental %d", rental)
	return false
}

func prewarmRents(h *house) {
	h.want(h.admin(http.MethodPost, "/api/proxy/admin/warm-pool", `{"desiredSize":0}`), http.StatusOK, map[string]any{"desiredSize": 0.0})
	h.eventually("an empty pool", func() bool {
		h.Helper()
		shown, _ := h.admin(http.MethodGet, "/api/proxy/admin/warm-pool", "").fields["instances"].([]any)
		for _, one := range shown {
			// What is claimed stays.
			if instance, _ := one.(map[string]any); instance["leasedUntil"] == nil {
				return false
			}
		}
		return true
	})
	apiKeyFirst := http.Header{"X-Admin-Api-Key": {h.key}}
	h.want(h.send(http.MethodPost, "/api/proxy/admin/warm-pool/prewarm", "", apiKeyFirst), http.StatusOK, map[string]any{"status": "started"})
	if size := *h.pool().Spec.Replicas; size != 1 {
		h.Errorf("the size is %d", size)
	}
	h.awaitFree(1)
	h.want(h.send(http.MethodGet, "/api/proxy/gpu-status", "", nil), http.StatusOK, map[string]any{"status": "ready", "canGenerate": true})
	for _, program := range []string{"manager", "sidecar"} {
		if !strings.Contains(h.Log(program), "WarmPool") {
			h.Errorf("nothing in the log of the %s is named WarmPool", program)
		}
	}
}

func keyIsRotated(h *house) {
	const next = "rotated-key-0f3c9a7d51"
	h.Shell(`kubectl patch secret warmpool-credentials --type=merge -p '{"stringData":{"ADMIN_API_KEY":"` + next + `"}}'`)
	ask := func(key string) answer {
		return h.send(http.MethodGet, "/api/proxy/admin/warm-pool", "", http.Header{"X-Admin-Key": {key}})
	}
	// It is in force within two seconds. A wrong key too many would lock this host out.
	h.eventually("the new key to be in force", func() bool { return ask(next).status == http.StatusOK })
	h.want(ask(h.key), http.StatusForbidden, map[string]any{"error": nil})
}

func weakKeyIsRefused(h *house) {
	h.Shell(`kubectl create namespace weak && kubectl -n weak create secret generic warmpool-credentials ` +
		`--from-literal=ADMIN_API_KEY=secure_admin_key_change_me --from-literal=AUDIT_SALT=` + token)
	command := exec.CommandContext(h.Context(), filepath.Join("..", "..", "bin", "sidecar"),
		"--kubeconfig="+filepath.Join(h.Directory, "kubeconfig"), "--pool=weak/sdxl", "--bind-address=127.0.0.1:0",
		"--metrics-bind-address=0", "--health-probe-bind-address=0", "--audit-dir="+h.TempDir())
	said, err := command.CombinedOutput()
	if err == nil || !strings.Contains(string(said), "ADMIN_API_KEY cannot be used") {
		h.Errorf("with the default key of old the sidecar said %q, %v", said, err)
	}
}

func auditVerifies(h *house) {
	for _, component := range []string{"sidecar", "manager"} {
		command := exec.CommandContext(h.Context(), filepath.Join("..", "..", "bin", "sidecar"),
			"audit", "verify", "--dir="+filepath.Join(h.Directory, "audit"), "--component="+component)
		command.Env = append(os.Environ(), "AUDIT_SALT="+string(h.secret()["AUDIT_SALT"]))
		if said, err := command.CombinedOutput(); err != nil {
			h.Errorf("the log of the %s: %v\n%s", component, err, said)
		}
	}
}
