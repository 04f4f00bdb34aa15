use firesteel_api::{
    jobfile::{self, JobFile},
    pods::{self, AttemptContext, ExecutorArgs},
};
use k8s_openapi::api::core::v1::Pod;

fn context(spec: &str) -> AttemptContext {
    let indented = spec.lines().map(|line| format!("  {line}\n")).collect::<String>();
    let text = format!(
        "apiVersion: firesteel.dev/v1alpha1\nkind: SparkJob\nmetadata: {{name: server-health, namespace: team-a, uid: 11-22}}\nspec:\n  image: firesteel:test\n{indented}"
    );
    AttemptContext::new(&JobFile::parse(&text).unwrap().job, 1).unwrap()
}

fn executor(context: &AttemptContext) -> Pod {
    let args = ExecutorArgs {
        executor_id: 3,
        driver_address: "10.0.0.7:7077",
        driver_pod_name: "server-health-1-driver",
        driver_pod_uid: "33-44",
    };
    pods::executor_pod(context, &args).unwrap()
}

fn yaml<T: serde::Serialize>(object: &T) -> String {
    serde_yaml::to_string(object).unwrap()
}

#[test]
fn plain_job() {
    let context = context("sql: {inline: SELECT 1}");
    insta::assert_snapshot!("plain_driver", yaml(&pods::driver_pod(&context).unwrap()));
    insta::assert_snapshot!("plain_executor", yaml(&executor(&context)));
}

#[test]
fn every_field() {
    let context = context(
        "sql: {path: s3a://jobs/a.sql}
imagePullPolicy: IfNotPresent
imagePullSecrets: [{name: registry}]
driver:
  cores: 2
  coreRequest: 500m
  coreLimit: '2'
  memory: 2g
  serviceAccount: spark
executor:
  instances: 4
  cores: 4
  memory: 8Gi
  memoryOverhead: 1g
  localDisk: 20g
  env: [{name: AWS_SECRET_ACCESS_KEY, valueFrom: {secretKeyRef: {name: s3, key: secret}}}]
  envFrom: [{configMapRef: {name: settings}}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
  volumeMounts: [{name: data, mountPath: /data, readOnly: true}]
  serviceAccount: readers
  nodeSelector: {disk: nvme}
  tolerations: [{key: batch, operator: Exists}]
  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: zone, operator: In, values: [a]}]}]}}}
  priorityClassName: low
  labels: {team: a}
  annotations: {note: hello}",
    );
    insta::assert_snapshot!("full_driver", yaml(&pods::driver_pod(&context).unwrap()));
    insta::assert_snapshot!("full_executor", yaml(&executor(&context)));
}

#[test]
fn a_template_lies_under_the_typed_fields() {
    let context = context(
        "sql: {inline: SELECT 1}
executor:
  memory: 2g
  env: [{name: MODE, value: typed}]
  tolerations: [{key: typed}]
  podTemplate:
    metadata: {labels: {from: template}, annotations: {from: template}}
    spec:
      restartPolicy: Always
      priorityClassName: kept
      tolerations: [{key: template}]
      terminationGracePeriodSeconds: 99
      securityContext: {fsGroup: 1}
      initContainers: [{name: warm, image: busybox}]
      containers:
      - name: executor
        image: other
        command: [sh]
        resources: {limits: {memory: 1Gi, nvidia.com/gpu: '1'}}
        env: [{name: MODE, value: template}, {name: EXTRA, value: template}]
        volumeMounts: [{name: nvme, mountPath: /var/lib/firesteel}]
      - {name: sidecar, image: proxy}
      volumes: [{name: nvme, hostPath: {path: /nvme}}]",
    );
    insta::assert_snapshot!("template_executor", yaml(&executor(&context)));
}

#[test]
fn the_secret_holds_job_file_and_token_and_belongs_to_the_job() {
    let context = context("sql: {inline: SELECT 1}");
    let secret = pods::attempt_secret(&context, "job", "token");
    let data = secret.data.unwrap();
    assert_eq!(data[jobfile::FILE_NAME].0, b"job");
    assert_eq!(data[pods::TOKEN_KEY].0, b"token");
    assert_eq!(secret.metadata.owner_references.unwrap()[0].uid, "11-22");
}

#[test]
fn pods_are_found_by_selector_and_owner() {
    let context = context("sql: {inline: SELECT 1}");
    let driver = pods::driver_pod(&context).unwrap().metadata;
    let its_executor = executor(&context).metadata;
    assert_eq!(driver.owner_references.unwrap()[0].uid, "11-22");
    assert_eq!(its_executor.owner_references.as_ref().unwrap()[0].uid, "11-22", "it outlives its driver");
    for labels in [driver.labels.unwrap(), its_executor.labels.unwrap()] {
        assert_eq!(labels["firesteel.dev/job-uid"], "11-22");
        assert_eq!(labels["firesteel.dev/attempt"], "1");
    }
}

#[test]
fn without_recovery_executors_go_with_their_driver() {
    let context = context("sql: {inline: SELECT 1}\nsparkConf: {firesteel.recovery.enabled: 'false'}");
    let owners = executor(&context).metadata.owner_references.unwrap();
    assert_eq!((owners[0].kind.as_str(), owners[0].uid.as_str()), ("Pod", "33-44"));
}

#[test]
fn a_driver_that_follows_another_has_its_executors_and_their_token() {
    let job = context("sql: {inline: SELECT 1}");
    let later = AttemptContext { attempt: 4, ..job.clone() }.continuing(Some(1));
    assert_eq!(pods::driver_pod(&later).unwrap().metadata.name.unwrap(), "server-health-4-driver");
    assert_eq!(executor(&later), executor(&job));
    assert_eq!(later.executor_selector(), job.executor_selector());
    assert_eq!(pods::attempt_secret(&later, "", ""), pods::attempt_secret(&job, "", ""));
}

#[test]
fn a_job_without_uid_or_image_makes_no_pods() {
    let text =
        "apiVersion: firesteel.dev/v1alpha1\nkind: SparkJob\nmetadata: {name: a}\nspec: {sql: {inline: SELECT 1}}";
    let error = AttemptContext::new(&JobFile::parse(text).unwrap().job, 1).unwrap_err();
    assert_eq!(error.to_string(), "metadata.namespace: is missing");
}
