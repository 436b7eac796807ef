#!/usr/bin/env bash
# Says whether everything that is generated is what it would be generated to now.
# It works on a copy: the checkout is never changed.
#
#   hack/verify.sh      ("make verify" builds the tools that it needs first)
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CONTROLLER_GEN=$PWD/bin/controller-gen
kubectl=${KUBEBUILDER_ASSETS:-$PWD/bin/k8s}/kubectl

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
failed=0

# complain prints what is wrong, the remedy, and the evidence from standard input.
complain() {
  failed=1
  printf '\n%s\n' "$1" >&2
  sed -n '1,80s/^/    /p' >&2
}

files() {
  if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git ls-files --cached --others --exclude-standard -z
  else
    find . -path ./bin -prune -o -path ./.git -prune -o -type f -print0
  fi
}

while IFS= read -r -d '' file; do
  [ ! -e "$file" ] || printf '%s\0' "$file"
done < <(files) | tar --null --files-from=- -cf - | tar -xf - -C "$copy"

# What is no longer generated would otherwise stay in the copy and pass.
rm -f "$copy"/config/crd/warmpool.dev_*.yaml "$copy"/config/rbac/role.yaml \
  "$copy"/config/rbac/namespaced/role.yaml "$copy"/config/observability/prometheusrule.yaml \
  "$copy"/docs/reference/api.md "$copy"/docs/reference/metrics.md "$copy"/docs/reference/licenses.md "$copy"/docs/reference/kubectl-warmpool.md \
  "$copy"/docs/explanation/gates.md "$copy"/charts/warmpool/README.md "$copy"/charts/warmpool/values.schema.json
rm -rf "$copy"/charts/warmpool/files
find "$copy/api" -name 'zz_generated.*' -delete

"$copy/hack/generate.sh"
for path in api config/crd config/rbac config/observability charts docs/reference docs/explanation/gates.md; do
  if ! difference=$(diff -ruN "$path" "$copy/$path"); then
    complain "$path differs from what its sources generate. Run 'make generate' and commit the result." <<<"$difference"
  fi
done

for module in . hack/tools hack/controlplane hack/image test/deploy; do
  if ! difference=$(cd "$copy/$module" && go mod tidy -diff 2>&1); then
    complain "$module/go.mod or go.sum is not tidy. Run 'go mod tidy' in $module and commit the result." <<<"$difference"
  fi
done

for overlay in config/crd config/default config/overlays/* config/samples config/sidecar config/rbac/sidecar-restart config/observability; do
  if ! output=$("$kubectl" kustomize "$copy/$overlay" 2>&1 >/dev/null); then
    complain "$overlay does not build with kustomize." <<<"$output"
  fi
done

while IFS= read -r script; do
  if ! output=$(bash -n "$script" 2>&1); then
    complain "$script has a syntax error." <<<"$output"
  fi
done < <(find hack -name '*.sh' -type f; echo .ci/run)

if [ "$failed" -ne 0 ]; then
  exit 1
fi
echo "Generated files, modules, manifests and scripts are in order."
