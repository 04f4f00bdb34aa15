//! The object store behind the executors, for outputs whose executor left and that no other one took.
//!
//! `<folder>/shuffle-<id>/<map>-<attempt>.data` and `.index`, the same bytes as on an executor's disk. The index is written
//! last: an output is there once its index is.

use std::{io, sync::Arc};

use datafusion::execution::object_store::ObjectStoreRegistry;
use firesteel_plan::{SparkError, SparkResult};
use firesteel_protocol::{ShuffleId, proto::FetchBlocksRequest};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, ObjectStoreExt, buffered::BufWriter, path::Path};
use tokio::io::AsyncWriteExt;
use tonic::{Code, Status};

use super::{
    index::{HEADER_BYTES, Records},
    store::{MapOutputId, StoreError},
    transfer::OutputReader,
    transport::{BlockChunk, BlockStream},
};
use crate::{
    error::from_datafusion,
    storage::{Location, Stores, error::from_object_store},
};

/// Bytes asked for at a time, and how many such questions are open.
const PIECE_BYTES: u64 = 1 << 20;
const PIECES_AHEAD: usize = 4;
const INDEXES_AHEAD: usize = 16;
/// Objects larger than this are uploaded in parts.
const PART_BYTES: usize = 8 << 20;

/// Reads and writes map outputs in object stores. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ShuffleTier(Arc<Stores>);

/// A part of a block.
struct Piece {
    map: u32,
    partition: u32,
    path: Path,
    bytes: std::ops::Range<u64>,
    /// Of the whole block, on its last piece.
    checksum: Option<u32>,
}

impl ShuffleTier {
    pub fn new(stores: Arc<Stores>) -> Self {
        Self(stores)
    }

    fn open(&self, folder: &str) -> SparkResult<(Arc<dyn ObjectStore>, Location)> {
        let location = Location::parse(folder)?;
        let store = self.0.get_store(location.store.as_ref()).map_err(|e| from_datafusion(&e))?;
        Ok((store, location))
    }

    /// The blocks asked for, in the order asked for, as an executor would send them.
    pub(super) async fn read(&self, folder: &str, request: FetchBlocksRequest) -> Result<BlockStream, Status> {
        let (store, location) = self.open(folder).map_err(|e| Status::failed_precondition(e.to_string()))?;
        let partitions = request.first_partition..request.last_partition;
        let outputs = request.map_indexes.into_iter().zip(request.attempts);
        let ids =
            outputs.map(move |(map, attempt)| MapOutputId { shuffle: ShuffleId(request.shuffle_id), map, attempt });
        let (for_pieces, base) = (store.clone(), location.path);
        let pieces = stream::iter(ids)
            .map(move |id| pieces(for_pieces.clone(), base.clone(), id, partitions.clone()))
            .buffered(INDEXES_AHEAD)
            .map_ok(|pieces| stream::iter(pieces.into_iter().map(Ok::<_, Status>)))
            .try_flatten();
        let chunks = pieces.map_ok(move |piece| fetch(store.clone(), piece)).try_buffered(PIECES_AHEAD);
        Ok(chunks.boxed())
    }

    /// Uploads an output.
    ///
    /// # Errors
    /// It cannot be read here or written there.
    pub async fn upload(&self, folder: &str, output: OutputReader) -> SparkResult<()> {
        let (store, location) = self.open(folder)?;
        let id = output.id();
        let lengths = [output.data_bytes(), output.index_bytes()];
        let mut output = Some(output);
        for (extension, length) in ["data", "index"].into_iter().zip(lengths) {
            let path = path(&location.path, id, extension);
            let failed = |e: &object_store::Error| from_object_store(e, &location.display(&path));
            let mut object = BufWriter::with_capacity(store.clone(), path.clone(), PART_BYTES);
            let mut written = 0;
            while written < length {
                let Some(mut reader) = output.take() else { break };
                // Reads from disk.
                let read = tokio::task::spawn_blocking(move || {
                    let piece = reader.read(PIECE_BYTES as usize);
                    (reader, piece)
                });
                let (reader, piece) = read.await.map_err(SparkError::internal)?;
                output = Some(reader);
                let piece = piece.map_err(|e: StoreError| SparkError::internal(e))?;
                let Some(piece) = piece else { break };
                written += piece.len() as u64;
                object.put(piece).await.map_err(|e| failed(&e))?;
            }
            object.shutdown().await.map_err(|e| SparkError::internal(format!("{}: {e}", location.display(&path))))?;
        }
        Ok(())
    }

    /// Removes what is there of a shuffle.
    ///
    /// # Errors
    /// The store does not answer, or does not allow it.
    pub async fn remove_shuffle(&self, folder: &str, shuffle: ShuffleId) -> SparkResult<()> {
        self.remove(&Location::parse(folder)?.child(&format!("shuffle-{shuffle}"))?.written).await
    }

    /// Removes everything below a folder.
    ///
    /// # Errors
    /// As [`Self::remove_shuffle`].
    pub async fn remove(&self, folder: &str) -> SparkResult<()> {
        let (store, location) = self.open(folder)?;
        let objects = store.list(Some(&location.path)).map_ok(|object| object.location).boxed();
        let removed = store.delete_stream(objects).try_for_each(|_| std::future::ready(Ok(())));
        removed.await.map_err(|e| from_object_store(&e, folder))
    }
}

fn path(folder: &Path, id: MapOutputId, extension: &str) -> Path {
    folder.clone().join(format!("shuffle-{}", id.shuffle)).join(format!("{}-{}.{extension}", id.map, id.attempt))
}

/// Where the blocks of one output are that are not empty.
async fn pieces(
    store: Arc<dyn ObjectStore>,
    folder: Path,
    id: MapOutputId,
    partitions: std::ops::Range<u32>,
) -> Result<Vec<Piece>, Status> {
    let index = path(&folder, id, "index");
    let damaged =
        |e: io::Error| Status::with_details(Code::DataLoss, e.to_string(), id.map.to_le_bytes().to_vec().into());
    let header = store.get_range(&index, 0..HEADER_BYTES as u64).await.map_err(|e| status(&e))?;
    let records = Records::locate(&header, &partitions).map_err(damaged)?;
    let bytes = store.get_range(&index, records.bytes.clone()).await.map_err(|e| status(&e))?;
    let entries = records.decode(&bytes).map_err(damaged)?;
    let data = path(&folder, id, "data");
    let mut pieces = Vec::new();
    for (partition, entry) in partitions.zip(entries) {
        for part in &entry.parts {
            let end = part.offset + part.length;
            let mut at = part.offset;
            while at < end {
                let bytes = at..(at + PIECE_BYTES).min(end);
                at = bytes.end;
                pieces.push(Piece { map: id.map, partition, path: data.clone(), bytes, checksum: None });
            }
        }
        if let Some(last) = pieces.last_mut().filter(|piece| piece.partition == partition) {
            last.checksum = Some(entry.checksum);
        }
    }
    Ok(pieces)
}

async fn fetch(store: Arc<dyn ObjectStore>, piece: Piece) -> Result<BlockChunk, Status> {
    let data = store.get_range(&piece.path, piece.bytes).await.map_err(|e| status(&e))?;
    Ok(BlockChunk { map_index: piece.map, partition: piece.partition, data, checksum: piece.checksum })
}

fn status(error: &object_store::Error) -> Status {
    match error {
        object_store::Error::NotFound { .. } => Status::not_found(error.to_string()),
        _ => Status::unavailable(error.to_string()),
    }
}
