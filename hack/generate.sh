#!/usr/bin/env bash
# Writes everything that is generated, into the tree that this file is part of:
# deepcopy functions, CRDs, the manager's RBAC role, the API reference, the
# metrics reference, the reference of kubectl warmpool, the licences, the page
# about gates, the rules as the object of the Prometheus Operator, and the chart's
# copies, schema and README.
# "make generate" and "make verify" both run it.
#
#   [CONTROLLER_GEN=path] hack/generate.sh
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${CONTROLLER_GEN:=$PWD/bin/controller-gen}"

"$CONTROLLER_GEN" object:headerFile=hack/boilerplate.go.txt paths=./api/...
"$CONTROLLER_GEN" crd paths=./api/... output:crd:artifacts:config=config/crd
"$CONTROLLER_GEN" rbac:roleName=warmpool-manager paths=./controllers/... output:rbac:dir=config/rbac
go run ./hack/apidocs -crds config/crd -out docs/reference/api.md
go run ./hack/metricsdocs -out docs/reference/metrics.md
go run ./hack/plugindocs -out docs/reference/kubectl-warmpool.md
go run ./hack/licenses -out docs/reference/licenses.md
go run ./hack/mutate -markdown docs/explanation/gates.md
{
  echo '# Written by "make generate" from alerts.yaml. Change that instead.'
  printf 'apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: warmpool\nspec:\n'
  sed -n '/^groups:/,$s/^./  &/p' config/observability/alerts.yaml
} >config/observability/prometheusrule.yaml
go run ./hack/chart
