//! Jobs that are no longer wanted, and attempts that are told to end.

use firesteel_protocol::JobId;

use crate::{
    actions::{Action, KillReason},
    events::ExecutorLossReason,
    job::JobSelector,
    scheduler::Scheduler,
};

impl Scheduler {
    pub(crate) fn cancel_job(&mut self, job: JobId, reason: String, actions: &mut Vec<Action>) {
        if self.end_job(job, actions) {
            actions.push(Action::JobCancelled { job, reason });
        }
    }

    pub(crate) fn cancel_jobs(&mut self, selector: &JobSelector, reason: &str, actions: &mut Vec<Action>) {
        if let JobSelector::Group { group, future: true } = selector
            && !self.cancelled_groups.contains(group)
        {
            self.cancelled_groups.push_back(group.clone());
            while self.cancelled_groups.len() > self.config.cancelled_groups {
                self.cancelled_groups.pop_front();
            }
        }
        let meant = self.jobs.iter().filter(|(_, job)| selector.selects(&job.properties));
        let mut jobs: Vec<JobId> = meant.map(|(id, _)| *id).collect();
        jobs.sort_unstable();
        for job in jobs {
            self.cancel_job(job, reason.to_owned(), actions);
        }
    }

    /// They keep their slots until their executors say that they ended, or until that takes too long.
    pub(crate) fn kill_attempts(&mut self, numbers: &[u64], reason: KillReason, actions: &mut Vec<Action>) {
        for number in numbers {
            if let Some(attempt) = self.attempts.get(number) {
                let executor = self.executors.name(attempt.executor).clone();
                actions.push(Action::KillTask { attempt: attempt.id(*number), executor, reason });
                if self.config.kill_timeout_ms.is_some() {
                    self.ending.push_back((self.now, *number));
                }
            }
        }
    }

    /// When an attempt that was told to end has had its time.
    pub(crate) fn next_endless_task(&self) -> Option<u64> {
        let timeout = self.config.kill_timeout_ms?;
        self.ending.front().map(|(told, _)| told.saturating_add(timeout))
    }

    /// A task that does not end takes its executor with it (`spark.task.reaper.killTimeout`). True when one did.
    pub(crate) fn end_executors_of_endless_tasks(&mut self, actions: &mut Vec<Action>) -> bool {
        let Some(timeout) = self.config.kill_timeout_ms else { return false };
        let mut any = false;
        while let Some((told, number)) = self.ending.front().copied() {
            let Some(attempt) = self.attempts.get(&number) else {
                self.ending.pop_front();
                continue;
            };
            if told.saturating_add(timeout) > self.now {
                return any;
            }
            any = true;
            self.ending.pop_front();
            let (executor, id) = (attempt.executor, attempt.id(number));
            let message = format!(
                "task attempt {id} was told to end {} ms ago and has not (spark.task.reaper.killTimeout)",
                self.now.saturating_sub(told)
            );
            let loss = ExecutorLossReason::Unresponsive { message: message.clone() };
            self.end_executor(executor, message, loss, actions);
        }
        any
    }
}
