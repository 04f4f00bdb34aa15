//! The reading side of an exchange: a leaf of the plan of the stage after it.

use std::{fmt, ops::Range, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::{Result, internal_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
        execution_plan::{Boundedness, EmissionType, SchedulingType},
        metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, Time},
        stream::RecordBatchStreamAdapter,
    },
};
use datafusion_proto::protobuf;
use firesteel_protocol::ShuffleId;
use futures::{
    FutureExt, Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use prost::Message;
use rand::seq::SliceRandom;

use super::{
    error::FetchFailedError,
    fetch::{BlockGroup, fetch_remote, read_local},
    limits::FetchLimits,
    source::{MapOutputLocations, ShuffleAccess},
};
use crate::{
    codec::{DecodeContext, EncodeContext, NodeCodec},
    stage::InputKind,
};

/// Ranges of blocks that a plan's text names.
const SHOWN_RANGES: usize = 8;

/// Reads the outputs of a stage. Its task's session configuration must hold a [`ShuffleAccess`].
#[derive(Debug, Clone)]
pub struct ShuffleReaderExec {
    shuffle: ShuffleId,
    kind: InputKind,
    /// What each partition reads, where it is not what the kind says.
    ranges: Option<Arc<[BlockRange]>>,
    /// Fetch by map index, one executor after the other, so that rows come in the same order every time.
    ordered: bool,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// Some blocks of a shuffle: these partitions of these map outputs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlockRange {
    pub maps: Range<u32>,
    pub partitions: Range<u32>,
}

impl fmt::Display for BlockRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { maps, partitions } = self;
        write!(f, "{}..{}", partitions.start, partitions.end)?;
        if maps.start > 0 || maps.end < u32::MAX { write!(f, " of maps {}..{}", maps.start, maps.end) } else { Ok(()) }
    }
}

/// What a reader has had so far.
#[derive(Debug, Clone, Default)]
pub struct ShuffleReadMetrics {
    pub rows: Count,
    pub bytes: Count,
    pub wait: Time,
}

/// Names of the reader's metrics, for those who add them up.
pub const METRIC_BYTES: &str = "shuffle_read_bytes";
pub const METRIC_WAIT: &str = "fetch_wait";

impl ShuffleReaderExec {
    /// Reads what `input` writes to `shuffle`, in `partitioning`: the reader's own view of it, so one partition for
    /// [`InputKind::Gather`] and [`InputKind::Broadcast`], one a map task for [`InputKind::PerMap`].
    pub fn new(
        shuffle: ShuffleId,
        kind: InputKind,
        input: &Arc<dyn ExecutionPlan>,
        partitioning: Partitioning,
    ) -> Self {
        let mut equivalences = input.equivalence_properties().clone();
        if kind != InputKind::PerMap {
            equivalences.clear_orderings();
            if input.output_partitioning().partition_count() > 1 {
                equivalences.clear_per_partition_constants();
            }
        }
        Self::with_properties(shuffle, kind, equivalences, partitioning)
    }

    fn with_properties(
        shuffle: ShuffleId,
        kind: InputKind,
        equivalences: EquivalenceProperties,
        partitioning: Partitioning,
    ) -> Self {
        let properties =
            PlanProperties::new(equivalences, partitioning, EmissionType::Incremental, Boundedness::Bounded)
                .with_scheduling_type(SchedulingType::Cooperative);
        let metrics = ExecutionPlanMetricsSet::new();
        Self { shuffle, kind, ranges: None, ordered: false, properties: Arc::new(properties), metrics }
    }

    /// A reader of the same shuffle whose partition `p` reads `ranges[p]`. Together they must be every block once, or
    /// rows are lost or doubled. `partitioning` is how the rows lie then.
    pub fn with_ranges(&self, kind: InputKind, ranges: Vec<BlockRange>, partitioning: Partitioning) -> Self {
        let mut equivalences = self.properties.equivalence_properties().clone();
        equivalences.clear_orderings();
        equivalences.clear_per_partition_constants();
        let ordered = self.ordered;
        let reader = Self::with_properties(self.shuffle, kind, equivalences, partitioning);
        Self { ranges: Some(ranges.into()), ordered, ..reader }
    }

    /// What each partition reads, where it is not what the kind says.
    pub fn ranges(&self) -> Option<&[BlockRange]> {
        self.ranges.as_deref()
    }

    pub(crate) fn with_kind(mut self, kind: InputKind) -> Self {
        self.kind = kind;
        self
    }

    /// Rows in the same order every time.
    pub fn ordered(mut self, ordered: bool) -> Self {
        self.ordered = ordered;
        self
    }

    pub(crate) fn with_shuffle(mut self, shuffle: ShuffleId) -> Self {
        self.shuffle = shuffle;
        self
    }

