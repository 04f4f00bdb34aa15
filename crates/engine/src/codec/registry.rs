//! The registry of node kinds.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use datafusion::{
    common::{Result, not_impl_err},
    execution::TaskContext,
    physical_plan::{ExecutionPlan, Partitioning},
};
use firesteel_protocol::proto::ScanSplit;

use super::NodeCodec;
use crate::stage::Stage;

/// Encodes and decodes plans. Driver and executors use the same entries.
#[derive(Debug, Clone, Default)]
pub struct PlanCodec {
    entries: Vec<Arc<dyn NodeCodec>>,
}

/// A stage ready to be sent.
#[derive(Debug, Clone)]
pub struct EncodedStage {
    /// What `GetStagePlan` streams: a compressed `StagePlan`.
    pub wire: Bytes,
    /// For each task, its file groups.
    splits: Vec<Vec<ScanSplit>>,
}

impl EncodedStage {
    /// The file groups that `LaunchTask` carries for this task.
    pub fn splits(&self, task: usize) -> &[ScanSplit] {
        self.splits.get(task).map_or(&[], Vec::as_slice)
    }
}

/// A stage as a task runs it.
#[derive(Debug, Clone)]
pub struct DecodedStage {
    /// Its file scans have no files: see [`super::apply_splits`].
    pub plan: Arc<dyn ExecutionPlan>,
    pub output: Partitioning,
}

impl PlanCodec {
    /// With the engine's own kinds of nodes.
    pub fn standard() -> Self {
        Self::default()
    }

    pub fn with(mut self, entry: Arc<dyn NodeCodec>) -> Self {
        self.entries.push(entry);
        self
    }

    /// `conf` is the configuration of the session whose query this is: its tasks run under it.
    pub fn encode_stage(&self, stage: &Stage, conf: &HashMap<String, String>) -> Result<EncodedStage> {
        let _ = (stage, conf);
        not_impl_err!("encoding of stages")
    }

    /// A fresh plan, with no state of an earlier decoding.
    pub fn decode_stage(&self, plan: &[u8], task: &TaskContext) -> Result<DecodedStage> {
        let _ = (plan, task);
        not_impl_err!("decoding of stages")
    }
}
