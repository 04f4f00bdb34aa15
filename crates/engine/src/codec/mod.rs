//! Physical plans as bytes.
//!
//! DataFusion's own encoding serves for its operators. Ours, and file sources of ours, are entries of a registry
//! ([`PlanCodec`]): each knows how to encode and decode one kind of node.

mod flat;
mod functions;
mod registry;
mod splits;

use std::{fmt, sync::Arc};

use datafusion::{common::Result, execution::TaskContext, physical_plan::ExecutionPlan};
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};

pub use registry::{EncodedStage, PlanCodec};
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
