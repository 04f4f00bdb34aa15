//! Events into the scheduler, and what follows from its actions.

use firesteel_engine::shuffle::{MapOutputId, fetch_result};
use firesteel_protocol::{
    ExecutorId, JobId, TaskAttemptId,
    proto::{
        KillTask, LaunchTask, RemoveAttemptOutput, RemoveShuffle, ShuffleInput, Shutdown, TaskOutput as WireTaskOutput,
        driver_message::Message,
    },
};
use firesteel_scheduler::{Action, Event, OutputLocation, TaskFailure};
use futures::TryStreamExt;

use super::{AttemptCounts, Core, JobEntry, State, Wanted, job_cancelled, spans::StageEnd};
use crate::cluster::{failure, job::JobMessage};

impl Core {
    pub(in crate::cluster) fn event(&self, event: Event) {
        let mut state = self.state.lock();
        self.event_in(&mut state, event);
    }

    pub(super) fn event_in(&self, state: &mut State, event: Event) {
        let mut next = vec![event];
        // Handing over a task can fail, which is an event again; each event removes an executor, so this ends.
        while let Some(event) = next.pop() {
            let finished = if let Event::TaskFinished { attempt, .. } = &event { Some(*attempt) } else { None };
            if let Event::TaskFailed { attempt, failure, .. } = &event {
                state.tally.failed(*attempt, matches!(failure, TaskFailure::Killed { .. }));
            }
            let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let mut actions = std::mem::take(&mut state.actions);
            actions.clear();
            state.scheduler.handle(now, event, &mut actions);
            if let Some(id) = finished {
                let discarded =
                    |a: &Action| matches!(a, Action::DiscardAttemptOutput { attempt, .. } if *attempt == id);
                state.tally.finished(id, !actions.iter().any(discarded));
            }
            for action in actions.drain(..) {
                self.act(state, action, &mut next);
            }
            state.actions = actions;
        }
    }

    fn act(&self, state: &mut State, action: Action, next: &mut Vec<Event>) {
        match action {
            Action::LaunchTask { attempt, job, executor, attempt_number, speculative } => {
                if speculative {
                    tracing::info!(%attempt, %executor, attempt_number, "a copy of a slow task is launched");
                }
                // A job counts its own attempts; an earlier one may have run the task and lost what it made.
                let stage = state.stages.get(&attempt.task.stage);
                let again = stage.and_then(|stage| stage.rows.get(attempt.task.partition as usize)).copied().flatten();
                let before = attempt_number.max(u32::from(again.is_some()));
                state.tally.launched(attempt, &executor, before, speculative);
                let message = self.launch(state, attempt, job);
                let sent = message.is_some_and(|m| self.send(state, &executor, Message::LaunchTask(m)));
                if !sent {
                    let message = "the task could not be handed to its executor".to_owned();
                    let failure = TaskFailure::Internal { message, retryable: true };
                    next.push(Event::TaskFailed { attempt, executor, failure });
                }
            }
            Action::KillTask { attempt, executor, reason } => {
                let kill = KillTask { id: Some(attempt.into()), reason: reason.to_string() };
                self.send(state, &executor, Message::KillTask(kill));
            }
            Action::DiscardAttemptOutput { attempt, executor, shuffle } => {
                let remove = RemoveAttemptOutput {
                    shuffle_id: state.restored.name(shuffle).0,
                    map_index: attempt.task.partition,
                    attempt: attempt.attempt,
                };
                self.send(state, &executor, Message::RemoveAttemptOutput(remove));
            }
            Action::RefuseExecutor { executor } => {
                let reason = "the driver had given it up and replaced it".to_owned();
                if let Some(mut connection) = state.executors.remove(&executor) {
                    connection.session.say_now(Message::Shutdown(Shutdown { reason }));
                }
            }
            Action::EndExecutor { executor, reason } => {
                self.send(state, &executor, Message::Shutdown(Shutdown { reason }));
                state.executors.remove(&executor);
            }
            Action::StageStarted { stage, stage_attempt, tasks } => {
                tracing::info!(stage = stage.0, stage_attempt, tasks, "stage started");
                if let Some(job) = state.stages.get(&stage).map(|entry| entry.job) {
                    state.spans.stage_started(job, stage, stage_attempt, tasks);
                }
            }
            Action::StageSuspended { stage, stage_attempt } => {
                tracing::warn!(stage = stage.0, stage_attempt, "stage waits for lost inputs to be made again");
                state.spans.stage_ended(stage, StageEnd::InputsLost);
            }
            Action::StageFinished { stage, stage_attempt } => {
                let AttemptCounts { launched, failed, rerun, .. } = state.tally.stage(stage);
                tracing::info!(stage = stage.0, stage_attempt, launched, failed, rerun, "stage finished");
                if let Some(entry) = state.stages.get_mut(&stage) {
                    entry.tasks_done = entry.num_tasks;
                }
                state.spans.stage_ended(stage, StageEnd::Finished);
            }
            Action::ResultReady { job, attempt, location } => self.fetch(state, job, attempt, location),
            // Each task is told the epoch it needs when it is launched.
            Action::MapOutputsChanged { .. } => {}
            Action::RemoveShuffle { shuffle } => {
                state.told_outputs.remove(&shuffle);
                let name = state.restored.forget(shuffle);
                self.remove_stored(name);
                for connection in state.executors.values_mut() {
                    let remove = RemoveShuffle { shuffle_ids: vec![name.0] };
                    connection.session.say(Message::RemoveShuffle(remove));
                }
            }
            Action::JobSucceeded { job } => {
                let message = match state.jobs.get(&job).map(|entry| &entry.wanted) {
                    // Now, while all outputs are there: an executor may be lost before the query looks.
                    Some(Wanted::MapOutputs(shuffle)) => JobMessage::Mapped(Self::shuffle_statistics(state, *shuffle)),
                    _ => JobMessage::Succeeded,
                };
                self.job_ended(state, job, message);
            }
            Action::JobFailed { job, failure } => {
                let error = failure::to_error(&failure);
                self.job_ended(state, job, JobMessage::Failed(error));
            }
            Action::JobCancelled { job, reason } => {
                self.job_ended(state, job, JobMessage::Failed(job_cancelled(job, &reason)));
            }
        }
    }

