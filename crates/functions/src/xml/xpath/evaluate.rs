//! The value of an expression over a document.

use super::{
    super::document::{Document, Kind, NodeId},
    functions::call,
    parse::{Axis, Expr, Operator, Start, Step, Test},
};

#[derive(Debug, Clone)]
pub(super) enum Value {
    /// In the document's order.
    Nodes(Vec<NodeId>),
    Number(f64),
    Text(String),
    Boolean(bool),
}

pub(super) fn number_of(text: &str) -> f64 {
    let trimmed = text.trim_matches([' ', '\t', '\n', '\r']);
    let plain = trimmed.strip_prefix('-').unwrap_or(trimmed);
    let is_number = plain.bytes().all(|b| b.is_ascii_digit() || b == b'.') && plain.bytes().any(|b| b.is_ascii_digit());
    if is_number { trimmed.parse().unwrap_or(f64::NAN) } else { f64::NAN }
}

impl Value {
    pub(super) fn string(&self, document: &Document) -> String {
        match self {
            Self::Nodes(nodes) => nodes.first().map(|n| document.string(*n)).unwrap_or_default(),
            Self::Text(text) => text.clone(),
            Self::Boolean(v) => v.to_string(),
            Self::Number(v) if v.is_nan() => "NaN".to_owned(),
            Self::Number(v) if v.is_infinite() => if *v > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
            // Zero has no sign, whole numbers have no fraction.
            Self::Number(v) => {
                if *v == 0.0 {
                    "0".to_owned()
                } else {
                    v.to_string()
                }
            }
        }
    }

    pub(super) fn number(&self, document: &Document) -> f64 {
        match self {
            Self::Number(v) => *v,
            Self::Boolean(v) => f64::from(u8::from(*v)),
            Self::Text(text) => number_of(text),
            Self::Nodes(_) => number_of(&self.string(document)),
        }
    }

    pub(super) fn boolean(&self, _: &Document) -> bool {
        match self {
            Self::Nodes(nodes) => !nodes.is_empty(),
            Self::Number(v) => *v != 0.0 && !v.is_nan(),
            Self::Text(text) => !text.is_empty(),
            Self::Boolean(v) => *v,
        }
    }
}

/// Where an expression is evaluated: a node, its place among those that were found with it, and how many they are.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub document: &'a Document,
    pub node: NodeId,
    pub position: usize,
    pub size: usize,
}

pub(super) fn evaluate(document: &Document, expr: &Expr) -> Result<Value, String> {
    value(Context { document, node: 0, position: 1, size: 1 }, expr)
}

pub(super) fn value(ctx: Context<'_>, expr: &Expr) -> Result<Value, String> {
    Ok(match expr {
        Expr::Number(v) => Value::Number(*v),
        Expr::Text(text) => Value::Text(text.clone()),
        Expr::Negative(operand) => Value::Number(-value(ctx, operand)?.number(ctx.document)),
        Expr::Union(left, right) => {
            let mut all = nodes(ctx, left)?;
            all.extend(nodes(ctx, right)?);
            Value::Nodes(sorted(all))
        }
        Expr::Call(name, args) => call(ctx, name, args)?,
        Expr::Binary(operator, left, right) => binary(ctx, *operator, left, right)?,
        Expr::Path { start, steps } => {
            let mut found = match start {
                Start::Root => vec![0],
                Start::Here => vec![ctx.node],
                Start::Of(expr, predicates) => {
                    let mut all = nodes(ctx, expr)?;
                    for predicate in predicates {
                        all = filtered(ctx.document, all, predicate)?;
                    }
                    all
                }
            };
            for step in steps {
                let mut next = Vec::new();
                for node in found {
                    next.extend(walk(ctx.document, node, step)?);
                }
                found = sorted(next);
            }
            Value::Nodes(found)
        }
    })
}

pub(super) fn nodes(ctx: Context<'_>, expr: &Expr) -> Result<Vec<NodeId>, String> {
    match value(ctx, expr)? {
        Value::Nodes(nodes) => Ok(nodes),
        _ => Err("Can not convert the value to a NodeList!".to_owned()),
    }
}

