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
    source::{FormatSource, Reading},
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

/// A scan of files that [`FormatSource`] reads.
#[derive(Debug)]
pub(super) struct FormatScanCodec;

#[derive(Clone, PartialEq, Message)]
struct FormatScan {
    #[prost(message, optional, tag = "1")]
    scan: Option<FileScanExecConf>,
    /// How the files are read, as JSON.
    #[prost(bytes = "vec", tag = "2")]
    reading: Vec<u8>,
}

impl NodeCodec for FormatScanCodec {
    fn name(&self) -> &'static str {
        "FormatScan"
    }

    fn encode(&self, node: &Arc<dyn ExecutionPlan>, cx: &EncodeContext<'_>) -> Result<Option<Vec<u8>>> {
        let Some(scan) = file_scan(node) else { return Ok(None) };
        let Some(source) = scan.file_source().downcast_ref::<FormatSource>() else { return Ok(None) };
        let reading = serde_json::to_vec(source.reading()).map_err(|e| DataFusionError::External(e.into()))?;
        let scan = Some(serialize_file_scan_config(scan, cx.codec, cx.converter)?);
        Ok(Some(FormatScan { scan, reading }.encode_to_vec()))
    }

    fn decode(
        &self,
        bytes: &[u8],
        _: &[Arc<dyn ExecutionPlan>],
        cx: &DecodeContext<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scan = FormatScan::decode(bytes).map_err(|e| exec_datafusion_err!("bytes that are no scan: {e}"))?;
        let reading: Reading =
            serde_json::from_slice(&scan.reading).map_err(|e| exec_datafusion_err!("bytes that are no scan: {e}"))?;
        let Some(conf) = scan.scan else { return internal_err!("a scan without files") };
        let source = FormatSource::new(FileScanConfig::parse_table_schema_from_proto(&conf)?, Arc::new(reading));
        let decode = PhysicalPlanDecodeContext::new(cx.task, cx.codec);
        let scan = parse_protobuf_file_scan_config(&conf, &decode, cx.converter, Arc::new(source))?;
        Ok(DataSourceExec::from_data_source(scan))
    }
}
