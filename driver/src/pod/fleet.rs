//! The executors of an application: which there are, which were lost, which to create. Pure: what was seen and the time in,
//! what to do out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use firesteel_api::{ExecutorStatus, Reason, scaling::Creation, status::bounded};
use firesteel_scheduler::ExecutorLossReason;

use super::observe::{Loss, PodState, Trouble};

/// Pods of ended executors that are kept, for their logs, while the application runs.
const KEEP_ENDED: usize = 8;
const LONGEST_WAIT_SECS: u64 = 32;
/// Refusals in a row, for a cause that will not pass, after which nothing more is tried when there is no executor.
const MAX_REFUSALS: u32 = 3;
const MAX_MESSAGE: usize = 1024;

pub struct Fleet {
    desired: u32,
    creation: Creation,
    /// When the next batch may be created.
    next_batch: Option<Instant>,
    next_id: u64,
    members: BTreeMap<u64, Member>,
    /// Losses since the beginning.
    failed: u32,
    last_loss: Option<Trouble>,
    /// Why the last pod could not be created, until one can.
    refused: Option<Trouble>,
    permanent_refusals: u32,
    /// Failures to create, or executors that ended before they registered, in a row.
    setbacks: u32,
    not_before: Option<Instant>,
}

struct Member {
    pod: Pod,
    /// The API server has taken it, as far as is known.
    created: Option<Instant>,
    registered: bool,
    /// Told to leave, and when: another takes its place if one is wanted, and its end is no loss.
    dismissed: Option<Instant>,
    /// Its pod was deleted for that.
    deleted: bool,
}

enum Pod {
    /// Not seen by the watch yet.
    Requested,
    Seen(PodState),
    Ended,
}

/// Why a pod could not be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateError {
    /// The API server said no.
    Refused { code: u16, message: String },
    /// A pod of that name is there, of an earlier job.
    NameTaken,
    /// It could not be reached, or is busy.
    Unavailable { message: String },
    /// There is no job to make it for.
    JobDeleted,
}

impl Fleet {
    pub fn new(desired: u32, creation: Creation) -> Self {
        Self {
            desired,
            creation,
            next_batch: None,
            next_id: 1,
            members: BTreeMap::new(),
            failed: 0,
            last_loss: None,
            refused: None,
            permanent_refusals: 0,
            setbacks: 0,
            not_before: None,
        }
    }

    /// How many executors there should be from now on.
    pub fn set_desired(&mut self, desired: u32) {
        self.desired = desired;
    }

    /// Ids of the pods to create now; never one twice.
    pub fn next_pods(&mut self, now: Instant) -> Vec<u64> {
        if self.not_before.is_some_and(|at| now < at) || self.next_batch.is_some_and(|at| now < at) {
            return Vec::new();
        }
        let count = |of: &dyn Fn(&Member) -> bool| self.members.values().filter(|m| of(m)).count();
        let in_flight = count(&|m| m.created.is_none());
        let missing = (self.desired as usize).saturating_sub(count(&Member::counts));
        let pending = count(&|m| m.counts() && !m.registered);
        // After a setback one pod at a time shows whether it is over.
        let batch = if self.setbacks > 0 { 1 } else { self.creation.batch as usize };
        let room = [
            batch.saturating_sub(in_flight),
            (self.creation.max_pending as usize).saturating_sub(pending),
            usize::try_from(self.left_to_make()).unwrap_or(usize::MAX),
        ];
        let ids: Vec<u64> = (self.next_id..).take(room.into_iter().fold(missing, usize::min)).collect();
        for id in &ids {
            self.next_id = id + 1;
            self.members.insert(*id, Member::requested());
        }
        if !ids.is_empty() {
            self.next_batch = Some(now + self.creation.delay);
        }
        ids
    }

    /// Pods that may still be made.
    fn left_to_make(&self) -> u64 {
        u64::from(self.creation.maximum).saturating_sub(self.next_id - 1)
    }

