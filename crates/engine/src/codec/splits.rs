//! File scans travel without their files; each task brings its own.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::{
    common::{Result, exec_datafusion_err, internal_err},
    datasource::{
        file_format::file_compression_type::FileCompressionType,
        physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder},
        source::DataSourceExec,
    },
    physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions},
};
use datafusion_proto::protobuf;
use firesteel_protocol::proto::ScanSplit;
use prost::Message;

use crate::{
    source::SparkColumns,
    stage::{file_scan, grow_stack, scan_partitions},
};

/// What DataFusion's encoding leaves out of a scan, or cuts short.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ScanSettings {
    /// How the files are compressed, as `FileCompressionType` names it.
    #[prost(string, tag = "1")]
    compression: String,
    #[prost(uint64, optional, tag = "2")]
    limit: Option<u64>,
    #[prost(bool, tag = "3")]
    preserve_order: bool,
}

/// The settings of every file scan, depth first.
pub(super) fn settings(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<ScanSettings>> {
    let settings = |scan: &FileScanConfig| ScanSettings {
        compression: scan.file_compression_type.get_variant().to_string(),
        limit: scan.limit.map(|limit| limit as u64),
        preserve_order: scan.preserve_order,
    };
    Ok(scans(plan)?.iter().filter_map(|node| file_scan(node).map(settings)).collect())
}

pub(super) fn with_settings(plan: Arc<dyn ExecutionPlan>, settings: &[ScanSettings]) -> Result<Arc<dyn ExecutionPlan>> {
    map_scans(plan, &mut 0, &mut |index, scan| {
        let Some(settings) = settings.get(index) else { return internal_err!("scan {index} has no settings") };
        let compression = match settings.compression.as_str() {
            "" => FileCompressionType::UNCOMPRESSED,
            name => name.parse()?,
        };
        Ok(FileScanConfigBuilder::from(scan.clone())
            .with_file_compression_type(compression)
            .with_limit(settings.limit.and_then(|limit| usize::try_from(limit).ok()))
            .with_preserve_order(settings.preserve_order)
            // Not encoded: all scans have it.
            .with_expr_adapter(Some(Arc::new(SparkColumns)))
            .build())
    })
}

/// The plan with as many file groups in each scan as before, all empty.
pub(super) fn without_files(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    map_scans(plan, &mut 0, &mut |_, scan| Ok(with_groups(scan, vec![FileGroup::default(); scan.file_groups.len()])))
}

fn with_groups(scan: &FileScanConfig, groups: Vec<FileGroup>) -> FileScanConfig {
    FileScanConfigBuilder::from(scan.clone()).with_file_groups(groups).build()
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
        Ok(with_groups(scan, groups))
    })
}

/// Puts what `new` answers in the place of every file scan, counted depth first.
fn map_scans(
    plan: Arc<dyn ExecutionPlan>,
    next: &mut usize,
    new: &mut dyn FnMut(usize, &FileScanConfig) -> Result<FileScanConfig>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(scan) = file_scan(&plan) {
        let index = *next;
        *next += 1;
        return Ok(DataSourceExec::from_data_source(new(index, scan)?));
    }
    let old: Vec<_> = plan.children().into_iter().cloned().collect();
    let mut children = Vec::with_capacity(old.len());
    for child in &old {
        children.push(grow_stack(|| map_scans(child.clone(), next, new))?);
    }
    if old.iter().zip(&children).all(|(old, new)| Arc::ptr_eq(old, new)) {
        return Ok(plan);
    }
    plan.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}
