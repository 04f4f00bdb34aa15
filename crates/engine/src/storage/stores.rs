//! The object stores of a session, made when first asked for.

use std::{collections::HashMap, sync::Arc};

use datafusion::{error::Result, execution::object_store::ObjectStoreRegistry};
use firesteel_plan::{SparkConf, SparkError, SparkResult};
use object_store::{
    ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    local::LocalFileSystem,
    multipart::MultipartStore,
};
use parking_lot::RwLock;
use url::Url;

use crate::error::to_datafusion;

/// Local files, and one S3 client a bucket, configured by `spark.hadoop.fs.s3a.*`, by the same keys for one bucket only
/// (`spark.hadoop.fs.s3a.bucket.NAME.*`), and by the `AWS_*` environment below them.
#[derive(Debug)]
pub struct Stores {
    local: Arc<LocalFileSystem>,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Hadoop's keys, without the `spark.hadoop.` prefix.
    hadoop: HashMap<String, String>,
    buckets: HashMap<String, Arc<AmazonS3>>,
}

impl Stores {
    pub fn new(conf: &SparkConf) -> Self {
        let stores = Self { local: Arc::new(LocalFileSystem::new()), state: RwLock::default() };
        stores.configure(conf);
        stores
    }

    /// Takes over changed keys; clients made under other keys are made anew when next asked for.
    pub fn configure(&self, conf: &SparkConf) {
        let hadoop: HashMap<String, String> = conf
            .iter()
            .filter_map(|(key, value)| {
                let key = key.strip_prefix("spark.hadoop.").unwrap_or(key);
                key.starts_with("fs.").then(|| (key.to_owned(), value.to_owned()))
            })
            .collect();
        let mut state = self.state.write();
        if state.hadoop != hadoop {
            *state = State { hadoop, buckets: HashMap::new() };
        }
    }

    /// The client of a bucket, for the uploads whose completion is put off until a job commits.
    pub fn multipart(&self, url: &Url) -> SparkResult<Option<Arc<dyn MultipartStore>>> {
        match url.scheme() {
            "file" => Ok(None),
            _ => Ok(Some(self.bucket(url)?)),
        }
    }

    fn bucket(&self, url: &Url) -> SparkResult<Arc<AmazonS3>> {
        let name = url.host_str().unwrap_or_default();
        if let Some(found) = self.state.read().buckets.get(name) {
            return Ok(found.clone());
        }
        let mut state = self.state.write();
        let store = Arc::new(s3_client(name, &state.hadoop)?);
        state.buckets.insert(name.to_owned(), store.clone());
        Ok(store)
    }
}

impl ObjectStoreRegistry for Stores {
    /// Stores come from configuration only; one that a caller registers is not used.
    fn register_store(&self, _url: &Url, _store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        match url.scheme() {
            "file" => Ok(self.local.clone()),
            "s3" => Ok(self.bucket(url).map_err(to_datafusion)?),
            other => Err(to_datafusion(SparkError::unsupported(format!("storage scheme '{other}'")))),
        }
    }
}

fn s3_client(bucket: &str, hadoop: &HashMap<String, String>) -> SparkResult<AmazonS3> {
    let key = |name: &str| {
        hadoop.get(&format!("fs.s3a.bucket.{bucket}.{name}")).or_else(|| hadoop.get(&format!("fs.s3a.{name}")))
    };
    let flag = |name: &str| key(name).map(|v| v.trim().eq_ignore_ascii_case("true"));
    let endpoint =
        key("endpoint").cloned().or_else(|| std::env::var("AWS_ENDPOINT_URL").ok()).filter(|e| !e.is_empty());
    let tls = flag("connection.ssl.enabled").unwrap_or(true);
    let endpoint = endpoint.map(|e| match (e.contains("://"), tls) {
        (true, _) => e,
        (false, true) => format!("https://{e}"),
        (false, false) => format!("http://{e}"),
    });
    let plain = endpoint.as_ref().is_some_and(|e| e.starts_with("http://"));

    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_allow_http(plain)
        .with_retry(RetryConfig {
            max_retries: 5,
            retry_timeout: std::time::Duration::from_secs(60),
            ..Default::default()
        })
        .with_client_options(
            ClientOptions::new()
                .with_allow_http(plain)
                .with_timeout(std::time::Duration::from_secs(120))
                .with_connect_timeout(std::time::Duration::from_secs(10)),
        );
    let region = key("endpoint.region").cloned().or_else(|| std::env::var("AWS_REGION").ok());
    builder = builder.with_region(region.unwrap_or_else(|| "us-east-1".to_owned()));
    let own_server = endpoint.as_ref().is_some_and(|e| !e.contains("amazonaws.com"));
    if let Some(endpoint) = endpoint {
        // A server of one's own answers by path unless told otherwise; Amazon's by virtual host.
        let path_style = flag("path.style.access").unwrap_or(own_server);
        builder = builder.with_virtual_hosted_style_request(!path_style);
        builder = builder.with_endpoint(endpoint);
    }
    let anonymous = key("aws.credentials.provider").is_some_and(|p| p.contains("AnonymousAWSCredentialsProvider"));
    let given = key("access.key").is_some() && key("secret.key").is_some();
    // Only Amazon's own machines hand out credentials on request: elsewhere the question would go to a stranger.
    if !given && !anonymous && own_server && std::env::var_os("AWS_ACCESS_KEY_ID").is_none() {
        return Err(super::error::no_credentials(bucket));
    }
    if let (Some(id), Some(secret)) = (key("access.key"), key("secret.key")) {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret);
        if let Some(token) = key("session.token") {
            builder = builder.with_token(token);
        }
    }
    if anonymous {
        builder = builder.with_skip_signature(true);
    }
    builder.build().map_err(|e| super::error::from_object_store(&e, &format!("s3a://{bucket}")))
}
