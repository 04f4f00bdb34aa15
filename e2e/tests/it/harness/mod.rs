//! What every test on the cluster stands on: one cluster, one installed operator and one S3 server for the whole run, and
//! a namespace and a bucket for each test.
//!
//! Tests on the cluster are `#[ignore]`d, so that a plain `cargo test` needs no root and shows what it left out;
//! `make cluster` asks for them by their names.

use std::{
    path::{Path, PathBuf},
    process::Output,
    sync::LazyLock,
    time::Duration,
};

use tokio::{process::Command, runtime::Runtime};

mod installation;
mod job;
mod namespace;
pub mod oracle;
mod storage;

pub use installation::{Installation, SYSTEM_NAMESPACE};
pub use job::{condition, merge, sql_job};
pub use namespace::Namespace;
pub use storage::{ACCESS_KEY, SECRET_KEY, put, serve as serve_s3};

/// Client, S3 server and all else that tests share live on one runtime: a test's own would take them down with it.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// Longest time one test may take before it counts as hanging.
const LIMIT: Duration = Duration::from_secs(300);

/// Held for reading by a test that shares the nodes with others, for writing by one that needs them for itself.
static NODES: tokio::sync::RwLock<()> = tokio::sync::RwLock::const_new(());

/// Runs a test in a namespace of its own. When it fails, or hangs, everything known about the namespace is printed.
pub fn with_temp_namespace(test: &str, body: impl AsyncFnOnce(&Namespace)) {
    RUNTIME.block_on(async {
        let installation = Installation::shared().await;
        let _shared = NODES.read().await;
        namespace::run(installation, test, LIMIT, body).await;
    });
}

/// The same with no other test beside it, and another limit of time.
pub fn with_nodes_alone(test: &str, limit: Duration, body: impl AsyncFnOnce(&Namespace)) {
    RUNTIME.block_on(async {
        let installation = Installation::shared().await;
        let _alone = NODES.write().await;
        namespace::run(installation, test, limit, body).await;
    });
}

/// Runs what a test needs before it takes the cluster.
pub fn prepare<T>(work: impl Future<Output = T>) -> T {
    RUNTIME.block_on(work)
}

/// The root of the checkout that is tested: asked at run time, since several may share their build results.
pub fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> =
        LazyLock::new(|| Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).parent().unwrap().to_owned());
    &ROOT
}

/// Where data that takes a while to make is kept from run to run.
pub fn cache() -> PathBuf {
    match std::env::var_os("FIRESTEEL_CACHE") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/firesteel"),
    }
}

/// Where the programs under test are. Cargo puts them beside this crate's own program.
pub fn bin_dir() -> PathBuf {
    match std::env::var_os("FIRESTEEL_E2E_BIN_DIR") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_BIN_EXE_s3-server")).parent().unwrap().to_owned(),
    }
}

/// Runs a program to its end; panics with all it said when it fails.
pub async fn succeed(command: &mut Command) -> String {
    let output = command.kill_on_drop(true).output().await.unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{:?}: {}\n{}", command.as_std(), output.status, said(&output));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Standard output and standard error.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
