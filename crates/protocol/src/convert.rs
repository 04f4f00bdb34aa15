//! Between the wire's messages and the ids of this crate.

use crate::{StageId, TaskAttemptId, TaskId, proto};

impl From<TaskAttemptId> for proto::TaskAttemptId {
    fn from(id: TaskAttemptId) -> Self {
        Self {
            stage: id.task.stage.0,
            partition: id.task.partition,
            stage_attempt: id.stage_attempt,
            attempt: id.attempt,
        }
    }
}

impl From<&proto::TaskAttemptId> for TaskAttemptId {
    fn from(id: &proto::TaskAttemptId) -> Self {
        Self {
            task: TaskId { stage: StageId(id.stage), partition: id.partition },
            stage_attempt: id.stage_attempt,
            attempt: id.attempt,
        }
    }
}
