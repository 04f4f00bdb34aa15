//! Asking the driver.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use firesteel_engine::{
    codec::{PlanCodec, ReceivedStage},
    shuffle::{MAX_MESSAGE_BYTES, MapOutputLocations},
};
use firesteel_protocol::{
    AUTH_HEADER, ExecutorId, ShuffleId,
    proto::{
        Chunk, HandoverPlan, HandoverRequest, MapOutputs, MapOutputsRequest, StagePlanRequest,
        driver_client::DriverClient,
    },
};
use parking_lot::Mutex;
use prost::Message;
use tokio::{runtime::Handle, sync::OnceCell};
use tonic::{
    Request, Status, Streaming,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use crate::ExecutorError;

/// Plans of stages kept. More than a job has stages that run at a time.
const KEPT_PLANS: usize = 64;
/// Shuffles whose locations are kept.
const KEPT_LOCATIONS: usize = 1000;
/// Waits between tries of one question double from the first to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct Token(MetadataValue<Ascii>);

impl Token {
    pub fn new(token: &str) -> Result<Self, ExecutorError> {
        let mut value: MetadataValue<Ascii> = token.parse().map_err(|_| {
            ExecutorError::Config("FIRESTEEL_AUTH_TOKEN has characters that no header may have".to_owned())
        })?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(AUTH_HEADER, self.0.clone());
        Ok(request)
    }
}

pub type Client = DriverClient<InterceptedService<Channel, Token>>;

/// What the driver knows and executors ask for, remembered.
pub struct Driver {
    token: Token,
    /// With the address that it dials.
    client: Mutex<(String, Client)>,
    /// Where questions run: they must not wait for a task's thread.
    control: Handle,
    /// How long a driver that is away is asked again.
    patience: Mutex<Duration>,
    plans: Mutex<Plans>,
    locations: Mutex<HashMap<ShuffleId, Known>>,
}

/// The locations of one shuffle. Locked while the driver is asked, so that the tasks of a stage ask once.
type Known = Arc<tokio::sync::Mutex<Option<Arc<MapOutputLocations>>>>;

/// A plan that was asked for, if the answer has come.
type Plan = Arc<OnceCell<Arc<ReceivedStage>>>;

#[derive(Default)]
struct Plans {
    /// With the count of uses at its last use.
    by_key: HashMap<u64, (u64, Plan)>,
    uses: u64,
}

/// Why a question has no answer.
#[derive(Debug)]
pub enum AskError {
    /// The driver does not answer, or says no.
    Driver(Status),
    /// It answered with bytes that make no sense.
    Answer(String),
}

impl std::fmt::Display for AskError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Driver(status) => write!(f, "the driver did not answer: {}", status.message()),
            Self::Answer(message) => f.write_str(message),
        }
    }
}

impl Driver {
    /// Dials lazily: nothing is sent before the first question.
    pub fn new(address: &str, token: Token, control: Handle, patience: Duration) -> Result<Self, ExecutorError> {
        let client = Mutex::new((address.to_owned(), client(address, token.clone())?));
        let patience = Mutex::new(patience);
        Ok(Self { token, client, control, patience, plans: Mutex::default(), locations: Mutex::default() })
    }

    pub fn be_patient_for(&self, patience: Duration) {
        *self.patience.lock() = patience;
    }

    pub fn client(&self) -> Client {
        self.client.lock().1.clone()
    }

    /// The driver is at this address from now on.
    pub fn point_to(&self, address: &str) -> Result<(), ExecutorError> {
        let mut current = self.client.lock();
        if current.0 != address {
            *current = (address.to_owned(), client(address, self.token.clone())?);
        }
        Ok(())
    }

    /// Forgets what an earlier driver said.
    pub fn forget(&self) {
        *self.plans.lock() = Plans::default();
        self.locations.lock().clear();
    }

    /// The stage of this key, asked for once however many tasks want it.
    pub async fn stage(&self, key: u64) -> Result<Arc<ReceivedStage>, AskError> {
        let cell = self.plans.lock().cell(key);
        let stage = cell
            .get_or_try_init(|| async {
                let client = self.client();
                let question = move || {
                    let mut client = client.clone();
                    async move { client.get_stage_plan(StagePlanRequest { plan_key: key }).await }
                };
                let wire = self.ask(question).await?;
                let stage = PlanCodec::receive_stage(&wire)
                    .map_err(|e| AskError::Answer(format!("the stage's plan cannot be read: {e}")))?;
                Ok(Arc::new(stage))
            })
            .await;
        stage.cloned()
    }

