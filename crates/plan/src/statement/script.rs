//! SQL scripting: what stands in `BEGIN … END`.

use super::Statement;
use crate::{Expr, Ident, Relation, Span, expr::MultipartName};

/// The name of a block or a loop, which LEAVE and ITERATE refer to.
pub type Label = Option<Ident>;

#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    pub label: Label,
    pub items: Vec<BlockItem>,
    pub span: Span,
}

/// Declarations come before statements; variables are declared by statements.
#[derive(Debug, Clone, PartialEq)]
pub enum BlockItem {
    Condition(Condition),
    Handler(Box<Handler>),
    Statement(Box<ScriptStatement>),
}

/// `DECLARE name CONDITION [FOR SQLSTATE 'state']`
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    pub name: Ident,
    /// 45000 where none is written.
    pub sql_state: String,
    pub span: Span,
}

/// `DECLARE EXIT | CONTINUE HANDLER FOR conditions statement`
#[derive(Debug, Clone, PartialEq)]
pub struct Handler {
    /// CONTINUE: the script goes on behind the statement that failed.
    pub continues: bool,
    pub conditions: Vec<ConditionValue>,
    pub body: ScriptStatement,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ConditionValue {
    SqlState(String),
    /// Any error.
    SqlException,
    NotFound,
    Name(MultipartName),
}

#[derive(Debug, Clone, PartialEq)]
pub struct ScriptStatement {
    pub kind: ScriptStatementKind,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ScriptStatementKind {
    Sql(Box<Statement>),
    Block(Box<Block>),
    /// IF … ELSEIF …; and the CASE of conditions.
    If {
        branches: Vec<(Expr, Vec<ScriptStatement>)>,
        otherwise: Option<Vec<ScriptStatement>>,
    },
    /// `CASE operand WHEN value THEN …`
    Case {
        operand: Option<Box<Expr>>,
        branches: Vec<(Expr, Vec<ScriptStatement>)>,
        otherwise: Option<Vec<ScriptStatement>>,
    },
    While {
        label: Label,
        condition: Box<Expr>,
        body: Vec<ScriptStatement>,
    },
    Repeat {
        label: Label,
        body: Vec<ScriptStatement>,
        until: Box<Expr>,
    },
    Loop {
        label: Label,
        body: Vec<ScriptStatement>,
    },
    /// `FOR variable AS query DO …`: once for each row.
    For {
        label: Label,
        variable: Option<Ident>,
        query: Box<Relation>,
        body: Vec<ScriptStatement>,
    },
    Leave(Ident),
    Iterate(Ident),
}

/// `DECLARE name CURSOR FOR query`
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor {
    pub name: Ident,
    /// `INSENSITIVE` or `ASENSITIVE`
    pub insensitive: Option<bool>,
    pub query: Relation,
    pub query_text: String,
}
