{{/*
An InferenceService as `slipway.deploy.manifest` writes it (a test compares them): dict "root" $ "model" (…) "of" (release,
digest, version) "role" "stable". Its labels and annotations become its pods': nothing that an upgrade of the chart changes may
be among them.
*/}}
{{- define "slipway.inferenceservice" -}}
{{- $name := ternary .model.name (printf "%s-canary" .model.name) (eq .role "stable") -}}
{{- $short := trunc 12 .of.digest -}}
{{- $version := ternary (printf "%d" (int .of.version)) (.of.version | default "" | toString) (kindIs "float64" .of.version) -}}
{{- $ready := printf "/v2/models/%s/ready" .model.name -}}
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    app.kubernetes.io/managed-by: {{ .root.Release.Service }}
    app.kubernetes.io/part-of: slipway
    slipway.model: {{ .model.name }}
    slipway.role: {{ .role }}
    slipway.digest: {{ $short | quote }}
    slipway.version: {{ $version | default $short | quote }}
    # Requests come by a route of ours, whose weights KServe would set back
    networking.kserve.io/visibility: cluster-local
  annotations:
    serving.kserve.io/deploymentMode: Standard
    slipway/release-digest: {{ .of.digest | quote }}
spec:
  predictor:
    minReplicas: {{ int (ternary .model.minReplicas 1 (eq .role "stable")) }}
    maxReplicas: {{ int .model.maxReplicas }}
    scaleMetric: cpu
    scaleTarget: {{ int .model.scaleTarget }}
    # a new pod first, then one of the old ones goes: no capacity is lost, and no request
    deploymentStrategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
    serviceAccountName: {{ .model.serviceAccount }}
    automountServiceAccountToken: false
    enableServiceLinks: false
    terminationGracePeriodSeconds: 45
    securityContext:
      runAsNonRoot: true
      seccompProfile: {type: RuntimeDefault}
    topologySpreadConstraints:
      {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
      - maxSkew: 1
        topologyKey: {{ . }}
        whenUnsatisfiable: ScheduleAnyway
        labelSelector:
          matchLabels: {serving.kserve.io/inferenceservice: {{ $name }}}
      {{- end }}
    model:
      modelFormat: {name: slipway, version: "1"}
      protocolVersion: v2
      runtime: slipway-serve
      storageUri: {{ .of.release }}
      {{- with $version }}
      args: ["--model-version={{ . }}"]
      {{- end }}
      resources:
        requests: {cpu: {{ .model.cpu | quote }}, memory: {{ .model.memory | quote }}}
        limits: {memory: {{ .model.memory | quote }}}
      startupProbe:
        httpGet: {path: {{ $ready }}, port: 8080}
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 150
      readinessProbe:
        httpGet: {path: {{ $ready }}, port: 8080}
        periodSeconds: 5
        timeoutSeconds: 2
        failureThreshold: 2
      livenessProbe:
        httpGet: {path: /v2/health/live, port: 8080}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      lifecycle:
        preStop:
          exec: {command: [sleep, "5"]}
      securityContext: {{- include "slipway.containerSecurity" . | nindent 8 }}
{{- end -}}
