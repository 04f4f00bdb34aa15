//! How files are divided among tasks.

use datafusion::datasource::{listing::PartitionedFile, physical_plan::FileGroup};
use firesteel_plan::{SparkConf, conf::keys};

use super::read::Compression;
use crate::ExecutionMode;

/// What opening a file is taken to cost, in bytes read: small files are packed together.
const OPEN_COST: u64 = 4 << 20;

/// Divides files into the inputs of tasks. In one process: one group a slot, of like size. On a cluster: by Spark's
/// rule, at most `spark.sql.files.maxPartitionBytes` a task and no more than a slot's share.
pub fn divide(
    files: Vec<PartitionedFile>,
    splittable: bool,
    mode: ExecutionMode,
    slots: usize,
    conf: &SparkConf,
) -> Vec<FileGroup> {
    // What can be divided and is empty has no part to read.
    let files: Vec<PartitionedFile> = files.into_iter().filter(|f| !splittable || f.object_meta.size > 0).collect();
    if files.is_empty() {
        return Vec::new();
    }
    let slots = slots.max(1) as u64;
    let total: u64 = files.iter().map(|f| f.object_meta.size + OPEN_COST).sum();
    let limit = match mode {
        ExecutionMode::InProcess => total.div_ceil(slots),
        ExecutionMode::Cluster => {
            let max = u64::try_from(conf.bytes(&keys::MAX_PARTITION_BYTES)).unwrap_or(128 << 20);
            let parallelism =
                u64::try_from(conf.int(&keys::DEFAULT_PARALLELISM)).ok().filter(|p| *p > 0).unwrap_or(slots);
            max.min((total / parallelism).max(OPEN_COST))
        }
    }
    .max(1);
    let mut pieces: Vec<PartitionedFile> = files.into_iter().flat_map(|f| split_file(f, splittable, limit)).collect();
    // The largest first, into the first group with room.
    pieces.sort_by_key(|p| std::cmp::Reverse(size(p)));
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> = Vec::new();
    let mut open = 0;
    for piece in pieces {
        let cost = size(&piece) + OPEN_COST.min(limit / 4);
        // Groups that are full are not looked at again.
        while open < groups.len() && groups[open].0 + OPEN_COST.min(limit / 4) > limit {
            open += 1;
        }
        match groups.get_mut(open).filter(|g| g.0 + cost <= limit + limit / 8) {
            Some(group) => {
                group.0 += cost;
                group.1.push(piece);
            }
            None => {
                if open < groups.len() {
                    open = groups.len();
                }
                groups.push((cost, vec![piece]));
            }
        }
    }
    groups.into_iter().map(|(_, files)| FileGroup::new(files)).collect()
}

fn size(file: &PartitionedFile) -> u64 {
    file.range.as_ref().map_or(file.object_meta.size, |r| u64::try_from(r.end - r.start).unwrap_or(0))
}

/// Text that is compressed as a whole: only from its beginning can it be read.
fn is_compressed(file: &PartitionedFile) -> bool {
    Compression::of(&file.object_meta).ok() != Some(Compression::None)
}

fn split_file(file: PartitionedFile, splittable: bool, limit: u64) -> Vec<PartitionedFile> {
    let size = file.object_meta.size;
    let splittable = splittable && !is_compressed(&file);
    if !splittable || size <= limit + limit / 8 {
        return vec![file];
    }
    let pieces = size.div_ceil(limit);
    let step = size.div_ceil(pieces);
    (0..pieces)
        .map(|i| {
            let start = i * step;
            let end = ((i + 1) * step).min(size);
            // A piece has no statistics of its own.
            let mut piece = PartitionedFile { statistics: None, ..file.clone() };
            piece.range = Some(datafusion::datasource::listing::FileRange {
                start: i64::try_from(start).unwrap_or(i64::MAX),
                end: i64::try_from(end).unwrap_or(i64::MAX),
            });
            piece
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(size: u64) -> PartitionedFile {
        PartitionedFile::new("f", size)
    }

    fn total(groups: &[FileGroup]) -> u64 {
        groups.iter().flat_map(|g| g.files()).map(size).sum()
    }

    #[test]
    fn one_process_gets_a_group_a_slot() {
        let groups = divide(vec![file(1 << 30)], true, ExecutionMode::InProcess, 2, &SparkConf::new());
        assert_eq!(groups.len(), 2);
        assert_eq!(total(&groups), 1 << 30);
    }

    #[test]
    fn a_cluster_splits_large_files_and_packs_small_ones() {
        let conf = SparkConf::new();
        let groups = divide(vec![file(1 << 30)], true, ExecutionMode::Cluster, 4, &conf);
        assert_eq!(groups.len(), 8);
        assert_eq!(total(&groups), 1 << 30);
        let many = divide(vec![file(1 << 10); 1000], true, ExecutionMode::Cluster, 4, &conf);
        assert!(many.len() < 100, "{}", many.len());
        assert_eq!(total(&many), 1000 << 10);
        assert_eq!(divide(vec![file(1 << 30)], false, ExecutionMode::Cluster, 4, &conf).len(), 1);
    }
}
