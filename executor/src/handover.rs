//! Leaving in good order: map outputs go to executors that stay, or to the object store, before this one ends.
//!
//! Round after round the driver is asked what is still to be handed over (tasks that end meanwhile leave outputs too) and
//! to whom. An output counts as moved when the driver is told so, which is after the other side has it on disk.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use firesteel_engine::shuffle::{BlockClient, BlockStore, MapOutputId, OutputReader, ShuffleTier, StoreError};
use firesteel_plan::{SparkConf, conf::keys};
use firesteel_protocol::{
    ExecutorId, ShuffleId,
    proto::{HandoverPlan, OutputChunk, OutputHeader, OutputsMoved, Peer, ShuffleOutputs, executor_message::Message},
};
use futures::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use crate::{driver::Driver, outbox::Reporter, tasks::Tasks};

/// Between two questions while there is nothing to hand over, or nobody to take it.
const ROUND: Duration = Duration::from_millis(200);
/// Questions in a row that the driver may leave unanswered.
const MAX_UNANSWERED: u32 = 5;
const PIECE_BYTES: usize = 1 << 20;
/// Pieces read ahead of the network, of each output on its way.
const PIECES_AHEAD: usize = 2;
/// Moves told to the driver in one message.
const TOLD_AT_ONCE: usize = 64;

pub struct Handover {
    pub executor: ExecutorId,
    pub tasks: Arc<Tasks>,
    pub driver: Arc<Driver>,
    pub client: BlockClient,
    pub reports: Reporter,
}

/// What was learnt on the way.
#[derive(Default)]
struct Learnt {
    /// Failures of outputs that are still to be moved.
    failures: HashMap<MapOutputId, u32>,
    /// Outputs that nobody wants any more, or that cannot be read or moved.
    left_behind: HashSet<MapOutputId>,
    /// Executors without room.
    full: HashSet<String>,
}

enum Moved {
    ToPeer(String),
    ToStore,
    /// Nobody wants it any more.
    Unwanted,
    /// It cannot be read here.
    Unreadable(String),
    NoRoom(String),
    Failed(String),
}

impl Handover {
    /// Until everything is elsewhere that can be, and no task runs any more. The caller bounds its time.
    pub async fn run(self) {
        let conf = self.tasks.env().session.conf();
        let (mut learnt, mut unanswered, mut moved) = (Learnt::default(), 0, 0usize);
        loop {
            let plan = match self.driver.handover_plan(&self.executor).await {
                Ok(plan) => plan,
                Err(error) => {
                    unanswered += 1;
                    if unanswered >= MAX_UNANSWERED {
                        tracing::warn!(%error, "map outputs are left behind: the driver does not say where to move them");
                        return;
                    }
                    tokio::time::sleep(ROUND).await;
                    continue;
                }
            };
            unanswered = 0;
            let outputs: Vec<MapOutputId> = outputs(&plan).filter(|id| !learnt.left_behind.contains(id)).collect();
            if outputs.is_empty() && plan.running_tasks == 0 && self.tasks.count() == 0 {
                let left_behind = learnt.left_behind.len();
                tracing::info!(moved, left_behind, "map outputs are handed over");
                return;
            }
            let before = moved;
            moved += self.round(&plan, outputs, &conf, &mut learnt).await;
            if moved == before {
                tokio::time::sleep(ROUND).await;
            }
        }
    }

    /// Tries to move each of these once. How many were moved.
    async fn round(
        &self,
        plan: &HandoverPlan,
        outputs: Vec<MapOutputId>,
        conf: &SparkConf,
        learnt: &mut Learnt,
    ) -> usize {
        let peers: Vec<Peer> = plan.peers.iter().filter(|p| !learnt.full.contains(&p.executor_id)).cloned().collect();
        if peers.is_empty() && plan.store.is_empty() {
            return 0;
        }
        let at_once = usize::try_from(conf.int(&keys::DECOMMISSION_THREADS)).unwrap_or(1).max(1);
        let most_failures = u32::try_from(conf.int(&keys::DECOMMISSION_MAX_FAILURES)).unwrap_or(0);
        let moves = outputs.into_iter().enumerate().map(|(number, id)| {
            // After failures another one is asked, and the store when all have been.
            let failures = learnt.failures.get(&id).copied().unwrap_or_default() as usize;
            let peer = (failures < peers.len() || plan.store.is_empty())
                .then(|| peers.get((number + failures) % peers.len().max(1)).cloned())
                .flatten();
            async move { (id, self.move_output(id, peer, &plan.store).await) }
        });
        let mut results = stream::iter(moves.collect::<Vec<_>>()).buffer_unordered(at_once).ready_chunks(TOLD_AT_ONCE);
        let mut count = 0;
        while let Some(results) = results.next().await {
            let mut by_place: HashMap<String, Vec<MapOutputId>> = HashMap::new();
            for (id, result) in results {
                match result {
                    Moved::ToPeer(executor) => by_place.entry(executor).or_default().push(id),
                    Moved::ToStore => by_place.entry(String::new()).or_default().push(id),
                    Moved::Unwanted => drop(learnt.left_behind.insert(id)),
                    Moved::Unreadable(message) => {
                        tracing::warn!(?id, message, "a map output is left behind");
                        learnt.left_behind.insert(id);
                    }
                    Moved::NoRoom(executor) => drop(learnt.full.insert(executor)),
                    Moved::Failed(message) => {
                        let failures = learnt.failures.entry(id).or_default();
                        *failures += 1;
                        tracing::warn!(?id, message, failures, "a map output could not be moved");
                        if *failures > most_failures {
                            learnt.left_behind.insert(id);
                        }
                    }
                }
            }
            for (to_executor, ids) in by_place {
                count += ids.len();
                let message = Message::OutputsMoved(OutputsMoved { outputs: by_shuffle(&ids), to_executor });
                self.reports.say(message).await;
            }
        }
        count
    }

