//! Spark's configuration: string keys and values under Spark's own names, with typed access and Spark's defaults.

pub mod spark;

use std::collections::BTreeMap;

use crate::{SparkError, SparkResult};

/// One key that Firesteel reads.
#[derive(Debug, Clone, Copy)]
pub struct ConfKey {
    pub name: &'static str,
    pub default: &'static str,
    pub doc: &'static str,
    pub kind: ConfKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfKind {
    Bool,
    Int,
    Double,
    /// Spark's byte strings: `512m`, `4g`; a bare number is bytes.
    Bytes,
    /// Spark's time strings: `100ms`, `30s`, `5min`; a bare number is seconds.
    Duration,
    /// As [`ConfKind::Duration`], but a bare number is milliseconds. Spark has both.
    Millis,
    Text,
}

/// Who can set a key, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfScope {
    /// Read when the application starts.
    Application,
    /// May be set in a session, with SET, at any time.
    Session,
}

impl ConfKey {
    pub fn scope(&self) -> ConfScope {
        // Spark's local properties, which belong to the session's jobs.
        let of_jobs = ["spark.scheduler.pool", "spark.jobGroup.id", "spark.job.tags"].contains(&self.name);
        let of_sql = self.name.starts_with("spark.sql.") && self.name != keys::WAREHOUSE_DIR.name;
        if of_jobs || of_sql { ConfScope::Session } else { ConfScope::Application }
    }
}

macro_rules! conf_keys {
    ($($konst:ident = $name:literal, $kind:ident, $default:literal, $doc:literal;)*) => {
        /// The keys that are read, by name, for typed access and for docs/configuration.md.
        pub mod keys {
            use super::{ConfKey, ConfKind};
            $(
                #[doc = $doc]
                pub const $konst: ConfKey =
                    ConfKey { name: $name, default: $default, doc: $doc, kind: ConfKind::$kind };
            )*
            pub const ALL: &[ConfKey] = &[$($konst),*];
        }
    };
}

