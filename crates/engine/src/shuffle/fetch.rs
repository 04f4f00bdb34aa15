//! Blocks as streams of batches.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::Result, error::DataFusionError, execution::SendableRecordBatchStream,
    physical_plan::stream::RecordBatchStreamAdapter,
};
use firesteel_protocol::{ExecutorId, ShuffleId, proto::FetchBlocksRequest};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tonic::{Code, Status};

use super::{
    block::{BlockDecoder, BlockError},
    error::FetchFailedError,
    limits::FetchLimits,
    reader::ShuffleReadMetrics,
    source::{BlockSources, MapOutputLocations},
    store::{BlockStore, MapOutputId, StoreError, StoredBlock},
    transport::BlockStream,
};

/// The wait after the first failure; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// An executor that sends nothing for so long is taken for lost.
const SILENCE: Duration = Duration::from_secs(60);
/// How often the blocks of one group may be followed to another place.
const MAX_MOVES: u32 = 16;
/// Bytes read from a local block at a time.
const READ_BYTES: usize = 1 << 20;

/// Some blocks of one shuffle at one place.
#[derive(Debug, Clone)]
pub(super) struct BlockGroup {
    pub shuffle: ShuffleId,
    /// Its name with executors.
    pub stored_as: ShuffleId,
    /// `None`: in the store.
    pub executor: Option<ExecutorId>,
    /// Of the executor; of the store, its folder.
    pub address: String,
    /// Of the locations that this was taken from.
    pub epoch: u64,
    /// Map index and attempt, in the order wanted.
    pub outputs: Vec<(u32, u64)>,
    /// The reduce partitions, of each output.
    pub partitions: Range<u32>,
}

impl BlockGroup {
    fn failed(&self, map_indexes: Vec<u32>, corrupt: bool, message: impl Into<String>) -> FetchFailedError {
        FetchFailedError {
            shuffle: self.shuffle,
            executor: self.executor.clone(),
            map_indexes,
            corrupt,
            message: message.into(),
        }
    }
}

/// The batches of a group's blocks, block after block in the order wanted.
pub(super) fn fetch_remote(
    sources: BlockSources,
    group: BlockGroup,
    schema: SchemaRef,
    metrics: ShuffleReadMetrics,
    limits: FetchLimits,
) -> impl Stream<Item = Result<RecordBatch>> + Send {
    let wanted = group.outputs.iter().copied().collect();
    let next_partition = group.partitions.start;
    let start = BlockDecoder::new(schema).map(|decoder| Remote {
        limits,
        sources,
        group,
        rest: VecDeque::new(),
        moves: 0,
        decoder,
        metrics,
        wanted,
        asked: 0,
        yielded: 0,
        skip: 0,
        checksum: 0,
        within_block: false,
        next_partition,
        output_done: false,
        stream: None,
        failures: 0,
    });
    stream::once(async move { start })
        .map_ok(|remote| {
            stream::try_unfold(
                remote,
                |mut remote| async move { Ok(remote.next().await?.map(|batch| (batch, remote))) },
            )
        })
        .try_flatten()
}

struct Remote {
    limits: FetchLimits,
    sources: BlockSources,
    group: BlockGroup,
    /// Where the blocks after those of `group` are, once they were found to have moved.
    rest: VecDeque<BlockGroup>,
    moves: u32,
    decoder: BlockDecoder,
    metrics: ShuffleReadMetrics,
    /// The outputs of the group whose blocks are still to come, the one that is under way first.
    wanted: VecDeque<(u32, u64)>,
    /// How many of `wanted` the open stream was asked for.
    asked: usize,
    /// Batches of the first wanted output that were passed on; after a new start as many are skipped.
    yielded: usize,
    skip: usize,
    checksum: u32,
    /// A block was begun and its end has not come yet.
    within_block: bool,
    /// The first partition of the first wanted output that has not come yet.
    next_partition: u32,
    /// All blocks of the first wanted output were received; its last batches may still be in the decoder.
    output_done: bool,
    stream: Option<BlockStream>,
    failures: u32,
}

