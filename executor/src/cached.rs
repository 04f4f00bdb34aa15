//! The cached blocks of this executor, as the driver and peers see them.

use std::sync::Arc;

use bytes::Bytes;
use firesteel_engine::{
    cache::{BlockId, BlockReport, CacheSettings, CacheStore, Serving, StorageLevel, replicate},
    error::from_datafusion,
};
use firesteel_protocol::proto::{
    CachedBlock, CachedBlockChunk, CachedBlocks, FetchCachedBlockRequest, ReplicateCached, executor_message::Message,
};
use futures::{StreamExt, stream, stream::BoxStream};
use prost::Message as _;
use tonic::Status;

use crate::{outbox::Reporter, tasks::Tasks};

/// Bytes of a block in one message.
const CHUNK_BYTES: usize = 1 << 20;

/// What changed since the driver was told last.
pub fn changed(store: &CacheStore) -> Option<Message> {
    message(store.take_reports())
}

fn message(reports: Vec<BlockReport>) -> Option<Message> {
    let block = |report: BlockReport| CachedBlock {
        relation: report.id.relation,
        partition: report.id.partition,
        present: report.present,
        rows: report.rows,
        memory_bytes: report.memory_bytes,
        disk_bytes: report.disk_bytes,
    };
    let blocks: Vec<CachedBlock> = reports.into_iter().map(block).collect();
    (!blocks.is_empty()).then_some(Message::CachedBlocks(CachedBlocks { blocks }))
}

/// Copies a block from a peer, as the driver asks, and tells it what came of it.
pub fn copy(tasks: &Arc<Tasks>, copy: ReplicateCached, reporter: Reporter) {
    let tasks = tasks.clone();
    let runtime = tasks.runtime().clone();
    runtime.spawn(async move {
        let session = &tasks.env().session;
        let store = session.cache_store();
        let id = BlockId { relation: copy.relation, partition: copy.partition };
        let level = StorageLevel::decode(copy.level).unwrap_or_default();
        let settings = CacheSettings::from_conf(&session.conf());
        match replicate(store, tasks.client(), &copy.from, id, level, settings).await {
            Ok(true) => {}
            Ok(false) => tracing::info!(block = %id, "there is no room for a copy of a cached block"),
            Err(error) => {
                let error = from_datafusion(&error);
                tracing::warn!(block = %id, from = copy.from, %error, "a cached block could not be copied");
            }
        }
        // Said also when there is none, so that the driver does not wait for it.
        let mut all = store.take_reports();
        if !store.contains(id) && !all.iter().any(|report| report.id == id) {
            all.push(BlockReport::gone(id));
        }
        if let Some(message) = message(all) {
            reporter.say(message).await;
        }
    });
}

/// The columns of a block as a peer asked for them.
pub fn serve(
    store: &CacheStore,
    request: FetchCachedBlockRequest,
) -> Result<BoxStream<'static, Result<CachedBlockChunk, Status>>, Status> {
    let id = BlockId { relation: request.relation, partition: request.partition };
    let columns = (!request.all_columns).then(|| request.columns.iter().map(|c| *c as usize).collect());
    let serving = store.serve(id, columns).ok_or_else(|| Status::not_found(format!("{id} is not here")))?;
    let internal = |e: datafusion::error::DataFusionError| Status::internal(from_datafusion(&e).to_string());
    let header = CachedBlockChunk { data: serving.header().map_err(internal)?, last: true, rows: 0 };
    let frames = stream::try_unfold((serving, Bytes::new(), 0), move |state| async move {
        // Reads from disk and encodes: not on the thread of the network.
        let next = tokio::task::spawn_blocking(move || next_chunk(state)).await;
        next.map_err(|e| Status::internal(e.to_string()))?.map_err(internal)
    });
    Ok(stream::once(async { Ok(header) }).chain(frames).boxed())
}

/// What is served, what is left of a frame, and the rows of its batch.
type Place = (Serving, Bytes, u64);

fn next_chunk(
    (mut serving, mut left, mut rows): Place,
) -> datafusion::error::Result<Option<(CachedBlockChunk, Place)>> {
    if left.is_empty() {
        let Some(frame) = serving.next_frame()? else { return Ok(None) };
        (left, rows) = (frame.frame, frame.rows as u64);
    }
    let data = left.split_to(left.len().min(CHUNK_BYTES));
    let chunk = CachedBlockChunk { data, last: left.is_empty(), rows };
    Ok(Some((chunk, (serving, left, rows))))
}
