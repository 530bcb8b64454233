{{/* Name of one workload: release and room. Room names are short, so 63 characters are enough. */}}
{{- define "wardline.name" -}}
{{- printf "%s-%s" .root.Release.Name .room | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels that select the pods of one workload. They must never change: a Deployment's selector is immutable. */}}
{{- define "wardline.selector" -}}
app.kubernetes.io/name: wardline
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .room }}
{{- end -}}

{{- define "wardline.labels" -}}
{{ include "wardline.selector" . }}
app.kubernetes.io/part-of: wardline
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* Image of one workload: its own tag or digest, else the release's, else the chart's version. */}}
{{- define "wardline.image" -}}
{{- $image := mergeOverwrite (deepCopy .root.Values.image) (.workload.image | default dict) -}}
{{- $repository := printf "%s/%s" $image.registry (index $image.repositories .workload.family) -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository ($image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* wardline.yaml of one workload: the release's configuration, the ERP under the room that asks it, the workload's own over both, and
what the pod decides. */}}
{{- define "wardline.config" -}}
{{- $erp := dict -}}
{{- if .workload.erpRoom -}}
{{- $erp = dict "rooms" (dict .workload.erpRoom (deepCopy .root.Values.erp)) -}}
{{- end -}}
{{- $pod := dict "kafka" (dict "instance" "${env:POD_NAME}") "http" (dict "listen" (printf "0.0.0.0:%v" .root.Values.httpPort)) -}}
{{- $config := mergeOverwrite (deepCopy .root.Values.config) $erp (deepCopy (.workload.config | default dict)) $pod -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Secrets mounted as files: those of the release and those of the workload. */}}
{{- define "wardline.secrets" -}}
{{- toYaml (concat .root.Values.secretFiles (.workload.secretFiles | default list)) -}}
{{- end -}}

{{/* Refuses a volume that a second pod would wait for (one on another node, or the new one of a rolling update), and one folder of
snapshots for several pods. */}}
{{- define "wardline.storage" -}}
{{- with .workload.storage -}}
{{- if not (and (le (int $.workload.replicas) 1) (eq $.workload.strategy "Recreate")) -}}
{{- if not (has "ReadWriteMany" (.accessModes | default list)) -}}
{{- fail (printf "workloads.%s.storage: only one node at a time mounts this volume, so a second pod would never start; set replicas to 1 and strategy to Recreate, or use a volume whose accessModes name ReadWriteMany" $.room) -}}
{{- end -}}
{{- if or (dig "config" "tables" "snapshot_dir" "" $.workload) (dig "tables" "snapshot_dir" "" $.root.Values.config) -}}
{{- fail (printf "workloads.%s: tables.snapshot_dir is a folder of one pod; set replicas to 1 and strategy to Recreate, or leave it out" $.room) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
