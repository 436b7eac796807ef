{{/* The beginning of all names: the release, with the chart's name in it. */}}
{{- define "warmpool.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "warmpool.manager" -}}{{ include "warmpool.fullname" . }}-manager{{- end }}

{{- define "warmpool.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "warmpool.manager" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: name the ServiceAccount that is there, or set serviceAccount.create to true" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{/* What selects pods of this release; never changes. */}}
{{- define "warmpool.selector" -}}
app.kubernetes.io/name: warmpool
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "warmpool.labels" -}}
{{ include "warmpool.selector" . }}
app.kubernetes.io/part-of: warmpool
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "warmpool.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{/* Where the account, its Secret and the pools are. */}}
{{- define "warmpool.accountNamespace" -}}
{{- default .Release.Namespace .Values.account.namespace -}}
{{- end }}

{{- define "warmpool.sidecarSecret" -}}
{{- default .Values.credentials.name .Values.sidecar.secretName -}}
{{- end }}

{{/* Pod security "restricted". */}}
{{- define "warmpool.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "warmpool.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop:
  - ALL
{{- end }}

{{/*
"true" while "helm install" or "helm upgrade" talks to a cluster that does not
serve the kinds yet: Helm looks up every kind of a manifest before it makes the
first object, so the account and the pools can only come as hooks behind the
CRDs. "helm template" and Argo CD look nothing up and get plain objects.
*/}}
{{- define "warmpool.kindsAreNew" -}}
{{- if not (.Capabilities.APIVersions.Has "warmpool.dev/v1alpha1/WarmPool") -}}
{{- if lookup "v1" "Namespace" "" "kube-system" -}}true{{- end -}}
{{- end -}}
{{- end }}

{{/*
Annotations of the account (wave 5) and the pools (wave 10): pools come last and go
first, and the account is not pruned without a person. The ones of Helm let the next upgrade
take over what a hook has made; a hook with this delete policy is never deleted,
because these hooks do nothing that could fail later.
*/}}
{{- define "warmpool.resourceAnnotations" -}}
argocd.argoproj.io/sync-wave: {{ .wave | quote }}
argocd.argoproj.io/sync-options: SkipDryRunOnMissingResource=true{{ if eq (int .wave) 5 }},Prune=confirm{{ end }}
{{- if include "warmpool.kindsAreNew" .root }}
helm.sh/hook: post-install,post-upgrade
helm.sh/hook-weight: {{ .wave | quote }}
helm.sh/hook-delete-policy: hook-failed
meta.helm.sh/release-name: {{ .root.Release.Name }}
meta.helm.sh/release-namespace: {{ .root.Release.Namespace }}
{{- end }}
{{- end }}
