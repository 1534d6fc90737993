{{/* What `slipway.deploy.provision` does, as YAML: who may read or write below which prefix, and where the credential goes.
     MLflow's comes last: once its server is ready, every team's credential is there. Users carry the bucket's name: what is
     gone from the plan is removed, and a MinIO may have users of others. No part of a name has an underscore. */}}
{{- define "slipway.plan" -}}
{{- $bucket := .Values.store.bucket -}}
endpoint: {{ include "slipway.endpoint" . }}
region: {{ .Values.store.region | quote }}
bucket: {{ $bucket | quote }}
grants:
  {{- range include "slipway.teams" . | fromJsonArray }}
  {{- $root := printf "teams/%s" .name }}
  - {user: {{ $bucket }}_{{ .name }}_run, prefix: {{ $root }}, write: true, namespace: {{ .namespace }}, secret: slipway-store, account: slipway-run}
  - {user: {{ $bucket }}_{{ .name }}_models, prefix: {{ $root }}/models, write: false, namespace: {{ .namespace }}, secret: slipway-models, account: slipway-models}
  {{- $team := . }}
  {{- range .models }}
  - {user: {{ $bucket }}_{{ $team.name }}_model_{{ . }}, prefix: {{ $root }}/models/{{ . }}, write: false, namespace: {{ $team.namespace }}, secret: slipway-model-{{ . }}, account: slipway-model-{{ . }}}
  {{- end }}
  {{- end }}
  {{- $mlflow := printf "%s-mlflow" (include "slipway.fullname" .) }}
  - {user: {{ $bucket }}_mlflow, prefix: {{ .Values.mlflow.artifactPrefix }}, write: true, namespace: {{ .Release.Namespace }}, secret: {{ $mlflow }}-store, account: {{ $mlflow }}}
{{- end -}}

{{/* What provisioning may do in one namespace: dict "secrets" (list …) "accounts" (list …) */}}
{{- define "slipway.provisionRules" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch]
  resourceNames: {{- toYaml .secrets | nindent 4 }}
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get]
  resourceNames: {{- toYaml .accounts | nindent 4 }}
{{- end -}}