    /// Where the outputs of `shuffle` are, as of `epoch` or later.
    pub async fn locations(&self, shuffle: ShuffleId, epoch: u64) -> Result<Arc<MapOutputLocations>, AskError> {
        let slot = {
            let mut all = self.locations.lock();
            if all.len() >= KEPT_LOCATIONS && !all.contains_key(&shuffle) {
                all.clear();
            }
            all.entry(shuffle).or_default().clone()
        };
        let mut known = slot.lock().await;
        if let Some(known) = known.as_ref().filter(|known| known.epoch >= epoch) {
            return Ok(known.clone());
        }
        let client = self.client();
        let request = MapOutputsRequest { shuffle_id: shuffle.0, min_epoch: epoch };
        let question = move || {
            let mut client = client.clone();
            async move { client.get_map_outputs(request).await }
        };
        let bytes = self.ask(question).await?;
        let message = MapOutputs::decode(bytes)
            .map_err(|e| AskError::Answer(format!("the locations of shuffle {shuffle} cannot be read: {e}")))?;
        let new = Arc::new(MapOutputLocations::from(message));
        *known = Some(new.clone());
        Ok(new)
    }

    /// What this executor, which leaves, is to hand over, and to whom.
    pub async fn handover_plan(&self, executor: &ExecutorId) -> Result<HandoverPlan, AskError> {
        let (client, request) = (self.client(), HandoverRequest { executor_id: executor.to_string() });
        let question = move || {
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.get_handover_plan(request).await }
        };
        let bytes = self.ask(question).await?;
        HandoverPlan::decode(bytes).map_err(|e| AskError::Answer(format!("the handover plan cannot be read: {e}")))
    }

    pub fn forget_shuffle(&self, shuffle: ShuffleId) {
        self.locations.lock().remove(&shuffle);
    }

    /// Asks, again while the driver is away, and puts the answer's chunks together.
    async fn ask<F, Fut>(&self, question: F) -> Result<Bytes, AskError>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<tonic::Response<Streaming<Chunk>>, Status>> + Send + 'static,
    {
        let (began, patience) = (Instant::now(), *self.patience.lock());
        let work = async move {
            let mut wait = FIRST_WAIT;
            loop {
                let once = async {
                    let mut chunks = question().await?.into_inner();
                    let mut all = BytesMut::new();
                    while let Some(chunk) = chunks.message().await? {
                        all.extend_from_slice(&chunk.data);
                    }
                    Ok::<_, Status>(all.freeze())
                };
                let answer = tokio::time::timeout(ANSWER_WITHIN, once).await;
                let status = match answer {
                    Ok(Ok(bytes)) => return Ok(bytes),
                    Ok(Err(status)) => status,
                    Err(_) => Status::deadline_exceeded("no answer in time"),
                };
                // Of the connection, whatever its code; the driver's own answers have no source.
                let away = std::error::Error::source(&status).is_some()
                    || matches!(status.code(), tonic::Code::Unavailable | tonic::Code::DeadlineExceeded);
                if !away || began.elapsed() + wait > patience {
                    return Err(AskError::Driver(status));
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        };
        match self.control.spawn(work).await {
            Ok(result) => result,
            Err(e) => Err(AskError::Driver(Status::aborted(e.to_string()))),
        }
    }
}

fn client(address: &str, token: Token) -> Result<Client, ExecutorError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|e| ExecutorError::Config(format!("the driver's address {address:?} is none: {e}")))?
        .connect_timeout(Duration::from_secs(10))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(20))
        .keep_alive_while_idle(true);
    let channel = InterceptedService::new(endpoint.connect_lazy(), token);
    Ok(DriverClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES))
}

impl Plans {
    fn cell(&mut self, key: u64) -> Plan {
        self.uses += 1;
        let now = self.uses;
        if self.by_key.len() >= KEPT_PLANS
            && !self.by_key.contains_key(&key)
            && let Some(oldest) = self.by_key.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key)
        {
            self.by_key.remove(&oldest);
        }
        let (used, cell) = self.by_key.entry(key).or_default();
        *used = now;
        cell.clone()
    }
}
