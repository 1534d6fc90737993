{{- define "slipway.fullname" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels of what is no InferenceService: these have no chart version, since their labels are their pods' */}}
{{- define "slipway.labels" -}}
app.kubernetes.io/part-of: slipway
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* dict "root" $ "component" "follower" */}}
{{- define "slipway.selector" -}}
app.kubernetes.io/name: slipway-models
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* dict "root" $ "name" "serve": a digest wins over a tag */}}
{{- define "slipway.image" -}}
{{- $image := index .root.Values.images .name -}}
{{- with .root.Values.global.imageRegistry -}}{{ . | trimSuffix "/" }}/{{- end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag }}{{ end -}}
{{- end -}}

{{- define "slipway.pullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* What every pod of this chart's own has: dict "root" $ "token" false */}}
{{- define "slipway.pod" -}}
automountServiceAccountToken: {{ .token | default false }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  seccompProfile: {type: RuntimeDefault}
{{- include "slipway.pullSecrets" .root }}
{{- end -}}

{{- define "slipway.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Pinned models with their defaults filled in, as JSON */}}
{{- define "slipway.models" -}}
{{- $found := list -}}
{{- range .Values.models -}}
{{- $found = append $found (mergeOverwrite (deepCopy $.Values.modelDefaults) (deepCopy .)) -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* Names of all models, as JSON; what makes a configuration impossible is said before anything is applied */}}
{{- define "slipway.names" -}}
{{- $seen := dict -}}
{{- $longest := sub 63 (len "-canary-predictor-") | int -}}
{{- range $list, $entries := dict "models" .Values.models "follow" .Values.follow -}}
{{- range $i, $entry := $entries -}}
{{- $where := printf "%s[%d]" $list $i -}}
{{- if hasKey $seen $entry.name -}}
{{- fail (printf "%s: '%s' is %s already; a model's service has one owner" $where $entry.name (get $seen $entry.name)) -}}
{{- end -}}
{{- if hasSuffix "-canary" $entry.name -}}
{{- fail (printf "%s: '%s' must not end with -canary, which is what the canary of a model is called" $where $entry.name) -}}
{{- end -}}
{{- $length := add (len $entry.name) (len $.Release.Namespace) | int -}}
{{- if gt $length $longest -}}
{{- fail (printf "%s: '%s' and the namespace '%s': together at most %d characters, got %d: KServe makes a host name of them" $where $entry.name $.Release.Namespace $longest $length) -}}
{{- end -}}
{{- $_ := set $seen $entry.name $where -}}
{{- end -}}
{{- end -}}
{{- range $i, $model := include "slipway.models" . | fromJsonArray -}}
{{- if gt (int $model.minReplicas) (int $model.maxReplicas) -}}
{{- fail (printf "models[%d]: minReplicas %v is above maxReplicas %v" $i $model.minReplicas $model.maxReplicas) -}}
{{- end -}}
{{- with $model.canary -}}
{{- if eq .digest $model.digest -}}
{{- fail (printf "models[%d].canary: is the release that '%s' serves already" $i $model.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- keys $seen | sortAlpha | toJson -}}
{{- end -}}
