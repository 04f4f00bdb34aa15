//! How many task events a second the scheduler takes, and how much memory a task with its map output needs: one stage of many
//! tasks on many executors, read by another.
//!
//! `cargo run --release -p firesteel-scheduler --example throughput [TASKS] [EXECUTORS] [REDUCERS]`

use std::{collections::VecDeque, time::Instant};

use firesteel_protocol::{ExecutorId, JobId, ShuffleId, StageId};
use firesteel_scheduler::{
    Action, Event, ExecutorLossReason, JobProperties, JobSpec, Scheduler, SchedulerConfig, StageOutput, StageSpec,
    TaskOutput, TaskOutputHome,
};

const SLOTS: u32 = 4;

fn main() -> Result<(), std::num::ParseIntError> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u32>());
    let tasks = arguments.next().transpose()?.unwrap_or(100_000);
    let executors = arguments.next().transpose()?.unwrap_or(1_000);
    let reducers = arguments.next().transpose()?.unwrap_or(200);

    let mut scheduler = Scheduler::new(SchedulerConfig::default());
    let mut actions = Vec::new();
    for number in 0..executors {
        let executor = ExecutorId::new(format!("exec-{number}"));
        let node = format!("node-{}", number / 8).into();
        scheduler.handle(0, Event::ExecutorRegistered { executor, node, slots: SLOTS }, &mut actions);
    }

    let stage = |stage: u32, parents: &[u32], num_tasks, output| StageSpec {
        stage: StageId(stage),
        parents: parents.iter().map(|parent| StageId(*parent)).collect(),
        num_tasks,
        output,
        preferences: vec![],
        indeterminate: false,
        lazy_parents: vec![],
    };
    let stages = vec![
        stage(0, &[], tasks, StageOutput::Shuffle { shuffle: ShuffleId(0), num_reducers: reducers }),
        stage(1, &[0], reducers, StageOutput::Result { shuffle: ShuffleId(1) }),
    ];
    let job = JobSpec {
        job: JobId(1),
        stages,
        result_stage: StageId(1),
        retain_shuffles: false,
        properties: JobProperties::default(),
    };

    let memory_before = resident_bytes();
    let mut memory_after_maps = memory_before;
    let begin = Instant::now();
    scheduler.handle(0, Event::JobSubmitted(job), &mut actions);
    let mut running = VecDeque::new();
    let (mut finished, mut longest, mut lost) = (0u64, 0, None);
    loop {
        for action in actions.drain(..) {
            if let Action::LaunchTask { attempt, executor, .. } = action {
                running.push_back((attempt, executor));
            }
        }
        // One executor is lost on the way, with the outputs that it holds by then.
        if finished == u64::from(tasks) / 2 && lost.is_none() && executors > 1 {
            let executor = ExecutorId::new("exec-0");
            running.retain(|(_, at)| *at != executor);
            let reason = ExecutorLossReason::TakenByCluster { message: "preempted".into() };
            let at = Instant::now();
            scheduler.handle(finished, Event::ExecutorLost { executor, reason, outputs_lost: true }, &mut actions);
            lost = Some(at.elapsed());
            continue;
        }
        let Some((attempt, executor)) = running.pop_front() else { break };
        let is_map = attempt.task.stage == StageId(0);
        let output = TaskOutput {
            sizes: vec![1_000_000; if is_map { reducers as usize } else { 1 }],
            home: if is_map { TaskOutputHome::Executor } else { TaskOutputHome::Driver },
        };
        let at = Instant::now();
        scheduler.handle(finished, Event::TaskFinished { attempt, executor, output }, &mut actions);
        longest = longest.max(at.elapsed().as_micros());
        finished += 1;
        if finished == u64::from(tasks) {
            memory_after_maps = resident_bytes();
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "{finished} tasks ({tasks} maps, {reducers} reducers) on {executors} executors of {SLOTS} slots: {seconds:.3} s, \
         {:.0} task events/s (a launch and an end each); slowest event {longest} µs; loss of an executor {:?}",
        finished as f64 / seconds,
        lost.unwrap_or_default(),
    );
    let memory = memory_after_maps.saturating_sub(memory_before);
    println!(
        "memory of the tasks and their map outputs: {:.1} MiB, {} bytes a task",
        memory as f64 / 1048576.0,
        memory / u64::from(tasks.max(1))
    );
    Ok(())
}

/// Of this process; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}
