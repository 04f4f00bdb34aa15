//! Jobs from submission to end, with a kubelet and a driver played by the test.

use crate::fake_api::FakeApi;
use firesteel_api::{Reason, TerminationMessage};
use firesteel_operator::{metrics::Metrics, orphans, reconcile::Next};
use serde_json::{Value, json};

const SPEC: &str = "sql: {inline: SELECT 1}";

fn running(ready: bool) -> Value {
    json!({
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
        "containerStatuses": [{"name": "driver", "image": "x", "imageID": "", "ready": ready, "restartCount": 0, "state": {"running": {}}}]
    })
}

fn ended(code: i32, message: &str) -> Value {
    json!({
        "phase": if code == 0 { "Succeeded" } else { "Failed" },
        "containerStatuses": [{"name": "driver", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": code, "message": message}}}]
    })
}

async fn started(spec: &str) -> FakeApi {
    let api = FakeApi::default();
    api.submit("a", spec);
    api.look("a").await.unwrap();
    api
}

#[tokio::test]
async fn a_job_runs_and_succeeds_and_leaves_only_its_driver_pod() {
    let api = started(SPEC).await;
    let uid = api.job("a")["metadata"]["uid"].clone();
    assert_eq!(api.condition("a", "Accepted"), ("True".into(), "Accepted".into()));

    api.pod_status("a-1-driver", running(true));
    api.look("a").await.unwrap();
    assert_eq!(api.status("a", "/phase"), "Running");
    assert_eq!(api.condition("a", "DriverReady"), ("True".into(), "DriverRunning".into()));
    assert_eq!(api.condition("a", "ExecutorsReady"), ("False".into(), "ExecutorsPending".into()));

    api.edit("sparkjobs/n/a", |job| {
        job["status"]["executors"] =
            json!({"attempt": 1, "summary": "2/2", "desired": 2, "running": 2, "pending": 0, "failed": 0});
        job["status"]["progress"] = json!({"attempt": 1, "summary": "stage 2/4", "stagesTotal": 4});
    });
    api.look("a").await.unwrap();
    assert_eq!(api.condition("a", "ExecutorsReady"), ("True".into(), "ExecutorsReady".into()));
    assert_eq!(api.status("a", "/progress/summary"), "stage 2/4", "the driver's part is left alone");

    let labels = json!({"firesteel.dev/job-uid": uid, "firesteel.dev/attempt": "1", "firesteel.dev/role": "executor"});
    api.put("pods/n/a-1-exec-1", json!({"metadata": {"name": "a-1-exec-1", "namespace": "n", "labels": labels}}));
    api.pod_status("a-1-driver", ended(0, &TerminationMessage::succeeded("3 statements").to_json()));
    api.look("a").await.unwrap();
    assert_eq!(api.status("a", "/phase"), "Succeeded");
    assert_eq!(api.status("a", "/message"), "3 statements");
    assert_eq!(api.condition("a", "Complete"), ("True".into(), "Succeeded".into()));
    assert_eq!(api.condition("a", "Failed").0, "False");
    assert_eq!(api.keys("pods/"), ["pods/n/a-1-driver"], "executors are swept, the driver keeps its log");
    assert_eq!(api.keys("secrets/"), [""; 0]);
    let events: Vec<String> =
        api.keys("events/").iter().map(|key| api.get(key).unwrap()["reason"].as_str().unwrap().to_owned()).collect();
    for reason in ["DriverStarting", "DriverRunning", "Succeeded"] {
        assert!(events.iter().any(|e| e == reason), "{reason} not in {events:?}");
    }

    // Nothing more is written.
    let requests = api.log().len();
    assert_eq!(api.look("a").await.unwrap(), Next::OnChange);
    assert_eq!(api.log().len(), requests);
}

#[tokio::test]
async fn a_users_error_is_final_and_keeps_its_class() {
    let api = started(&format!("{SPEC}\nmaxAttempts: 5")).await;
    let said = TerminationMessage::failed(
        Reason::AnalysisError,
        Some("TABLE_OR_VIEW_NOT_FOUND".into()),
        "no table logs; did you mean log?",
    );
    api.pod_status("a-1-driver", ended(1, &said.to_json()));
    api.look("a").await.unwrap();
    assert_eq!(api.status("a", "/phase"), "Failed");
    assert_eq!(api.status("a", "/reason"), "AnalysisError");
    assert_eq!(api.status("a", "/message"), "[TABLE_OR_VIEW_NOT_FOUND] no table logs; did you mean log?");
    assert_eq!(api.condition("a", "Failed"), ("True".into(), "AnalysisError".into()));
}

#[tokio::test]
async fn a_crash_is_retried_within_the_budget() {
    let spec =
        format!("{SPEC}\nmaxAttempts: 2\nretryBackoffSeconds: 0\nsparkConf: {{firesteel.recovery.enabled: 'false'}}");
    let api = started(&spec).await;
    api.pod_status("a-1-driver", ended(137, ""));
    api.look("a").await.unwrap();
    assert_eq!(api.status("a", "/attempts/0/reason"), "DriverCrashed");
    assert_eq!(api.status("a", "/applicationFailures"), 1);
    assert_eq!(api.status("a", "/attempts/1/continues"), Value::Null);
    assert_eq!(api.keys("pods/"), ["pods/n/a-1-driver", "pods/n/a-2-driver"]);
    assert_eq!(api.keys("secrets/").len(), 1, "that of the first attempt is gone");
    api.pod_status("a-2-driver", ended(1, ""));
    api.look("a").await.unwrap();
    assert_eq!(api.status("a", "/phase"), "Failed");
    assert_eq!(api.status("a", "/attempt"), 2);
    assert_eq!(api.count("POST pods/"), 2);
}

fn executor(api: &FakeApi, name: &str) {
    let uid = api.job("a")["metadata"]["uid"].clone();
    let labels = json!({"firesteel.dev/job-uid": uid, "firesteel.dev/job": "a", "firesteel.dev/attempt": "1", "firesteel.dev/role": "executor"});
    api.put(&format!("pods/n/{name}"), json!({"metadata": {"name": name, "namespace": "n", "labels": labels}}));
}

#[tokio::test]
async fn a_driver_that_died_is_followed_by_one_that_takes_over_its_executors() {
    let api = started(&format!("{SPEC}\nmaxDriverRestarts: 1")).await;
    let secrets = api.keys("secrets/");
    executor(&api, "a-1-exec-1");
    api.pod_status("a-1-driver", ended(137, ""));
    api.look("a").await.unwrap();
    assert_eq!(api.status("a", "/attempts/0/reason"), "DriverCrashed");
    assert_eq!(api.status("a", "/driverRestarts"), 1);
    assert_eq!(api.status("a", "/applicationFailures"), Value::Null);
    assert_eq!(api.status("a", "/phase"), "Starting", "at once");
    assert_eq!(api.status("a", "/attempts/1/continues"), 1);
    assert_eq!(api.status("a", "/recovering"), Value::Null);
    assert_eq!(api.keys("pods/"), ["pods/n/a-1-driver", "pods/n/a-1-exec-1", "pods/n/a-2-driver"]);
    assert_eq!(api.keys("secrets/"), secrets, "one token for all of them");
    let pod = api.get("pods/n/a-2-driver").unwrap();
    let env = |name: &str| {
        let all = pod["spec"]["containers"][0]["env"].as_array().unwrap().clone();
        all.into_iter().find(|e| e["name"] == name).unwrap()
    };
    assert_eq!(env("FIRESTEEL_ATTEMPT")["value"], "2");
    assert_eq!(env("FIRESTEEL_FIRST_ATTEMPT")["value"], "1");
    let secret =
        format!("secrets/n/{}", env("FIRESTEEL_AUTH_TOKEN")["valueFrom"]["secretKeyRef"]["name"].as_str().unwrap());
    assert_eq!(secrets, [secret]);

    // The cluster's doing has a budget of its own; what is left at the end goes.
    api.remove("pods/n/a-2-driver");
    api.look("a").await.unwrap();
    assert_eq!(api.status("a", "/infrastructureFailures"), 1);
    assert_eq!(api.status("a", "/attempts/2/continues"), 1);
    api.pod_status("a-3-driver", ended(137, ""));
    api.look("a").await.unwrap();
    assert_eq!((api.status("a", "/phase"), api.status("a", "/reason")), ("Failed".into(), "DriverCrashed".into()));
    assert_eq!(api.keys("pods/"), ["pods/n/a-1-driver", "pods/n/a-3-driver"]);
    assert_eq!(api.keys("secrets/"), [""; 0]);
}

#[tokio::test]
async fn what_the_program_says_of_its_failure_is_no_death() {
    let api = started(SPEC).await;
    executor(&api, "a-1-exec-1");
    let said = TerminationMessage::failed(Reason::OutOfMemory, Some("UNABLE_TO_ACQUIRE_MEMORY".into()), "a join");
    api.pod_status("a-1-driver", ended(1, &said.to_json()));
    api.look("a").await.unwrap();
    assert_eq!((api.status("a", "/phase"), api.status("a", "/reason")), ("Failed".into(), "OutOfMemory".into()));
    assert_eq!(api.keys("pods/"), ["pods/n/a-1-driver"]);
}

#[tokio::test]
async fn a_program_that_ended_is_not_run_again_when_its_pod_is_gone() {
    for (outcome, reason, phase) in [("Succeeded", "Succeeded", "Succeeded"), ("Failed", "ExecutionError", "Failed")] {
        let api = started(SPEC).await;
        api.edit("sparkjobs/n/a", |job| {
            let ended = json!({"outcome": outcome, "reason": reason, "errorClass": "X", "message": "3 statements"});
            job["status"]["recovery"] = json!({"attempt": 1, "statements": 3, "ended": ended});
        });
        api.remove("pods/n/a-1-driver");
        api.look("a").await.unwrap();
        assert_eq!((api.status("a", "/phase"), api.status("a", "/reason")), (phase.into(), reason.into()));
        assert_eq!(api.status("a", "/message"), "[X] 3 statements");
        assert_eq!(api.count("POST pods/"), 1);
        assert_eq!(api.status("a", "/recovery/statements"), 3, "the driver's part is left alone");
    }
    // What an earlier attempt said does not count.
    let api = started(SPEC).await;
    api.edit("sparkjobs/n/a", |job| {
        job["status"]["recovery"] = json!({"attempt": 7, "ended": {"outcome": "Succeeded", "reason": "Succeeded"}});
    });
    api.remove("pods/n/a-1-driver");
    api.look("a").await.unwrap();
    assert_eq!(api.keys("pods/"), ["pods/n/a-2-driver"]);
}

#[tokio::test]
async fn executors_of_a_job_that_has_ended_are_swept() {
    let api = started(SPEC).await;
    api.pod_status("a-1-driver", ended(0, ""));
    api.look("a").await.unwrap();
    executor(&api, "a-1-exec-9");
    let (client, metrics) = (api.client(), Metrics::default());
    assert_eq!(orphans::sweep(&client, None, &metrics).await.unwrap(), 1);
    assert_eq!(api.keys("pods/"), ["pods/n/a-1-driver"]);
    assert_eq!(orphans::sweep(&client, None, &metrics).await.unwrap(), 0);
}

#[tokio::test]
async fn an_eviction_without_container_statuses_costs_the_other_budget() {
    let api = started(&format!("{SPEC}\nmaxInfrastructureRetries: 1")).await;
    api.pod_status(
        "a-1-driver",
        json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}),
    );
    api.look("a").await.unwrap();
    assert_eq!(api.status("a", "/attempts/0/reason"), "Evicted");
    assert_eq!(api.status("a", "/infrastructureFailures"), 1);
    assert_eq!(api.status("a", "/applicationFailures"), Value::Null);
    assert_eq!(api.status("a", "/phase"), "Starting");
    assert_eq!(api.status("a", "/attempt"), 2);
}

