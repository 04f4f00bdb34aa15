//! The rules, one by one.

use firesteel_protocol::{ExecutorId, JobId, ShuffleId, StageId};
use firesteel_scheduler::{
    Action, Event, ExecutorLossReason, JobFailure, JobSpec, OutputHome, OutputLocation, OutputRef, Preference,
    SchedulerConfig, StageSpec, StageState, TaskFailure, TaskOutput, TaskOutputHome,
};

use crate::{
    cluster::query_error,
    hand::{Hand, Launch, job, map, partitions, result},
};

const FIRST: JobId = JobId(1);

fn evicted() -> ExecutorLossReason {
    ExecutorLossReason::TakenByCluster { message: "evicted".into() }
}

fn crashed() -> ExecutorLossReason {
    ExecutorLossReason::Crashed { exit_code: Some(134) }
}

fn disk_full() -> TaskFailure {
    TaskFailure::DiskFull { message: "no space left on device".into() }
}

/// Executors a and b with two slots each; a map stage of four tasks has run on both, and two of the three tasks that
/// read it are told to.
fn reading() -> (Hand, Vec<Launch>, Vec<Launch>) {
    let mut hand = Hand::new();
    hand.executor("a", 2);
    hand.executor("b", 2);
    hand.submit(job(1, vec![map(0, &[], 4), result(1, &[0], 3)]));
    let maps = hand.launched();
    assert_eq!(partitions(&maps), [(0, 0), (0, 1), (0, 2), (0, 3)]);
    maps.iter().for_each(|launch| hand.finish(launch));
    let readers = hand.launched();
    assert_eq!(partitions(&readers), [(1, 0), (1, 1), (1, 2)]);
    (hand, maps, readers)
}

fn on<'a>(launches: &'a [Launch], executor: &str) -> Vec<&'a Launch> {
    launches.iter().filter(|(_, at)| at.as_str() == executor).collect()
}

#[test]
fn more_partitions_than_slots() {
    let mut hand = Hand::new();
    hand.executor("a", 1);
    hand.submit(job(1, vec![map(0, &[], 400), result(1, &[0], 400)]));
    let mut launches = 0;
    loop {
        let now = hand.launched();
        let [launch] = now.as_slice() else { break };
        launches += 1;
        hand.finish(launch);
        hand.fetched(launch);
    }
    assert_eq!(launches, 800);
    assert!(hand.succeeded(1));
    assert!(hand.actions.contains(&Action::RemoveShuffle { shuffle: ShuffleId(0) }));
    assert!(hand.actions.contains(&Action::RemoveShuffle { shuffle: ShuffleId(1) }));
}

#[test]
fn a_stage_starts_when_all_it_reads_is_there() {
    let mut hand = Hand::new();
    hand.executor("a", 8);
    hand.submit(job(1, vec![map(0, &[], 2), map(1, &[], 2), result(2, &[0, 1], 1)]));
    let maps = hand.launched();
    assert_eq!(partitions(&maps), [(0, 0), (0, 1), (1, 0), (1, 1)]);
    maps[..3].iter().for_each(|launch| hand.finish(launch));
    assert_eq!(hand.launched(), []);
    hand.finish(&maps[3]);
    assert_eq!(partitions(&hand.launched()), [(2, 0)]);
}

#[test]
fn tasks_spread_over_executors() {
    let mut hand = Hand::new();
    hand.executor("a", 4);
    hand.executor("b", 4);
    hand.submit(job(1, vec![result(0, &[], 4)]));
    let launches = hand.launched();
    assert_eq!((on(&launches, "a").len(), on(&launches, "b").len()), (2, 2));
}

#[test]
fn a_fetch_failure_makes_only_the_missing_maps_again() {
    let (mut hand, maps, readers) = reading();
    let lost: Vec<_> = on(&maps, "b").iter().map(|(id, _)| (0, id.task.partition)).collect();
    assert_eq!(lost.len(), 2);
    hand.actions.clear();
    hand.fetch_failed(&readers[0], 0, "b", &[lost[0].1], false);
    assert!(
        hand.actions.iter().any(|action| matches!(action, Action::MapOutputsChanged { shuffle: ShuffleId(0), .. }))
    );

    // The other readers go on; one of them manages, its result counts.
    hand.finish(&readers[1]);
    let again = hand.launched();
    assert_eq!(partitions(&again), lost);
    again.iter().for_each(|launch| hand.finish(launch));
    let second = hand.launched();
    assert_eq!(partitions(&second), [(1, readers[0].0.task.partition)]);
    assert_eq!(second[0].0.stage_attempt, 1);
    hand.finish(&second[0]);
    hand.finish(&readers[2]);
    for launch in [&second[0], &readers[1], &readers[2]] {
        assert!(!hand.succeeded(1));
        hand.fetched(launch);
    }
    assert!(hand.succeeded(1));
}

