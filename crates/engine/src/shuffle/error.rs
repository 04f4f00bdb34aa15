//! A fetch that failed, as a type that survives DataFusion's wrappers.

use std::fmt;

use datafusion::error::DataFusionError;
use firesteel_protocol::{ExecutorId, ShuffleId, proto};

/// Blocks that could not be had. Never the fault of the task that wanted them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchFailedError {
    pub shuffle: ShuffleId,
    /// Where they were thought to be; empty where no place was known.
    pub executor: Option<ExecutorId>,
    pub map_indexes: Vec<u32>,
    /// The executor answered, and what it has is damaged.
    pub corrupt: bool,
    pub message: String,
}

impl fmt::Display for FetchFailedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.corrupt { "damaged blocks" } else { "blocks not available" };
        let place = self.executor.as_ref().map_or("no executor", ExecutorId::as_str);
        write!(f, "{what} of shuffle {} on {place}: {}", self.shuffle, self.message)
    }
}

impl std::error::Error for FetchFailedError {}

impl From<FetchFailedError> for DataFusionError {
    fn from(error: FetchFailedError) -> Self {
        Self::External(Box::new(error))
    }
}

impl From<&FetchFailedError> for proto::FetchFailed {
    fn from(error: &FetchFailedError) -> Self {
        Self {
            shuffle_id: error.shuffle.0,
            executor_id: error.executor.as_ref().map_or_else(String::new, |id| id.as_str().to_owned()),
            map_indexes: error.map_indexes.clone(),
            corrupt: error.corrupt,
            message: error.message.clone(),
        }
    }
}
