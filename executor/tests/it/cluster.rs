//! A driver that runs stages one after the other and knows just enough to do so.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use datafusion::{
    arrow::array::RecordBatch,
    common::{DataFusionError, Result, ScalarValue, exec_datafusion_err},
    logical_expr::ScalarUDF,
    physical_plan::{ExecutionPlan, SendableRecordBatchStream},
};
use firesteel_engine::{
    codec::{Functions, PlanCodec},
    shuffle::{BlockClient, BlockSources, MapOutputId, ShuffleTier, fetch_result},
    stage::{Stage, StageGraph, cut, inline_scalar_subqueries},
    storage::Stores,
};
use firesteel_executor::{ExecutorOptions, InProcessExecutor, start_in_process_with};
use firesteel_plan::SparkConf;
use firesteel_protocol::{
    AUTH_HEADER, ExecutorId, ShuffleId, StageId, TaskAttemptId, TaskId,
    proto::{
        self, Chunk, DriverMessage, DriverMessages, ExecutorMessage, ExecutorMessages, HandoverPlan, HandoverRequest,
        LaunchTask, MapOutputs, MapOutputsRequest, OutputLocation, Registered, ShuffleInput, StagePlanRequest,
        TaskFailure, TaskMetrics, TaskOutput,
        driver_message::Message as ToExecutor,
        driver_server::{Driver, DriverServer},
        executor_message::Message as FromExecutor,
        task_failure::Cause,
    },
};
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream::BoxStream};
use parking_lot::Mutex;
use prost::Message;
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};

pub const TOKEN: &str = "a secret of the tests";

/// What the tests' driver knows.
#[derive(Default)]
pub struct State {
    conf: HashMap<String, String>,
    executors: Mutex<HashMap<String, Registration>>,
    plans: Mutex<HashMap<u64, Bytes>>,
    outputs: Mutex<HashMap<u32, Outputs>>,
    waiting: Mutex<HashMap<u64, (String, oneshot::Sender<Outcome>)>>,
    pub heartbeats: AtomicU64,
    pub leaving: Mutex<Vec<String>>,
    stopped: AtomicBool,
}

struct Registration {
    address: String,
    tell: mpsc::Sender<Result<DriverMessage, Status>>,
}

#[derive(Clone, Default)]
struct Outputs {
    epoch: u64,
    num_maps: u32,
    num_partitions: u32,
    /// Executor and attempt of each map.
    homes: HashMap<u32, (String, u64)>,
}

pub type Outcome = Result<Done, TaskFailure>;

#[derive(Debug, Clone)]
pub struct Done {
    pub executor: String,
    pub attempt: u64,
    pub sizes: Vec<u64>,
    pub metrics: TaskMetrics,
}

#[derive(Clone)]
struct Service(Arc<State>);

fn chunks(bytes: Bytes) -> BoxStream<'static, Result<Chunk, Status>> {
    let pieces: Vec<_> = bytes.chunks(64 << 10).map(|c| Ok(Chunk { data: Bytes::copy_from_slice(c) })).collect();
    futures::stream::iter(pieces).boxed()
}