/// Why a stream ended before its time.
enum Broken {
    /// Try again.
    Connection(Status),
    /// The executor answered that it cannot.
    Refused(Status),
    Damaged(String),
}

impl Remote {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            while let Some(batch) = self.decoder.take() {
                if self.skip > 0 {
                    self.skip -= 1;
                    continue;
                }
                self.yielded += 1;
                self.metrics.rows.add(batch.num_rows());
                return Ok(Some(batch));
            }
            if self.output_done {
                self.next_output();
            }
            if self.wanted.is_empty() {
                let Some(group) = self.rest.pop_front() else { return Ok(None) };
                self.wanted = group.outputs.iter().copied().collect();
                (self.group, self.failures, self.stream) = (group, 0, None);
                continue;
            }
            let waited = Instant::now();
            let step = self.step().await;
            self.metrics.wait.add_duration(waited.elapsed());
            if let Err(broken) = step {
                self.recover(broken).await?;
            }
        }
    }

    /// All of the first wanted output is there.
    fn next_output(&mut self) {
        self.wanted.pop_front();
        self.asked -= 1;
        (self.yielded, self.skip, self.output_done) = (0, 0, false);
        self.next_partition = self.group.partitions.start;
    }

    /// Takes the next chunk.
    async fn step(&mut self) -> Result<(), Broken> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                self.asked = self.wanted.len().min(self.limits.blocks);
                let asked = self.wanted.iter().take(self.asked);
                let (map_indexes, attempts) = asked.copied().unzip();
                let request = FetchBlocksRequest {
                    shuffle_id: self.group.stored_as.0,
                    map_indexes,
                    attempts,
                    first_partition: self.group.partitions.start,
                    last_partition: self.group.partitions.end,
                };
                let opening = self.sources.open(self.group.executor.as_ref(), &self.group.address, request);
                let answer = tokio::time::timeout(SILENCE, opening).await;
                none.insert(answer.map_err(|_| silent())?.map_err(classify)?)
            }
        };
        let chunk = tokio::time::timeout(SILENCE, stream.try_next()).await.map_err(|_| silent())?.map_err(classify)?;
        let Some(chunk) = chunk else {
            // The end: blocks that were not sent are empty.
            self.stream = None;
            self.decoder.end_of_block().map_err(damaged)?;
            if self.within_block || self.skip > 0 {
                return Err(Broken::Connection(Status::unavailable("the stream ended within a block")));
            }
            while self.asked > 0 {
                self.next_output();
            }
            return Ok(());
        };
        self.metrics.bytes.add(chunk.data.len());
        while let Some((map, _)) = self.wanted.front()
            && *map != chunk.map_index
            && self.asked > 0
            && !self.within_block
            && self.skip == 0
        {
            // What is left of it was not sent: empty.
            self.next_output();
        }
        let (map, partition) = (chunk.map_index, chunk.partition);
        let expected = self.next_partition..self.group.partitions.end;
        if self.asked == 0
            || self.wanted.front().is_none_or(|(wanted, _)| *wanted != map)
            || !expected.contains(&partition)
            || (self.within_block && partition != self.next_partition)
        {
            return Err(Broken::Damaged(format!("block {partition} of map {map} was sent and not asked for")));
        }
        (self.within_block, self.next_partition) = (true, partition);
        self.checksum = crc32c::crc32c_append(self.checksum, &chunk.data);
        self.decoder.push(chunk.data).map_err(damaged)?;
        if let Some(checksum) = chunk.checksum {
            self.decoder.end_of_block().map_err(damaged)?;
            if checksum != self.checksum {
                return Err(Broken::Damaged("the checksum of a block does not match".to_owned()));
            }
            (self.within_block, self.checksum, self.next_partition) = (false, 0, partition + 1);
            self.output_done = self.next_partition == self.group.partitions.end;
            self.failures = 0;
        }
        Ok(())
    }

    async fn recover(&mut self, broken: Broken) -> Result<()> {
        self.stream = None;
        self.decoder.reset();
        (self.checksum, self.within_block, self.next_partition) = (0, false, self.group.partitions.start);
        let first = self.wanted.front().map(|(map, _)| *map);
        match broken {
            Broken::Damaged(message) => Err(self.group.failed(first.into_iter().collect(), true, message).into()),
            Broken::Refused(status) => {
                let corrupt = status.code() == Code::DataLoss;
                if !corrupt && self.follow().await {
                    return Ok(());
                }
                // Which block is damaged the executor says; one that is missing is not alone.
                let damaged = <[u8; 4]>::try_from(status.details()).map(u32::from_le_bytes).ok().or(first);
                let maps = if corrupt {
                    damaged.into_iter().collect()
                } else {
                    self.wanted.iter().map(|(map, _)| *map).collect()
                };
                Err(self.group.failed(maps, corrupt, status.message()).into())
            }
            Broken::Connection(status) => {
                self.failures += 1;
                // An executor that leaves has handed its outputs over before it went.
                if (self.failures == 1 || self.failures >= self.limits.attempts) && self.follow().await {
                    return Ok(());
                }
                if self.failures >= self.limits.attempts {
                    let maps = self.wanted.iter().map(|(map, _)| *map).collect();
                    let message = format!(
                        "{} did not answer in {} attempts: {}",
                        self.group.address,
                        self.limits.attempts,
                        root_message(&status)
                    );
                    return Err(self.group.failed(maps, false, message).into());
                }
                tracing::debug!(address = self.group.address, error = %status, "fetching blocks again");
                self.sources.client.forget(&self.group.address);
                self.skip = self.yielded;
                let wait = FIRST_WAIT * 2u32.saturating_pow(self.failures - 1).min(1 << 16);
                tokio::time::sleep(wait.min(self.limits.longest_wait)).await;
                Ok(())
            }
        }
    }
}

