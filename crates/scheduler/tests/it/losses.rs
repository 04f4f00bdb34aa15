//! What is lost and what is made again, rule by rule.

use firesteel_protocol::{ExecutorId, ShuffleId, StageId};
use firesteel_scheduler::{
    Action, Event, FetchFailure, JobFailure, JobSpec, LocalityWaits, OutputHome, OutputLocation, OutputRef, Preference,
    SchedulerConfig, StageSpec, TaskFailure, TaskOutput, TaskOutputHome,
};

use crate::hand::{FIRST, Hand, Launch, evicted, job, map, on, partitions, result};

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
fn a_lazy_parent_runs_only_when_it_is_missed() {
    let cached = || StageSpec { lazy_parents: vec![StageId(0)], ..result(1, &[0], 2) };
    let mut hand = Hand::new();
    hand.executor("a", 2);
    hand.submit(job(1, vec![map(0, &[], 2), cached()]));
    let readers = hand.launched();
    assert_eq!(partitions(&readers), [(1, 0), (1, 1)]);
    hand.run_to_end();
    for reader in &readers {
        hand.finish(reader);
        hand.fetched(reader);
    }
    assert!(hand.succeeded(1));

    let missing = StageSpec { lazy_parents: vec![StageId(2)], ..result(3, &[2], 2) };
    hand.submit(job(2, vec![map(2, &[], 2), missing]));
    let readers = hand.launched();
    assert_eq!(partitions(&readers), [(3, 0), (3, 1)]);
    hand.finish(&readers[0]);
    // Nothing was written, so nobody is named who lost it.
    let missed = FetchFailure {
        shuffle: ShuffleId(2),
        executor: None,
        map_indexes: vec![],
        corrupt: false,
        message: "outputs are nowhere".into(),
    };
    hand.fail(&readers[1], TaskFailure::FetchFailed(missed));
    let maps = hand.launched();
    assert_eq!(partitions(&maps), [(2, 0), (2, 1)]);
    maps.iter().for_each(|launch| hand.finish(launch));
    let again = hand.launched();
    assert_eq!(partitions(&again), [(3, 1)]);
    hand.finish(&again[0]);
    hand.fetched(&readers[0]);
    hand.fetched(&again[0]);
    assert!(hand.succeeded(2));
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
    let locality = LocalityWaits { process_ms: 0, node_ms: 0, reset_on_launch: false };
    let mut hand = Hand::with(SchedulerConfig { max_executor_failures: 100, locality, ..SchedulerConfig::default() });
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
