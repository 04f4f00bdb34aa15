//! `--master`: the same rows wherever plans run.

use std::process::{Command, Output};

fn sql(arguments: &[&str]) -> Output {
    let scratch = tempfile::TempDir::new().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_firesteel"))
        .args(["sql", "--quiet", "--output", "csv", "--conf"])
        .arg(format!("spark.local.dir={}", scratch.path().display()))
        .args(arguments)
        .output()
        .unwrap();
    let left: Vec<_> = scratch.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    output
}

#[test]
fn executor_processes_give_the_rows_of_threads() {
    let query = "SELECT id % 7 AS k, count(*) AS n, sum(id) AS s FROM range(0, 100000, 1, 8) GROUP BY 1 ORDER BY 1";
    let threads = sql(&["--master", "local[2]", query]);
    let processes = sql(&["--master", "local-cluster[2,1,512]", query]);
    assert!(threads.status.success() && processes.status.success(), "{processes:?}");
    assert!(String::from_utf8_lossy(&threads.stdout).lines().count() == 8, "{threads:?}");
    assert_eq!(threads.stdout, processes.stdout);
}

#[test]
fn the_configuration_names_the_master_too() {
    let plan = sql(&["--conf", "spark.master=local-cluster[1,1,512]", "EXPLAIN SELECT count(*) FROM range(10)"]);
    let text = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert!(text.contains("Stage 0"), "cut into stages: {text}");
}

#[test]
fn a_plan_that_changed_is_shown_as_it_ran() {
    let query = "SELECT id % 7 AS k, count(*) AS n FROM range(0, 1000, 1, 4) GROUP BY 1";
    let shown = |master: &str| {
        let ran = sql(&["--master", master, "--show-plan", &format!("SET spark.sql.shuffle.partitions = 20; {query}")]);
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8_lossy(&ran.stderr).into_owned()
    };
    let text = shown("local-cluster[1,2,512]");
    let (last, first) = text.split_once("== Initial Plan ==").unwrap_or_else(|| panic!("{text}"));
    assert!(last.contains("statement 2") && last.contains("isFinalPlan=true"), "{text}");
    // Small partitions are read together.
    assert!(last.contains("blocks=[0..20") && !first.contains("blocks=["), "{text}");
    assert!(!shown("local[2]").contains("Plan =="));
}

#[test]
fn a_master_that_is_none_is_refused() {
    let refused = sql(&["--master", "yarn", "SELECT 1"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("'yarn'") && said.contains("local-cluster["), "{said}");
}