impl Remote {
    /// Looks for the blocks that are still wanted at other places. True when all of them have moved there.
    async fn follow(&mut self) -> bool {
        let Some(source) = self.sources.locations.clone().filter(|_| self.moves < MAX_MOVES) else { return false };
        let Ok(locations) = source.locations(self.group.shuffle, self.group.epoch + 1).await else { return false };
        let Some(mut groups) = self.group.moved(&self.wanted, &locations) else { return false };
        self.moves += 1;
        let Some(first) = groups.pop_front() else { return false };
        tracing::debug!(shuffle = %first.shuffle, to = first.address, "blocks have moved: they are followed");
        self.sources.client.forget(&self.group.address);
        self.wanted = first.outputs.iter().copied().collect();
        groups.extend(self.rest.drain(..));
        (self.group, self.rest, self.asked, self.failures) = (first, groups, 0, 0);
        self.skip = self.yielded;
        true
    }
}

impl BlockGroup {
    /// Where `wanted` blocks of this group are by now, in their order; `None` unless each is somewhere else.
    fn moved(&self, wanted: &VecDeque<(u32, u64)>, locations: &MapOutputLocations) -> Option<VecDeque<BlockGroup>> {
        let mut groups: VecDeque<BlockGroup> = VecDeque::new();
        for output in wanted {
            let there = locations.places.iter().find(|place| place.outputs.binary_search(output).is_ok())?;
            if there.executor == self.executor {
                return None;
            }
            match groups.back_mut() {
                Some(group) if group.executor == there.executor => group.outputs.push(*output),
                _ => groups.push_back(Self {
                    executor: there.executor.clone(),
                    address: there.address.clone(),
                    epoch: locations.epoch,
                    outputs: vec![*output],
                    ..self.clone()
                }),
            }
        }
        Some(groups)
    }
}

fn silent() -> Broken {
    Broken::Connection(Status::deadline_exceeded(format!("nothing came for {} s", SILENCE.as_secs())))
}

fn damaged(error: BlockError) -> Broken {
    Broken::Damaged(error.to_string())
}

fn classify(status: Status) -> Broken {
    match status.code() {
        Code::NotFound
        | Code::DataLoss
        | Code::Unauthenticated
        | Code::PermissionDenied
        | Code::InvalidArgument
        | Code::OutOfRange
        | Code::FailedPrecondition => Broken::Refused(status),
        _ => Broken::Connection(status),
    }
}

