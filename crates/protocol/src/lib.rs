//! What driver and executors say to each other: ids, messages and the two gRPC services.
//!
//! An executor dials the driver and keeps one two-way stream open ([`proto::driver_client`]): it registers, reports and
//! beats on it, and receives its tasks on it. Executors and the driver dial an executor only to fetch blocks.

pub mod auth;
pub mod convert;
pub mod ids;

pub use ids::*;

/// Generated from `proto/firesteel.proto`.
#[allow(clippy::all, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
pub mod proto {
    tonic::include_proto!("firesteel.v1");
}

/// Wire version: driver and executor must be of the same build, since plans are encoded with its operators.
pub const PROTOCOL_VERSION: &str = env!("CARGO_PKG_VERSION");

/// gRPC metadata key of the shared secret of one application attempt.
pub const AUTH_HEADER: &str = "x-firesteel-token";
