//! The executor's side of its conversation with the driver.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use firesteel_engine::{
    EngineOptions, EngineSession, ExecutionMode,
    codec::PlanCodec,
    shuffle::{BlockClient, BlockServer, BlockStore, MAX_MESSAGE_BYTES, MapOutputId},
    task::TaskEnvironment,
};
use firesteel_plan::{SparkConf, conf::keys};
use firesteel_protocol::{
    PROTOCOL_VERSION, ShuffleId, TaskAttemptId,
    proto::{
        DriverMessage, DriverMessages, ExecutorMessage, ExecutorMessages, Heartbeat, Leaving, Register, Registered,
        driver_message::Message as FromDriver, executor_message::Message as ToDriver, executor_server::ExecutorServer,
    },
};
use futures::StreamExt;
use tokio::{
    net::TcpListener,
    runtime::Handle,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming, service::interceptor::InterceptedService, transport::Server};

use crate::{
    ExecutorError, ExecutorOptions, cached,
    driver::{Driver, Token},
    handover::Handover,
    inventory, listen,
    outbox::{Outbox, Reporter},
    service::{Blocks, DriverPlace},
    tasks::{Tasks, refused},
};

/// Messages on their way into a stream; those that must not be lost are kept in the outbox.
const UNDER_WAY: usize = 64;
/// The end of a task may be told so late while the executor has others to begin.
const LINGER: Duration = Duration::from_millis(1);
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A driver that accepts the stream must answer the registration within this.
const REGISTERED_WITHIN: Duration = Duration::from_secs(30);
/// The last reports must be on their way within this.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How an executor is ended from outside.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Leave in good order.
    pub terminate: CancellationToken,
    /// Be gone.
    pub kill: CancellationToken,
}

pub struct Agent {
    options: ExecutorOptions,
    codec: PlanCodec,
    address: String,
    driver: Arc<Driver>,
    client: BlockClient,
    blocks: Blocks,
    task_runtime: Handle,
    stop: Stop,
    /// Names this process.
    process: bytes::Bytes,
    /// The driver to talk to: another one may send for this executor.
    place: watch::Receiver<DriverPlace>,
    /// Of the driver that this executor was registered with last; 0 before that.
    generation: u64,
    /// How long a driver that is away is waited for.
    patience: Duration,
    outbox: Arc<Outbox>,
    tasks: Option<Arc<Tasks>>,
}

/// How a conversation ended.
enum Ended {
    /// The driver said goodbye, or this executor did.
    Well,
    /// It may go on with a new one.
    Lost(String),
    Failed(ExecutorError),
}

