//! Executors and nodes on which tasks failed.

use firesteel_protocol::{ExecutorId, StageId};
use firesteel_scheduler::{
    Action, ApplicationExclusion, Event, Exclusion, JobFailure, SchedulerConfig, StageExclusion,
};

use crate::hand::{Hand, Launch, disk_full, evicted, job, map, on, result};

fn with(stage: Option<StageExclusion>, application: Option<ApplicationExclusion>) -> Hand {
    let exclusion = Exclusion { stage, application, ..Exclusion::default() };
    Hand::with(SchedulerConfig { exclusion, ..SchedulerConfig::default() })
}

fn of_stages() -> Hand {
    with(Some(StageExclusion::default()), None)
}

fn of_the_application(rules: ApplicationExclusion) -> Hand {
    with(None, Some(rules))
}

/// Fails the attempts that run there; says how many.
fn fail_on(hand: &mut Hand, launches: &[Launch], executor: &str) -> usize {
    let there = on(launches, executor);
    there.iter().for_each(|launch| hand.fail(launch, disk_full()));
    there.len()
}

fn ended(hand: &Hand) -> Vec<String> {
    let ended = |action: &Action| match action {
        Action::EndExecutor { executor, .. } => Some(executor.to_string()),
        _ => None,
    };
    hand.actions.iter().filter_map(ended).collect()
}

#[test]
fn a_task_does_not_go_back_to_the_executor_where_it_failed_nor_to_a_node_where_it_failed_twice() {
    let mut hand = of_stages();
    hand.executor_on("node-a", "a1", 1);
    hand.submit(job(1, vec![result(0, &[], 1)]));
    let first = hand.launched().remove(0);
    // Another one must be there when it fails, or the job is over.
    hand.executor_on("node-a", "a2", 1);
    hand.fail(&first, disk_full());
    let second = hand.launched().remove(0);
    assert_eq!(second.1.as_str(), "a2");
    hand.executor_on("node-a", "a3", 1);
    hand.executor_on("node-b", "b1", 1);
    hand.fail(&second, disk_full());
    assert_eq!(hand.launched().remove(0).1.as_str(), "b1", "it failed twice on node-a");
}

#[test]
fn after_two_failed_tasks_an_executor_gets_no_other_of_the_stage_but_those_of_others() {
    let mut hand = of_stages();
    hand.executor_on("node-a", "a", 2);
    hand.executor_on("node-b", "b", 2);
    hand.submit(job(1, vec![result(0, &[], 8)]));
    let wave = hand.launched();
    assert_eq!(fail_on(&mut hand, &wave, "a"), 2);
    let on_b = on(&wave, "b").into_iter().cloned().collect::<Vec<_>>();
    hand.submit(job(2, vec![result(10, &[], 1)]));
    let next = hand.launched();
    // The slot of the first to fail was taken before the second one failed.
    assert_eq!(next.iter().map(|(id, at)| (id.task.stage.0, at.as_str())).collect::<Vec<_>>(), [(0, "a"), (10, "a")]);
    hand.finish(&next[0]);
    on_b.iter().for_each(|launch| hand.finish(launch));
    assert!(hand.finish_all().iter().filter(|(id, _)| id.task.stage == StageId(0)).all(|(_, at)| at.as_str() == "b"));
}

#[test]
fn a_node_is_excluded_for_a_stage_when_two_of_its_executors_are() {
    let mut hand = of_stages();
    hand.executor_on("node-a", "a1", 2);
    hand.executor_on("node-a", "a2", 2);
    hand.executor_on("node-b", "b", 1);
    hand.submit(job(1, vec![result(0, &[], 12)]));
    let wave = hand.launched();
    for executor in ["a1", "a2"] {
        assert_eq!(fail_on(&mut hand, &wave, executor), 2);
    }
    // A slot of each was taken between its two failures.
    let between = hand.launched();
    assert_eq!((on(&between, "a1").len(), on(&between, "a2").len(), between.len()), (1, 1, 2));
    hand.executor_on("node-a", "a3", 4);
    between.iter().for_each(|launch| hand.finish(launch));
    assert_eq!(hand.launched(), []);
}

