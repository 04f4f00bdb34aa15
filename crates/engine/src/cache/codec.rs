//! The scan of a cached relation on the wire.

use std::sync::Arc;

use datafusion::{
    common::{Result, exec_datafusion_err, internal_err},
    physical_plan::ExecutionPlan,
};
use datafusion_proto::protobuf;
use prost::Message;

use super::{
    CacheSettings, InMemoryTableScanExec, StorageLevel,
    exec::{Lineage, Scanned},
};
use crate::{
    codec::{DecodeContext, EncodeContext, NodeCodec},
    shuffle::BlockCompression,
};

/// [`InMemoryTableScanExec`]: its relation's number and settings; its lineage is its child.
#[derive(Debug)]
pub struct CacheScanCodec;

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(uint64, tag = "1")]
    relation: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, optional, tag = "3")]
    level: Option<StorageLevel>,
    #[prost(uint64, tag = "4")]
    batch_rows: u64,
    #[prost(bool, tag = "5")]
    compressed: bool,
    #[prost(message, optional, tag = "6")]
    schema: Option<protobuf::Schema>,
    #[prost(uint64, tag = "7")]
    partitions: u64,
    #[prost(message, optional, tag = "8")]
    projection: Option<Projection>,
    #[prost(message, optional, tag = "9")]
    predicate: Option<protobuf::PhysicalExprNode>,
    #[prost(bool, tag = "10")]
    complete: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Projection {
    #[prost(uint64, repeated, tag = "1")]
    columns: Vec<u64>,
}

impl NodeCodec for CacheScanCodec {
    fn name(&self) -> &'static str {
        "InMemoryTableScan"
    }

    fn encode(&self, node: &Arc<dyn ExecutionPlan>, cx: &EncodeContext<'_>) -> Result<Option<Vec<u8>>> {
        let Some(scan) = node.downcast_ref::<InMemoryTableScanExec>() else { return Ok(None) };
        if matches!(scan.lineage, Lineage::Hidden(_)) {
            return internal_err!("the scan of a cached relation must be cut before it is sent");
        }
        let scanned = scan.scanned();
        let node = Node {
            relation: scanned.relation,
            name: scanned.name.clone(),
            level: Some(scanned.level),
            batch_rows: scanned.settings.batch_rows as u64,
            compressed: scanned.settings.compression != BlockCompression::None,
            schema: Some(scanned.schema.as_ref().try_into()?),
            partitions: scanned.partitions as u64,
            projection: scanned
                .projection
                .as_ref()
                .map(|columns| Projection { columns: columns.iter().map(|c| *c as u64).collect() }),
            predicate: scanned.predicate.as_ref().map(|predicate| cx.encode_expr(predicate)).transpose()?,
            complete: scan.is_complete(),
        };
        Ok(Some(node.encode_to_vec()))
    }

    fn decode(
        &self,
        bytes: &[u8],
        children: &[Arc<dyn ExecutionPlan>],
        cx: &DecodeContext<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let node = Node::decode(bytes).map_err(|e| exec_datafusion_err!("bytes that are no cached scan: {e}"))?;
        let (Some(level), Some(schema)) = (node.level, &node.schema) else {
            return internal_err!("a cached scan without level or schema");
        };
        let schema: Arc<arrow::datatypes::Schema> = Arc::new(schema.try_into()?);
        let number = |n: u64| usize::try_from(n).map_err(|_| exec_datafusion_err!("a number that is too large"));
        let projection = node.projection.map(|p| p.columns.into_iter().map(number).collect::<Result<Vec<_>>>());
        let predicate = node.predicate.as_ref().map(|expr| cx.decode_expr(expr, &schema)).transpose()?;
        let scanned = Scanned {
            relation: node.relation,
            name: node.name,
            level,
            settings: CacheSettings {
                batch_rows: number(node.batch_rows)?.max(1),
                compression: if node.compressed { BlockCompression::Lz4 } else { BlockCompression::None },
            },
            schema,
            partitions: number(node.partitions)?,
            projection: projection.transpose()?,
            predicate,
        };
        let lineage = match children {
            [] => Lineage::Cut,
            [child] => Lineage::Child(child.clone()),
            _ => return internal_err!("a cached scan has one lineage"),
        };
        Ok(Arc::new(InMemoryTableScanExec::with_lineage(Arc::new(scanned), lineage, node.complete)?))
    }
}
