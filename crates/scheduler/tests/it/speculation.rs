//! Copies of slow tasks.

use firesteel_protocol::ExecutorId;
use firesteel_scheduler::{Action, Event, KillReason, SchedulerConfig, Speculation};

use crate::hand::{Hand, Launch, crashed, disk_full, job, on, result};

/// Without a look at the rows that tasks have read.
fn by_time_alone() -> Speculation {
    Speculation { efficiency: None, ..Speculation::default() }
}

/// Ten tasks on two nodes, all but the last of them done after 100 ms. The launch of the last one.
fn nine_of_ten(speculation: Speculation) -> (Hand, Launch) {
    let mut hand = Hand::with(SchedulerConfig { speculation: Some(speculation), ..SchedulerConfig::default() });
    hand.executor_on("node-a", "a", 5);
    hand.executor_on("node-b", "b", 5);
    hand.submit(job(1, vec![result(0, &[], 10)]));
    let all = hand.launched();
    hand.now = 100;
    all[..9].iter().for_each(|launch| hand.finish(launch));
    (hand, all[9].clone())
}

fn at(hand: &mut Hand, now: u64) -> Vec<Launch> {
    hand.now = now;
    hand.tell(firesteel_scheduler::Event::Tick);
    hand.launched()
}

#[test]
fn a_task_three_times_as_slow_as_the_median_is_copied_on_another_node() {
    let (mut hand, slow) = nine_of_ten(by_time_alone());
    assert_eq!(at(&mut hand, 250), []);
    assert_eq!(at(&mut hand, 300), [], "three times the median is not more than that");
    let deadline = hand.scheduler.next_deadline().unwrap();
    assert!((301..=400).contains(&deadline), "{deadline}");
    let copies = at(&mut hand, 400);
    assert_eq!(copies.len(), 1);
    assert_eq!(copies[0].0.task, slow.0.task);
    assert_ne!(copies[0].1, slow.1);
    assert_eq!(at(&mut hand, 5_000), [], "one copy is enough");

    hand.finish(&copies[0]);
    let kill = Action::KillTask { attempt: slow.0, executor: slow.1.clone(), reason: KillReason::OtherSucceeded };
    assert!(hand.actions.contains(&kill), "{:?}", hand.actions);
    // It ended in the same moment: nobody wants its rows.
    hand.finish(&slow);
    assert!(
        hand.actions.iter().any(|a| matches!(a, Action::DiscardAttemptOutput { attempt, .. } if *attempt == slow.0))
    );
    assert_eq!(hand.scheduler.executors().alive().map(|(_, _, occupied)| occupied).sum::<usize>(), 0);
}

#[test]
fn the_first_attempt_may_win() {
    let (mut hand, slow) = nine_of_ten(by_time_alone());
    let copies = at(&mut hand, 400);
    hand.finish(&slow);
    let killed =
        |attempt| hand.actions.iter().any(|a| matches!(a, Action::KillTask { attempt: id, .. } if *id == attempt));
    assert!(killed(copies[0].0) && !killed(slow.0));
}

#[test]
fn a_copy_is_not_waited_for_and_not_missed() {
    let (mut hand, slow) = nine_of_ten(by_time_alone());
    let copies = at(&mut hand, 400);
    // The slow one fails: its copy is there already.
    hand.fail(&slow, disk_full());
    assert_eq!(hand.launched(), []);
    // The copy's executor dies: now the task runs again.
    hand.lose(copies[0].1.as_str(), crashed());
    let again = hand.launched();
    assert!(again.iter().any(|(id, _)| id.task == slow.0.task), "{again:?}");
}