fn sorted(mut nodes: Vec<NodeId>) -> Vec<NodeId> {
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// The nodes that one step leads to, in the order of its axis.
fn walk(document: &Document, from: NodeId, step: &Step) -> Result<Vec<NodeId>, String> {
    let node = &document.nodes[from];
    let not_attribute = |id: &NodeId| !matches!(document.nodes[*id].kind, Kind::Attribute(..));
    let ancestors = || {
        std::iter::successors((from != 0).then_some(node.parent), |id| (*id != 0).then(|| document.nodes[*id].parent))
    };
    let siblings = || if from == 0 { &[][..] } else { document.nodes[node.parent].children.as_slice() };
    let mut found: Vec<NodeId> = match step.axis {
        Axis::Child => node.children.clone(),
        Axis::Attribute => node.attributes.clone(),
        Axis::Itself => vec![from],
        Axis::Parent => {
            if from == 0 {
                Vec::new()
            } else {
                vec![node.parent]
            }
        }
        Axis::Descendant => document.with_inside(from).skip(1).filter(not_attribute).collect(),
        Axis::DescendantOrSelf => document.with_inside(from).filter(not_attribute).collect(),
        Axis::Ancestor => ancestors().collect(),
        Axis::AncestorOrSelf => std::iter::once(from).chain(ancestors()).collect(),
        Axis::FollowingSibling => siblings().iter().copied().filter(|s| *s > from).collect(),
        Axis::PrecedingSibling => siblings().iter().rev().copied().filter(|s| *s < from).collect(),
    };
    found.retain(|id| {
        let kind = &document.nodes[*id].kind;
        match &step.test {
            Test::Node => true,
            Test::Text => matches!(kind, Kind::Text(_)),
            Test::Comment => matches!(kind, Kind::Comment(_)),
            Test::Any => matches!(kind, Kind::Element(_) | Kind::Attribute(..)),
            Test::Name(name) => match kind {
                Kind::Element(n) | Kind::Attribute(n, _) => n == name,
                _ => false,
            },
        }
    });
    for predicate in &step.predicates {
        found = filtered(document, found, predicate)?;
    }
    Ok(found)
}

/// The nodes of which a predicate is true; a number is the place of the wanted node.
fn filtered(document: &Document, nodes: Vec<NodeId>, predicate: &Expr) -> Result<Vec<NodeId>, String> {
    let size = nodes.len();
    let mut kept = Vec::new();
    for (i, node) in nodes.into_iter().enumerate() {
        let keep = match value(Context { document, node, position: i + 1, size }, predicate)? {
            Value::Number(place) => place == (i + 1) as f64,
            other => other.boolean(document),
        };
        if keep {
            kept.push(node);
        }
    }
    Ok(kept)
}

fn binary(ctx: Context<'_>, operator: Operator, left: &Expr, right: &Expr) -> Result<Value, String> {
    let document = ctx.document;
    match operator {
        Operator::Or => {
            return Ok(Value::Boolean(value(ctx, left)?.boolean(document) || value(ctx, right)?.boolean(document)));
        }
        Operator::And => {
            return Ok(Value::Boolean(value(ctx, left)?.boolean(document) && value(ctx, right)?.boolean(document)));
        }
        _ => {}
    }
    let (a, b) = (value(ctx, left)?, value(ctx, right)?);
    let numbers = || (a.number(document), b.number(document));
    Ok(match operator {
        Operator::Add => Value::Number(numbers().0 + numbers().1),
        Operator::Subtract => Value::Number(numbers().0 - numbers().1),
        Operator::Multiply => Value::Number(numbers().0 * numbers().1),
        Operator::Divide => Value::Number(numbers().0 / numbers().1),
        Operator::Remainder => Value::Number(numbers().0 % numbers().1),
        _ => Value::Boolean(compared(document, operator, &a, &b)),
    })
}

/// Of sets of nodes, whether it is true of any of them.
fn compared(document: &Document, operator: Operator, a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Nodes(nodes), Value::Boolean(_)) => single(document, operator, &Value::Boolean(!nodes.is_empty()), b),
        (Value::Boolean(_), Value::Nodes(nodes)) => single(document, operator, a, &Value::Boolean(!nodes.is_empty())),
        (Value::Nodes(nodes), _) => {
            nodes.iter().any(|n| compared(document, operator, &Value::Text(document.string(*n)), b))
        }
        (_, Value::Nodes(nodes)) => {
            nodes.iter().any(|n| compared(document, operator, a, &Value::Text(document.string(*n))))
        }
        _ => single(document, operator, a, b),
    }
}

fn single(document: &Document, operator: Operator, a: &Value, b: &Value) -> bool {
    let equal = || match (a, b) {
        (Value::Boolean(_), _) | (_, Value::Boolean(_)) => a.boolean(document) == b.boolean(document),
        (Value::Number(_), _) | (_, Value::Number(_)) => a.number(document) == b.number(document),
        _ => a.string(document) == b.string(document),
    };
    let (x, y) = (a.number(document), b.number(document));
    match operator {
        Operator::Equal => equal(),
        Operator::NotEqual => !equal(),
        Operator::Less => x < y,
        Operator::LessOrEqual => x <= y,
        Operator::Greater => x > y,
        _ => x >= y,
    }
}
