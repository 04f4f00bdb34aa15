//! A real S3 server over a folder: what tests read logs from and write results to.
//!
//! The protocol, signatures included, is `s3s`; the storage is `s3s-fs`. This module adds what tests of a data engine
//! lean on and the storage lacks: a missing bucket is told from a missing key, a prefix of keys is no key, ranged reads of
//! large objects are fast, and put-if-absent has one winner among concurrent writers.
//!
//! Limit: a key may have about 150 bytes, because the storage keeps each object's ETag in a file named after the key.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

mod hold;
mod storage;

pub use hold::Hold;
use hold::Holds;

/// Where a server listens, what it serves, and to whom.
#[derive(Clone)]
pub struct Settings {
    /// Port 0 takes a free one; [`S3Server::address`] tells which.
    pub listen: SocketAddr,
    /// Folder with one folder a bucket. Made if missing. Objects come in through the protocol, never by copying files.
    pub root: PathBuf,
    pub access_key: String,
    pub secret_key: String,
}

/// A running server. Dropping it ends it and every connection.
pub struct S3Server {
    address: SocketAddr,
    root: PathBuf,
    holds: Holds,
    connections: tokio::task::JoinHandle<()>,
}

impl S3Server {
    /// Listens before it returns: a client may connect at once.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        std::fs::create_dir_all(&settings.root)?;
        let holds = Holds::default();
        let service = service(&settings, holds.clone())?;
        let listener = TcpListener::bind(settings.listen).await?;
        let address = listener.local_addr()?;
        Ok(Self { address, root: settings.root, holds, connections: tokio::spawn(serve(listener, service)) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS:PORT`, for `spark.hadoop.fs.s3a.endpoint`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes a bucket; one that exists is no error, a name that S3 does not allow is.
    pub fn create_bucket(&self, name: &str) -> io::Result<()> {
        if !s3s::path::check_bucket_name(name) {
            let message = "a bucket's name has 3 to 63 small letters, digits, dots and hyphens";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        std::fs::create_dir_all(self.root.join(name))
    }

    /// Holds the requests for a bucket that `which` (operation as `GetObject`, key) says, but for the first `free` of them,
    /// for as long as the answer is kept.
    pub fn hold(&self, bucket: &str, free: usize, which: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Hold {
        self.holds.add(bucket, free, which)
    }

    /// Serves until the process is told to end.
    pub async fn wait(&mut self) {
        let _ = (&mut self.connections).await;
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.connections.abort();
    }
}

fn service(settings: &Settings, holds: Holds) -> io::Result<S3Service> {
    let storage = storage::Storage::new(&settings.root)?;
    let mut builder = S3ServiceBuilder::new(storage);
    builder.set_auth(SimpleAuth::from_single(settings.access_key.clone(), settings.secret_key.clone()));
    builder.set_access(Access { root: settings.root.clone(), holds });
    Ok(builder.build())
}

async fn serve(listener: TcpListener, service: S3Service) {
    // Connections are children of this task: they end with the server.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    let _ = socket.set_nodelay(true);
                    let service = service.clone();
                    connections.spawn(async move {
                        let http = Builder::new(TokioExecutor::new());
                        if let Err(error) = http.serve_connection(TokioIo::new(socket), service).await {
                            tracing::debug!("connection ended: {error}");
                        }
                    });
                }
                Err(error) => {
                    // Out of file descriptors, say: wait for some to come back rather than spin.
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Signed requests only; a bucket must exist before anything in it is spoken about.
struct Access {
    root: PathBuf,
    holds: Holds,
}

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, request: &mut S3AccessContext<'_>) -> S3Result<()> {
        if request.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "the request is not signed"));
        }
        if let Some(bucket) = request.s3_path().get_bucket_name()
            && request.s3_op().name() != "CreateBucket"
            && !self.root.join(bucket).is_dir()
        {
            return Err(s3_error!(NoSuchBucket, "The specified bucket does not exist"));
        }
        if let Some((bucket, key)) = request.s3_path().as_object() {
            self.holds.pass(request.s3_op().name(), bucket, key).await;
        }
        Ok(())
    }
}
