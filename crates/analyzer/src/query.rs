//! One statement's analysis: what it knows and the small things every part of it needs.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use datafusion::logical_expr::LogicalPlan;
use firesteel_functions::{FunctionContext, Typed};
use firesteel_plan::{DataType, Ident, Relation, SparkError, SparkResult, expr::WindowDefinition, relation::Cte};

use crate::{
    AnalyzedQuery, OutputColumn, errors,
    expression::Env,
    function::FunctionArgs,
    relation::{hint::JoinHints, recursive::OwnRows},
    scope::{Attribute, Planned},
    tables::Tables,
};

/// How deep views may refer to views, as in Spark.
pub(crate) const MAX_VIEW_DEPTH: usize = 100;

pub(crate) struct Analyzer<'a> {
    pub functions: FunctionContext,
    pub tables: &'a Tables,
    pub ids: &'a AtomicU64,
    pub shuffle_partitions: usize,
    /// Of rows that are made and not read.
    pub leaf_partitions: usize,
    pub group_by_ordinal: bool,
    pub order_by_ordinal: bool,
    pub group_by_aliases: bool,
    /// Whether NULL is in no empty set, or nobody knows (`spark.sql.legacy.nullInEmptyListBehavior`).
    pub null_in_empty: bool,
    /// Most steps and rows of a recursive CTE.
    pub recursion_levels: Option<u64>,
    pub recursion_rows: Option<u64>,
    /// Hints that nobody knows and the like: things to tell that do not stop the query.
    pub warnings: &'a RefCell<Vec<String>>,
    /// The outer columns that subqueries were found to read: parts of their names.
    pub outer_columns: RefCell<HashMap<*const Relation, String>>,
    /// Subqueries in expressions around the present place.
    pub subqueries: Cell<usize>,
}

/// Most subqueries in expressions of each other: the time that DataFusion takes to check a plan doubles with each of them.
pub(crate) const MAX_SUBQUERY_DEPTH: usize = 12;

/// What surrounds a relation.
#[derive(Clone, Copy)]
pub(crate) struct RelEnv<'a> {
    /// The text that spans point into.
    pub text: &'a str,
    /// The current database for names without one.
    pub database: &'a str,
    pub ctes: Option<&'a Ctes<'a>>,
    /// The expression that a subquery stands in.
    pub outer: Option<&'a Env<'a>>,
    pub windows: Option<&'a Windows<'a>>,
    /// Join hints of the query around.
    pub hints: Option<&'a JoinHints<'a>>,
    /// The arguments of the function whose text this is.
    pub args: Option<&'a FunctionArgs<'a>>,
    pub view_depth: usize,
}

/// The CTEs of one WITH clause; names not found here are looked up in `parent`.
pub(crate) struct Ctes<'a> {
    pub parent: Option<&'a Ctes<'a>>,
    pub entries: Vec<CteEntry<'a>>,
}

pub(crate) struct CteEntry<'a> {
    pub name: &'a str,
    pub columns: &'a [Ident],
    pub query: &'a Relation,
    /// The plan from checking the definition, for the first use; further uses are planned again so that their columns
    /// differ.
    pub planned: RefCell<Option<Planned>>,
    /// The whole definition where it reads itself.
    pub recursive: Option<&'a Cte>,
    /// Set in the step of the recursive CTE itself.
    pub own: Option<Arc<OwnRows>>,
}

/// Named windows.
pub(crate) struct Windows<'a> {
    pub parent: Option<&'a Windows<'a>>,
    pub entries: &'a [(Ident, WindowDefinition)],
}

impl<'a> Ctes<'a> {
    /// The CTE and the clause that its own query sees.
    pub fn find(&'a self, name: &str, case_sensitive: bool) -> Option<(&'a CteEntry<'a>, Ctes<'a>)> {
        // Later ones hide earlier ones; a CTE sees only those before it.
        let at = self.entries.iter().rposition(|e| crate::scope::same_name(e.name, name, case_sensitive));
        match at {
            Some(i) => Some((&self.entries[i], self.before(i))),
            None => self.parent.and_then(|p| p.find(name, case_sensitive)),
        }
    }

