//! The journal of a driver in a pod: `status.recovery` of its SparkJob. It outlives the pod, needs no right that a driver does
//! not have already, and a write that was decided on old knowledge is refused, which fences a driver that has been replaced.

use std::time::Duration;

use async_trait::async_trait;
use firesteel_api::{
    GROUP, JOURNAL_FIELD_MANAGER, ProgramEnd, Recovery, SparkJob, TerminationMessage, VERSION, pods::AttemptContext,
    status::bounded,
};
use firesteel_plan::{SparkError, SparkResult};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use parking_lot::Mutex;
use serde_json::json;

use crate::journal::{Done, Journal};

/// Tries of one note: others write the status too.
const TRIES: u32 = 12;
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_MESSAGE: usize = 2048;

pub struct StatusJournal {
    api: Api<SparkJob>,
    context: AttemptContext,
    before: Done,
    done: Mutex<Done>,
}

/// Why a note was not made.
enum Failure {
    /// Somebody else wrote in the meantime, or the API server could not be reached.
    Again(String),
    Final(SparkError),
}

/// What is to be noted.
enum Note {
    /// This driver has begun: what earlier ones did is its own now.
    Begun,
    Done(Done),
    /// How the program ended: it is not run again, whatever becomes of this pod.
    Ended(Done, ProgramEnd),
}

impl StatusJournal {
    /// Reads what earlier drivers did, and tells them that this one has begun.
    pub async fn open(client: &Client, context: &AttemptContext) -> SparkResult<Self> {
        let api = Api::namespaced(client.clone(), &context.namespace);
        let mut journal = Self { api, context: context.clone(), before: Done::default(), done: Mutex::default() };
        let before = journal.note(&Note::Begun).await?;
        *journal.done.lock() = before.clone();
        journal.before = before;
        Ok(journal)
    }

    /// Notes how the program ended.
    pub async fn ended(&self, word: &TerminationMessage) -> SparkResult<()> {
        let end = ProgramEnd {
            outcome: word.outcome,
            reason: word.reason,
            error_class: word.error_class.clone(),
            message: bounded(&word.message, MAX_MESSAGE),
        };
        let done = self.done.lock().clone();
        self.note(&Note::Ended(done, end)).await.map(drop)
    }

    /// Answers what is done.
    async fn note(&self, note: &Note) -> SparkResult<Done> {
        let mut wait = FIRST_WAIT;
        let mut last = String::new();
        for _ in 0..TRIES {
            match self.try_note(note).await {
                Ok(done) => return Ok(done),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again(message)) => last = message,
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        Err(SparkError::new(
            "RECOVERY_FAILED.JOURNAL",
            "58000",
            format!("What is done cannot be noted in the status of SparkJob {}: {last}.", self.context.job),
        ))
    }

    async fn try_note(&self, note: &Note) -> Result<Done, Failure> {
        let (version, found) = self.read().await?;
        // The work of attempts that this one does not go on with is not its own.
        let first = i32::try_from(self.context.first_attempt).unwrap_or(i32::MAX);
        let (done, ended) = match note {
            Note::Begun => match found.filter(|recovery| recovery.attempt >= first) {
                Some(recovery) => {
                    let done = Done {
                        statements: usize::try_from(recovery.statements).unwrap_or(0),
                        rows: u64::try_from(recovery.rows).unwrap_or(0),
                        text: recovery.text,
                    };
                    (done, None)
                }
                None => (Done::default(), None),
            },
            Note::Done(done) => (done.clone(), None),
            Note::Ended(done, end) => (done.clone(), Some(end)),
        };
        self.write(version, &done, ended).await?;
        Ok(done)
    }

    /// The journal, with the version of the job that it was read in. Fails for good when there is a later driver.
    async fn read(&self) -> Result<(String, Option<Recovery>), Failure> {
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, self.api.get_opt(&self.context.job)).await;
        let job = match answer {
            Ok(Ok(Some(job))) if job.metadata.uid.as_ref() == Some(&self.context.uid) => job,
            Ok(Ok(_)) => return Err(Failure::Final(self.fenced("the job has been deleted"))),
            Ok(Err(error)) => return Err(Failure::Again(error.to_string())),
            Err(_) => return Err(Failure::Again("the API server does not answer".to_owned())),
        };
        let version = job.resource_version().unwrap_or_default();
        let recovery = job.status.and_then(|status| status.recovery);
        match &recovery {
            Some(recovery) if i64::from(recovery.attempt) > i64::from(self.context.attempt) => {
                Err(Failure::Final(self.fenced(&format!("the driver of attempt {} has taken over", recovery.attempt))))
            }
            _ => Ok((version, recovery)),
        }
    }

    async fn write(&self, version: String, done: &Done, ended: Option<&ProgramEnd>) -> Result<(), Failure> {
        let recovery = Recovery {
            attempt: i32::try_from(self.context.attempt).unwrap_or(i32::MAX),
            statements: i64::try_from(done.statements).unwrap_or(i64::MAX),
            rows: i64::try_from(done.rows).unwrap_or(i64::MAX),
            text: done.text.clone(),
            ended: ended.cloned(),
        };
        let patch = json!({
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "kind": "SparkJob",
            // Refused when somebody wrote since it was read.
            "metadata": { "name": self.context.job, "uid": self.context.uid, "resourceVersion": version },
            "status": { "recovery": recovery },
        });
        let params = PatchParams::apply(JOURNAL_FIELD_MANAGER).force();
        let patch = Patch::Apply(&patch);
        let writing = self.api.patch_status(&self.context.job, &params, &patch);
        match tokio::time::timeout(REQUEST_TIMEOUT, writing).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Failure::Again(error.to_string())),
            Err(_) => Err(Failure::Again("the API server does not answer".to_owned())),
        }
    }

    fn fenced(&self, why: &str) -> SparkError {
        SparkError::new(
            "OPERATION_CANCELED",
            "HY008",
            format!(
                "Operation has been canceled: this driver (attempt {}) has been replaced: {why}.",
                self.context.attempt
            ),
        )
    }
}

#[async_trait]
impl Journal for StatusJournal {
    fn before(&self) -> Done {
        self.before.clone()
    }

    async fn record(&self, done: Done) -> SparkResult<()> {
        self.note(&Note::Done(done.clone())).await?;
        *self.done.lock() = done;
        Ok(())
    }

    fn application(&self) -> &str {
        &self.context.uid
    }
}
