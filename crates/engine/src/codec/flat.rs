//! Plans of any depth as a flat table of nodes.
//!
//! Protocol buffers refuse to decode messages nested deeper than a hundred levels, which a plan of some dozens of
//! operators reaches. So every plan node is a message of its own in which references stand for its children, and so is
//! every expression at certain depths. Nodes come after their children: decoding goes through the table once.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    sync::Arc,
};

use arrow::datatypes::Schema;
use datafusion::{
    common::{DataFusionError, Result, internal_datafusion_err, internal_err},
    physical_expr::{PhysicalExpr, expressions::Literal, scalar_subquery::ScalarSubqueryExpr},
    physical_plan::ExecutionPlan,
};
use datafusion_proto::{
    physical_plan::{
        PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalPlanNodeExt, PhysicalProtoConverterExtension,
        from_proto::parse_physical_expr_with_converter, to_proto::serialize_physical_expr_with_converter,
    },
    protobuf::{
        PhysicalExprNode, PhysicalExtensionExprNode, PhysicalExtensionNode, PhysicalPlanNode,
        physical_expr_node::ExprType, physical_plan_node::PhysicalPlanType,
    },
};
use prost::Message;

use crate::stage::grow_stack;

/// The wire form of a plan, and of expressions beside it.
#[derive(Clone, PartialEq, Message)]
pub struct FlatPlan {
    /// `PhysicalPlanNode`s, children first; the last one is the plan.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub nodes: Vec<Vec<u8>>,
    /// `PhysicalExprNode`s that were too deep for the node that they belong to.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub exprs: Vec<Vec<u8>>,
}

/// What marks a reference. No other extension's bytes begin so: theirs begin with the length of a name.
const REFERENCE: [u8; 4] = [0xff, b'r', b'e', b'f'];
/// Levels of an expression in one message. Some of them take three levels of messages.
const EXPR_LEVELS: usize = 24;

fn reference(index: usize) -> Vec<u8> {
    [&REFERENCE[..], &(index as u64).to_le_bytes()].concat()
}

fn referred(bytes: &[u8]) -> Option<usize> {
    let index = bytes.strip_prefix(&REFERENCE)?;
    usize::try_from(u64::from_le_bytes(index.try_into().ok()?)).ok()
}

/// Fills a [`FlatPlan`].
#[derive(Default)]
pub struct FlatEncoder {
    nodes: RefCell<Vec<Vec<u8>>>,
    exprs: RefCell<Vec<Vec<u8>>>,
    depth: Cell<usize>,
    /// Ids of expressions, numbered as they were met: equal plans have equal bytes.
    ids: RefCell<HashMap<u64, u64>>,
}

impl FlatEncoder {
    pub fn finish(self) -> FlatPlan {
        FlatPlan { nodes: self.nodes.into_inner(), exprs: self.exprs.into_inner() }
    }
}

impl PhysicalProtoConverterExtension for FlatEncoder {
    fn execution_plan_to_proto(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        codec: &dyn PhysicalExtensionCodec,
    ) -> Result<PhysicalPlanNode> {
        let node = grow_stack(|| {
            let depth = self.depth.replace(0);
            let node = PhysicalPlanNode::try_from_physical_plan_with_converter(plan.clone(), codec, self);
            self.depth.set(depth);
            node
        })?;
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(node.encode_to_vec());
        let node = reference(nodes.len() - 1);
        let extension = PhysicalExtensionNode { node, inputs: vec![] };
        Ok(PhysicalPlanNode { physical_plan_type: Some(PhysicalPlanType::Extension(extension)) })
    }

    fn physical_expr_to_proto(
        &self,
        expr: &Arc<dyn PhysicalExpr>,
        codec: &dyn PhysicalExtensionCodec,
    ) -> Result<PhysicalExprNode> {
        let inlined;
        let expr = if let Some(subquery) = expr.downcast_ref::<ScalarSubqueryExpr>() {
            #[expect(deprecated, reason = "the one way to its slot")]
            let Some(value) = subquery.results().get(subquery.index()) else {
                return internal_err!("a scalar subquery without its value: it must be inlined before a plan is sent");
            };
            inlined = Arc::new(Literal::new(value)) as Arc<dyn PhysicalExpr>;
            &inlined
        } else {
            expr
        };
        let depth = self.depth.get();
        self.depth.set(depth + 1);
        let node = grow_stack(|| serialize_physical_expr_with_converter(expr, codec, self));
        self.depth.set(depth);
        let mut node = node?;
        if let Some(id) = &mut node.expr_id {
            let mut ids = self.ids.borrow_mut();
            let next = ids.len() as u64;
            *id = *ids.entry(*id).or_insert(next);
        }
        if depth == 0 || !depth.is_multiple_of(EXPR_LEVELS) {
            return Ok(node);
        }
        let mut exprs = self.exprs.borrow_mut();
        exprs.push(node.encode_to_vec());
        let extension = PhysicalExtensionExprNode { expr: reference(exprs.len() - 1), inputs: vec![] };
        Ok(PhysicalExprNode { expr_id: None, expr_type: Some(ExprType::Extension(extension)) })
    }

