//! What a person did wrong comes back as a condition of the job that names the place and the remedy; soon, and without
//! a secret in it.

use std::time::Duration;

use firesteel_api::{Reason, SparkJob, status::condition as types};
use object_store::ObjectStoreExt;
use serde_json::json;

use crate::harness::{Namespace, SECRET_KEY, condition, merge, sql_job, with_temp_namespace};

/// What the requirement allows for pods that cannot start.
const TOLD_WITHIN: Duration = Duration::from_secs(60);
const ENDS_WITHIN: Duration = Duration::from_secs(120);

/// The job failed for this reason, its condition and its status agree, and the message holds all of `words`.
fn assert_failed(job: &SparkJob, reason: Reason, words: &[&str]) {
    let status = job.status.as_ref().unwrap();
    let message = status.message.clone().unwrap_or_default();
    assert_eq!(status.reason, Some(reason), "{message}");
    let failed = condition(job, types::FAILED).expect("a condition Failed");
    assert_eq!((failed.status.as_str(), failed.reason.as_str()), ("True", reason.as_str()));
    assert_eq!(failed.message, message);
    for word in words {
        assert!(message.contains(word), "'{word}' is missing in: {message}");
    }
    for noise in ["panicked at", "RUST_BACKTRACE", "src/", "Backtrace", "Traceback"] {
        assert!(!message.contains(noise), "{message}");
    }
    assert_eq!(status.attempts.len(), 1, "one attempt is enough: {:?}", status.attempts);
}

async fn fails(namespace: &Namespace, sql: &str, reason: Reason, words: &[&str]) -> SparkJob {
    namespace.submit(&sql_job("job", sql)).await;
    let job = namespace.failed("job", ENDS_WITHIN).await;
    assert_failed(&job, reason, words);
    job
}

#[test]
#[ignore = "needs a cluster: make cluster"]
fn e2e_syntax_error_has_line_column_and_class() {
    with_temp_namespace("e2e_syntax_error", async |namespace| {
        let sql = "SELECT 1;\n\nSELECT server, count(*)\nFROM requests\nGROUP server";
        let words = ["[PARSE_SYNTAX_ERROR]", "line 5", "position 7", "^", "GROUP server"];
        fails(namespace, sql, Reason::SyntaxError, &words).await;
    });
}

#[test]
#[ignore = "needs a cluster: make cluster"]
fn e2e_unknown_table_is_named() {
    with_temp_namespace("e2e_unknown_table", async |namespace| {
        let sql = "SELECT *\nFROM request_log";
        let words = ["[TABLE_OR_VIEW_NOT_FOUND]", "`request_log`", "line 2"];
        fails(namespace, sql, Reason::AnalysisError, &words).await;
    });
}

#[test]
#[ignore = "needs a cluster: make cluster"]
fn e2e_unknown_column_comes_with_suggestions() {
    with_temp_namespace("e2e_unknown_column", async |namespace| {
        let sql = "CREATE TEMPORARY VIEW servers AS SELECT 'web-1' AS server, 8 AS cores;\nSELECT servr FROM servers";
        let words = ["[UNRESOLVED_COLUMN.WITH_SUGGESTION]", "`servr`", "`server`", "line 2", "position 8"];
        fails(namespace, sql, Reason::AnalysisError, &words).await;
    });
}

#[test]
#[ignore = "needs a cluster: make cluster"]
fn e2e_missing_bucket_is_named() {
    with_temp_namespace("e2e_missing_bucket", async |namespace| {
        let sql = "SELECT count(*) FROM csv.`s3a://bucket-that-is-not-there/input/servers.csv`";
        fails(namespace, sql, Reason::StorageError, &["bucket-that-is-not-there"]).await;
    });
}

