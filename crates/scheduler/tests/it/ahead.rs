//! Tasks that are launched before there is a slot for them.

use std::collections::BTreeMap;

use firesteel_protocol::ExecutorId;
use firesteel_scheduler::{Event, ExecutorLossReason, SchedulerConfig, Speculation};

use crate::hand::{Hand, Launch, job, map, result};

/// A stage of many tasks on two executors of one slot, after `done` tasks that took `millis` each. Answers what runs.
fn after(config: SchedulerConfig, done: usize, millis: u64) -> (Hand, Vec<Launch>) {
    let mut hand = Hand::with(config);
    hand.executor("a", 1);
    hand.executor("b", 1);
    hand.submit(job(1, vec![map(0, &[], 5000), result(1, &[0], 1)]));
    let mut running = hand.launched();
    for _ in 0..done {
        hand.now += millis;
        let first = running.remove(0);
        hand.finish(&first);
        running.extend(hand.launched());
    }
    (hand, running)
}

fn by_executor(running: &[Launch]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    running.iter().for_each(|(_, executor)| *counts.entry(executor.as_str()).or_default() += 1);
    counts
}

#[test]
fn quick_tasks_are_launched_ahead_and_slow_ones_are_not() {
    let ahead = SchedulerConfig { tasks_ahead: 10, ..SchedulerConfig::default() };
    let (_, running) = after(ahead.clone(), 30, 0);
    assert_eq!(running.len(), 2, "too few have ended to tell");
    let (mut hand, running) = after(ahead.clone(), 40, 0);
    assert_eq!(by_executor(&running).into_values().max(), Some(11), "{:?}", by_executor(&running));
    // With ten waiting, the next come when half of them are done.
    let of = by_executor(&running).into_iter().find(|(_, count)| *count == 11).unwrap().0.to_owned();
    let mine: Vec<_> = running.iter().filter(|(_, executor)| executor.as_str() == of).cloned().collect();
    for (number, launch) in mine.iter().take(5).enumerate() {
        hand.finish(launch);
        assert_eq!(hand.launched().len(), if number == 4 { 5 } else { 0 }, "{number}");
    }

    let (_, running) = after(ahead.clone(), 200, 20);
    assert_eq!(running.len(), 2, "tasks of 20 ms");
    let (_, running) = after(SchedulerConfig { tasks_ahead: 0, ..ahead.clone() }, 200, 0);
    assert_eq!(running.len(), 2, "not wanted");
    let speculation = Some(Speculation::default());
    let (_, running) = after(SchedulerConfig { speculation, ..ahead }, 200, 0);
    assert_eq!(running.len(), 2, "what waits would be taken for slow");
}

#[test]
fn nothing_is_launched_ahead_of_another_stage_or_at_a_stages_end() {
    let (mut hand, mut running) = after(SchedulerConfig::default(), 100, 0);
    assert!(running.len() > 2);
    // Another job's tasks wait for the queues to empty, and no longer.
    hand.submit(job(2, vec![map(2, &[], 100), result(3, &[2], 1)]));
    let queued = running.len();
    let mut ended = 0;
    while !running.is_empty() && ended < queued + 1 {
        let first = running.remove(0);
        hand.finish(&first);
        ended += 1;
        let more = hand.launched();
        assert!(more.len() <= 1, "{} launched at once", more.len());
        running.extend(more);
    }
    assert_eq!(running.len(), 2, "as many as there are slots");

    // With few tasks left none is launched ahead, so both executors are busy to the end.
    let (mut hand, mut running) = after(SchedulerConfig::default(), 100, 0);
    let mut left = 5000 - 100;
    while left > 0 {
        let first = running.remove(0);
        hand.finish(&first);
        left -= 1;
        running.extend(hand.launched());
        if (3..100).contains(&left) {
            let busy = by_executor(&running);
            assert!(busy.len() == 2 && busy.values().all(|count| *count <= 66), "{left}: {busy:?}");
        }
    }
}

#[test]
fn what_was_ahead_on_a_lost_executor_runs_elsewhere() {
    let (mut hand, running) = after(SchedulerConfig::default(), 100, 0);
    let lost = running.iter().filter(|(_, executor)| executor.as_str() == "a").count();
    assert!(lost > 1);
    let reason = ExecutorLossReason::Unresponsive { message: "gone".into() };
    hand.tell(Event::ExecutorLost { executor: ExecutorId::new("a"), reason, outputs_lost: true });
    running.iter().filter(|(_, executor)| executor.as_str() == "b").for_each(|launch| hand.finish(launch));
    hand.run_to_end();
    hand.run_to_end();
    assert!(hand.succeeded(1));
}
