//! Executor pods: created, watched, replaced, and deleted at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use firesteel_api::{
    DRIVER_FIELD_MANAGER, ExecutorStatus, GROUP, SparkJob, VERSION, names,
    pods::{self, AttemptContext, ExecutorArgs, warnings},
    secrets,
};
use firesteel_protocol::ExecutorId;
use firesteel_scheduler::ExecutorLossReason;
use futures::{FutureExt, StreamExt};
use k8s_openapi::{
    api::core::v1::{Event as CoreEvent, ObjectReference, Pod},
    jiff::Timestamp,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
    runtime::{
        WatchStreamExt,
        events::{Event as PersonsEvent, EventType, Recorder, Reporter},
        watcher,
        watcher::Event,
    },
};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    demand::Policy,
    fleet::{CreateError, Fleet},
    nodes::{self, Noticed},
    observe::{Loss, PodState, Trouble},
    recall::Recall,
    settings::Settings,
};
use crate::cluster::Core;

/// How often the clock and the driver's own view of its executors are looked at.
const TICK: Duration = Duration::from_millis(500);
/// How long a pod may start before Events are asked what holds it, and the time between questions.
const SILENT_FOR: Duration = Duration::from_secs(5);
/// Pods asked for in one go: what holds one mostly holds all.
const ASKED_AT_ONCE: usize = 4;
/// Asked of the API server for one pod.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// An executor that was told to leave must be gone so soon after its grace.
const LEFT_WITHIN: Duration = Duration::from_secs(20);
/// How long the end waits for pods that are being made: what is made after all of them were deleted has no one to delete it.
const MADE_WITHIN: Duration = Duration::from_secs(5);
/// Seconds for executors that were told to end and did not.
const LAST_GRACE: u32 = 5;

/// Keeps an application's executors until stopped.
pub struct Allocation {
    api: Api<Pod>,
    jobs: Api<SparkJob>,
    events: Api<CoreEvent>,
    core: Arc<Core>,
    recorder: Arc<Recorder>,
    context: AttemptContext,
    driver_address: String,
    driver_pod: (String, String),
    /// Values that no message may hold.
    secrets: BTreeMap<String, String>,
    fleet: Fleet,
    /// Without it the number of executors stays.
    policy: Option<Policy>,
    noticed: Noticed,
    client: Client,
    status: watch::Sender<ExecutorStatus>,
    creating: JoinSet<(u64, Result<(), CreateError>)>,
    /// UIDs of the pods that were seen.
    uids: BTreeMap<u64, String>,
    /// Asks Events what silent pods wait for; at most one question at a time.
    asking: JoinSet<Vec<(u64, Trouble)>>,
    not_asked_before: Instant,
    /// Ids of a list of pods that is coming in, and when it began.
    listing: Option<(BTreeSet<u64>, Instant)>,
    /// Sends for the executors of the driver before this one.
    recall: Recall,
}

impl Allocation {
    /// The status can be read through the receiver from now on.
    pub fn new(client: &Client, core: Arc<Core>, settings: &Settings) -> (Self, watch::Receiver<ExecutorStatus>) {
        let context = settings.context.clone();
        let scaling = &context.plan.scaling;
        let fleet = Fleet::new(scaling.initial, scaling.creation.clone());
        let slots = context.plan.executor.resources.cores;
        let policy = scaling.dynamic.clone().map(|rules| Policy::new(rules, slots, scaling.initial));
        let (status, receiver) = watch::channel(fleet.status(context.attempt));
        let recall = Recall::new(core.clone(), settings);
        let reporter = Reporter { controller: DRIVER_FIELD_MANAGER.into(), instance: Some(settings.pod_name.clone()) };
        let allocation = Self {
            recorder: Arc::new(Recorder::new(client.clone(), reporter)),
            api: Api::namespaced(client.clone(), &context.namespace),
            jobs: Api::namespaced(client.clone(), &context.namespace),
            events: Api::namespaced(client.clone(), &context.namespace),
            core,
            context,
            driver_address: settings.driver_address.to_string(),
            driver_pod: (settings.pod_name.clone(), settings.pod_uid.clone()),
            secrets: settings.secrets.clone(),
            fleet,
            policy,
            noticed: Noticed::default(),
            client: client.clone(),
            status,
            creating: JoinSet::new(),
            uids: BTreeMap::new(),
            asking: JoinSet::new(),
            not_asked_before: Instant::now(),
            listing: None,
            recall,
        };
        (allocation, receiver)
    }

