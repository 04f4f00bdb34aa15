//! Jobs and their graphs of stages: what may run, what must run again, what is over.

use std::collections::HashSet;

use firesteel_protocol::{JobId, ShuffleId, StageId};

use crate::{
    actions::{Action, JobFailure, KillReason},
    exclusion::StageFailures,
    job::{Job, JobSpec},
    locality::Delay,
    map_outputs::{Home, ShuffleOutputs},
    progress::StageState,
    scheduler::Scheduler,
    stage::Stage,
};

impl Scheduler {
    pub(crate) fn submit_job(&mut self, spec: JobSpec, actions: &mut Vec<Action>) {
        let job = spec.job;
        if self.jobs.contains_key(&job) {
            tracing::warn!(%job, "a job was submitted twice; the second one is ignored");
            return;
        }
        if let Err(problem) = spec.validate().and_then(|()| self.check_conflicts(&spec)) {
            actions.push(Action::JobFailed { job, failure: JobFailure::InvalidSpec(problem) });
            return;
        }
        if let Some(group) = spec.properties.group.as_ref().filter(|group| self.cancelled_groups.contains(group)) {
            let reason = format!("part of cancelled job group {group}");
            actions.push(Action::JobCancelled { job, reason });
            return;
        }
        let pool = self.pools.of(spec.properties.pool.as_ref());
        let result_stage = spec.result_stage;
        let stages: Vec<StageId> = spec.stages.iter().map(|stage| stage.stage).collect();
        let mut unrepeatable = spec.unrepeatable_inputs();
        let mut new = Vec::new();
        let properties = spec.properties;
        let entry = Job { stages, result_stage, fetched: 0, properties, pool, results: 0, result_bytes: 0 };
        self.jobs.insert(job, entry);
        for stage in spec.stages {
            let id = stage.stage;
            let shuffle = stage.output.shuffle();
            let outputs = self.outputs.entry(shuffle, stage.num_tasks, stage.output.num_reducers());
            outputs.is_result = stage.output.is_result();
            outputs.retained |= spec.retain_shuffles && !outputs.is_result;
            outputs.unrepeatable.append(&mut unrepeatable.remove(&id).unwrap_or_default());
            match self.stages.get_mut(&id) {
                Some(shared) => {
                    shared.jobs.push(job);
                    shared.jobs.sort_unstable();
                    self.update_turn(id);
                }
                None => {
                    self.writers.insert(shuffle, id);
                    let is_done = |map| outputs.attempt(map).is_some();
                    self.stages.insert(id, Stage::new(stage, job, is_done, &self.executors));
                    new.push(id);
                }
            }
        }
        for id in &new {
            for parent in self.stages.get(id).map(|stage| stage.spec.parents.clone()).unwrap_or_default() {
                if let Some(parent) = self.stages.get_mut(&parent) {
                    parent.children.push(*id);
                }
            }
        }
        // A shuffle that an ended job left behind may have been read, and lost outputs since.
        for id in &new {
            let read = self.was_read(*id);
            if let Some(stage) = self.stages.get_mut(id) {
                stage.read_outputs_lost = read && !stage.tasks.is_complete();
            }
        }
        self.submit(vec![result_stage], actions);
        self.end_job_if_done(job, actions);
    }

    fn check_conflicts(&self, spec: &JobSpec) -> Result<(), String> {
        for stage in &spec.stages {
            let id = stage.stage;
            let shuffle = stage.output.shuffle();
            if let Some(other) = self.stages.get(&id)
                && (other.spec != *stage || stage.output.is_result())
            {
                return Err(format!("stage {id} is another one in a running job"));
            }
            if self.writers.get(&shuffle).is_some_and(|writer| *writer != id) {
                return Err(format!("shuffle {shuffle} is written by another stage of a running job"));
            }
            if let Some(outputs) = self.outputs.get(shuffle)
                && (outputs.num_maps(), outputs.num_reducers()) != (stage.num_tasks, stage.output.num_reducers())
            {
                return Err(format!("shuffle {shuffle} is there already with other numbers of maps or reducers"));
            }
        }
        Ok(())
    }

