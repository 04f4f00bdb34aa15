//! Which configuration keys hold secrets. Their values never reach a log line, a status or an Event.

use std::collections::BTreeMap;

/// What is shown in place of a secret value; Spark shows the same.
pub const REDACTED: &str = "*********(redacted)";

/// True when a key's value is a secret. Spark's default rule (`spark.redaction.regex`: secret, password, token, access key),
/// widened by key-like words that object stores use.
pub fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    [
        "secret",
        "password",
        "passwd",
        "token",
        "credential",
        "access.key",
        "accesskey",
        "access_key",
        "account.key",
        "session.key",
        "encryption.key",
    ]
    .iter()
    .any(|word| key.contains(word))
}

/// The configuration as it may be shown.
pub fn redacted(conf: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    conf.iter()
        .map(|(key, value)| (key.clone(), if is_secret_key(key) { REDACTED.to_owned() } else { value.clone() }))
        .collect()
}

/// `text` with every secret value of `conf` replaced. For messages that come from elsewhere, such as a driver's last word.
pub fn scrub(text: &str, conf: &BTreeMap<String, String>) -> String {
    conf.iter()
        // Very short values would blank out unrelated text and are no secrets worth the name.
        .filter(|(key, value)| value.len() >= 4 && is_secret_key(key))
        .fold(text.to_owned(), |text, (_, value)| text.replace(value.as_str(), REDACTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_credentials_are_secrets() {
        for key in [
            "spark.hadoop.fs.s3a.secret.key",
            "spark.hadoop.fs.s3a.access.key",
            "fs.s3a.session.token",
            "spark.ssl.keyPassword",
        ] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in
            ["spark.sql.shuffle.partitions", "spark.hadoop.fs.s3a.endpoint", "spark.hadoop.fs.s3a.path.style.access"]
        {
            assert!(!is_secret_key(key), "{key}");
        }
    }

    #[test]
    fn values_are_scrubbed_from_messages() {
        let conf = BTreeMap::from([
            ("fs.s3a.secret.key".into(), "hunter22".into()),
            ("fs.s3a.endpoint".into(), "http://minio".into()),
        ]);
        assert_eq!(
            scrub("http://minio said hunter22 is wrong", &conf),
            format!("http://minio said {REDACTED} is wrong")
        );
        assert_eq!(redacted(&conf)["fs.s3a.secret.key"], REDACTED);
    }
}