    /// The executors of the driver before this one, once they are known.
    pub fn inherited(&self) -> watch::Receiver<Option<Vec<ExecutorId>>> {
        self.recall.inherited()
    }

    /// Until `stop`; earlier, with the cause, when no executor can ever be had.
    pub async fn run(mut self, stop: CancellationToken) -> Option<Trouble> {
        let config = watcher::Config::default().labels(&self.context.executor_selector());
        let mut events = pin!(watcher(self.api.clone(), config).default_backoff());
        let mut notices = pin!(nodes::watch(&self.client));
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    let made = async { while self.creating.join_next().await.is_some() {} };
                    let _ = tokio::time::timeout(MADE_WITHIN, made).await;
                    return None;
                }
                Some(event) = events.next() => match event {
                    Ok(event) => self.event(event),
                    Err(error) => tracing::warn!(%error, "the watch of executor pods broke; it is taken up again"),
                },
                Some(notice) = notices.next() => self.noticed.take(notice),
                Some(done) = self.creating.join_next() => match done {
                    Ok((id, Ok(()))) => self.fleet.created(id, Instant::now()),
                    Ok((id, Err(error))) => {
                        tracing::warn!(executor = id, ?error, "executor pod not created");
                        self.fleet.not_created(id, error, Instant::now());
                    }
                    Err(error) => tracing::error!(%error, "creating an executor pod ended badly"),
                },
                Some(answer) = self.asking.join_next() => {
                    for (id, mut trouble) in answer.unwrap_or_default() {
                        trouble.message = self.clean(&trouble.message);
                        self.fleet.explain(id, trouble);
                    }
                }
                _ = ticks.tick() => {
                    self.recall.send();
                    self.compare();
                    self.scale();
                    self.ask();
                }
            }
            // Which pods there are must be known before any is made in their place.
            if self.recall.is_over_pods() {
                self.create();
            }
            self.publish();
            if let Some(trouble) = self.fleet.hopeless() {
                return Some(trouble);
            }
        }
    }

    fn event(&mut self, event: Event<Pod>) {
        let now = Instant::now();
        match event {
            Event::Init => self.listing = Some((BTreeSet::new(), now)),
            Event::InitApply(pod) => {
                if let (Some(id), Some((listed, _))) = (executor_id(&pod), &mut self.listing) {
                    listed.insert(id);
                }
                self.seen(&pod, now);
            }
            Event::InitDone => {
                let Some((listed, since)) = self.listing.take() else { return };
                for id in self.fleet.absent(&listed, since) {
                    self.gone(id, now);
                }
                self.recall.listed();
            }
            Event::Apply(pod) => self.seen(&pod, now),
            Event::Delete(pod) => {
                // Its last state may tell more than its absence.
                self.seen(&pod, now);
                if let Some(id) = executor_id(&pod) {
                    self.gone(id, now);
                }
            }
        }
    }

    fn seen(&mut self, pod: &Pod, now: Instant) {
        let Some(id) = executor_id(pod) else { return };
        self.recall.seen(id, pod);
        if let Some(uid) = &pod.metadata.uid {
            self.uids.insert(id, uid.clone());
        }
        let loss = self.fleet.seen(id, PodState::of(pod, Timestamp::now()), now);
        self.tell(id, loss);
    }

    fn gone(&mut self, id: u64, now: Instant) {
        let name = self.context.executor_pod_name(id);
        let loss = self.fleet.gone(id, &name, now);
        self.uids.remove(&id);
        self.tell(id, loss);
    }

    fn tell(&self, id: u64, loss: Option<Loss>) {
        if let Some(mut loss) = loss {
            loss.trouble.message = self.clean(&loss.trouble.message);
            tracing::info!(
                executor = id,
                reason = loss.trouble.reason.as_str(),
                detail = loss.trouble.message,
                "executor pod ended"
            );
            let wanted = loss.why == ExecutorLossReason::Released;
            self.core.executor_lost(&ExecutorId::new(id.to_string()), loss.why);
            if !wanted {
                self.announce(loss.trouble);
            }
        }
    }

    /// An Event on the job. Events are a courtesy: one that cannot be written is logged and forgotten.
    fn announce(&self, trouble: Trouble) {
        let event = PersonsEvent {
            type_: EventType::Warning,
            reason: trouble.reason.as_str().to_owned(),
            note: Some(trouble.message),
            action: "ReplaceExecutor".to_owned(),
            secondary: None,
        };
        let job = ObjectReference {
            api_version: Some(format!("{GROUP}/{VERSION}")),
            kind: Some("SparkJob".to_owned()),
            name: Some(self.context.job.clone()),
            namespace: Some(self.context.namespace.clone()),
            uid: Some(self.context.uid.clone()),
            ..ObjectReference::default()
        };
        let recorder = self.recorder.clone();
        tokio::spawn(async move {
            if let Err(error) = recorder.publish(&event, &job).await {
                tracing::warn!(%error, "cannot write an Event");
            }
        });
    }

    /// A pod's message can hold the last lines of a program.
    fn clean(&self, text: &str) -> String {
        secrets::scrub(text, &self.secrets)
    }

    /// What the driver's service knows of executors against what their pods look like.
    fn compare(&mut self) {
        let registered = self.core.registered_ids().iter().filter_map(|id| id.to_string().parse().ok()).collect();
        let given_up = self.fleet.registered(&registered, Instant::now());
        for id in given_up.into_iter().chain(self.fleet.surplus()) {
            self.delete(id);
        }
    }

    /// Asks for more executors, lets others go.
    fn scale(&mut self) {
        let now = Instant::now();
        if let Some(policy) = &mut self.policy {
            let decision = policy.decide(now, &self.core.load());
            let patience = policy.patience();
            self.fleet.set_desired(decision.target);
            for id in decision.release {
                if self.fleet.dismiss(id, now) {
                    self.core.decommission(&ExecutorId::new(id.to_string()), None);
                }
            }
            for id in self.fleet.excess(patience, now) {
                self.fleet.dismiss(id, now);
                self.delete(id);
            }
        }
        let noticed = if self.noticed.is_empty() { Vec::new() } else { self.core.executors() };
        for executor in noticed {
            let (Some(why), Ok(id)) = (self.noticed.why(&executor.node), executor.id.parse()) else { continue };
            if self.fleet.dismiss(id, now) {
                self.core.decommission(&ExecutorId::from(executor.id), Some(&why));
            }
        }
        let grace = Duration::from_secs(self.context.plan.scaling.grace.leave) + LEFT_WITHIN;
        for id in self.fleet.overdue(grace, now) {
            self.delete(id);
        }
        for id in self.fleet.never_seen(now) {
            self.delete(id);
            self.gone(id, now);
        }
    }

    /// Looks among Events for what pods wait for whose status does not say: a volume that cannot be mounted is told nowhere
    /// else.
    fn ask(&mut self) {
        let now = Instant::now();
        if now < self.not_asked_before || !self.asking.is_empty() {
            return;
        }
        let silent: Vec<(u64, String)> = self
            .fleet
            .silent(SILENT_FOR, now)
            .into_iter()
            .filter_map(|id| Some((id, self.uids.get(&id)?.clone())))
            .take(ASKED_AT_ONCE)
            .collect();
        if silent.is_empty() {
            return;
        }
        self.not_asked_before = now + SILENT_FOR;
        let (api, context) = (self.events.clone(), self.context.clone());
        self.asking.spawn(async move {
            let mut found = Vec::new();
            for (id, uid) in silent {
                let about = ListParams::default().fields(&warnings::selector(&uid));
                let Ok(Ok(events)) = tokio::time::timeout(REQUEST_TIMEOUT, api.list(&about)).await else { break };
                if let Some((reason, detail)) = warnings::why_not_started(&events.items) {
                    let name = context.executor_pod_name(id);
                    found.push((
                        id,
                        Trouble { reason, message: format!("executor pod {name} does not start: {detail}") },
                    ));
                }
            }
            found
        });
    }

    fn create(&mut self) {
        let wanted = self.fleet.next_pods(Instant::now());
        if wanted.is_empty() {
            return;
        }
        // An executor is lost too because its job is being deleted. One in its place would have no owner, and Kubernetes
        // collects such pods late.
        let wanted_still = job_is_there(self.jobs.clone(), self.context.job.clone(), self.context.uid.clone()).shared();
        for id in wanted {
            let args = ExecutorArgs {
                executor_id: id,
                driver_address: &self.driver_address,
                driver_pod_name: &self.driver_pod.0,
                driver_pod_uid: &self.driver_pod.1,
            };
            let pod = pods::executor_pod(&self.context, &args);
            let (api, wanted_still) = (self.api.clone(), wanted_still.clone());
            self.creating.spawn(async move {
                let result = match pod {
                    Ok(_) if !wanted_still.await => Err(CreateError::JobDeleted),
                    Ok(pod) => create(&api, &pod).await,
                    Err(problem) => Err(CreateError::Refused { code: 422, message: problem.to_string() }),
                };
                (id, result)
            });
        }
    }

    fn delete(&self, id: u64) {
        let name = self.context.executor_pod_name(id);
        let api = self.api.clone();
        tokio::spawn(async move {
            match api.delete(&name, &DeleteParams::default().grace_period(LAST_GRACE)).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                Err(error) => tracing::warn!(pod = name, %error, "cannot delete an executor pod"),
            }
        });
    }

    fn publish(&self) {
        let mut status = self.fleet.status(self.context.attempt);
        status.last_failure_message = status.last_failure_message.map(|text| self.clean(&text));
        self.status.send_if_modified(|old| {
            let changed = *old != status;
            if changed {
                *old = status;
            }
            changed
        });
    }
}