#[test]
fn a_task_that_may_run_nowhere_fails_its_job_at_once_when_no_executor_is_idle() {
    let mut hand = of_stages();
    hand.executor_on("node-a", "a", 2);
    hand.submit(job(1, vec![result(0, &[], 2)]));
    let both = hand.launched();
    hand.fail(&both[0], disk_full());
    // The other one runs still, on the only executor that there is.
    let Some(JobFailure::ExcludedEverywhere { stage, task, last }) = hand.failure(1) else { panic!("no failure") };
    assert_eq!((stage, task), (both[0].0.task.stage, both[0].0.task.partition));
    assert!(last.contains("no space left"), "{last}");
}

#[test]
fn an_idle_executor_makes_room_for_another_one_that_has_its_time_to_come() {
    let mut hand = of_stages();
    hand.executor_on("node-a", "a", 1);
    hand.submit(job(1, vec![result(0, &[], 1)]));
    let first = hand.launched().remove(0);
    hand.fail(&first, disk_full());
    assert_eq!(ended(&hand), ["a"]);
    assert_eq!(hand.failure(1), None);
    hand.now = 100_000;
    hand.executor_on("node-b", "b", 1);
    let again = hand.launched();
    assert_eq!(again.len(), 1);
    hand.finish(&again[0]);
    hand.fetched(&again[0]);
    assert!(hand.succeeded(1));
}

#[test]
fn a_stage_that_waits_for_another_executor_fails_in_the_end() {
    let mut hand = of_stages();
    hand.executor_on("node-a", "a", 1);
    hand.executor_on("node-a", "idle", 1);
    hand.submit(job(1, vec![result(0, &[], 1)]));
    let first = hand.launched().remove(0);
    hand.fail(&first, disk_full());
    let second = hand.launched().remove(0);
    hand.fail(&second, disk_full());
    // Both are excluded by now, and idle: one is given up, nothing comes in its place.
    assert_eq!(ended(&hand).len(), 1);
    assert_eq!(hand.scheduler.demand().unschedulable_stages, 1);
    assert_eq!(hand.scheduler.next_deadline(), Some(120_000));
    hand.now = 119_999;
    hand.tell(Event::Tick);
    assert_eq!(hand.failure(1), None);
    hand.now = 120_000;
    hand.tell(Event::Tick);
    assert!(matches!(hand.failure(1), Some(JobFailure::ExcludedEverywhere { .. })), "{:?}", hand.failure(1));
    assert_eq!(hand.scheduler.demand().unschedulable_stages, 0);
}

#[test]
fn with_dynamic_allocation_another_executor_is_waited_for() {
    let exclusion = Exclusion { stage: Some(StageExclusion::default()), ..Exclusion::default() };
    let mut hand = Hand::with(SchedulerConfig { exclusion, dynamic_allocation: true, ..SchedulerConfig::default() });
    hand.executor_on("node-a", "a", 2);
    hand.submit(job(1, vec![result(0, &[], 2)]));
    let both = hand.launched();
    hand.fail(&both[0], disk_full());
    assert_eq!((hand.failure(1), hand.scheduler.demand().unschedulable_stages), (None, 1));
    hand.executor_on("node-b", "b", 1);
    assert_eq!(on(&hand.launched(), "b").len(), 1);
    assert_eq!(hand.scheduler.demand().unschedulable_stages, 0);
}

#[test]
fn an_executor_that_is_leaving_is_not_excluded_and_its_successor_is_waited_for() {
    let mut hand = of_stages();
    hand.executor_on("node-a", "a", 1);
    hand.executor_on("node-b", "b", 1);
    hand.submit(job(1, vec![result(0, &[], 1)]));
    let first = hand.launched().remove(0);
    let other = if first.1.as_str() == "a" { "b" } else { "a" };
    hand.tell(Event::ExecutorDraining { executor: ExecutorId::new(other) });
    hand.fail(&first, disk_full());
    assert_eq!((hand.failure(1), ended(&hand)), (None, vec![]));
    hand.executor_on("node-c", "c", 1);
    assert_eq!(hand.launched()[0].1.as_str(), "c");
}