    fn launch(&self, state: &State, attempt: TaskAttemptId, job: JobId) -> Option<LaunchTask> {
        let stage = state.stages.get(&attempt.task.stage)?;
        let inputs = stage.inputs.iter().map(|shuffle| ShuffleInput {
            shuffle_id: shuffle.0,
            epoch: state.scheduler.map_outputs(*shuffle).map_or(0, |o| o.epoch()),
        });
        Some(LaunchTask {
            id: Some(attempt.into()),
            plan_key: u64::from(attempt.task.stage.0),
            splits: stage.encoded.splits(attempt.task.partition as usize).to_vec(),
            output: Some(WireTaskOutput {
                shuffle_id: state.restored.name(stage.shuffle).0,
                num_partitions: stage.num_reducers,
                fingerprint: state
                    .restored
                    .fingerprint(stage.shuffle)
                    .map(|fingerprint| fingerprint.0.to_vec().into())
                    .unwrap_or_default(),
            }),
            inputs: inputs.collect(),
            job_id: job.0,
            cached: self.locations(stage, attempt.task.partition),
        })
    }

    /// Now, or when the executor is back. False when it is none of ours.
    pub(super) fn send(&self, state: &mut State, executor: &ExecutorId, message: Message) -> bool {
        state.executors.get_mut(executor).is_some_and(|connection| connection.session.say(message))
    }

    /// Fetches the rows of one result task, then tells both the scheduler and the job.
    fn fetch(&self, state: &State, job: JobId, attempt: TaskAttemptId, location: OutputLocation) {
        // Results are never moved: an executor that leaves waits until the driver has them.
        let Some(JobEntry { wanted: Wanted::Result { schema, shuffle }, messages, .. }) = state.jobs.get(&job) else {
            return;
        };
        let OutputLocation::Executor(executor) = location else {
            // Without rows.
            let partition = attempt.task.partition;
            let _ = messages.send(JobMessage::Partition { partition, batches: Vec::new() });
            return;
        };
        let Some(core) = self.me.upgrade() else { return };
        let address = state.executors.get(&executor).map(|c| c.address.clone());
        let output = MapOutputId { shuffle: *shuffle, map: attempt.task.partition, attempt: attempt.attempt };
        let schema = schema.clone();
        self.work.spawn(async move {
            let Some(address) = address else {
                core.event(Event::ResultFetchFailed {
                    attempt,
                    executor_unreachable: true,
                    message: format!("executor {executor} is gone"),
                });
                return;
            };
            let stream = fetch_result(&core.blocks, Some(executor.clone()), &address, output, schema);
            match stream.try_collect::<Vec<_>>().await {
                Ok(batches) => core.result_fetched(job, attempt, batches),
                Err(error) => {
                    let message = firesteel_engine::error::from_datafusion(&error).to_string();
                    tracing::warn!(%attempt, %executor, message, "a result could not be fetched");
                    core.event(Event::ResultFetchFailed { attempt, executor_unreachable: true, message });
                }
            }
        });
    }

    fn result_fetched(&self, job: JobId, attempt: TaskAttemptId, batches: Vec<arrow::array::RecordBatch>) {
        let mut state = self.state.lock();
        let Some(entry) = state.jobs.get_mut(&job) else { return };
        let _ = entry.messages.send(JobMessage::Partition { partition: attempt.task.partition, batches });
        self.event_in(&mut state, Event::ResultFetched { attempt });
    }

    fn job_ended(&self, state: &mut State, job: JobId, message: JobMessage) {
        self.see_progress(state);
        let Some(entry) = state.jobs.remove(&job) else { return };
        let succeeded = !matches!(message, JobMessage::Failed(_));
        let error = if let JobMessage::Failed(error) = &message { Some(error.class().to_owned()) } else { None };
        state.spans.job_ended(job, &entry.stages, error);
        let _ = entry.messages.send(message);
        let mine = entry.stages.iter().filter(|stage| state.stages.get(stage).is_some_and(|entry| entry.job == job));
        let AttemptCounts { launched, failed, rerun, speculative, speculative_won } = state.tally.stages(mine);
        tracing::info!(
            job = job.0,
            succeeded,
            stages = entry.stages.len(),
            launched,
            failed,
            rerun,
            speculative,
            speculative_won,
            "job ended"
        );
        self.publish(state);
    }
}