    pub fn shuffle(&self) -> ShuffleId {
        self.shuffle
    }

    pub fn kind(&self) -> InputKind {
        self.kind
    }

    fn read_metrics(&self, partition: usize) -> ShuffleReadMetrics {
        ShuffleReadMetrics {
            rows: MetricBuilder::new(&self.metrics).output_rows(partition),
            bytes: MetricBuilder::new(&self.metrics).counter(METRIC_BYTES, partition),
            wait: MetricBuilder::new(&self.metrics).subset_time(METRIC_WAIT, partition),
        }
    }

    /// The blocks that `partition` consists of, by executor.
    fn groups(&self, locations: &MapOutputLocations, partition: usize) -> Result<Vec<BlockGroup>, FetchFailedError> {
        let index = partition as u32;
        let range = self.ranges.as_ref().and_then(|ranges| ranges.get(partition)).cloned();
        let (maps, partitions) = match (range, self.kind) {
            (Some(range), _) => (range.maps.start..range.maps.end.min(locations.num_maps), range.partitions),
            (None, InputKind::Partitioned) => (0..locations.num_maps, index..index + 1),
            (None, InputKind::Gather | InputKind::Broadcast) => (0..locations.num_maps, 0..1),
            (None, InputKind::PerMap) => (index..index + 1, 0..1),
        };
        let mut missing: Vec<u32> = maps.clone().collect();
        let mut groups = Vec::new();
        for location in &locations.places {
            let outputs: Vec<_> = location.outputs.iter().copied().filter(|(map, _)| maps.contains(map)).collect();
            missing.retain(|map| outputs.binary_search_by_key(map, |(m, _)| *m).is_err());
            if !outputs.is_empty() {
                groups.push(BlockGroup {
                    shuffle: self.shuffle,
                    stored_as: locations.stored_as,
                    executor: location.executor.clone(),
                    address: location.address.clone(),
                    epoch: locations.epoch,
                    outputs,
                    partitions: partitions.clone(),
                });
            }
        }
        if !missing.is_empty() {
            return Err(FetchFailedError {
                shuffle: self.shuffle,
                executor: None,
                message: format!("{} of {} outputs are nowhere", missing.len(), locations.num_maps),
                map_indexes: missing,
                corrupt: false,
            });
        }
        if self.ordered {
            groups = in_map_order(groups);
        }
        Ok(groups)
    }
}

/// Splits groups into runs of neighbouring maps on one executor.
fn in_map_order(groups: Vec<BlockGroup>) -> Vec<BlockGroup> {
    let mut blocks: Vec<(u32, u64, usize)> = groups
        .iter()
        .enumerate()
        .flat_map(|(index, group)| group.outputs.iter().map(move |(map, attempt)| (*map, *attempt, index)))
        .collect();
    blocks.sort_unstable();
    blocks
        .chunk_by(|a, b| a.2 == b.2)
        .filter_map(|run| {
            let outputs = run.iter().map(|(map, attempt, _)| (*map, *attempt)).collect();
            Some(BlockGroup { outputs, ..groups.get(run.first()?.2)?.clone() })
        })
        .collect()
}

/// Fetches `groups`: several executors at a time in an order of chance, so that readers do not all begin with the same
/// one; or, `ordered`, one after the other.
fn read(
    access: Arc<ShuffleAccess>,
    mut groups: Vec<BlockGroup>,
    ordered: bool,
    schema: SchemaRef,
    metrics: ShuffleReadMetrics,
    limits: FetchLimits,
) -> BoxStream<'static, Result<RecordBatch>> {
    if !ordered {
        groups.shuffle(&mut rand::rng());
    }
    let streams = stream::iter(groups).map(move |group| -> BoxStream<'static, Result<RecordBatch>> {
        match &access.local {
            Some((id, store)) if group.executor.as_ref() == Some(id) => {
                read_local(store.clone(), group, schema.clone(), metrics.clone()).boxed()
            }
            _ => fetch_remote(access.sources(), group, schema.clone(), metrics.clone(), limits).boxed(),
        }
    });
    if ordered { streams.flatten().boxed() } else { streams.flatten_unordered(limits.streams).boxed() }
}

impl DisplayAs for ShuffleReaderExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ShuffleReaderExec: shuffle={}, kind={:?}, {}",
            self.shuffle, self.kind, self.properties.partitioning
        )?;
        let Some(ranges) = &self.ranges else { return Ok(()) };
        let shown: Vec<String> = ranges.iter().take(SHOWN_RANGES).map(ToString::to_string).collect();
        let more = if ranges.len() > SHOWN_RANGES { ", …" } else { "" };
        write!(f, ", blocks=[{}{more}]", shown.join(", "))
    }
}

