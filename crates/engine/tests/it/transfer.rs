//! Map outputs that move: to another executor's store, to the object store.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::SchemaRef,
};
use bytes::{Bytes, BytesMut};
use datafusion::{
    execution::memory_pool::{FairSpillPool, MemoryPool},
    physical_expr::expressions::col,
    physical_plan::Partitioning,
};
use firesteel_engine::{
    shuffle::{
        BlockClient, BlockSources, BlockStore, MapOutputId, ShuffleTier, ShuffleWriter, ShuffleWriterOptions,
        StoreError, fetch_result,
    },
    storage::Stores,
};
use firesteel_plan::SparkConf;
use firesteel_protocol::ShuffleId;
use futures::TryStreamExt;
use tempfile::TempDir;

const ID: MapOutputId = MapOutputId { shuffle: ShuffleId(3), map: 5, attempt: 7 };
const PARTITIONS: u32 = 4;

fn store() -> (Arc<BlockStore>, TempDir) {
    let dir = TempDir::new().unwrap();
    (Arc::new(BlockStore::open(&[dir.path().join("a"), dir.path().join("b")], "me").unwrap()), dir)
}

fn batch(from: i64) -> RecordBatch {
    let ids = from..from + 1000;
    let texts: StringArray = ids.clone().map(|i| Some(format!("row {i}"))).collect();
    let columns: [(&str, ArrayRef); 2] =
        [("id", Arc::new(Int64Array::from_iter_values(ids))), ("text", Arc::new(texts))];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Several runs, so that blocks have several parts.
fn write(store: &BlockStore, partitions: u32) -> SchemaRef {
    let schema = batch(0).schema();
    let partitioning = match partitions {
        1 => Partitioning::UnknownPartitioning(1),
        n => Partitioning::Hash(vec![col("id", &schema).unwrap()], n as usize),
    };
    let pool: Arc<dyn MemoryPool> = Arc::new(FairSpillPool::new(1 << 20));
    let options = ShuffleWriterOptions { buffer_bytes: 20 << 10, ..ShuffleWriterOptions::default() };
    let mut writer = ShuffleWriter::new(store, ID, schema.clone(), &partitioning, options, &pool).unwrap();
    for from in (0..10).map(|n| n * 1000) {
        writer.write(batch(from)).unwrap();
    }
    writer.finish().unwrap();
    schema
}

/// Bytes and checksum of each block.
fn blocks(store: &BlockStore) -> BTreeMap<u32, (Bytes, u32)> {
    let blocks = store.blocks(ID, 0..PARTITIONS).unwrap();
    blocks
        .into_iter()
        .map(|mut block| {
            let mut bytes = BytesMut::new();
            while let Some(piece) = block.read(777).unwrap() {
                bytes.extend_from_slice(&piece);
            }
            (block.partition(), (bytes.freeze(), block.checksum()))
        })
        .collect()
}

#[test]
fn an_output_arrives_as_it_was() {
    let ((from, _a), (to, _b)) = (store(), store());
    write(&from, PARTITIONS);
    let mut output = from.output(ID).unwrap();
    let mut incoming = to.receive(ID, output.data_bytes(), output.index_bytes()).unwrap();
    let mut checksum = 0;
    while let Some(piece) = output.read(1000).unwrap() {
        checksum = crc32c::crc32c_append(checksum, &piece);
        incoming.write(piece).unwrap();
    }
    assert!(matches!(to.blocks(ID, 0..1), Err(StoreError::Missing(_))), "nothing is seen before its end");
    incoming.commit(checksum).unwrap();
    assert_eq!(blocks(&to), blocks(&from));
    assert_eq!(blocks(&to).len(), PARTITIONS as usize);
    assert_eq!(to.disk_used(), from.disk_used());
    // Sent once more, it takes the place of itself.
    let mut output = from.output(ID).unwrap();
    let mut incoming = to.receive(ID, output.data_bytes(), output.index_bytes()).unwrap();
    while let Some(piece) = output.read(1 << 20).unwrap() {
        incoming.write(piece).unwrap();
    }
    incoming.commit(checksum).unwrap();
    assert_eq!((blocks(&to), to.disk_used()), (blocks(&from), from.disk_used()));
}

#[test]
fn what_is_not_what_was_sent_is_not_taken() {
    let ((from, _a), (to, dir)) = (store(), store());
    write(&from, PARTITIONS);
    let all = || {
        let (mut output, mut all) = (from.output(ID).unwrap(), BytesMut::new());
        while let Some(piece) = output.read(1 << 20).unwrap() {
            all.extend_from_slice(&piece);
        }
        all
    };
    let output = from.output(ID).unwrap();
    let (data, index) = (output.data_bytes(), output.index_bytes());
    let checksum = crc32c::crc32c(&all());
    type Change = fn(&mut BytesMut);
    let changes: [(&str, Change); 3] = [
        ("a byte is another", |bytes| bytes[100] ^= 1),
        ("it ends early", |bytes| bytes.truncate(bytes.len() - 1)),
        ("it is too long", |bytes| bytes.extend_from_slice(b"x")),
    ];
    for (what, change) in changes {
        let mut bytes = all();
        change(&mut bytes);
        let mut incoming = to.receive(ID, data, index).unwrap();
        let taken = incoming.write(bytes.freeze()).and_then(|()| incoming.commit(checksum));
        assert!(matches!(taken, Err(StoreError::Damaged { .. })), "{what}: {taken:?}");
        assert!(matches!(to.blocks(ID, 0..1), Err(StoreError::Missing(_))), "{what}");
    }
    let files = walk(dir.path());
    assert!(files.is_empty(), "nothing is left of them: {files:?}");
    assert_eq!(to.disk_used(), 0);
}

#[test]
fn an_output_of_a_shuffle_that_was_removed_is_refused() {
    let ((from, _a), (to, dir)) = (store(), store());
    write(&from, PARTITIONS);
    let mut output = from.output(ID).unwrap();
    let mut incoming = to.receive(ID, output.data_bytes(), output.index_bytes()).unwrap();
    let mut checksum = 0;
    while let Some(piece) = output.read(1 << 20).unwrap() {
        checksum = crc32c::crc32c_append(checksum, &piece);
        incoming.write(piece).unwrap();
    }
    to.remove_shuffle(ID.shuffle);
    assert!(matches!(incoming.commit(checksum), Err(StoreError::Removed(_))));
    assert!(matches!(to.receive(ID, 1, 1), Err(StoreError::Removed(_))));
    assert!(walk(dir.path()).is_empty());
}

#[tokio::test]
async fn an_output_is_read_from_the_store_until_it_is_removed() {
    let ((from, _a), dir) = (store(), TempDir::new().unwrap());
    let schema = write(&from, 1);
    let tier = ShuffleTier::new(Arc::new(Stores::new(&SparkConf::new())));
    let folder = format!("file://{}/app", dir.path().display());
    tier.upload(&folder, from.output(ID).unwrap()).await.unwrap();
    let client = BlockClient::new("", Duration::from_secs(1)).unwrap();
    let sources = BlockSources { client, tier: tier.clone(), locations: None };
    let read = || fetch_result(&sources, None, &folder, ID, schema.clone()).try_collect::<Vec<_>>();
    let rows = read().await.unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 10_000);

    // A byte of the data is another: the reader learns which output it is.
    let data = walk(dir.path()).into_iter().find(|file| file.extension().is_some_and(|e| e == "data")).unwrap();
    let good = std::fs::read(&data).unwrap();
    let mut bad = good.clone();
    bad[5000] ^= 1;
    std::fs::write(&data, bad).unwrap();
    let error =
        firesteel_engine::error::find::<firesteel_engine::shuffle::FetchFailedError>(&read().await.unwrap_err())
            .cloned()
            .unwrap();
    assert!(error.corrupt && error.executor.is_none() && error.map_indexes == [ID.map], "{error:?}");
    std::fs::write(&data, good).unwrap();

    tier.remove_shuffle(&folder, ID.shuffle).await.unwrap();
    assert!(walk(dir.path()).is_empty());
    let error = read().await.unwrap_err();
    let error = firesteel_engine::error::find::<firesteel_engine::shuffle::FetchFailedError>(&error).unwrap();
    assert!(!error.corrupt && error.executor.is_none() && error.map_indexes == [ID.map], "{error:?}");
    tier.remove(&folder).await.unwrap();
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { files.extend(walk(&entry.path())) } else { files.push(entry.path()) }
    }
    files
}
