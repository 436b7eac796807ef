// Command claim takes one ready instance of the pool sdxl for itself, renders a
// workflow on it, and gives it back.
//
//	go run ./docs/examples/claim workflow_api.json
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "claim:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) != 1 {
		return errors.New("name a file with a workflow in ComfyUI's API format")
	}
	workflow, err := os.ReadFile(arguments[0])
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err = errors.Join(corev1.AddToScheme(scheme), warmpool.AddToScheme(scheme)); err != nil {
		return err
	}
	config, err := ctrl.GetConfig() // the Pod's service account, or your kubeconfig
	if err != nil {
		return err
	}
	cluster, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	return withInstance(ctx, cluster, func(comfy *comfyUI) error {
		id, err := comfy.submit(ctx, workflow)
		if err != nil {
			return err
		}
		fmt.Println("rendering", id)
		return comfy.await(ctx, id)
	})
}

// withInstance makes a claim, waits until it is served, and gives the instance
// back whatever happens. It bills until then.
func withInstance(ctx context.Context, cluster client.Client, work func(*comfyUI) error) (err error) {
	claim := &warmpool.WarmClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: "job-"},
		Spec: warmpool.WarmClaimSpec{
			PoolRef:            warmpool.LocalReference{Name: "sdxl"},
			TTLSeconds:         new(int32(1800)),
			BindTimeoutSeconds: 1800, // a pool that has to rent first needs 5 to 15 minutes
			Holder:             "nightly renders",
		},
	}
	if err = cluster.Create(ctx, claim); err != nil {
		return err
	}
	defer func() {
		// Also after Ctrl-C: the instance would bill until the claim expires.
		released, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		err = errors.Join(err, client.IgnoreNotFound(cluster.Delete(released, claim)))
	}()
	if err = awaitClaim(ctx, cluster, claim); err != nil {
		return err
	}
	var secret corev1.Secret
	key := types.NamespacedName{Namespace: claim.Namespace, Name: claim.Status.CredentialsSecretRef.Name}
	if err = cluster.Get(ctx, key, &secret); err != nil {
		return err
	}
	return work(newComfyUI(&secret))
}

// awaitClaim waits for the condition Ready, and gives up when the claim is finished.
func awaitClaim(ctx context.Context, cluster client.Client, claim *warmpool.WarmClaim) error {
	return wait.PollUntilContextCancel(ctx, 2*time.Second, true, func(ctx context.Context) (bool, error) {
		if err := cluster.Get(ctx, client.ObjectKeyFromObject(claim), claim); err != nil {
			return false, err
		}
		if finished := meta.FindStatusCondition(claim.Status.Conditions, warmpool.ConditionFinished); finished != nil && finished.Status == metav1.ConditionTrue {
			return false, fmt.Errorf("the claim ended before it was served: %s", finished.Message)
		}
		return meta.IsStatusConditionTrue(claim.Status.Conditions, warmpool.ConditionReady), nil
	})
}

// comfyUI is the ComfyUI of the claimed instance.
type comfyUI struct {
	url, token string
	http       *http.Client
}

// newComfyUI trusts the one certificate that the Secret names, and no other.
func newComfyUI(secret *corev1.Secret) *comfyUI {
	made := &comfyUI{
		url: string(secret.Data[warmpool.SecretKeyClaimURL]), token: string(secret.Data[warmpool.SecretKeyClaimToken]),
		http: &http.Client{Timeout: time.Minute},
	}
	if want := string(secret.Data[warmpool.SecretKeyClaimCertificate]); want != "" {
		made.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			InsecureSkipVerify: true, // the fingerprint is compared instead of the name
			VerifyConnection: func(state tls.ConnectionState) error {
				if sum := sha256.Sum256(state.PeerCertificates[0].Raw); hex.EncodeToString(sum[:]) != want {
					return errors.New("this is another machine than the claim's")
				}
				return nil
			},
		}}
	}
	return made
}

// submit hands the workflow in and returns the number of the prompt.
func (c *comfyUI) submit(ctx context.Context, workflow []byte) (string, error) {
	body, err := json.Marshal(map[string]json.RawMessage{"prompt": workflow})
	if err != nil {
		return "", err
	}
	var answer struct {
		PromptID string `json:"prompt_id"`
	}
	return answer.PromptID, c.call(ctx, http.MethodPost, "/prompt", body, &answer)
}

// await returns when the prompt is done.
func (c *comfyUI) await(ctx context.Context, id string) error {
	return wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
		var history map[string]struct {
			Status struct {
				Completed bool   `json:"completed"`
				Word      string `json:"status_str"`
			} `json:"status"`
		}
		if err := c.call(ctx, http.MethodGet, "/history/"+id, nil, &history); err != nil {
			return false, err
		}
		entry, known := history[id]
		if known && entry.Status.Word == "error" {
			return false, fmt.Errorf("prompt %s failed on the instance", id)
		}
		return known && entry.Status.Completed, nil
	})
}

// call sends the token with every request.
func (c *comfyUI) call(ctx context.Context, method, path string, body []byte, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Content-Type", "application/json")
	answer, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("ComfyUI answers %s to %s", answer.Status, path)
	}
	return json.NewDecoder(answer.Body).Decode(into)
}
