//! The engine's own file sources and sinks, through executors.

use std::collections::BTreeMap;

use datafusion::{
    functions_aggregate::expr_fn::count,
    logical_expr::{col, lit},
    prelude::DataFrame,
};
use firesteel_engine::{
    EngineOptions, EngineSession, ExecutionMode,
    source::{self, SourceSpec},
    write::{self, WriteJob, WriteMode, WriteSpec},
};
use firesteel_plan::{DataType, SparkConf, types::StructField};

use crate::{
    cluster::{Cluster, ClusterOptions},
    data::rows,
};

/// `key,value` and ten rows of three keys, by gzip.
const ZIPPED: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x4e\xad\xd4\x29\x4b\xcc\x29\x4d\xe5\xca\x36\xd0\x31\xe0\xca\x36\xd4\x31\xe4\xca\x36\xd2\x31\x02\x71\x8d\x41\x5c\x13\x10\xd7\x14\xc4\x35\x03\x71\xcd\x41\x5c\x0b\x10\xd7\x92\x0b\x00\x57\xc5\x95\x9b\x3c\x00\x00\x00";

fn session(mode: ExecutionMode, dir: &std::path::Path) -> EngineSession {
    let mut conf = SparkConf::new();
    conf.set("spark.sql.files.maxPartitionBytes", "2k").unwrap();
    conf.set("spark.sql.shuffle.partitions", "3").unwrap();
    let local_dirs = vec![dir.to_owned()];
    EngineSession::new(EngineOptions { conf, mode, slots: 3, memory_bytes: Some(1 << 30), local_dirs }).unwrap()
}

async fn read(session: &EngineSession, format: &str, path: &std::path::Path, options: &[(&str, &str)]) -> DataFrame {
    let options: BTreeMap<_, _> = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let paths = vec![path.to_str().unwrap().to_owned()];
    let spec = SourceSpec { format: format.to_owned(), options, paths, ..Default::default() };
    session.context().read_table(source::open(session, spec).await.unwrap().provider).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_source_reads_the_same_on_executors() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
    };
    let lines: String = (0..500).map(|i| format!("line {i} of a text, {}\n", i % 7)).collect();
    for part in ["a", "b"] {
        file(&format!("text/{part}.txt"), lines.as_bytes());
        file(&format!("zipped/{part}.csv.gz"), ZIPPED);
        file(&format!("csv/day={part}/x.csv"), lines.replace(", ", ";").as_bytes());
        let objects: String = (0..300).map(|i| format!("{{\"a\": {i}, \"b\": \"{part}\"}}\n")).collect();
        file(&format!("json/{part}.json"), objects.as_bytes());
    }
    let cluster = Cluster::start(ClusterOptions::default()).await;
    let (here, there) = (session(ExecutionMode::InProcess, dir.path()), session(ExecutionMode::Cluster, dir.path()));
    type Options<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&str, &str, Options<'_>, usize); 5] = [
        ("text", "text", &[], 1000),
        ("csv", "zipped", &[("header", "true")], 20),
        ("text", "zipped", &[], 22),
        ("csv", "csv", &[("sep", ";")], 1000),
        ("json", "json", &[], 600),
    ];
    for (format, path, options, expected_rows) in cases {
        let path = dir.path().join(path);
        for grouped in [false, true] {
            let query = async |session: &EngineSession| {
                let df = read(session, format, &path, options).await;
                let first = df.schema().columns()[0].clone();
                if grouped { df.aggregate(vec![col(first)], vec![count(lit(1))]).unwrap() } else { df }
            };
            let plan = query(&there).await.create_physical_plan().await.unwrap();
            let mut got = rows(&cluster.run(plan).await.unwrap());
            let mut expected = rows(&query(&here).await.collect().await.unwrap());
            got.sort();
            expected.sort();
            assert_eq!(got, expected, "{format} {path:?}");
            assert!(grouped || got.len() == expected_rows, "{format} {path:?}: {}", got.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_write_what_the_commit_shows() {
    let dir = tempfile::TempDir::new().unwrap();
    let input = dir.path().join("in");
    std::fs::create_dir_all(&input).unwrap();
    for part in 0..4 {
        let lines: String = (0..200).map(|i| format!("{i},{}\n", i % 3)).collect();
        std::fs::write(input.join(format!("{part}.csv")), lines).unwrap();
    }
    let cluster = Cluster::start(ClusterOptions::default()).await;
    let there = session(ExecutionMode::Cluster, dir.path());
    let path = dir.path().join("out");
    let spec = WriteSpec {
        path: path.to_str().unwrap().to_owned(),
        format: "parquet".to_owned(),
        mode: WriteMode::ErrorIfExists,
        columns: vec![StructField::new("n", DataType::String, true), StructField::new("third", DataType::String, true)],
        partition_by: vec!["third".to_owned()],
        static_partition: vec![],
        options: BTreeMap::new(),
    };
    let plan = read(&there, "csv", &input, &[]).await.create_physical_plan().await.unwrap();
    let (job, plan) = write::prepare(&there, plan, &spec, None).await.unwrap().unwrap();
    let messages = cluster.run(plan).await.unwrap();
    let shown = |path: &std::path::Path| std::fs::read_dir(path).into_iter().flatten().flatten().count();
    let visible = shown(&path.join("third=0"));
    assert_eq!(visible, 0, "files are seen before the commit");
    let commit = job.begin_commit(WriteJob::files(&messages).unwrap()).await.unwrap();
    let summary = commit.finish().await.unwrap();
    assert_eq!(summary.rows, 800);
    assert!(summary.files > 3, "{summary:?}");
    let back = read(&there, "parquet", &path, &[]).await;
    let back = cluster.run(back.create_physical_plan().await.unwrap()).await.unwrap();
    let mut got = rows(&back);
    got.sort();
    let mut expected: Vec<String> = (0..800).map(|i| i % 200).map(|i| format!("{i}|{}", i % 3)).collect();
    expected.sort();
    assert_eq!(got, expected);
}
