//! What happens to a job, and what must not come of it: the rows are those of an undisturbed run, and no more tasks run
//! again than the fault explains.

pub mod executors;
pub mod machines;
pub mod pods;

use serde_json::{Value, json};

use super::{
    backend::{Backend, End, ExecutorView, StageView, end, lines, until, until_logged},
    work::{self, Conf, DIMS, FACTS, NAMES, SLOTS},
};

/// Submits the job. Its first tasks end no sooner than every slot of both executors has one.
async fn start(backend: &dyn Backend, conf: Conf, changes: Value) {
    let hold = work::hold_reads(
        backend,
        &["facts/part-1", "facts/part-2", "facts/part-3", "facts/part-4", "dims/part-1", "dims/part-2", "names/part-1"],
    );
    backend.submit(work::job(backend.bucket(), conf, changes)).await;
    until(backend, "two executors at work", |_, executors| {
        (executors.len() == 2 && executors.iter().map(|e| e.running).sum::<u64>() == SLOTS).then_some(())
    })
    .await;
    drop(hold);
}

/// Time-outs so short that the loss of a silent executor is noticed within seconds.
fn short_timeouts() -> Value {
    json!({ "sparkConf": { "spark.network.timeout": "8s", "spark.executor.heartbeatInterval": "1s" } })
}

/// The job stands still with some of the maps of `facts` done on every executor and some running: what is not held has ended.
async fn in_the_maps(backend: &dyn Backend) -> Vec<ExecutorView> {
    until(backend, "in the maps", |stages, executors| {
        let still = work::done(stages, FACTS) == FACTS - 3
            && work::done(stages, DIMS) == DIMS
            && work::done(stages, NAMES) == NAMES
            && executors.len() == 2
            && executors.iter().map(|e| e.running).sum::<u64>() == 3
            && executors.iter().all(|e| e.outputs > 0);
        still.then(|| executors.to_vec())
    })
    .await
}
const HELD_FACTS: &[&str] = &["facts/part-5", "facts/part-6", "facts/part-7"];

/// All maps of `facts` are done, one of `dims` is held, and so nothing of the join runs.
async fn after_the_maps(backend: &dyn Backend) -> Vec<ExecutorView> {
    until(backend, "after the maps", |stages, executors| {
        let still = work::done(stages, FACTS) == FACTS
            && work::done(stages, DIMS) == DIMS - 1
            && work::done(stages, NAMES) == NAMES
            && executors.len() == 2
            && executors.iter().map(|e| e.running).sum::<u64>() == 1
            && executors.iter().all(|e| e.outputs > 0);
        still.then(|| executors.to_vec())
    })
    .await
}
const HELD_DIMS: &[&str] = &["dims/part-2"];

/// One task of the last stage has written, the others are held as they write.
async fn in_the_reducers(backend: &dyn Backend, hold: &firesteel_e2e::s3::Hold) -> Vec<ExecutorView> {
    until(backend, "in the reducers", |stages, executors| {
        let last = stages.iter().max_by_key(|stage| stage.stage)?;
        let still = last.done >= 1 && hold.waiting() >= 2 && executors.len() == 2;
        let running = executors.iter().map(|e| e.running).sum::<u64>();
        (still && running == hold.waiting() as u64).then(|| executors.to_vec())
    })
    .await
}

/// The driver has noticed the loss of this executor.
async fn lost(backend: &dyn Backend, executor: &str) -> Value {
    until_logged(backend, "the executor's loss", |line| {
        line["message"] == "executor lost" && line["executor"] == executor
    })
    .await
}

/// How many tasks ran again, and what else the drivers counted.
#[derive(Debug, Default)]
struct Counts {
    rerun: u64,
    failed: u64,
    speculative_won: u64,
}

/// The job succeeds with the right rows, and at most `bound` tasks ran again.
async fn ends_well(backend: &dyn Backend, what: &str, conf: Conf, bound: u64) -> (End, Counts) {
    let end = end(backend).await;
    assert!(end.succeeded, "the job failed\n{}", lines(&end.log));
    assert_eq!(work::written(backend), work::expected(), "\n{}", lines(&end.log));
    let mut counts = Counts::default();
    for line in end.log.iter().filter(|line| line["message"] == "task attempts of the application") {
        let number = |name: &str| line[name].as_u64().unwrap_or_else(|| panic!("{name} is not in {line}"));
        counts.rerun += number("rerun");
        counts.failed += number("failed");
        counts.speculative_won += number("speculative_won");
    }
    let mode = if conf.adaptive { "adaptive" } else { "plain" };
    println!("{what}, {mode}: {} tasks ran again, {bound} may; {counts:?}", counts.rerun);
    assert!(counts.rerun <= bound, "{} tasks ran again, {bound} may\n{}", counts.rerun, lines(&end.log));
    (end, counts)
}

/// All tasks of the job, stages of other shapes that adaptive execution makes included: more than that may never run again.
fn all_tasks(stages: &[StageView]) -> u64 {
    stages.iter().map(|stage| u64::from(stage.tasks)).sum()
}

/// What is lost with an executor: the outputs it holds and what it runs.
fn held(executor: &ExecutorView) -> u64 {
    executor.outputs + executor.running
}

fn by_outputs(executors: &[ExecutorView]) -> &ExecutorView {
    executors.iter().max_by_key(|e| (e.outputs, e.running)).unwrap()
}

/// Nothing is lost, nothing runs again: what all others are compared with.
pub async fn undisturbed(backend: &dyn Backend, conf: Conf) {
    work::upload(backend).await;
    start(backend, conf, json!({})).await;
    ends_well(backend, "undisturbed", conf, 0).await;
}
