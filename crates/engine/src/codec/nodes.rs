//! The engine's own operators and file sources on the wire.

use std::sync::Arc;

use datafusion::{
    common::{DataFusionError, Result, exec_datafusion_err, internal_err},
    datasource::{physical_plan::FileScanConfig, source::DataSourceExec},
    physical_plan::ExecutionPlan,
};
use datafusion_proto::{
    physical_plan::{
        PhysicalPlanDecodeContext, from_proto::parse_protobuf_file_scan_config, to_proto::serialize_file_scan_config,
    },
    protobuf::FileScanExecConf,
};
use prost::Message;

use super::{DecodeContext, EncodeContext, NodeCodec};
use crate::{
    source::TextSource,
    stage::file_scan,
    write::{FileWriteExec, WriteTask},
};

/// [`FileWriteExec`]: its task as JSON.
#[derive(Debug)]
pub(super) struct FileWriteCodec;

impl NodeCodec for FileWriteCodec {
    fn name(&self) -> &'static str {
        "FileWrite"
    }

    fn encode(&self, node: &Arc<dyn ExecutionPlan>, _: &EncodeContext<'_>) -> Result<Option<Vec<u8>>> {
        let Some(write) = node.downcast_ref::<FileWriteExec>() else { return Ok(None) };
        serde_json::to_vec(write.task()).map(Some).map_err(|e| DataFusionError::External(e.into()))
    }

    fn decode(
        &self,
        bytes: &[u8],
        children: &[Arc<dyn ExecutionPlan>],
        _: &DecodeContext<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let task: WriteTask =
            serde_json::from_slice(bytes).map_err(|e| exec_datafusion_err!("bytes that are no write: {e}"))?;
        match children {
            [input] => Ok(Arc::new(FileWriteExec::new(input.clone(), task))),
            _ => internal_err!("a write has one input"),
        }
    }
}

/// A scan of text files.
#[derive(Debug)]
pub(super) struct TextScanCodec;

impl NodeCodec for TextScanCodec {
    fn name(&self) -> &'static str {
        "TextScan"
    }

    fn encode(&self, node: &Arc<dyn ExecutionPlan>, cx: &EncodeContext<'_>) -> Result<Option<Vec<u8>>> {
        match file_scan(node) {
            Some(scan) if scan.file_source().is::<TextSource>() => {
                Ok(Some(serialize_file_scan_config(scan, cx.codec, cx.converter)?.encode_to_vec()))
            }
            _ => Ok(None),
        }
    }

    fn decode(
        &self,
        bytes: &[u8],
        _: &[Arc<dyn ExecutionPlan>],
        cx: &DecodeContext<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let conf = FileScanExecConf::decode(bytes).map_err(|e| exec_datafusion_err!("bytes that are no scan: {e}"))?;
        let source = TextSource::new(FileScanConfig::parse_table_schema_from_proto(&conf)?);
        let decode = PhysicalPlanDecodeContext::new(cx.task, cx.codec);
        let scan = parse_protobuf_file_scan_config(&conf, &decode, cx.converter, Arc::new(source))?;
        Ok(DataSourceExec::from_data_source(scan))
    }
}