    /// This executor is told to leave, by the driver's wish. False when it was before, or is not there.
    pub fn dismiss(&mut self, id: u64, now: Instant) -> bool {
        let Some(member) = self.members.get_mut(&id).filter(|m| m.dismissed.is_none()) else { return false };
        member.dismissed = Some(now);
        true
    }

    /// Pods that nobody needs any more and that have not become executors for so long: the youngest first.
    pub fn excess(&self, patience: Duration, now: Instant) -> Vec<u64> {
        let too_many = self.members.values().filter(|m| m.counts()).count().saturating_sub(self.desired as usize);
        let waits = |m: &Member| m.counts() && !m.registered && m.created.is_some_and(|at| now >= at + patience);
        self.members.iter().rev().filter(|(_, m)| waits(m)).map(|(id, _)| *id).take(too_many).collect()
    }

    /// Executors that were told to leave and did not within `grace`: their pods are to be deleted. Each is named once.
    pub fn overdue(&mut self, grace: Duration, now: Instant) -> Vec<u64> {
        let mut overdue = Vec::new();
        for (id, member) in &mut self.members {
            let late = member.dismissed.is_some_and(|at| now >= at + grace);
            if late && !matches!(member.pod, Pod::Ended) && !std::mem::replace(&mut member.deleted, true) {
                overdue.push(*id);
            }
        }
        overdue
    }

    /// Pods that the API server took long ago and that nobody has seen.
    pub fn never_seen(&self, now: Instant) -> Vec<u64> {
        let timeout = self.creation.timeout;
        let unseen = |m: &Member| matches!(m.pod, Pod::Requested) && m.created.is_some_and(|at| now >= at + timeout);
        self.members.iter().filter(|(_, m)| unseen(m)).map(|(id, _)| *id).collect()
    }

    pub fn created(&mut self, id: u64, now: Instant) {
        if let Some(member) = self.members.get_mut(&id) {
            member.created = Some(now);
        }
        if self.refused.take().is_some() {
            self.setbacks = 0;
        }
        self.permanent_refusals = 0;
    }

    pub fn not_created(&mut self, id: u64, error: CreateError, now: Instant) {
        // One that the watch has seen was created, whatever the answer was.
        match self.members.get_mut(&id) {
            Some(member) if !matches!(member.pod, Pod::Requested) => {
                member.created = Some(now);
                return;
            }
            _ => self.members.remove(&id),
        };
        let mut permanent = false;
        match error {
            CreateError::NameTaken => {}
            CreateError::Refused { code, message } => {
                let reason = if code == 403 && message.contains("exceeded quota") {
                    Reason::QuotaExceeded
                } else {
                    Reason::PodRefused
                };
                let message = bounded(&format!("the API server does not take executor pods: {message}"), MAX_MESSAGE);
                self.refused = Some(Trouble { reason, message });
                permanent = matches!(code, 400 | 413 | 422);
            }
            CreateError::Unavailable { message } => {
                let message = bounded(&format!("executor pods cannot be created: {message}"), MAX_MESSAGE);
                self.refused = Some(Trouble { reason: Reason::ExecutorsPending, message });
            }
            CreateError::JobDeleted => {
                let message = "no executor pods are made: the SparkJob is being deleted".to_owned();
                self.refused = Some(Trouble { reason: Reason::ExecutorsPending, message });
            }
        }
        if self.set_back(now) && permanent {
            self.permanent_refusals += 1;
        }
    }

    /// The watch shows the pod in this state. The loss, if it is one.
    pub fn seen(&mut self, id: u64, state: PodState, now: Instant) -> Option<Loss> {
        self.next_id = self.next_id.max(id.saturating_add(1));
        let member = self.members.entry(id).or_insert_with(Member::requested);
        member.created.get_or_insert(now);
        match (&member.pod, state) {
            (Pod::Ended, _) => None,
            (_, PodState::Ended(mut loss)) => {
                if member.dismissed.is_some() {
                    loss.why = ExecutorLossReason::Released;
                }
                self.lost(id, &loss, now);
                Some(loss)
            }
            (_, state) => {
                member.pod = Pod::Seen(state);
                None
            }
        }
    }