#[test]
fn fetch_failures_of_one_stage_attempt_count_once() {
    let (mut hand, _, readers) = reading();
    for reader in &readers {
        hand.fetch_failed(reader, 0, "b", &[], false);
    }
    let maps = hand.launched();
    assert_eq!(maps.len(), 2);
    maps.iter().for_each(|launch| hand.finish(launch));
    let stages = hand.scheduler.job_progress(FIRST).expect("a running job");
    assert_eq!((stages[1].stage_attempt, stages[1].failed_attempts), (1, 3));
    hand.run_to_end();
    assert!(hand.succeeded(1));
}

#[test]
fn a_damaged_block_is_lost_alone() {
    let (mut hand, maps, readers) = reading();
    let on_b = on(&maps, "b")[0].0.task.partition;
    hand.fetch_failed(&readers[0], 0, "b", &[on_b], true);
    assert_eq!(partitions(&hand.launched()), [(0, on_b)]);
}

#[test]
fn old_news_of_outputs_made_again_is_ignored() {
    let (mut hand, maps, readers) = reading();
    hand.lose("b", evicted());
    hand.executor("c", 2);
    let again: Vec<Launch> = hand.launched().into_iter().filter(|(id, _)| id.task.stage == StageId(0)).collect();
    assert_eq!(again.len(), on(&maps, "b").len());
    again.iter().for_each(|launch| hand.finish(launch));
    hand.actions.clear();
    // This reader began before, and reports only now that b is gone.
    let late = on(&readers, "a")[0];
    hand.fetch_failed(late, 0, "b", &[], false);
    assert!(!hand.actions.iter().any(|action| matches!(action, Action::MapOutputsChanged { .. })));
    let second = hand.launched();
    assert_eq!(second.first().map(|(id, _)| id.task), Some(late.0.task));
}

/// The reader launched last cannot read map 0 of shuffle 0; what is lost by that is made again.
fn cannot_read(hand: &mut Hand) {
    let reader = hand.launched().pop().expect("a reader");
    let outputs = hand.scheduler.map_outputs(ShuffleId(0)).expect("outputs");
    let Some(OutputLocation::Executor(holder)) = outputs.iter().next().map(|output| output.location) else {
        panic!("map 0 is not on an executor")
    };
    hand.fetch_failed(&reader, 0, holder.as_str(), &[0], false);
    hand.launched().iter().filter(|(id, _)| id.task.stage == StageId(0)).for_each(|launch| hand.finish(launch));
}

#[test]
fn a_stage_that_cannot_read_four_times_in_a_row_fails_its_job() {
    let mut hand = Hand::new();
    hand.executor("a", 2);
    hand.executor("b", 2);
    hand.submit(job(1, vec![map(0, &[], 4), result(1, &[0], 1)]));
    hand.launched().iter().for_each(|launch| hand.finish(launch));
    for _ in 0..4 {
        assert_eq!(hand.failure(1), None);
        cannot_read(&mut hand);
    }
    let Some(JobFailure::FetchFailures { stage: StageId(1), attempts: 4, last }) = hand.failure(1) else {
        panic!("{:?}", hand.failure(1))
    };
    assert_eq!(last.message, "connection refused");
}

#[test]
fn a_stage_that_finishes_may_fail_to_read_again_later() {
    let mut hand = Hand::new();
    hand.executor("a", 2);
    hand.executor("b", 2);
    hand.submit(job(1, vec![map(0, &[], 4), map(1, &[0], 1), result(2, &[1], 1)]));
    hand.launched().iter().for_each(|launch| hand.finish(launch));
    for _ in 0..2 {
        for _ in 0..3 {
            cannot_read(&mut hand);
        }
        let reader = hand.launched().remove(0);
        assert_eq!(reader.0.task.stage, StageId(1));
        hand.finish(&reader);
        let last = hand.launched().remove(0);
        hand.fetch_failed(&last, 1, reader.1.as_str(), &[0], false);
        hand.launched().iter().filter(|(id, _)| id.task.stage == StageId(0)).for_each(|launch| hand.finish(launch));
    }
    assert_eq!(hand.failure(1), None);
}

#[test]
fn readers_of_lost_executors_do_not_use_up_the_attempts_of_their_stage() {
    let mut hand = Hand::with(SchedulerConfig { max_executor_failures: 100, ..SchedulerConfig::default() });
    let on = |hand: &mut Hand, name: &str, node: &str| {
        hand.tell(Event::ExecutorRegistered { executor: ExecutorId::new(name), node: node.into(), slots: 1 });
    };
    on(&mut hand, "reader", "kept");
    on(&mut hand, "e0", "spot");
    let maps = StageSpec { preferences: vec![vec![Preference::Node("spot".into())]; 2], ..map(0, &[], 2) };
    let reads = StageSpec { preferences: vec![vec![Preference::Node("kept".into())]], ..result(1, &[0], 1) };
    hand.submit(job(1, vec![maps, reads]));
    for number in 0..20 {
        hand.launched().iter().for_each(|launch| hand.finish(launch));
        let reader = hand.launched().remove(0);
        assert_eq!((reader.0.task.stage, reader.1.as_str()), (StageId(1), "reader"));
        hand.lose(&format!("e{number}"), evicted());
        on(&mut hand, &format!("e{}", number + 1), "spot");
        hand.fetch_failed(&reader, 0, &format!("e{number}"), &[], false);
        assert_eq!(hand.failure(1), None, "after {number}");
    }
}

