//! Executors die in the middle of a job.

use std::time::Duration;

use firesteel_driver::cluster::AttemptCounts;

use crate::application::OnExecutors;

#[tokio::test(flavor = "multi_thread")]
async fn only_the_map_tasks_that_a_lost_executor_held_run_again() {
    const MAPS: u64 = 8;
    // So many that the job is in their middle for seconds.
    const REDUCERS: u64 = 1500;
    let reducers = REDUCERS.to_string();
    // They stay as many, however small.
    let conf = [
        ("spark.sql.shuffle.partitions", reducers.as_str()),
        ("spark.sql.adaptive.coalescePartitions.enabled", "false"),
    ];
    let mut app = OnExecutors::start(2, &conf).await;
    let victim = app.executors.remove(0);
    let progress = app.progress.clone();
    let lost = tokio::spawn(async move {
        // The maps are done, and some of the reducers.
        loop {
            let now = progress.get();
            if now.stages_done == 1 && now.tasks_done > MAPS {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        victim.kill();
        victim
    });
    let sql =
        format!("SELECT sum(n) FROM (SELECT id % 5000 k, count(*) n FROM range(0, 100000, 1, {MAPS}) GROUP BY 1)");
    assert_eq!(app.value(&sql).await, "100000");
    let _ = lost.await.unwrap();
    let progress = app.progress.get();
    assert!(progress.tasks_failed > 0, "the executor was lost while its blocks were wanted: {progress:?}");
    // Rows that the scans read tell which maps ran: all of them once, and the lost executor's again.
    let again = progress.rows_read.saturating_sub(100_000);
    let of_one = 100_000 / MAPS;
    assert!((of_one..100_000).contains(&again) && again % of_one == 0, "{again} rows were read again");
    // The counts by stage tell the same.
    let stages = app.core().stages();
    let maps = stages.iter().find(|s| u64::from(s.tasks) == MAPS).unwrap();
    assert_eq!((maps.state, maps.done, maps.attempts.rerun), ("ended", 8, again / of_one), "{stages:?}");
    let sum = |of: fn(&AttemptCounts) -> u64| stages.iter().map(|s| of(&s.attempts)).sum::<u64>();
    assert_eq!((progress.tasks_rerun, progress.attempts), (sum(|a| a.rerun), sum(|a| a.launched)), "{stages:?}");
    assert_eq!(progress.attempts, progress.tasks_total + progress.tasks_rerun, "{stages:?}");
    let executors = app.core().executors();
    assert_eq!(executors.iter().map(|e| e.running).collect::<Vec<_>>(), [0], "{executors:?}");
}
