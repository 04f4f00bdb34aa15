//! Properties under random faults.

use firesteel_protocol::{ExecutorId, JobId, ShuffleId, StageId};
use firesteel_scheduler::{
    ApplicationExclusion, Efficiency, Exclusion, ExecutorLossReason, JobFailure, JobProperties, JobSpec, LocalityWaits,
    PoolSchedule, PoolsConfig, Preference, SchedulerConfig, SchedulingMode, Speculation, StageExclusion, StageOutput,
    StageSpec, TaskFailure,
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngSeed},
};

use crate::cluster::{Cluster, Fault, Outcome, Report, Scenario, query_error};

/// Stages by the bits of their parents among the ones before, their tasks, and whether they repeat themselves.
type Shape = Vec<(u8, u32, bool)>;

fn shape(indeterminate: f64) -> impl Strategy<Value = Shape> {
    vec((any::<u8>(), 0..9u32, prop::bool::weighted(indeterminate)), 1..7)
}

/// Every stage but the last has a reader: those without get the last one.
fn spec(number: u64, shape: &Shape, first_stage: u32) -> JobSpec {
    let count = shape.len();
    let id = |index: usize| StageId(first_stage + index as u32);
    let mut stages: Vec<StageSpec> = shape
        .iter()
        .enumerate()
        .map(|(index, (parents, tasks, indeterminate))| StageSpec {
            stage: id(index),
            parents: (0..index).filter(|parent| parents >> parent & 1 == 1).map(id).collect(),
            num_tasks: *tasks,
            output: StageOutput::Shuffle { shuffle: ShuffleId(id(index).0), num_reducers: 2 },
            preferences: vec![],
            indeterminate: *indeterminate,
            lazy_parents: vec![],
        })
        .collect();
    for index in 0..count - 1 {
        if !stages.iter().any(|stage| stage.parents.contains(&id(index))) {
            stages[count - 1].parents.push(id(index));
        }
    }
    stages[count - 1].output = StageOutput::Result { shuffle: ShuffleId(id(count - 1).0) };
    JobSpec {
        job: JobId(number),
        stages,
        result_stage: id(count - 1),
        retain_shuffles: false,
        properties: JobProperties::default(),
    }
}

/// A job that shares all but the result with another.
fn sharing(spec: &JobSpec, number: u64, result_stage: u32) -> JobSpec {
    let mut spec = spec.clone();
    spec.job = JobId(number);
    spec.result_stage = StageId(result_stage);
    if let Some(last) = spec.stages.last_mut() {
        last.stage = StageId(result_stage);
        last.output = StageOutput::Result { shuffle: ShuffleId(result_stage) };
    }
    spec
}

/// The same job as adaptive execution asks for it: each map stage by itself first, its shuffle retained, under stage ids
/// of its own; in the end all of it, with the shuffles that are there already.
fn adaptive(spec: JobSpec) -> Vec<JobSpec> {
    let (last, maps) = spec.stages.split_last().expect("a stage");
    let mut row = Vec::new();
    for (number, map) in maps.iter().enumerate() {
        let mut needed = vec![map.stage];
        let mut next = 0;
        while let Some(id) = needed.get(next) {
            let stage = maps.iter().find(|stage| stage.stage == *id).expect("a stage");
            needed.extend(stage.parents.iter().filter(|parent| !needed.contains(parent)).copied().collect::<Vec<_>>());
            next += 1;
        }
        let id = |stage: &StageId| StageId(stage.0 + 10 * (1 + number as u32));
        let own = maps.iter().filter(|stage| needed.contains(&stage.stage)).map(|stage| StageSpec {
            stage: id(&stage.stage),
            parents: stage.parents.iter().map(id).collect(),
            ..stage.clone()
        });
        row.push(JobSpec {
            job: JobId(spec.job.0 + 10 * (1 + number as u64)),
            stages: own.collect(),
            result_stage: id(&map.stage),
            retain_shuffles: true,
            properties: JobProperties::default(),
        });
    }
    debug_assert!(last.output.is_result());
    row.push(spec);
    row
}