conf_keys! {
    ANSI_ENABLED = "spark.sql.ansi.enabled", Bool, "true", "Overflow, division by zero and bad casts are errors instead of nulls.";
    DOUBLE_QUOTED_IDENTIFIERS = "spark.sql.ansi.doubleQuotedIdentifiers", Bool, "false", "In ANSI mode, whether double quotes enclose identifiers instead of strings.";
    GROUP_BY_ORDINAL = "spark.sql.groupByOrdinal", Bool, "true", "Whether a number in GROUP BY is a position of the select list.";
    ORDER_BY_ORDINAL = "spark.sql.orderByOrdinal", Bool, "true", "Whether a number in ORDER BY is a position of the select list.";
    GROUP_BY_ALIASES = "spark.sql.groupByAliases", Bool, "true", "Whether GROUP BY finds the select list's aliases.";
    LEAF_PARALLELISM = "spark.sql.leafNodeDefaultParallelism", Int, "", "Partitions of rows that are made and not read. Not set: spark.default.parallelism.";
    SESSION_TIME_ZONE = "spark.sql.session.timeZone", Text, "", "Zone that timestamps are read and shown in; empty: the machine's.";
    CASE_SENSITIVE = "spark.sql.caseSensitive", Bool, "false", "Whether names differ by case.";
    CATALOG = "firesteel.sql.catalog", Text, "memory", "Where databases, tables and views are kept: memory (they live as long as the application) or warehouse (below spark.sql.warehouse.dir, for every session).";
    TIMESTAMP_TYPE = "spark.sql.timestampType", Text, "TIMESTAMP_LTZ", "What TIMESTAMP is without more words: TIMESTAMP_LTZ or TIMESTAMP_NTZ.";
    NULL_IN_EMPTY_LIST = "spark.sql.legacy.nullInEmptyListBehavior", Bool, "", "Whether NULL IN (nothing) is NULL instead of false. Not set: as outside of ANSI mode.";
    ALLOW_PRECISION_LOSS = "spark.sql.decimalOperations.allowPrecisionLoss", Bool, "true", "Whether decimal results too long for 38 digits lose digits of the fraction; otherwise they overflow.";
    SHUFFLE_PARTITIONS = "spark.sql.shuffle.partitions", Int, "200", "Partitions of an exchange by key.";
    DEFAULT_PARALLELISM = "spark.default.parallelism", Int, "0", "Partitions of a scan's tasks; 0: the number of task slots.";
    MAX_PARTITION_BYTES = "spark.sql.files.maxPartitionBytes", Bytes, "134217728", "Most bytes of files that one scan task reads.";
    AUTO_BROADCAST_THRESHOLD = "spark.sql.autoBroadcastJoinThreshold", Bytes, "10485760", "A join side of at most this size is broadcast; -1: never.";
    ADAPTIVE_ENABLED = "spark.sql.adaptive.enabled", Bool, "true", "Whether queries on a cluster are planned further while they run, by the sizes of what is there.";
    ADVISORY_PARTITION_SIZE = "spark.sql.adaptive.advisoryPartitionSizeInBytes", Bytes, "67108864", "Bytes of a shuffle that a task should read.";
    COALESCE_PARTITIONS = "spark.sql.adaptive.coalescePartitions.enabled", Bool, "true", "Whether small neighbouring partitions are read by one task.";
    COALESCE_PARALLELISM_FIRST = "spark.sql.adaptive.coalescePartitions.parallelismFirst", Bool, "true", "Whether partitions are only coalesced as far as all task slots stay in use.";
    COALESCE_MIN_PARTITION_SIZE = "spark.sql.adaptive.coalescePartitions.minPartitionSize", Bytes, "1048576", "Smaller partitions are coalesced although slots stay empty.";
    INITIAL_PARTITION_NUM = "spark.sql.adaptive.coalescePartitions.initialPartitionNum", Int, "", "Partitions of an exchange by key before any are coalesced; not set: spark.sql.shuffle.partitions.";
    ADAPTIVE_BROADCAST_THRESHOLD = "spark.sql.adaptive.autoBroadcastJoinThreshold", Bytes, "", "A join side that turns out to be of at most this size is broadcast; not set: spark.sql.autoBroadcastJoinThreshold; -1: never.";
    SKEW_JOIN = "spark.sql.adaptive.skewJoin.enabled", Bool, "true", "Whether a join's partition that is much larger than the others is joined by several tasks.";
    SKEW_FACTOR = "spark.sql.adaptive.skewJoin.skewedPartitionFactor", Double, "5.0", "A partition is skewed when it is this many times as large as the median.";
    SKEW_THRESHOLD = "spark.sql.adaptive.skewJoin.skewedPartitionThresholdInBytes", Bytes, "268435456", "No smaller partition is skewed.";
    LOCAL_SHUFFLE_READER = "spark.sql.adaptive.localShuffleReader.enabled", Bool, "true", "Whether tasks read whole map outputs where rows need not be in partitions by key any more.";
    LOCAL_MAP_THRESHOLD = "spark.sql.adaptive.maxShuffledHashJoinLocalMapThreshold", Bytes, "0", "A sort-merge join one side of which has no larger partition becomes a hash join, if this is not below the advisory partition size.";
    SORT_MERGE_THRESHOLD = "firesteel.sql.join.sortMergeThreshold", Bytes, "", "A join partition both sides of which are larger sorts and merges them instead of building a hash table; -1: never, but for hints. Not set: 16 times the memory of a task, up to which a hash join goes to disk once.";
    NON_EMPTY_PARTITION_RATIO = "spark.sql.adaptive.nonEmptyPartitionRatioForBroadcastJoin", Double, "0.2", "A side that has rows in a smaller share of its partitions is not broadcast, whatever its size.";
    PARTITION_OVERWRITE_MODE = "spark.sql.sources.partitionOverwriteMode", Text, "STATIC", "What INSERT OVERWRITE of a partitioned table replaces: STATIC or DYNAMIC.";
    BINARY_OUTPUT_STYLE = "spark.sql.binaryOutputStyle", Text, "", "How sql --json-session shows bytes: UTF-8, BASIC, BASE64, HEX or HEX_DISCRETE; empty: UTF-8.";
    WAREHOUSE_DIR = "spark.sql.warehouse.dir", Text, "spark-warehouse", "Folder of the tables that have no location of their own.";
    DEFAULT_SOURCE = "spark.sql.sources.default", Text, "parquet", "Format of tables and paths that name none.";
    PARQUET_COMPRESSION = "spark.sql.parquet.compression.codec", Text, "snappy", "Codec of Parquet files written.";
    ORC_COMPRESSION = "spark.sql.orc.compression.codec", Text, "zstd", "Codec of ORC files written.";
    AVRO_COMPRESSION = "spark.sql.avro.compression.codec", Text, "snappy", "Codec of Avro files written.";
    PARQUET_MERGE_SCHEMA = "spark.sql.parquet.mergeSchema", Bool, "false", "Whether the schema of Parquet files is that of all files instead of one.";
    ORC_MERGE_SCHEMA = "spark.sql.orc.mergeSchema", Bool, "false", "Whether the schema of ORC files is that of all files instead of one.";
    IGNORE_CORRUPT_FILES = "spark.sql.files.ignoreCorruptFiles", Bool, "false", "Whether a damaged file ends where the damage is seen, instead of failing the query. Not for Parquet.";
    IGNORE_MISSING_FILES = "spark.sql.files.ignoreMissingFiles", Bool, "false", "Whether a file that is gone when it is read has no rows, instead of failing the query. Not for Parquet.";
    MAX_RECORDS_PER_FILE = "spark.sql.files.maxRecordsPerFile", Int, "0", "Most rows of a file that is written; 0: any number.";
    PARTITION_TYPE_INFERENCE = "spark.sql.sources.partitionColumnTypeInference.enabled", Bool, "true", "Whether partition columns that no schema names have the type of their values, instead of being strings.";
    CORRUPT_RECORD_COLUMN = "spark.sql.columnNameOfCorruptRecord", Text, "_corrupt_record", "The column for the text of JSON, CSV and XML records that cannot be read.";
    CSV_COLUMN_PRUNING = "spark.sql.csv.parser.columnPruning.enabled", Bool, "true", "Whether CSV values that a query does not read are not looked at.";
    VARIABLE_SUBSTITUTE = "spark.sql.variable.substitute", Bool, "true", "Whether ${key} in SQL text is replaced by the key's value.";
    TASK_MAX_FAILURES = "spark.task.maxFailures", Int, "4", "Failures of one task after which its job fails.";
    STAGE_MAX_CONSECUTIVE_ATTEMPTS = "spark.stage.maxConsecutiveAttempts", Int, "4", "Attempts of one stage in a row, for lost map outputs, after which its job fails.";
    SPECULATION = "spark.speculation", Bool, "false", "Whether tasks that take much longer than the others of their stage get a copy on another node.";
    SPECULATION_INTERVAL = "spark.speculation.interval", Millis, "100ms", "How often it is looked for slow tasks.";
    SPECULATION_MULTIPLIER = "spark.speculation.multiplier", Double, "3", "A task is slow when it runs this many times as long as the median.";
    SPECULATION_QUANTILE = "spark.speculation.quantile", Double, "0.9", "Share of a stage's tasks that must be done before one of them is copied.";
    SPECULATION_MIN_RUNTIME = "spark.speculation.minTaskRuntime", Millis, "100ms", "No task is copied before it has run this long.";
    SPECULATION_THRESHOLD = "spark.speculation.task.duration.threshold", Millis, "", "In stages of no more tasks than an executor has slots, a task that runs longer than this is slow. Not set: no such rule.";
    SPECULATION_EFFICIENCY = "spark.speculation.efficiency.enabled", Bool, "true", "Whether a slow task is left alone that reads rows about as fast as the others do.";
    SPECULATION_PROCESS_RATE = "spark.speculation.efficiency.processRateMultiplier", Double, "0.75", "A slow task is copied when it reads rows at less than this share of the others' mean rate.";
    SPECULATION_LONG_RUN = "spark.speculation.efficiency.longRunTaskFactor", Double, "2.0", "However fast it reads, a task is copied when it runs this many times as long as makes it slow.";
    DECOMMISSION_KILL_INTERVAL = "spark.executor.decommission.killInterval", Duration, "", "Time from the notice until a leaving executor is ended from outside: with speculation, its tasks that will not be done by then are copied. Not set: not known.";
    STAGE_IGNORE_DECOMMISSION = "spark.stage.ignoreDecommissionFetchFailure", Bool, "true", "Whether blocks that a leaving executor could not serve are left out of spark.stage.maxConsecutiveAttempts.";
    EXECUTOR_MAX_FAILURES = "spark.executor.maxNumFailures", Int, "", "Executor failures after which running jobs fail. Not set: twice the number of executors asked for (with dynamic allocation, of spark.dynamicAllocation.maxExecutors), at least 3.";
    EXECUTOR_FAILURES_VALIDITY = "spark.executor.failuresValidityInterval", Millis, "", "Executor failures older than this no longer count. Not set: they count for ever.";
    NO_EXECUTORS_TIMEOUT = "firesteel.scheduler.noExecutorsTimeout", Duration, "300s", "Jobs fail when there has been no executor for this long.";
    TASKS_AHEAD = "firesteel.scheduler.tasksAhead", Int, "64", "Tasks that an executor is given beyond its slots, so that it need not wait for the driver between two: only in large stages whose tasks take no more than 4 ms, when no other stage has tasks to launch, and without speculation. 0: none; at most 1024.";
    EXCLUDE_ON_FAILURE = "spark.excludeOnFailure.enabled", Bool, "false", "Whether executors and nodes on which tasks failed get no further ones; the two keys after this one overrule it, each for its level.";
    EXCLUDE_TASK_AND_STAGE = "spark.excludeOnFailure.taskAndStage.enabled", Bool, "", "Whether they are excluded for the task, or for the rest of the stage. Not set: as spark.excludeOnFailure.enabled.";
    EXCLUDE_APPLICATION = "spark.excludeOnFailure.application.enabled", Bool, "", "Whether they are excluded for all tasks for a time. Not set: as spark.excludeOnFailure.enabled.";
    EXCLUDE_TIMEOUT = "spark.excludeOnFailure.timeout", Millis, "1h", "How long an executor or node is excluded for the application.";
    EXCLUDE_TASK_PER_EXECUTOR = "spark.excludeOnFailure.task.maxTaskAttemptsPerExecutor", Int, "1", "Failures of a task on one executor after which it does not go there again.";
    EXCLUDE_TASK_PER_NODE = "spark.excludeOnFailure.task.maxTaskAttemptsPerNode", Int, "2", "Failures of a task on one node after which it does not go there again; less than spark.task.maxFailures.";
    EXCLUDE_STAGE_PER_EXECUTOR = "spark.excludeOnFailure.stage.maxFailedTasksPerExecutor", Int, "2", "Different tasks of a stage that fail on an executor, after which none of the stage's goes there.";
    EXCLUDE_STAGE_PER_NODE = "spark.excludeOnFailure.stage.maxFailedExecutorsPerNode", Int, "2", "Executors of a node excluded for a stage, after which the node is.";
    EXCLUDE_APPLICATION_PER_EXECUTOR = "spark.excludeOnFailure.application.maxFailedTasksPerExecutor", Int, "2", "Different tasks, of stages that succeeded in the end, that failed on an executor, after which it is excluded for the application.";
    EXCLUDE_APPLICATION_PER_NODE = "spark.excludeOnFailure.application.maxFailedExecutorsPerNode", Int, "2", "Executors of a node excluded for the application, after which the node is.";
    EXCLUDE_FETCH_FAILURE = "spark.excludeOnFailure.application.fetchFailure.enabled", Bool, "false", "Whether an executor that does not serve its blocks is excluded for the application at once.";
    EXCLUDE_KILL = "spark.excludeOnFailure.killExcludedExecutors", Bool, "false", "Whether executors that are excluded for the application are ended, so that others take their place.";
    EXCLUDE_UNSCHEDULABLE_TIMEOUT = "spark.scheduler.excludeOnFailure.unschedulableTaskSetTimeout", Millis, "120s", "How long a stage with a task that may run nowhere waits for another executor before its job fails.";
    LOCALITY_WAIT = "spark.locality.wait", Millis, "3s", "How long a task waits for the place it prefers before it goes farther.";
    LOCALITY_WAIT_PROCESS = "spark.locality.wait.process", Millis, "", "The same for the executor that holds its input. Not set: spark.locality.wait.";
    LOCALITY_WAIT_NODE = "spark.locality.wait.node", Millis, "", "The same for another executor of that node. Not set: spark.locality.wait.";
    LOCALITY_LEGACY_RESET = "spark.locality.wait.legacyResetOnTaskLaunch", Bool, "false", "Whether the wait begins again with each task that is launched, as before Spark 3.1.";
    SCHEDULER_MODE = "spark.scheduler.mode", Text, "FIFO", "How jobs that run at the same time share the slots: FIFO or FAIR.";
    SCHEDULER_ALLOCATION_FILE = "spark.scheduler.allocation.file", Text, "", "XML file of the pools of FAIR mode, in Spark's form. Not set: every job is in a pool without a least share and of weight 1.";
    SCHEDULER_POOL = "spark.scheduler.pool", Text, "", "In FAIR mode the pool of the jobs that the session submits from now on; empty: default.";
    CANCELLED_GROUPS = "spark.scheduler.numCancelledJobGroupsToTrack", Int, "1000", "Job groups cancelled with their future jobs that are remembered.";
    JOB_GROUP = "spark.jobGroup.id", Text, "", "The group of the jobs that the session submits from now on, to cancel them by.";
    JOB_TAGS = "spark.job.tags", Text, "", "Tags of the jobs that the session submits from now on, to cancel them by; separated by commas.";
    REAPER = "spark.task.reaper.enabled", Bool, "false", "Whether executors are ended whose tasks do not end when told to.";
    REAPER_KILL_TIMEOUT = "spark.task.reaper.killTimeout", Text, "-1", "How long such a task may take to end, as a time; -1: for ever.";
    EXECUTOR_INSTANCES = "spark.executor.instances", Int, "2", "Executors of the application.";
    EXECUTOR_CORES = "spark.executor.cores", Int, "1", "Task slots of an executor.";
    EXECUTOR_MEMORY = "spark.executor.memory", Bytes, "1g", "Memory of an executor for its tasks.";
    MEMORY_FRACTION = "spark.memory.fraction", Double, "0.6", "Share of an executor's memory for operators and cached blocks; the rest is for what neither accounts.";
    MEMORY_STORAGE_FRACTION = "spark.memory.storageFraction", Double, "0.5", "Share of that which cached blocks keep when operators need memory.";
    REDUCER_MAX_SIZE_IN_FLIGHT = "spark.reducer.maxSizeInFlight", Bytes, "48m", "Most bytes of shuffle blocks that a task has on their way to it.";
    REDUCER_MAX_REQS_IN_FLIGHT = "spark.reducer.maxReqsInFlight", Int, "2147483647", "Most requests for shuffle blocks that a task has open.";
    REDUCER_MAX_BLOCKS_PER_ADDRESS = "spark.reducer.maxBlocksInFlightPerAddress", Int, "2147483647", "Most shuffle blocks that a task asks one executor for at a time.";
    SHUFFLE_IO_MAX_RETRIES = "spark.shuffle.io.maxRetries", Int, "3", "How often a fetch that failed is tried again.";
    SHUFFLE_IO_RETRY_WAIT = "spark.shuffle.io.retryWait", Duration, "5s", "Longest wait between two attempts to fetch; the first waits are shorter.";
    SHUFFLE_SPILL_COMPRESS = "spark.shuffle.spill.compress", Bool, "true", "Whether what operators spill to disk is compressed (lz4).";
    DYNAMIC_BACKLOG = "spark.dynamicAllocation.schedulerBacklogTimeout", Duration, "1s", "How long tasks wait before executors are asked for.";
    DYNAMIC_IDLE = "spark.dynamicAllocation.executorIdleTimeout", Duration, "60s", "How long an executor may do nothing before it is let go.";
    DRIVER_REQUEST_CORES = "spark.kubernetes.driver.request.cores", Text, "", "CPU request of the driver's pod; as spec.driver.coreRequest.";
    DRIVER_LIMIT_CORES = "spark.kubernetes.driver.limit.cores", Text, "", "CPU limit of the driver's pod; as spec.driver.coreLimit.";
    EXECUTOR_REQUEST_CORES = "spark.kubernetes.executor.request.cores", Text, "", "CPU request of executor pods; as spec.executor.coreRequest.";
    EXECUTOR_LIMIT_CORES = "spark.kubernetes.executor.limit.cores", Text, "", "CPU limit of executor pods; as spec.executor.coreLimit.";
    DRIVER_CORES = "spark.driver.cores", Int, "1", "Cores of the driver's pod.";
    DRIVER_OVERHEAD = "spark.driver.memoryOverhead", Text, "", "Memory of the driver's pod beyond what its program may use, without a unit in MiB. Not set: by the factor, at least 384m.";
    DRIVER_OVERHEAD_FACTOR = "spark.driver.memoryOverheadFactor", Double, "", "The same as a share. Not set: spark.kubernetes.memoryOverheadFactor.";
    EXECUTOR_OVERHEAD = "spark.executor.memoryOverhead", Text, "", "Memory of an executor's pod beyond what its program may use, without a unit in MiB. Not set: by the factor, at least 384m.";
    EXECUTOR_OVERHEAD_FACTOR = "spark.executor.memoryOverheadFactor", Double, "", "The same as a share. Not set: spark.kubernetes.memoryOverheadFactor.";
    OVERHEAD_FACTOR = "spark.kubernetes.memoryOverheadFactor", Double, "0.1", "Memory of a pod beyond what its program may use, as a share of that.";
    MASTER = "spark.master", Text, "local[*]", "Where `firesteel run` and `firesteel sql` run plans: local, local[N], local[*] or local-cluster[executors,cores,MiB]. Refused in a SparkJob.";
    DRIVER_MEMORY = "spark.driver.memory", Bytes, "1g", "Memory of the driver.";
    MAX_RESULT_SIZE = "spark.driver.maxResultSize", Bytes, "1g", "Most bytes of one query's result that the driver collects; 0: no limit.";
    LOCAL_DIR = "spark.local.dir", Text, "", "Folders for shuffle files and spills, separated by commas; empty: the system's temporary folder.";
    IO_COMPRESSION = "spark.io.compression.codec", Text, "lz4", "Codec of shuffle blocks: lz4, zstd or none.";
    HELD_OUTPUT = "firesteel.shuffle.maxHeldOutput", Bytes, "4k", "A map output of at most so many bytes, its index among them, stays in the executor's memory (32 MiB for all of them) instead of two files; 0: none does.";
    SHUFFLE_COMPRESS = "spark.shuffle.compress", Bool, "true", "Whether shuffle blocks are compressed. Numbers are stored in as few bytes as their range needs either way.";
    BYPASS_MERGE_THRESHOLD = "spark.shuffle.sort.bypassMergeThreshold", Int, "200", "Up to so many reduce partitions, a map task keeps a buffer of rows for each; with more, or with rows so long that the buffers were few rows each, it gathers rows by partition when it writes them.";
    CACHE_BATCH_SIZE = "spark.sql.inMemoryColumnarStorage.batchSize", Int, "10000", "Most rows of one batch of a cached table.";
    CACHE_COMPRESSED = "spark.sql.inMemoryColumnarStorage.compressed", Bool, "true", "Whether cached batches are compressed where they are encoded: on disk, in serialized levels and on the network.";
    CACHE_PARTITION_PRUNING = "spark.sql.inMemoryColumnarStorage.partitionPruning", Bool, "true", "Whether filters over cached tables leave out batches by their bounds.";
    CHECKPOINT_DIR = "spark.checkpoint.dir", Text, "", "Folder of checkpoints, on storage that outlives executors.";
    HEARTBEAT_INTERVAL = "spark.executor.heartbeatInterval", Millis, "10s", "How often an executor reports to the driver.";
    DECOMMISSION_ENABLED = "spark.decommission.enabled", Bool, "true", "Whether an executor that must leave ends its tasks and hands its outputs over first. Spark's default is false.";
    STORAGE_DECOMMISSION_ENABLED = "spark.storage.decommission.enabled", Bool, "true", "Whether it hands over what it stores. Spark's default is false.";
    DECOMMISSION_SHUFFLE_BLOCKS = "spark.storage.decommission.shuffleBlocks.enabled", Bool, "true", "Whether it hands over its map outputs.";
    DECOMMISSION_CACHED_BLOCKS = "spark.storage.decommission.rddBlocks.enabled", Bool, "true", "Whether it hands over its cached blocks.";
    DECOMMISSION_THREADS = "spark.storage.decommission.shuffleBlocks.maxThreads", Int, "8", "Map outputs that a leaving executor hands over at the same time.";
    DECOMMISSION_MAX_DISK = "spark.storage.decommission.shuffleBlocks.maxDiskSize", Bytes, "-1", "An executor whose map outputs take more than this takes none of others; negative: no limit.";
    DECOMMISSION_MAX_FAILURES = "spark.storage.decommission.maxReplicationFailuresPerBlock", Int, "3", "Tries at handing one block over after which it is left behind.";
    FALLBACK_PATH = "spark.storage.decommission.fallbackStorage.path", Text, "", "Folder in object storage for map outputs that no other executor takes; empty: none.";
    FALLBACK_CLEAN_UP = "spark.storage.decommission.fallbackStorage.cleanUp", Bool, "true", "Whether they are removed once nobody reads them. Spark's default is false.";
    DYNAMIC_ALLOCATION = "spark.dynamicAllocation.enabled", Bool, "false", "Whether the number of executors follows the work (docs/executors.md).";
    DYNAMIC_MIN = "spark.dynamicAllocation.minExecutors", Int, "0", "Never fewer executors than this.";
    DYNAMIC_MAX = "spark.dynamicAllocation.maxExecutors", Int, "2147483647", "Never more; at most 10000.";
    DYNAMIC_INITIAL = "spark.dynamicAllocation.initialExecutors", Int, "0", "Executors at the start; not fewer than minExecutors and spark.executor.instances.";
    DYNAMIC_RATIO = "spark.dynamicAllocation.executorAllocationRatio", Double, "1.0", "Executors asked for, as share of those that would run all tasks at once.";
    DYNAMIC_SUSTAINED = "spark.dynamicAllocation.sustainedSchedulerBacklogTimeout", Duration, "1s", "How long they wait before more are; unless set, as schedulerBacklogTimeout.";
    DYNAMIC_CACHED_IDLE = "spark.dynamicAllocation.cachedExecutorIdleTimeout", Duration, "2147483647s", "The same for one that holds cached blocks.";
    DYNAMIC_SHUFFLE_TRACKING = "spark.dynamicAllocation.shuffleTracking.enabled", Bool, "true", "Whether executors are kept for the map outputs that they hold.";
    DYNAMIC_SHUFFLE_TIMEOUT = "spark.dynamicAllocation.shuffleTracking.timeout", Millis, "9223372036854775807ms", "How long they are kept for that.";
    ALLOCATION_BATCH = "spark.kubernetes.allocation.batch.size", Int, "20", "Executor pods asked for at a time.";
    ALLOCATION_DELAY = "spark.kubernetes.allocation.batch.delay", Millis, "1s", "Time between two such batches.";
    ALLOCATION_TIMEOUT = "spark.kubernetes.allocation.executor.timeout", Millis, "600s", "A pod that was asked for and not seen for so long is asked for again.";
    ALLOCATION_PENDING = "spark.kubernetes.allocation.maxPendingPods", Int, "2147483647", "Executor pods that may wait at the same time.";
    ALLOCATION_MAXIMUM = "spark.kubernetes.allocation.maximum", Int, "2147483647", "Executor pods that may be made in all.";
    TERMINATION_GRACE = "spark.kubernetes.executor.terminationGracePeriodSeconds", Duration, "60s", "Time after which the kubelet kills an executor that must end. Spark's default is 30s.";
    DECOMMISSION_TIMEOUT = "spark.executor.decommission.forceKillTimeout", Duration, "55s", "Time for an executor that must leave to end its tasks and hand over what it stores; unless set, five seconds less than the pod has. Spark has no default.";
    EXECUTOR_REATTACH_TIMEOUT = "firesteel.executor.reattachTimeout", Duration, "15s", "How long an executor whose connection broke may take to come back, with its tasks and outputs, before it counts as lost.";
    EXECUTOR_DRIVER_TIMEOUT = "firesteel.executor.driverTimeout", Duration, "180s", "How long an executor whose driver is gone waits for it to come back, or for the one that takes its place, before it ends.";
    RECOVERY_ENABLED = "firesteel.recovery.enabled", Bool, "true", "Whether a driver that is started again on Kubernetes goes on with the statements and stages that the one before it has finished.";
    NETWORK_TIMEOUT = "spark.network.timeout", Duration, "120s", "Silence after which the other side is taken for lost.";
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SparkConf(BTreeMap<String, String>);

impl SparkConf {
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key after checking the value's form, if the key is one that Firesteel reads.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) -> SparkResult<()> {
        let (key, value) = (key.into(), value.into());
        if let Some(known) = keys::ALL.iter().find(|k| k.name == key) {
            check(known, &value)?;
        }
        self.0.insert(key, value);
        Ok(())
    }

    pub fn unset(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// The value that was set, without defaults.
    pub fn get_raw(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    pub fn text<'a>(&'a self, key: &ConfKey) -> &'a str {
        // The default lives as long as the program.
        self.get_raw(key.name).unwrap_or(key.default)
    }

    pub fn bool(&self, key: &ConfKey) -> bool {
        self.text(key).trim().eq_ignore_ascii_case("true")
    }

    pub fn int(&self, key: &ConfKey) -> i64 {
        self.text(key).trim().parse().unwrap_or_default()
    }

    pub fn double(&self, key: &ConfKey) -> f64 {
        self.text(key).trim().parse().unwrap_or_default()
    }

    /// Bytes; negative values (Spark's "never") are kept.
    pub fn bytes(&self, key: &ConfKey) -> i64 {
        self.bytes_if_set(key).unwrap_or_default()
    }

    /// `None` when it is not set and has no default.
    pub fn bytes_if_set(&self, key: &ConfKey) -> Option<i64> {
        parse_bytes(self.text(key))
    }

    pub fn millis(&self, key: &ConfKey) -> u64 {
        self.millis_if_set(key).unwrap_or_default()
    }

    /// `None` when it is not set and has no default.
    pub fn millis_if_set(&self, key: &ConfKey) -> Option<u64> {
        parse_time(self.text(key), if key.kind == ConfKind::Millis { 1 } else { 1000 })
    }

    /// `None` when it is not set and has no default.
    pub fn bool_if_set(&self, key: &ConfKey) -> Option<bool> {
        Some(self.text(key).trim()).filter(|text| !text.is_empty()).map(|text| text.eq_ignore_ascii_case("true"))
    }

    /// `None` when it is not set and has no default.
    pub fn int_if_set(&self, key: &ConfKey) -> Option<i64> {
        self.text(key).trim().parse().ok()
    }
}

