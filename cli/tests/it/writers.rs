//! Several processes that write to one table at once, and some that are killed: readers see all of a write or nothing of it.

use std::{
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

/// Files that each statement writes: a commit of one file is a single step.
const FILES: u64 = 6;
const ROUNDS: usize = 12;

fn start(warehouse: &Path, sql: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_firesteel"))
        .args(["sql", "--quiet", "--output", "csv", "--master", "local[2]", "--log", "error"])
        .args(["--conf", "firesteel.sql.catalog=warehouse"])
        .arg(format!("--conf=spark.sql.warehouse.dir={}", warehouse.display()))
        .arg(sql)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn run(warehouse: &Path, sql: &str) -> Output {
    start(warehouse, sql).wait_with_output().unwrap()
}

fn done(output: &Output) -> bool {
    output.status.success()
}

/// Lines that a query answers, without the one with names.
fn rows(output: &Output) -> Vec<String> {
    assert!(done(output), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().skip(1).map(str::to_owned).collect()
}

/// `rows` rows in several files.
fn from(who: &str, rows: u64) -> String {
    format!("SELECT /*+ REPARTITION({FILES}) */ id, '{who}' AS who FROM range(0, {rows}, 1, {FILES})")
}

/// Reads the table while `writers` run, and calls `check` with count, least and greatest writer of each reading.
fn watch(warehouse: &Path, writers: Vec<Child>, mut check: impl FnMut(&str)) {
    let mut writers = writers;
    while writers.iter_mut().any(|w| w.try_wait().unwrap().is_none()) {
        let reads = ["SELECT count(*), min(who), max(who) FROM t"; 20].join("; ");
        let read = run(warehouse, &reads);
        // A file that was replaced between its listing and its reading is an error, never a wrong answer.
        for line in String::from_utf8_lossy(&read.stdout).lines().filter(|l| !l.starts_with("count")) {
            check(line);
        }
        let said = String::from_utf8_lossy(&read.stderr).into_owned();
        assert!(done(&read) || said.contains("FILE_NOT_EXIST") || said.contains("not exist"), "{said}");
    }
    for writer in writers {
        let output = writer.wait_with_output().unwrap();
        assert!(done(&output), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn table(warehouse: &Path) {
    let made = run(
        warehouse,
        &format!("CREATE TABLE t (id BIGINT, who STRING) USING parquet; INSERT INTO t {}", from("A", 1000)),
    );
    assert!(done(&made), "{made:?}");
}

#[test]
fn of_two_that_overwrite_the_last_wins() {
    let warehouse = tempfile::TempDir::new().unwrap();
    table(warehouse.path());
    let overwrite = |who: &str, rows| vec![format!("INSERT OVERWRITE t {}", from(who, rows)); ROUNDS].join("; ");
    let writers = vec![start(warehouse.path(), &overwrite("A", 1000)), start(warehouse.path(), &overwrite("B", 2000))];
    watch(warehouse.path(), writers, |line| assert!(line == "1000,A,A" || line == "2000,B,B", "{line}"));
    let left = rows(&run(warehouse.path(), "SELECT count(*), min(who), max(who) FROM t"));
    assert!(left == ["1000,A,A"] || left == ["2000,B,B"], "{left:?}");
}

#[test]
fn of_two_that_append_both_succeed() {
    let warehouse = tempfile::TempDir::new().unwrap();
    table(warehouse.path());
    let append = |who: &str| vec![format!("INSERT INTO t {}", from(who, 500)); ROUNDS].join("; ");
    let writers = vec![start(warehouse.path(), &append("A")), start(warehouse.path(), &append("B"))];
    watch(warehouse.path(), writers, |line| {
        let count: u64 = line.split(',').next().unwrap().parse().unwrap();
        assert_eq!(count % 500, 0, "{line}");
    });
    let left = rows(&run(warehouse.path(), "SELECT count(*), min(who), max(who) FROM t"));
    assert_eq!(left, [format!("{},A,B", 1000 + 1000 * ROUNDS)]);
    // Nothing is left of the commits.
    let left: Vec<_> = walk(warehouse.path()).into_iter().filter(|p| p.contains("_temporary")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn of_those_that_create_a_table_one_wins() {
    for round in 0..4 {
        let warehouse = tempfile::TempDir::new().unwrap();
        let create = |who: &str, rows| format!("CREATE TABLE t USING parquet AS {}", from(who, rows));
        let writers = [start(warehouse.path(), &create("A", 1000)), start(warehouse.path(), &create("B", 2000))];
        let outputs = writers.map(|w| w.wait_with_output().unwrap());
        let winners: Vec<bool> = outputs.iter().map(done).collect();
        assert_eq!(winners.iter().filter(|won| **won).count(), 1, "round {round}: {outputs:?}");
        let left = rows(&run(warehouse.path(), "SELECT count(*), min(who), max(who) FROM t"));
        assert_eq!(left, [if winners[0] { "1000,A,A" } else { "2000,B,B" }]);
        let loser = String::from_utf8_lossy(&outputs[usize::from(winners[0])].stderr).into_owned();
        assert!(loser.contains("ALREADY_EXISTS"), "{loser}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "no runtime here")]
fn a_writer_that_is_killed_leaves_all_or_nothing() {
    let warehouse = tempfile::TempDir::new().unwrap();
    table(warehouse.path());
    let mut seen = "1000,A,A".to_owned();
    for round in 0..16u64 {
        let (who, count) = if round % 2 == 0 { ("B", 2000) } else { ("A", 1000) };
        let overwrite = vec![format!("INSERT OVERWRITE t {}", from(who, count)); 40].join("; ");
        let mut writer = start(warehouse.path(), &overwrite);
        std::thread::sleep(Duration::from_millis(60 + 37 * round));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let left = rows(&run(warehouse.path(), "SELECT count(*), min(who), max(who) FROM t"));
        let expected = format!("{count},{who},{who}");
        assert!(left == [seen.clone()] || left == [expected.clone()], "round {round}: {left:?}");
        seen.clone_from(&left[0]);
    }
    // Whatever the dead left behind, others can write.
    let written =
        run(warehouse.path(), &format!("INSERT OVERWRITE t {}; INSERT INTO t {}", from("C", 300), from("C", 30)));
    assert!(done(&written), "{written:?}");
    assert_eq!(rows(&run(warehouse.path(), "SELECT count(*), min(who), max(who) FROM t")), ["330,C,C"]);
}

fn walk(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.display().to_string());
        if path.is_dir() {
            found.extend(walk(&path));
        }
    }
    found
}
