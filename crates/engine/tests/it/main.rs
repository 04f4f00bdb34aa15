//! The engine's parts together, without a network.

mod shuffle;
