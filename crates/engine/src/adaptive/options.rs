//! What the configuration says about adaptive execution.

use firesteel_plan::{SparkConf, conf::keys};

#[derive(Debug, Clone, PartialEq)]
pub struct AdaptiveOptions {
    /// Task slots of the application (Spark's default parallelism).
    pub slots: usize,
    /// Bytes that a task should read (`spark.sql.adaptive.advisoryPartitionSizeInBytes`).
    pub advisory_bytes: u64,
    pub coalesce: Option<CoalesceOptions>,
    pub skew: Option<SkewOptions>,
    /// Most bytes of a side that every task reads whole; `None`: no join is switched.
    pub broadcast_bytes: Option<u64>,
    /// A side fewer of whose partitions hold rows is not read whole by every task
    /// (`spark.sql.adaptive.nonEmptyPartitionRatioForBroadcastJoin`).
    pub non_empty_ratio: f64,
    /// Most bytes of a partition that a hash table is built from instead of sorting
    /// (`spark.sql.adaptive.maxShuffledHashJoinLocalMapThreshold`).
    pub local_map_bytes: u64,
    /// Bytes of a partition of both sides above which they are sorted and merged instead of building a hash table.
    pub sort_above: u64,
    /// `spark.sql.adaptive.localShuffleReader.enabled`
    pub local_reads: bool,
    /// Whether the number of partitions of exchanges by key may follow the size of the tables: nobody set it.
    pub size_partitions: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CoalesceOptions {
    pub parallelism_first: bool,
    pub min_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SkewOptions {
    pub factor: f64,
    pub threshold_bytes: u64,
}

impl AdaptiveOptions {
    /// `None` when plans are cut before they run.
    pub fn of(conf: &SparkConf, slots: usize) -> Option<Self> {
        if !conf.bool(&keys::ADAPTIVE_ENABLED) {
            return None;
        }
        let bytes = |key| u64::try_from(conf.bytes(key)).unwrap_or(0);
        let own = conf.bytes_if_set(&keys::ADAPTIVE_BROADCAST_THRESHOLD);
        let threshold = own.unwrap_or_else(|| conf.bytes(&keys::AUTO_BROADCAST_THRESHOLD));
        Some(Self {
            slots: slots.max(1),
            advisory_bytes: bytes(&keys::ADVISORY_PARTITION_SIZE).max(1),
            coalesce: conf.bool(&keys::COALESCE_PARTITIONS).then(|| CoalesceOptions {
                parallelism_first: conf.bool(&keys::COALESCE_PARALLELISM_FIRST),
                min_bytes: bytes(&keys::COALESCE_MIN_PARTITION_SIZE).max(1),
            }),
            skew: conf.bool(&keys::SKEW_JOIN).then(|| SkewOptions {
                factor: conf.double(&keys::SKEW_FACTOR).max(0.0),
                threshold_bytes: bytes(&keys::SKEW_THRESHOLD),
            }),
            broadcast_bytes: u64::try_from(threshold).ok().filter(|bytes| *bytes > 0),
            non_empty_ratio: conf.double(&keys::NON_EMPTY_PARTITION_RATIO),
            local_map_bytes: bytes(&keys::LOCAL_MAP_THRESHOLD),
            sort_above: crate::join::threshold_of_executors(conf),
            local_reads: conf.bool(&keys::LOCAL_SHUFFLE_READER),
            size_partitions: conf.get_raw(keys::INITIAL_PARTITION_NUM.name).is_none()
                && conf.get_raw(keys::SHUFFLE_PARTITIONS.name).is_none(),
        })
    }
}