#[tokio::test]
async fn a_missing_config_map_is_named_and_waited_for() {
    let api = FakeApi::default();
    api.submit("a", "sql: {configMap: {name: queries, key: main.sql}}");
    assert!(matches!(api.look("a").await.unwrap(), Next::After(_)));
    assert_eq!(api.status("a", "/reason"), "ConfigMapNotFound");
    assert_eq!(api.condition("a", "Accepted"), ("False".into(), "ConfigMapNotFound".into()));
    assert!(api.status("a", "/message").as_str().unwrap().contains("'queries' in namespace 'n'"));

    api.put("configmaps/n/queries", json!({"metadata": {"name": "queries"}, "data": {"other.sql": "x"}}));
    api.look("a").await.unwrap();
    assert_eq!(api.status("a", "/reason"), "ConfigMapKeyNotFound");
    let message = api.status("a", "/message");
    assert!(message.as_str().unwrap().contains("'queries' has no key 'main.sql'; it has: other.sql"), "{message}");
    assert_eq!(api.count("POST pods/"), 0);

    api.put("configmaps/n/queries", json!({"metadata": {"name": "queries"}, "data": {"main.sql": "SELECT 42"}}));
    api.look("a").await.unwrap();
    assert_eq!(api.condition("a", "Accepted").0, "True");
    let secret = api.get(&api.keys("secrets/")[0]).unwrap();
    let file: firesteel_api::SparkJob = {
        let secret: k8s_openapi::api::core::v1::Secret = serde_json::from_value(secret).unwrap();
        let bytes = secret.data.unwrap()[firesteel_api::jobfile::FILE_NAME].0.clone();
        firesteel_api::jobfile::JobFile::parse(std::str::from_utf8(&bytes).unwrap()).unwrap().job
    };
    assert_eq!(file.spec.sql.unwrap().inline.as_deref(), Some("SELECT 42"));
    assert_eq!(file.spec.image.as_deref(), Some("firesteel:default"), "the driver finds the defaults in its file");
    assert_eq!(file.metadata.uid.as_deref(), api.job("a")["metadata"]["uid"].as_str());
}

