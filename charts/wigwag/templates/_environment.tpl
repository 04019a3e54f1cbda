{{/* The container's environment, as a list. Literal values come first, then references, then what the user added. */}}
{{- define "wigwag.environment" -}}
{{- $values := .Values -}}
{{- $plain := dict
  "WIGWAG_PROVIDER" $values.provider.name
  "WIGWAG_LISTEN" (printf ":%d" (int $values.containerPorts.public))
  "WIGWAG_INTERNAL_LISTEN" (printf ":%d" (int $values.containerPorts.internal))
  "WIGWAG_DRAIN_DELAY_S" $values.drain.delaySeconds
  "WIGWAG_DRAIN_TIMEOUT_S" $values.drain.timeoutSeconds
  "WIGWAG_DRAIN_PER_S" $values.drain.perSecond
  "WIGWAG_LOG_FORMAT" $values.logFormat -}}
{{- with $values.workers }}{{ $_ := set $plain "WIGWAG_WORKERS" . }}{{ end -}}
{{- with $values.auth.apiKeys }}
{{- if .existingSecret }}{{ $_ := set $plain "WIGWAG_API_KEY_FILE" (printf "/run/secrets/wigwag/api-keys/%s" .key) }}{{ end -}}
{{- end -}}
{{- include "wigwag.tokens" (dict "auth" $values.auth "into" $plain) -}}
{{- with $values.auth.allowedOrigins }}{{ $_ := set $plain "WIGWAG_ALLOWED_ORIGINS" (join "," .) }}{{ end -}}
{{- if $values.auth.insecure }}{{ $_ := set $plain "WIGWAG_INSECURE" true }}{{ end -}}
{{- $all := merge $plain $values.provider.env $values.settings -}}
{{- range $name, $value := $all }}
- name: {{ $name | quote }}
  value: {{ include "wigwag.text" $value | quote }}
{{- end }}
{{- range $name, $key := $values.provider.secretKeys }}
- name: {{ $name | quote }}
  valueFrom:
    secretKeyRef:
      name: {{ $values.provider.existingSecret | quote }}
      key: {{ $key | quote }}
{{- end }}
{{- with $values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What is said of clients' tokens, into a dict. */}}
{{- define "wigwag.tokens" -}}
{{- $into := .into -}}
{{- with .auth.jwt -}}
{{- if .existingSecret }}{{ $_ := set $into "WIGWAG_JWT_SECRET_FILE" (printf "/run/secrets/wigwag/jwt/%s" .key) }}{{ end -}}
{{- with .audience }}{{ $_ := set $into "WIGWAG_JWT_AUDIENCE" (join "," .) }}{{ end -}}
{{- with .issuer }}{{ $_ := set $into "WIGWAG_JWT_ISSUER" (join "," .) }}{{ end -}}
{{- with .topics }}{{ $_ := set $into "WIGWAG_JWT_TOPICS" (join "," .) }}{{ end -}}
{{- with .publish }}{{ $_ := set $into "WIGWAG_JWT_PUBLISH" (join "," .) }}{{ end -}}
{{- with .algorithms }}{{ $_ := set $into "WIGWAG_JWT_ALGORITHMS" (join "," .) }}{{ end -}}
{{- end -}}
{{- with .auth.jwks -}}
{{- with .url }}{{ $_ := set $into "WIGWAG_JWKS_URL" . }}{{ end -}}
{{- if .existingConfigMap }}{{ $_ := set $into "WIGWAG_JWKS_FILE" (printf "/run/secrets/wigwag/jwks/%s" .key) }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "wigwag.envFrom" -}}
{{- if and .Values.provider.existingSecret (not .Values.provider.secretKeys) }}
- secretRef:
    name: {{ .Values.provider.existingSecret | quote }}
{{- end }}
{{- with .Values.envFrom }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Secrets are whole directories, not single files by subPath: Kubernetes renews those while the pod runs. */}}
{{- define "wigwag.secretVolumes" -}}
{{- with .Values.auth.apiKeys.existingSecret }}
- name: api-keys
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
{{- end }}
{{- with .Values.auth.jwt.existingSecret }}
- name: jwt
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{- define "wigwag.secretMounts" -}}
{{- if .Values.auth.apiKeys.existingSecret }}
- name: api-keys
  mountPath: /run/secrets/wigwag/api-keys
  readOnly: true
{{- end }}
{{- if .Values.auth.jwt.existingSecret }}
- name: jwt
  mountPath: /run/secrets/wigwag/jwt
  readOnly: true
{{- end }}
{{- end -}}

{{/* What a container that is told all of this needs besides: the user's files, and a place to write to. */}}
{{- define "wigwag.volumes" -}}
# The hub of a pod's processes (workers) has its socket here.
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- include "wigwag.secretVolumes" . }}
{{- with .Values.auth.jwks.existingConfigMap }}
- name: jwks
  configMap:
    name: {{ . | quote }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "wigwag.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- include "wigwag.secretMounts" . }}
{{- if .Values.auth.jwks.existingConfigMap }}
- name: jwks
  mountPath: /run/secrets/wigwag/jwks
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}
