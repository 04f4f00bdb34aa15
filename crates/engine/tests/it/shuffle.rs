//! What is written to a shuffle is what is read from it.

use std::{fs, io, sync::Arc};

use arrow::{
    array::{
        ArrayRef, AsArray, DictionaryArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
        StringViewArray, StructArray,
    },
    datatypes::{DataType, Field, Int32Type, Int64Type, Schema, UInt16Type},
};
use async_trait::async_trait;
use datafusion::{
    common::{DataFusionError, Result},
    execution::{
        TaskContext,
        memory_pool::{FairSpillPool, MemoryPool, UnboundedMemoryPool},
    },
    physical_expr::expressions::col,
    physical_plan::{ExecutionPlan, Partitioning, empty::EmptyExec, metrics::Time, repartition::BatchPartitioner},
    prelude::SessionConfig,
};
use firesteel_engine::{
    error::find,
    shuffle::{
        BlockClient, BlockCompression, BlockRange, BlockStore, FetchFailedError, MapOutputId, MapOutputLocation,
        MapOutputLocations, MapOutputSource, ShuffleAccess, ShuffleReaderExec, ShuffleTier, ShuffleWriter,
        ShuffleWriterOptions, StoreError, WrittenOutput,
    },
    stage::InputKind,
    storage::Stores,
    task::task_failure,
};
use firesteel_plan::SparkConf;
use firesteel_protocol::{ExecutorId, ShuffleId, proto::task_failure::Cause};
use futures::TryStreamExt;
use tempfile::TempDir;

const SHUFFLE: ShuffleId = ShuffleId(4);

struct Here {
    store: Arc<BlockStore>,
    dir: TempDir,
}

#[derive(Debug)]
struct Maps(u32);

#[async_trait]
impl MapOutputSource for Maps {
    async fn locations(&self, shuffle: ShuffleId, _: u64) -> Result<Arc<MapOutputLocations>> {
        let places = vec![MapOutputLocation {
            executor: Some(ExecutorId::new("me")),
            address: "nowhere".to_owned(),
            outputs: (0..self.0).map(|map| (map, 0)).collect(),
        }];
        Ok(Arc::new(MapOutputLocations { epoch: 1, num_maps: self.0, stored_as: shuffle, places }))
    }
}

impl Here {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let dirs = [dir.path().join("a"), dir.path().join("b")];
        Self { store: Arc::new(BlockStore::open(&dirs, "me").unwrap()), dir }
    }

    fn write(
        &self,
        map: u32,
        partitioning: &Partitioning,
        options: ShuffleWriterOptions,
        pool: &Arc<dyn MemoryPool>,
        batches: &[RecordBatch],
    ) -> Result<WrittenOutput> {
        let id = MapOutputId { shuffle: SHUFFLE, map, attempt: 0 };
        let schema = batches[0].schema();
        let mut writer = ShuffleWriter::new(&self.store, id, schema, partitioning, options, pool)?;
        batches.iter().try_for_each(|batch| writer.write(batch.clone()))?;
        writer.finish()
    }

    async fn read(&self, maps: u32, kind: InputKind, schema: Arc<Schema>, n: usize) -> Result<Vec<Vec<RecordBatch>>> {
        let input: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(schema));
        let partitioning = Partitioning::UnknownPartitioning(n);
        self.read_with(maps, ShuffleReaderExec::new(SHUFFLE, kind, &input, partitioning)).await
    }

    async fn read_with(&self, maps: u32, reader: ShuffleReaderExec) -> Result<Vec<Vec<RecordBatch>>> {
        let n = reader.properties().partitioning.partition_count();
        let reader = Arc::new(reader);
        let access = ShuffleAccess {
            source: Arc::new(Maps(maps)),
            client: BlockClient::new("", std::time::Duration::from_secs(1)).unwrap(),
            tier: ShuffleTier::new(Arc::new(Stores::new(&SparkConf::new()))),
            local: Some((ExecutorId::new("me"), self.store.clone())),
        };
        let config = SessionConfig::new().with_extension(Arc::new(access));
        let context = Arc::new(TaskContext::default().with_session_config(config));
        let mut partitions = Vec::new();
        for partition in 0..n {
            partitions.push(reader.execute(partition, context.clone())?.try_collect().await?);
        }
        Ok(partitions)
    }
}

