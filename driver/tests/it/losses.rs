//! Executors die in the middle of a job.

use std::time::Duration;

use crate::application::OnExecutors;

#[tokio::test(flavor = "multi_thread")]
async fn only_the_map_tasks_that_a_lost_executor_held_run_again() {
    const MAPS: u64 = 8;
    // So many that the job is in their middle for seconds.
    const REDUCERS: u64 = 1500;
    let mut app = OnExecutors::start(2, &[("spark.sql.shuffle.partitions", &REDUCERS.to_string())]).await;
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
}
