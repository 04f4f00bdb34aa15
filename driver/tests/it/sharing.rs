//! Several sessions on the executors of one driver: whose tasks run, and how they are ended.

use std::time::Duration;

use firesteel_driver::Application;
use firesteel_plan::SparkResult;
use firesteel_scheduler::{JobSelector, StageState};

use crate::application::OnExecutors;

/// No test waits longer than this for anything.
const LONG: Duration = Duration::from_secs(60);

async fn run(application: Application, sql: String) -> SparkResult<()> {
    application.run_script(&sql, |_| true).await
}

/// Of the running jobs of a group: tasks that wait, run, and are done.
fn tasks_of(app: &OnExecutors, group: &str) -> (u32, u32, u32) {
    let (mut pending, mut running, mut done) = (0, 0, 0);
    for job in app.core().jobs().iter().filter(|job| job.properties.group.as_deref() == Some(group)) {
        for stage in &job.stages {
            // A stage that waits for its inputs has no task that could take a slot.
            if stage.state == StageState::Running {
                pending += stage.tasks - stage.done - stage.running;
            }
            running += stage.running;
            done += stage.done;
        }
    }
    (pending, running, done)
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(LONG, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain: {what}");
}

/// So many tasks, each with something to do.
fn query(tasks: u32) -> String {
    let rows = u64::from(tasks) * 300_000;
    format!("SELECT count(*), max(h) FROM (SELECT xxhash64(id, id % 7) h FROM range(0, {rows}, 1, {tasks}))")
}

/// Two sessions, the second one with the smaller query, which comes when the first one's runs.
async fn two_sessions(mode: &str) -> OnExecutors {
    let app = OnExecutors::start(2, &[("spark.scheduler.mode", mode)]).await;
    let session = |group: &'static str| {
        let keys = [
            ("spark.jobGroup.id", group),
            ("spark.scheduler.pool", group),
            // Each query one job.
            ("spark.sql.adaptive.enabled", "false"),
        ];
        app.another(&keys)
    };
    let (first, second) = (session("first"), session("second"));
    let first = tokio::spawn(run(first, query(120)));
    until("the first query runs", || tasks_of(&app, "first").1 > 0).await;
    let second = tokio::spawn(run(second, query(20)));
    let (mut side_by_side, mut overtaken, mut seen) = (0, 0, 0);
    until("both queries end", || {
        // Both looked at at once would be better; the first one's tasks that wait can only become fewer.
        let (_, running, done) = tasks_of(&app, "second");
        let (pending, of_first, _) = tasks_of(&app, "first");
        if pending > 0 {
            seen += 1;
            overtaken += u32::from(running + done > 0);
            side_by_side += u32::from(running > 0 && of_first > 0);
        }
        first.is_finished() && second.is_finished()
    })
    .await;
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert!(seen > 0, "the first query was never seen with tasks that wait");
    match mode {
        "FAIR" => assert!(side_by_side > 0, "the second query got no slot while the first one had tasks left"),
        _ => assert_eq!(overtaken, 0, "the second query got a slot while the first one had tasks left"),
    }
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn fair_pools_share_the_slots() {
    let app = two_sessions("FAIR").await;
    assert!(app.core().jobs().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn in_fifo_the_first_query_has_all_slots() {
    two_sessions("FIFO").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_query_leaves_its_slots_to_others() {
    let app = OnExecutors::start(2, &[]).await;
    // It would take years.
    let endless = "SELECT max(xxhash64(id)) FROM range(0, 900000000000000, 1, 2)".to_owned();
    let by_tag = JobSelector::Tag("mine".to_owned());
    let by_group = JobSelector::Group { group: "nightly".to_owned(), future: false };
    for (keys, selector) in [(("spark.job.tags", "mine,other"), by_tag), (("spark.jobGroup.id", "nightly"), by_group)] {
        let running = tokio::spawn(run(app.another(&[keys]), endless.clone()));
        let busy = || app.core().jobs().iter().flat_map(|job| &job.stages).map(|stage| stage.running).sum::<u32>();
        until("both slots are busy", || busy() == 2).await;
        app.core().cancel_jobs(JobSelector::Tag("of nobody".to_owned()), "by mistake");
        app.core().cancel_jobs(selector, "by the test");
        let error = tokio::time::timeout(LONG, running).await.unwrap().unwrap().unwrap_err();
        assert_eq!(error.class(), "SPARK_JOB_CANCELLED", "{error}");
        // Both slots are needed for it.
        let next = run(app.another(&[]), "SELECT count(*) FROM range(0, 100, 1, 2)".to_owned());
        tokio::time::timeout(LONG, next).await.expect("the slots are free again").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_larger_than_the_driver_takes_is_refused() {
    let app = OnExecutors::start(2, &[("spark.driver.maxResultSize", "100k")]).await;
    let session = app.another(&[("spark.driver.maxResultSize", "100k")]);
    let error = run(session, "SELECT id, xxhash64(id) h FROM range(0, 100000, 1, 4)".to_owned()).await.unwrap_err();
    assert_eq!(error.class(), "RESULT_TOO_LARGE", "{error}");
    // Without rows nothing is fetched at all.
    let session = app.another(&[]);
    run(session, "SELECT id FROM range(0, 1000, 1, 40) WHERE xxhash64(id) = 7".to_owned()).await.unwrap();
}
