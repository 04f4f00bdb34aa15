//! Tests of the scheduler through its public face: by hand, event by event (`rules`, `losses`, `limits`,
//! `speculation`, `exclusion`, `locality`, `sharing`, `ahead`), and in
//! a virtual cluster under random faults (`random`).

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ahead;
mod cluster;
mod exclusion;
mod hand;
mod limits;
mod locality;
mod losses;
mod random;
mod rules;
mod sharing;
mod speculation;
