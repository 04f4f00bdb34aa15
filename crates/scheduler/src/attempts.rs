//! What attempts report: which of their results count, and what a failure means.

use firesteel_protocol::{ExecutorId, JobId, StageId, TaskAttemptId};

use crate::{
    actions::{Action, JobFailure, KillReason},
    events::{ExecutorLossReason, FetchFailure, TaskFailure, TaskOutput, TaskOutputHome},
    exclusion::Blamed,
    launch::Offer,
    map_outputs::Home,
    progress::StageState,
    scheduler::{Attempt, Scheduler},
    stage::Stage,
};

/// An attempt that ends without its own fault (killed by its executor, its executor taken away) does not count as a
/// failure of the task, but no task may go round for ever: after this many, each one counts.
const MAX_BLAMELESS: u32 = 100;

/// Whose fault a failure is.
enum Blame {
    Nobody,
    Task,
    /// The task's, and another try would give the same.
    Final,
}

impl TaskFailure {
    fn blame(&self) -> Blame {
        match self {
            Self::FetchFailed(_) | Self::Killed { .. } => Blame::Nobody,
            Self::ExecutorLost { reason, .. } if !reason.blames_tasks() => Blame::Nobody,
            Self::Query { retryable: false, .. } | Self::Internal { retryable: false, .. } => Blame::Final,
            Self::Query { .. }
            | Self::Internal { .. }
            | Self::OutOfMemory { .. }
            | Self::DiskFull { .. }
            | Self::ExecutorLost { .. }
            | Self::ResultLost { .. } => Blame::Task,
        }
    }
}

impl Scheduler {
    /// The attempt no longer holds its slot. `None` when it did not, as with a late or repeated message.
    fn take_attempt(&mut self, id: TaskAttemptId, executor: &ExecutorId) -> Option<Attempt> {
        let attempt = self.attempts.get(&id.attempt)?;
        if attempt.id(id.attempt) != id || self.executors.name(attempt.executor) != executor {
            tracing::warn!(attempt = %id, %executor, "a message about an attempt that runs elsewhere is ignored");
            return None;
        }
        let attempt = self.attempts.remove(&id.attempt)?;
        self.executors.release(attempt.executor, id.attempt);
        self.pools.ended(attempt.pool);
        Some(attempt)
    }