fn unbounded() -> Arc<dyn MemoryPool> {
    Arc::new(UnboundedMemoryPool::default())
}

/// Long texts in views, dictionaries, structs; `from` makes batches differ.
fn batch(from: i64, rows: usize) -> RecordBatch {
    let ids = from..from + rows as i64;
    let words: DictionaryArray<UInt16Type> =
        ids.clone().map(|i| (i % 4 != 0).then(|| ["red", "green", "blue"][i as usize % 3])).collect();
    let inner = StructArray::from(vec![(
        Arc::new(Field::new("x", DataType::Int32, true)),
        Arc::new(ids.clone().map(|i| (i % 3 != 0).then_some(i as i32)).collect::<Int32Array>()) as ArrayRef,
    )]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(ids.clone()))),
        (
            "view",
            Arc::new(StringViewArray::from_iter_values(ids.clone().map(|i| format!("a long text of row {i:09}")))),
        ),
        ("word", Arc::new(words)),
        ("inner", Arc::new(inner)),
        ("text", Arc::new(ids.map(|i| (i % 5 != 0).then(|| i.to_string())).collect::<StringArray>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn ids(batches: &[RecordBatch]) -> Vec<i64> {
    batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

/// All columns of all rows as text, sorted.
fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let text = arrow::util::pretty::pretty_format_batches(batches).unwrap().to_string();
    let mut lines: Vec<_> = text.lines().filter(|line| line.starts_with('|')).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn rows_go_where_a_repartition_would_send_them() {
    let batches: Vec<_> = (0..6).map(|i| batch(i * 1000, 1000)).collect();
    let keys = vec![col("id", &batches[0].schema()).unwrap(), col("text", &batches[0].schema()).unwrap()];
    let hash = Partitioning::Hash(keys.clone(), 5);
    let mut expected: Vec<Vec<RecordBatch>> = vec![vec![]; 5];
    let mut partitioner = BatchPartitioner::new_hash_partitioner(keys, 5, Time::new()).unwrap();
    for batch in &batches {
        partitioner
            .partition(batch.clone(), |p, rows| {
                expected[p].push(rows);
                Ok(())
            })
            .unwrap();
    }
    for compression in [BlockCompression::None, BlockCompression::Lz4, BlockCompression::Zstd] {
        let here = Here::new();
        let options = ShuffleWriterOptions { compression, ..Default::default() };
        for (map, part) in batches.chunks(2).enumerate() {
            let written = here.write(map as u32, &hash, options, &unbounded(), part).unwrap();
            assert_eq!((written.rows, written.spilled_bytes), (2000, 0));
            assert!(written.sizes.iter().all(|size| *size > 0));
        }
        let got = here.read(3, InputKind::Partitioned, batches[0].schema(), 5).await.unwrap();
        for (got, expected) in got.iter().zip(&expected) {
            assert_eq!(texts(got), texts(expected), "{compression:?}");
        }
    }
}

#[tokio::test]
async fn little_memory_gives_the_same_rows_in_more_runs() {
    let batches: Vec<_> = (0..40).map(|i| batch(i * 500, 500)).collect();
    let hash = Partitioning::Hash(vec![col("id", &batches[0].schema()).unwrap()], 4);
    for (pool, buffer) in [(100 << 10, usize::MAX), (10, usize::MAX), (usize::MAX, 200 << 10)] {
        let here = Here::new();
        let memory: Arc<dyn MemoryPool> = Arc::new(FairSpillPool::new(pool));
        let options = ShuffleWriterOptions { buffer_bytes: buffer, ..Default::default() };
        let written = here.write(0, &hash, options, &memory, &batches).unwrap();
        assert!(written.spilled_bytes > 0, "{pool} {buffer}");
        assert_eq!(memory.reserved(), 0);
        let got = here.read(1, InputKind::Partitioned, batches[0].schema(), 4).await.unwrap();
        let all: Vec<_> = got.into_iter().flatten().collect();
        assert_eq!(texts(&all), texts(&batches), "{pool} {buffer}");
    }
}

#[tokio::test]
async fn one_partition_keeps_the_order_of_rows() {
    let batches: Vec<_> = (0..50).map(|i| batch(i * 100, 100)).collect();
    let here = Here::new();
    let one = Partitioning::UnknownPartitioning(1);
    let options = ShuffleWriterOptions { batch_bytes: 10 << 10, ..Default::default() };
    here.write(0, &one, options, &unbounded(), &batches).unwrap();
    here.write(1, &one, options, &unbounded(), &batches[..1]).unwrap();
    let per_map = here.read(2, InputKind::PerMap, batches[0].schema(), 2).await.unwrap();
    assert_eq!(ids(&per_map[0]), (0..5000).collect::<Vec<_>>());
    assert_eq!(ids(&per_map[1]), (0..100).collect::<Vec<_>>());
    // Frames are of about the size asked for, not of the whole buffer.
    assert!(per_map[0].len() > 10, "{}", per_map[0].len());
    let gathered = here.read(2, InputKind::Gather, batches[0].schema(), 1).await.unwrap();
    assert_eq!(ids(&gathered[0]).len(), 5100);
}

/// Neighbouring partitions put together, one partition in parts, one map's output alone.
#[tokio::test]
async fn readers_read_any_range_of_blocks() {
    let batches: Vec<_> = (0..3).map(|i| batch(i * 1000, 1000)).collect();
    let schema = batches[0].schema();
    let hash = Partitioning::Hash(vec![col("id", &schema).unwrap()], 5);
    let here = Here::new();
    for (map, rows) in batches.iter().enumerate() {
        here.write(map as u32, &hash, Default::default(), &unbounded(), std::slice::from_ref(rows)).unwrap();
    }
    let single = here.read(3, InputKind::Partitioned, schema.clone(), 5).await.unwrap();
    let sorted = |batches: &[RecordBatch]| {
        let mut ids = ids(batches);
        ids.sort_unstable();
        ids
    };
    let input: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(schema));
    let reader = ShuffleReaderExec::new(SHUFFLE, InputKind::Partitioned, &input, hash);
    let range = |maps, partitions| BlockRange { maps, partitions };
    let ranges = vec![range(0..3, 0..2), range(0..1, 2..3), range(1..3, 2..3), range(0..3, 3..5)];
    let n = Partitioning::UnknownPartitioning(4);
    let got = here.read_with(3, reader.with_ranges(InputKind::Partitioned, ranges, n)).await.unwrap();
    assert_eq!(sorted(&got[0]), sorted(&[single[0].clone(), single[1].clone()].concat()));
    let first = sorted(&got[1]);
    assert!(!first.is_empty() && first.iter().all(|id| *id < 1000), "{first:?}");
    assert_eq!(sorted(&[got[1].clone(), got[2].clone()].concat()), sorted(&single[2]));
    assert_eq!(sorted(&got[3]), sorted(&[single[3].clone(), single[4].clone()].concat()));
    let ranges = (0..3).map(|map| range(map..map + 1, 0..5)).collect();
    let n = Partitioning::UnknownPartitioning(3);
    let got = here.read_with(3, reader.with_ranges(InputKind::Partitioned, ranges, n)).await.unwrap();
    for (map, rows) in batches.iter().enumerate() {
        assert_eq!(texts(&got[map]), texts(std::slice::from_ref(rows)));
    }
}

#[tokio::test]
async fn round_robin_is_even() {
    let here = Here::new();
    let batches = [batch(0, 3), batch(3, 4), batch(7, 3)];
    let written = here.write(1, &Partitioning::RoundRobinBatch(5), Default::default(), &unbounded(), &batches).unwrap();
    assert_eq!(written.rows, 10);
    here.write(0, &Partitioning::RoundRobinBatch(5), Default::default(), &unbounded(), &batches).unwrap();
    let got = here.read(2, InputKind::Partitioned, batches[0].schema(), 5).await.unwrap();
    assert!(got.iter().all(|rows| ids(rows).len() == 4));
}

#[tokio::test]
async fn rows_without_columns_are_counted() {
    let here = Here::new();
    let schema = Arc::new(Schema::empty());
    let options = RecordBatchOptions::new().with_row_count(Some(70_000));
    let rows = RecordBatch::try_new_with_options(schema.clone(), vec![], &options).unwrap();
    for (shuffle, n) in [(Partitioning::UnknownPartitioning(1), 1), (Partitioning::RoundRobinBatch(3), 3)] {
        here.write(0, &shuffle, Default::default(), &unbounded(), std::slice::from_ref(&rows)).unwrap();
        let got = here.read(1, InputKind::Partitioned, schema.clone(), n).await.unwrap();
        assert_eq!(got.iter().flatten().map(RecordBatch::num_rows).sum::<usize>(), 70_000);
        here.store.remove_output(MapOutputId { shuffle: SHUFFLE, map: 0, attempt: 0 });
    }
}

/// Ten rows of a view array that holds on to ten thousand must not carry those along.
#[test]
fn few_rows_of_a_large_buffer_are_small() {
    let here = Here::new();
    let large = batch(0, 10_000);
    let few: Vec<_> = (0..10).map(|i| large.slice(i * 1000, 1)).collect();
    let written = here.write(0, &Partitioning::UnknownPartitioning(1), Default::default(), &unbounded(), &few).unwrap();
    assert!(written.sizes[0] < 10_000, "{}", written.sizes[0]);
    let hash = Partitioning::Hash(vec![col("id", &large.schema()).unwrap()], 2);
    let written = here.write(1, &hash, Default::default(), &unbounded(), &few).unwrap();
    assert!(written.sizes.iter().sum::<u64>() < 10_000, "{:?}", written.sizes);
}

#[test]
fn other_types_than_declared_are_refused() {
    let here = Here::new();
    let declared = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, true)]));
    let one = Partitioning::UnknownPartitioning(1);
    let id = MapOutputId { shuffle: SHUFFLE, map: 0, attempt: 0 };
    let mut writer = ShuffleWriter::new(&here.store, id, declared, &one, Default::default(), &unbounded()).unwrap();
    let numbers: ArrayRef = Arc::new(arrow::array::PrimitiveArray::<Int32Type>::from_iter_values([1]));
    assert!(writer.write(RecordBatch::try_from_iter([("id", numbers)]).unwrap()).is_err());
    drop(writer);
    let left: Vec<_> = fs::read_dir(here.dir.path().join("a/firesteel-me"))
        .into_iter()
        .flatten()
        .flatten()
        .flat_map(|d| fs::read_dir(d.path()).unwrap())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn outputs_come_and_go() {
    let here = Here::new();
    let one = Partitioning::UnknownPartitioning(1);
    let rows = [batch(0, 100)];
    let id = |map| MapOutputId { shuffle: SHUFFLE, map, attempt: 0 };
    let written = here.write(0, &one, Default::default(), &unbounded(), &rows).unwrap();
    here.write(1, &one, Default::default(), &unbounded(), &rows).unwrap();
    assert!(here.store.disk_used() >= 2 * written.sizes[0]);
    here.store.remove_output(id(0));
    assert!(matches!(here.store.blocks(id(0), 0..1), Err(StoreError::Missing(_))));
    assert_eq!(here.store.blocks(id(1), 0..1).unwrap()[0].length(), written.sizes[0]);
    // A task that still writes when its shuffle is removed does not bring it back.
    let mut late =
        ShuffleWriter::new(&here.store, id(2), rows[0].schema(), &one, Default::default(), &unbounded()).unwrap();
    late.write(rows[0].clone()).unwrap();
    here.store.remove_shuffle(SHUFFLE);
    let error = late.finish().unwrap_err();
    assert!(matches!(find::<StoreError>(&error), Some(StoreError::Removed(SHUFFLE))), "{error}");
    assert_eq!(here.store.disk_used(), 0);
    // An executor of the same name starts with nothing.
    fs::create_dir_all(here.dir.path().join("a/firesteel-me/shuffle-9")).unwrap();
    let _again = BlockStore::open(&[here.dir.path().join("a")], "me").unwrap();
    assert_eq!(fs::read_dir(here.dir.path().join("a/firesteel-me")).unwrap().count(), 0);
}