#[tonic::async_trait]
impl Driver for Service {
    type AttachStream = BoxStream<'static, Result<DriverMessages, Status>>;
    type GetStagePlanStream = BoxStream<'static, Result<Chunk, Status>>;
    type GetMapOutputsStream = BoxStream<'static, Result<Chunk, Status>>;
    type GetHandoverPlanStream = BoxStream<'static, Result<Chunk, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<ExecutorMessages>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        if request.metadata().get(AUTH_HEADER).is_none_or(|token| token.as_bytes() != TOKEN.as_bytes()) {
            return Err(Status::unauthenticated("wrong token"));
        }
        if self.0.stopped.load(Ordering::Relaxed) {
            return Err(Status::unavailable("the driver is gone"));
        }
        let mut messages = request.into_inner();
        let (tell, told) = mpsc::channel(1000);
        let first = messages.message().await?.and_then(|m| m.messages.into_iter().next()?.message);
        let Some(FromExecutor::Register(register)) = first else {
            return Err(Status::invalid_argument("register first"));
        };
        let registered =
            Registered { conf: self.0.conf.clone(), heartbeat_interval_ms: 100, generation: 1, resumed: false };
        tell.send(Ok(DriverMessage { number: 0, received: 0, message: Some(ToExecutor::Registered(registered)) }))
            .await
            .unwrap();
        let id = register.executor_id;
        self.0.executors.lock().insert(id.clone(), Registration { address: register.address, tell });
        let state = self.0.clone();
        tokio::spawn(async move {
            while let Ok(Some(more)) = messages.message().await {
                more.messages.into_iter().for_each(|message| state.heard(&id, message));
            }
            state.lost(&id);
        });
        let one_by_one = ReceiverStream::new(told).map_ok(|message| DriverMessages { messages: vec![message] });
        Ok(Response::new(one_by_one.boxed()))
    }

    async fn get_stage_plan(
        &self,
        request: Request<StagePlanRequest>,
    ) -> Result<Response<Self::GetStagePlanStream>, Status> {
        let plan = self.0.plans.lock().get(&request.into_inner().plan_key).cloned();
        Ok(Response::new(chunks(plan.ok_or_else(|| Status::not_found("no such plan"))?)))
    }

    async fn get_map_outputs(
        &self,
        request: Request<MapOutputsRequest>,
    ) -> Result<Response<Self::GetMapOutputsStream>, Status> {
        let shuffle = request.into_inner().shuffle_id;
        let outputs = self.0.outputs.lock().get(&shuffle).cloned();
        let outputs = outputs.ok_or_else(|| Status::not_found("no such shuffle"))?;
        let mut by_executor: HashMap<String, OutputLocation> = HashMap::new();
        for (map, (executor, attempt)) in &outputs.homes {
            let address = self.0.executors.lock().get(executor).map(|r| r.address.clone()).unwrap_or_default();
            let location = by_executor.entry(executor.clone()).or_default();
            location.executor_id = executor.clone();
            location.address = address;
            location.map_indexes.push(*map);
            location.attempts.push(*attempt);
        }
        let message = MapOutputs {
            epoch: outputs.epoch,
            locations: by_executor.into_values().collect(),
            num_maps: outputs.num_maps,
            num_partitions: outputs.num_partitions,
            stored_as: shuffle,
        };
        Ok(Response::new(chunks(message.encode_to_vec().into())))
    }

    /// Outputs stay where they are.
    async fn get_handover_plan(
        &self,
        _: Request<HandoverRequest>,
    ) -> Result<Response<Self::GetHandoverPlanStream>, Status> {
        Ok(Response::new(chunks(HandoverPlan::default().encode_to_vec().into())))
    }
}

impl State {
    fn heard(&self, executor: &str, message: ExecutorMessage) {
        match message.message.unwrap() {
            FromExecutor::TaskFinished(done) => {
                let attempt = done.id.unwrap().attempt;
                if let Some((_, waiting)) = self.waiting.lock().remove(&attempt) {
                    let sizes = done.output.unwrap().sizes;
                    let metrics = done.metrics.unwrap();
                    let _ = waiting.send(Ok(Done { executor: executor.to_owned(), attempt, sizes, metrics }));
                }
            }
            FromExecutor::TaskFailed(failed) => {
                if let Some((_, waiting)) = self.waiting.lock().remove(&failed.id.unwrap().attempt) {
                    let _ = waiting.send(Err(failed.failure.unwrap()));
                }
            }
            FromExecutor::Heartbeat(_) => {
                self.heartbeats.fetch_add(1, Ordering::Relaxed);
            }
            FromExecutor::CachedBlocks(_) => {}
            FromExecutor::Leaving(_) => self.leaving.lock().push(executor.to_owned()),
            FromExecutor::OutputsMoved(_) => panic!("nobody asked for it"),
            FromExecutor::Register(_) => panic!("registered twice on one stream"),
            FromExecutor::Inventory(_) => {}
        }
    }