    /// Returns what its end leaves free.
    pub(crate) fn task_finished(
        &mut self,
        id: TaskAttemptId,
        executor: ExecutorId,
        output: &TaskOutput,
        actions: &mut Vec<Action>,
    ) -> Offer {
        let Some(attempt) = self.take_attempt(id, &executor) else {
            // Not waited for. If it is not the very attempt that counts, what it wrote is of no use.
            if let Some(stage) = self.stages.get(&id.task.stage) {
                let shuffle = stage.spec.output.shuffle();
                if self.outputs.get(shuffle).and_then(|outputs| outputs.attempt(id.task.partition)) != Some(id.attempt)
                {
                    actions.push(Action::DiscardAttemptOutput { attempt: id, executor, shuffle });
                }
            }
            return Offer::All;
        };
        let only_its_slot = Offer::Executor(attempt.executor);
        let shuffle = attempt.shuffle;
        let wanted = |stage: &&mut Stage| stage.tasks.is_running(id.task.partition, id.attempt);
        let Some(stage) = self.stages.get_mut(&id.task.stage).filter(wanted) else {
            actions.push(Action::DiscardAttemptOutput { attempt: id, executor, shuffle });
            return only_its_slot;
        };
        let Some(outputs) = self.outputs.get_mut(shuffle) else { return Offer::All };
        if output.sizes.len() != outputs.num_reducers() as usize {
            let message = format!("it reported {} blocks and not {}", output.sizes.len(), outputs.num_reducers());
            let failure = TaskFailure::Internal { message, retryable: true };
            actions.push(Action::DiscardAttemptOutput { attempt: id, executor, shuffle });
            self.attempt_failed(id, &attempt, failure, actions);
            return Offer::All;
        }
        let empty = output.sizes.iter().all(|size| *size == 0);
        let home = match output.home {
            // A result without rows is there with the message: there is nothing to fetch.
            TaskOutputHome::Executor if outputs.is_result && empty => Home::DRIVER,
            TaskOutputHome::Executor => Home::executor(attempt.executor),
            TaskOutputHome::Driver => Home::DRIVER,
        };
        outputs.register(id, home, &output.sizes);
        let slower = stage.tasks.succeeded(id.task.partition, id.attempt);
        stage.quickness.add(self.now.saturating_sub(attempt.launched_at), attempt.before);
        if self.config.speculation.is_some() {
            let ran_for = self.now.saturating_sub(attempt.launched_at);
            stage.durations.add(ran_for);
            stage.pace.add(attempt.records, ran_for);
        }
        let complete = stage.tasks.is_complete();
        if outputs.is_result
            && let (Some(job), Some(location)) = (stage.jobs.first().copied(), home.location(&self.executors))
        {
            let bytes = output.sizes.iter().fold(0, |sum: u64, size| sum.saturating_add(*size));
            if let Some(failure) = self.count_result(job, bytes) {
                self.fail_jobs(vec![job], &failure, actions);
                return Offer::All;
            }
            actions.push(Action::ResultReady { job, attempt: id, location });
            if home == Home::DRIVER
                && let Some(job) = self.jobs.get_mut(&job)
            {
                job.fetched += 1;
            }
        }
        self.kill_attempts(slower.as_slice(), KillReason::OtherSucceeded, actions);
        if complete {
            self.finish(id.task.stage, actions);
            return Offer::All;
        }
        only_its_slot
    }

    /// Counts a result before the driver fetches it. The failure, when its job has more than the driver takes.
    fn count_result(&mut self, job: JobId, bytes: u64) -> Option<JobFailure> {
        let job = self.jobs.get_mut(&job)?;
        job.results += 1;
        job.result_bytes = job.result_bytes.saturating_add(bytes);
        let limit = job.properties.max_result_bytes.filter(|limit| job.result_bytes > *limit)?;
        Some(JobFailure::ResultTooLarge { results: job.results, bytes: job.result_bytes, limit })
    }

    pub(crate) fn task_failed(
        &mut self,
        id: TaskAttemptId,
        executor: &ExecutorId,
        failure: TaskFailure,
        actions: &mut Vec<Action>,
    ) {
        if let Some(attempt) = self.take_attempt(id, executor) {
            self.attempt_failed(id, &attempt, failure, actions);
        }
    }

    /// An attempt has ended without a result; its slot is free.
    fn attempt_failed(
        &mut self,
        id: TaskAttemptId,
        attempt: &Attempt,
        failure: TaskFailure,
        actions: &mut Vec<Action>,
    ) {
        let stage = id.task.stage;
        if !self.requeue(id, attempt, &failure, actions) {
            return;
        }
        if let TaskFailure::FetchFailed(fetch) = failure {
            self.fetch_failed(id, fetch, actions);
            return;
        }
        self.resubmit_after_loss(vec![stage], actions);
    }

