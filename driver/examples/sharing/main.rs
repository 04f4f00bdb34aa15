//! Two users of the same executors: how FAIR pools share the slots, and how soon a cancelled job's slots are free.
//! `sharing [EXECUTORS]`. See bench/sharing/run.

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "no example needs all of it")]
mod common;

use std::time::{Duration, Instant};

use common::{Executors, argument};
use firesteel_driver::Application;
use firesteel_plan::{SparkError, SparkResult};
use firesteel_scheduler::{JobSelector, StageState};

const LOOK_EVERY: Duration = Duration::from_millis(2);

#[tokio::main]
async fn main() -> SparkResult<()> {
    let executors = u32::try_from(argument(1, 2)?).unwrap_or(2);
    for mode in ["FIFO", "FAIR"] {
        shared(mode, executors).await?;
    }
    cancelled(executors).await
}

/// So many tasks of some milliseconds each.
fn query(tasks: u64) -> String {
    let rows = tasks * 1_000_000;
    format!("SELECT count(*), max(h) FROM (SELECT xxhash64(id, id % 7) h FROM range(0, {rows}, 1, {tasks}))")
}

async fn run(application: Application, sql: String) -> SparkResult<f64> {
    let began = Instant::now();
    application.run_script(&sql, |_| true).await?;
    Ok(began.elapsed().as_secs_f64())
}

/// A large query, and a small one that comes when the large one runs.
async fn shared(mode: &str, executors: u32) -> SparkResult<()> {
    let all = Executors::start(executors, &[("spark.scheduler.mode", mode)]).await?;
    let user =
        |name: &'static str| all.another(&[("spark.jobGroup.id", name), ("spark.scheduler.pool", name), ADAPTIVE_OFF]);
    run(user("first")?, query(40)).await?;
    let alone = run(user("second")?, query(40)).await?;
    let first = tokio::spawn(run(user("first")?, query(400)));
    while slots(&all, "first").0 == 0 && !first.is_finished() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let second = tokio::spawn(run(user("second")?, query(40)));
    let (mut looks, mut of_second) = (0.0, 0.0);
    while !second.is_finished() {
        let ((one, waits), (other, other_waits)) = (slots(&all, "first"), slots(&all, "second"));
        // What both want.
        if waits && other_waits && one + other > 0 {
            looks += 1.0;
            of_second += f64::from(other) / f64::from(one + other);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let joined = |e: tokio::task::JoinError| SparkError::internal(e);
    let (small, large) = (second.await.map_err(joined)??, first.await.map_err(joined)??);
    println!(
        "{mode}: small query alone {alone:.2} s, beside a large one {small:.2} s (large: {large:.2} s); \
         slots of the small one's pool while both wanted more: {:.0} %",
        100.0 * of_second / f64::max(looks, 1.0)
    );
    Ok(())
}

/// Every query one job.
const ADAPTIVE_OFF: (&str, &str) = ("spark.sql.adaptive.enabled", "false");

/// Tasks of a group that run, and whether others wait.
fn slots(all: &Executors, group: &str) -> (u32, bool) {
    let (mut running, mut waits) = (0, false);
    for job in all.cluster.core().jobs().iter().filter(|job| job.properties.group.as_deref() == Some(group)) {
        for stage in &job.stages {
            running += stage.running;
            waits |= stage.state == StageState::Running && stage.tasks > stage.done + stage.running;
        }
    }
    (running, waits)
}

async fn cancelled(executors: u32) -> SparkResult<()> {
    let all = Executors::start(executors, &[]).await?;
    let next = format!("SELECT count(*) FROM range(0, 100, 1, {executors})");
    let alone = {
        run(all.another(&[])?, next.clone()).await?;
        run(all.another(&[])?, next.clone()).await?
    };
    // One batch after the other, for ever; a sort that holds much; a shuffle that is written.
    let endless = "range(0, 900000000000000, 1, 2)";
    for (what, sql) in [
        ("scan and aggregate", format!("SELECT max(xxhash64(id)) FROM {endless}")),
        (
            "sort",
            format!(
                "SELECT max(h), max(n) FROM (SELECT h, row_number() OVER (PARTITION BY h % 4 ORDER BY h) n FROM (SELECT xxhash64(id) h FROM {endless}))"
            ),
        ),
        (
            "shuffle",
            format!(
                "SELECT count(*) FROM (SELECT /*+ REPARTITION(8, h) */ h FROM (SELECT xxhash64(id) h FROM {endless}))"
            ),
        ),
    ] {
        let mut slowest: f64 = 0.0;
        for _ in 0..5 {
            let long = tokio::spawn(run(all.another(&[("spark.jobGroup.id", "long")])?, sql.clone()));
            while slots(&all, "long").0 < executors && !long.is_finished() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            let began = Instant::now();
            all.cluster
                .core()
                .cancel_jobs(JobSelector::Group { group: "long".to_owned(), future: false }, "by its user");
            // Needs all slots.
            run(all.another(&[])?, next.clone()).await?;
            slowest = slowest.max(began.elapsed().as_secs_f64());
            if !matches!(long.await, Ok(Err(_))) {
                return Err(SparkError::internal("a cancelled query ended well"));
            }
        }
        println!(
            "cancelled ({what}): all slots had run another job after {slowest:.3} s at most ({alone:.3} s on idle slots)"
        );
    }
    Ok(())
}