    fn lost(&self, executor: &str) {
        self.executors.lock().remove(executor);
        let mut waiting = self.waiting.lock();
        let lost: Vec<u64> = waiting.iter().filter(|(_, (id, _))| id == executor).map(|(a, _)| *a).collect();
        for attempt in lost {
            if let Some((_, waiting)) = waiting.remove(&attempt) {
                let message = format!("executor {executor} was lost");
                let cause = Cause::InternalError(proto::InternalError { message, retryable: true });
                let _ = waiting.send(Err(TaskFailure { cause: Some(cause) }));
            }
        }
    }
}

pub struct Cluster {
    pub state: Arc<State>,
    pub executors: Mutex<Vec<InProcessExecutor>>,
    pub dirs: Vec<TempDir>,
    pub address: SocketAddr,
    codec: PlanCodec,
    client: BlockClient,
    next_shuffle: AtomicU32,
    next_attempt: AtomicU64,
    next_plan: AtomicU64,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub struct ClusterOptions {
    pub executors: usize,
    pub cores: u32,
    pub memory_bytes: u64,
    pub conf: Vec<(&'static str, &'static str)>,
    /// Instead of temporary folders.
    pub local_dir: Option<std::path::PathBuf>,
    /// Functions that plans may call besides the standard ones.
    pub functions: Vec<Arc<ScalarUDF>>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self { executors: 2, cores: 2, memory_bytes: 1 << 30, conf: vec![], local_dir: None, functions: vec![] }
    }
}