    /// Whether a stage that reads this one began, or there are outputs that this or an ended job made from it.
    fn was_read(&self, id: StageId) -> bool {
        let Some(stage) = self.stages.get(&id) else { return false };
        stage.children.iter().any(|child| self.stages.get(child).is_some_and(|child| child.began))
            || self.made_from(stage.spec.output.shuffle()).next().is_some()
    }

    /// The other shuffles with outputs made from this one of an indeterminate stage: by stages that began, or by ended jobs that left
    /// them behind, whether or not a stage of a running job writes them now.
    fn made_from(&self, shuffle: ShuffleId) -> impl Iterator<Item = ShuffleId> {
        let is_made_from_it = move |id: ShuffleId, outputs: &ShuffleOutputs| {
            id != shuffle && outputs.unrepeatable.contains(&shuffle) && !outputs.is_empty()
        };
        self.outputs.iter().filter(move |(id, outputs)| is_made_from_it(*id, outputs)).map(|(id, _)| id)
    }

    /// Has these stages run, after what they need and only as far as their outputs are missing.
    ///
    /// Holds from here on: the incomplete parents of a waiting stage wait or run themselves.
    pub(crate) fn submit(&mut self, mut todo: Vec<StageId>, actions: &mut Vec<Action>) {
        while let Some(id) = todo.pop() {
            let Some(stage) = self.stages.get(&id) else { continue };
            if stage.state != StageState::Idle || stage.tasks.is_complete() {
                continue;
            }
            if stage.spec.indeterminate && stage.read_outputs_lost {
                todo.push(id);
                self.roll_back(id, &mut todo, actions);
                continue;
            }
            self.wait_or_start(id, &mut todo, actions);
        }
    }

    /// Starts the stage if all it reads is there; else it waits, and what it waits for is added to `todo`.
    fn wait_or_start(&mut self, id: StageId, todo: &mut Vec<StageId>, actions: &mut Vec<Action>) {
        let Some(stage) = self.stages.get(&id) else { return };
        if self.parents_complete(stage) {
            self.start(id, actions);
            return;
        }
        todo.extend(stage.spec.parents.iter().copied().filter(|parent| stage.needs(*parent)));
        if let Some(stage) = self.stages.get_mut(&id) {
            stage.state = StageState::Waiting;
        }
        self.update_turn(id);
    }

    fn start(&mut self, id: StageId, actions: &mut Vec<Action>) {
        let Some(stage) = self.stages.get_mut(&id) else { return };
        stage.attempt += u32::from(stage.submitted);
        stage.submitted = true;
        stage.state = StageState::Running;
        stage.failures = StageFailures::default();
        stage.delay = Delay::new(self.now);
        actions.push(Action::StageStarted { stage: id, stage_attempt: stage.attempt, tasks: stage.tasks.pending() });
        self.update_turn(id);
    }

    /// A stage has all its outputs: what waited for it may start.
    pub(crate) fn finish(&mut self, id: StageId, actions: &mut Vec<Action>) {
        let Some(stage) = self.stages.get_mut(&id) else { return };
        stage.state = StageState::Idle;
        stage.fetch_failed_attempts = 0;
        let shuffle = stage.spec.output.shuffle();
        actions.push(Action::StageFinished { stage: id, stage_attempt: stage.attempt });
        let (children, jobs) = (stage.children.clone(), stage.jobs.clone());
        let failures = stage.failures.take();
        if let Some(outputs) = self.outputs.get(shuffle)
            && !outputs.is_result
        {
            actions.push(Action::MapOutputsChanged { shuffle, epoch: outputs.epoch() });
        }
        self.update_turn(id);
        for child in children {
            if let Some(stage) = self.stages.get(&child)
                && stage.state == StageState::Waiting
                && self.parents_complete(stage)
            {
                self.start(child, actions);
            }
        }
        for job in jobs {
            self.end_job_if_done(job, actions);
        }
        if !failures.is_empty() {
            self.stage_failures_count(failures, actions);
        }
    }

