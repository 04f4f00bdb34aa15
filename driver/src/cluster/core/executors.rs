//! Executors as they come, report, fall silent and go.

use std::time::{Duration, Instant};

use firesteel_plan::conf::keys;
use firesteel_protocol::{
    ExecutorId, TaskAttemptId,
    proto::{self, Shutdown, driver_message::Message},
};
use firesteel_scheduler::{Event, ExecutorLossReason, TaskFailure, TaskOutput};

use super::{
    Connection, Core, State,
    session::{Session, Stream},
};
use crate::cluster::failure;

/// How long the end of an executor's stream waits for a better explanation at least.
const EXPLAIN_LOSS: Duration = Duration::from_secs(1);

impl Core {
    /// An executor that is new, or back on another stream. Answers its id and the stream's number, or why it is not wanted.
    pub fn register(&self, message: &proto::Register, stream: Stream) -> Result<(ExecutorId, u64), String> {
        if message.protocol_version != firesteel_protocol::PROTOCOL_VERSION {
            return Err(format!(
                "executor {} is of version {}, the driver of {}: use one image for both",
                message.executor_id,
                message.protocol_version,
                firesteel_protocol::PROTOCOL_VERSION
            ));
        }
        let id = ExecutorId::from(message.executor_id.clone());
        let mut state = self.state.lock();
        if let Some(connection) = state.executors.get_mut(&id)
            && connection.process == message.process
            && message.generation == self.generation
        {
            let number = connection.session.attach(stream, self.registered_message(true));
            (connection.ended, connection.last_heard) = (None, Instant::now());
            tracing::info!(executor = %id, "executor is back");
            self.event_in(&mut state, Event::ExecutorReachable { executor: id.clone(), reachable: true });
            return Ok((id, number));
        }
        if state.executors.contains_key(&id) {
            let message = "another process registered under its name".to_owned();
            self.lose(&mut state, &id, ExecutorLossReason::Unresponsive { message });
            return Err(format!("executor {id} had lost its connection and was replaced"));
        }
        let mut session = Session::new();
        let number = session.attach(stream, self.registered_message(false));
        state.executors.insert(
            id.clone(),
            Connection {
                process: message.process.clone(),
                session,
                inventoried: message.generation == 0,
                address: message.address.clone(),
                node: message.node.clone(),
                slots: message.slots,
                last_heard: Instant::now(),
                ended: None,
                leaving: false,
                released: false,
            },
        );
        tracing::info!(executor = %id, node = message.node, slots = message.slots, "executor registered");
        let node = message.node.as_str().into();
        self.event_in(&mut state, Event::ExecutorRegistered { executor: id.clone(), node, slots: message.slots });
        Ok((id, number))
    }

    /// `resumed`: what was begun on the stream before goes on.
    fn registered_message(&self, resumed: bool) -> Message {
        let conf = self.engine.conf();
        Message::Registered(proto::Registered {
            conf: crate::cluster::conf_for_executors(&conf),
            heartbeat_interval_ms: conf.millis(&keys::HEARTBEAT_INTERVAL),
            generation: self.generation,
            resumed,
        })
    }

    /// Something came on a stream: whether it is to be heeded. It is not when it was heard before, and `None` says that
    /// nothing on this stream is any more.
    pub fn heard(&self, id: &ExecutorId, stream: u64, message: &proto::ExecutorMessage) -> Option<bool> {
        use proto::executor_message::Message as Said;
        let mut state = self.state.lock();
        let connection = state.executors.get_mut(id).filter(|connection| connection.session.is_current(stream))?;
        connection.last_heard = Instant::now();
        let confirm = matches!(message.message, Some(Said::Heartbeat(_) | Said::Leaving(_)));
        Some(connection.session.heard(message.number, message.received, confirm))
    }

    /// What an executor holds of an earlier driver's work.
    pub fn inventory(&self, id: &ExecutorId, inventory: proto::Inventory) {
        let mut state = self.state.lock();
        if let Some(connection) = state.executors.get_mut(id) {
            connection.inventoried |= inventory.complete;
            state.restored.add(id, inventory);
        }
    }

    pub fn task_finished(&self, executor: &ExecutorId, message: proto::TaskFinished) {
        let Some(id) = message.id.as_ref().map(TaskAttemptId::from) else { return };
        let output = message.output.unwrap_or_default();
        let rows = output.rows;
        let output = TaskOutput::on_executor(output.sizes);
        let event = Event::TaskFinished { attempt: id, executor: executor.clone(), output };
        self.task_ended(&id, executor, message.metrics.as_ref(), Ok(rows), event);
    }

    pub fn task_failed(&self, executor: &ExecutorId, message: proto::TaskFailed) {
        let Some(id) = message.id.as_ref().map(TaskAttemptId::from) else { return };
        let failure = failure::from_wire(message.failure);
        tracing::warn!(attempt = %id, executor = %executor, %failure, "task attempt failed");
        let event = Event::TaskFailed { attempt: id, executor: executor.clone(), failure: failure.clone() };
        self.task_ended(&id, executor, message.metrics.as_ref(), Err(&failure), event);
    }

