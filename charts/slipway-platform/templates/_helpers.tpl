{{- define "slipway.fullname" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels of every object. Selectors have their own helper: they can never change. */}}
{{- define "slipway.labels" -}}
app.kubernetes.io/part-of: slipway
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* dict "root" $ "component" "mlflow" */}}
{{- define "slipway.selector" -}}
app.kubernetes.io/name: slipway-platform
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* dict "root" $ "name" "mlflow": a digest wins over a tag */}}
{{- define "slipway.image" -}}
{{- $image := index .root.Values.images .name -}}
{{- with .root.Values.global.imageRegistry -}}{{ . | trimSuffix "/" }}/{{- end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag }}{{ end -}}
{{- end -}}

{{/* What every pod of the platform has: dict "root" $ "token" false */}}
{{- define "slipway.pod" -}}
automountServiceAccountToken: {{ .token | default false }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* What every container has: dict "root" $ "image" "mlflow" */}}
{{- define "slipway.container" -}}
image: {{ include "slipway.image" (dict "root" .root "name" .image) }}
imagePullPolicy: {{ .root.Values.global.imagePullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
  readOnlyRootFilesystem: true
{{- end -}}

{{- define "slipway.endpoint" -}}
{{- if .Values.store.endpoint -}}
{{ .Values.store.endpoint | trimSuffix "/" }}
{{- else if .Values.minio.enabled -}}
http://{{ include "slipway.fullname" . }}-minio.{{ .Release.Namespace }}.svc:9000
{{- end -}}
{{- end -}}

{{- define "slipway.mlflowUrl" -}}
http://{{ include "slipway.fullname" . }}-mlflow.{{ .Release.Namespace }}.svc:5000
{{- end -}}

{{/* The Secret with MLflow's own credential; empty where it has a role */}}
{{- define "slipway.mlflowStoreSecret" -}}
{{- if .Values.provision.enabled }}{{ include "slipway.fullname" . }}-mlflow-store{{ else }}{{ .Values.store.existingSecret }}{{ end -}}
{{- end -}}

{{/* Teams with their defaults filled in, as JSON: a list in the order of their names */}}
{{- define "slipway.teams" -}}
{{- $teams := list -}}
{{- $namespaces := dict -}}
{{- range $name, $given := .Values.teams -}}
{{- $own := $given | default dict -}}
{{- $team := mergeOverwrite (deepCopy $.Values.teamDefaults) (deepCopy $own) -}}
{{- range $key := list "quota" "limits" -}}{{/* an empty one is none, though merged with the defaults it would be theirs */}}
{{- if and (hasKey $own $key) (not (get $own $key)) }}{{ $_ := set $team $key dict }}{{ end -}}
{{- end -}}
{{- $namespace := $team.namespace | default $name -}}
{{- if eq $namespace $.Release.Namespace -}}
{{- fail (printf "teams.%s: its namespace '%s' is the platform's own; give it another" $name $namespace) -}}
{{- end -}}
{{- if hasKey $namespaces $namespace -}}
{{- fail (printf "teams.%s: namespace '%s' is team '%s''s already; one team a namespace" $name $namespace (get $namespaces $namespace)) -}}
{{- end -}}
{{- $_ := set $namespaces $namespace $name -}}
{{- $teams = append $teams (merge (dict "name" $name "namespace" $namespace) $team) -}}
{{- end -}}
{{- toJson $teams -}}
{{- end -}}

{{/* What makes a configuration impossible, said before anything is applied */}}
{{- define "slipway.check" -}}
{{- if and .Values.provision.enabled (not (include "slipway.endpoint" .)) -}}
{{- fail "provision.enabled: needs MinIO's admin API, and minio.enabled is false without a store.endpoint; set provision.enabled=false for AWS or another S3" -}}
{{- end -}}
{{- if and .Values.minio.enabled .Values.store.endpoint -}}
{{- fail "store.endpoint: names a server, and minio.enabled would run another that nothing uses; set minio.enabled=false" -}}
{{- end -}}
{{- if and (gt (int .Values.mlflow.replicas) 1) (not .Values.mlflow.database.existingSecret) -}}
{{- fail (printf "mlflow.replicas: %v servers cannot share SQLite; name a Postgres in mlflow.database.existingSecret" .Values.mlflow.replicas) -}}
{{- end -}}
{{- end -}}
