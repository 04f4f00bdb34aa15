//! Serving blocks to other executors and to the driver.

use std::sync::{Arc, OnceLock};

use firesteel_engine::cache::CacheStore;
use firesteel_engine::shuffle::{BlockStore, MapOutputId, StoreError, StoredBlock};
use firesteel_protocol::{
    ShuffleId,
    proto::{
        BlockChunk, CachedBlockChunk, FetchBlocksRequest, FetchCachedBlockRequest, OutputChunk, OutputReceived,
        RecallAnswer, RecallRequest, executor_server,
    },
};
use futures::{StreamExt, stream, stream::BoxStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::handover;

use crate::cached;

/// Bytes of a block in one message.
const CHUNK_BYTES: usize = 1 << 20;

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

    type FetchBlocksStream = BoxStream<'static, Result<BlockChunk, Status>>;

    async fn fetch_blocks(
        &self,
        request: Request<FetchBlocksRequest>,
    ) -> Result<Response<Self::FetchBlocksStream>, Status> {
        let request = request.into_inner();
        let Some(store) = self.store.get().cloned() else {
            return Err(Status::unavailable("the executor has not registered yet"));
        };
        if request.map_indexes.len() != request.attempts.len() || request.first_partition > request.last_partition {
            return Err(Status::invalid_argument("lists of different lengths, or a range that ends before it starts"));
        }
        let serving = Serving { store, request, next: 0, blocks: Vec::new().into_iter(), block: None };
        let chunks = stream::try_unfold(serving, |mut serving| async move {
            // Reads from disk, a piece at a time: a slow reader holds no thread.
            let (serving, chunk) = tokio::task::spawn_blocking(move || {
                let chunk = serving.next();
                (serving, chunk)
            })
            .await
            .map_err(|e| Status::internal(e.to_string()))?;
            Ok(chunk?.map(|chunk| (chunk, serving)))
        });
        Ok(Response::new(chunks.boxed()))
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

struct Serving {
    store: Arc<BlockStore>,
    request: FetchBlocksRequest,
    next: usize,
    blocks: std::vec::IntoIter<StoredBlock>,
    block: Option<(StoredBlock, u64)>,
}

impl Serving {
    fn next(&mut self) -> Result<Option<BlockChunk>, Status> {
        loop {
            if let Some((block, left)) = &mut self.block {
                let Some(data) = block.read(CHUNK_BYTES).map_err(status)? else {
                    self.block = None;
                    continue;
                };
                *left = left.saturating_sub(data.len() as u64);
                let last = *left == 0;
                return Ok(Some(BlockChunk {
                    map_index: block.id().map,
                    partition: block.partition(),
                    data,
                    checksum: last.then(|| block.checksum()),
                }));
            }
            if let Some(block) = self.blocks.next() {
                let length = block.length();
                self.block = Some((block, length));
                continue;
            }
            let maps = self.request.map_indexes.get(self.next).zip(self.request.attempts.get(self.next));
            let Some((map, attempt)) = maps else { return Ok(None) };
            self.next += 1;
            let id = MapOutputId { shuffle: ShuffleId(self.request.shuffle_id), map: *map, attempt: *attempt };
            let partitions = self.request.first_partition..self.request.last_partition;
            self.blocks = self.store.blocks(id, partitions).map_err(status)?.into_iter();
        }
    }
}

fn status(error: StoreError) -> Status {
    match &error {
        StoreError::Missing(_) => Status::not_found(error.to_string()),
        // The reader must know which block it is: empty ones before it were not sent.
        StoreError::Damaged { id, .. } => {
            Status::with_details(Code::DataLoss, error.to_string(), id.map.to_le_bytes().to_vec().into())
        }
        _ => Status::unavailable(error.to_string()),
    }
}