#[test]
fn a_lost_executor_takes_its_outputs_and_its_tasks() {
    let (mut hand, maps, readers) = reading();
    let mut expected: Vec<_> = on(&maps, "b").iter().map(|(id, _)| (0, id.task.partition)).collect();
    hand.lose("b", evicted());
    // a runs two readers; one of them ends, and the missing maps come before the readers that b ran.
    on(&readers, "a").iter().for_each(|launch| hand.finish(launch));
    let again = hand.launched();
    assert_eq!(partitions(&again), expected);
    again.iter().for_each(|launch| hand.finish(launch));
    expected = on(&readers, "b").iter().map(|(id, _)| (1, id.task.partition)).collect();
    assert_eq!(partitions(&hand.launched()), expected);
}

#[test]
fn outputs_that_nobody_needs_any_more_are_not_made_again() {
    let (mut hand, _, readers) = reading();
    readers.iter().for_each(|launch| hand.finish(launch));
    readers.iter().filter(|(_, at)| at.as_str() == "b").for_each(|launch| hand.fetched(launch));
    hand.lose("b", evicted());
    assert_eq!(hand.launched(), []);
    readers.iter().filter(|(_, at)| at.as_str() == "a").for_each(|launch| hand.fetched(launch));
    assert!(hand.succeeded(1));
}

#[test]
fn a_result_lost_before_it_was_fetched_is_made_again() {
    let mut hand = Hand::new();
    hand.executor("a", 1);
    hand.executor("b", 1);
    hand.submit(job(1, vec![result(0, &[], 2)]));
    let tasks = hand.finish_all();
    assert!(!hand.succeeded(1));
    let (kept, lost) = (on(&tasks, "a")[0], on(&tasks, "b")[0]);
    hand.fetched(kept);
    hand.actions.clear();
    hand.lose("b", evicted());
    let again = hand.finish_all();
    assert_eq!(partitions(&again), [(0, lost.0.task.partition)]);
    let location = OutputLocation::Executor(ExecutorId::new("a"));
    assert!(hand.actions.contains(&Action::ResultReady { job: FIRST, attempt: again[0].0, location }));
    // The driver may have had the old one on the wire: it does not count.
    hand.fetched(lost);
    assert!(!hand.succeeded(1));
    hand.fetched(&again[0]);
    assert!(hand.succeeded(1));
}

#[test]
fn a_result_that_the_driver_has_is_never_made_again() {
    let mut hand = Hand::new();
    hand.executor("a", 2);
    hand.submit(job(1, vec![result(0, &[], 2)]));
    let tasks = hand.launched();
    hand.finish(&tasks[0]);
    hand.fetched(&tasks[0]);
    let output = TaskOutput { sizes: vec![7], home: TaskOutputHome::Driver };
    hand.lose("a", evicted());
    hand.executor("b", 1);
    let second = hand.launched();
    assert_eq!(partitions(&second), [(0, 1)]);
    hand.tell(Event::TaskFinished { attempt: second[0].0, executor: second[0].1.clone(), output });
    assert!(hand.succeeded(1));
}

#[test]
fn a_result_that_cannot_be_fetched_is_made_again_four_times_at_most() {
    let mut hand = Hand::new();
    hand.executor("a", 1);
    hand.submit(job(1, vec![result(0, &[], 1)]));
    for _ in 0..4 {
        assert_eq!(hand.failure(1), None);
        let [launch] = hand.launched().try_into().expect("one launch");
        hand.finish(&launch);
        for _ in 0..2 {
            // The second one is a repeated message.
            let message = "reset".to_owned();
            hand.tell(Event::ResultFetchFailed { attempt: launch.0, executor_unreachable: true, message });
        }
    }
    let failure = hand.failure(1).expect("a failed job").to_string();
    assert_eq!(
        failure,
        "task 0 of stage 0 failed 4 time(s), the last on executor a: the result was lost before the driver had it: reset"
    );
}

