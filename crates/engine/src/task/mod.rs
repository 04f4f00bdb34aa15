//! One attempt at a task.
