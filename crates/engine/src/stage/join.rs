//! Joins whose build side every task reads.