    /// Executors whose pods have been there for `a_while`, do not run, and do not say why.
    pub fn silent(&self, a_while: Duration, now: Instant) -> Vec<u64> {
        let silent = |m: &Member| {
            matches!(m.pod, Pod::Seen(PodState::Waiting(None))) && m.created.is_some_and(|at| now >= at + a_while)
        };
        self.members.iter().filter(|(_, m)| silent(m)).map(|(id, _)| *id).collect()
    }

    /// What a silent pod waits for, found elsewhere.
    pub fn explain(&mut self, id: u64, trouble: Trouble) {
        if let Some(Member { pod: Pod::Seen(PodState::Waiting(why @ None)), .. }) = self.members.get_mut(&id) {
            *why = Some(trouble);
        }
    }

    /// The pod is no longer there.
    pub fn gone(&mut self, id: u64, pod: &str, now: Instant) -> Option<Loss> {
        let loss = match self.members.get(&id) {
            Some(Member { pod: Pod::Ended, .. }) | None => None,
            Some(member) => {
                let mut loss = Loss::deleted(pod);
                if member.dismissed.is_some() {
                    loss.why = ExecutorLossReason::Released;
                }
                Some(loss)
            }
        };
        if let Some(loss) = &loss {
            self.lost(id, loss, now);
        }
        self.members.remove(&id);
        loss
    }

    /// After a complete list of pods that began at `since`: the members that should be in it and are not.
    pub fn absent(&self, listed: &BTreeSet<u64>, since: Instant) -> Vec<u64> {
        let should = |m: &Member| !matches!(m.pod, Pod::Requested) || m.created.is_some_and(|at| at < since);
        self.members.iter().filter(|(id, m)| should(m) && !listed.contains(id)).map(|(id, _)| *id).collect()
    }

    /// The executors that the driver talks to. One that it has given up is lost, whatever its pod says: the pods of those
    /// are to be deleted.
    pub fn registered(&mut self, ids: &BTreeSet<u64>, now: Instant) -> Vec<u64> {
        let mut given_up = Vec::new();
        for (id, member) in &mut self.members {
            // The end of a pod that is being deleted is told by the pod.
            if matches!(member.pod, Pod::Ended | Pod::Seen(PodState::Leaving)) {
                continue;
            }
            if ids.contains(id) {
                if !member.registered {
                    self.setbacks = 0;
                }
                member.registered = true;
            } else if member.registered {
                given_up.push(*id);
            }
        }
        for id in &given_up {
            let message = format!("executor {id} no longer answered");
            let why = ExecutorLossReason::Unresponsive { message: message.clone() };
            self.lost(*id, &Loss::new(why, Reason::ExecutorsFailing, message), now);
        }
        given_up
    }

    /// Pods of ended executors that are no longer worth keeping.
    pub fn surplus(&self) -> Vec<u64> {
        let ended = |m: &Member| matches!(m.pod, Pod::Ended);
        let (released, kept): (Vec<_>, Vec<_>) =
            self.members.iter().filter(|(_, m)| ended(m)).partition(|(_, m)| m.dismissed.is_some());
        let old = kept.len().saturating_sub(KEEP_ENDED);
        released.into_iter().chain(kept.into_iter().take(old)).map(|(id, _)| *id).collect()
    }

    /// Why the application cannot have executors, now or later.
    pub fn hopeless(&self) -> Option<Trouble> {
        let none = !self.members.values().any(Member::counts);
        if none && self.desired > 0 && self.left_to_make() == 0 {
            let message = format!(
                "{} executor pods were made, and no more may be (spark.kubernetes.allocation.maximum)",
                self.creation.maximum
            );
            return Some(Trouble { reason: Reason::ExecutorsLost, message });
        }
        self.refused.clone().filter(|_| none && self.permanent_refusals >= MAX_REFUSALS)
    }