#[tokio::test]
async fn small_outputs_stay_in_memory() {
    let files = |here: &Here| {
        let in_folder =
            |dir: &str| fs::read_dir(here.dir.path().join(dir).join(format!("firesteel-me/shuffle-{SHUFFLE}")));
        ["a", "b"].into_iter().filter_map(|dir| in_folder(dir).ok()).flatten().count()
    };
    let mut here = Here::new();
    let dirs = [here.dir.path().join("a"), here.dir.path().join("b")];
    here.store = Arc::new(BlockStore::open(&dirs, "me").unwrap().holding(4096));
    let hash = Partitioning::Hash(vec![col("id", &batch(0, 1).schema()).unwrap()], 3);
    let small = [batch(0, 10)];
    let large = [batch(10, 2000)];
    here.write(0, &hash, Default::default(), &unbounded(), &small).unwrap();
    assert_eq!((files(&here), here.store.disk_used()), (0, 0));
    here.write(1, &hash, Default::default(), &unbounded(), &large).unwrap();
    assert_eq!(files(&here), 2);
    assert!(here.store.disk_used() > 4096);
    let got: Vec<_> =
        here.read(2, InputKind::Partitioned, small[0].schema(), 3).await.unwrap().into_iter().flatten().collect();
    assert_eq!(texts(&got), texts(&[small[0].clone(), large[0].clone()]));
    // They are handed over as others are.
    let id = MapOutputId { shuffle: SHUFFLE, map: 0, attempt: 0 };
    let mut output = here.store.output(id).unwrap();
    let mut bytes = 0;
    while let Some(piece) = output.read(100).unwrap() {
        bytes += piece.len() as u64;
    }
    assert_eq!(bytes, output.data_bytes() + output.index_bytes());
    here.store.remove_output(id);
    assert!(matches!(here.store.blocks(id, 0..1), Err(StoreError::Missing(_))));
    here.store.remove_shuffle(SHUFFLE);
    assert_eq!(here.store.disk_used(), 0);
}

