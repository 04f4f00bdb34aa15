//! Runs in which something is lost.
//!
//! A scenario ([`scenario`]) is a function of a [`backend::Backend`] and a configuration. There are two backends: the
//! real cluster, and processes on loopback with a small stand-in for Kubernetes ([`process`]) — the same driver, executors
//! and images of a fault, in a fraction of the time. Both run every scenario with adaptive execution on and off.
//!
//! No scenario sleeps and hopes: the S3 server holds requests of the job ([`work`]), so that it stands still at the wanted
//! point, and the driver's own counts (`/stages`, `/executors`) tell that it is there.

mod backend;
mod cluster;
mod kubernetes;
mod pods;
mod process;
mod processes;
mod scenario;
mod work;