    pub fn status(&self, attempt: u32) -> ExecutorStatus {
        let number = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let running = self.members.values().filter(|m| m.counts() && m.registered).count();
        let desired = self.desired as usize;
        let waiting = self.members.values().filter(|m| m.dismissed.is_none()).find_map(|m| match &m.pod {
            Pod::Seen(PodState::Waiting(Some(trouble))) => Some(trouble),
            _ => None,
        });
        let trouble = self.refused.as_ref().or(waiting).or(self.last_loss.as_ref());
        ExecutorStatus {
            attempt: i32::try_from(attempt).unwrap_or(i32::MAX),
            summary: ExecutorStatus::summary_of(number(running), number(desired)),
            desired: number(desired),
            pending: number(desired.saturating_sub(running)),
            running: number(running),
            failed: i32::try_from(self.failed).unwrap_or(i32::MAX),
            last_failure_reason: trouble.map(|t| t.reason),
            last_failure_message: trouble.map(|t| t.message.clone()),
        }
    }

    fn lost(&mut self, id: u64, loss: &Loss, now: Instant) {
        let Some(member) = self.members.get_mut(&id) else { return };
        member.pod = Pod::Ended;
        if member.dismissed.is_some() {
            return;
        }
        let registered = member.registered;
        self.failed += 1;
        self.last_loss = Some(loss.trouble.clone());
        if !registered {
            self.set_back(now);
        }
    }

    /// Waits before the next try, ever longer. False when what failed belongs to the setback before: what fails together
    /// is one.
    fn set_back(&mut self, now: Instant) -> bool {
        if self.not_before.is_some_and(|at| now < at) {
            return false;
        }
        self.setbacks = self.setbacks.saturating_add(1);
        let seconds = (1 << (self.setbacks - 1).min(5)).min(LONGEST_WAIT_SECS);
        self.not_before = Some(now + Duration::from_secs(seconds));
        true
    }
}

impl Member {
    fn requested() -> Self {
        Self { pod: Pod::Requested, created: None, registered: false, dismissed: None, deleted: false }
    }

