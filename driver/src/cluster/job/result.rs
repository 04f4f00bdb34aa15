//! A submitted job and what it answers: the rows of its result in order, or the sizes of its map outputs.

use std::{
    collections::BTreeMap,
    sync::Arc,
    task::{Context, Poll},
};

use arrow::array::RecordBatch;
use firesteel_engine::adaptive::ShuffleStatistics;
use firesteel_plan::{SparkError, SparkResult};
use firesteel_protocol::JobId;
use futures::{StreamExt, stream, stream::BoxStream};
use tokio::sync::mpsc;

use super::query::Query;

pub enum JobMessage {
    /// The rows of one result task. They will not change any more.
    Partition {
        partition: u32,
        batches: Vec<RecordBatch>,
    },
    /// A result job has ended.
    Succeeded,
    /// A map-stage job has ended. `None`: outputs were lost at the same moment.
    Mapped(Option<ShuffleStatistics>),
    Failed(SparkError),
}

/// A submitted job of a query. Dropping it cancels what still runs.
pub struct Job {
    query: Arc<Query>,
    id: JobId,
    messages: mpsc::UnboundedReceiver<JobMessage>,
    /// Partitions that came before their turn.
    early: BTreeMap<u32, Vec<RecordBatch>>,
    next: u32,
    ready: std::vec::IntoIter<RecordBatch>,
    ended: bool,
}

impl Job {
    pub fn new(query: Arc<Query>, id: JobId, messages: mpsc::UnboundedReceiver<JobMessage>) -> Self {
        let (early, ready) = (BTreeMap::new(), Vec::new().into_iter());
        Self { query, id, messages, early, next: 0, ready, ended: false }
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
                Some(JobMessage::Succeeded | JobMessage::Mapped(_)) => self.ended = true,
                Some(JobMessage::Failed(error)) => {
                    self.ended = true;
                    self.early.clear();
                    return Some(Err(error));
                }
                None => {
                    self.ended = true;
                    return Some(Err(ended_early()));
                }
            }
        }
    }

    /// The end of a map-stage job.
    pub fn poll_mapped(&mut self, cx: &mut Context<'_>) -> Poll<SparkResult<Option<ShuffleStatistics>>> {
        loop {
            let message = std::task::ready!(self.messages.poll_recv(cx));
            self.ended = !matches!(message, Some(JobMessage::Partition { .. }));
            return Poll::Ready(match message {
                Some(JobMessage::Partition { .. }) => continue,
                Some(JobMessage::Mapped(statistics)) => Ok(statistics),
                Some(JobMessage::Succeeded) => Ok(None),
                Some(JobMessage::Failed(error)) => Err(error),
                None => Err(ended_early()),
            });
        }
    }
}

fn ended_early() -> SparkError {
    SparkError::internal("the driver ended before the job did")
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.ended {
            self.query.core().cancel(self.id, "nobody waits for its result any more");
        }
    }
}