    /// Puts the task of a failed attempt back into the queue, or fails the jobs that need it. False in the latter case,
    /// and when nobody wanted its result any more.
    fn requeue(
        &mut self,
        id: TaskAttemptId,
        attempt: &Attempt,
        failure: &TaskFailure,
        actions: &mut Vec<Action>,
    ) -> bool {
        let Some(stage) = self.stages.get_mut(&id.task.stage) else { return false };
        let task = id.task.partition;
        if !stage.tasks.is_running(task, id.attempt) {
            return false;
        }
        stage.failed_attempts += 1;
        let blame = match failure.blame() {
            Blame::Nobody if stage.tasks.count_blameless(task) > MAX_BLAMELESS => Blame::Task,
            blame => blame,
        };
        if let Blame::Nobody = blame {
            stage.tasks.attempt_ended(task, id.attempt, None);
            return true;
        }
        stage.tasks.attempt_ended(task, id.attempt, Some(attempt.executor));
        let exclusion = &self.config.exclusion;
        if exclusion.stage.is_some() || exclusion.application.is_some() {
            let node = self.executors.node(attempt.executor);
            let (now, executor, reason) = (self.now, attempt.executor, failure.to_string());
            stage.failures.add(exclusion.stage.as_ref(), Blamed { now, task, executor, node, reason });
        }
        let failures = stage.tasks.count_failure(task);
        if matches!(blame, Blame::Task) && failures < self.config.max_task_failures {
            return true;
        }
        let jobs = stage.jobs.clone();
        let executor = self.executors.name(attempt.executor).clone();
        let failure = JobFailure::Task { attempt: id, executor, failures, failure: failure.clone() };
        self.fail_jobs(jobs, &failure, actions);
        false
    }

    /// Everything that ran on a lost executor has ended.
    pub(crate) fn attempts_lost(
        &mut self,
        numbers: &[u64],
        executor: &ExecutorId,
        reason: &ExecutorLossReason,
        touched: &mut Vec<StageId>,
        actions: &mut Vec<Action>,
    ) {
        for number in numbers {
            let Some(attempt) = self.attempts.remove(number) else { continue };
            self.pools.ended(attempt.pool);
            let failure = TaskFailure::ExecutorLost { executor: executor.clone(), reason: reason.clone() };
            if self.requeue(attempt.id(*number), &attempt, &failure, actions) {
                touched.push(attempt.task.stage);
            }
        }
        touched.sort_unstable();
        touched.dedup();
    }

    /// A task could not read its input: what is lost is made again, and the stage goes on after that.
    fn fetch_failed(&mut self, reader: TaskAttemptId, failure: FetchFailure, actions: &mut Vec<Action>) {
        let id = reader.task.stage;
        let mut touched = vec![id];
        let lost = self.lose_unfetched(reader, &failure, &mut touched, actions);
        let from = failure.executor.as_ref().and_then(|name| self.executors.index(name));
        let expected = self.config.ignore_decommission_fetch_failure
            && from.is_some_and(|index| self.executors.draining_since(index).is_some());

        let writer = self.writers.get(&failure.shuffle).copied();
        let Some(stage) = self.stages.get_mut(&id) else { return };
        let mut todo = Vec::new();
        if !lost && writer.is_some_and(|writer| !stage.needs(writer)) {
            // What was cached is lost, and what it was made from was not made in this job.
            stage.needs_lazy_parents = true;
            if stage.state == StageState::Running {
                self.suspend(id, &mut todo, actions);
            }
            self.submit(todo, actions);
            self.resubmit_after_loss(touched, actions);
            return;
        }
        // If nothing was lost by it, the reader was late: what it missed is known, or made again already.
        if lost && reader.stage_attempt >= stage.fetch_failures_counted {
            stage.fetch_failures_counted = reader.stage_attempt + 1;
            stage.fetch_failed_attempts += u32::from(!expected);
            let attempts = stage.fetch_failed_attempts;
            if attempts >= self.config.max_consecutive_stage_attempts {
                let jobs = stage.jobs.clone();
                let failure = JobFailure::FetchFailures { stage: id, attempts, last: failure };
                self.fail_jobs(jobs, &failure, actions);
            } else if stage.state == StageState::Running {
                self.suspend(id, &mut todo, actions);
            }
        }
        self.submit(todo, actions);
        self.resubmit_after_loss(touched, actions);
        if let Some(executor) = from.filter(|_| lost) {
            self.fetch_failure_excludes(executor, actions);
        }
    }