#[test]
#[ignore = "needs a cluster: make cluster"]
fn e2e_wrong_credentials_are_told_and_not_shown() {
    with_temp_namespace("e2e_wrong_credentials", async |namespace| {
        let wrong = "open-4711-of-somebody-else";
        namespace.create_secret("wrong", wrong).await;
        namespace.bucket.put(&"a.csv".into(), "1,2\n".into()).await.unwrap();
        let mut job = sql_job("job", &format!("SELECT * FROM csv.`s3a://{}/a.csv`", namespace.name));
        let secret = json!({ "envFrom": [{ "secretRef": { "name": "wrong" } }] });
        merge(&mut job, json!({ "spec": { "driver": secret, "executor": secret } }));
        namespace.submit(&job).await;
        let job = namespace.failed("job", ENDS_WITHIN).await;
        let place = format!("refused access to s3a://{}/a.csv", namespace.name);
        assert_failed(&job, Reason::StorageError, &[&place, "spark.hadoop.fs.s3a.access.key"]);

        let mut shown = serde_json::to_string(&job).unwrap();
        for what in [&["get", "events", "-o", "yaml"][..], &["logs", "job-1-driver"], &["get", "pods", "-o", "yaml"]] {
            shown += &crate::harness::said(&namespace.kubectl(what).output().await.unwrap());
        }
        shown += &namespace.installation.operator_log(200).await;
        for secret in [wrong, SECRET_KEY] {
            assert!(!shown.contains(secret), "the secret key is shown");
        }
    });
}

#[test]
#[ignore = "needs a cluster: make cluster"]
fn e2e_corrupt_parquet_file_is_named() {
    with_temp_namespace("e2e_corrupt_parquet", async |namespace| {
        let bucket = &namespace.name;
        // A good file whose second half is noise: footer and magic are there, the pages are not.
        let sql = format!(
            "INSERT OVERWRITE DIRECTORY 's3a://{bucket}/t' USING parquet SELECT id, sha2(CAST(id AS STRING), 256) AS h FROM range(0, 20000, 1, 1)"
        );
        namespace.submit(&sql_job("good", &sql)).await;
        namespace.succeeded("good", ENDS_WITHIN).await;
        let folder = namespace.bucket_folder().join("t");
        let files =
            std::fs::read_dir(&folder).unwrap().flatten().filter(|f| f.path().extension() == Some("parquet".as_ref()));
        let name = files.map(|f| f.file_name().into_string().unwrap()).next().expect("a Parquet file");
        let key = format!("t/{name}").into();
        let mut bytes = namespace.bucket.get(&key).await.unwrap().bytes().await.unwrap().to_vec();
        let (from, to) = (bytes.len() / 4, bytes.len() / 2);
        bytes[from..to].fill(0xA5);
        namespace.bucket.put(&key, bytes.into()).await.unwrap();

        let sql = format!("SELECT count(DISTINCT h) FROM parquet.`s3a://{bucket}/t`");
        fails(namespace, &sql, Reason::StorageError, &[&name]).await;
    });
}

/// The pod's status says nothing of it: only Events do.
#[test]
#[ignore = "needs a cluster: make cluster"]
fn e2e_missing_volume_is_told_within_a_minute() {
    with_temp_namespace("e2e_volume", async |namespace| {
        let volume = json!({
            "volumes": [{ "name": "keys", "secret": { "secretName": "nowhere-to-be-found" } }],
            "volumeMounts": [{ "name": "keys", "mountPath": "/keys" }],
        });
        for (name, role) in [("driver", "driver"), ("executors", "executor")] {
            let mut job = sql_job(name, "SELECT count(*) FROM range(10)");
            merge(&mut job, json!({ "spec": { role: volume } }));
            namespace.submit(&job).await;
        }
        let of_driver = |job: &SparkJob| {
            condition(job, types::DRIVER_READY).filter(|c| c.reason == Reason::VolumeMountFailed.as_str()).cloned()
        };
        let job = namespace.until("driver", TOLD_WITHIN, "told why", |job| of_driver(job).is_some()).await;
        let message = of_driver(&job).unwrap().message;
        assert!(message.contains("nowhere-to-be-found"), "{message}");

        let of_executors = |job: &SparkJob| job.status.as_ref().and_then(|status| status.executors.clone());
        let told = |job: &SparkJob| {
            of_executors(job).is_some_and(|e| e.last_failure_reason == Some(Reason::VolumeMountFailed))
        };
        let job = namespace.until("executors", TOLD_WITHIN, "told why", told).await;
        let message = of_executors(&job).unwrap().last_failure_message.unwrap_or_default();
        assert!(message.contains("nowhere-to-be-found"), "{message}");
    });
}