#[test]
fn causes_are_found_through_every_wrapper() {
    let failed = || FetchFailedError {
        shuffle: SHUFFLE,
        executor: Some(ExecutorId::new("exec-1")),
        map_indexes: vec![3],
        corrupt: true,
        message: "as a test".to_owned(),
    };
    let external = || DataFusionError::External(Box::new(failed()));
    let wrapped = [
        external(),
        DataFusionError::Shared(Arc::new(external())),
        external().context("in a join"),
        DataFusionError::External(Box::new(DataFusionError::Shared(Arc::new(external().context("deep"))))),
        DataFusionError::ArrowError(Box::new(arrow::error::ArrowError::ExternalError(Box::new(external()))), None),
        DataFusionError::from(arrow::error::ArrowError::ExternalError(Box::new(failed()))),
        DataFusionError::External(Box::new(arrow::error::ArrowError::ExternalError(Box::new(failed())))),
    ];
    for error in wrapped {
        let Some(Cause::FetchFailed(got)) = task_failure(&error).cause else { panic!("{error:?}") };
        assert_eq!((got.shuffle_id, got.map_indexes, got.corrupt), (4, vec![3], true));
    }
    let full = || io::Error::from(io::ErrorKind::StorageFull);
    for error in [
        DataFusionError::IoError(full()),
        DataFusionError::Shared(Arc::new(DataFusionError::IoError(full()))),
        DataFusionError::from(arrow::error::ArrowError::IoError("spill".to_owned(), full())),
    ] {
        assert!(matches!(task_failure(&error).cause, Some(Cause::DiskFull(_))), "{error:?}");
    }
    let memory = DataFusionError::ResourcesExhausted("sort".to_owned()).context("here");
    assert!(matches!(task_failure(&DataFusionError::Shared(Arc::new(memory))).cause, Some(Cause::OutOfMemory(_))));
}
