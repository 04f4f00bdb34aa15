//! Tables for the queries, and two sessions that see them: one for plans that are cut, one that runs alone.

use std::{fs::File, path::Path, sync::Arc};

use datafusion::{
    arrow::{
        array::{
            ArrayRef, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch,
            StringArray, StringViewArray, TimestampMicrosecondArray,
        },
        datatypes::{DataType, Int32Type},
        util::display::{ArrayFormatter, FormatOptions},
    },
    datasource::MemTable,
    prelude::{ParquetReadOptions, SessionContext},
};
use firesteel_engine::{EngineOptions, EngineSession, ExecutionMode};
use firesteel_plan::SparkConf;
use parquet::arrow::ArrowWriter;

pub struct Tables {
    dir: tempfile::TempDir,
}

/// Rows of the large table.
pub const FACTS: usize = 20_000;

impl Tables {
    pub fn new() -> Self {
        let dir = tempfile::TempDir::new().unwrap();
        write(&dir.path().join("fact"), 5, fact(FACTS));
        write(&dir.path().join("dim"), 3, dim(300));
        write(&dir.path().join("small"), 1, dim(7));
        write(&dir.path().join("empty"), 2, fact(0));
        Self { dir }
    }

    /// Plans for executors.
    pub async fn cluster(&self, conf: &[(&str, &str)]) -> SessionContext {
        let mut all = SparkConf::new();
        all.set("spark.sql.shuffle.partitions", "3").unwrap();
        conf.iter().for_each(|(k, v)| all.set(*k, *v).unwrap());
        let session = EngineSession::new(EngineOptions {
            conf: all,
            mode: ExecutionMode::Cluster,
            slots: 4,
            memory_bytes: Some(1 << 30),
            local_dirs: vec![self.dir.path().to_owned()],
        })
        .unwrap();
        let ctx = session.context();
        self.register(&ctx).await;
        ctx
    }

    /// Runs alone, as plain DataFusion.
    pub async fn alone(&self) -> SessionContext {
        let ctx = SessionContext::new();
        self.register(&ctx).await;
        ctx
    }

    async fn register(&self, ctx: &SessionContext) {
        for table in ["fact", "dim", "small", "empty"] {
            let path = self.dir.path().join(table);
            ctx.register_parquet(table, path.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
        }
        let batch = dim(50);
        let table = MemTable::try_new(batch.schema(), vec![vec![batch.slice(0, 20)], vec![batch.slice(20, 30)]]);
        ctx.register_table("memory", Arc::new(table.unwrap())).unwrap();
    }
}

/// Keys that few rows have, one that half of them have, and nulls; every type that a shuffle carries.
pub fn fact(rows: usize) -> RecordBatch {
    let key =
        |i: usize| (!i.is_multiple_of(11)).then_some(if i.is_multiple_of(2) { 1 } else { (i * 7919 % 400) as i64 });
    let text = |i: usize| format!("a text of row {i}, longer than twelve bytes {}", "x".repeat(i % 50));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values((0..rows).map(|i| i as i64)))),
        ("k", Arc::new((0..rows).map(key).collect::<Int64Array>())),
        ("g", Arc::new(Int32Array::from_iter_values((0..rows).map(|i| (i % 13) as i32)))),
        ("v", Arc::new((0..rows).map(|i| (i % 17 != 0).then_some((i % 1000) as f64)).collect::<Float64Array>())),
        ("s", Arc::new(StringArray::from_iter_values((0..rows).map(text)))),
        (
            "w",
            Arc::new((0..rows).map(|i| (i % 5 != 0).then(|| format!("word {}", i % 97))).collect::<StringViewArray>()),
        ),
        (
            "d",
            Arc::new(
                Decimal128Array::from_iter_values((0..rows).map(|i| (i * 3) as i128))
                    .with_precision_and_scale(12, 2)
                    .unwrap(),
            ),
        ),
        ("day", Arc::new(Date32Array::from_iter_values((0..rows).map(|i| (i % 365) as i32)))),
        ("at", Arc::new(TimestampMicrosecondArray::from_iter_values((0..rows).map(|i| i as i64 * 1_000_001)))),
        (
            "list",
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
                (0..rows).map(|i| (i % 3 != 0).then(|| (0..(i % 4) as i32).map(Some).collect::<Vec<_>>())),
            )),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn dim(rows: usize) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("dk", Arc::new((0..rows).map(|i| (i != 3).then_some(i as i64)).collect::<Int64Array>())),
        ("name", Arc::new(StringArray::from_iter_values((0..rows).map(|i| format!("name number {i}"))))),
        ("size", Arc::new(Int32Array::from_iter_values((0..rows).map(|i| (i * 31 % 100) as i32)))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn write(dir: &Path, files: usize, batch: RecordBatch) {
    std::fs::create_dir_all(dir).unwrap();
    let step = batch.num_rows().div_ceil(files);
    for file in 0..files {
        let start = (file * step).min(batch.num_rows());
        let part = batch.slice(start, step.min(batch.num_rows() - start));
        let out = File::create(dir.join(format!("part-{file}.parquet"))).unwrap();
        let mut writer = ArrowWriter::try_new(out, part.schema(), None).unwrap();
        writer.write(&part).unwrap();
        writer.close().unwrap();
    }
}

/// Each row as text. Floats are rounded: sums depend on the order of their terms.
pub fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<ArrayRef> = batch
            .columns()
            .iter()
            .map(|column| match column.data_type() {
                DataType::Float64 => {
                    let rounded = column.as_any().downcast_ref::<Float64Array>().unwrap();
                    Arc::new(rounded.iter().map(|v| v.map(|v| format!("{v:.6}"))).collect::<StringArray>()) as ArrayRef
                }
                _ => column.clone(),
            })
            .collect();
        let formatters: Vec<_> =
            columns.iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            rows.push(formatters.iter().map(|f| f.value(row).to_string()).collect::<Vec<_>>().join("|"));
        }
    }
    rows
}
