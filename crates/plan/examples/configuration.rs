//! Writes docs/configuration.md to standard output: `tools/configuration` calls it.

use std::collections::BTreeMap;

use firesteel_plan::conf::{ConfKey, ConfKind, ConfScope, keys, spark};

/// Titles of the tables and how their keys begin, the first that fits.
const TABLES: [(&str, &[&str]); 8] = [
    ("SQL", &["spark.sql.", "spark.default."]),
    (
        "Failures, exclusion",
        &[
            "spark.excludeOnFailure.",
            "spark.scheduler.excludeOnFailure.",
            "spark.task.maxFailures",
            "spark.stage.",
            "spark.executor.maxNumFailures",
            "spark.executor.failuresValidityInterval",
            "firesteel.scheduler.",
        ],
    ),
    ("Scheduling, jobs", &["spark.scheduler.", "spark.speculation", "spark.locality.", "spark.job", "spark.task."]),
    (
        "Dynamic allocation, executors that leave",
        &[
            "spark.dynamicAllocation.",
            "spark.decommission.",
            "spark.storage.decommission.",
            "spark.executor.decommission.",
        ],
    ),
    ("Memory, cache", &["spark.memory.", "spark.storage.", "spark.checkpoint."]),
    ("Shuffle", &["spark.shuffle.", "spark.reducer.", "spark.io.", "spark.local."]),
    ("Pods", &["spark.kubernetes."]),
    ("Driver and executors", &[""]),
];

fn main() {
    println!("# Configuration\n");
    println!(
        "Made by `tools/configuration` from the keys that the code reads. They are Spark's, with Spark's meaning and, where nothing else is\n\
         said, Spark's default; those that begin with `firesteel.` are ours. They are set in `spec.sparkConf` of a SparkJob or with\n\
         `--conf key=value`; where *SET* says yes also at any time within a session, with `SET key=value`. A value that has not the form of its\n\
         type is refused. Times are written `100ms`, `30s`, `5min`; without a unit they are of the unit that the type names, as in Spark.\n\
         Sizes are written `512m`, `4g`; without a unit they are bytes.\n"
    );
    let mut tables: BTreeMap<usize, Vec<&ConfKey>> = BTreeMap::new();
    for key in keys::ALL {
        let table = TABLES.iter().position(|(_, begins)| begins.iter().any(|begin| key.name.starts_with(begin)));
        tables.entry(table.unwrap_or(TABLES.len() - 1)).or_default().push(key);
    }
    for (table, mut all) in tables {
        all.sort_by_key(|key| key.name);
        println!("## {}\n", TABLES[table].0);
        println!("| key | type | default | SET | meaning |\n| --- | --- | --- | --- | --- |");
        for key in all {
            let default = if key.default.is_empty() { "–".to_owned() } else { format!("`{}`", key.default) };
            let set = if key.scope() == ConfScope::Session { "yes" } else { "no" };
            println!("| `{}` | {} | {default} | {set} | {} |", key.name, kind(key.kind), key.doc.replace('|', "\\|"));
        }
        println!();
    }
    println!("## Families of keys\n");
    println!("| begins with | meaning |\n| --- | --- |");
    for (begin, meaning) in spark::FAMILIES {
        println!("| `{begin}` | {meaning} |");
    }
    let unread: Vec<&str> = spark::names().filter(|name| spark::is_unread(name)).collect();
    println!("\n## Keys of Spark that have no effect\n");
    println!(
        "Spark 4.2 has these {} keys, Firesteel does not read them. An application that sets one runs, with a warning in the driver's log.\n",
        unread.len()
    );
    println!("`{}`", unread.join("`, `"));
}

fn kind(kind: ConfKind) -> &'static str {
    match kind {
        ConfKind::Bool => "boolean",
        ConfKind::Int => "integer",
        ConfKind::Double => "number",
        ConfKind::Bytes => "size",
        ConfKind::Duration => "time (s)",
        ConfKind::Millis => "time (ms)",
        ConfKind::Text => "text",
    }
}
