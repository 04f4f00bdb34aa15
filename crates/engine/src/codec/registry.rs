//! The registry of node kinds.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use datafusion::physical_expr_common::physical_expr::{
    proto_decode::PhysicalExprDecodeCtx, proto_encode::PhysicalExprEncodeCtx,
};
use datafusion::{
    common::{Result, exec_datafusion_err, internal_err, plan_err},
    config::ConfigOptions,
    execution::TaskContext,
    logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF},
    physical_expr::PhysicalExpr,
    physical_plan::{ExecutionPlan, Partitioning},
    prelude::SessionConfig,
};
use datafusion_proto::{
    physical_plan::{
        PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
        from_proto::parse_protobuf_partitioning, to_proto::serialize_partitioning,
    },
    protobuf,
};
use firesteel_plan::SparkConf;
use firesteel_protocol::proto::{ScanSplit, StagePlan};
use prost::Message;

use super::{
    DecodeContext, EncodeContext, ExprCodec, NodeCodec,
    flat::{FlatDecoder, FlatEncoder, FlatPlan},
    functions::Functions,
    nodes::{FileWriteCodec, FormatScanCodec},
    splits::{self, ScanSettings},
};
use crate::{
    EngineSession, cache::CacheScanCodec, optimize::grouping_sets::UnknownInputCodec, shuffle::ShuffleReaderCodec,
    source::RangeCodec, stage::Stage,
};

/// Encodes and decodes plans. Driver and executors use the same entries.
#[derive(Debug, Clone)]
pub struct PlanCodec {
    pub(super) nodes: Vec<Arc<dyn NodeCodec>>,
    exprs: Vec<Arc<dyn ExprCodec>>,
    functions: Arc<Functions>,
}

/// A stage ready to be sent.
#[derive(Debug, Clone)]
pub struct EncodedStage {
    /// What `GetStagePlan` streams: a compressed [`StagePlan`].
    pub wire: Bytes,
    /// For each task, its file groups.
    pub(super) splits: Vec<Vec<ScanSplit>>,
}

impl EncodedStage {
    /// The file groups that `LaunchTask` carries for this task.
    pub fn splits(&self, task: usize) -> &[ScanSplit] {
        self.splits.get(task).map_or(&[], Vec::as_slice)
    }
}

/// A stage as executors hold it: what came over the wire, decompressed.
#[derive(Debug, Clone)]
pub struct ReceivedStage {
    plan: FlatPlan,
    scans: Vec<ScanSettings>,
    partitioning: Bytes,
    conf: SparkConf,
    /// What follows from it, once a task has needed it.
    config: OnceLock<SessionConfig>,
}

impl ReceivedStage {
    /// The configuration of the session whose query this is.
    pub fn conf(&self) -> &SparkConf {
        &self.conf
    }

    /// The same for DataFusion's operators, on this executor.
    pub fn config(&self, session: &EngineSession) -> SessionConfig {
        self.config.get_or_init(|| session.config_for(&self.conf)).clone()
    }
}

/// A stage as a task runs it.
#[derive(Debug, Clone)]
pub struct DecodedStage {
    /// Its file scans have no files: see [`super::apply_splits`].
    pub plan: Arc<dyn ExecutionPlan>,
    pub output: Partitioning,
}

const COMPRESSION_LEVEL: i32 = 1;
/// A plan that says to be longer than this is none.
const MAX_PLAN_BYTES: usize = 4 << 30;

impl PlanCodec {
    /// With the engine's own kinds of nodes and all functions.
    pub fn standard() -> Self {
        let functions = Functions::datafusion()
            .with_scalar(firesteel_functions::all_udfs())
            .with_aggregate(firesteel_functions::all_udafs())
            .with_window(firesteel_functions::all_udwfs())
            .with_higher_order(firesteel_functions::all_higher_order_udfs());
        let nodes: Vec<Arc<dyn NodeCodec>> = vec![
            Arc::new(ShuffleReaderCodec),
            Arc::new(FileWriteCodec),
            Arc::new(FormatScanCodec),
            Arc::new(RangeCodec),
            Arc::new(CacheScanCodec),
            Arc::new(UnknownInputCodec),
        ];
        Self { nodes, exprs: vec![], functions: Arc::new(functions) }
    }

