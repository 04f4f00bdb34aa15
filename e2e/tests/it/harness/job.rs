//! SparkJobs as tests write them.

use firesteel_api::SparkJob;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};

/// A job with the test's credentials, small enough for several on a machine at the same time.
pub fn sql_job(name: &str, sql: &str) -> Value {
    let role = json!({
        "coreRequest": "100m",
        "memory": "512m",
        "envFrom": [{ "secretRef": { "name": "s3" } }],
    });
    let mut job = json!({
        "apiVersion": "firesteel.dev/v1alpha1",
        "kind": "SparkJob",
        "metadata": { "name": name },
        "spec": {
            "sparkConf": { "spark.sql.shuffle.partitions": "4", "spark.sql.session.timeZone": "UTC" },
            "sql": { "inline": sql },
            "driver": role,
            "executor": role,
        },
    });
    merge(&mut job, json!({ "spec": { "executor": { "instances": 2 } } }));
    job
}

/// Puts `changes` into `object`: objects are merged, null removes, all else replaces.
pub fn merge(object: &mut Value, changes: Value) {
    match (object, changes) {
        (Value::Object(object), Value::Object(changes)) => {
            for (key, change) in changes {
                if change.is_null() {
                    object.remove(&key);
                } else {
                    merge(object.entry(key).or_insert(Value::Null), change);
                }
            }
        }
        (object, changes) => *object = changes,
    }
}

/// A condition of a job.
pub fn condition<'a>(job: &'a SparkJob, type_: &str) -> Option<&'a Condition> {
    job.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == type_)
}