impl Cluster {
    pub async fn start(options: ClusterOptions) -> Self {
        // Tests look at the files of outputs, and damage them.
        let files = [("firesteel.shuffle.maxHeldOutput", "0")];
        let conf = files.iter().chain(&options.conf).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let state = Arc::new(State { conf, ..State::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = DriverServer::new(Service(state.clone()));
        let serve = Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move { serve.await.unwrap() });
        let dirs: Vec<TempDir> = (0..options.executors).map(|_| TempDir::new().unwrap()).collect();
        let functions = Functions::datafusion().with_scalar(options.functions.clone());
        let codec = PlanCodec::standard().with_functions(functions);
        let executors = (0..options.executors)
            .map(|i| {
                let dir = options.local_dir.clone().unwrap_or_else(|| dirs[i].path().to_owned());
                let its = executor_options(address, &format!("exec-{i}"), &options, dir);
                start_in_process_with(its, codec.clone()).unwrap()
            })
            .collect();
        let cluster = Self {
            state,
            executors: Mutex::new(executors),
            dirs,
            address,
            codec,
            client: BlockClient::new(TOKEN, Duration::from_secs(5)).unwrap(),
            next_shuffle: AtomicU32::new(0),
            next_attempt: AtomicU64::new(0),
            next_plan: AtomicU64::new(0),
            server,
        };
        cluster.wait_for(|state| state.executors.lock().len() == options.executors).await;
        cluster
    }

    pub async fn wait_for(&self, ready: impl Fn(&State) -> bool) {
        for _ in 0..1000 {
            if ready(&self.state) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("waited for 20 s");
    }

    fn sources(&self) -> BlockSources {
        let tier = ShuffleTier::new(Arc::new(Stores::new(&SparkConf::new())));
        BlockSources { client: self.client.clone(), tier, locations: None }
    }

    pub fn registered(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.state.executors.lock().keys().cloned().collect();
        ids.sort();
        ids
    }

    pub async fn tell(&self, executor: &str, message: ToExecutor) {
        let tell = self.state.executors.lock().get(executor).map(|r| r.tell.clone());
        if let Some(tell) = tell {
            let _ = tell.send(Ok(DriverMessage { number: 0, received: 0, message: Some(message) })).await;
        }
    }

    /// Runs a query to its end and answers its rows.
    pub fn run(&self, plan: Arc<dyn ExecutionPlan>) -> BoxFuture<'_, Result<Vec<RecordBatch>, TaskFailure>> {
        async move {
            let plan = self.inline(plan).await?;
            let graph = self.cut(plan);
            for stage in &graph.stages {
                self.run_stage(stage).await?;
            }
            self.results(graph.result().unwrap()).await.map_err(|e| firesteel_engine::task::task_failure(&e))
        }
        .boxed()
    }

    pub fn cut(&self, plan: Arc<dyn ExecutionPlan>) -> StageGraph {
        cut(plan, &mut |_| ShuffleId(self.next_shuffle.fetch_add(1, Ordering::Relaxed))).unwrap()
    }

    async fn inline(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>, TaskFailure> {
        let mut evaluate = |subquery: Arc<dyn ExecutionPlan>| -> BoxFuture<'_, Result<ScalarValue>> {
            async move {
                let data_type = subquery.schema().field(0).data_type().clone();
                let batches = self.run(subquery).await.map_err(|e| exec_datafusion_err!("a subquery failed: {e:?}"))?;
                match batches.iter().find(|b| b.num_rows() > 0) {
                    Some(batch) => ScalarValue::try_from_array(batch.column(0), 0),
                    None => ScalarValue::try_from(&data_type),
                }
            }
            .boxed()
        };
        let inlined = inline_scalar_subqueries(plan, &mut evaluate).await;
        inlined.map_err(|e: DataFusionError| firesteel_engine::task::task_failure(&e))
    }

    /// Runs every task of a stage.
    pub async fn run_stage(&self, stage: &Stage) -> Result<Vec<Done>, TaskFailure> {
        let tasks: Vec<usize> = (0..stage.num_tasks).collect();
        self.run_tasks(stage, &tasks).await
    }

    /// Runs these tasks of a stage, spread over the executors, and remembers where their outputs are.
    pub async fn run_tasks(&self, stage: &Stage, tasks: &[usize]) -> Result<Vec<Done>, TaskFailure> {
        let encoded = match self.codec.encode_stage(stage, &self.state.conf) {
            Ok(encoded) => encoded,
            Err(e) => panic!("cannot encode {:?}: {e}", stage.plan),
        };
        let key = self.add_plan(encoded.wire.clone());
        self.launch(stage, tasks, key, |task| encoded.splits(task).to_vec()).await
    }

    /// Launches tasks of a plan that is registered under `key`, and waits for their ends.
    pub async fn launch(
        &self,
        stage: &Stage,
        tasks: &[usize],
        key: u64,
        splits: impl Fn(usize) -> Vec<proto::ScanSplit>,
    ) -> Result<Vec<Done>, TaskFailure> {
        let executors = self.registered();
        let mut outcomes = Vec::new();
        for task in tasks {
            let executor = executors[task % executors.len()].clone();
            let (launch, outcome) = self.prepare(stage, *task, key, splits(*task), &executor);
            self.tell(&executor, ToExecutor::LaunchTask(launch)).await;
            outcomes.push((*task, outcome));
        }
        let mut done = Vec::new();
        let mut failed = None;
        for (task, outcome) in outcomes {
            match outcome.await.expect("an answer for every task") {
                Ok(ok) => {
                    assert_eq!(ok.sizes.len(), stage.num_reducers());
                    let mut outputs = self.state.outputs.lock();
                    let outputs = outputs.entry(stage.shuffle.0).or_default();
                    outputs.num_maps = stage.num_tasks as u32;
                    outputs.num_partitions = stage.num_reducers() as u32;
                    outputs.epoch += 1;
                    outputs.homes.insert(task as u32, (ok.executor.clone(), ok.attempt));
                    done.push(ok);
                }
                Err(failure) => failed = Some(failure),
            }
        }
        failed.map_or(Ok(done), Err)
    }

    pub fn prepare(
        &self,
        stage: &Stage,
        task: usize,
        plan_key: u64,
        splits: Vec<proto::ScanSplit>,
        executor: &str,
    ) -> (LaunchTask, oneshot::Receiver<Outcome>) {
        let attempt = self.next_attempt.fetch_add(1, Ordering::Relaxed);
        let id = TaskAttemptId {
            task: TaskId { stage: StageId(stage.index as u32), partition: task as u32 },
            stage_attempt: 0,
            attempt,
        };
        let (tell, outcome) = oneshot::channel();
        self.state.waiting.lock().insert(attempt, (executor.to_owned(), tell));
        let inputs = stage
            .inputs
            .iter()
            .map(|input| ShuffleInput {
                shuffle_id: input.shuffle.0,
                epoch: self.state.outputs.lock().get(&input.shuffle.0).map_or(0, |o| o.epoch),
            })
            .collect();
        let output = TaskOutput {
            shuffle_id: stage.shuffle.0,
            num_partitions: stage.num_reducers() as u32,
            ..TaskOutput::default()
        };
        let launch = LaunchTask {
            id: Some(id.into()),
            plan_key,
            splits,
            output: Some(output),
            inputs,
            job_id: 1,
            cached: vec![],
        };
        (launch, outcome)
    }

    /// The rows of the result stage's tasks, in the order of the tasks.
    pub async fn results(&self, stage: &Stage) -> Result<Vec<RecordBatch>> {
        let mut rows = Vec::new();
        for map in 0..stage.num_tasks as u32 {
            let (executor, attempt) = self.state.outputs.lock()[&stage.shuffle.0].homes[&map].clone();
            let address = self.state.executors.lock().get(&executor).map(|r| r.address.clone()).unwrap_or_default();
            let id = MapOutputId { shuffle: stage.shuffle, map, attempt };
            let stream: SendableRecordBatchStream =
                fetch_result(&self.sources(), Some(ExecutorId::new(executor)), &address, id, stage.plan.schema());
            rows.extend(stream.try_collect::<Vec<_>>().await?);
        }
        Ok(rows)
    }

    pub fn add_plan(&self, wire: Bytes) -> u64 {
        let key = self.next_plan.fetch_add(1, Ordering::Relaxed);
        self.state.plans.lock().insert(key, wire);
        key
    }

    /// The attempt that the next launched task gets.
    pub fn next_attempt(&self) -> u64 {
        self.next_attempt.load(Ordering::Relaxed)
    }

    /// The maps of a shuffle whose outputs no living executor has.
    pub fn lost_maps(&self, shuffle: ShuffleId) -> Vec<usize> {
        let living = self.registered();
        let outputs = self.state.outputs.lock();
        let homes = &outputs[&shuffle.0].homes;
        let mut lost: Vec<_> =
            homes.iter().filter(|(_, (id, _))| !living.contains(id)).map(|(map, _)| *map as usize).collect();
        lost.sort_unstable();
        lost
    }

    pub fn executor_address(&self, executor: &str) -> String {
        self.state.executors.lock()[executor].address.clone()
    }

    /// The driver is gone, as by SIGKILL.
    pub fn stop_driver(&self) {
        self.state.stopped.store(true, Ordering::Relaxed);
        self.state.executors.lock().clear();
    }

    /// The files of a shuffle on all executors.
    pub fn output_files(&self, shuffle: ShuffleId) -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        for dir in &self.dirs {
            for root in std::fs::read_dir(dir.path()).unwrap() {
                let dir = root.unwrap().path().join(format!("shuffle-{shuffle}"));
                found.extend(std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()));
            }
        }
        found.sort();
        found
    }
}

pub fn executor_options(
    driver: SocketAddr,
    id: &str,
    options: &ClusterOptions,
    local_dir: std::path::PathBuf,
) -> ExecutorOptions {
    ExecutorOptions {
        driver_address: driver.to_string(),
        executor_id: ExecutorId::new(id),
        auth_token: TOKEN.to_owned(),
        cores: options.cores,
        memory_bytes: Some(options.memory_bytes),
        host: "127.0.0.1".to_owned(),
        bind: None,
        port: 0,
        node: "here".to_owned(),
        local_dirs: vec![local_dir],
        reconnect_for: Duration::from_secs(2),
        grace: Duration::from_secs(5),
    }
}
