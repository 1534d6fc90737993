{{/* Every name under which MLflow's Service is called, with its port and without: a Host header outside this list is refused */}}
{{- define "slipway.allowedHosts" -}}
{{- $name := printf "%s-mlflow" (include "slipway.fullname" .) -}}
{{- $namespace := .Release.Namespace -}}
{{- $hosts := list "localhost" "localhost:*" "127.0.0.1" "127.0.0.1:*" -}}
{{- range list $name (printf "%s.%s" $name $namespace) (printf "%s.%s.svc" $name $namespace) (printf "%s.%s.svc.%s" $name $namespace .Values.clusterDomain) -}}
{{- $hosts = concat $hosts (list . (printf "%s:5000" .)) -}}
{{- end -}}
{{- join "," (concat $hosts .Values.mlflow.allowedHosts) -}}
{{- end -}}

{{/* Where the database is, under the name of a variable: dict "root" $ "variable" "…" */}}
{{- define "slipway.databaseEnv" -}}
- name: {{ .variable }}
  {{- with .root.Values.mlflow.database }}
  {{- if .existingSecret }}
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .key }}}}
  {{- else }}
  value: sqlite:////data/mlflow.db
  {{- end }}
  {{- end }}
{{- end -}}

{{/* The container that brings the database to the schema of the image's MLflow, all of it but its name */}}
{{- define "slipway.migrate" -}}
{{ include "slipway.container" (dict "root" . "image" "mlflow") }}
command: [python, -m, slipway.tracking.schema]
env:
  {{- include "slipway.databaseEnv" (dict "root" . "variable" "MLFLOW_TRACKING_URI") | nindent 2 }}
  - {name: HOME, value: /tmp}
  - {name: MLFLOW_DISABLE_TELEMETRY, value: "true"}
resources: {{- toYaml .Values.mlflow.resources | nindent 2 }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- if not .Values.mlflow.database.existingSecret }}
  - {name: data, mountPath: /data}
  {{- end }}
{{- end -}}