#[tokio::test]
async fn what_is_not_built_yet_is_said() {
    for (spec, reason, text) in [
        ("python: {path: /a.py}", "NotYetSupported", "spec.python: PySpark programs are not supported in this version"),
        ("app: {path: /a.jar}", "NotYetSupported", "spec.app"),
        (
            "sql: {inline: a}\nexecutor: {affinity: {nodeAfinity: {a: b}}}",
            "InvalidSpec",
            "spec.executor.affinity.nodeAfinity: there is no such field",
        ),
    ] {
        let api = FakeApi::default();
        api.submit("a", spec);
        api.look("a").await.unwrap();
        assert_eq!(api.status("a", "/phase"), "Failed");
        assert_eq!(api.condition("a", "Accepted"), ("False".into(), reason.into()));
        assert!(api.status("a", "/message").as_str().unwrap().contains(text), "{}", api.status("a", "/message"));
        assert_eq!(api.count("POST pods/"), 0);
    }
}

#[tokio::test]
async fn a_quota_is_waited_for_and_an_invalid_pod_is_not() {
    let api = FakeApi::default();
    api.submit("a", SPEC);
    api.refuse("POST pods/", 403, "pods \"a-1-driver\" is forbidden: exceeded quota: compute");
    assert!(matches!(api.look("a").await.unwrap(), Next::After(_)));
    assert_eq!(api.status("a", "/reason"), "QuotaExceeded");
    assert_eq!(api.condition("a", "DriverReady"), ("False".into(), "QuotaExceeded".into()));
    api.refuse_nothing();
    api.look("a").await.unwrap();
    assert_eq!(api.keys("pods/"), ["pods/n/a-1-driver"]);

    let api = FakeApi::default();
    api.submit("a", SPEC);
    api.refuse("POST pods/", 422, "Pod \"a-1-driver\" is invalid: spec.containers[0].image: Required value");
    api.look("a").await.unwrap();
    assert_eq!(api.status("a", "/phase"), "Failed");
    assert_eq!(api.status("a", "/reason"), "PodRefused");
}