/// Deletes all executor pods of the attempt.
pub async fn delete_all(client: &Client, context: &AttemptContext) {
    let api: Api<Pod> = Api::namespaced(client.clone(), &context.namespace);
    let params = DeleteParams::default().grace_period(LAST_GRACE);
    if let Err(error) =
        api.delete_collection(&params, &ListParams::default().labels(&context.executor_selector())).await
    {
        tracing::warn!(%error, "cannot delete the executor pods; they go with the driver's pod");
    }
}

/// Whether the job is there and stays. An API server that does not answer has not said that it is gone.
async fn job_is_there(jobs: Api<SparkJob>, name: String, uid: String) -> bool {
    match tokio::time::timeout(REQUEST_TIMEOUT, jobs.get_metadata(&name)).await {
        Ok(Ok(job)) => job.metadata.deletion_timestamp.is_none() && job.metadata.uid.is_none_or(|now| now == uid),
        Ok(Err(kube::Error::Api(status))) => !status.is_not_found(),
        Ok(Err(_)) | Err(_) => true,
    }
}

async fn create(api: &Api<Pod>, pod: &Pod) -> Result<(), CreateError> {
    let created = tokio::time::timeout(REQUEST_TIMEOUT, api.create(&PostParams::default(), pod)).await;
    match created {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) if status.is_already_exists() => Err(CreateError::NameTaken),
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 400 | 403 | 404 | 413 | 422) => {
            Err(CreateError::Refused { code: status.code, message: status.message })
        }
        Ok(Err(error)) => Err(CreateError::Unavailable { message: error.to_string() }),
        Err(_) => {
            Err(CreateError::Unavailable { message: format!("no answer within {} s", REQUEST_TIMEOUT.as_secs()) })
        }
    }
}

fn executor_id(pod: &Pod) -> Option<u64> {
    pod.labels().get(names::LABEL_EXECUTOR)?.parse().ok()
}
