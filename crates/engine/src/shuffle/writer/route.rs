//! Which reduce partition each row goes to.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::{
    common::{Result, hash_utils::create_hashes, internal_err},
    physical_plan::{
        Partitioning, PhysicalExpr,
        metrics::Time,
        repartition::{BatchPartitioner, REPARTITION_RANDOM_STATE},
    },
};

pub enum Route {
    Hash {
        keys: Vec<Arc<dyn PhysicalExpr>>,
        hashes: Vec<u64>,
    },
    RoundRobin {
        next: usize,
    },
    /// Anything else that DataFusion can split batches by.
    Batches(Box<BatchPartitioner>),
}

/// A batch, split.
pub enum Routed {
    /// The partition of each row of the whole batch is in the vector that was given.
    Rows(RecordBatch),
    Pieces(Vec<(usize, RecordBatch)>),
}

impl Route {
    /// `map`: the number of the task whose rows these are.
    pub fn new(partitioning: &Partitioning, map: u32) -> Result<Self> {
        Ok(match partitioning {
            Partitioning::Hash(keys, _) => Self::Hash { keys: keys.clone(), hashes: Vec::new() },
            // Tasks start at different blocks, so that few rows of many tasks do not all go to the first ones.
            Partitioning::RoundRobinBatch(partitions) => Self::RoundRobin { next: map as usize % partitions },
            Partitioning::Range(range) => {
                Self::Batches(Box::new(BatchPartitioner::new_range_partitioner(range, Time::new())))
            }
            Partitioning::UnknownPartitioning(n) => return internal_err!("rows for {n} unknown partitions"),
        })
    }

    /// Splits over `partitions`; `of_rows` is overwritten.
    pub fn split(&mut self, batch: RecordBatch, partitions: usize, of_rows: &mut Vec<u32>) -> Result<Routed> {
        of_rows.clear();
        match self {
            Self::Hash { keys, hashes } => {
                let arrays = keys
                    .iter()
                    .map(|key| key.evaluate(&batch)?.into_array(batch.num_rows()))
                    .collect::<Result<Vec<ArrayRef>>>()?;
                hashes.clear();
                hashes.resize(batch.num_rows(), 0);
                create_hashes(&arrays, REPARTITION_RANDOM_STATE.random_state(), hashes)?;
                let partitions = partitions as u64;
                if partitions.is_power_of_two() {
                    // The same, without a division a row.
                    of_rows.extend(hashes.iter().map(|hash| (hash & (partitions - 1)) as u32));
                } else {
                    of_rows.extend(hashes.iter().map(|hash| (hash % partitions) as u32));
                }
            }
            Self::RoundRobin { next } => {
                of_rows.extend((0..batch.num_rows()).map(|row| ((*next + row) % partitions) as u32));
                *next = (*next + batch.num_rows()) % partitions;
            }
            Self::Batches(partitioner) => {
                return Ok(Routed::Pieces(partitioner.partition_iter(batch)?.collect::<Result<_>>()?));
            }
        }
        Ok(Routed::Rows(batch))
    }
}