impl FromIterator<(String, String)> for SparkConf {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(iter: T) -> Self {
        Self(iter.into_iter().collect())
    }
}

/// The values that a key may have, where these are few.
fn choices(key: &ConfKey) -> Option<&'static [&'static str]> {
    match key.name {
        name if name == keys::CATALOG.name => Some(&["memory", "warehouse"]),
        name if name == keys::TIMESTAMP_TYPE.name => Some(&["TIMESTAMP_LTZ", "TIMESTAMP_NTZ"]),
        _ => None,
    }
}

fn check(key: &ConfKey, value: &str) -> SparkResult<()> {
    let ok = match key.kind {
        ConfKind::Bool => matches!(value.trim().to_ascii_lowercase().as_str(), "true" | "false"),
        ConfKind::Int => value.trim().parse::<i64>().is_ok(),
        ConfKind::Double => value.trim().parse::<f64>().is_ok_and(f64::is_finite),
        ConfKind::Bytes => parse_bytes(value).is_some(),
        ConfKind::Duration => parse_millis(value).is_some(),
        ConfKind::Millis => parse_time(value, 1).is_some(),
        ConfKind::Text => choices(key).is_none_or(|all| all.iter().any(|c| c.eq_ignore_ascii_case(value.trim()))),
    };
    if ok {
        return Ok(());
    }
    let wanted = match key.kind {
        ConfKind::Bool => "boolean",
        ConfKind::Int => "int",
        ConfKind::Double => "a number such as 1.5",
        ConfKind::Bytes => "a size such as 512m or 4g",
        ConfKind::Duration | ConfKind::Millis => "a time such as 100ms, 30s or 5min",
        ConfKind::Text => "one of its values",
    };
    let wanted = match choices(key) {
        Some(all) => all.join(" or "),
        None => wanted.to_owned(),
    };
    Err(SparkError::new(
        "INVALID_CONF_VALUE.TYPE_MISMATCH",
        "22022",
        format!("The value '{value}' in the config \"{}\" is invalid: it should be {wanted}.", key.name),
    )
    .param("confName", key.name)
    .param("confValue", value)
    .param("confType", wanted))
}