    async fn move_output(&self, id: MapOutputId, peer: Option<Peer>, folder: &str) -> Moved {
        let store = self.tasks.env().store.clone();
        // Opens files.
        let output = match tokio::task::spawn_blocking(move || store.output(id)).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Moved::Unreadable(error.to_string()),
            Err(error) => return Moved::Failed(error.to_string()),
        };
        let Some(peer) = peer else {
            let tier = ShuffleTier::new(self.tasks.env().session.stores().clone());
            return match tier.upload(folder, output).await {
                Ok(()) => Moved::ToStore,
                Err(error) => Moved::Failed(error.to_string()),
            };
        };
        match self.client.send_output(&peer.address, chunks(output)).await {
            Ok(()) => Moved::ToPeer(peer.executor_id),
            Err(status) => match status.code() {
                Code::ResourceExhausted => Moved::NoRoom(peer.executor_id),
                Code::FailedPrecondition => Moved::Unwanted,
                _ => Moved::Failed(format!("executor {}: {}", peer.executor_id, status.message())),
            },
        }
    }
}

fn outputs(plan: &HandoverPlan) -> impl Iterator<Item = MapOutputId> {
    plan.outputs.iter().flat_map(|shuffle| {
        let maps = shuffle.map_indexes.iter().zip(&shuffle.attempts);
        let id = ShuffleId(shuffle.shuffle_id);
        maps.map(move |(map, attempt)| MapOutputId { shuffle: id, map: *map, attempt: *attempt })
    })
}

fn by_shuffle(ids: &[MapOutputId]) -> Vec<ShuffleOutputs> {
    let mut found: HashMap<ShuffleId, ShuffleOutputs> = HashMap::new();
    for id in ids {
        let of = found
            .entry(id.shuffle)
            .or_insert_with(|| ShuffleOutputs { shuffle_id: id.shuffle.0, ..Default::default() });
        of.map_indexes.push(id.map);
        of.attempts.push(id.attempt);
    }
    found.into_values().collect()
}

/// The messages that carry an output, read from disk as fast as the network takes them. One that cannot be read to its
/// end has no checksum, and is not taken.
fn chunks(mut output: OutputReader) -> ReceiverStream<OutputChunk> {
    let (send, chunks) = mpsc::channel(PIECES_AHEAD);
    tokio::task::spawn_blocking(move || {
        let id = output.id();
        let header = OutputHeader {
            shuffle_id: id.shuffle.0,
            map_index: id.map,
            attempt: id.attempt,
            data_bytes: output.data_bytes(),
            index_bytes: output.index_bytes(),
        };
        let mut checksum = 0;
        let mut next = OutputChunk { header: Some(header), ..OutputChunk::default() };
        loop {
            if send.blocking_send(std::mem::take(&mut next)).is_err() {
                return;
            }
            match output.read(PIECE_BYTES) {
                Ok(Some(data)) => {
                    checksum = crc32c::crc32c_append(checksum, &data);
                    next.data = data;
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "a map output cannot be read to its end");
                    return;
                }
            }
        }
        let _ = send.blocking_send(OutputChunk { checksum: Some(checksum), ..OutputChunk::default() });
    });
    ReceiverStream::new(chunks)
}

/// Takes over an output that another executor sends.
pub async fn receive(
    store: Arc<BlockStore>,
    mut chunks: tonic::Streaming<OutputChunk>,
    most_bytes: Option<u64>,
) -> Result<(), Status> {
    let first = chunks.message().await?.and_then(|chunk| chunk.header);
    let header = first.ok_or_else(|| Status::invalid_argument("an output without a header"))?;
    if most_bytes.is_some_and(|most| store.disk_used().saturating_add(header.data_bytes) > most) {
        return Err(Status::resource_exhausted(
            "map outputs take more than spark.storage.decommission.shuffleBlocks.maxDiskSize",
        ));
    }
    let id = MapOutputId { shuffle: ShuffleId(header.shuffle_id), map: header.map_index, attempt: header.attempt };
    let made = blocking(move || store.receive(id, header.data_bytes, header.index_bytes));
    let mut incoming = made.await?;
    while let Some(chunk) = chunks.message().await? {
        if let Some(checksum) = chunk.checksum {
            return blocking(move || incoming.commit(checksum)).await;
        }
        incoming = blocking(move || incoming.write(chunk.data).map(|()| incoming)).await?;
    }
    Err(Status::invalid_argument("an output without an end"))
}

/// Disks are read and written on threads of their own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|e| Status::internal(e.to_string()))?;
    done.map_err(|error| match &error {
        StoreError::Removed(_) => Status::failed_precondition(error.to_string()),
        StoreError::DiskFull { .. } => Status::resource_exhausted(error.to_string()),
        StoreError::Damaged { .. } => Status::data_loss(error.to_string()),
        _ => Status::unavailable(error.to_string()),
    })
}
