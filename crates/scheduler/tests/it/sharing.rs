//! Pools, groups, tags, and what ends tasks.

use std::{collections::BTreeMap, sync::Arc};

use firesteel_protocol::{ExecutorId, JobId};
use firesteel_scheduler::{
    Action, Event, ExecutorLossReason, JobFailure, JobProperties, JobSelector, JobSpec, PoolSchedule, PoolsConfig,
    SchedulerConfig, SchedulingMode, TaskOutput,
};

use crate::hand::{Hand, Launch, job, result};

fn in_pool(spec: JobSpec, pool: &str) -> JobSpec {
    JobSpec { properties: JobProperties { pool: Some(pool.into()), ..JobProperties::default() }, ..spec }
}

fn fair(pools: &[(&str, PoolSchedule)]) -> Hand {
    let pools = pools.iter().map(|(name, schedule)| (Arc::from(*name), *schedule)).collect();
    let pools = PoolsConfig { mode: SchedulingMode::Fair, pools };
    Hand::with(SchedulerConfig { pools, ..SchedulerConfig::default() })
}

/// Of each job, how many of the launches are its tasks. Stages are numbered by their job's tens.
fn by_job(launches: &[Launch]) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for (id, _) in launches {
        *counts.entry(id.task.stage.0 / 10).or_default() += 1;
    }
    counts
}

/// Ends `count` of the running tasks, the oldest first, and returns all that run then.
fn turn_over(hand: &mut Hand, mut running: Vec<Launch>, count: usize) -> Vec<Launch> {
    for _ in 0..count {
        let done = running.remove(0);
        hand.finish(&done);
        running.extend(hand.launched());
    }
    running
}

#[test]
fn the_first_job_goes_first_whatever_its_pool() {
    let mut hand = Hand::new();
    hand.executor("a", 4);
    hand.submit(in_pool(job(1, vec![result(10, &[], 20)]), "one"));
    hand.submit(in_pool(job(2, vec![result(20, &[], 20)]), "two"));
    let running = hand.launched();
    assert_eq!(by_job(&running), [(1, 4)].into());
    let running = turn_over(&mut hand, running, 12);
    assert_eq!(by_job(&running), [(1, 4)].into());
}

#[test]
fn fair_pools_share_the_slots_however_many_tasks_wait() {
    let mut hand = fair(&[]);
    hand.executor("a", 4);
    hand.submit(in_pool(job(1, vec![result(10, &[], 400)]), "one"));
    hand.submit(in_pool(job(2, vec![result(20, &[], 40)]), "two"));
    let running = hand.launched();
    assert_eq!(by_job(&running), [(1, 4)].into(), "the first one had the cluster to itself");
    let running = turn_over(&mut hand, running, 4);
    assert_eq!(by_job(&running), [(1, 2), (2, 2)].into());
    // A third one takes its share of what comes free.
    hand.submit(in_pool(job(3, vec![result(30, &[], 40)]), "three"));
    let running = turn_over(&mut hand, running, 8);
    let shares = by_job(&running);
    assert!(shares.values().all(|share| (1..=2).contains(share)) && shares.len() == 3, "{shares:?}");
}

#[test]
fn slots_that_are_free_at_once_are_shared_too() {
    let mut hand = fair(&[]);
    hand.submit(in_pool(job(1, vec![result(10, &[], 40)]), "one"));
    hand.submit(in_pool(job(2, vec![result(20, &[], 40)]), "two"));
    hand.executor("a", 6);
    assert_eq!(by_job(&hand.launched()), [(1, 3), (2, 3)].into());
}

#[test]
fn weights_and_least_shares_count() {
    let heavy = PoolSchedule { weight: 3, ..PoolSchedule::default() };
    let mut hand = fair(&[("heavy", heavy)]);
    hand.submit(in_pool(job(1, vec![result(10, &[], 90)]), "light"));
    hand.submit(in_pool(job(2, vec![result(20, &[], 90)]), "heavy"));
    hand.executor("a", 8);
    assert_eq!(by_job(&hand.launched()), [(1, 2), (2, 6)].into());

    let least = PoolSchedule { min_share: 5, ..PoolSchedule::default() };
    let mut hand = fair(&[("least", least)]);
    hand.submit(in_pool(job(1, vec![result(10, &[], 90)]), "light"));
    hand.submit(in_pool(job(2, vec![result(20, &[], 90)]), "least"));
    hand.executor("a", 6);
    assert_eq!(by_job(&hand.launched()), [(1, 1), (2, 5)].into());
}

#[test]
fn within_a_pool_jobs_go_by_its_own_mode() {
    let fifo = PoolSchedule::default();
    let even = PoolSchedule { mode: SchedulingMode::Fair, ..PoolSchedule::default() };
    for (schedule, expected) in [(fifo, [(1, 4)].into()), (even, BTreeMap::from([(1, 2), (2, 2)]))] {
        let mut hand = fair(&[("team", schedule), ("other", fifo)]);
        hand.submit(in_pool(job(1, vec![result(10, &[], 90)]), "team"));
        hand.submit(in_pool(job(2, vec![result(20, &[], 90)]), "team"));
        hand.executor("a", 4);
        assert_eq!(by_job(&hand.launched()), expected);
    }
}

