{{/* Peers and rules of the network policies. A namespace is named by the label that Kubernetes itself puts on it. */}}
{{- define "slipway.fromNamespace" -}}
namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ . }}}}
{{- end -}}

{{- define "slipway.toDns" -}}
- to:
    - {{ include "slipway.fromNamespace" .Values.networkPolicy.dnsNamespace }}
  ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
{{- end -}}

{{/* dict "cidrs" (list …) "ports" (list …) */}}
{{- define "slipway.toAddresses" -}}
- to:
    {{- range .cidrs }}
    - ipBlock: {cidr: {{ . }}}
    {{- end }}
  ports:
    {{- range .ports }}
    - {protocol: TCP, port: {{ int . }}}
    {{- end }}
{{- end -}}

{{/* Pods of one component of this release, also seen from another namespace: dict "root" $ "component" "minio" "port" 9000 */}}
{{- define "slipway.toComponent" -}}
- to:
    - {{ include "slipway.fromNamespace" .root.Release.Namespace }}
      podSelector:
        matchLabels: {{- include "slipway.selector" . | nindent 10 }}
  ports: [{protocol: TCP, port: {{ .port }}}]
{{- end -}}

{{/* The store, wherever it is */}}
{{- define "slipway.toStore" -}}
{{- if .Values.minio.enabled -}}
{{ include "slipway.toComponent" (dict "root" . "component" "minio" "port" 9000) }}
{{- else -}}
{{- $port := .Values.store.endpoint | trimSuffix "/" | regexFind ":[0-9]+$" | trimPrefix ":" -}}
{{- $scheme := ternary "80" "443" (hasPrefix "http://" .Values.store.endpoint) -}}
{{ include "slipway.toAddresses" (dict "cidrs" .Values.networkPolicy.storeCIDRs "ports" (list ($port | default $scheme))) }}
{{- end -}}
{{- end -}}

{{- define "slipway.toApiServer" -}}
{{ include "slipway.toAddresses" .Values.networkPolicy.apiServer }}
{{- end -}}
