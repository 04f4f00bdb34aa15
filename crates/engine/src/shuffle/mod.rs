//! The exchange between stages.
