//! What the API server lets in and what it refuses, by the definition alone: no webhook runs, so that a person who applies
//! a wrong job is told at once.

use serde_json::{Value, json};

use crate::harness::{Namespace, merge, sql_job, with_temp_namespace};

fn job(changes: Value) -> Value {
    let mut job = sql_job("job", "SELECT 1");
    merge(&mut job, changes);
    job
}

async fn dry_run(namespace: &Namespace, job: &Value) -> Result<String, String> {
    let arguments = ["create", "-n", &namespace.name, "--dry-run=server", "-f", "-"];
    namespace.pipe(&arguments, &job.to_string()).await
}

async fn assert_refused(namespace: &Namespace, changes: Value, words: &[&str]) {
    let said = dry_run(namespace, &job(changes.clone())).await.expect_err(&format!("accepted: {changes}"));
    for word in words {
        assert!(said.contains(word), "{changes}: '{word}' is missing in: {said}");
    }
}

async fn assert_accepted(namespace: &Namespace, changes: Value) {
    if let Err(said) = dry_run(namespace, &job(changes.clone())).await {
        panic!("refused: {changes}: {said}");
    }
}

#[test]
#[ignore = "needs a cluster: make cluster"]
fn admit_examples_and_the_fields_they_use() {
    with_temp_namespace("admit_examples", async |namespace| {
        let file = crate::harness::root().join("examples/server-health/job.yaml");
        let text = std::fs::read_to_string(file).unwrap();
        let arguments = ["create", "-n", &namespace.name, "--dry-run=server", "-f", "-"];
        namespace.pipe(&arguments, &text).await.unwrap_or_else(|said| panic!("{said}"));

        assert_accepted(namespace, json!({})).await;
        let config_map = json!({ "inline": null, "configMap": { "name": "statements", "key": "job.sql" } });
        assert_accepted(namespace, json!({ "spec": { "sql": config_map } })).await;
        assert_accepted(namespace, json!({ "spec": { "sql": { "inline": null, "path": "s3a://jobs/a.sql" } } })).await;
        assert_accepted(namespace, json!({ "spec": { "sql": null, "python": { "path": "s3a://jobs/a.py" } } })).await;
        let template = json!({ "spec": { "containers": [{ "name": "executor", "imagePullPolicy": "Never" }] } });
        assert_accepted(namespace, json!({ "spec": { "executor": { "memory": "4Gi", "podTemplate": template } } }))
            .await;
    });
}

#[test]
#[ignore = "needs a cluster: make cluster"]
fn admit_exactly_one_program() {
    with_temp_namespace("admit_program", async |namespace| {
        let one = "exactly one of sql, python and app must be set";
        assert_refused(namespace, json!({ "spec": { "sql": null } }), &[one]).await;
        assert_refused(namespace, json!({ "spec": { "python": { "path": "/a.py" } } }), &[one]).await;
        let text = "exactly one of sql.inline, sql.configMap and sql.path must be set";
        assert_refused(namespace, json!({ "spec": { "sql": { "path": "/a.sql" } } }), &[text]).await;
        assert_refused(namespace, json!({ "spec": { "sql": { "inline": null } } }), &[text]).await;
        assert_refused(namespace, json!({ "spec": { "sql": { "inline": "" } } }), &["spec.sql.inline"]).await;
    });
}

#[test]
#[ignore = "needs a cluster: make cluster"]
fn admit_a_number_of_executors_or_its_bounds() {
    with_temp_namespace("admit_executors", async |namespace| {
        let executor =
            |dynamic: Value| json!({ "spec": { "executor": { "instances": null, "dynamicAllocation": dynamic } } });
        assert_accepted(namespace, executor(json!({}))).await;
        let all = json!({ "minInstances": 0, "initialInstances": 2, "maxInstances": 9, "idleTimeoutSeconds": 0 });
        assert_accepted(namespace, executor(all)).await;
        let both = json!({ "spec": { "executor": { "dynamicAllocation": {} } } });
        assert_refused(namespace, both, &["executor.instances is a fixed number"]).await;
        let refused = [
            (json!({ "minInstances": 3, "maxInstances": 2 }), "minInstances must not be more than maxInstances"),
            (
                json!({ "initialInstances": 3, "maxInstances": 2 }),
                "initialInstances must not be more than maxInstances",
            ),
            (
                json!({ "minInstances": 3, "initialInstances": 2 }),
                "initialInstances must not be less than minInstances",
            ),
            (json!({ "maxInstances": 0 }), "spec.executor.dynamicAllocation.maxInstances"),
        ];
        for (dynamic, words) in refused {
            assert_refused(namespace, executor(dynamic), &[words]).await;
        }
    });
}

