//! Storage levels, under Spark's names.

use std::fmt;

use prost::Message;

/// Where the blocks of a relation are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct StorageLevel {
    #[prost(bool, tag = "1")]
    pub disk: bool,
    #[prost(bool, tag = "2")]
    pub memory: bool,
    /// In memory as Arrow arrays; else encoded, which takes less memory and more time.
    #[prost(bool, tag = "3")]
    pub deserialized: bool,
    #[prost(bool, tag = "4")]
    pub off_heap: bool,
    /// Executors that have a copy of each block.
    #[prost(uint32, tag = "5")]
    pub replicas: u32,
}

const fn level(disk: bool, memory: bool, deserialized: bool, replicas: u32) -> StorageLevel {
    StorageLevel { disk, memory, deserialized, off_heap: false, replicas }
}

const NAMES: &[(&str, StorageLevel)] = &[
    ("NONE", StorageLevel::NONE),
    ("DISK_ONLY", level(true, false, false, 1)),
    ("DISK_ONLY_2", level(true, false, false, 2)),
    ("DISK_ONLY_3", level(true, false, false, 3)),
    ("MEMORY_ONLY", level(false, true, true, 1)),
    ("MEMORY_ONLY_2", level(false, true, true, 2)),
    ("MEMORY_ONLY_SER", level(false, true, false, 1)),
    ("MEMORY_ONLY_SER_2", level(false, true, false, 2)),
    ("MEMORY_AND_DISK", StorageLevel::MEMORY_AND_DISK),
    ("MEMORY_AND_DISK_2", level(true, true, true, 2)),
    ("MEMORY_AND_DISK_SER", level(true, true, false, 1)),
    ("MEMORY_AND_DISK_SER_2", level(true, true, false, 2)),
    ("OFF_HEAP", StorageLevel { off_heap: true, ..level(true, true, false, 1) }),
];

impl StorageLevel {
    pub const NONE: Self = level(false, false, false, 1);
    /// What Datasets and tables are cached with unless it is said.
    pub const MEMORY_AND_DISK: Self = level(true, true, true, 1);

    /// By its name, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, level)| *level)
    }

    /// Whether anything is kept at all.
    pub fn keeps(&self) -> bool {
        (self.disk || self.memory) && self.replicas > 0
    }
}

/// As Spark shows it in plans.
impl fmt::Display for StorageLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = [
            (self.disk, "disk"),
            (self.memory, "memory"),
            (self.off_heap, "offheap"),
            (self.deserialized, "deserialized"),
        ];
        f.write_str("StorageLevel(")?;
        for (_, name) in flags.iter().filter(|(on, _)| *on) {
            write!(f, "{name}, ")?;
        }
        write!(f, "{} replicas)", self.replicas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_case() {
        assert_eq!(StorageLevel::parse("memory_and_disk"), Some(StorageLevel::MEMORY_AND_DISK));
        assert_eq!(StorageLevel::parse("Disk_Only_3").map(|l| l.replicas), Some(3));
        assert_eq!(StorageLevel::parse("HEAP"), None);
        assert!(!StorageLevel::NONE.keeps());
    }
}
