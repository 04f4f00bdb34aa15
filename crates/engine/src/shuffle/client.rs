//! Dialling executors.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use firesteel_protocol::{
    AUTH_HEADER,
    proto::{
        CachedBlockChunk, FetchBlocksRequest, FetchCachedBlockRequest, OutputChunk, RecallRequest,
        executor_client::ExecutorClient,
    },
};
use futures::Stream;
use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tonic::{
    Request, Status, Streaming,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use super::transport::{BlockStream, Connections};

/// Messages may be this long. Far above what is sent, so that a limit is never what fails.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// What of one stream may be on its way, unread. The connection as a whole has no limit: streams that nobody reads at the
/// moment must not stop those that somebody waits for.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// Connections kept, to as many executors: each costs both ends a socket and some 50 KB.
const MOST_CONNECTIONS: usize = 1024;

/// Talks to executors: over one gRPC connection to each, of which the one used least lately is closed when there are too many, and
/// for the blocks of shuffles over [`Connections`] of their own. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct BlockClient(Arc<Inner>);

struct Inner {
    token: MetadataValue<Ascii>,
    connect_timeout: Duration,
    /// Where connections live. `None`: on the runtime that first uses them.
    runtime: Option<Handle>,
    channels: Mutex<Channels>,
    /// Those that blocks of shuffles come over.
    blocks: Arc<Connections>,
}

/// By address, with the count of uses at its last use.
#[derive(Default)]
struct Channels {
    by_address: HashMap<String, (u64, Channel)>,
    uses: u64,
}

impl Channels {
    fn get(&mut self, address: &str) -> Option<Channel> {
        self.uses += 1;
        let (used, channel) = self.by_address.get_mut(address)?;
        *used = self.uses;
        Some(channel.clone())
    }

    /// A connection that is closed here goes on for the streams that are open on it.
    fn insert(&mut self, address: &str, channel: Channel) {
        if self.by_address.len() >= MOST_CONNECTIONS
            && let Some(idle) = self.by_address.iter().min_by_key(|(_, (used, _))| *used).map(|(at, _)| at.clone())
        {
            self.by_address.remove(&idle);
        }
        self.by_address.insert(address.to_owned(), (self.uses, channel));
    }
}

#[derive(Clone)]
struct OnRuntime(Handle);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for OnRuntime {
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

impl fmt::Debug for BlockClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockClient").finish_non_exhaustive()
    }
}

impl BlockClient {
    /// `token` is the shared secret of the application attempt.
    pub fn new(token: &str, connect_timeout: Duration) -> Result<Self, Status> {
        let mut token: MetadataValue<Ascii> =
            token.parse().map_err(|_| Status::invalid_argument("the token has characters that no header may have"))?;
        token.set_sensitive(true);
        Ok(Self::with(token, connect_timeout, None))
    }

    /// A client whose connections are served by `runtime`, so that tasks that compute do not hold them up.
    pub fn on_runtime(self, runtime: Handle) -> Self {
        Self::with(self.0.token.clone(), self.0.connect_timeout, Some(runtime))
    }

    fn with(token: MetadataValue<Ascii>, connect_timeout: Duration, runtime: Option<Handle>) -> Self {
        let secret = String::from_utf8_lossy(token.as_bytes());
        let blocks = Arc::new(Connections::new(&secret, connect_timeout, runtime.clone()));
        Self(Arc::new(Inner { token, connect_timeout, runtime, channels: Mutex::default(), blocks }))
    }

    /// The blocks asked for, in the order asked for; empty ones are left out.
    pub async fn fetch(&self, address: &str, request: FetchBlocksRequest) -> Result<BlockStream, Status> {
        self.0.blocks.clone().fetch(address, &request).await
    }

    /// Hands a whole map output over. Answers when it is there to be read.
    pub async fn send_output(
        &self,
        address: &str,
        chunks: impl Stream<Item = OutputChunk> + Send + 'static,
    ) -> Result<(), Status> {
        let channel = self.channel(address)?;
        let mut client = ExecutorClient::new(channel).max_encoding_message_size(MAX_MESSAGE_BYTES);
        let mut request = Request::new(chunks);
        request.metadata_mut().insert(AUTH_HEADER, self.0.token.clone());
        client.receive_output(request).await.map(|_| ())
    }

    /// A partition of a cached relation.
    pub async fn fetch_cached(
        &self,
        address: &str,
        request: FetchCachedBlockRequest,
    ) -> Result<Streaming<CachedBlockChunk>, Status> {
        let channel = self.channel(address)?;
        let mut client = ExecutorClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let mut request = Request::new(request);
        request.metadata_mut().insert(AUTH_HEADER, self.0.token.clone());
        client.fetch_cached_block(request).await.map(tonic::Response::into_inner)
    }

    /// Sends for an executor. False when it obeys a later driver.
    pub async fn recall(&self, address: &str, request: RecallRequest) -> Result<bool, Status> {
        let mut client = ExecutorClient::new(self.channel(address)?);
        let mut request = Request::new(request);
        request.metadata_mut().insert(AUTH_HEADER, self.0.token.clone());
        client.recall(request).await.map(|answer| answer.into_inner().obeyed)
    }

    /// The next fetch of this address dials anew.
    pub fn forget(&self, address: &str) {
        self.0.channels.lock().by_address.remove(address);
        self.0.blocks.forget(address);
    }

    fn channel(&self, address: &str) -> Result<Channel, Status> {
        let mut channels = self.0.channels.lock();
        if let Some(channel) = channels.get(address) {
            return Ok(channel);
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|e| Status::invalid_argument(format!("{address} is no address: {e}")))?
            .connect_timeout(self.0.connect_timeout)
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(20))
            .keep_alive_while_idle(false);
        let channel = match &self.0.runtime {
            Some(runtime) => {
                let _on_runtime = runtime.enter();
                endpoint.executor(OnRuntime(runtime.clone())).connect_lazy()
            }
            None => endpoint.connect_lazy(),
        };
        channels.insert(address, channel.clone());
        Ok(channel)
    }
}