#[test]
fn late_and_repeated_messages_are_ignored() {
    let mut hand = Hand::new();
    hand.executor("a", 1);
    hand.executor("b", 1);
    hand.submit(job(1, vec![map(0, &[], 1), result(1, &[0], 1)]));
    let first = hand.launched().remove(0);
    let (gone, left) = if first.1.as_str() == "a" { ("a", "b") } else { ("b", "a") };
    hand.lose(gone, evicted());
    let second = hand.launched().remove(0);
    assert_eq!((second.0.task, second.1.as_str()), (first.0.task, left));
    // The first attempt was not dead: what it says counts for nothing, and what it wrote goes.
    hand.actions.clear();
    hand.fail(&first, query_error(false));
    assert_eq!(hand.actions, []);
    hand.finish(&first);
    let discard = |launch: &Launch| Action::DiscardAttemptOutput {
        attempt: launch.0,
        executor: launch.1.clone(),
        shuffle: ShuffleId(0),
    };
    assert_eq!(hand.actions, [discard(&first)]);
    // The second counts, once, and is not discarded when it says so twice.
    hand.finish(&second);
    let reader = hand.launched();
    assert_eq!(reader.len(), 1);
    hand.actions.clear();
    hand.finish(&second);
    hand.fail(&second, disk_full());
    assert_eq!(hand.actions, []);
    hand.finish(&first);
    assert_eq!(hand.actions, [discard(&first)]);
    hand.finish(&reader[0]);
    hand.fetched(&reader[0]);
    assert!(hand.succeeded(1));
}

#[test]
fn without_any_executor_a_job_fails_after_a_while() {
    let mut hand = Hand::with(SchedulerConfig { no_executors_timeout_ms: 1_000, ..SchedulerConfig::default() });
    assert_eq!(hand.scheduler.next_deadline(), None);
    hand.now = 50;
    hand.submit(job(1, vec![result(0, &[], 1)]));
    assert_eq!(hand.scheduler.next_deadline(), Some(1_050));
    hand.now = 1_049;
    hand.tell(Event::Tick);
    assert_eq!(hand.failure(1), None);
    hand.now = 1_050;
    hand.tell(Event::Tick);
    assert_eq!(hand.failure(1), Some(JobFailure::NoExecutors { waited_ms: 1_000, last: None }));
    assert_eq!(hand.scheduler.next_deadline(), None);
}

#[test]
fn all_executors_gone_is_a_bounded_wait() {
    let mut hand = Hand::with(SchedulerConfig { no_executors_timeout_ms: 1_000, ..SchedulerConfig::default() });
    hand.executor("a", 1);
    hand.submit(job(1, vec![result(0, &[], 1)]));
    hand.lose("a", evicted());
    hand.now = 900;
    hand.tell(Event::Tick);
    // One comes in time; then it goes too, and the wait begins again.
    hand.executor("b", 1);
    assert_eq!(hand.scheduler.next_deadline(), None);
    hand.now = 5_000;
    hand.lose("b", evicted());
    assert_eq!(hand.scheduler.next_deadline(), Some(6_000));
    hand.now = 6_000;
    hand.tell(Event::Tick);
    let failure = hand.failure(1).expect("a failed job").to_string();
    assert_eq!(
        failure,
        "no executor for 1000 ms (firesteel.scheduler.noExecutorsTimeout); the last one, b, was lost: taken by the \
         cluster: evicted"
    );
}

#[test]
fn a_job_whose_results_only_wait_to_be_fetched_needs_no_executor() {
    let mut hand = Hand::new();
    hand.executor("a", 1);
    hand.submit(job(1, vec![result(0, &[], 1)]));
    let tasks = hand.finish_all();
    hand.hand_over("a", OutputHome::Store, &[0]);
    assert_eq!(hand.scheduler.next_deadline(), None);
    hand.fetched(&tasks[0]);
    assert!(hand.succeeded(1));
}

#[test]
fn a_task_that_fails_four_times_fails_its_job_with_the_last_error() {
    let mut hand = Hand::new();
    hand.executor("a", 1);
    hand.submit(job(1, vec![map(0, &[], 1), result(1, &[0], 1)]));
    for number in 0..4 {
        assert_eq!(hand.failure(1), None);
        let launch = hand.launched().remove(0);
        assert_eq!(launch.0.attempt, number);
        hand.fail(&launch, query_error(true));
    }
    let Some(JobFailure::Task { failures: 4, failure: TaskFailure::Query { error, .. }, .. }) = hand.failure(1) else {
        panic!("{:?}", hand.failure(1))
    };
    assert_eq!(error.error_class, "DIVIDE_BY_ZERO");
    assert_eq!(hand.launched(), []);
    assert_eq!(hand.scheduler.demand().running_attempts, 0);
}

#[test]
fn an_error_that_must_come_again_fails_the_job_at_once() {
    let mut hand = Hand::new();
    hand.executor("a", 2);
    hand.submit(job(1, vec![result(0, &[], 2)]));
    let tasks = hand.launched();
    hand.fail(&tasks[0], query_error(false));
    assert!(matches!(hand.failure(1), Some(JobFailure::Task { failures: 1, .. })));
    assert!(
        hand.actions.iter().any(|action| matches!(action, Action::KillTask { attempt, .. } if *attempt == tasks[1].0))
    );
}

