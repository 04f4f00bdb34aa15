//! What changes the rows of tables.

use super::{PartitionSpec, TableStorage};
use crate::{Expr, Ident, Relation, Span, expr::MultipartName};

#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    pub table: MultipartName,
    /// `WITH (options)` behind the table.
    pub options: Vec<(String, String)>,
    pub overwrite: bool,
    /// `PARTITION (a = 1, b)`: dynamic where the value is `None`.
    pub partition: PartitionSpec,
    pub if_not_exists: bool,
    /// The listed columns, empty where there is no list.
    pub columns: Vec<Ident>,
    pub by_name: bool,
    /// WITH SCHEMA EVOLUTION: columns that the table lacks are added to it.
    pub schema_evolution: bool,
    pub replace: Option<InsertReplace>,
    pub query: Relation,
}

/// Which rows of the table the new ones take the place of.
#[derive(Debug, Clone, PartialEq)]
pub enum InsertReplace {
    /// `REPLACE WHERE condition`: on the table's rows; the new ones must fulfil it too.
    Where(Expr),
    /// `REPLACE ON condition`: those that match a new row; `alias` names the table in it.
    On { condition: Expr, alias: Option<Ident> },
    /// `REPLACE USING (columns)`
    Using(Vec<Ident>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct InsertDirectory {
    pub local: bool,
    pub path: Option<String>,
    pub format: Option<String>,
    pub options: Vec<(String, String)>,
    pub storage: TableStorage,
    pub query: Relation,
}

/// `target = value`
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    pub target: MultipartName,
    pub value: Expr,
    pub span: Span,
}

/// `UPDATE table [alias] SET … [WHERE …]`
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    pub table: MultipartName,
    pub alias: Option<Ident>,
    pub assignments: Vec<Assignment>,
    pub condition: Option<Expr>,
}

/// `DELETE FROM table [alias] [WHERE …]`
#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    pub table: MultipartName,
    pub alias: Option<Ident>,
    pub condition: Option<Expr>,
}

/// `MERGE INTO target USING source ON condition WHEN …`
#[derive(Debug, Clone, PartialEq)]
pub struct Merge {
    pub target: MultipartName,
    pub target_alias: Option<Ident>,
    pub source: Relation,
    pub condition: Expr,
    pub schema_evolution: bool,
    /// In their order: the first that fits a row decides.
    pub clauses: Vec<MergeClause>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct MergeClause {
    pub matched: MergeMatch,
    pub condition: Option<Expr>,
    pub action: MergeAction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MergeMatch {
    Matched,
    NotMatchedByTarget,
    NotMatchedBySource,
}

#[derive(Debug, Clone, PartialEq)]
pub enum MergeAction {
    Delete,
    /// `UPDATE SET *`
    UpdateAll,
    Update(Vec<Assignment>),
    /// `INSERT *`
    InsertAll,
    Insert {
        columns: Vec<MultipartName>,
        values: Vec<Expr>,
    },
}

/// `LOAD DATA [LOCAL] INPATH path [OVERWRITE] INTO TABLE table`
#[derive(Debug, Clone, PartialEq)]
pub struct LoadData {
    pub path: String,
    pub local: bool,
    pub overwrite: bool,
    pub table: MultipartName,
    pub partition: PartitionSpec,
}
