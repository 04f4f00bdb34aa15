//! Damaged files: whatever is wrong with one, the query ends with an error that names it, or with rows.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    time::Duration,
};

use firesteel_engine::{
    EngineOptions, EngineSession, ExecutionMode,
    error::from_datafusion,
    source::{self, SourceSpec, naming_file},
};
use firesteel_plan::{DataType, SparkConf, SparkError, types::StructField};
use futures::FutureExt;
use rand::{Rng, SeedableRng, rngs::StdRng};

type Options = &'static [(&'static str, &'static str)];

/// Damaged copies of every file.
const MUTATIONS: usize = 150;

fn session(dir: &Path) -> EngineSession {
    let options = EngineOptions {
        conf: SparkConf::new(),
        mode: ExecutionMode::InProcess,
        slots: 1,
        memory_bytes: Some(1 << 30),
        local_dirs: vec![dir.to_owned()],
    };
    EngineSession::new(options).unwrap()
}

/// A file that Spark wrote.
fn written(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../oracle/expected/sources/data").join(name);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    // Locations of stores have no `..`.
    files.swap_remove(0).canonicalize().unwrap()
}

fn damaged(bytes: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let at = random.random_range(0..out.len());
    match random.random_range(0..5) {
        0 => out.truncate(at),
        1 => {
            for _ in 0..random.random_range(1..8) {
                let at = random.random_range(0..out.len());
                out[at] ^= 1 << random.random_range(0..8);
            }
        }
        2 => {
            let end = (at + random.random_range(1..64)).min(out.len());
            out[at..end].fill(0);
        }
        3 => {
            let end = (at + random.random_range(1..32)).min(out.len());
            out[at..end].iter_mut().for_each(|b| *b = random.random());
        }
        _ => {
            let piece: Vec<u8> = (0..random.random_range(1..32)).map(|_| random.random()).collect();
            out.splice(at..at, piece);
        }
    }
    out
}

async fn read(session: &EngineSession, spec: SourceSpec) -> Result<usize, SparkError> {
    let provider = source::open(session, spec).await?.provider;
    let df = session.context().read_table(provider).map_err(|e| from_datafusion(&e))?;
    let plan = df.create_physical_plan().await.map_err(|e| from_datafusion(&e))?;
    let context = session.context().task_ctx();
    match datafusion::physical_plan::collect(plan.clone(), context.clone()).await {
        Ok(batches) => Ok(batches.iter().map(|b| b.num_rows()).sum()),
        Err(error) => Err(naming_file(from_datafusion(&error), &plan, &context).await),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_are_errors_that_name_them() {
    let dir = tempfile::TempDir::new().unwrap();
    let session = session(dir.path());
    let cases: [(&str, &str, Options); 20] = [
        ("parquet", "written-parquet-flat", &[]),
        ("parquet", "written-parquet-nested", &[]),
        ("orc", "written-orc-flat", &[]),
        ("orc", "written-orc-nested", &[]),
        ("orc", "written-orc-none", &[]),
        ("orc", "written-orc-snappy", &[]),
        ("orc", "written-orc-zlib", &[]),
        ("avro", "written-avro-flat", &[]),
        ("avro", "written-avro-nested", &[]),
        ("avro", "written-avro-uncompressed", &[]),
        ("avro", "written-avro-deflate", &[]),
        ("csv", "written-csv-flat", &[("inferschema", "true")]),
        ("csv", "written-csv-flat-header", &[("header", "true"), ("multiline", "true")]),
        ("csv", "written-csv-gzip", &[]),
        ("csv", "written-csv-deflate", &[]),
        ("json", "written-json-flat", &[]),
        ("json", "written-json-nested", &[("multiline", "true")]),
        ("json", "written-json-bzip2", &[]),
        ("xml", "xml-infer", &[("rowtag", "row")]),
        ("text", "written-text-gzip", &[]),
    ];
    for (format, name, options) in cases {
        let original = written(name);
        let bytes = std::fs::read(&original).unwrap();
        let file = dir.path().join(name).join(original.file_name().unwrap());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let options: BTreeMap<_, _> = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let spec = SourceSpec {
            format: format.to_owned(),
            options,
            paths: vec![file.to_str().unwrap().to_owned()],
            ..SourceSpec::default()
        };
        let mut random = StdRng::seed_from_u64(7);
        let mut errors = 0;
        for mutation in 0..MUTATIONS {
            std::fs::write(&file, damaged(&bytes, &mut random)).unwrap();
            let mut spec = spec.clone();
            // Half of them with a schema that the file may not have.
            if mutation % 2 == 0 && format != "text" {
                spec.schema = Some(vec![
                    StructField::new("i", DataType::Integer, true),
                    StructField::new("s", DataType::String, true),
                ]);
            }
            let work = AssertUnwindSafe(read(&session, spec)).catch_unwind();
            let ended = tokio::time::timeout(Duration::from_secs(20), work).await;
            let kept = dir.path().join(format!("{name}-{mutation}"));
            match ended {
                Err(_) => panic!("{name}: mutation {mutation} hangs"),
                Ok(Err(_)) => {
                    let _ = std::fs::copy(&file, &kept);
                    panic!("{name}: mutation {mutation} panics");
                }
                Ok(Ok(Ok(_))) => {}
                Ok(Ok(Err(error))) => {
                    errors += 1;
                    let names = error.message().contains(file.file_name().unwrap().to_str().unwrap());
                    // These know no file: there is no schema, or the wrong one was given or found.
                    let no_schema = [
                        "UNABLE_TO_INFER_SCHEMA",
                        "COLUMN_ALREADY_EXISTS",
                        "UNSUPPORTED_FEATURE.QUERY_ONLY_CORRUPT_RECORD_COLUMN",
                    ]
                    .contains(&error.class());
                    assert!(names || no_schema, "{name}: mutation {mutation} does not name the file: {error:?}");
                }
            }
        }
        println!("{name}: {errors} of {MUTATIONS} are errors");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parquet_column_of_another_type_is_an_error_that_names_file_and_column() {
    let dir = tempfile::TempDir::new().unwrap();
    let session = session(dir.path());
    let file = written("written-parquet-flat");
    let name = file.file_name().unwrap().to_str().unwrap();
    for (column, data_type) in [("i", DataType::String), ("s", DataType::Integer), ("d", DataType::Float)] {
        let spec = SourceSpec {
            format: "parquet".to_owned(),
            paths: vec![file.to_str().unwrap().to_owned()],
            schema: Some(vec![StructField::new(column, data_type, true)]),
            ..SourceSpec::default()
        };
        let error = read(&session, spec).await.unwrap_err();
        assert_eq!(error.class(), "FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH", "{column}: {error:?}");
        assert_eq!(error.parameters()["column"], format!("[{column}]"));
        assert!(error.parameters()["path"].contains(name) && error.message().contains(name), "{error:?}");
    }
    let spec = SourceSpec {
        format: "parquet".to_owned(),
        paths: vec![file.to_str().unwrap().to_owned()],
        schema: Some(vec![StructField::new("i", DataType::Long, true)]),
        ..SourceSpec::default()
    };
    read(&session, spec).await.unwrap();
}