#[test]
fn a_task_lost_with_its_executor_counts_only_if_it_may_be_to_blame() {
    let mut hand = Hand::with(SchedulerConfig { max_executor_failures: 1_000, ..SchedulerConfig::default() });
    hand.submit(job(1, vec![result(0, &[], 1)]));
    for number in 0..20 {
        hand.executor(&format!("evicted-{number}"), 1);
        hand.lose(&format!("evicted-{number}"), evicted());
    }
    assert_eq!(hand.failure(1), None);
    for number in 0..4 {
        assert_eq!(hand.failure(1), None);
        hand.executor(&format!("crashed-{number}"), 1);
        hand.lose(&format!("crashed-{number}"), crashed());
    }
    let failure = hand.failure(1).expect("a failed job").to_string();
    assert_eq!(
        failure,
        "task 0 of stage 0 failed 4 time(s), the last on executor crashed-3: executor crashed-3 was lost: its process \
         ended with exit code 134"
    );
}

#[test]
fn a_task_does_not_go_round_for_ever_without_anybodys_fault() {
    let mut hand = Hand::new();
    hand.executor("a", 1);
    hand.submit(job(1, vec![result(0, &[], 1)]));
    let mut launches = 0;
    while let [launch] = hand.launched().as_slice() {
        launches += 1;
        assert!(launches < 1_000);
        hand.fail(launch, TaskFailure::Killed { reason: "by the executor".into() });
    }
    assert_eq!(launches, 104);
    assert!(hand.failure(1).is_some());
}

#[test]
fn too_many_failed_executors_fail_the_jobs() {
    let config = SchedulerConfig { max_executor_failures: 3, ..SchedulerConfig::default() };
    let mut hand = Hand::with(config.clone());
    hand.submit(job(1, vec![result(0, &[], 1)]));
    for number in 0..4 {
        assert_eq!(hand.failure(1), None);
        // Some end before they register, and the news comes twice.
        if number % 2 == 0 {
            hand.executor(&format!("e{number}"), 1);
        }
        hand.lose(&format!("e{number}"), evicted());
        hand.lose(&format!("e{number}"), evicted());
        hand.executor(&format!("idle-{number}"), 0);
        hand.lose(&format!("idle-{number}"), ExecutorLossReason::Released);
    }
    assert!(matches!(hand.failure(1), Some(JobFailure::ExecutorFailures { failures: 4, limit: 3, .. })));

    let mut hand = Hand::with(SchedulerConfig { executor_failures_validity_ms: Some(100), ..config });
    hand.submit(job(1, vec![result(0, &[], 1)]));
    for number in 0..20 {
        hand.now += 40;
        hand.lose(&format!("e{number}"), evicted());
    }
    assert_eq!(hand.failure(1), None, "never more than three in 100 ms");
    assert_eq!(SchedulerConfig::default_max_executor_failures(1), 3);
    assert_eq!(SchedulerConfig::default_max_executor_failures(10), 20);
}

#[test]
fn a_failed_task_tries_another_executor() {
    let mut hand = Hand::new();
    hand.executor("full", 2);
    hand.submit(job(1, vec![result(0, &[], 4)]));
    let tasks = hand.launched();
    hand.executor("good", 1);
    let third = hand.launched();
    hand.fail(&tasks[0], disk_full());
    // A fresh task takes the slot; the failed one waits for the other executor.
    let fourth = hand.launched();
    assert_eq!(partitions(&fourth), [(0, 3)]);
    hand.fail(&tasks[1], disk_full());
    assert_eq!(hand.launched(), []);
    hand.finish(&third[0]);
    let retry = hand.launched();
    assert_eq!((retry[0].0.task, retry[0].1.as_str()), (tasks[0].0.task, "good"));
    // Without another executor it goes where it can.
    hand.lose("good", evicted());
    assert!(hand.launched().iter().all(|(_, at)| at.as_str() == "full"));
    assert_eq!(hand.scheduler.demand().running_attempts, 2);
}

#[test]
fn older_jobs_come_first() {
    let mut hand = Hand::new();
    hand.submit(job(2, vec![result(20, &[], 2)]));
    hand.submit(job(1, vec![result(10, &[], 2)]));
    hand.executor("a", 3);
    assert_eq!(partitions(&hand.launched()), [(10, 0), (10, 1), (20, 0)]);
    assert_eq!(hand.scheduler.demand().pending_tasks, 1);
}

#[test]
fn a_cancelled_job_frees_its_slots_when_its_attempts_end() {
    let mut hand = Hand::new();
    hand.executor("a", 2);
    hand.submit(job(1, vec![map(0, &[], 5), result(1, &[0], 1)]));
    hand.submit(job(2, vec![result(2, &[], 2)]));
    let tasks = hand.launched();
    hand.tell(Event::JobCancelled { job: FIRST, reason: "by the user".into() });
    let reason = "by the user".to_owned();
    assert_eq!(hand.actions.last(), Some(&Action::JobCancelled { job: FIRST, reason }));
    assert_eq!(hand.actions.iter().filter(|action| matches!(action, Action::KillTask { .. })).count(), 2);
    assert_eq!(hand.launched(), [], "the slots are still held");
    hand.fail(&tasks[0], TaskFailure::Killed { reason: "the job has ended".into() });
    assert_eq!(partitions(&hand.launched()), [(2, 0)]);
    // This one ended by itself in the meantime.
    hand.actions.clear();
    hand.finish(&tasks[1]);
    let discard = |action: &Action| matches!(action, Action::DiscardAttemptOutput { shuffle: ShuffleId(0), .. });
    assert_eq!(hand.actions.iter().filter(|action| discard(action)).count(), 1);
    assert_eq!(partitions(&hand.launched()), [(2, 1)]);
    // Again: nothing.
    hand.actions.clear();
    hand.tell(Event::JobCancelled { job: FIRST, reason: "again".into() });
    assert_eq!(hand.actions, []);
}