    /// Outputs or attempts of these stages were lost, or tasks of theirs must run again: sees to it that whatever is
    /// needed runs.
    pub(crate) fn resubmit_after_loss(&mut self, touched: Vec<StageId>, actions: &mut Vec<Action>) {
        let mut todo = Vec::new();
        for id in touched {
            self.submit_if_wanted(id, &mut todo, actions);
        }
        self.submit(todo, actions);
    }

    /// Adds to `todo` what must run now that the stage or its outputs are no longer what they were.
    fn submit_if_wanted(&mut self, id: StageId, todo: &mut Vec<StageId>, actions: &mut Vec<Action>) {
        let Some(stage) = self.stages.get(&id) else { return };
        let children = if stage.tasks.is_complete() { Vec::new() } else { stage.children.clone() };
        if stage.state == StageState::Idle && !stage.tasks.is_complete() && self.is_wanted(stage) {
            todo.push(id);
        }
        self.suspend_if_starved(id, todo, actions);
        self.update_turn(id);
        for child in children {
            self.suspend_if_starved(child, todo, actions);
        }
    }

    /// A running stage that has tasks to launch but not all they read goes back to waiting.
    fn suspend_if_starved(&mut self, id: StageId, todo: &mut Vec<StageId>, actions: &mut Vec<Action>) {
        if let Some(stage) = self.stages.get(&id)
            && stage.state == StageState::Running
            && stage.tasks.pending() > 0
            && !self.parents_complete(stage)
        {
            self.suspend(id, todo, actions);
        }
    }

    /// Launches no more tasks of a running stage before its next attempt.
    pub(crate) fn suspend(&mut self, id: StageId, todo: &mut Vec<StageId>, actions: &mut Vec<Action>) {
        let Some(stage) = self.stages.get_mut(&id) else { return };
        actions.push(Action::StageSuspended { stage: id, stage_attempt: stage.attempt });
        self.wait_or_start(id, todo, actions);
    }

    /// Forgets the outputs that an executor held and that attempts before `reader` wrote; adds the stages that lost
    /// some to `touched`. True if there were any.
    pub(crate) fn lose_outputs_of(
        &mut self,
        executor: u32,
        reader: u64,
        touched: &mut Vec<StageId>,
        actions: &mut Vec<Action>,
    ) -> bool {
        let mut all_lost = Vec::new();
        for (shuffle, outputs) in self.outputs.iter_mut() {
            let lost = outputs.lose_at(Home::executor(executor), |_, writer| writer > reader);
            if lost.is_empty() {
                continue;
            }
            if !outputs.is_result {
                actions.push(Action::MapOutputsChanged { shuffle, epoch: outputs.epoch() });
            }
            all_lost.push((shuffle, lost));
        }
        for (shuffle, lost) in &all_lost {
            if let Some(writer) = self.writers.get(shuffle).copied() {
                self.tasks_lost(writer, lost);
                touched.push(writer);
            }
        }
        !all_lost.is_empty()
    }

    /// These tasks' outputs are no longer registered.
    pub(crate) fn tasks_lost(&mut self, id: StageId, tasks: &[u32]) {
        let read = self.was_read(id);
        if let Some(stage) = self.stages.get_mut(&id) {
            stage.read_outputs_lost |= read;
            for task in tasks {
                stage.tasks.output_lost(*task);
            }
        }
    }