#[test]
fn nothing_is_copied_before_most_tasks_are_done_or_without_another_node() {
    let config = SchedulerConfig { speculation: Some(by_time_alone()), ..SchedulerConfig::default() };
    let mut hand = Hand::with(config.clone());
    hand.executor_on("node-a", "a", 5);
    hand.executor_on("node-b", "b", 5);
    hand.submit(job(1, vec![result(0, &[], 10)]));
    let all = hand.launched();
    hand.now = 100;
    all[..8].iter().for_each(|launch| hand.finish(launch));
    assert_eq!(at(&mut hand, 60_000), []);

    let mut hand = Hand::with(config);
    hand.executor("a", 5);
    hand.executor("b", 5);
    hand.submit(job(1, vec![result(0, &[], 10)]));
    let all = hand.launched();
    hand.now = 100;
    all[..9].iter().for_each(|launch| hand.finish(launch));
    assert_eq!(at(&mut hand, 60_000), [], "both are on one node");
    // Another one comes.
    hand.executor_on("node-c", "c", 1);
    assert_eq!(on(&hand.launched(), "c").len(), 1);
}

#[test]
fn few_tasks_are_slow_by_the_threshold_alone() {
    let rules = Speculation { duration_threshold_ms: Some(1_000), ..by_time_alone() };
    let mut hand = Hand::with(SchedulerConfig { speculation: Some(rules), ..SchedulerConfig::default() });
    hand.executor_on("node-a", "a", 2);
    hand.executor_on("node-b", "b", 2);
    hand.submit(job(1, vec![result(0, &[], 1)]));
    let first = hand.launched();
    assert_eq!(at(&mut hand, 1_000), []);
    let copies = at(&mut hand, 1_200);
    assert_eq!(copies.len(), 1);
    assert_ne!(copies[0].1, first[0].1);
    assert_ne!(copies[0].1, ExecutorId::new("elsewhere"));
}

#[test]
fn a_slow_task_that_reads_as_fast_as_the_others_has_twice_the_time() {
    let progress = |hand: &mut Hand, launch: &Launch, records| {
        hand.tell(Event::TaskProgress { attempt: launch.0, records });
    };
    for (of_the_slow_one, copied_at_400) in [(4_000, 0), (1_000, 1)] {
        let speculation = Some(Speculation::default());
        let mut hand = Hand::with(SchedulerConfig { speculation, ..SchedulerConfig::default() });
        hand.executor_on("node-a", "a", 5);
        hand.executor_on("node-b", "b", 5);
        hand.submit(job(1, vec![result(0, &[], 10)]));
        let all = hand.launched();
        hand.now = 100;
        for launch in &all[..9] {
            progress(&mut hand, launch, 1_000);
            hand.finish(launch);
        }
        // By then it would have read 4,000 rows at the others' rate; three quarters of that are enough.
        progress(&mut hand, &all[9], of_the_slow_one);
        assert_eq!(at(&mut hand, 400).len(), copied_at_400, "{of_the_slow_one} rows");
        assert_eq!(at(&mut hand, 601).len(), 1 - copied_at_400, "twice as long as makes it slow");
    }
}

#[test]
fn tasks_that_a_leaving_executor_will_not_end_are_copied() {
    let rules = Speculation { decommission_kill_interval_ms: Some(150), ..Speculation::default() };
    let (mut hand, slow) = nine_of_ten(rules);
    // The usual time is 100 ms, it began at 0: the notice gives it time enough.
    hand.tell(Event::ExecutorDraining { executor: slow.1.clone() });
    assert_eq!(at(&mut hand, 250), []);

    let rules = Speculation { decommission_kill_interval_ms: Some(0), ..Speculation::default() };
    let mut hand = Hand::with(SchedulerConfig { speculation: Some(rules), ..SchedulerConfig::default() });
    hand.executor_on("node-a", "a", 3);
    hand.submit(job(1, vec![result(0, &[], 4)]));
    let all = hand.launched();
    hand.now = 100;
    hand.finish(&all[0]);
    hand.finish(&all[1]);
    hand.executor_on("node-b", "b", 3);
    let late: Vec<Launch> = hand.launched().into_iter().filter(|(_, at)| at.as_str() == "a").collect();
    assert_eq!(late.len(), 1);
    hand.now = 150;
    hand.tell(Event::ExecutorDraining { executor: ExecutorId::new("a") });
    let copies = at(&mut hand, 260);
    assert_eq!(copies.iter().map(|(id, at)| (id.task, at.as_str())).collect::<Vec<_>>(), [(late[0].0.task, "b")]);
}
