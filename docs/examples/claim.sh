#!/usr/bin/env bash
# Claim a ready instance of the pool sdxl, ask its ComfyUI something, give it back.
set -euo pipefail

claim=$(kubectl create -f config/samples/warmclaim.yaml -o name)
trap 'kubectl delete --wait=false "$claim"' EXIT # it bills until then
kubectl wait --for=condition=Ready "$claim" --timeout=20m

# The Secret has the name of the claim and "-claim".
key() { kubectl get secret "${claim#*/}-claim" -o jsonpath="{.data.$1}" | base64 -d; }
url=$(key url) token=$(key token)

# The certificate is its own: compare the fingerprint, then pin its public key.
certificate=$(openssl s_client -connect "${url#https://}" </dev/null 2>/dev/null | openssl x509)
seen=$(openssl x509 -noout -fingerprint -sha256 <<<"$certificate" | cut -d= -f2 | tr -d : | tr A-F a-f)
[ "$seen" = "$(key certificateSHA256)" ] || { echo "this is another machine than the claim's" >&2; exit 1; }
pin=$(openssl x509 -pubkey -noout <<<"$certificate" | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64)

curl -sS --insecure --pinnedpubkey "sha256//$pin" -H "Authorization: Bearer $token" "$url/prompt"
curl -sS --insecure --pinnedpubkey "sha256//$pin" -H "Authorization: Bearer $token" "$url/system_stats"
