//! The trace of jobs: spans of jobs, stage attempts and task attempts, from what the scheduler and the executors say.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use firesteel_protocol::{ExecutorId, JobId, StageId, TaskAttemptId, proto::TaskMetrics};
use firesteel_scheduler::TaskFailure;
use opentelemetry::{
    Context, KeyValue,
    trace::{Span, Status, TraceContextExt, Tracer},
};

use crate::traces::{self, tracer};

/// Open spans. Bounded by the jobs that run.
#[derive(Default)]
pub struct Spans {
    jobs: HashMap<JobId, Context>,
    stages: HashMap<StageId, Context>,
}

pub enum StageEnd {
    Finished,
    /// It waits for inputs that were lost, and starts again as another attempt.
    InputsLost,
}

impl Spans {
    /// The job's span is within the span that is current: its statement's.
    pub fn job_started(&mut self, job: JobId, stages: usize) {
        let parent = Context::current();
        if !parent.span().span_context().is_sampled() {
            return;
        }
        let attributes = vec![number("firesteel.job", job.0), number("firesteel.stages", stages as u64)];
        self.jobs.insert(job, traces::span(format!("job {job}"), attributes, &parent));
    }

    pub fn stage_started(&mut self, job: JobId, stage: StageId, attempt: u32, tasks: u32) {
        let Some(job) = self.jobs.get(&job) else { return };
        let attributes = vec![
            number("firesteel.stage", stage.0.into()),
            number("firesteel.stage.attempt", attempt.into()),
            number("firesteel.tasks", tasks.into()),
        ];
        let span = traces::span(format!("stage {stage}"), attributes, job);
        if let Some(before) = self.stages.insert(stage, span) {
            traces::end(&before, None);
        }
    }

    pub fn stage_ended(&mut self, stage: StageId, how: StageEnd) {
        let Some(span) = self.stages.remove(&stage) else { return };
        let error = match how {
            StageEnd::Finished => None,
            StageEnd::InputsLost => Some("inputs were lost and are made again".to_owned()),
        };
        traces::end(&span, error);
    }

    /// A task attempt that ended now. When it began follows from its own measure of its time.
    pub fn task_ended(
        &self,
        job: JobId,
        id: &TaskAttemptId,
        executor: &ExecutorId,
        metrics: Option<&TaskMetrics>,
        failure: Option<&TaskFailure>,
    ) {
        // A stage that is over has tasks still when it was started twice: they belong to the job.
        let Some(parent) = self.stages.get(&id.task.stage).or_else(|| self.jobs.get(&job)) else { return };
        let none = TaskMetrics::default();
        let metrics = metrics.unwrap_or(&none);
        let ended = SystemTime::now();
        let tracer = tracer();
        let mut span = tracer
            .span_builder(format!("task {}", id.task.partition))
            .with_start_time(ended.checked_sub(Duration::from_nanos(metrics.run_nanos)).unwrap_or(ended))
            .with_attributes([
                number("firesteel.partition", id.task.partition.into()),
                number("firesteel.task.attempt", id.attempt),
                KeyValue::new("firesteel.executor", executor.to_string()),
                number("firesteel.rows.read", metrics.input_rows + metrics.shuffle_read_rows),
                number("firesteel.rows.written", metrics.output_rows + metrics.shuffle_write_rows),
                number("firesteel.shuffle.bytes.read", metrics.shuffle_read_bytes),
                number("firesteel.shuffle.bytes.written", metrics.shuffle_write_bytes),
                number("firesteel.spilled.bytes", metrics.spilled_bytes),
                number("firesteel.memory.peak.bytes", metrics.peak_memory_bytes),
            ])
            .start_with_context(&tracer, parent);
        if let Some(failure) = failure {
            span.set_status(Status::error(failure.to_string()));
        }
        span.end_with_timestamp(ended);
    }

    pub fn job_ended(&mut self, job: JobId, stages: &[StageId], error: Option<String>) {
        for stage in stages {
            if let Some(span) = self.stages.remove(stage) {
                traces::end(&span, None);
            }
        }
        if let Some(span) = self.jobs.remove(&job) {
            traces::end(&span, error);
        }
    }
}

fn number(name: &'static str, value: u64) -> KeyValue {
    KeyValue::new(name, i64::try_from(value).unwrap_or(i64::MAX))
}
