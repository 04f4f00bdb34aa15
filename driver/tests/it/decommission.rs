//! Executors that leave in the middle of a job hand over what they have.

use std::time::Duration;

use firesteel_driver::ProgressSender;
use firesteel_executor::InProcessExecutor;
use firesteel_protocol::ExecutorId;
use tempfile::TempDir;

use crate::application::OnExecutors;

const ROWS: u64 = 100_000;
const MAPS: u64 = 8;
/// So many that the job is in their middle for seconds.
const REDUCERS: (&str, &str) = ("spark.sql.shuffle.partitions", "1500");
/// They stay as many, however small.
const ALL: (&str, &str) = ("spark.sql.adaptive.coalescePartitions.enabled", "false");

fn query() -> String {
    format!("SELECT sum(n) FROM (SELECT id % 5000 k, count(*) n FROM range(0, {ROWS}, 1, {MAPS}) GROUP BY 1)")
}

/// Waits until the maps are done, and some of the reducers.
async fn in_the_middle(progress: &ProgressSender) {
    loop {
        let now = progress.get();
        if now.stages_done == 1 && now.tasks_done > MAPS {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn ended(executor: InProcessExecutor) {
    tokio::task::spawn_blocking(move || executor.join()).await.unwrap().unwrap();
}

/// Runs the query while the first executor leaves as `leave` says, and checks that no map ran twice.
async fn nothing_is_made_again(
    mut app: OnExecutors,
    leave: impl FnOnce(&OnExecutors, &InProcessExecutor),
) -> OnExecutors {
    let leaver = app.executors.remove(0);
    let sql = query();
    let leaving = async {
        in_the_middle(&app.progress).await;
        leave(&app, &leaver);
        ended(leaver).await;
    };
    let (value, ()) = tokio::join!(app.value(&sql), leaving);
    assert_eq!(value, ROWS.to_string());
    let progress = app.progress.get();
    // Rows that the scans read tell which maps ran.
    assert_eq!(progress.rows_read, ROWS, "a map task ran again: {progress:?}");
    assert_eq!(progress.tasks_failed, 0, "a reader did not follow its blocks: {progress:?}");
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_go_to_those_who_stay() {
    let app = OnExecutors::start(3, &[REDUCERS, ALL]).await;
    nothing_is_made_again(app, |_, leaver| leaver.terminate()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_can_tell_an_executor_to_leave() {
    let app = OnExecutors::start(2, &[REDUCERS, ALL]).await;
    let app = nothing_is_made_again(app, |app, leaver| app.cluster.core().decommission(leaver.id(), None)).await;
    assert_eq!(app.cluster.core().registered_ids(), [ExecutorId::new("2")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_that_nobody_takes_go_to_the_store() {
    let store = TempDir::new().unwrap();
    let path = format!("file://{}", store.path().display());
    let conf = [
        REDUCERS,
        ALL,
        ("spark.storage.decommission.fallbackStorage.path", path.as_str()),
        // No executor has room for those of others.
        ("spark.storage.decommission.shuffleBlocks.maxDiskSize", "1"),
        ("spark.app.id", "app-1"),
    ];
    let app = OnExecutors::start(2, &conf).await;
    let folder = store.path().join("app-1");
    let app = nothing_is_made_again(app, |_, leaver| leaver.terminate()).await;
    app.cluster.shutdown("done").await;
    let left = walk(&folder);
    assert!(folder.exists() && left.is_empty(), "the store was used, and is empty at the end: {left:?}");
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { files.extend(walk(&entry.path())) } else { files.push(entry.path()) }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_executor_waits_for_one_that_takes_over() {
    let mut app = OnExecutors::start(1, &[REDUCERS, ALL]).await;
    let leaver = app.executors.remove(0);
    let progress = app.progress.clone();
    let sql = query();
    let leaving = tokio::spawn(async move {
        in_the_middle(&progress).await;
        leaver.terminate();
        leaver
    });
    // As a new pod would: it comes when the other one is leaving already.
    let address = app.cluster.address();
    let replacing = async {
        let leaver = leaving.await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let dir = TempDir::new().unwrap();
        let new = firesteel_executor::start_in_process(OnExecutors::executor_options(address, 9, dir.path())).unwrap();
        ended(leaver).await;
        (new, dir)
    };
    let (value, _new) = tokio::join!(app.value(&sql), replacing);
    assert_eq!(value, ROWS.to_string());
    let progress = app.progress.get();
    assert_eq!((progress.rows_read, progress.tasks_failed), (ROWS, 0), "{progress:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_moved_in_time_is_made_again() {
    let mut app = OnExecutors::start(3, &[REDUCERS, ALL]).await;
    let leaver = app.executors.remove(0);
    let sql = query();
    let leaving = async {
        in_the_middle(&app.progress).await;
        leaver.terminate();
        // In the middle of the handover, or before it, or after it.
        tokio::time::sleep(Duration::from_millis(5)).await;
        leaver.kill();
        ended(leaver).await;
    };
    let (value, ()) = tokio::join!(app.value(&sql), leaving);
    assert_eq!(value, ROWS.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_decommission_an_executor_leaves_at_once_and_its_outputs_are_made_again() {
    let conf = [REDUCERS, ALL, ("spark.decommission.enabled", "false")];
    let mut app = OnExecutors::start(2, &conf).await;
    let leaver = app.executors.remove(0);
    let sql = query();
    let leaving = async {
        in_the_middle(&app.progress).await;
        app.cluster.core().decommission(leaver.id(), None);
        ended(leaver).await;
    };
    let (value, ()) = tokio::join!(app.value(&sql), leaving);
    assert_eq!(value, ROWS.to_string());
    assert!(app.progress.get().rows_read > ROWS);
}
