//! Tasks wait for their places.

use firesteel_protocol::ExecutorId;
use firesteel_scheduler::{Event, LocalityWaits, Preference, SchedulerConfig, StageSpec};

use crate::hand::{Hand, Launch, disk_full, job, on, result};

fn at(hand: &mut Hand, now: u64) -> Vec<Launch> {
    hand.now = now;
    hand.tell(Event::Tick);
    hand.launched()
}

fn on_executor(name: &str) -> Vec<Preference> {
    vec![Preference::Executor(ExecutorId::new(name))]
}

fn preferring(preferences: Vec<Vec<Preference>>) -> StageSpec {
    StageSpec { preferences: preferences.clone(), ..result(0, &[], preferences.len() as u32) }
}

/// a1 and a2 on one node, b on another, one slot each; so many tasks that all want a1.
fn all_want_a1(tasks: usize, locality: LocalityWaits) -> (Hand, Vec<Launch>) {
    let mut hand = Hand::with(SchedulerConfig { locality, ..SchedulerConfig::default() });
    hand.executor_on("node-a", "a1", 1);
    hand.executor_on("node-a", "a2", 1);
    hand.executor_on("node-b", "b", 1);
    hand.submit(job(1, vec![preferring(vec![on_executor("a1"); tasks])]));
    let first = hand.launched();
    (hand, first)
}

#[test]
fn tasks_wait_for_their_executor_then_for_its_node_then_no_longer() {
    let (mut hand, first) = all_want_a1(4, LocalityWaits::default());
    assert_eq!(first.iter().map(|(_, at)| at.as_str()).collect::<Vec<_>>(), ["a1"]);
    assert_eq!(hand.scheduler.next_deadline(), Some(3_000));
    assert_eq!(at(&mut hand, 2_999), []);
    let next = at(&mut hand, 3_000);
    assert_eq!(next.iter().map(|(_, at)| at.as_str()).collect::<Vec<_>>(), ["a2"]);
    assert_eq!(at(&mut hand, 5_999), []);
    let last = at(&mut hand, 6_000);
    assert_eq!(last.iter().map(|(_, at)| at.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_slot_at_the_right_place_is_taken_at_once() {
    let (mut hand, first) = all_want_a1(4, LocalityWaits::default());
    hand.now = 1_000;
    hand.finish(&first[0]);
    assert_eq!(on(&hand.launched(), "a1").len(), 1);
    // It left slots of others unused meanwhile, so that the wait goes on from the beginning.
    assert_eq!(at(&mut hand, 3_000).len(), 1);
}

#[test]
fn the_wait_begins_again_with_each_launch_when_that_is_wanted() {
    let waits = LocalityWaits { reset_on_launch: true, ..LocalityWaits::default() };
    let (mut hand, first) = all_want_a1(4, waits);
    hand.now = 1_000;
    hand.finish(&first[0]);
    assert_eq!(on(&hand.launched(), "a1").len(), 1);
    assert_eq!(at(&mut hand, 3_999), []);
    assert_eq!(at(&mut hand, 4_000).len(), 1);
}

#[test]
fn without_a_wait_a_preference_is_a_wish() {
    let waits = LocalityWaits { process_ms: 0, node_ms: 0, reset_on_launch: false };
    let (_, first) = all_want_a1(4, waits);
    assert_eq!(first.len(), 3);
}

#[test]
fn places_that_are_not_there_are_not_waited_for() {
    let mut hand = Hand::new();
    hand.executor_on("node-b", "b", 4);
    hand.submit(job(1, vec![preferring(vec![on_executor("gone"), vec![Preference::Node("node-c".into())], vec![]])]));
    assert_eq!(hand.launched().len(), 3);
}

#[test]
fn an_executor_that_comes_with_what_tasks_want_is_preferred_from_then_on() {
    let mut hand = Hand::new();
    hand.executor_on("node-b", "b", 1);
    hand.submit(job(1, vec![preferring(vec![vec![Preference::Node("node-a".into())]; 4])]));
    let first = hand.launched();
    assert_eq!(on(&first, "b").len(), 1);
    hand.executor_on("node-a", "a", 1);
    assert_eq!(on(&hand.launched(), "a").len(), 1);
    hand.finish(&first[0]);
    assert_eq!(hand.launched(), [], "b is refused now");
    assert_eq!(at(&mut hand, 3_000).len(), 1);
}

#[test]
fn tasks_without_a_preference_and_retries_do_not_wait() {
    let mut hand = Hand::new();
    hand.executor_on("node-a", "a", 1);
    hand.executor_on("node-b", "b", 1);
    hand.submit(job(1, vec![preferring(vec![on_executor("a"), on_executor("a"), vec![], vec![]])]));
    let first = hand.launched();
    assert_eq!(first.len(), 2);
    let on_b = on(&first, "b")[0].clone();
    assert!(on_b.0.task.partition >= 2);
    hand.finish(&on_b);
    let second = hand.launched();
    assert!(second.len() == 1 && second[0].0.task.partition >= 2);
    hand.finish(&second[0]);
    assert_eq!(hand.launched(), []);
    // The one on a fails: it goes elsewhere at once, and the other one has the slot.
    let on_a = on(&first, "a")[0].clone();
    hand.fail(&on_a, disk_full());
    let third = hand.launched();
    assert_eq!(on(&third, "b")[0].0.task, on_a.0.task);
    assert_eq!(on(&third, "a").len(), 1);
}
