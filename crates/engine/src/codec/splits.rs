//! File scans travel without their files; each task brings its own.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::{
    common::{Result, exec_datafusion_err, internal_err},
    datasource::{
        physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder},
        source::DataSourceExec,
    },
    physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions},
};
use datafusion_proto::protobuf;
use firesteel_protocol::proto::ScanSplit;
use prost::Message;

use crate::stage::{file_scan, grow_stack, scan_partitions};

/// The plan with as many file groups in each scan as before, all empty.
pub(super) fn without_files(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    map_scans(plan, &mut 0, &mut |_, scan| Ok(vec![FileGroup::default(); scan.file_groups.len()]))
}

/// The file groups that `task` reads.
pub(super) fn of_task(plan: &Arc<dyn ExecutionPlan>, task: usize) -> Result<Vec<ScanSplit>> {
    let scans = scans(plan)?;
    scan_partitions(plan, task)?
        .into_iter()
        .map(|read| {
            let group = scans.get(read.scan).and_then(|scan| file_scan(scan)?.file_groups.get(read.partition));
            let Some(group) = group else { return internal_err!("{read:?} is not in the plan") };
            Ok(ScanSplit {
                scan: read.scan as u32,
                file_group: Bytes::from(protobuf::FileGroup::try_from(group)?.encode_to_vec()),
                partition: read.partition as u32,
            })
        })
        .collect()
}

fn scans(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
    let mut scans = Vec::new();
    crate::stage::each_node(plan, &mut |node| {
        if file_scan(node).is_some() {
            scans.push(node.clone());
        }
        Ok(())
    })?;
    Ok(scans)
}

/// Puts a task's file groups into the scans of its stage's plan.
pub fn apply_splits(plan: Arc<dyn ExecutionPlan>, splits: &[ScanSplit]) -> Result<Arc<dyn ExecutionPlan>> {
    map_scans(plan, &mut 0, &mut |index, scan| {
        let mut groups = vec![FileGroup::default(); scan.file_groups.len()];
        for split in splits.iter().filter(|split| split.scan as usize == index) {
            let Some(group) = groups.get_mut(split.partition as usize) else {
                return internal_err!("a split for partition {} of {}", split.partition, scan.file_groups.len());
            };
            let message = protobuf::FileGroup::decode(split.file_group.clone())
                .map_err(|e| exec_datafusion_err!("bytes that are no file group: {e}"))?;
            *group = FileGroup::try_from(&message)?;
        }
        Ok(groups)
    })
}

/// Gives every file scan, counted depth first, the groups that `groups` answers.
fn map_scans(
    plan: Arc<dyn ExecutionPlan>,
    next: &mut usize,
    groups: &mut dyn FnMut(usize, &FileScanConfig) -> Result<Vec<FileGroup>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(scan) = file_scan(&plan) {
        let index = *next;
        *next += 1;
        let groups = groups(index, scan)?;
        let scan = FileScanConfigBuilder::from(scan.clone()).with_file_groups(groups).build();
        return Ok(DataSourceExec::from_data_source(scan));
    }
    let old: Vec<_> = plan.children().into_iter().cloned().collect();
    let mut new = Vec::with_capacity(old.len());
    for child in &old {
        new.push(grow_stack(|| map_scans(child.clone(), next, groups))?);
    }
    if old.iter().zip(&new).all(|(old, new)| Arc::ptr_eq(old, new)) {
        return Ok(plan);
    }
    plan.replace_children(new, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}
