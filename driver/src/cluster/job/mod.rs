//! One plan's way through the cluster: prepared ([`prepare`]), cut at once or while it runs ([`submit`]), its stages encoded
//! ([`stages`]) and kept as long as jobs may list them ([`query`]), its result put in order ([`result`]).

mod describe;
mod prepare;
mod properties;
mod query;
mod result;
mod stages;
mod submit;

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::physical_plan::ExecutionPlan;
use firesteel_engine::EngineSession;
use firesteel_plan::SparkResult;
use futures::stream::BoxStream;

pub use self::result::JobMessage;
use self::{prepare::prepared, submit::submit};
use super::core::Core;
use crate::PlanRunner;

/// Runs the plans of one session on the executors of a cluster. Several share the executors.
pub struct ClusterRunner {
    core: Arc<Core>,
    /// The session's: its configuration says how its jobs share and what they can be cancelled by.
    engine: EngineSession,
}

impl ClusterRunner {
    pub fn new(core: Arc<Core>, engine: EngineSession) -> Self {
        engine.share_cache_of(core.engine());
        Self { core, engine }
    }
}

#[async_trait]
impl PlanRunner for ClusterRunner {
    async fn run(&self, plan: Arc<dyn ExecutionPlan>) -> SparkResult<BoxStream<'static, SparkResult<RecordBatch>>> {
        let plan = prepared(&self.core, &self.engine, plan).await?;
        Ok(submit(&self.core, &self.engine, plan).await?.batches())
    }

    async fn prepare(&self, plan: Arc<dyn ExecutionPlan>) -> SparkResult<Arc<dyn ExecutionPlan>> {
        prepared(&self.core, &self.engine, plan).await
    }

    fn describe(&self, plan: &Arc<dyn ExecutionPlan>) -> SparkResult<String> {
        describe::plan(&self.engine, plan)
    }

    fn executed_plan(&self) -> Option<String> {
        self.core.kept_plan()
    }

    fn statement_ended(&self) {
        self.core.give_up_restored();
    }
}