/// Two tasks fail on a, and the stage succeeds elsewhere.
fn two_failures_on_a(hand: &mut Hand) {
    hand.executor_on("node-a", "a", 2);
    hand.executor_on("node-b", "b", 2);
    hand.submit(job(1, vec![result(0, &[], 4)]));
    let wave = hand.launched();
    assert_eq!(fail_on(hand, &wave, "a"), 2);
    hand.launched();
}

#[test]
fn failures_count_for_the_application_when_their_stage_has_succeeded() {
    // For the application alone: the stage may go on there.
    let mut hand = with(Some(StageExclusion::default()), Some(ApplicationExclusion::default()));
    two_failures_on_a(&mut hand);
    hand.submit(job(2, vec![map(10, &[], 2), result(11, &[10], 1)]));
    assert_eq!(on(&hand.launched(), "a").len(), 2, "not yet");
    hand.lose("a", evicted());

    let mut hand = with(Some(StageExclusion::default()), Some(ApplicationExclusion::default()));
    hand.executor_on("node-a", "a", 2);
    hand.executor_on("node-b", "b", 2);
    hand.submit(job(1, vec![result(0, &[], 4)]));
    let wave = hand.launched();
    fail_on(&mut hand, &wave, "a");
    on(&wave, "b").into_iter().for_each(|launch| hand.finish(launch));
    hand.run_to_end();
    on(&wave, "b").into_iter().for_each(|launch| hand.fetched(launch));
    assert!(hand.succeeded(1));
    hand.submit(job(2, vec![result(10, &[], 4)]));
    assert_eq!(on(&hand.launched(), "a"), Vec::<&Launch>::new());
    assert_eq!(hand.scheduler.demand().slots, 2);
    // After an hour it is tried again.
    assert_eq!(hand.scheduler.next_deadline(), Some(3_600_000));
    hand.now = 3_600_000;
    hand.tell(Event::Tick);
    assert_eq!(on(&hand.launched(), "a").len(), 2);
}

#[test]
fn an_excluded_executor_is_ended_when_that_is_wanted_and_its_node_with_it() {
    let rules =
        ApplicationExclusion { kill: true, max_failed_executors_per_node: 1, ..ApplicationExclusion::default() };
    let mut hand = of_the_application(rules);
    hand.executor_on("node-a", "a", 2);
    hand.executor_on("node-a", "beside", 1);
    hand.executor_on("node-b", "b", 8);
    hand.submit(job(1, vec![result(0, &[], 11)]));
    let wave = hand.launched();
    assert_eq!(fail_on(&mut hand, &wave, "a"), 2);
    wave.iter().filter(|(_, at)| at.as_str() != "a").for_each(|launch| hand.finish(launch));
    hand.finish_all();
    assert_eq!(ended(&hand), ["a", "beside"]);
    // Another one there comes too early.
    hand.executor_on("node-a", "late", 3);
    hand.submit(job(2, vec![result(10, &[], 20)]));
    assert!(on(&hand.launched(), "late").is_empty());
}

#[test]
fn an_executor_that_does_not_serve_its_blocks_is_excluded_when_that_is_wanted() {
    let rules = ApplicationExclusion { on_fetch_failure: true, ..ApplicationExclusion::default() };
    let mut hand = of_the_application(rules);
    hand.executor_on("node-a", "a", 1);
    hand.executor_on("node-b", "b", 1);
    hand.submit(job(1, vec![map(0, &[], 2), result(1, &[0], 1)]));
    hand.launched().iter().for_each(|launch| hand.finish(launch));
    let reader = hand.launched().remove(0);
    hand.fetch_failed(&reader, 0, "a", &[], false);
    let again = hand.finish_all();
    assert!(!again.is_empty() && again.iter().all(|(_, at)| *at == ExecutorId::new("b")), "{again:?}");
}
