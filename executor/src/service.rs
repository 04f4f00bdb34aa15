//! What executors and the driver ask of an executor, but for the blocks of shuffles, which have a service of their own.

use std::sync::{Arc, OnceLock};

use firesteel_engine::cache::CacheStore;
use firesteel_engine::shuffle::BlockStore;
use firesteel_protocol::proto::{
    CachedBlockChunk, FetchCachedBlockRequest, OutputChunk, OutputReceived, RecallAnswer, RecallRequest,
    executor_server,
};
use futures::stream::BoxStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::handover;

use crate::cached;

/// The `Executor` service.
#[derive(Clone)]
pub struct Blocks {
    /// Set once the executor has registered.
    pub store: Arc<OnceLock<Arc<BlockStore>>>,
    /// The cached blocks, likewise.
    pub cached: Arc<OnceLock<Arc<CacheStore>>>,
    /// Bytes of outputs above which none of others are taken; with the store.
    pub most_bytes: Arc<OnceLock<u64>>,
    /// This executor leaves: it takes nothing over.
    pub leaving: CancellationToken,
    /// The driver to talk to.
    pub driver: watch::Sender<DriverPlace>,
}

/// Where a driver is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverPlace {
    /// `host:port` of its service.
    pub address: String,
    /// 0 where it is not known yet.
    pub generation: u64,
}

#[tonic::async_trait]
impl executor_server::Executor for Blocks {
    type FetchCachedBlockStream = BoxStream<'static, Result<CachedBlockChunk, Status>>;

    async fn fetch_cached_block(
        &self,
        request: Request<FetchCachedBlockRequest>,
    ) -> Result<Response<Self::FetchCachedBlockStream>, Status> {
        let Some(store) = self.cached.get() else {
            return Err(Status::unavailable("the executor has not registered yet"));
        };
        cached::serve(store, request.into_inner()).map(Response::new)
    }

    async fn receive_output(
        &self,
        request: Request<Streaming<OutputChunk>>,
    ) -> Result<Response<OutputReceived>, Status> {
        let Some(store) = self.store.get().cloned() else {
            return Err(Status::unavailable("the executor has not registered yet"));
        };
        if self.leaving.is_cancelled() {
            return Err(Status::unavailable("this executor leaves too"));
        }
        handover::receive(store, request.into_inner(), self.most_bytes.get().copied()).await?;
        Ok(Response::new(OutputReceived {}))
    }

    async fn recall(&self, request: Request<RecallRequest>) -> Result<Response<RecallAnswer>, Status> {
        let RecallRequest { generation, address } = request.into_inner();
        let mut obeyed = true;
        self.driver.send_if_modified(|place| {
            obeyed = generation >= place.generation;
            let new = DriverPlace { address, generation };
            let changed = obeyed && *place != new;
            if changed {
                tracing::info!(generation, address = new.address, "told of a driver");
                *place = new;
            }
            changed
        });
        Ok(Response::new(RecallAnswer { obeyed }))
    }
}