/// The session's time zone, or the machine's.
pub fn time_zone(conf: &SparkConf) -> String {
    let set = conf.text(&keys::SESSION_TIME_ZONE).trim();
    if !set.is_empty() {
        return set.to_owned();
    }
    let from_link = || {
        let target = std::fs::read_link("/etc/localtime").ok()?;
        let target = target.to_string_lossy().into_owned();
        target.split_once("zoneinfo/").map(|(_, zone)| zone.to_owned())
    };
    std::env::var("TZ")
        .ok()
        .map(|z| z.trim_start_matches(':').to_owned())
        .filter(|z| !z.is_empty())
        .or_else(|| {
            std::fs::read_to_string("/etc/timezone").ok().map(|z| z.trim().to_owned()).filter(|z| !z.is_empty())
        })
        .or_else(from_link)
        .unwrap_or_else(|| "UTC".to_owned())
}

/// Spark's byte strings: a number with an optional suffix b, k, m, g, t or p (or kb, mb …), powers of 1024.
pub fn parse_bytes(text: &str) -> Option<i64> {
    let text = text.trim().to_ascii_lowercase();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(text.len());
    let number: i64 = text[..split].parse().ok()?;
    let shift = match text[split..].trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" | "ki" => 10,
        "m" | "mb" | "mib" | "mi" => 20,
        "g" | "gb" | "gib" | "gi" => 30,
        "t" | "tb" | "tib" | "ti" => 40,
        "p" | "pb" | "pib" | "pi" => 50,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// Spark's time strings, in milliseconds; a bare number is seconds.
pub fn parse_millis(text: &str) -> Option<u64> {
    parse_time(text, 1000)
}

/// A bare number counts in `unit_ms`.
fn parse_time(text: &str, unit_ms: u64) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..split].parse().ok()?;
    let factor = match text[split..].trim() {
        "" => unit_ms,
        "us" => return Some(number / 1000),
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_has_the_form_of_its_key() {
        for key in keys::ALL.iter().filter(|key| !key.default.is_empty()) {
            check(key, key.default).unwrap();
        }
    }

    #[test]
    fn sizes_and_times_as_spark_writes_them() {
        assert_eq!(parse_bytes("4g"), Some(4 << 30));
        assert_eq!(parse_bytes("-1"), Some(-1));
        assert_eq!(parse_bytes("4x"), None);
        assert_eq!(parse_millis("5min"), Some(300_000));
        assert_eq!(parse_millis("10"), Some(10_000));
    }
}
