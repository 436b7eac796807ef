{{/* What the schema cannot say: values that do not go together, with the remedy. */}}
{{- define "warmpool.validate" -}}
{{- $namespace := include "warmpool.accountNamespace" . -}}
{{- if and .Values.watchNamespaces (not .Values.installationID) -}}
{{- fail "installationID: give 1 to 8 lower-case letters or digits, such as prod1, and never change them: with watchNamespaces the manager has no right to derive it from the cluster" -}}
{{- end -}}
{{- if and .Values.watchNamespaces (or .Values.account.create .Values.pools .Values.sidecar.enabled) (not (has $namespace .Values.watchNamespaces)) -}}
{{- fail (printf "watchNamespaces: add %q, where the account and the pools are, or nobody looks after them" $namespace) -}}
{{- end -}}
{{- if and .Values.account.create (not .Values.account.spec.ceilingUSDPerHour) -}}
{{- fail "account.spec.ceilingUSDPerHour: give the most that everything in the Vast.ai account may cost in an hour, in quotes, such as \"6.00\"" -}}
{{- end -}}
{{- if and .Values.credentials.create (not .Values.credentials.data.VASTAI_API_KEY) -}}
{{- fail "credentials.data.VASTAI_API_KEY: give the API key, or make the Secret yourself and leave credentials.create at false" -}}
{{- end -}}
{{- if and .Values.sidecar.enabled (not .Values.sidecar.pool) -}}
{{- fail "sidecar.pool: name the pool that the sidecar serves" -}}
{{- end -}}
{{- if and (eq .Values.audit.storage "PersistentClaim") (gt (int .Values.manager.replicas) 1) (not .Values.audit.claim.existingClaim) (not (has "ReadWriteMany" .Values.audit.claim.accessModes)) -}}
{{- fail "audit.claim.accessModes: several replicas need ReadWriteMany; use it, or set manager.replicas to 1" -}}
{{- end -}}
{{- if and .Values.monitoring.prometheusRule.enabled (not (.Files.Get "files/alerts.yaml")) -}}
{{- fail "monitoring.prometheusRule.enabled: this copy of the chart has no files/alerts.yaml; run make generate" -}}
{{- end -}}
{{- end }}