    pub fn with(mut self, entry: Arc<dyn NodeCodec>) -> Self {
        self.nodes.push(entry);
        self
    }

    pub fn with_expr(mut self, entry: Arc<dyn ExprCodec>) -> Self {
        self.exprs.push(entry);
        self
    }

    pub fn with_functions(mut self, functions: Functions) -> Self {
        self.functions = Arc::new(functions);
        self
    }

    /// `conf` is the configuration of the session whose query this is: its tasks run under it.
    pub fn encode_stage(&self, stage: &Stage, conf: &HashMap<String, String>) -> Result<EncodedStage> {
        let message = self.stage_message(stage, conf)?;
        let wire = zstd::bulk::compress(&message.encode_to_vec(), COMPRESSION_LEVEL)?;
        let splits = (0..stage.num_tasks).map(|task| splits::of_task(&stage.plan, task)).collect::<Result<_>>()?;
        Ok(EncodedStage { wire: wire.into(), splits })
    }

    pub(super) fn stage_message(&self, stage: &Stage, conf: &HashMap<String, String>) -> Result<StagePlan> {
        let codec = Extensions { registry: self.clone(), config: None };
        let encoder = FlatEncoder::default();
        let plan = splits::without_files(stage.plan.clone())?;
        encoder.execution_plan_to_proto(&plan, &codec)?;
        let flat = encoder.finish();
        let expressions = FlatEncoder::default();
        let partitioning = serialize_partitioning(&stage.output, &codec, &expressions)?;
        let partitioning = OutputPartitioning { partitioning: Some(partitioning), exprs: expressions.finish().exprs };
        Ok(StagePlan {
            scans: splits::settings(&stage.plan)?.iter().map(|scan| scan.encode_to_vec().into()).collect(),
            plan: flat.encode_to_vec().into(),
            output_partitioning: partitioning.encode_to_vec().into(),
            conf: conf.clone(),
        })
    }

    /// Unpacks what `GetStagePlan` streamed.
    pub fn receive_stage(wire: &[u8]) -> Result<ReceivedStage> {
        let size = zstd::zstd_safe::get_frame_content_size(wire).ok().flatten().and_then(|n| usize::try_from(n).ok());
        let Some(size) = size.filter(|size| *size <= MAX_PLAN_BYTES) else {
            return internal_err!("a stage's plan of no known size");
        };
        let bytes: Bytes = zstd::bulk::decompress(wire, size)?.into();
        let message = StagePlan::decode(bytes).map_err(|e| exec_datafusion_err!("bytes that are no stage: {e}"))?;
        let plan = FlatPlan::decode(message.plan).map_err(|e| exec_datafusion_err!("bytes that are no plan: {e}"))?;
        let scans = message.scans.iter().map(|bytes| ScanSettings::decode(bytes.clone()));
        let scans = scans.collect::<Result<_, _>>().map_err(|e| exec_datafusion_err!("bytes that are no scan: {e}"))?;
        Ok(ReceivedStage {
            plan,
            scans,
            partitioning: message.output_partitioning,
            conf: message.conf.into_iter().collect(),
            config: OnceLock::new(),
        })
    }