#[test]
fn a_pool_without_tasks_leaves_the_slots_to_the_others() {
    let mut hand = fair(&[]);
    hand.executor("a", 4);
    hand.submit(in_pool(job(1, vec![result(10, &[], 4)]), "one"));
    hand.submit(in_pool(job(2, vec![result(20, &[], 90)]), "two"));
    let running = hand.launched();
    let running = turn_over(&mut hand, running, 4);
    assert_eq!(by_job(&running), [(2, 4)].into());
    let pools: Vec<_> = hand.scheduler.pools().map(|(name, running, _)| (name.to_owned(), running)).collect();
    assert_eq!(pools, [("default".to_owned(), 0), ("one".to_owned(), 0), ("two".to_owned(), 4)]);
}

fn tagged(number: u64, group: Option<&str>, tags: &[&str]) -> JobSpec {
    let properties = JobProperties {
        group: group.map(str::to_owned),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..JobProperties::default()
    };
    JobSpec { properties, ..job(number, vec![result(number as u32 * 10, &[], 1)]) }
}

fn cancelled(hand: &Hand) -> Vec<u64> {
    let cancelled = |action: &Action| match action {
        Action::JobCancelled { job, .. } => Some(job.0),
        _ => None,
    };
    hand.actions.iter().filter_map(cancelled).collect()
}

#[test]
fn jobs_are_cancelled_by_group_tag_or_all() {
    let cancel = |hand: &mut Hand, jobs| hand.tell(Event::JobsCancelled { jobs, reason: "by the user".into() });
    let mut hand = Hand::new();
    hand.executor("a", 8);
    hand.submit(tagged(1, Some("etl"), &["x", "y"]));
    hand.submit(tagged(2, Some("etl"), &[]));
    hand.submit(tagged(3, Some("adhoc"), &["y"]));
    hand.submit(tagged(4, None, &[]));
    cancel(&mut hand, JobSelector::Tag("x".into()));
    assert_eq!(cancelled(&hand), [1]);
    cancel(&mut hand, JobSelector::Group { group: "etl".into(), future: false });
    assert_eq!(cancelled(&hand), [1, 2]);
    hand.submit(tagged(5, Some("etl"), &[]));
    cancel(&mut hand, JobSelector::All);
    assert_eq!(cancelled(&hand), [1, 2, 3, 4, 5]);
    let killed = hand.actions.iter().filter(|action| matches!(action, Action::KillTask { .. })).count();
    assert_eq!(killed, 5);

    cancel(&mut hand, JobSelector::Group { group: "etl".into(), future: true });
    hand.submit(tagged(6, Some("etl"), &[]));
    assert_eq!(cancelled(&hand).last(), Some(&6));
    assert!(hand.scheduler.job_progress(JobId(6)).is_none());
}

#[test]
fn a_task_that_does_not_end_takes_its_executor_with_it_when_that_is_wanted() {
    let mut hand = Hand::with(SchedulerConfig { kill_timeout_ms: Some(5_000), ..SchedulerConfig::default() });
    hand.executor("a", 1);
    hand.executor("b", 1);
    hand.submit(job(1, vec![result(10, &[], 2)]));
    let both = hand.launched();
    hand.tell(Event::JobCancelled { job: JobId(1), reason: "by the user".into() });
    let ends = both.iter().find(|(_, at)| at.as_str() == "a").unwrap();
    hand.fail(ends, firesteel_scheduler::TaskFailure::Killed { reason: "told to".into() });
    hand.submit(job(2, vec![result(20, &[], 2)]));
    let one = hand.launched().remove(0);
    assert_eq!(hand.launched(), [], "the other one waits for the slot of b");
    assert_eq!(hand.scheduler.next_deadline(), Some(5_000));
    hand.now = 5_000;
    hand.tell(Event::Tick);
    let lost = Action::EndExecutor {
        executor: ExecutorId::new("b"),
        reason: format!(
            "task attempt {} was told to end 5000 ms ago and has not (spark.task.reaper.killTimeout)",
            both.iter().find(|(_, at)| at.as_str() == "b").unwrap().0
        ),
    };
    assert!(hand.actions.contains(&lost), "{:?}", hand.actions);
    assert_eq!(hand.scheduler.executors().alive().count(), 1);
    // What it says later is about an executor that is gone.
    hand.lose("b", ExecutorLossReason::Released);
    hand.finish(&one);
    assert_eq!(hand.finish_all().len(), 1);
}

#[test]
fn results_are_counted_as_they_come() {
    let mut hand = Hand::new();
    hand.executor("a", 4);
    let properties = JobProperties { max_result_bytes: Some(1_000), ..JobProperties::default() };
    hand.submit(JobSpec { properties, ..job(1, vec![result(10, &[], 4)]) });
    let all = hand.launched();
    let finish = |hand: &mut Hand, (attempt, executor): &Launch, bytes| {
        let output = TaskOutput::on_executor(vec![bytes]);
        hand.tell(Event::TaskFinished { attempt: *attempt, executor: executor.clone(), output });
    };
    finish(&mut hand, &all[0], 600);
    finish(&mut hand, &all[1], 400);
    assert_eq!(hand.failure(1), None, "as much as the limit is not more than it");
    finish(&mut hand, &all[2], 1);
    assert_eq!(hand.failure(1), Some(JobFailure::ResultTooLarge { results: 3, bytes: 1_001, limit: 1_000 }));
    let ready = hand.actions.iter().filter(|action| matches!(action, Action::ResultReady { .. })).count();
    assert_eq!(ready, 2, "the one too many is not fetched");
}
