//! Functions that users define in SQL: each call becomes what the function's text says, with the arguments in the place of
//! the parameters.

mod args;
mod call;

use std::collections::BTreeMap;

use firesteel_plan::{DataType, Expr, statement::FunctionResult, types::StructField};

pub(crate) use args::FunctionArgs;

use crate::{catalog::SESSION_CATALOG, session::Session};

#[derive(Debug, Clone)]
pub struct UserFunction {
    /// As it is shown: with catalog and database unless it is temporary.
    pub name: Vec<String>,
    pub temporary: bool,
    pub parameters: Vec<FunctionParameter>,
    pub returns: Returns,
    pub result: FunctionResult,
    /// The statement that spans point into, and the result's own text.
    pub text: String,
    pub body: String,
    pub comment: Option<String>,
    pub deterministic: bool,
    pub reads_data: bool,
    /// What its text means depends on these, as they were when it was made.
    pub database: String,
    pub conf: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
pub struct FunctionParameter {
    pub name: String,
    pub data_type: DataType,
    pub default: Option<Expr>,
    pub default_text: Option<String>,
    pub comment: Option<String>,
}

#[derive(Debug, Clone)]
pub enum Returns {
    Scalar(DataType),
    Table(Vec<StructField>),
}

impl UserFunction {
    pub fn short_name(&self) -> &str {
        self.name.last().map_or("", String::as_str)
    }

    pub fn is_table(&self) -> bool {
        matches!(self.returns, Returns::Table(_))
    }
}

/// Functions by database and name, in lower case.
pub(crate) type Functions = BTreeMap<(String, String), std::sync::Arc<UserFunction>>;

/// Where a name says that a function is.
pub(crate) enum Place {
    /// Temporary, or else in the current database.
    Anywhere(String),
    Session(String),
    Database(String, String),
    Nowhere,
}

pub(crate) fn place(name: &[String]) -> Place {
    let is = |part: &String, word: &str| part.eq_ignore_ascii_case(word);
    match name {
        [f] => Place::Anywhere(f.to_lowercase()),
        [schema, f] if is(schema, "session") => Place::Session(f.to_lowercase()),
        [catalog, schema, f] if is(catalog, "system") && is(schema, "session") => Place::Session(f.to_lowercase()),
        [database, f] => Place::Database(database.to_lowercase(), f.to_lowercase()),
        [catalog, database, f] if is(catalog, SESSION_CATALOG) => {
            Place::Database(database.to_lowercase(), f.to_lowercase())
        }
        _ => Place::Nowhere,
    }
}

/// The user's function of a name; built-in ones are not looked at.
pub(crate) fn find(session: &Session, name: &[String], database: &str) -> Option<std::sync::Arc<UserFunction>> {
    match place(name) {
        Place::Anywhere(f) => {
            session.temp_function(&f).or_else(|| session.stored_function(&database.to_lowercase(), &f))
        }
        Place::Session(f) => session.temp_function(&f),
        Place::Database(database, f) => session.stored_function(&database, &f),
        Place::Nowhere => None,
    }
}
