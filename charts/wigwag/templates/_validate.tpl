{{/* What can't work, refused with a line that says what to do. The schema refuses most of it too, where it is used (Helm can be
told to skip it, and other tools don't read it). */}}
{{- define "wigwag.validate" -}}
{{- $v := .Values -}}
{{- if include "wigwag.isAlone" . -}}
{{- $why := printf "provider.name: %s reaches no other pod, so that messages would not arrive" $v.provider.name -}}
{{- $do := "set provider.name to redis, nats or kafka, or" -}}
{{- if gt (int (include "wigwag.replicas" .)) 1 }}{{ fail (printf "wigwag: %s with replicaCount: %d; %s replicaCount: 1" $why (int $v.replicaCount) $do) }}{{ end -}}
{{- range $name, $scaler := pick $v "autoscaling" "keda" -}}
{{- if and $scaler.enabled (gt (max (int $scaler.minReplicas) (int $scaler.maxReplicas)) 1) -}}
{{- fail (printf "wigwag: %s with %s up to %d pods; %s %s.enabled: false" $why $name (int $scaler.maxReplicas) $do $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq $v.provider.name "memory") $v.workers }}{{ fail "wigwag: provider.name: memory can't join the processes of workers; set provider.name: local" }}{{ end -}}
{{- if and (eq $v.provider.name "local") (not $v.workers) }}{{ fail "wigwag: provider.name: local joins the processes of a pod; set workers, like workers: 4" }}{{ end -}}
{{- if and $v.autoscaling.enabled $v.keda.enabled }}{{ fail "wigwag: autoscaling and keda would both scale; enable one of them" }}{{ end -}}
{{- range $name, $scaler := pick $v "autoscaling" "keda" -}}
{{- if and $scaler.enabled (gt (int $scaler.minReplicas) (int $scaler.maxReplicas)) -}}
{{- fail (printf "wigwag: %s.minReplicas: %d is more than %s.maxReplicas: %d" $name (int $scaler.minReplicas) $name (int $scaler.maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- if and $v.keda.enabled (not $v.keda.prometheus.serverAddress) }}{{ fail "wigwag: keda needs keda.prometheus.serverAddress, like http://prometheus.monitoring:9090" }}{{ end -}}
{{- if lt (int (include "wigwag.grace" .)) (int (include "wigwag.leastGrace" .)) -}}
{{- fail (printf "wigwag: terminationGracePeriodSeconds: %s would cut the drain off, which takes up to %s s (drain.delaySeconds, drain.timeoutSeconds and %s s to end); leave it out, or set at least %s" (include "wigwag.grace" .) (include "wigwag.leastGrace" .) (include "wigwag.flush" .) (include "wigwag.leastGrace" .)) -}}
{{- end -}}
{{- range $v.extraEnv }}
{{- if eq .name "WIGWAG_STOP_TIMEOUT_S" }}{{ fail "wigwag: extraEnv has WIGWAG_STOP_TIMEOUT_S, from which terminationGracePeriodSeconds is worked out; set it in settings" }}{{ end -}}
{{- end -}}
{{- if and (has (toString $v.rollingUpdate.maxSurge) (list "0" "0%")) (has (toString $v.rollingUpdate.maxUnavailable) (list "0" "0%")) -}}
{{- fail "wigwag: rollingUpdate.maxSurge and rollingUpdate.maxUnavailable are both 0, so that no pod could be replaced; set maxSurge: 1" -}}
{{- end -}}
{{- if and $v.provider.secretKeys (not $v.provider.existingSecret) }}{{ fail "wigwag: provider.secretKeys are keys of a Secret; name it in provider.existingSecret" }}{{ end -}}
{{- $said := concat (keys (default dict $v.provider.env)) (keys (default dict $v.provider.secretKeys)) (keys (default dict $v.settings)) -}}
{{- range $v.extraEnv }}{{ $said = append $said .name }}{{ end -}}
{{- range $name := uniq $said -}}
{{- if lt (len (without $said $name)) (sub (len $said) 1 | int) }}{{ fail (printf "wigwag: %s is said twice; leave it in one of provider.env, provider.secretKeys, settings and extraEnv" $name) }}{{ end -}}
{{- end -}}
{{- if eq (int $v.containerPorts.public) (int $v.containerPorts.internal) -}}
{{- fail (printf "wigwag: containerPorts.public and containerPorts.internal are both %d; they must differ, since clients must not reach the internal one" (int $v.containerPorts.public)) -}}
{{- end -}}
{{- include "wigwag.validateAccess" . -}}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) }}{{ fail "wigwag: httpRoute hangs on a Gateway; name it in httpRoute.parentRefs, like [{name: public}]" }}{{ end -}}
{{- if and $v.ingress.enabled (not $v.ingress.hosts) }}{{ fail "wigwag: ingress needs ingress.hosts, like [{host: ws.example.com}]" }}{{ end -}}
{{- if and $v.tests.enabled (eq $v.tests.connect "always") $v.app (not (or $v.tests.tokenSecret.name $v.auth.jwt.existingSecret)) -}}
{{- fail "wigwag: tests.connect: always needs a token; name its Secret in tests.tokenSecret, or set tests.connect: never" -}}
{{- end -}}
{{- end -}}

{{/* The service would not start without these, and each release would wait for its deadline to find out. */}}
{{- define "wigwag.validateAccess" -}}
{{- $v := .Values -}}
{{- $given := list -}}
{{- range $v.extraEnv }}{{ $given = append $given .name }}{{ end -}}
{{- if not (or $v.auth.apiKeys.existingSecret $v.envFrom (has "WIGWAG_API_KEY" $given)) -}}
{{- fail "wigwag: auth.apiKeys.existingSecret is not set: the internal port, which the cluster reaches, needs an API key. Make one: kubectl create secret generic wigwag-api-keys --from-literal=api-keys=\"$(openssl rand -hex 32)\"" -}}
{{- end -}}
{{- if and $v.auth.jwks.url $v.auth.jwks.existingConfigMap }}{{ fail "wigwag: auth.jwks.url and auth.jwks.existingConfigMap are both set; set one of them" }}{{ end -}}
{{- $asks := or $v.auth.jwt.existingSecret $v.auth.jwks.url $v.auth.jwks.existingConfigMap $v.envFrom (has "WIGWAG_JWT_SECRET" $given) -}}
{{- if not (or $v.app $v.auth.insecure $asks) -}}
{{- fail "wigwag: without tokens anyone may join and publish: set auth.jwt.existingSecret or auth.jwks, or app to your application, or, for a try-out, auth.insecure: true" -}}
{{- end -}}
{{- end -}}
