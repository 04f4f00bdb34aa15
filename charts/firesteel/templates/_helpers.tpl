{{- define "firesteel.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "firesteel.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "firesteel.labels" -}}
{{ include "firesteel.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "firesteel.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "firesteel.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "firesteel.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}

{{- define "firesteel.runtimeImage" -}}
{{- printf "%s:%s" .Values.runtime.repository (default .Chart.AppVersion .Values.runtime.tag) -}}
{{- end -}}

{{/* Namespaces of jobs, separated by commas. */}}
{{- define "firesteel.jobNamespaces" -}}
{{- if .Values.jobs.namespaces -}}
{{- join "," .Values.jobs.namespaces -}}
{{- else if .Values.watchNamespaces -}}
{{- join "," .Values.watchNamespaces -}}
{{- else -}}
{{- .Release.Namespace -}}
{{- end -}}
{{- end -}}

{{/* What the operator may do where jobs are. Each verb with its cause. */}}
{{- define "firesteel.operatorRules" -}}
- apiGroups: [firesteel.dev]
  resources: [sparkjobs]
  verbs:
    - get    # is the job of a leftover pod really gone?
    - list   # start of the watch
    - watch  # new and changed jobs
    - delete # spec.timeToLiveSecondsAfterFinished
- apiGroups: [firesteel.dev]
  resources: [sparkjobs/status]
  verbs:
    - patch # phase, reason, conditions, attempts
- apiGroups: [firesteel.dev]
  resources: [sparkjobs/finalizers]
  verbs:
    - update # asked for by clusters that check who may set blockOwnerDeletion
- apiGroups: [""]
  resources: [pods]
  verbs:
    - create           # the driver of an attempt
    - get              # is a driver really gone? asked of the API server, never of a cache
    - list             # start of the watch; leftovers
    - watch            # how a driver fares
    - delete           # a driver past its deadline
    - deletecollection # executors that are left when an attempt has ended
- apiGroups: [""]
  resources: [secrets]
  verbs:
    # Never get, list or watch: the operator writes the job file and token of an attempt and reads no Secret.
    - create           # job file and token of an attempt
    - delete           # when the attempt has ended
    - deletecollection # leftovers of a deleted job, by label
- apiGroups: [""]
  resources: [configmaps]
  verbs:
    - get # spec.sql.configMap
- apiGroups: [""]
  resources: [events]
  verbs:
    - list # why a driver pod does not start: a volume that cannot be mounted is told nowhere else
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs:
    - create # what happens to a job
    - patch  # the same again is counted, not repeated
{{- end -}}
