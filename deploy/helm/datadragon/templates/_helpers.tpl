{{/* The folder of a service in the fleet, such as operator_1 for operator-1. */}}
{{- define "datadragon.folder" -}}
{{ . | replace "-" "_" }}
{{- end -}}

{{/* Labels that select the pods of a service. Arguments: name, root. */}}
{{- define "datadragon.labels" -}}
app.kubernetes.io/name: datadragon
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end -}}

{{/* The pod of a service. Arguments: name, service, root. */}}
{{- define "datadragon.pod" -}}
{{- $folder := include "datadragon.folder" .name -}}
{{- $compiled := has .service.kind (list "operator" "aggregator" "explorer" "zkp" "stream") -}}
{{- $named := has .service.kind (list "zkp" "stream") -}}
{{- $data := ne .service.kind "zkp" -}}
{{- $keys := or .service.keys .root.Values.fleet.tls -}}{{/* with TLS each has a certificate's key */}}
automountServiceAccountToken: false
enableServiceLinks: false # its variables would be read as settings
terminationGracePeriodSeconds: 10
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- if eq .service.kind "operator" }}
affinity: # a node that fails takes one operator with it, not the quorum
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels: {datadragon/kind: operator}
{{- end }}
containers:
  - name: {{ .name }}
    image: "{{ .root.Values.image.prefix }}/{{ if $compiled }}zkp{{ else }}api{{ end }}:{{ .root.Values.image.tag }}"
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    args:
      - serve
      - {{ .service.kind }}
      {{- if eq .service.kind "operator" }}
      - --id
      - {{ $folder }}
      {{- else if $named }}
      - --name
      - {{ $folder }}
      {{- else if and (eq .service.kind "aggregator") (ne .name "aggregator") }}
      - --rank
      - {{ trimPrefix "aggregator-" .name | quote }}
      {{- end }}
    env:
      - {name: DRAGON_PORT, value: {{ .service.port | quote }}}
    ports:
      - {name: http, containerPort: {{ .service.port }}}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    startupProbe: # alive, not ready: an operator that sees no others must not be restarted
      exec: {command: [python, -m, dragon.node.health, --path, /healthz]}
      periodSeconds: 5
      timeoutSeconds: 5
      failureThreshold: 60
    readinessProbe:
      exec: {command: [python, -m, dragon.node.health]}
      periodSeconds: 30
      timeoutSeconds: 5
    livenessProbe:
      exec: {command: [python, -m, dragon.node.health, --path, /healthz]}
      periodSeconds: 30
      timeoutSeconds: 5
      failureThreshold: 4
    resources:
      {{- $limits := index .root.Values.resources .service.kind }}
      limits: {{ $limits | toJson }}
      requests: {memory: {{ $limits.memory | quote }}}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      {{- range $file := concat (list "committee.json" "nodes.json" "services.json") (ternary (list "ca.crt") (list) .root.Values.fleet.tls) }}
      - {name: fleet, mountPath: /fleet/{{ $file }}, subPath: {{ $file }}, readOnly: true}
      {{- end }}
      {{- if $keys }}
      - {name: keys, mountPath: /fleet/keys/{{ $folder }}, readOnly: true}
      {{- end }}
      {{- if $data }}
      - {name: data, mountPath: /fleet/data/{{ $folder }}}
      {{- end }}
volumes:
  - name: tmp
    emptyDir: {medium: Memory, sizeLimit: 16Mi}
  - name: fleet
    configMap: {name: {{ .root.Values.fleet.configMap }}}
  {{- if $keys }}
  - name: keys
    secret:
      secretName: {{ .root.Values.fleet.secretPrefix }}{{ .name }}
      defaultMode: 0440
  {{- end }}
{{- end -}}
