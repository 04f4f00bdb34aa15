//! When two logical plans are the same query.
//!
//! The columns of a plan carry numbers that every analysis gives anew, so plans are compared by a text in which columns are
//! numbered by their first appearance, inputs before what reads them, and their names do not matter; files are compared by
//! where they are, not by what was listed there. As Spark's canonicalized plans are.

use std::{any::Any, collections::HashMap, fmt::Write, sync::Arc};

use datafusion::{
    catalog::TableProvider,
    common::{
        Column, Result,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    datasource::source_as_provider,
    logical_expr::{Distinct, Expr, LogicalPlan, SortExpr},
};

use super::CachedTable;
use crate::{
    exchange::{Exchange, ExchangeNode},
    source::{FilesTable, RangeTable},
    stage::grow_stack,
};

/// What a file table is, whatever its files are at the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceIdentity {
    /// Where it reads, as absolute locations.
    pub paths: Vec<String>,
    /// Format, schema, options.
    pub rest: String,
}

/// The text by which plans are compared; `None` for plans that are never cached.
pub fn canonical(plan: &LogicalPlan) -> Option<String> {
    let mut writer = Writer { text: String::new(), numbers: HashMap::new() };
    writer.plan(plan).ok()??;
    Some(writer.text)
}

/// A number that equal plans share, and few others: looked at before the whole text is.
pub fn shape(plan: &LogicalPlan) -> (std::mem::Discriminant<LogicalPlan>, usize, usize) {
    (std::mem::discriminant(plan), plan.schema().fields().len(), plan.inputs().len())
}