impl Agent {
    /// Serves blocks from now on. Within the control runtime.
    pub async fn start(
        options: ExecutorOptions,
        codec: PlanCodec,
        task_runtime: Handle,
        stop: Stop,
    ) -> Result<Self, ExecutorError> {
        let token = Token::new(&options.auth_token)?;
        let control = Handle::current();
        let driver = Arc::new(Driver::new(&options.driver_address, token, control.clone(), options.reconnect_for)?);
        let client = BlockClient::new(&options.auth_token, Duration::from_secs(10))
            .map_err(|e| ExecutorError::Config(e.message().to_owned()))?
            .on_runtime(control);
        let bind = options.bind.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let wanted = SocketAddr::new(bind, options.port).to_string();
        let failed = |e: std::io::Error| ExecutorError::Serve { address: wanted.clone(), message: e.to_string() };
        let listener = TcpListener::bind(&wanted).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let host = if options.host.contains(':') { format!("[{}]", options.host) } else { options.host.clone() };
        let place = DriverPlace { address: options.driver_address.clone(), generation: 0 };
        let (sender, place) = watch::channel(place);
        let blocks = Blocks {
            store: Arc::default(),
            cached: Arc::default(),
            most_bytes: Arc::default(),
            leaving: stop.terminate.clone(),
            driver: sender,
        };
        let service = ExecutorServer::new(blocks.clone())
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
            .max_decoding_message_size(MAX_MESSAGE_BYTES);
        let service = InterceptedService::new(service, firesteel_protocol::auth::CheckToken::new(&options.auth_token));
        let shuffle = BlockServer::new(&options.auth_token, blocks.store.clone());
        let server = Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(20)))
            .add_service(service)
            .serve_with_incoming(listen::calls(listener, shuffle));
        tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the block service ended");
            }
        });
        let address = format!("{host}:{port}");
        let process = bytes::Bytes::copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        let patience = options.reconnect_for;
        Ok(Self {
            options,
            codec,
            address,
            driver,
            client,
            blocks,
            task_runtime,
            stop,
            process,
            place,
            generation: 0,
            patience,
            outbox: Outbox::new(),
            tasks: None,
        })
    }

    /// Talks to the driver, dialling again when the conversation breaks, until there is nothing more to say.
    pub async fn run(mut self) -> Result<(), ExecutorError> {
        let kill = self.stop.kill.clone();
        let result = tokio::select! {
            biased;
            () = kill.cancelled() => return Ok(()),
            result = self.converse() => result,
        };
        if let Some(store) = self.blocks.store.get() {
            store.clear();
        }
        if let Some(cached) = self.blocks.cached.get() {
            cached.clear();
        }
        result
    }

    async fn converse(&mut self) -> Result<(), ExecutorError> {
        let mut lost_since: Option<Instant> = None;
        let mut wait = FIRST_WAIT;
        // Changes when another driver sends for this executor; its sender lives as long as this agent.
        let mut place = self.place.clone();
        loop {
            let at = place.borrow_and_update().clone();
            self.driver.point_to(&at.address)?;
            let mut registered = false;
            let ended = tokio::select! {
                ended = self.conversation(&at, &mut registered) => ended,
                _ = place.changed() => {
                    (lost_since, wait) = (None, FIRST_WAIT);
                    continue;
                }
            };
            if registered {
                (lost_since, wait) = (None, FIRST_WAIT);
            }
            let message = match ended {
                Ended::Well => return Ok(()),
                Ended::Failed(error) => return Err(error),
                Ended::Lost(message) => message,
            };
            if self.stop.terminate.is_cancelled() {
                return Ok(());
            }
            let since = *lost_since.get_or_insert_with(Instant::now);
            if since.elapsed() + wait > self.patience {
                return Err(ExecutorError::DriverLost { address: at.address, message });
            }
            tracing::warn!(driver = at.address, %message, "the driver cannot be reached; dialling again");
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.terminate.cancelled() => return Ok(()),
                _ = place.changed() => {
                    (lost_since, wait) = (None, FIRST_WAIT);
                    continue;
                }
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn conversation(&mut self, at: &DriverPlace, was_registered: &mut bool) -> Ended {
        let (stream, outgoing) = mpsc::channel::<ExecutorMessage>(UNDER_WAY);
        if stream.send(self.register()).await.is_err() {
            return Ended::Lost("the stream closed".to_owned());
        }
        let outgoing =
            ReceiverStream::new(outgoing).ready_chunks(UNDER_WAY).map(|messages| ExecutorMessages { messages });
        let mut incoming = match self.driver.client().attach(outgoing).await {
            Ok(answer) => Incoming { stream: answer.into_inner(), rest: Vec::new().into_iter() },
            Err(status) => return self.broken(at, &status),
        };
        let first = tokio::time::timeout(REGISTERED_WITHIN, incoming.message()).await;
        let (registered, received) = match first {
            Err(_) => return Ended::Lost("the driver did not answer the registration".to_owned()),
            Ok(Err(status)) => return self.broken(at, &status),
            Ok(Ok(Some(DriverMessage { message: Some(FromDriver::Registered(registered)), received, .. }))) => {
                (registered, received)
            }
            Ok(Ok(Some(DriverMessage { message: Some(FromDriver::Shutdown(_)), .. }))) => return Ended::Well,
            Ok(Ok(_)) => return Ended::Lost("the driver answered the registration with something else".to_owned()),
        };
        if registered.generation < self.generation.max(at.generation) {
            return Ended::Lost(format!(
                "it is a driver of generation {}, and {} has been heard of",
                registered.generation,
                self.generation.max(at.generation)
            ));
        }
        *was_registered = true;
        let beat = Duration::from_millis(registered.heartbeat_interval_ms.max(10));
        let reporter = match self.begin(registered, received) {
            Ok(reporter) => reporter,
            Err(error) => return Ended::Failed(error),
        };
        let Some(tasks) = self.tasks.clone() else {
            return Ended::Failed(ExecutorError::Internal("there is no place for tasks".to_owned()));
        };
        tokio::select! {
            ended = self.talk(at, &tasks, &reporter, &stream, &mut incoming, beat) => ended,
            () = self.pump(&tasks, &reporter, &stream) => Ended::Lost("the stream closed".to_owned()),
        }
    }

    /// Goes on with the session before, or begins a new one: whatever runs for another driver ends, what is held is told.
    fn begin(&mut self, registered: Registered, received: u64) -> Result<Reporter, ExecutorError> {
        let resumed = registered.resumed && self.tasks.is_some();
        tracing::info!(
            generation = registered.generation,
            resumed,
            address = self.address,
            "registered with the driver"
        );
        if resumed {
            self.outbox.confirmed(received);
            return Ok(self.outbox.reporter());
        }
        self.generation = registered.generation;
        let conf: SparkConf = registered.conf.clone().into_iter().collect();
        if conf.get_raw(keys::EXECUTOR_DRIVER_TIMEOUT.name).is_some() {
            self.patience = Duration::from_millis(conf.millis(&keys::EXECUTOR_DRIVER_TIMEOUT));
            self.driver.be_patient_for(self.patience);
        }
        self.outbox.restart();
        let reporter = self.outbox.reporter();
        match &self.tasks {
            Some(tasks) => {
                tasks.kill_all();
                self.driver.forget();
                // Another driver has other relations under the same numbers.
                tasks.env().session.cache_store().clear();
                tokio::spawn(inventory::tell(tasks.env().store.clone(), reporter.clone()));
            }
            None => self.tasks = Some(self.tasks(registered)?),
        }
        Ok(reporter)
    }

    /// Puts what is to be said on the stream, in order. Ends when the stream does.
    async fn pump(&self, tasks: &Tasks, reporter: &Reporter, stream: &mpsc::Sender<ExecutorMessage>) {
        let mut next = 1;
        loop {
            let message = self.outbox.next(reporter, next).await;
            // Nobody waits for the end of a task while others are here that can begin: several ends go in one message.
            if matches!(message.message, Some(ToDriver::TaskFinished(_))) && tasks.waiting() > 0 {
                tokio::time::sleep(LINGER).await;
            }
            let mut said = Some(message);
            while let Some(message) = said {
                next = message.number + 1;
                if stream.send(message).await.is_err() {
                    return;
                }
                said = self.outbox.look(reporter, next);
            }
        }
    }

    async fn talk(
        &self,
        at: &DriverPlace,
        tasks: &Arc<Tasks>,
        reporter: &Reporter,
        stream: &mpsc::Sender<ExecutorMessage>,
        incoming: &mut Incoming,
        beat: Duration,
    ) -> Ended {
        let mut beats = interval(beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Ends when the rest may go.
        let mut leaving: Option<AbortOnDrop> = None;
        loop {
            tokio::select! {
                message = incoming.message() => match message {
                    Ok(Some(message)) => {
                        if let Some(ended) = self.heed(message, tasks, reporter, leaving.is_some()).await {
                            return ended;
                        }
                    }
                    Ok(None) => return Ended::Lost("the driver closed the stream".to_owned()),
                    Err(status) => return self.broken(at, &status),
                },
                _ = beats.tick() => {
                    // A full stream means that the driver does not read: it learns of that in other ways.
                    let _ = stream.try_send(self.heartbeat(tasks));
                    // What was evicted meanwhile.
                    if let Some(blocks) = cached::changed(tasks.env().session.cache_store()) {
                        reporter.say_now(blocks);
                    }
                }
                () = self.stop.terminate.cancelled(), if leaving.is_none() => {
                    tracing::info!("leaving: running tasks may end, no further ones are taken");
                    let reason = "the executor was told to end".to_owned();
                    reporter.say(ToDriver::Leaving(Leaving { reason })).await;
                    leaving = Some(self.leave(tasks, reporter));
                }
                () = ended(leaving.as_mut()) => {
                    self.last_words(stream, tasks, incoming).await;
                    return Ended::Well;
                }
            }
        }
    }

    /// Hands over what it has, for as long as its grace lasts.
    fn leave(&self, tasks: &Arc<Tasks>, reporter: &Reporter) -> AbortOnDrop {
        let handover = Handover {
            executor: self.options.executor_id.clone(),
            tasks: tasks.clone(),
            driver: self.driver.clone(),
            client: self.client.clone(),
            reports: reporter.clone(),
        };
        let (grace, tasks) = (self.options.grace, tasks.clone());
        AbortOnDrop(tokio::spawn(async move {
            if tokio::time::timeout(grace, handover.run()).await.is_err() {
                let running = tasks.count();
                tracing::warn!(grace = ?grace, running, "the time to leave is over; what was not moved is lost");
            }
        }))
    }

    /// Waits until what was said last has arrived: a heartbeat asks the driver to say so.
    async fn last_words(&self, stream: &mpsc::Sender<ExecutorMessage>, tasks: &Arc<Tasks>, incoming: &mut Incoming) {
        let heard = async {
            let mut beats = interval(Duration::from_millis(100));
            while !self.outbox.is_empty() {
                tokio::select! {
                    message = incoming.message() => match message {
                        Ok(Some(message)) => self.outbox.confirmed(message.received),
                        _ => return,
                    },
                    _ = beats.tick() => {
                        let _ = stream.try_send(self.heartbeat(tasks));
                    }
                }
            }
        };
        let _ = tokio::time::timeout(LAST_WORDS, heard).await;
    }

    async fn heed(
        &self,
        message: DriverMessage,
        tasks: &Arc<Tasks>,
        reporter: &Reporter,
        leaving: bool,
    ) -> Option<Ended> {
        self.outbox.confirmed(message.received);
        if !self.outbox.is_new(message.number) {
            return None;
        }
        match message.message? {
            FromDriver::LaunchTask(launch) if leaving => reporter.say_now(refused(&launch)),
            FromDriver::LaunchTask(launch) => tasks.launch(launch, reporter.clone()),
            FromDriver::KillTask(kill) => {
                if let Some(id) = kill.id.as_ref().map(TaskAttemptId::from) {
                    tracing::debug!(task = %id, reason = %kill.reason, "told to kill a task");
                    tasks.kill(id.attempt);
                }
            }
            FromDriver::RemoveShuffle(remove) => {
                let store = tasks.env().store.clone();
                remove.shuffle_ids.iter().for_each(|id| self.driver.forget_shuffle(ShuffleId(*id)));
                tokio::task::spawn_blocking(move || {
                    remove.shuffle_ids.into_iter().for_each(|id| store.remove_shuffle(ShuffleId(id)));
                });
            }
            FromDriver::RemoveAttemptOutput(remove) => {
                let store = tasks.env().store.clone();
                let (shuffle, map) = (ShuffleId(remove.shuffle_id), remove.map_index);
                let id = MapOutputId { shuffle, map, attempt: remove.attempt };
                tokio::task::spawn_blocking(move || store.remove_output(id));
            }
            FromDriver::Shutdown(shutdown) => {
                tracing::info!(reason = %shutdown.reason, "the driver says goodbye");
                return Some(Ended::Well);
            }
            FromDriver::Decommission(decommission) => {
                tracing::info!(reason = %decommission.reason, "the driver wants this executor to leave");
                self.stop.terminate.cancel();
            }
            FromDriver::RemoveCached(remove) => {
                // Files go with their blocks: not on this thread.
                let session = tasks.env().session.clone();
                tokio::task::spawn_blocking(move || session.cache_store().remove_relations(&remove.relations));
            }
            FromDriver::ReplicateCached(copy) => cached::copy(tasks, copy, reporter.clone()),
            FromDriver::Registered(_) | FromDriver::Acknowledged(_) => {}
        }
        None
    }

    fn register(&self) -> ExecutorMessage {
        let register = Register {
            executor_id: self.options.executor_id.as_str().to_owned(),
            protocol_version: PROTOCOL_VERSION.to_owned(),
            address: self.address.clone(),
            node: self.options.node.clone(),
            slots: self.options.cores,
            memory_bytes: self
                .options
                .memory_bytes
                .or_else(firesteel_engine::memory::cgroup_memory_limit)
                .unwrap_or_default(),
            process: self.process.clone(),
            generation: self.generation,
        };
        self.unnumbered(ToDriver::Register(register))
    }

    fn heartbeat(&self, tasks: &Arc<Tasks>) -> ExecutorMessage {
        self.unnumbered(ToDriver::Heartbeat(Heartbeat {
            memory_used_bytes: memory_in_use(tasks),
            disk_used_bytes: tasks.env().store.disk_used() + tasks.env().session.cache_store().used().1,
            tasks: tasks.progress(),
        }))
    }

    /// What may be lost.
    fn unnumbered(&self, message: ToDriver) -> ExecutorMessage {
        ExecutorMessage { message: Some(message), number: 0, received: self.outbox.received() }
    }

    /// What tasks need, made at the first registration: it brings the application's configuration.
    fn tasks(&self, registered: Registered) -> Result<Arc<Tasks>, ExecutorError> {
        let internal = |what: &str, e: &dyn std::fmt::Display| ExecutorError::Internal(format!("{what}: {e}"));
        let session = EngineSession::new(EngineOptions {
            conf: registered.conf.into_iter().collect(),
            mode: ExecutionMode::Cluster,
            slots: self.options.cores as usize,
            memory_bytes: self.options.memory_bytes,
            local_dirs: self.options.local_dirs.clone(),
        })
        .map_err(|e| internal("cannot start the engine", &e))?;
        let store = BlockStore::open(session.local_dirs(), self.options.executor_id.as_str())
            .map_err(|e| internal("cannot use the local directories", &e))?
            .holding(usize::try_from(session.conf().bytes(&keys::HELD_OUTPUT)).unwrap_or(0));
        let store = Arc::new(store);
        if let Ok(most) = u64::try_from(session.conf().bytes(&keys::DECOMMISSION_MAX_DISK)) {
            let _ = self.blocks.most_bytes.set(most);
        }
        let _ = self.blocks.store.set(store.clone());
        let _ = self.blocks.cached.set(session.cache_store().clone());
        let env = TaskEnvironment { session, codec: self.codec.clone(), store };
        Ok(Arc::new(Tasks::new(
            self.options.executor_id.clone(),
            self.address.clone(),
            env,
            self.driver.clone(),
            self.client.clone(),
            self.task_runtime.clone(),
            self.options.cores,
        )))
    }

    fn broken(&self, at: &DriverPlace, status: &Status) -> Ended {
        let message = status.message().to_owned();
        match status.code() {
            // The driver's address may be another's by now, who does not know this executor.
            _ if self.tasks.is_some() && status.code() != Code::FailedPrecondition => Ended::Lost(message),
            Code::Unauthenticated | Code::PermissionDenied | Code::FailedPrecondition | Code::InvalidArgument => {
                Ended::Failed(ExecutorError::Refused { address: at.address.clone(), message })
            }
            _ => Ended::Lost(message),
        }
    }
}

/// Of operators and cached blocks.
fn memory_in_use(tasks: &Tasks) -> u64 {
    let memory = tasks.env().session.memory().usage();
    (memory.execution + memory.storage) as u64
}

/// What the driver says, message by message.
struct Incoming {
    stream: Streaming<DriverMessages>,
    rest: std::vec::IntoIter<DriverMessage>,
}

impl Incoming {
    /// May be dropped while it waits: nothing is lost.
    async fn message(&mut self) -> Result<Option<DriverMessage>, Status> {
        loop {
            if let Some(message) = self.rest.next() {
                return Ok(Some(message));
            }
            let Some(more) = self.stream.message().await? else { return Ok(None) };
            self.rest = more.messages.into_iter();
        }
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// When the task has ended; never, when there is none.
async fn ended(task: Option<&mut AbortOnDrop>) {
    match task {
        Some(task) => drop((&mut task.0).await),
        None => std::future::pending().await,
    }
}
