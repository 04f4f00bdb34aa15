//! What tests on a real Kubernetes need beside it.

pub mod s3;
