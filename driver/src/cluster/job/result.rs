//! A submitted job and the rows of its result, in order.

use std::{collections::BTreeMap, sync::Arc};

use arrow::array::RecordBatch;
use firesteel_plan::{SparkError, SparkResult};
use firesteel_protocol::JobId;
use futures::{StreamExt, stream, stream::BoxStream};
use tokio::sync::mpsc;

use crate::cluster::core::Core;

pub enum JobMessage {
    /// The rows of one result task. They will not change any more.
    Partition {
        partition: u32,
        batches: Vec<RecordBatch>,
    },
    Succeeded,
    Failed(SparkError),
}

/// A submitted job. Dropping it cancels what still runs.
pub struct Job {
    core: Arc<Core>,
    id: JobId,
    messages: mpsc::UnboundedReceiver<JobMessage>,
    /// Partitions that came before their turn.
    early: BTreeMap<u32, Vec<RecordBatch>>,
    next: u32,
    ready: std::vec::IntoIter<RecordBatch>,
    ended: bool,
}

impl Job {
    pub fn new(core: Arc<Core>, id: JobId, messages: mpsc::UnboundedReceiver<JobMessage>) -> Self {
        let (early, ready) = (BTreeMap::new(), Vec::new().into_iter());
        Self { core, id, messages, early, next: 0, ready, ended: false }
    }

    /// The result's rows in the order of its partitions.
    pub fn batches(self) -> BoxStream<'static, SparkResult<RecordBatch>> {
        stream::unfold(self, |mut job| async move { job.next_batch().await.map(|batch| (batch, job)) }).boxed()
    }

    async fn next_batch(&mut self) -> Option<SparkResult<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.next() {
                return Some(Ok(batch));
            }
            if let Some(batches) = self.early.remove(&self.next) {
                self.next += 1;
                self.ready = batches.into_iter();
                continue;
            }
            if self.ended {
                return None;
            }
            match self.messages.recv().await {
                Some(JobMessage::Partition { partition, batches }) => {
                    self.early.insert(partition, batches);
                }
                Some(JobMessage::Succeeded) => self.ended = true,
                Some(JobMessage::Failed(error)) => {
                    self.ended = true;
                    self.early.clear();
                    return Some(Err(error));
                }
                None => {
                    self.ended = true;
                    return Some(Err(SparkError::internal("the driver ended before the job did")));
                }
            }
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.core.cancel(self.id, "nobody waits for its result any more");
    }
}
