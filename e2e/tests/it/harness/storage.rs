//! The S3 server of a run. It listens where pods can reach it.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
};

use firesteel_e2e::s3::{S3Server, Settings};
use futures::{StreamExt, TryStreamExt};
use object_store::{
    ObjectStoreExt,
    aws::{AmazonS3, AmazonS3Builder},
};

pub const ACCESS_KEY: &str = "AKIATESTER";
/// Distinct enough to be searched for in what must not hold it.
pub const SECRET_KEY: &str = "sesame-4711-of-the-tests";

pub async fn start(host: IpAddr) -> S3Server {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    forget_ended_runs(scratch);
    serve(host, &scratch.join(format!("s3-{}", std::process::id()))).await
}

/// A server of its own, with the credentials of all of them.
pub async fn serve(host: IpAddr, root: &Path) -> S3Server {
    let settings = Settings {
        listen: SocketAddr::new(host, 0),
        root: root.to_owned(),
        access_key: ACCESS_KEY.into(),
        secret_key: SECRET_KEY.into(),
    };
    S3Server::start(settings).await.unwrap_or_else(|e| panic!("cannot serve S3 on {host}: {e}"))
}

/// A run's data stays for a look after a failure, until the next run.
fn forget_ended_runs(scratch: &Path) {
    for entry in std::fs::read_dir(scratch).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix("s3-"));
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Makes a bucket and gives a client for it.
pub fn bucket(server: &S3Server, name: &str) -> AmazonS3 {
    server.create_bucket(name).unwrap();
    AmazonS3Builder::new()
        .with_endpoint(server.endpoint())
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name(name)
        .with_access_key_id(ACCESS_KEY)
        .with_secret_access_key(SECRET_KEY)
        .build()
        .unwrap()
}

/// Puts one object into a bucket.
pub async fn put(server: &S3Server, name: &str, key: &str, text: String) {
    bucket(server, name).put(&key.into(), text.into_bytes().into()).await.unwrap();
}

/// Puts the files below `folder`, hidden ones left out, under `prefix`.
pub async fn upload(store: &AmazonS3, folder: &Path, prefix: &str) {
    let files = files(folder);
    assert!(!files.is_empty(), "there are no files in {}", folder.display());
    futures::stream::iter(files)
        .map(|file| async move {
            let key = format!("{prefix}/{}", file.strip_prefix(folder).unwrap().to_str().unwrap());
            let bytes = tokio::fs::read(&file).await.unwrap();
            store.put(&key.into(), bytes.into()).await.map(|_| ())
        })
        .buffer_unordered(4)
        .try_collect::<()>()
        .await
        .unwrap();
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())).flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with('.')) {
            continue;
        }
        match entry.path() {
            path if path.is_dir() => found.extend(files(&path)),
            path => found.push(path),
        }
    }
    found
}
