//! Storage errors in Spark's words, naming the place and the remedy.

use firesteel_plan::SparkError;
use object_store::Error;

pub fn path_not_found(path: &str) -> SparkError {
    SparkError::new("PATH_NOT_FOUND", "42K03", format!("Path does not exist: {path}.")).param("path", path)
}

/// `place` is what was being read or written, as a person wrote it; empty where only the error can tell.
pub fn from_object_store(error: &Error, place: &str) -> SparkError {
    let text = error.to_string();
    let or_place = |path: &'_ str| if place.is_empty() { path.to_owned() } else { place.to_owned() };
    match error {
        Error::NotFound { path, source } => {
            let source = source.to_string();
            if source.contains("NoSuchBucket") || text.contains("NoSuchBucket") {
                return no_such_bucket(&or_place(path));
            }
            path_not_found(path)
        }
        Error::PermissionDenied { path, .. } | Error::Unauthenticated { path, .. } => {
            access_denied(&or_place(path), &text)
        }
        _ if text.contains("NoSuchBucket") => no_such_bucket(&or_place(&text)),
        _ if text.contains("InvalidAccessKeyId") || text.contains("SignatureDoesNotMatch") => {
            access_denied(place, &text)
        }
        _ => {
            let of = if place.is_empty() { String::new() } else { format!(" at {place}") };
            SparkError::new(
                "FAILED_READ_FILE.NO_HINT",
                "KD001",
                format!("Storage error{of}: {}", without_secrets(&text)),
            )
        }
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
    let to = if place.is_empty() { String::new() } else { format!(" to {place}") };
    SparkError::new(
        "FAILED_READ_FILE.NO_HINT",
        "KD001",
        format!(
            "The object store refused access{to}: {}. Check spark.hadoop.fs.s3a.access.key and spark.hadoop.fs.s3a.secret.key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and the bucket's policy.",
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