#[tokio::test]
async fn secrets_never_reach_status_or_events() {
    let api = started(&format!("{SPEC}\nsparkConf: {{spark.hadoop.fs.s3a.secret.key: hunter22hunter22}}")).await;
    let said = TerminationMessage::failed(Reason::StorageError, None, "403 for key hunter22hunter22");
    api.pod_status("a-1-driver", ended(1, &said.to_json()));
    api.look("a").await.unwrap();
    assert!(api.status("a", "").to_string().contains("403 for key *********(redacted)"));
    for key in api.keys("events/").into_iter().chain(["sparkjobs/n/a".to_owned()]) {
        let object = api.get(&key).unwrap();
        let text = if key.starts_with("sparkjobs") { object["status"].to_string() } else { object.to_string() };
        assert!(!text.contains("hunter22"), "{key}: {text}");
    }
}

#[tokio::test]
async fn a_job_is_deleted_when_its_time_to_live_is_over() {
    let api = started(&format!("{SPEC}\ntimeToLiveSecondsAfterFinished: 3600")).await;
    api.pod_status("a-1-driver", ended(0, ""));
    let Next::After(left) = api.look("a").await.unwrap() else { panic!("the end of its life is not waited for") };
    assert!(left.as_secs() > 3500);
    api.edit("sparkjobs/n/a", |job| job["status"]["completionTime"] = json!("2026-01-01T00:00:00Z"));
    api.look("a").await.unwrap();
    assert_eq!(api.keys("sparkjobs/"), [""; 0]);
}

