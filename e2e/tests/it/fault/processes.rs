//! The scenarios on processes of this machine. Their names lack the `fault_` of those on a cluster: these need none.

use super::{
    backend::Backend,
    process::Processes,
    scenario::{self, executors, machines, pods},
    work::Conf,
};
use crate::harness::prepare;

fn run(scenario: impl AsyncFnOnce(&dyn Backend)) {
    prepare(async {
        let backend = Processes::start().await;
        scenario(&backend).await;
    });
}

macro_rules! on_processes {
    ($($name:ident: $scenario:path;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn plain() {
                run(async |backend| $scenario(backend, Conf { adaptive: false }).await);
            }

            #[test]
            fn adaptive() {
                run(async |backend| $scenario(backend, Conf { adaptive: true }).await);
            }
        }
    )*};
}

on_processes! {
    nothing_happens: scenario::undisturbed;
    executor_killed_while_mapping: executors::killed_while_mapping;
    executor_killed_after_mapping: executors::killed_after_mapping;
    executor_killed_while_reducing: executors::killed_while_reducing;
    executors_killed_twice_in_a_row: executors::killed_twice;
    executor_slow: executors::slow;
    node_lost: machines::node_lost;
    network_cut: machines::network_cut;
    disk_filled: machines::disk_filled;
    image_missing_for_a_replacement: pods::images_missing;
    quota_exhausted: pods::quota_exhausted;
    node_drained: machines::node_drained;
    driver_killed: pods::driver_killed;
}