/// Whether `plan` or a part of it, subqueries too, is the plan of this text and shape.
pub fn contains(plan: &LogicalPlan, of: &LogicalPlan, text: &str) -> bool {
    let wanted = shape(of);
    let mut found = false;
    let walked = plan.apply_with_subqueries(|node| {
        found = shape(node) == wanted && canonical(node).as_deref() == Some(text);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked.is_ok() && found
}

/// Where the plan's files are.
pub fn paths(plan: &LogicalPlan) -> Vec<String> {
    let mut all = Vec::new();
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
            && let Some(files) = provider.downcast_ref::<FilesTable>()
        {
            all.extend(files.identity().paths.iter().cloned());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    all
}

struct Writer {
    text: String,
    numbers: HashMap<String, usize>,
}

/// Columns that analysis made are named `name#number`, and no qualifier is theirs.
fn is_numbered(column: &Column) -> bool {
    column.relation.is_none()
        && column.name.rsplit_once('#').is_some_and(|(_, id)| {
            id.starts_with(|c: char| c.is_ascii_digit()) && id.bytes().all(|b| b.is_ascii_digit() || b == b'@')
        })
}

impl Writer {
    fn number(&mut self, name: &str) -> String {
        let next = self.numbers.len();
        format!("#{}", self.numbers.entry(name.to_owned()).or_insert(next))
    }

    fn plan(&mut self, plan: &LogicalPlan) -> Result<Option<()>> {
        grow_stack(|| {
            for input in plan.inputs() {
                if self.plan(input)?.is_none() {
                    return Ok(None);
                }
            }
            self.node(plan)
        })
    }

    /// The node itself, after its inputs.
    fn node(&mut self, plan: &LogicalPlan) -> Result<Option<()>> {
        match plan {
            LogicalPlan::Projection(node) => self.exprs("Project", &node.expr)?,
            LogicalPlan::Filter(node) => self.exprs("Filter", std::slice::from_ref(&node.predicate))?,
            LogicalPlan::Window(node) => self.exprs("Window", &node.window_expr)?,
            LogicalPlan::Aggregate(node) => {
                self.exprs("Group", &node.group_expr)?;
                self.exprs("Aggregate", &node.aggr_expr)?;
            }
            LogicalPlan::Sort(node) => {
                self.sorts(&node.expr)?;
                let _ = write!(self.text, "Sort {:?};", node.fetch);
            }
            LogicalPlan::Join(node) => {
                let (left, right): (Vec<Expr>, Vec<Expr>) = node.on.iter().cloned().unzip();
                self.exprs("Left", &left)?;
                self.exprs("Right", &right)?;
                self.exprs("On", node.filter.as_slice())?;
                let kind = (node.join_type, node.join_constraint, node.null_equality);
                let _ = write!(self.text, "Join {kind:?} {};", node.schema.fields().len());
            }
            LogicalPlan::Union(node) => {
                let _ = write!(self.text, "Union {} {};", node.inputs.len(), node.schema.fields().len());
                self.names(plan);
            }
            LogicalPlan::TableScan(scan) => {
                let provider = source_as_provider(&scan.source)?;
                let table = table(&provider);
                let _ = write!(self.text, "Scan {table} {:?} {:?};", scan.projection, scan.fetch);
                self.exprs("Filters", &scan.filters)?;
            }
            LogicalPlan::EmptyRelation(node) => {
                let _ = write!(self.text, "Empty {} {:?};", node.produce_one_row, node.schema.as_arrow().fields());
            }
            LogicalPlan::SubqueryAlias(node) => {
                let _ = write!(self.text, "Alias {};", node.alias);
            }
            LogicalPlan::Limit(node) => {
                let bounds: Vec<Expr> =
                    [&node.skip, &node.fetch].into_iter().flatten().map(|e| (**e).clone()).collect();
                let _ = write!(self.text, "Limit {} {};", node.skip.is_some(), node.fetch.is_some());
                self.exprs("Bounds", &bounds)?;
            }
            LogicalPlan::Values(node) => {
                for row in &node.values {
                    self.exprs("Row", row)?;
                }
                let _ = write!(self.text, "Values {};", node.values.len());
            }
            LogicalPlan::Distinct(Distinct::All(_)) => self.text.push_str("Distinct;"),
            LogicalPlan::Distinct(Distinct::On(node)) => {
                self.exprs("On", &node.on_expr)?;
                self.exprs("Select", &node.select_expr)?;
                self.sorts(node.sort_expr.as_deref().unwrap_or_default())?;
                self.text.push_str("DistinctOn;");
            }
            LogicalPlan::Unnest(node) => {
                let columns: Vec<Expr> = node.exec_columns.iter().cloned().map(Expr::Column).collect();
                self.exprs("Columns", &columns)?;
                let lists: Vec<(usize, usize)> = node.list_type_columns.iter().map(|(i, l)| (*i, l.depth)).collect();
                let rest = (lists, &node.struct_type_columns, &node.dependency_indices, &node.options);
                let _ = write!(self.text, "Unnest {rest:?};");
                self.names(plan);
            }
            LogicalPlan::Extension(extension) => {
                let Some(node) = (extension.node.as_any() as &dyn Any).downcast_ref::<ExchangeNode>() else {
                    return Ok(None);
                };
                match &node.exchange {
                    Exchange::ByKeys(keys, n) => {
                        self.exprs("Keys", keys)?;
                        let _ = write!(self.text, "Exchange {n};");
                    }
                    other => {
                        let _ = write!(self.text, "Exchange {other:?};");
                    }
                }
            }
            LogicalPlan::Subquery(_) => self.text.push_str("Subquery;"),
            _ => return Ok(None),
        }
        Ok(Some(()))
    }

    /// Numbers the columns of a node that makes them without expressions.
    fn names(&mut self, plan: &LogicalPlan) {
        for column in plan.schema().columns() {
            let name = if is_numbered(&column) { self.number(&column.name) } else { column.name };
            let _ = write!(self.text, "{name:?},");
        }
    }

    fn exprs(&mut self, what: &str, exprs: &[Expr]) -> Result<()> {
        let _ = write!(self.text, "{what} {}[", exprs.len());
        for expr in exprs {
            self.expr(expr)?;
            self.text.push(',');
        }
        self.text.push_str("];");
        Ok(())
    }

    fn sorts(&mut self, exprs: &[SortExpr]) -> Result<()> {
        for sort in exprs {
            self.expr(&sort.expr)?;
            let _ = write!(self.text, " {} {},", sort.asc, sort.nulls_first);
        }
        Ok(())
    }

    fn expr(&mut self, expr: &Expr) -> Result<()> {
        let mut subqueries = Vec::new();
        let renamed = expr.clone().transform_down(|e| {
            Ok(match e {
                Expr::Column(column) if is_numbered(&column) => {
                    Transformed::yes(Expr::Column(Column::new_unqualified(self.number(&column.name))))
                }
                Expr::OuterReferenceColumn(field, column) if is_numbered(&column) => {
                    let column = Column::new_unqualified(self.number(&column.name));
                    // The field is of the column: its name is numbered as well.
                    let field = Arc::new(field.as_ref().clone().with_name("outer"));
                    Transformed::yes(Expr::OuterReferenceColumn(field, column))
                }
                Expr::Alias(mut alias) => {
                    let column = Column::new(alias.relation.clone(), alias.name.clone());
                    if is_numbered(&column) {
                        alias.name = self.number(&alias.name);
                        Transformed::yes(Expr::Alias(alias))
                    } else {
                        Transformed::no(Expr::Alias(alias))
                    }
                }
                Expr::ScalarSubquery(ref subquery) => {
                    subqueries.push(subquery.subquery.clone());
                    Transformed::no(e)
                }
                Expr::Exists(ref exists) => {
                    subqueries.push(exists.subquery.subquery.clone());
                    Transformed::no(e)
                }
                Expr::InSubquery(ref within) => {
                    subqueries.push(within.subquery.subquery.clone());
                    Transformed::no(e)
                }
                other => Transformed::no(other),
            })
        })?;
        let _ = write!(self.text, "{:?}", renamed.data);
        for subquery in subqueries {
            self.text.push('(');
            if self.plan(&subquery)?.is_none() {
                // Equal to nothing, not even to itself.
                let _ = write!(self.text, "{:p}", Arc::as_ptr(&subquery));
            }
            self.text.push(')');
        }
        Ok(())
    }
}

fn table(provider: &Arc<dyn TableProvider>) -> String {
    if let Some(files) = provider.downcast_ref::<FilesTable>() {
        return format!("{:?}", files.identity());
    }
    if let Some(range) = provider.downcast_ref::<RangeTable>() {
        return format!("{range:?}");
    }
    if let Some(cached) = provider.downcast_ref::<CachedTable>() {
        return format!("cached {}", cached.relation().id);
    }
    format!("{:p}", Arc::as_ptr(provider).cast::<()>())
}