    /// Whether it is, or may become, one of the executors asked for.
    fn counts(&self) -> bool {
        self.dismissed.is_none() && !matches!(self.pod, Pod::Ended | Pod::Seen(PodState::Leaving))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(desired: u32) -> Fleet {
        Fleet::new(desired, Creation { delay: Duration::ZERO, ..Creation::default() })
    }

    fn ids(ids: impl IntoIterator<Item = u64>) -> BTreeSet<u64> {
        ids.into_iter().collect()
    }

    fn crash() -> PodState {
        let why = ExecutorLossReason::Crashed { exit_code: Some(1) };
        PodState::Ended(Loss::new(why, Reason::ExecutorsFailing, "crashed"))
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    /// A fleet whose first executors all run.
    fn running(desired: u32, now: Instant) -> Fleet {
        let mut fleet = fleet(desired);
        for id in fleet.next_pods(now) {
            fleet.created(id, now);
            assert_eq!(fleet.seen(id, PodState::Running, now), None);
        }
        assert!(fleet.registered(&ids(1..=u64::from(desired)), now).is_empty());
        fleet
    }

    #[test]
    fn pods_are_created_in_batches() {
        let now = Instant::now();
        let mut fleet = Fleet::new(25, Creation { batch: 10, ..Creation::default() });
        assert_eq!(fleet.next_pods(now), (1..=10).collect::<Vec<_>>());
        assert!(fleet.next_pods(after(now, 1)).is_empty(), "ten are under way");
        (1..=4).for_each(|id| fleet.created(id, now));
        assert!(fleet.next_pods(now).is_empty(), "the delay is not over");
        assert_eq!(fleet.next_pods(after(now, 1)), (11..=14).collect::<Vec<_>>());
        (5..=14).for_each(|id| fleet.created(id, now));
        assert_eq!(fleet.next_pods(after(now, 2)).len(), 10);
        (15..=24).for_each(|id| fleet.created(id, now));
        assert_eq!(fleet.next_pods(after(now, 3)), [25]);
        fleet.created(25, now);
        assert!(fleet.next_pods(after(now, 4)).is_empty());
        assert_eq!(fleet.status(1).summary, "0/25");
    }

    #[test]
    fn no_more_wait_than_may() {
        let now = Instant::now();
        let mut fleet = Fleet::new(5, Creation { max_pending: 2, delay: Duration::ZERO, ..Creation::default() });
        assert_eq!(fleet.next_pods(now), [1, 2]);
        fleet.created(1, now);
        fleet.created(2, now);
        assert!(fleet.next_pods(now).is_empty());
        fleet.seen(1, PodState::Running, now);
        fleet.registered(&ids([1]), now);
        assert_eq!(fleet.next_pods(now), [3]);
    }

    #[test]
    fn no_more_are_made_than_may_be_in_all() {
        let mut now = Instant::now();
        let mut fleet = Fleet::new(2, Creation { maximum: 3, delay: Duration::ZERO, ..Creation::default() });
        for expected in [&[1, 2][..], &[3], &[]] {
            let made = fleet.next_pods(now);
            assert_eq!(made, expected);
            for id in made {
                fleet.created(id, now);
                if id < 3 {
                    fleet.seen(id, crash(), now);
                }
            }
            now = after(now, 60);
        }
        assert_eq!(fleet.hopeless(), None, "one is left");
        fleet.seen(3, crash(), now);
        assert!(fleet.hopeless().unwrap().message.contains("spark.kubernetes.allocation.maximum"));
    }

    #[test]
    fn who_is_told_to_leave_is_no_loss() {
        let now = Instant::now();
        let mut fleet = running(3, now);
        fleet.set_desired(2);
        assert!(fleet.next_pods(now).is_empty());
        assert!(fleet.dismiss(3, now) && !fleet.dismiss(3, now));
        assert_eq!(fleet.status(1).summary, "2/2");
        let loss = fleet.seen(3, crash(), now).unwrap();
        assert_eq!(loss.why, ExecutorLossReason::Released);
        assert_eq!(fleet.surplus(), [3], "its log is not kept");
        assert_eq!((fleet.status(1).failed, fleet.status(1).last_failure_reason), (0, None));
        assert!(fleet.next_pods(now).is_empty());
        // Another one leaves for its node's sake: it is replaced at once.
        fleet.dismiss(1, now);
        assert_eq!(fleet.next_pods(now), [4]);
        assert!(fleet.overdue(Duration::from_secs(60), after(now, 59)).is_empty());
        assert_eq!(fleet.overdue(Duration::from_secs(60), after(now, 60)), [1]);
        assert!(fleet.overdue(Duration::from_secs(60), after(now, 61)).is_empty(), "once");
    }

    #[test]
    fn pods_that_nobody_needs_any_more_are_not_waited_for() {
        let now = Instant::now();
        let mut fleet = running(2, now);
        fleet.set_desired(5);
        assert_eq!(fleet.next_pods(now), [3, 4, 5]);
        (3..=5).for_each(|id| fleet.created(id, now));
        let patience = Duration::from_secs(60);
        assert!(fleet.excess(patience, after(now, 100)).is_empty());
        fleet.set_desired(3);
        assert!(fleet.excess(patience, after(now, 59)).is_empty());
        assert_eq!(fleet.excess(patience, after(now, 60)), [5, 4]);
        fleet.set_desired(1);
        assert_eq!(fleet.excess(patience, after(now, 60)), [5, 4, 3], "those that run are not the fleet's to choose");
    }

    #[test]
    fn a_pod_that_is_never_seen_is_asked_for_again() {
        let now = Instant::now();
        let mut fleet = fleet(1);
        fleet.next_pods(now);
        fleet.created(1, now);
        assert!(fleet.never_seen(after(now, 599)).is_empty());
        assert_eq!(fleet.never_seen(after(now, 600)), [1]);
        fleet.gone(1, "a-1-exec-1", after(now, 600));
        assert_eq!(fleet.next_pods(after(now, 700)), [2]);
    }

    #[test]
    fn a_lost_executor_is_told_once_and_replaced_under_a_new_id() {
        let now = Instant::now();
        let mut fleet = running(2, now);
        assert_eq!(fleet.status(3).summary, "2/2");
        let loss = fleet.seen(1, crash(), now).unwrap();
        assert_eq!(loss.why, ExecutorLossReason::Crashed { exit_code: Some(1) });
        assert_eq!(fleet.seen(1, crash(), now), None);
        assert_eq!(fleet.gone(1, "a-1-exec-1", now), None);
        assert_eq!(fleet.next_pods(now), [3], "at once: it had run");
        let status = fleet.status(3);
        assert_eq!((status.attempt, status.running, status.pending, status.failed), (3, 1, 1, 1));
        assert_eq!(status.last_failure_reason, Some(Reason::ExecutorsFailing));
    }

    #[test]
    fn a_silent_pod_is_explained_once() {
        let now = Instant::now();
        let mut fleet = fleet(1);
        fleet.next_pods(now);
        fleet.seen(1, PodState::Waiting(None), now);
        let a_while = Duration::from_secs(5);
        assert!(fleet.silent(a_while, after(now, 4)).is_empty());
        assert_eq!(fleet.silent(a_while, after(now, 5)), [1]);
        fleet.explain(1, Trouble { reason: Reason::VolumeMountFailed, message: "no secret".to_owned() });
        assert!(fleet.silent(a_while, after(now, 9)).is_empty());
        assert_eq!(fleet.status(1).last_failure_message.as_deref(), Some("no secret"));
        fleet.seen(1, PodState::Running, now);
        fleet.explain(1, Trouble { reason: Reason::VolumeMountFailed, message: "late".to_owned() });
        assert_eq!(fleet.status(1).last_failure_message, None);
    }

    #[test]
    fn a_leaving_executor_is_replaced_before_it_is_gone() {
        let now = Instant::now();
        let mut fleet = running(2, now);
        assert_eq!(fleet.seen(2, PodState::Leaving, now), None);
        assert_eq!(fleet.next_pods(now), [3]);
        fleet.created(3, now);
        let loss = fleet.gone(2, "a-1-exec-2", now).unwrap();
        assert!(matches!(loss.why, ExecutorLossReason::TakenByCluster { .. }));
        assert!(fleet.next_pods(now).is_empty());
    }

    #[test]
    fn an_executor_that_left_in_good_order_is_not_given_up() {
        let now = Instant::now();
        let mut fleet = running(2, now);
        fleet.seen(1, PodState::Leaving, now);
        assert!(fleet.registered(&ids([2]), now).is_empty(), "it has said goodbye, and its pod ends");
        assert_eq!((fleet.status(1).failed, fleet.status(1).last_failure_reason), (0, None));
    }

    #[test]
    fn what_the_driver_has_given_up_is_deleted_and_replaced() {
        let now = Instant::now();
        let mut fleet = running(2, now);
        assert_eq!(fleet.registered(&ids([2]), now), [1]);
        assert!(fleet.registered(&ids([2]), now).is_empty());
        assert_eq!(fleet.gone(1, "a-1-exec-1", now), None, "the driver knows already");
        assert_eq!(fleet.next_pods(now), [3]);
    }

    #[test]
    fn executors_that_end_before_they_registered_are_replaced_ever_more_slowly() {
        let start = Instant::now();
        let mut fleet = fleet(1);
        let (mut now, mut id, mut waits) = (start, 1, Vec::new());
        for _ in 0..8 {
            let before = now;
            while fleet.next_pods(now).is_empty() {
                now += Duration::from_millis(500);
            }
            waits.push((now - before).as_secs());
            fleet.created(id, now);
            assert!(fleet.seen(id, crash(), now).is_some());
            id += 1;
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 32]);
        now = after(now, 32);
        assert_eq!(fleet.next_pods(now), [id]);
        fleet.registered(&ids([id]), now);
        assert!(fleet.seen(id, crash(), now).is_some());
        assert_eq!(fleet.next_pods(now), [id + 1], "one that registered ends the row");
    }

    #[test]
    fn refusals_are_told_and_tried_again() {
        let quota = "pods \"a\" is forbidden: exceeded quota: small, requested: cpu=1";
        let table = [
            (CreateError::Refused { code: 403, message: quota.into() }, Some(Reason::QuotaExceeded)),
            (CreateError::Refused { code: 403, message: "not allowed".into() }, Some(Reason::PodRefused)),
            (CreateError::Unavailable { message: "timeout".into() }, Some(Reason::ExecutorsPending)),
            (CreateError::JobDeleted, Some(Reason::ExecutorsPending)),
            (CreateError::NameTaken, None),
        ];
        for (error, reason) in table {
            let now = Instant::now();
            let mut fleet = fleet(2);
            assert_eq!(fleet.next_pods(now), [1, 2]);
            fleet.created(1, now);
            fleet.not_created(2, error.clone(), now);
            assert_eq!(fleet.status(1).last_failure_reason, reason, "{error:?}");
            assert!(fleet.next_pods(now).is_empty());
            assert_eq!(fleet.next_pods(after(now, 1)), [3]);
            fleet.created(3, now);
            assert_eq!(fleet.status(1).last_failure_reason, None);
        }
    }

    #[test]
    fn a_pod_that_can_never_be_created_ends_the_attempts() {
        let mut now = Instant::now();
        let mut fleet = fleet(2);
        let invalid = CreateError::Refused { code: 422, message: "spec.containers[0].image: Invalid value".into() };
        for round in 0..3 {
            assert_eq!(fleet.hopeless(), None, "round {round}");
            for id in fleet.next_pods(now) {
                fleet.not_created(id, invalid.clone(), now);
            }
            now = after(now, 40);
        }
        assert!(fleet.hopeless().unwrap().message.contains("Invalid value"));
    }

    #[test]
    fn trouble_of_waiting_pods_is_told_until_they_run() {
        let now = Instant::now();
        let mut fleet = fleet(1);
        fleet.next_pods(now);
        fleet.created(1, now);
        let trouble = Trouble { reason: Reason::ExecutorImagePullFailed, message: "no such image".into() };
        fleet.seen(1, PodState::Waiting(Some(trouble)), now);
        assert_eq!(fleet.status(1).last_failure_reason, Some(Reason::ExecutorImagePullFailed));
        fleet.seen(1, PodState::Running, now);
        assert_eq!(fleet.status(1).last_failure_reason, None);
    }

    #[test]
    fn after_a_new_list_only_what_must_be_there_is_missed() {
        let now = Instant::now();
        let mut fleet = fleet(3);
        fleet.next_pods(now);
        fleet.created(1, now);
        fleet.seen(1, PodState::Running, now);
        fleet.created(2, now);
        assert_eq!(fleet.absent(&ids([]), now), [1], "2 may have come after the list, 3 is being created");
        assert_eq!(fleet.absent(&ids([1]), after(now, 1)), [2]);
    }

    #[test]
    fn a_pod_thought_not_created_is_taken_in_when_it_is_seen() {
        let now = Instant::now();
        let mut fleet = fleet(1);
        fleet.next_pods(now);
        fleet.not_created(1, CreateError::Unavailable { message: "timeout".into() }, now);
        fleet.seen(1, PodState::Running, now);
        assert!(fleet.next_pods(after(now, 60)).is_empty());
    }

    #[test]
    fn pods_of_ended_executors_are_kept_up_to_a_number() {
        let mut now = Instant::now();
        let mut fleet = fleet(1);
        for _ in 0..KEEP_ENDED + 2 {
            for id in fleet.next_pods(now) {
                fleet.created(id, now);
                fleet.seen(id, crash(), now);
            }
            now = after(now, 60);
        }
        assert_eq!(fleet.surplus(), [1, 2]);
    }
}