/// A map stage that does not repeat itself (0), one that reads it (1), the result (2); stage 1 is half done when an
/// output of stage 0 is found lost.
fn unrepeatable(results_fetched: bool) -> Hand {
    let mut hand = Hand::new();
    hand.executor("a", 1);
    hand.executor("b", 1);
    let mut random = map(0, &[], 2);
    random.indeterminate = true;
    let stages = if results_fetched {
        vec![random, result(2, &[0], 3)]
    } else {
        vec![random, map(1, &[0], 3), result(2, &[1], 1)]
    };
    hand.submit(job(1, stages));
    hand.launched().iter().for_each(|launch| hand.finish(launch));
    let readers = hand.launched();
    assert_eq!(readers.len(), 2);
    hand.finish(&readers[0]);
    if results_fetched {
        hand.fetched(&readers[0]);
    }
    hand.fetch_failed(&readers[1], 0, "b", &[], false);
    hand
}

#[test]
fn rows_that_cannot_be_repeated_are_made_again_as_a_whole() {
    let mut hand = unrepeatable(false);
    // One reader was launched when the first ended: it reads what is thrown away, and is ended.
    let killed = hand.actions.iter().find_map(|action| match action {
        Action::KillTask { attempt, executor, .. } => Some((*attempt, executor.clone())),
        _ => None,
    });
    let mut again = hand.launched();
    let killed = killed.expect("a killed reader");
    assert_eq!(killed.0.task.stage, StageId(1));
    hand.finish(&killed);
    assert!(hand.actions.iter().any(|action| matches!(action, Action::DiscardAttemptOutput { .. })));
    again.retain(|launch| launch.0.attempt > killed.0.attempt);
    again.extend(hand.launched());
    assert_eq!(partitions(&again), [(0, 0), (0, 1)], "both maps, not only the lost one");
    again.iter().for_each(|launch| hand.finish(launch));
    let rest = hand.finish_all();
    assert_eq!(partitions(&rest), [(1, 0), (1, 1), (1, 2), (2, 0)], "every reader");
    rest.iter().for_each(|launch| hand.fetched(launch));
    assert!(hand.succeeded(1));
}

#[test]
fn a_result_that_was_delivered_cannot_be_taken_back() {
    let hand = unrepeatable(true);
    let expected = JobFailure::CannotRollBack { stage: StageId(2), cause: StageId(0) };
    assert_eq!(hand.failure(1), Some(expected));
}

#[test]
fn jobs_share_a_stage() {
    let mut hand = Hand::new();
    hand.executor("a", 4);
    hand.submit(job(1, vec![map(0, &[], 2), result(1, &[0], 1)]));
    hand.submit(job(2, vec![map(0, &[], 2), result(2, &[0], 1)]));
    let maps = hand.launched();
    assert_eq!(partitions(&maps), [(0, 0), (0, 1)]);
    // The first job goes; the stage stays for the second.
    hand.tell(Event::JobCancelled { job: FIRST, reason: "".into() });
    assert!(!hand.actions.iter().any(|action| matches!(action, Action::KillTask { .. })));
    maps.iter().for_each(|launch| hand.finish(launch));
    hand.run_to_end();
    assert!(hand.succeeded(2));
}

#[test]
fn a_retained_shuffle_serves_later_jobs() {
    let mut hand = Hand::new();
    hand.executor("a", 2);
    hand.executor("b", 2);
    // A job that only makes a shuffle, as adaptive execution asks for.
    hand.submit(JobSpec { retain_shuffles: true, ..job(1, vec![map(0, &[], 4)]) });
    let maps = hand.finish_all();
    assert!(hand.succeeded(1));
    assert!(!hand.actions.contains(&Action::RemoveShuffle { shuffle: ShuffleId(0) }));
    // Repeated news of an attempt of the ended job.
    hand.actions.clear();
    hand.finish(&maps[0]);
    assert_eq!(hand.actions, []);

    // Half of it is lost between the jobs; the next one makes only that again.
    hand.lose("b", evicted());
    assert_eq!(hand.launched(), []);
    let mut reader = job(2, vec![map(7, &[], 4), result(8, &[7], 1)]);
    reader.stages[0].output = map(0, &[], 4).output;
    hand.submit(reader);
    let again = hand.launched();
    let lost: Vec<_> = on(&maps, "b").iter().map(|(id, _)| (7, id.task.partition)).collect();
    assert_eq!(partitions(&again), lost);
    again.iter().for_each(|launch| hand.finish(launch));
    hand.run_to_end();
    assert!(hand.succeeded(2));
    assert!(!hand.actions.contains(&Action::RemoveShuffle { shuffle: ShuffleId(0) }));
    hand.tell(Event::ShuffleReleased { shuffle: ShuffleId(0) });
    assert!(hand.actions.contains(&Action::RemoveShuffle { shuffle: ShuffleId(0) }));
    assert!(hand.scheduler.map_outputs(ShuffleId(0)).is_none());
}