    /// Forgets the outputs that a reader could not have; adds the stages that must write them again to `touched`. True
    /// if there were any. Outputs of attempts that began after the reader are not those that it missed.
    fn lose_unfetched(
        &mut self,
        reader: TaskAttemptId,
        failure: &FetchFailure,
        touched: &mut Vec<StageId>,
        actions: &mut Vec<Action>,
    ) -> bool {
        let home = match &failure.executor {
            Some(name) => self.executors.index_ever(name).map_or(Home::NOWHERE, Home::executor),
            None => Home::STORE,
        };
        if let Some(executor) = home.as_executor()
            && !failure.corrupt
        {
            return self.lose_outputs_of(executor, reader.attempt, touched, actions);
        }
        let Some(outputs) = self.outputs.get_mut(failure.shuffle) else { return false };
        let mut named = failure.map_indexes.clone();
        named.sort_unstable();
        let others = |map| !named.is_empty() && named.binary_search(&map).is_err();
        let lost = outputs.lose_at(home, |map, writer| others(map) || writer > reader.attempt);
        if lost.is_empty() {
            return false;
        }
        actions.push(Action::MapOutputsChanged { shuffle: failure.shuffle, epoch: outputs.epoch() });
        if let Some(writer) = self.writers.get(&failure.shuffle).copied() {
            self.tasks_lost(writer, &lost);
            touched.push(writer);
        }
        true
    }

    /// The driver has this result; whatever happens to the executor, it need not be made again.
    pub(crate) fn result_fetched(&mut self, id: TaskAttemptId, actions: &mut Vec<Action>) {
        let Some(job) = self.unfetched_result(id) else { return };
        if let Some(stage) = self.stages.get(&id.task.stage)
            && let Some(outputs) = self.outputs.get_mut(stage.spec.output.shuffle())
            && let Some(job) = self.jobs.get_mut(&job)
        {
            outputs.set_home(id.task.partition, Home::DRIVER);
            job.fetched += 1;
        }
        self.end_job_if_done(job, actions);
    }

    /// The driver could not get this result: it is made again, which counts as a failure of its task, as in Spark.
    pub(crate) fn result_fetch_failed(
        &mut self,
        id: TaskAttemptId,
        executor_unreachable: bool,
        message: String,
        actions: &mut Vec<Action>,
    ) {
        if self.unfetched_result(id).is_none() {
            return;
        }
        let task = id.task.partition;
        let Some(stage) = self.stages.get_mut(&id.task.stage) else { return };
        let Some(outputs) = self.outputs.get_mut(stage.spec.output.shuffle()) else { return };
        let home = outputs.home(task);
        outputs.lose(task);
        stage.tasks.output_lost(task);
        stage.failed_attempts += 1;
        let failures = stage.tasks.count_failure(task);
        let executor = home.and_then(Home::as_executor);
        if failures >= self.config.max_task_failures {
            let executor = executor.map(|index| self.executors.name(index).clone());
            let failure = JobFailure::Task {
                attempt: id,
                executor: executor.unwrap_or_else(|| ExecutorId::new("none")),
                failures,
                failure: TaskFailure::ResultLost { message },
            };
            let jobs = stage.jobs.clone();
            self.fail_jobs(jobs, &failure, actions);
        }
        let mut touched = vec![id.task.stage];
        if let (Some(executor), true) = (executor, executor_unreachable) {
            self.lose_outputs_of(executor, u64::MAX, &mut touched, actions);
        }
        self.resubmit_after_loss(touched, actions);
    }

    /// The job that this result belongs to, if this attempt is the one that counts and the driver does not have it yet.
    fn unfetched_result(&self, id: TaskAttemptId) -> Option<JobId> {
        let stage = self.stages.get(&id.task.stage)?;
        let outputs = self.outputs.get(stage.spec.output.shuffle()).filter(|outputs| outputs.is_result)?;
        let counts = outputs.attempt_id(id.task.stage, id.task.partition) == Some(id);
        let waits = outputs.home(id.task.partition) != Some(Home::DRIVER);
        if counts && waits { stage.jobs.first().copied() } else { None }
    }
}