fn root_message(status: &Status) -> String {
    let mut error: &dyn std::error::Error = status;
    while let Some(source) = error.source() {
        error = source;
    }
    let root = error.to_string();
    if root == status.to_string() { status.message().to_owned() } else { format!("{} ({root})", status.message()) }
}

/// The batches of a group's blocks that are on this executor, read from its disks.
pub(super) fn read_local(
    store: Arc<BlockStore>,
    group: BlockGroup,
    schema: SchemaRef,
    metrics: ShuffleReadMetrics,
) -> impl Stream<Item = Result<RecordBatch>> + Send {
    let wanted: VecDeque<_> = group.outputs.iter().copied().collect();
    let start = BlockDecoder::new(schema).map(|decoder| Local {
        store,
        group,
        decoder,
        metrics,
        wanted,
        blocks: VecDeque::new(),
        block: None,
        checksum: 0,
    });
    stream::once(async move { start })
        .map_ok(|local| {
            stream::try_unfold(local, |mut local| async move { Ok(local.next()?.map(|batch| (batch, local))) })
        })
        .try_flatten()
}

struct Local {
    store: Arc<BlockStore>,
    group: BlockGroup,
    decoder: BlockDecoder,
    metrics: ShuffleReadMetrics,
    wanted: VecDeque<(u32, u64)>,
    /// Of the output that is under way.
    blocks: VecDeque<StoredBlock>,
    block: Option<StoredBlock>,
    checksum: u32,
}

impl Local {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.decoder.take() {
                self.metrics.rows.add(batch.num_rows());
                return Ok(Some(batch));
            }
            if let Some(block) = &mut self.block {
                let map = block.id().map;
                let corrupt = |group: &BlockGroup, message: String| -> DataFusionError {
                    group.failed(vec![map], true, message).into()
                };
                match block.read(READ_BYTES).map_err(|e| corrupt(&self.group, e.to_string()))? {
                    Some(bytes) => {
                        self.metrics.bytes.add(bytes.len());
                        self.checksum = crc32c::crc32c_append(self.checksum, &bytes);
                        self.decoder.push(bytes).map_err(|e| corrupt(&self.group, e.to_string()))?;
                    }
                    None => {
                        let whole = block.checksum() == self.checksum;
                        self.decoder.end_of_block().map_err(|e| corrupt(&self.group, e.to_string()))?;
                        if !whole {
                            let message = "the checksum of a block does not match".to_owned();
                            return Err(corrupt(&self.group, message));
                        }
                        self.block = None;
                        self.checksum = 0;
                    }
                }
                continue;
            }
            self.block = self.blocks.pop_front();
            if self.block.is_some() {
                continue;
            }
            let Some((map, attempt)) = self.wanted.pop_front() else { return Ok(None) };
            let id = MapOutputId { shuffle: self.group.stored_as, map, attempt };
            let blocks = self.store.blocks(id, self.group.partitions.clone()).map_err(|error| {
                let corrupt = matches!(error, StoreError::Damaged { .. });
                self.group.failed(vec![map], corrupt, error.to_string())
            })?;
            self.blocks = blocks.into();
        }
    }
}

/// All rows that one result task left at a place (an executor, or `None`: the store): for the driver, which says that the
/// result has arrived only when the stream has ended well.
pub fn fetch_result(
    sources: &BlockSources,
    executor: Option<ExecutorId>,
    address: &str,
    output: MapOutputId,
    schema: SchemaRef,
) -> SendableRecordBatchStream {
    let group = BlockGroup {
        shuffle: output.shuffle,
        stored_as: output.shuffle,
        executor,
        address: address.to_owned(),
        epoch: 0,
        outputs: vec![(output.map, output.attempt)],
        partitions: 0..1,
    };
    let stream =
        fetch_remote(sources.clone(), group, schema.clone(), ShuffleReadMetrics::default(), FetchLimits::default());
    Box::pin(RecordBatchStreamAdapter::new(schema, stream.boxed()))
}