#[test]
fn a_retained_shuffle_that_cannot_be_repeated_takes_its_readers_with_it() {
    let mut hand = Hand::new();
    hand.executor("a", 2);
    hand.executor("b", 2);
    // The same two shuffles under each job's own stage ids: one that does not repeat itself, one made from it.
    let random = |stage| {
        let mut stage = StageSpec { output: map(0, &[], 2).output, ..map(stage, &[], 2) };
        stage.indeterminate = true;
        stage
    };
    let made_from_it = |stage, parent| StageSpec { output: map(1, &[], 2).output, ..map(stage, &[parent], 2) };
    hand.submit(JobSpec { retain_shuffles: true, ..job(1, vec![random(10), made_from_it(11, 10)]) });
    hand.finish_all();
    assert!(hand.succeeded(1));
    // A part of the first is gone; the second is whole, but goes with other rows.
    let outputs = hand.scheduler.map_outputs(ShuffleId(1)).expect("outputs");
    let kept: Vec<_> = outputs.iter().map(|output| (output.map_index, output.attempt)).collect();
    let outputs = kept.into_iter().map(|(map_index, attempt)| OutputRef { shuffle: ShuffleId(1), map_index, attempt });
    hand.tell(Event::OutputsMoved { outputs: outputs.collect(), to: OutputHome::Store });
    hand.lose("b", evicted());
    hand.executor("c", 2);
    hand.submit(job(2, vec![random(20), made_from_it(21, 20), result(22, &[20, 21], 1)]));
    let again = hand.finish_all();
    assert_eq!(partitions(&again), [(20, 0), (20, 1), (21, 0), (21, 1), (22, 0)]);
}

#[test]
fn outputs_handed_over_are_not_made_again() {
    let mut hand = Hand::new();
    hand.executor("a", 2);
    hand.executor("b", 2);
    hand.submit(job(1, vec![map(0, &[], 4), result(1, &[0], 1)]));
    let maps = hand.launched();
    maps.iter().for_each(|launch| hand.finish(launch));
    let reader = hand.launched().remove(0);
    let leaving = if reader.1.as_str() == "a" { "b" } else { "a" };
    hand.tell(Event::ExecutorDraining { executor: ExecutorId::new(leaving) });
    hand.hand_over(leaving, OutputHome::Executor(reader.1.clone()), &[0]);
    assert!(hand.actions.iter().any(|action| matches!(action, Action::MapOutputsChanged { .. })));
    let outputs = hand.scheduler.map_outputs(ShuffleId(0)).expect("outputs");
    assert!(outputs.iter().all(|output| output.location == OutputLocation::Executor(reader.1.clone())));
    // A result that moves is told again with its new place.
    hand.finish(&reader);
    hand.actions.clear();
    hand.hand_over(reader.1.as_str(), OutputHome::Store, &[0, 1]);
    let ready = Action::ResultReady { job: FIRST, attempt: reader.0, location: OutputLocation::Store };
    assert!(hand.actions.contains(&ready));
    assert_eq!(hand.launched(), []);
    hand.fetched(&reader);
    assert!(hand.succeeded(1));
}

#[test]
fn outputs_that_outlive_their_executor_stay_under_its_name() {
    let (mut hand, _, readers) = reading();
    let executor = ExecutorId::new("b");
    hand.tell(Event::ExecutorLost { executor, reason: evicted(), outputs_lost: false });
    on(&readers, "a").iter().for_each(|launch| hand.finish(launch));
    assert!(partitions(&hand.launched()).iter().all(|(stage, _)| *stage == 1), "only readers run again");
}

#[test]
fn a_leaving_executor_gets_no_tasks() {
    let mut hand = Hand::new();
    hand.executor("a", 2);
    hand.submit(job(1, vec![result(0, &[], 3)]));
    let tasks = hand.launched();
    hand.tell(Event::ExecutorDraining { executor: ExecutorId::new("a") });
    hand.finish(&tasks[0]);
    assert_eq!(hand.launched(), []);
    assert_eq!(hand.scheduler.demand().slots, 0);
    hand.executor("b", 1);
    assert_eq!(hand.launched()[0].1.as_str(), "b");
}