#[tokio::test]
async fn a_job_past_its_deadline_is_stopped() {
    let api = started(&format!("{SPEC}\nactiveDeadlineSeconds: 60\nmaxAttempts: 9")).await;
    api.pod_status("a-1-driver", running(true));
    let Next::After(left) = api.look("a").await.unwrap() else { panic!("the deadline is not waited for") };
    assert!(left.as_secs() <= 60);
    api.edit("sparkjobs/n/a", |job| job["status"]["startTime"] = json!("2026-01-01T00:00:00Z"));
    api.look("a").await.unwrap();
    assert_eq!(api.status("a", "/reason"), "DeadlineExceeded");
    assert_eq!(api.keys("pods/"), [""; 0]);
}

#[tokio::test]
async fn leftovers_of_a_deleted_job_are_swept_and_those_of_a_living_one_are_not() {
    let api = started(SPEC).await;
    let client = api.client();
    let metrics = Metrics::default();
    assert_eq!(orphans::sweep(&client, None, &metrics).await.unwrap(), 0);
    assert_eq!(api.keys("pods/").len(), 1);
    api.remove("sparkjobs/n/a");
    assert_eq!(orphans::sweep(&client, Some("n"), &metrics).await.unwrap(), 1);
    assert_eq!((api.keys("pods/").len(), api.keys("secrets/").len()), (0, 0));
}

#[tokio::test]
async fn a_job_being_deleted_is_left_to_the_garbage_collector() {
    let api = FakeApi::default();
    api.submit("a", SPEC);
    api.edit("sparkjobs/n/a", |job| job["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    assert_eq!(api.look("a").await.unwrap(), Next::OnChange);
    assert_eq!(api.log().len(), 0);
}
