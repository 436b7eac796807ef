package main

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
)

// TestOnlyTheClaimedMachineIsSpokenTo: the token goes to the pinned certificate only.
func TestOnlyTheClaimedMachineIsSpokenTo(t *testing.T) {
	asked := 0
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		asked++
		if request.Header.Get("Authorization") != "Bearer its-password" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if request.Method == http.MethodPost {
			body, _ := io.ReadAll(request.Body)
			if string(body) != `{"prompt":{"1":{}}}` {
				t.Errorf("ComfyUI was sent %s", body)
			}
			_, _ = io.WriteString(w, `{"prompt_id":"p-1"}`)
			return
		}
		_, _ = io.WriteString(w, `{"p-1":{"status":{"completed":true,"status_str":"success"}}}`)
	}))
	defer server.Close()
	sum := sha256.Sum256(server.Certificate().Raw)
	secret := func(fingerprint string) *corev1.Secret {
		return &corev1.Secret{Data: map[string][]byte{
			warmpool.SecretKeyClaimURL: []byte(server.URL), warmpool.SecretKeyClaimToken: []byte("its-password"),
			warmpool.SecretKeyClaimCertificate: []byte(fingerprint),
		}}
	}
	comfy := newComfyUI(secret(hex.EncodeToString(sum[:])))
	id, err := comfy.submit(t.Context(), []byte(`{"1":{}}`))
	if err != nil || id != "p-1" {
		t.Fatalf("submit: %q, %v", id, err)
	}
	if err = comfy.await(t.Context(), id); err != nil {
		t.Errorf("await: %v", err)
	}
	before := asked
	_, err = newComfyUI(secret(strings.Repeat("0", 64))).submit(t.Context(), []byte(`{"1":{}}`))
	if err == nil || !strings.Contains(err.Error(), "another machine") || asked != before {
		t.Errorf("another certificate: %v after %d requests, want none", err, asked-before)
	}
}
