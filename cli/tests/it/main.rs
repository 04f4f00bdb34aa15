//! The command itself, as people call it.

mod masters;
