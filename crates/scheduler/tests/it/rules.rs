//! Jobs, stages, slots and attempts, rule by rule.

use firesteel_protocol::{ExecutorId, ShuffleId};
use firesteel_scheduler::{
    Action, Event, JobFailure, JobSpec, Preference, SchedulerConfig, StageState, TaskFailure, TaskOutput,
};

use crate::{
    cluster::query_error,
    hand::{FIRST, Hand, Launch, disk_full, evicted, job, map, on, partitions, result},
};

#[test]
fn more_partitions_than_slots() {
    let mut hand = Hand::with(SchedulerConfig { tasks_ahead: 0, ..SchedulerConfig::default() });
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
