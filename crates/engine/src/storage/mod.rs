//! Where data lives: local files and S3, addressed by Spark's URLs and configured by Hadoop's keys.

pub mod error;
pub mod glob;
mod location;
mod stores;

pub use location::Location;
pub use stores::Stores;
