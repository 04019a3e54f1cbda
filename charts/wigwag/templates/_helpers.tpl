{{/* What everything is called: at most 63 characters, of which the longest suffix takes 9. */}}
{{- define "wigwag.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "wigwag.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "wigwag.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "wigwag.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "wigwag.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* What selects the pods that serve. The test's pod has another component: no Service and no budget counts it. */}}
{{- define "wigwag.selectorLabels" -}}
app.kubernetes.io/name: {{ include "wigwag.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "wigwag.testLabels" -}}
app.kubernetes.io/name: {{ include "wigwag.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: test
{{- end -}}

{{- define "wigwag.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/part-of: wigwag
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "wigwag.labels" -}}
{{ include "wigwag.selectorLabels" . }}
{{ include "wigwag.commonLabels" . }}
{{- end -}}

{{- define "wigwag.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* A number as it was written, not 2e+07; anything else as it is. */}}
{{- define "wigwag.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* "true" where pods can't hear each other. */}}
{{- define "wigwag.isAlone" -}}
{{- if has .Values.provider.name (list "memory" "local") -}}true{{- end -}}
{{- end -}}

{{/* "true" where something else sets the number of pods. */}}
{{- define "wigwag.isScaled" -}}
{{- if or .Values.autoscaling.enabled .Values.keda.enabled -}}true{{- end -}}
{{- end -}}

{{- define "wigwag.replicas" -}}
{{- if not (kindIs "invalid" .Values.replicaCount) -}}
{{- int .Values.replicaCount -}}
{{- else if include "wigwag.isAlone" . -}}
1
{{- else -}}
2
{{- end -}}
{{- end -}}

{{/* The least pods that there are after an install or an upgrade. */}}
{{- define "wigwag.leastReplicas" -}}
{{- if .Values.autoscaling.enabled -}}
{{- int .Values.autoscaling.minReplicas -}}
{{- else if .Values.keda.enabled -}}
{{- int .Values.keda.minReplicas -}}
{{- else -}}
{{- include "wigwag.replicas" . -}}
{{- end -}}
{{- end -}}

{{/* What applications, sockets and the broker's session may take after the drain (WIGWAG_STOP_TIMEOUT_S, twice), and
5 s for the processes to exit. */}}
{{- define "wigwag.flush" -}}
{{- $limit := 5 -}}
{{- if hasKey .Values.settings "WIGWAG_STOP_TIMEOUT_S" }}{{ $limit = ceil (float64 (get .Values.settings "WIGWAG_STOP_TIMEOUT_S")) }}{{ end -}}
{{- add (mul 2 $limit) 5 -}}
{{- end -}}

{{/* What a pod takes to end at most. */}}
{{- define "wigwag.leastGrace" -}}
{{- add (ceil .Values.drain.delaySeconds) (ceil .Values.drain.timeoutSeconds) (include "wigwag.flush" .) -}}
{{- end -}}

{{- define "wigwag.grace" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- include "wigwag.leastGrace" . -}}
{{- else -}}
{{- int .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}

{{- define "wigwag.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ int64 .Values.securityContext.runAsUser }}
runAsGroup: {{ int64 .Values.securityContext.runAsGroup }}
fsGroup: {{ int64 .Values.securityContext.fsGroup }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "wigwag.containerSecurityContext" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Pods that a rule of prometheus-operator or KEDA speaks of, whose metrics have their Service's namespace and pod. */}}
{{- define "wigwag.connectionsQuery" -}}
sum(wigwag_connections{namespace="{{ .Release.Namespace }}",service="{{ include "wigwag.fullname" . }}-internal"})
{{- end -}}