    /// A stage whose rows cannot be made again in the same way lost some that were read: it and all that followed from
    /// it start over. Adds to `todo` what must run for that.
    fn roll_back(&mut self, cause: StageId, todo: &mut Vec<StageId>, actions: &mut Vec<Action>) {
        // What was made from it goes with it: of stages, also of those that have not begun since an ended job ran them.
        let shuffle = self.stages.get(&cause).map(|stage| stage.spec.output.shuffle());
        let (mut all, mut left_behind) = (vec![cause], Vec::new());
        for made in shuffle.into_iter().flat_map(|id| self.made_from(id)) {
            match self.writers.get(&made) {
                Some(stage) => all.push(*stage),
                None => left_behind.push(made),
            }
        }
        let mut seen: HashSet<StageId> = all.iter().copied().collect();
        let mut next = 0;
        while let Some(stage) = all.get(next).and_then(|id| self.stages.get(id)) {
            next += 1;
            for child in &stage.children {
                if self.stages.get(child).is_some_and(|child| child.began) && seen.insert(*child) {
                    all.push(*child);
                }
            }
        }

        for id in &all {
            for job in self.stages.get(id).map(|stage| stage.jobs.clone()).unwrap_or_default() {
                if self.jobs.get(&job).is_some_and(|job| job.result_stage == *id && job.fetched > 0) {
                    let failure = JobFailure::CannotRollBack { stage: *id, cause };
                    self.fail_jobs(vec![job], &failure, actions);
                }
            }
        }

        for shuffle in left_behind {
            if let Some(outputs) = self.outputs.get_mut(shuffle) {
                outputs.lose_all();
                actions.push(Action::MapOutputsChanged { shuffle, epoch: outputs.epoch() });
            }
        }
        for id in &all {
            self.reset(*id, actions);
        }
        for id in &all {
            self.submit_if_wanted(*id, todo, actions);
        }
    }

    /// Throws away what a stage has done. A running one is left to [`Scheduler::suspend_if_starved`].
    fn reset(&mut self, id: StageId, actions: &mut Vec<Action>) {
        let Some(stage) = self.stages.get_mut(&id) else { return };
        let running = stage.tasks.reset();
        stage.began = false;
        stage.read_outputs_lost = false;
        let shuffle = stage.spec.output.shuffle();
        if let Some(outputs) = self.outputs.get_mut(shuffle)
            && outputs.lose_all()
            && !outputs.is_result
        {
            actions.push(Action::MapOutputsChanged { shuffle, epoch: outputs.epoch() });
        }
        self.kill_attempts(&running, KillReason::RolledBack, actions);
        self.update_turn(id);
    }

    pub(crate) fn fail_jobs(&mut self, jobs: Vec<JobId>, failure: &JobFailure, actions: &mut Vec<Action>) {
        for job in jobs {
            if self.end_job(job, actions) {
                actions.push(Action::JobFailed { job, failure: failure.clone() });
            }
        }
    }

    /// A job is done when its result stage is, and the driver has every result.
    pub(crate) fn end_job_if_done(&mut self, id: JobId, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.get(&id) else { return };
        let Some(result) = self.stages.get(&job.result_stage) else { return };
        let fetched = !result.spec.output.is_result() || job.fetched == result.spec.num_tasks;
        if fetched && result.tasks.is_complete() && self.end_job(id, actions) {
            actions.push(Action::JobSucceeded { job: id });
        }
    }

    /// Forgets the job and what only it needed. False when it is not running.
    pub(crate) fn end_job(&mut self, id: JobId, actions: &mut Vec<Action>) -> bool {
        let Some(job) = self.jobs.remove(&id) else { return false };
        for stage_id in job.stages {
            let Some(stage) = self.stages.get_mut(&stage_id) else { continue };
            stage.jobs.retain(|job| *job != id);
            if !stage.jobs.is_empty() {
                self.update_turn(stage_id);
                continue;
            }
            if let Some(turn) = stage.turn {
                self.pools.remove(turn);
            }
            self.unschedulable.remove(stage_id);
            let Some(stage) = self.stages.remove(&stage_id) else { continue };
            for parent in &stage.spec.parents {
                if let Some(parent) = self.stages.get_mut(parent) {
                    parent.children.retain(|child| *child != stage_id);
                }
            }
            self.kill_attempts(&stage.tasks.running_attempts(), KillReason::JobEnded, actions);
            let shuffle = stage.spec.output.shuffle();
            self.writers.remove(&shuffle);
            if self.outputs.get(shuffle).is_some_and(|outputs| !outputs.retained) {
                self.outputs.remove(shuffle);
                actions.push(Action::RemoveShuffle { shuffle });
            }
        }
        true
    }
}
