//! Tests of the scheduler through its public face: by hand, event by event (`rules`), and in a virtual cluster under
//! random faults (`random`).

mod cluster;
mod hand;
mod random;
mod rules;