fn loss_reason() -> impl Strategy<Value = ExecutorLossReason> {
    prop_oneof![
        Just(ExecutorLossReason::OutOfMemory),
        Just(ExecutorLossReason::Crashed { exit_code: Some(134) }),
        Just(ExecutorLossReason::TakenByCluster { message: "evicted".into() }),
        Just(ExecutorLossReason::Unresponsive { message: "no heartbeat".into() }),
    ]
}

fn task_failure() -> impl Strategy<Value = TaskFailure> {
    prop_oneof![
        4 => Just(TaskFailure::DiskFull { message: "no space".into() }),
        4 => Just(TaskFailure::OutOfMemory { message: "pool exhausted".into() }),
        4 => Just(TaskFailure::Killed { reason: "by its executor".into() }),
        4 => Just(TaskFailure::Internal { message: "storage".into(), retryable: true }),
        4 => Just(query_error(true)),
        1 => Just(query_error(false)),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    let executor = 0..8usize;
    prop_oneof![
        4 => (executor.clone(), loss_reason()).prop_map(|(index, reason)| Fault::Kill(index, reason)),
        2 => executor.clone().prop_map(Fault::FalseAlarm),
        3 => executor.clone().prop_map(Fault::LoseFiles),
        2 => (executor.clone(), 0..4u32).prop_map(|(index, shuffle)| Fault::Corrupt(index, shuffle)),
        2 => (executor.clone(), 1..80u64).prop_map(|(index, time)| Fault::Unreachable(index, time)),
        2 => (executor.clone(), prop::option::of(executor.clone()))
            .prop_map(|(index, to)| Fault::Decommission(index, to)),
        2 => (executor, 2..20u64).prop_map(|(index, times)| Fault::Slow(index, times)),
        4 => (1..4u32).prop_map(Fault::AddExecutor),
        3 => (1..4u32, task_failure()).prop_map(|(count, failure)| Fault::FailTasks(count, failure)),
        1 => (0..3usize).prop_map(Fault::Cancel),
        1 => Just(Fault::LoseStore),
        1 => (0..4usize).prop_map(Fault::CancelTag),
        1 => (1..4u32).prop_map(Fault::DeafToKills),
    ]
}

fn scenario(faults: impl Strategy<Value = Fault>, most: usize) -> impl Strategy<Value = Scenario> {
    mixed_scenario(faults, most, 0.2, 0.3)
}

/// At most so many faults; `indeterminate` of the stages do not repeat themselves, `adaptive` of the jobs are rows.
fn mixed_scenario(
    faults: impl Strategy<Value = Fault>,
    most: usize,
    indeterminate: f64,
    adaptive_jobs: f64,
) -> impl Strategy<Value = Scenario> {
    let jobs = (vec((0..60u64, prop::bool::weighted(adaptive_jobs), shape(indeterminate)), 1..3), any::<bool>());
    (jobs, vec(1..4u32, 1..5), vec((0..120u64, faults), 0..=most), 1..9u32, 0..12u64, 0..4u64, any::<u64>()).prop_map(
        |((shapes, shared), executors, faults, limit, duplicate_every, inline_every, seed)| {
            let mut jobs: Vec<(u64, Vec<JobSpec>)> = Vec::new();
            for (number, (at, is_adaptive, shape)) in shapes.iter().enumerate() {
                let spec = spec(number as u64, shape, 100 * number as u32);
                jobs.push((*at, if *is_adaptive { adaptive(spec) } else { vec![spec] }));
            }
            if shared && jobs[0].1.len() == 1 {
                jobs.push((shapes[0].0 + seed % 40, vec![sharing(&jobs[0].1[0], 9, 900)]));
            }
            // Eager enough to be wrong often.
            let speculation = (seed % 3 == 0).then_some(Speculation {
                interval_ms: 3,
                multiplier_permille: 1500,
                quantile_permille: 250,
                min_task_runtime_ms: 2,
                duration_threshold_ms: (seed % 2 == 0).then_some(10),
                efficiency: (seed % 5 == 0).then(Efficiency::default),
                decommission_kill_interval_ms: (seed % 7 == 0).then_some(5),
            });
            let config = SchedulerConfig {
                max_executor_failures: limit,
                speculation,
                exclusion: exclusion(seed),
                locality: LocalityWaits { process_ms: seed % 13, node_ms: seed % 7, reset_on_launch: seed % 5 == 1 },
                pools: pools(seed),
                kill_timeout_ms: (seed % 4 == 1).then_some(9),
                dynamic_allocation: seed % 2 == 1,
                ..SchedulerConfig::default()
            };
            let jobs = jobs.into_iter().map(|(at, row)| (at, row.into_iter().map(|spec| placed(spec, seed)).collect()));
            let jobs = jobs.collect();
            Scenario { jobs, executors, faults, config, duplicate_every, inline_every, seed }
        },
    )
}

/// Every level alone, both, or none; eager, so that little is left to run on.
fn exclusion(seed: u64) -> Exclusion {
    let stage = StageExclusion { max_failed_tasks_per_executor: 1 + (seed % 3) as u32, ..StageExclusion::default() };
    let application = ApplicationExclusion {
        max_failed_tasks_per_executor: 1 + (seed % 2) as u32,
        timeout_ms: 40,
        kill: seed % 11 < 4,
        on_fetch_failure: seed % 13 < 4,
        ..ApplicationExclusion::default()
    };
    Exclusion {
        stage: (seed % 6 < 3).then_some(stage),
        application: (seed % 5 < 2).then_some(application),
        unschedulable_timeout_ms: 30,
    }
}

fn pools(seed: u64) -> PoolsConfig {
    let even = PoolSchedule { mode: SchedulingMode::Fair, weight: 2, min_share: (seed % 3) as u32 };
    let mode = if seed.is_multiple_of(2) { SchedulingMode::Fair } else { SchedulingMode::Fifo };
    PoolsConfig { mode, pools: vec![("pool-0".into(), even), ("pool-1".into(), PoolSchedule::default())] }
}

/// With a pool and, some of them, places that their tasks prefer: executors and nodes, there or not.
fn placed(mut spec: JobSpec, seed: u64) -> JobSpec {
    spec.properties.pool = (spec.job.0 % 4 < 3).then(|| format!("pool-{}", spec.job.0 % 3).into());
    spec.properties.tags = [format!("tag-{}", spec.job.0 % 2)].into();
    // Stages that jobs share must be equal in all of them.
    for stage in spec.stages.iter_mut().filter(|stage| u64::from(stage.output.shuffle().0) % 3 == seed % 3) {
        let places = |task: u32| match (u64::from(task) + seed) % 4 {
            0 => vec![],
            1 => vec![Preference::Node(format!("node-{}", task % 3).into())],
            _ => vec![Preference::Executor(ExecutorId::new(format!("exec-{}", (u64::from(task) + seed) % 5)))],
        };
        stage.preferences = (0..stage.num_tasks).map(places).collect();
    }
    spec
}

/// So many schedules, or as many as `PROPTEST_CASES` says; always the same ones, or those of `PROPTEST_RNG_SEED`: a commit passes or
/// fails, whoever runs it. Look for new ones with other seeds. This one found results that mixed two versions of
/// rows that do not repeat, after executors were lost between the jobs of one query.
fn cases(count: u32) -> Config {
    let default = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { count };
    let rng_seed = if std::env::var_os("PROPTEST_RNG_SEED").is_some() { default.rng_seed } else { RngSeed::Fixed(4) };
    Config { cases, rng_seed, failure_persistence: None, ..default }
}

fn all_succeed(report: &Report) -> bool {
    report.outcomes.values().all(|outcome| *outcome == Outcome::Succeeded)
}

proptest! {
    #![proptest_config(cases(70_000))]

    /// The cluster checks itself: no result counts twice or is made of parts that do not go together, every job ends,
    /// with success or for a reason that there was, no slot, attempt or file is left over.
    #[test]
    fn any_faults(scenario in scenario(fault(), 12)) {
        Cluster::new(&scenario).run();
    }
}

proptest! {
    #![proptest_config(cases(20_000))]

    /// As above, where it is hardest: rows that come out otherwise each time, and queries in several jobs.
    #[test]
    fn rows_that_do_not_repeat(scenario in mixed_scenario(
        prop_oneof![
            3 => (0..8usize, loss_reason()).prop_map(|(index, reason)| Fault::Kill(index, reason)),
            2 => (0..8usize).prop_map(Fault::LoseFiles),
            1 => (0..8usize, 0..4u32).prop_map(|(index, shuffle)| Fault::Corrupt(index, shuffle)),
            3 => (1..4u32).prop_map(Fault::AddExecutor),
        ],
        8,
        0.6,
        0.8,
    )) {
        Cluster::new(&scenario).run();
    }
}

proptest! {
    #![proptest_config(cases(5_000))]

    /// Without faults each task runs once.
    #[test]
    fn no_faults(mut scenario in scenario(Just(Fault::AddExecutor(2)), 3)) {
        scenario.config.speculation = None;
        scenario.config.exclusion = Exclusion::default();
        // Nobody reads for a stage without tasks, so that what it would read need not be made.
        for job in scenario.jobs.iter_mut().flat_map(|(_, row)| row) {
            job.stages.iter_mut().for_each(|stage| stage.num_tasks = stage.num_tasks.max(1));
        }
        let report = Cluster::new(&scenario).run();
        prop_assert!(all_succeed(&report), "{:?}", report.outcomes);
        if scenario.jobs.len() == 1 {
            let row = &scenario.jobs[0].1;
            let tasks: u32 = row[row.len() - 1].stages.iter().map(|stage| stage.num_tasks).sum();
            prop_assert_eq!(report.launches.values().sum::<u32>(), tasks);
        }
    }

    /// Executors that the cluster takes and replaces never fail a job whose rows can be made again.
    #[test]
    fn executors_come_and_go(mut scenario in scenario(
        (0..8usize).prop_map(|index| {
            Fault::Kill(index, ExecutorLossReason::TakenByCluster { message: "preempted".into() })
        }),
        3,
    )) {
        for (at, _) in scenario.faults.clone() {
            scenario.faults.push((at + 5, Fault::AddExecutor(2)));
        }
        scenario.config.max_executor_failures = 100;
        scenario.config.exclusion = Exclusion::default();
        for job in scenario.jobs.iter_mut().flat_map(|(_, row)| row) {
            job.stages.iter_mut().for_each(|stage| stage.indeterminate = false);
        }
        let report = Cluster::new(&scenario).run();
        prop_assert!(all_succeed(&report), "{:?}", report.outcomes);
    }
}

/// The mix is not so harsh that nothing succeeds, and harsh enough that every kind of end is seen.
#[test]
fn the_mix_is_a_mix() {
    use std::collections::BTreeMap;

    use proptest::{strategy::ValueTree, test_runner::TestRunner};

    let mut runner = TestRunner::deterministic();
    let strategy = scenario(fault(), 12);
    let mut outcomes: BTreeMap<&str, u32> = BTreeMap::new();
    let (mut with_reruns, mut copies, mut given_up) = (0u32, 0u32, 0u32);
    for _ in 0..2_000 {
        let scenario = strategy.new_tree(&mut runner).expect("a scenario").current();
        let report = Cluster::new(&scenario).run();
        for outcome in report.outcomes.values() {
            let name = match outcome {
                Outcome::Succeeded => "succeeded",
                Outcome::Cancelled => "cancelled",
                Outcome::Failed(JobFailure::Task { failure: TaskFailure::ResultLost { .. }, .. }) => "result lost",
                Outcome::Failed(JobFailure::Task { .. }) => "task failures",
                Outcome::Failed(JobFailure::FetchFailures { .. }) => "fetch failures",
                Outcome::Failed(JobFailure::ExecutorFailures { .. }) => "executor failures",
                Outcome::Failed(JobFailure::NoExecutors { .. }) => "no executors",
                Outcome::Failed(JobFailure::CannotRollBack { .. }) => "cannot roll back",
                Outcome::Failed(JobFailure::ExcludedEverywhere { .. }) => "excluded everywhere",
                Outcome::Failed(JobFailure::ResultTooLarge { .. }) => "result too large",
                Outcome::Failed(JobFailure::InvalidSpec(_)) => "invalid spec",
            };
            *outcomes.entry(name).or_default() += 1;
        }
        let tasks: u32 = scenario
            .jobs
            .iter()
            .filter_map(|(_, row)| row.last())
            .flat_map(|job| &job.stages)
            .map(|stage| stage.num_tasks)
            .sum();
        copies += report.copies;
        given_up += report.given_up;
        with_reruns += u32::from(report.launches.values().sum::<u32>() > tasks);
    }
    println!(
        "{outcomes:?}; tasks ran again in {with_reruns} of 2000 schedules, {copies} copies, {given_up} executors given up"
    );
    let kinds = [
        "cancelled",
        "task failures",
        "fetch failures",
        "executor failures",
        "no executors",
        "cannot roll back",
        "excluded everywhere",
    ];
    for kind in kinds {
        assert!(outcomes.contains_key(kind), "{kind} not seen");
    }
    let all: u32 = outcomes.values().sum();
    assert!(outcomes["succeeded"] > all / 2 && with_reruns > 600 && copies > 300 && given_up > 100);
}

/// A task that ends just when the executor of an endless one is given up: what that ran is launched elsewhere at once, since nothing
/// else may happen. Found by `any_faults`.
#[test]
fn what_an_ended_executor_ran_is_offered_to_all() {
    let properties = |number: u64| JobProperties {
        pool: Some(format!("pool-{number}").into()),
        tags: [format!("tag-{number}")].into(),
        ..JobProperties::default()
    };
    let first = JobSpec { properties: properties(0), ..spec(0, &vec![(0, 2, false)], 0) };
    let second =
        JobSpec { properties: properties(1), ..spec(1, &vec![(0, 0, false), (0, 6, false), (3, 1, false)], 100) };
    let stage = StageExclusion {
        max_task_attempts_per_executor: 1,
        max_task_attempts_per_node: 2,
        max_failed_tasks_per_executor: 2,
        max_failed_executors_per_node: 2,
    };
    let application = ApplicationExclusion {
        max_failed_tasks_per_executor: 2,
        max_failed_executors_per_node: 2,
        timeout_ms: 40,
        kill: false,
        on_fetch_failure: false,
    };
    let scenario = Scenario {
        jobs: vec![(24, vec![first]), (39, vec![second])],
        executors: vec![3, 3],
        faults: vec![
            (66, Fault::Cancel(2)),
            (28, Fault::Kill(6, ExecutorLossReason::OutOfMemory)),
            (41, Fault::AddExecutor(2)),
            (0, Fault::DeafToKills(1)),
            (0, Fault::Slow(1, 5)),
        ],
        config: SchedulerConfig {
            max_executor_failures: 2,
            no_executors_timeout_ms: 300_000,
            exclusion: Exclusion { stage: Some(stage), application: Some(application), unschedulable_timeout_ms: 30 },
            locality: LocalityWaits { process_ms: 12, node_ms: 3, reset_on_launch: false },
            kill_timeout_ms: Some(9),
            dynamic_allocation: true,
            ..SchedulerConfig::default()
        },
        duplicate_every: 0,
        inline_every: 1,
        seed: 6_452_505_527_674_595_245,
    };
    Cluster::new(&scenario).run();
}