#[test]
fn a_lost_executor_does_not_come_back() {
    let mut hand = Hand::new();
    hand.executor("a", 1);
    hand.executor("a", 5);
    assert_eq!(hand.actions, [], "a repeated registration changes nothing");
    hand.lose("a", evicted());
    hand.executor("a", 1);
    assert_eq!(hand.actions, [Action::RefuseExecutor { executor: ExecutorId::new("a") }]);
    assert_eq!(hand.scheduler.executors().alive().count(), 0);
}

#[test]
fn tasks_go_where_they_would_like_if_there_is_a_slot() {
    let mut hand = Hand::new();
    let mut stage = result(0, &[], 4);
    stage.preferences = vec![
        vec![Preference::Executor(ExecutorId::new("b"))],
        vec![Preference::Executor(ExecutorId::new("b"))],
        vec![Preference::Executor(ExecutorId::new("elsewhere")), Preference::Node("node".into())],
        vec![Preference::Executor(ExecutorId::new("b"))],
    ];
    hand.submit(job(1, vec![stage]));
    let node = |hand: &mut Hand, name: &str, node: &str| {
        hand.tell(Event::ExecutorRegistered { executor: ExecutorId::new(name), node: node.into(), slots: 2 });
    };
    node(&mut hand, "a", "other");
    // Nobody waits for a place: two go to a.
    assert_eq!(hand.launched().len(), 2);
    node(&mut hand, "b", "node");
    assert_eq!(hand.launched().len(), 2);

    let mut hand = Hand::new();
    node(&mut hand, "a", "node");
    node(&mut hand, "b", "other");
    let mut stage = result(0, &[], 4);
    stage.preferences = vec![
        vec![Preference::Executor(ExecutorId::new("b"))],
        vec![Preference::Node("node".into())],
        vec![Preference::Node("node".into())],
        vec![Preference::Executor(ExecutorId::new("b"))],
    ];
    hand.submit(job(1, vec![stage]));
    let launches = hand.launched();
    assert_eq!(partitions(&on(&launches, "a").into_iter().cloned().collect::<Vec<_>>()), [(0, 1), (0, 2)]);
    assert_eq!(partitions(&on(&launches, "b").into_iter().cloned().collect::<Vec<_>>()), [(0, 0), (0, 3)]);
}

#[test]
fn an_output_of_the_wrong_shape_is_a_failure() {
    let mut hand = Hand::new();
    hand.executor("a", 1);
    hand.submit(job(1, vec![map(0, &[], 1), result(1, &[0], 1)]));
    let launch = hand.launched().remove(0);
    let output = TaskOutput::on_executor(vec![1]);
    hand.tell(Event::TaskFinished { attempt: launch.0, executor: launch.1, output });
    assert!(hand.actions.iter().any(|action| matches!(action, Action::DiscardAttemptOutput { .. })));
    assert_eq!(partitions(&hand.launched()), [(0, 0)]);
}

#[test]
fn a_job_that_makes_no_sense_fails() {
    let mut hand = Hand::new();
    hand.submit(job(1, vec![map(0, &[5], 1), result(1, &[0], 1)]));
    assert_eq!(hand.failure(1), Some(JobFailure::InvalidSpec("parent stage 5 is not given".into())));
    hand.submit(job(2, vec![map(0, &[], 1), result(1, &[0], 1)]));
    hand.submit(job(3, vec![map(0, &[], 9), result(2, &[0], 1)]));
    assert_eq!(hand.failure(3), Some(JobFailure::InvalidSpec("stage 0 is another one in a running job".into())));
    assert_eq!(hand.failure(2), None);
}

#[test]
fn a_job_without_tasks_succeeds_at_once() {
    let mut hand = Hand::new();
    hand.submit(job(1, vec![map(0, &[], 3), result(1, &[0], 0)]));
    assert!(hand.succeeded(1));
    hand.submit(job(2, vec![map(2, &[], 0), result(3, &[2], 1)]));
    hand.executor("a", 1);
    hand.run_to_end();
    assert!(hand.succeeded(2));
}

#[test]
fn progress_and_outputs_can_be_read() {
    let mut hand = Hand::new();
    hand.executor("a", 2);
    hand.submit(job(1, vec![map(0, &[], 3), result(1, &[0], 1)]));
    let tasks = hand.launched();
    hand.finish(&tasks[0]);
    let stages = hand.scheduler.job_progress(FIRST).expect("a running job");
    assert_eq!((stages[0].state, stages[0].tasks, stages[0].running, stages[0].done), (StageState::Running, 3, 2, 1));
    assert_eq!((stages[1].state, stages[1].done), (StageState::Waiting, 0));
    let outputs = hand.scheduler.map_outputs(ShuffleId(0)).expect("outputs");
    assert!(!outputs.is_complete());
    assert_eq!((outputs.num_maps(), outputs.num_reducers(), outputs.iter().count()), (3, 3, 1));
    let output = outputs.iter().next().expect("an output");
    assert_eq!((output.map_index, output.attempt), (0, tasks[0].0.attempt));
    assert_eq!(outputs.reducer_sizes().len(), 3);
    assert!(outputs.reducer_sizes().iter().all(|size| (90..=110).contains(size)));
}
