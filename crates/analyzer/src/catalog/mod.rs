//! Databases, tables and views: what a catalog keeps of them, and the interface that every catalog has.

mod memory;
mod warehouse;

use std::{collections::BTreeMap, fmt::Debug, sync::Arc};

use async_trait::async_trait;
use firesteel_plan::{Relation, SparkResult, statement::SchemaBinding, types::StructField};

pub use memory::MemoryCatalog;
pub use warehouse::WarehouseCatalog;

/// The name of the catalog that sessions start in.
pub const SESSION_CATALOG: &str = "spark_catalog";
pub const DEFAULT_DATABASE: &str = "default";
/// The database that global temporary views are in.
pub const GLOBAL_TEMP_DATABASE: &str = "global_temp";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    pub name: String,
    pub location: String,
    pub comment: Option<String>,
    pub properties: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub struct Table {
    pub database: String,
    pub name: String,
    pub kind: TableKind,
    /// All columns, the partition columns last.
    pub schema: Vec<StructField>,
    pub partition_columns: Vec<String>,
    pub comment: Option<String>,
    pub properties: BTreeMap<String, String>,
    /// The collation that its columns had when none was written.
    pub collation: Option<String>,
    /// The texts of the columns' default values, by column.
    pub defaults: BTreeMap<String, String>,
    /// Partitions that were added, whether files are in them or not: values in the order of the columns.
    pub partitions: Vec<Vec<String>>,
}

#[derive(Debug, Clone)]
pub enum TableKind {
    Files {
        format: String,
        /// Where the files are.
        location: String,
        /// Whether dropping the table removes the files.
        managed: bool,
        /// Options of the format, keys in lower case.
        options: BTreeMap<String, String>,
    },
    View(Arc<View>),
}

/// A view is the text of its query and what it needs to mean the same later.
#[derive(Debug, Clone)]
pub struct View {
    pub query: Relation,
    /// The statement that the spans in `query` point into.
    pub text: String,
    /// The query's own text.
    pub query_text: String,
    /// Names and comments of the columns; empty where the query's own names hold.
    pub columns: Vec<(String, Option<String>)>,
    /// The current database when the view was made.
    pub database: String,
    /// The configuration that decides what the query means, as it was then.
    pub conf: Vec<(String, String)>,
    /// What it does when the tables below it change; nothing where the session had no such modes.
    pub binding: Option<SchemaBinding>,
    /// The names that the columns of its query had.
    pub query_columns: Vec<String>,
}

impl Table {
    pub fn full_name(&self) -> Vec<String> {
        vec![SESSION_CATALOG.to_owned(), self.database.clone(), self.name.clone()]
    }
}

/// Names are given as the user wrote them; a catalog compares them without case.
#[async_trait]
pub trait Catalog: Debug + Send + Sync {
    /// From now on (or no longer) statements come again that were run before. A catalog that still has what they did
    /// changes nothing, and answers true.
    fn tell_again(&self, _on: bool) -> bool {
        false
    }

    async fn databases(&self) -> SparkResult<Vec<Database>>;
    async fn database(&self, name: &str) -> SparkResult<Option<Database>>;
    /// Fails with SCHEMA_ALREADY_EXISTS.
    async fn create_database(&self, database: Database) -> SparkResult<()>;
    async fn drop_database(&self, name: &str) -> SparkResult<()>;
    /// Puts it in the place of the one with its name.
    async fn alter_database(&self, database: Database) -> SparkResult<()>;
    /// In the order of their names.
    async fn tables(&self, database: &str) -> SparkResult<Vec<Arc<Table>>>;
    async fn table(&self, database: &str, name: &str) -> SparkResult<Option<Arc<Table>>>;
    /// Fails with TABLE_OR_VIEW_ALREADY_EXISTS unless `replace`.
    async fn create_table(&self, table: Table, replace: bool) -> SparkResult<()>;
    /// The table that was there.
    async fn drop_table(&self, database: &str, name: &str) -> SparkResult<Option<Arc<Table>>>;
}