#[test]
#[ignore = "needs a cluster: make cluster"]
fn admit_values_in_their_bounds() {
    with_temp_namespace("admit_bounds", async |namespace| {
        let refused: &[(Value, &str)] = &[
            (json!({ "executor": { "instances": 0 } }), "spec.executor.instances"),
            (json!({ "executor": { "instances": "two" } }), "spec.executor.instances"),
            (json!({ "executor": { "cores": 0 } }), "spec.executor.cores"),
            (json!({ "executor": { "memory": "lots" } }), "spec.executor.memory"),
            (json!({ "driver": { "coreRequest": "half" } }), "spec.driver.coreRequest"),
            (json!({ "driver": { "env": [{ "value": "no name" }] } }), "name"),
            (json!({ "imagePullPolicy": "Sometimes" }), "spec.imagePullPolicy"),
            (json!({ "maxAttempts": 0 }), "spec.maxAttempts"),
            (json!({ "maxAttempts": 21 }), "spec.maxAttempts"),
            (json!({ "startTimeoutSeconds": 1 }), "spec.startTimeoutSeconds"),
            (json!({ "timeToLiveSecondsAfterFinished": -1 }), "spec.timeToLiveSecondsAfterFinished"),
            (json!({ "sparkConf": { "spark.sql.shuffle.partitions": 4 } }), "spec.sparkConf"),
        ];
        for (spec, place) in refused {
            assert_refused(namespace, json!({ "spec": spec }), &[place]).await;
        }
    });
}

#[test]
#[ignore = "needs a cluster: make cluster"]
fn admit_names_and_known_fields_only() {
    with_temp_namespace("admit_names", async |namespace| {
        let rule = "metadata.name must be at most 63";
        assert_refused(namespace, json!({ "metadata": { "name": "a".repeat(64) } }), &[rule]).await;
        assert_refused(namespace, json!({ "metadata": { "name": "with.dots" } }), &[rule]).await;
        assert_accepted(namespace, json!({ "metadata": { "name": "a".repeat(63) } })).await;
        assert_refused(namespace, json!({ "spec": { "executors": { "instances": 2 } } }), &["executors"]).await;
    });
}

#[test]
#[ignore = "needs a cluster: make cluster"]
fn admit_no_change_of_what_runs() {
    with_temp_namespace("admit_changes", async |namespace| {
        // Waits for its text for ever, so nothing runs.
        let config_map = json!({ "inline": null, "configMap": { "name": "not-there", "key": "job.sql" } });
        namespace.submit(&job(json!({ "spec": { "sql": config_map } }))).await;
        let changed = [
            (
                json!({ "sql": { "configMap": { "key": "other.sql" } } }),
                "the program (sql, python, app) cannot be changed",
            ),
            (json!({ "executor": { "instances": 3 } }), "driver and executor cannot be changed"),
            (json!({ "sparkConf": { "spark.sql.shuffle.partitions": "5" } }), "sparkConf cannot be changed"),
            (json!({ "image": "another:1" }), "image cannot be changed"),
        ];
        for (change, words) in changed {
            let patch = json!({ "spec": change }).to_string();
            let output =
                namespace.kubectl(&["patch", "sparkjob", "job", "--type=merge", "-p", &patch]).output().await.unwrap();
            let said = crate::harness::said(&output);
            assert!(!output.status.success() && said.contains(words), "{patch}: {said}");
        }
        let allowed = r#"{"spec":{"timeToLiveSecondsAfterFinished":60}}"#;
        crate::harness::succeed(&mut namespace.kubectl(&["patch", "sparkjob", "job", "--type=merge", "-p", allowed]))
            .await;
    });
}