    fn task_ended(
        &self,
        id: &TaskAttemptId,
        executor: &ExecutorId,
        metrics: Option<&proto::TaskMetrics>,
        rows: Result<u64, &TaskFailure>,
        event: Event,
    ) {
        self.count(metrics);
        let mut state = self.state.lock();
        let State { stages, spans, .. } = &mut *state;
        if let Some(stage) = stages.get_mut(&id.task.stage) {
            // Of several attempts at a task any will do: they write the same rows.
            if let (Ok(rows), Some(known)) = (rows, stage.rows.get_mut(id.task.partition as usize)) {
                *known = Some(rows);
            }
            spans.task_ended(stage.job, id, executor, metrics, rows.err());
        }
        if let Some(metrics) = metrics.filter(|_| state.scheduler.config().speculation.is_some()) {
            self.event_in(&mut state, progress_of(*id, metrics));
        }
        self.event_in(&mut state, event);
    }

    /// How far the tasks of an executor are: what tells slow ones from large ones.
    pub fn heartbeat(&self, message: &proto::Heartbeat) {
        let mut state = self.state.lock();
        if state.scheduler.config().speculation.is_none() {
            return;
        }
        for task in &message.tasks {
            if let (Some(id), Some(metrics)) = (&task.id, &task.metrics) {
                self.event_in(&mut state, progress_of(id.into(), metrics));
            }
        }
    }

    /// A stream ended. When the executor is not back in time, the clock counts it as lost, unless its pod tells why before.
    pub fn stream_ended(&self, id: &ExecutorId, stream: u64) {
        let mut state = self.state.lock();
        let Some(connection) = state.executors.get_mut(id).filter(|c| c.session.is_last(stream)) else { return };
        connection.session.detach();
        connection.ended = Some(Instant::now());
        self.event_in(&mut state, Event::ExecutorReachable { executor: id.clone(), reachable: false });
    }

    /// What the watch of its pod says, of an executor that never registered too. The scheduler counts each once.
    pub fn executor_lost(&self, id: &ExecutorId, reason: ExecutorLossReason) {
        self.lose(&mut self.state.lock(), id, reason);
    }

    pub(super) fn lose(&self, state: &mut State, id: &ExecutorId, reason: ExecutorLossReason) {
        // What must be made again because of it.
        let outputs = state.outputs_by_executor().get(id).copied().unwrap_or(0);
        let connection = state.executors.remove(id);
        let reason = match (reason, connection.as_ref()) {
            (ExecutorLossReason::TakenByCluster { message }, Some(c)) if c.leaving => left(c, message),
            (reason, _) => reason,
        };
        if connection.is_some() {
            let attempts = state.tally.executor_lost(id);
            tracing::warn!(executor = %id, %reason, outputs, attempts, "executor lost");
        }
        state.restored.executor_lost(id);
        self.event_in(state, Event::ExecutorLost { executor: id.clone(), reason, outputs_lost: true });
        self.cached_blocks_lost(state, id);
    }

    /// Executors that are not given up.
    pub fn registered_ids(&self) -> Vec<ExecutorId> {
        self.state.lock().executors.keys().cloned().collect()
    }

    pub fn shutdown_executors(&self, reason: &str) {
        for connection in self.state.lock().executors.values_mut() {
            connection.session.say_now(Message::Shutdown(Shutdown { reason: reason.to_owned() }));
        }
    }

    pub fn tick(&self) {
        let conf = self.engine.conf();
        let silence = Duration::from_millis(conf.millis(&keys::NETWORK_TIMEOUT).max(1000));
        let reattach = Duration::from_millis(conf.millis(&keys::EXECUTOR_REATTACH_TIMEOUT));
        let mut state = self.state.lock();
        let now = Instant::now();
        let gone: Vec<(ExecutorId, ExecutorLossReason)> = state
            .executors
            .iter()
            .filter_map(|(id, c)| {
                let reason = if let Some(ended) = c.ended {
                    if c.leaving {
                        left(c, "it was told to end".to_owned())
                    } else if now.duration_since(ended) < reattach.max(EXPLAIN_LOSS) {
                        return None;
                    } else {
                        ExecutorLossReason::Unresponsive { message: "its connection closed".to_owned() }
                    }
                } else if now.duration_since(c.last_heard) > silence {
                    let message = format!("no heartbeat for {} s (spark.network.timeout)", silence.as_secs());
                    ExecutorLossReason::Unresponsive { message }
                } else {
                    return None;
                };
                Some((id.clone(), reason))
            })
            .collect();
        for (executor, reason) in gone {
            self.lose(&mut state, &executor, reason);
        }
        self.event_in(&mut state, Event::Tick);
        self.publish(&mut state);
    }
}

/// Why an executor is gone that had said that it leaves.
fn left(connection: &Connection, message: String) -> ExecutorLossReason {
    if connection.released { ExecutorLossReason::Released } else { ExecutorLossReason::Left { message } }
}

fn progress_of(attempt: TaskAttemptId, metrics: &proto::TaskMetrics) -> Event {
    Event::TaskProgress { attempt, records: metrics.input_rows.saturating_add(metrics.shuffle_read_rows) }
}