    fn proto_to_execution_plan(
        &self,
        _: &PhysicalPlanNode,
        _: &PhysicalPlanDecodeContext<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        internal_err!("an encoder does not decode")
    }

    fn proto_to_physical_expr(
        &self,
        _: &PhysicalExprNode,
        _: &Schema,
        _: &PhysicalPlanDecodeContext<'_>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        internal_err!("an encoder does not decode")
    }
}

/// Reads a [`FlatPlan`].
pub struct FlatDecoder<'a> {
    flat: &'a FlatPlan,
    done: RefCell<Vec<Arc<dyn ExecutionPlan>>>,
    /// Expressions that several nodes share while they run (dynamic filters), by their id on the wire.
    shared: RefCell<HashMap<u64, Arc<dyn PhysicalExpr>>>,
}

impl<'a> FlatDecoder<'a> {
    pub fn new(flat: &'a FlatPlan) -> Self {
        Self { flat, done: RefCell::default(), shared: RefCell::default() }
    }

    /// The plan: the last node.
    pub fn plan(&self, cx: &PhysicalPlanDecodeContext<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        for bytes in &self.flat.nodes {
            let node = PhysicalPlanNode::decode(bytes.as_slice()).map_err(|e| malformed("plan node", e))?;
            let plan = node.try_into_physical_plan_with_context(cx, self)?;
            self.done.borrow_mut().push(plan);
        }
        self.done.borrow().last().cloned().ok_or_else(|| internal_datafusion_err!("a plan without nodes"))
    }
}

fn malformed(what: &str, error: prost::DecodeError) -> DataFusionError {
    internal_datafusion_err!("bytes that are no {what}: {error}")
}

impl PhysicalProtoConverterExtension for FlatDecoder<'_> {
    fn proto_to_execution_plan(
        &self,
        node: &PhysicalPlanNode,
        cx: &PhysicalPlanDecodeContext<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(PhysicalPlanType::Extension(extension)) = &node.physical_plan_type
            && let Some(index) = referred(&extension.node)
        {
            let plan = self.done.borrow().get(index).cloned();
            return plan.ok_or_else(|| internal_datafusion_err!("plan node {index} is used before it is there"));
        }
        grow_stack(|| node.try_into_physical_plan_with_context(cx, self))
    }

    fn proto_to_physical_expr(
        &self,
        node: &PhysicalExprNode,
        schema: &Schema,
        cx: &PhysicalPlanDecodeContext<'_>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let stored;
        let node = match &node.expr_type {
            Some(ExprType::Extension(extension)) if let Some(index) = referred(&extension.expr) => {
                let Some(bytes) = self.flat.exprs.get(index) else {
                    return internal_err!("expression {index} is not in the plan");
                };
                stored = PhysicalExprNode::decode(bytes.as_slice()).map_err(|e| malformed("expression", e))?;
                &stored
            }
            _ => node,
        };
        let expr = grow_stack(|| parse_physical_expr_with_converter(node, schema, cx, self))?;
        let Some(id) = node.expr_id else { return Ok(expr) };
        if let Some(known) = self.shared.borrow().get(&id) {
            let children = expr.children().into_iter().cloned().collect();
            return known.clone().with_new_children(children);
        }
        self.shared.borrow_mut().insert(id, expr.clone());
        Ok(expr)
    }

    fn execution_plan_to_proto(
        &self,
        _: &Arc<dyn ExecutionPlan>,
        _: &dyn PhysicalExtensionCodec,
    ) -> Result<PhysicalPlanNode> {
        internal_err!("a decoder does not encode")
    }

    fn physical_expr_to_proto(
        &self,
        _: &Arc<dyn PhysicalExpr>,
        _: &dyn PhysicalExtensionCodec,
    ) -> Result<PhysicalExprNode> {
        internal_err!("a decoder does not encode")
    }
}