#[test]
#[ignore = "needs a cluster: make cluster"]
fn e2e_image_that_cannot_be_pulled_is_told_within_a_minute() {
    with_temp_namespace("e2e_image", async |namespace| {
        let image = "registry.invalid/nobody/nothing:1";
        let mut job = sql_job("job", "SELECT 1");
        merge(&mut job, json!({ "spec": { "image": image } }));
        namespace.submit(&job).await;
        let job = namespace
            .until("job", TOLD_WITHIN, "waiting for its image", |job| {
                condition(job, types::DRIVER_READY).is_some_and(|c| c.reason == Reason::ImagePullFailed.as_str())
            })
            .await;
        let ready = condition(&job, types::DRIVER_READY).unwrap();
        assert_eq!(ready.status, "False");
        assert!(ready.message.contains(image), "{}", ready.message);
        let status = job.status.as_ref().unwrap();
        assert_eq!(status.reason, Some(Reason::ImagePullFailed));
        let columns = crate::harness::succeed(&mut namespace.kubectl(&["get", "sparkjob", "job"])).await;
        assert!(columns.contains("ImagePullFailed"), "{columns}");
    });
}

#[test]
#[ignore = "needs a cluster: make cluster"]
fn e2e_executors_larger_than_any_node_are_told_within_a_minute() {
    with_temp_namespace("e2e_too_large", async |namespace| {
        let mut job = sql_job("job", "SELECT count(*) FROM range(0, 1000, 1, 4)");
        merge(&mut job, json!({ "spec": { "executor": { "memory": "4000g" } } }));
        namespace.submit(&job).await;
        let job = namespace
            .until("job", TOLD_WITHIN, "waiting for a node", |job| {
                condition(job, types::EXECUTORS_READY)
                    .is_some_and(|c| c.reason == Reason::ExecutorsUnschedulable.as_str())
            })
            .await;
        let ready = condition(&job, types::EXECUTORS_READY).unwrap();
        assert_eq!(ready.status, "False");
        assert!(ready.message.contains("Insufficient memory"), "{}", ready.message);
        assert_eq!(job.status.unwrap().reason, Some(Reason::ExecutorsUnschedulable));
    });
}

#[test]
#[ignore = "needs a cluster: make cluster"]
fn e2e_full_disk_during_shuffle_is_told() {
    with_temp_namespace("e2e_full_disk", async |namespace| {
        // 16 MB of memory as the disk, and about 60 MB that do not compress to shuffle.
        let sql =
            "SELECT count(DISTINCT h) FROM (SELECT sha2(CAST(id AS STRING), 256) AS h FROM range(0, 1000000, 1, 2))";
        let mut job = sql_job("job", sql);
        let volume = json!({ "name": "small", "emptyDir": { "medium": "Memory", "sizeLimit": "16Mi" } });
        let mount = json!({ "name": "small", "mountPath": "/var/lib/firesteel" });
        merge(&mut job, json!({ "spec": { "executor": { "volumes": [volume], "volumeMounts": [mount] } } }));
        namespace.submit(&job).await;
        let job = namespace.failed("job", ENDS_WITHIN).await;
        assert_failed(&job, Reason::DiskFull, &["disk"]);
    });
}
