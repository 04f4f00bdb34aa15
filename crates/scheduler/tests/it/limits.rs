//! How often and how long: the limits at which a job fails, one by one.

use firesteel_scheduler::{Action, Event, ExecutorLossReason, JobFailure, OutputHome, SchedulerConfig, TaskFailure};

use crate::{
    cluster::query_error,
    hand::{Hand, crashed, disk_full, evicted, job, map, partitions, result},
};

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
