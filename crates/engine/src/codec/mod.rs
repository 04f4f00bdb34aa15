//! Physical plans as bytes.
//!
//! DataFusion's own encoding serves for its operators. Ours, and file sources of ours, are entries of a registry
//! ([`PlanCodec`]): each knows how to encode and decode one kind of node.

mod fingerprint;
mod flat;
mod functions;
mod nodes;
mod registry;
mod splits;

use std::{fmt, sync::Arc};

use arrow::datatypes::Schema;
use datafusion::{
    common::{Result, internal_datafusion_err},
    execution::TaskContext,
    physical_expr::PhysicalExpr,
    physical_plan::{ExecutionPlan, Partitioning},
};
use datafusion_proto::{
    physical_plan::{
        PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
        from_proto::parse_protobuf_partitioning, to_proto::serialize_partitioning,
    },
    protobuf,
};

pub use fingerprint::digest;
pub use functions::Functions;
pub use registry::{DecodedStage, EncodedStage, PlanCodec, ReceivedStage};
pub use splits::apply_splits;

/// How one kind of node travels. Its children are encoded and decoded by the caller.
pub trait NodeCodec: fmt::Debug + Send + Sync {
    /// Names the kind on the wire. Unique in a registry.
    fn name(&self) -> &'static str;

    /// The bytes of `node` without its children, or `None` when it is not of this kind.
    fn encode(&self, node: &Arc<dyn ExecutionPlan>, cx: &EncodeContext<'_>) -> Result<Option<Vec<u8>>>;

    /// The node again. Bytes that make no sense are an error, never a panic.
    fn decode(
        &self,
        bytes: &[u8],
        children: &[Arc<dyn ExecutionPlan>],
        cx: &DecodeContext<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>>;
}

/// What a [`NodeCodec`] needs to encode expressions that its node holds.
pub struct EncodeContext<'a> {
    pub codec: &'a dyn PhysicalExtensionCodec,
    pub converter: &'a dyn PhysicalProtoConverterExtension,
}

/// What a [`NodeCodec`] needs to decode expressions that its node holds.
pub struct DecodeContext<'a> {
    pub codec: &'a dyn PhysicalExtensionCodec,
    pub converter: &'a dyn PhysicalProtoConverterExtension,
    pub task: &'a TaskContext,
}

/// How one kind of expression travels. Its children are encoded and decoded by the caller.
pub trait ExprCodec: fmt::Debug + Send + Sync {
    /// Names the kind on the wire. Unique in a registry.
    fn name(&self) -> &'static str;

    /// The bytes of `expr` without its children, or `None` when it is not of this kind.
    fn encode(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<Option<Vec<u8>>>;

    /// The expression again.
    fn decode(&self, bytes: &[u8], children: &[Arc<dyn PhysicalExpr>]) -> Result<Arc<dyn PhysicalExpr>>;
}

impl EncodeContext<'_> {
    pub fn encode_expr(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<protobuf::PhysicalExprNode> {
        self.converter.physical_expr_to_proto(expr, self.codec)
    }

    pub fn encode_partitioning(&self, partitioning: &Partitioning) -> Result<protobuf::Partitioning> {
        serialize_partitioning(partitioning, self.codec, self.converter)
    }
}

impl DecodeContext<'_> {
    pub fn decode_expr(&self, expr: &protobuf::PhysicalExprNode, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
        let cx = PhysicalPlanDecodeContext::new(self.task, self.codec);
        self.converter.proto_to_physical_expr(expr, schema, &cx)
    }

    pub fn decode_partitioning(
        &self,
        partitioning: Option<&protobuf::Partitioning>,
        schema: &Schema,
    ) -> Result<Partitioning> {
        let cx = PhysicalPlanDecodeContext::new(self.task, self.codec);
        parse_protobuf_partitioning(partitioning, &cx, schema, self.converter)?
            .ok_or_else(|| internal_datafusion_err!("a partitioning is missing"))
    }
}