impl ExecutionPlan for ShuffleReaderExec {
    fn name(&self) -> &'static str {
        "ShuffleReaderExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a shuffle reader has no children") }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(access) = context.session_config().get_extension::<ShuffleAccess>() else {
            return internal_err!("shuffle {} is read outside of an executor's task", self.shuffle);
        };
        let limits = context.session_config().get_extension::<FetchLimits>().map_or_else(FetchLimits::default, |l| *l);
        let reader = self.clone();
        let schema = self.schema();
        let metrics = self.read_metrics(partition);
        let stream = async move {
            let locations = access.source.locations(reader.shuffle, 0).await?;
            let groups = reader.groups(&locations, partition)?;
            let schema = reader.schema();
            Ok::<_, datafusion::error::DataFusionError>(read(access, groups, reader.ordered, schema, metrics, limits))
        }
        .into_stream()
        .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, boxed(stream))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

fn boxed(stream: impl Stream<Item = Result<RecordBatch>> + Send + 'static) -> BoxStream<'static, Result<RecordBatch>> {
    stream.boxed()
}

/// [`ShuffleReaderExec`] on the wire.
#[derive(Debug)]
pub struct ShuffleReaderCodec;

#[derive(Clone, PartialEq, Message)]
struct ReaderNode {
    #[prost(uint32, tag = "1")]
    shuffle: u32,
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(bool, tag = "3")]
    ordered: bool,
    #[prost(message, optional, tag = "4")]
    schema: Option<datafusion_proto::protobuf::Schema>,
    #[prost(message, optional, tag = "5")]
    partitioning: Option<protobuf::Partitioning>,
    /// Empty: what the kind says.
    #[prost(message, repeated, tag = "6")]
    ranges: Vec<RangeNode>,
}

#[derive(Clone, PartialEq, Message)]
struct RangeNode {
    #[prost(uint32, tag = "1")]
    first_map: u32,
    #[prost(uint32, tag = "2")]
    last_map: u32,
    #[prost(uint32, tag = "3")]
    first_partition: u32,
    #[prost(uint32, tag = "4")]
    last_partition: u32,
}

impl From<&BlockRange> for RangeNode {
    fn from(BlockRange { maps, partitions }: &BlockRange) -> Self {
        Self {
            first_map: maps.start,
            last_map: maps.end,
            first_partition: partitions.start,
            last_partition: partitions.end,
        }
    }
}

impl From<&RangeNode> for BlockRange {
    fn from(node: &RangeNode) -> Self {
        Self { maps: node.first_map..node.last_map, partitions: node.first_partition..node.last_partition }
    }
}

const KINDS: [InputKind; 4] = [InputKind::Partitioned, InputKind::Gather, InputKind::PerMap, InputKind::Broadcast];

impl NodeCodec for ShuffleReaderCodec {
    fn name(&self) -> &'static str {
        "ShuffleReader"
    }

    fn encode(&self, node: &Arc<dyn ExecutionPlan>, cx: &EncodeContext<'_>) -> Result<Option<Vec<u8>>> {
        let Some(reader) = node.downcast_ref::<ShuffleReaderExec>() else { return Ok(None) };
        let message = ReaderNode {
            shuffle: reader.shuffle.0,
            kind: KINDS.iter().position(|kind| *kind == reader.kind).unwrap_or_default() as u32,
            ordered: reader.ordered,
            schema: Some(reader.schema().as_ref().try_into()?),
            partitioning: Some(cx.encode_partitioning(&reader.properties.partitioning)?),
            ranges: reader.ranges().unwrap_or_default().iter().map(RangeNode::from).collect(),
        };
        Ok(Some(message.encode_to_vec()))
    }

    fn decode(
        &self,
        bytes: &[u8],
        _: &[Arc<dyn ExecutionPlan>],
        cx: &DecodeContext<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok(message) = ReaderNode::decode(bytes) else { return internal_err!("bytes that are no shuffle reader") };
        let (Some(schema), Some(kind)) = (&message.schema, KINDS.get(message.kind as usize)) else {
            return internal_err!("a shuffle reader without schema or kind");
        };
        let schema: SchemaRef = Arc::new(schema.try_into()?);
        let partitioning = cx.decode_partitioning(message.partitioning.as_ref(), &schema)?;
        let equivalences = EquivalenceProperties::new(schema);
        let reader = ShuffleReaderExec::with_properties(ShuffleId(message.shuffle), *kind, equivalences, partitioning);
        let ranges: Vec<BlockRange> = message.ranges.iter().map(BlockRange::from).collect();
        if !ranges.is_empty() && ranges.len() != reader.properties.partitioning.partition_count() {
            return internal_err!("a shuffle reader with ranges for {} partitions", ranges.len());
        }
        let ranges = (!ranges.is_empty()).then(|| ranges.into());
        Ok(Arc::new(ShuffleReaderExec { ranges, ..reader }.ordered(message.ordered)))
    }
}