    fn before(&'a self, end: usize) -> Ctes<'a> {
        let entries = self.entries[..end]
            .iter()
            .map(|e| CteEntry {
                name: e.name,
                columns: e.columns,
                query: e.query,
                planned: RefCell::new(None),
                own: e.own.clone(),
                recursive: e.recursive,
            })
            .collect();
        Ctes { parent: self.parent, entries }
    }
}

impl<'a> Windows<'a> {
    pub fn find(&self, name: &str, case_sensitive: bool) -> Option<&'a WindowDefinition> {
        self.entries
            .iter()
            .find(|(n, _)| crate::scope::same_name(n, name, case_sensitive))
            .map(|(_, definition)| definition)
            .or_else(|| self.parent.and_then(|p| p.find(name, case_sensitive)))
    }
}

impl<'a> RelEnv<'a> {
    /// A text with nothing around it.
    pub fn new(text: &'a str, database: &'a str) -> Self {
        Self { text, database, ctes: None, outer: None, windows: None, hints: None, args: None, view_depth: 0 }
    }
}

impl RelEnv<'_> {
    /// Adds the place to an error that has none.
    pub fn locate(&self, error: SparkError, span: firesteel_plan::Span) -> SparkError {
        error.at(self.text, span)
    }
}

impl Analyzer<'_> {
    pub fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub fn case_sensitive(&self) -> bool {
        self.functions.case_sensitive
    }

    /// A new attribute with a name of its own in the plan.
    pub fn attribute(&self, name: impl Into<String>, data_type: DataType, nullable: bool) -> Attribute {
        let (id, name) = (self.next_id(), name.into());
        Attribute {
            id,
            column: format!("{name}#{id}"),
            name,
            qualifier: Vec::new(),
            data_type,
            nullable,
            comment: None,
            declared: None,
        }
    }

    /// A new attribute for the value of `typed`.
    pub fn attribute_of(&self, name: impl Into<String>, typed: &Typed) -> Attribute {
        self.attribute(name, typed.data_type.clone(), typed.nullable)
    }

    pub fn warn(&self, message: String) {
        tracing::warn!("{message}");
        self.warnings.borrow_mut().push(message);
    }

    /// The same statement under a configuration that a view brought along.
    pub fn with_conf(&self, conf: &[(String, String)]) -> Self {
        use firesteel_plan::conf::keys;
        let mut functions = self.functions.clone();
        for (key, value) in conf {
            let on = value.trim().eq_ignore_ascii_case("true");
            if key == keys::ANSI_ENABLED.name {
                functions.ansi = on;
            } else if key == keys::CASE_SENSITIVE.name {
                functions.case_sensitive = on;
            } else if key == keys::SESSION_TIME_ZONE.name {
                functions.time_zone = value.as_str().into();
            }
        }
        Self { functions, outer_columns: RefCell::default(), subqueries: self.subqueries.clone(), ..*self }
    }

    /// A whole query, ready to run.
    pub fn query(&self, relation: &Relation, env: &RelEnv<'_>) -> SparkResult<AnalyzedQuery> {
        let planned = self.relation(relation, env)?.exact()?;
        Ok(finish(planned))
    }
}

pub(crate) fn finish(planned: Planned) -> AnalyzedQuery {
    let columns = planned
        .scope
        .attributes
        .into_iter()
        .map(|a| OutputColumn {
            name: a.name,
            data_type: a.data_type,
            nullable: a.nullable,
            comment: a.comment,
            declared: a.declared,
        })
        .collect();
    AnalyzedQuery { plan: planned.plan, columns }
}

pub(crate) fn build(
    result: Result<datafusion::logical_expr::LogicalPlanBuilder, datafusion::error::DataFusionError>,
) -> SparkResult<LogicalPlan> {
    result.and_then(|b| b.build()).map_err(errors::from_datafusion)
}