    /// A fresh plan, with no state of an earlier decoding, its functions configured by `task`.
    pub fn decode_stage(&self, stage: &ReceivedStage, task: &TaskContext) -> Result<DecodedStage> {
        let config = task.session_config().options().clone();
        let codec = Extensions { registry: self.clone(), config: Some(config) };
        let cx = PhysicalPlanDecodeContext::new(task, &codec);
        let plan = splits::with_settings(FlatDecoder::new(&stage.plan).plan(&cx)?, &stage.scans)?;
        let Ok(message) = OutputPartitioning::decode(stage.partitioning.clone()) else {
            return internal_err!("bytes that are no partitioning");
        };
        let exprs = FlatPlan { nodes: vec![], exprs: message.exprs };
        let decoder = FlatDecoder::new(&exprs);
        let output = parse_protobuf_partitioning(message.partitioning.as_ref(), &cx, &plan.schema(), &decoder)?;
        match output {
            Some(output) => Ok(DecodedStage { plan, output }),
            None => internal_err!("a stage without the partitioning of its output"),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct OutputPartitioning {
    #[prost(message, optional, tag = "1")]
    partitioning: Option<protobuf::Partitioning>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    exprs: Vec<Vec<u8>>,
}

/// A node or expression of the registry's on the wire.
#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    bytes: Vec<u8>,
}

/// The registry as DataFusion asks for it.
struct Extensions {
    registry: PlanCodec,
    /// Configures functions that are decoded.
    config: Option<Arc<ConfigOptions>>,
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extensions").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl PhysicalExtensionCodec for Extensions {
    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let cx = EncodeContext { codec: self, converter };
        for entry in &self.registry.nodes {
            if let Some(bytes) = entry.encode(&node, &cx)? {
                *buf = Entry { name: entry.name().to_owned(), bytes }.encode_to_vec();
                return Ok(());
            }
        }
        plan_err!("operator {} cannot be sent to executors", node.name())
    }

    fn try_decode(
        &self,
        buf: &[u8],
        children: &[Arc<dyn ExecutionPlan>],
        task: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let entry = Entry::decode(buf).map_err(|e| exec_datafusion_err!("bytes that are no operator: {e}"))?;
        let Some(kind) = self.registry.nodes.iter().find(|kind| kind.name() == entry.name) else {
            return plan_err!("operator {} is not known to this executor", entry.name);
        };
        kind.decode(&entry.bytes, children, &DecodeContext { codec: self, converter, task })
    }

    fn try_encode_expr(
        &self,
        expr: &Arc<dyn PhysicalExpr>,
        buf: &mut Vec<u8>,
        _: &PhysicalExprEncodeCtx<'_>,
    ) -> Result<()> {
        for entry in &self.registry.exprs {
            if let Some(bytes) = entry.encode(expr)? {
                *buf = Entry { name: entry.name().to_owned(), bytes }.encode_to_vec();
                return Ok(());
            }
        }
        plan_err!("expression {expr} cannot be sent to executors")
    }

    fn try_decode_expr(
        &self,
        buf: &[u8],
        children: &[Arc<dyn PhysicalExpr>],
        _: &PhysicalExprDecodeCtx<'_>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let entry = Entry::decode(buf).map_err(|e| exec_datafusion_err!("bytes that are no expression: {e}"))?;
        match self.registry.exprs.iter().find(|kind| kind.name() == entry.name) {
            Some(kind) => kind.decode(&entry.bytes, children),
            None => plan_err!("expression {} is not known to this executor", entry.name),
        }
    }

    fn try_encode_udf(&self, function: &ScalarUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.registry.functions.encode_scalar(function, buf)
    }

    fn try_decode_udf(&self, name: &str, buf: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.registry.functions.decode_scalar(name, buf, self.config.as_deref())
    }

    fn try_encode_higher_order_function(&self, function: &HigherOrderUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.registry.functions.encode_higher_order(function, buf)
    }

    fn try_decode_higher_order_function(&self, name: &str, buf: &[u8]) -> Result<Arc<HigherOrderUDF>> {
        self.registry.functions.decode_higher_order(name, buf)
    }

    fn try_encode_udaf(&self, function: &AggregateUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.registry.functions.encode_aggregate(function, buf)
    }

    fn try_decode_udaf(&self, name: &str, buf: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.registry.functions.decode_aggregate(name, buf)
    }

    fn try_encode_udwf(&self, function: &WindowUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.registry.functions.encode_window(function, buf)
    }

    fn try_decode_udwf(&self, name: &str, buf: &[u8]) -> Result<Arc<WindowUDF>> {
        self.registry.functions.decode_window(name, buf)
    }
}
