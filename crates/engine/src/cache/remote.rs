//! Blocks of other executors.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    datatypes::{Schema, SchemaRef},
};
use bytes::BytesMut;
use datafusion::{
    common::{Result, exec_datafusion_err},
    physical_plan::stream::RecordBatchStreamAdapter,
};
use datafusion_proto::protobuf;
use firesteel_protocol::proto::{CachedBlockChunk, FetchCachedBlockRequest};
use futures::{StreamExt, stream, stream::BoxStream};
use prost::Message;
use tonic::{Status, Streaming};

use super::{
    BlockId, CacheSettings, CacheStore, StorageLevel,
    batch::decode_column,
    store::{Claim, Put},
};
use crate::shuffle::BlockClient;

/// Fails when the peer does not have the block; errors after that come with the rows.
pub async fn fetch(
    client: &BlockClient,
    address: &str,
    id: BlockId,
    columns: Option<Vec<usize>>,
    schema: SchemaRef,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let request = request(id, columns);
    let mut chunks = client.fetch_cached(address, request).await.map_err(|e| failed(&e))?;
    header(&mut chunks).await?;
    Ok(batches(chunks, schema))
}

/// Copies a block from a peer into `store`. True: it is here now.
pub async fn replicate(
    store: &Arc<CacheStore>,
    client: &BlockClient,
    address: &str,
    id: BlockId,
    level: StorageLevel,
    settings: CacheSettings,
) -> Result<bool> {
    let Claim::Mine(ticket) = store.claim(id) else { return Ok(true) };
    let mut chunks = client.fetch_cached(address, request(id, None)).await.map_err(|e| failed(&e))?;
    let schema = header(&mut chunks).await?;
    let rows = Box::pin(RecordBatchStreamAdapter::new(schema.clone(), batches(chunks, schema.clone())));
    let put = store.put(&ticket, level, settings, schema, rows).await?;
    Ok(matches!(put, Put::Kept(_)))
}

fn request(id: BlockId, columns: Option<Vec<usize>>) -> FetchCachedBlockRequest {
    let all_columns = columns.is_none();
    let columns = columns.unwrap_or_default().into_iter().filter_map(|c| u32::try_from(c).ok()).collect();
    FetchCachedBlockRequest { relation: id.relation, partition: id.partition, all_columns, columns }
}

fn failed(status: &Status) -> datafusion::error::DataFusionError {
    exec_datafusion_err!("{}", status.message())
}

/// The first chunk: the schema of all columns of the block.
async fn header(chunks: &mut Streaming<CachedBlockChunk>) -> Result<SchemaRef> {
    let first = chunks.message().await.map_err(|e| failed(&e))?;
    let Some(chunk) = first else { return Err(exec_datafusion_err!("a block without a header")) };
    let schema =
        protobuf::Schema::decode(chunk.data).map_err(|e| exec_datafusion_err!("bytes that are no schema: {e}"))?;
    let schema: Schema = (&schema).try_into()?;
    Ok(Arc::new(schema))
}

struct Receiving {
    chunks: Streaming<CachedBlockChunk>,
    schema: SchemaRef,
    arrays: Vec<ArrayRef>,
    frame: BytesMut,
}

fn batches(chunks: Streaming<CachedBlockChunk>, schema: SchemaRef) -> BoxStream<'static, Result<RecordBatch>> {
    let receiving = Receiving { chunks, schema, arrays: Vec::new(), frame: BytesMut::new() };
    stream::try_unfold(
        receiving,
        |mut receiving| async move { Ok(receiving.next().await?.map(|batch| (batch, receiving))) },
    )
    .boxed()
}

impl Receiving {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(chunk) = self.chunks.message().await.map_err(|e| failed(&e))? else {
                if self.arrays.is_empty() && self.frame.is_empty() {
                    return Ok(None);
                }
                return Err(exec_datafusion_err!("a block that ends within a batch"));
            };
            self.frame.extend_from_slice(&chunk.data);
            if !chunk.last {
                continue;
            }
            let width = self.schema.fields().len();
            if width > 0 {
                let frame = self.frame.split().freeze();
                self.arrays.push(decode_column(&self.schema, self.arrays.len(), frame)?);
            }
            if self.arrays.len() == width {
                let rows = usize::try_from(chunk.rows).unwrap_or(usize::MAX);
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                let arrays = std::mem::take(&mut self.arrays);
                return Ok(Some(RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?));
            }
        }
    }
}
