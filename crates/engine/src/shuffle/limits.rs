//! How much a reader fetches at a time, and how often it tries.

use std::time::Duration;

use firesteel_plan::{SparkConf, conf::keys};

/// Bytes that one open stream may hold: what is on its way unread, and a frame that is not whole yet. Spark, too, divides
/// what is in flight by five, so as to fetch from as many executors.
const STREAM_BYTES: u64 = (48 << 20) / 5;
/// Blocks named in one request, at most.
const MOST_BLOCKS: usize = 4096;

/// The limits of one reader: an extension of its task's session configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchLimits {
    /// Executors that it fetches from at a time. From each, blocks come one after the other in one stream.
    pub streams: usize,
    /// Blocks asked for in one request.
    pub blocks: usize,
    /// How often a fetch is tried before it counts as failed.
    pub attempts: u32,
    /// Waits between attempts double up to this.
    pub longest_wait: Duration,
}

impl FetchLimits {
    /// Under `conf`, for a task that is sure of `memory` bytes: the streams have no more than a quarter of that.
    pub fn new(conf: &SparkConf, memory: usize) -> Self {
        let count = |key, most: usize| usize::try_from(conf.int(key)).unwrap_or(1).clamp(1, most);
        let in_flight = u64::try_from(conf.bytes(&keys::REDUCER_MAX_SIZE_IN_FLIGHT)).unwrap_or(0);
        let streams = usize::try_from(in_flight.min(memory as u64 / 4) / STREAM_BYTES).unwrap_or(1).max(1);
        Self {
            streams: streams.min(count(&keys::REDUCER_MAX_REQS_IN_FLIGHT, usize::MAX)),
            blocks: count(&keys::REDUCER_MAX_BLOCKS_PER_ADDRESS, MOST_BLOCKS),
            attempts: u32::try_from(conf.int(&keys::SHUFFLE_IO_MAX_RETRIES).max(0))
                .unwrap_or(u32::MAX)
                .saturating_add(1),
            longest_wait: Duration::from_millis(conf.millis(&keys::SHUFFLE_IO_RETRY_WAIT)),
        }
    }
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self::new(&SparkConf::new(), usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_sparks() {
        let default = FetchLimits::default();
        assert_eq!((default.streams, default.blocks, default.attempts), (5, MOST_BLOCKS, 4));
        let mut conf = SparkConf::new();
        for (key, value) in [
            ("spark.reducer.maxSizeInFlight", "96m"),
            ("spark.reducer.maxReqsInFlight", "7"),
            ("spark.reducer.maxBlocksInFlightPerAddress", "10"),
            ("spark.shuffle.io.maxRetries", "0"),
        ] {
            conf.set(key, value).unwrap();
        }
        let set = FetchLimits::new(&conf, usize::MAX);
        assert_eq!((set.streams, set.blocks, set.attempts), (7, 10, 1));
        // Little memory: one stream, whatever the key says.
        assert_eq!(FetchLimits::new(&conf, 16 << 20).streams, 1);
    }
}
