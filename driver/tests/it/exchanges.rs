//! Partitions that a person asks for, seen in the files that are written.

use std::path::Path;

use firesteel_driver::{Application, Outcome};
use tempfile::TempDir;

use crate::application::{OnExecutors, in_process};

/// A hint, or what stands at the end, and the number of files of four partitions.
const ASKED: [(&str, &str, usize); 7] = [
    ("", "", 4),
    ("/*+ REPARTITION(7) */", "", 7),
    ("/*+ REPARTITION(1) */", "", 1),
    ("/*+ REPARTITION(3, id) */", "", 3),
    ("/*+ COALESCE(2) */", "", 2),
    ("/*+ COALESCE(9) */", "", 4),
    ("", "DISTRIBUTE BY id % 2", 2),
];

/// `by_key`: files where the query says by what, and not how many.
async fn check(application: &Application, folder: &Path, by_key: usize) {
    for (hint, end, files) in ASKED {
        let files = if end.is_empty() { files } else { by_key };
        let table = folder.join("t");
        let rows = format!("SELECT {hint} id, CAST(id AS STRING) AS s FROM range(0, 100000, 1, 4) WHERE id > 9 {end}");
        let write = format!("INSERT OVERWRITE DIRECTORY '{}' USING parquet {rows}", table.display());
        application.run_script(&write, |_| true).await.unwrap();
        let written = std::fs::read_dir(&table)
            .unwrap()
            .filter(|f| f.as_ref().is_ok_and(|f| f.path().extension().is_some_and(|extension| extension == "parquet")));
        assert_eq!(written.count(), files, "{rows}");
        let mut counted = Vec::new();
        let read = format!("SELECT count(*), sum(id) FROM parquet.`{}` HAVING count(*) = 99990", table.display());
        application
            .run_script(&read, |result| {
                if let Outcome::Rows(rows) = result.outcome {
                    counted.push(rows.num_rows());
                }
                true
            })
            .await
            .unwrap();
        assert_eq!(counted, [1], "{rows}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_one_process() {
    let folder = TempDir::new().unwrap();
    let application = in_process(&folder.path().join("scratch"), &[("spark.sql.shuffle.partitions", "2")]);
    check(&application, folder.path(), 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_executors() {
    let folder = TempDir::new().unwrap();
    // Partitions that are small and that nobody counted become one, as in Spark.
    for (adaptive, by_key) in [("true", 1), ("false", 2)] {
        let conf = [("spark.sql.shuffle.partitions", "2"), ("spark.sql.adaptive.enabled", adaptive)];
        let app = OnExecutors::start(2, &conf).await;
        check(&app.application, folder.path(), by_key).await;
    }
}
