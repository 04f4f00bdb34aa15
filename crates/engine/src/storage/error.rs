//! Storage errors in Spark's words, naming the place and the remedy.

use firesteel_plan::SparkError;
use object_store::Error;

pub fn path_not_found(path: &str) -> SparkError {
    SparkError::new("PATH_NOT_FOUND", "42K03", format!("Path does not exist: {path}.")).param("path", path)
}

pub fn from_object_store(error: &Error) -> SparkError {
    let text = error.to_string();
    match error {
        Error::NotFound { path, source } => {
            let source = source.to_string();
            if source.contains("NoSuchBucket") || text.contains("NoSuchBucket") {
                return no_such_bucket(path);
            }
            path_not_found(path)
        }
        Error::PermissionDenied { path, .. } | Error::Unauthenticated { path, .. } => access_denied(path, &text),
        _ if text.contains("NoSuchBucket") => no_such_bucket(&text),
        _ if text.contains("InvalidAccessKeyId") || text.contains("SignatureDoesNotMatch") => access_denied("", &text),
        _ => SparkError::new("FAILED_READ_FILE.NO_HINT", "KD001", format!("Storage error: {}", without_secrets(&text))),
    }
}

fn no_such_bucket(place: &str) -> SparkError {
    SparkError::new(
        "PATH_NOT_FOUND",
        "42K03",
        format!("The bucket of {place} does not exist. Check the URL, and spark.hadoop.fs.s3a.endpoint for the server that holds it."),
    )
    .param("path", place)
}

fn access_denied(place: &str, text: &str) -> SparkError {
    SparkError::new(
        "FAILED_READ_FILE.NO_HINT",
        "KD001",
        format!(
            "The object store refused access to {place}: {}. Check spark.hadoop.fs.s3a.access.key and spark.hadoop.fs.s3a.secret.key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and the bucket's policy.",
            without_secrets(text)
        ),
    )
    .param("path", place)
}

pub fn no_credentials(bucket: &str) -> SparkError {
    SparkError::new(
        "FAILED_READ_FILE.NO_HINT",
        "KD001",
        format!(
            "There are no credentials for the bucket {bucket}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
             spark.hadoop.fs.s3a.access.key and spark.hadoop.fs.s3a.secret.key; for a public bucket set \
             spark.hadoop.fs.s3a.aws.credentials.provider to AnonymousAWSCredentialsProvider."
        ),
    )
    .param("path", bucket)
}

/// Error answers of S3 servers can repeat the key id and the signature: only the error's code and message are kept.
fn without_secrets(text: &str) -> String {
    let tag = |name: &str| -> Option<&str> {
        let start = text.find(&format!("<{name}>"))? + name.len() + 2;
        let end = text[start..].find(&format!("</{name}>"))? + start;
        Some(&text[start..end])
    };
    match (tag("Code"), tag("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => text.chars().take(500).collect(),
    }
}
