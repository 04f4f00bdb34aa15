//! What ALTER changes.

use super::{Constraint, PartitionSpec, SchemaBinding};
use crate::{DataType, Expr, Ident, Relation, expr::MultipartName, relation::ColumnDefinition};

#[derive(Debug, Clone, PartialEq)]
pub enum AlterDatabase {
    SetProperties(Vec<(String, String)>),
    UnsetProperties(Vec<String>),
    SetLocation(String),
    SetCollation(Ident),
}

#[derive(Debug, Clone, PartialEq)]
pub enum AlterTable {
    AddColumns(Vec<NewColumn>),
    /// `REPLACE COLUMNS (…)`
    ReplaceColumns(Vec<NewColumn>),
    RenameColumn {
        from: MultipartName,
        to: Ident,
    },
    DropColumns {
        columns: Vec<MultipartName>,
        if_exists: bool,
    },
    /// `ALTER COLUMN a …, b …`
    AlterColumns(Vec<ColumnChange>),
    /// `CHANGE COLUMN name new definition`: Hive's form.
    ChangeColumn {
        name: MultipartName,
        column: Box<ColumnDefinition>,
        position: Option<ColumnPosition>,
    },
    Rename {
        to: MultipartName,
    },
    SetProperties(Vec<(String, String)>),
    UnsetProperties {
        keys: Vec<String>,
        if_exists: bool,
    },
    SetSerde {
        partition: PartitionSpec,
        class: Option<String>,
        properties: Vec<(String, String)>,
    },
    AddPartitions {
        partitions: Vec<NewPartition>,
        if_not_exists: bool,
    },
    RenamePartition {
        from: PartitionSpec,
        to: PartitionSpec,
    },
    DropPartitions {
        partitions: Vec<PartitionSpec>,
        if_exists: bool,
        purge: bool,
    },
    SetLocation {
        partition: PartitionSpec,
        location: String,
    },
    RecoverPartitions,
    /// `CLUSTER BY (…)`; nothing for NONE.
    ClusterBy(Vec<MultipartName>),
    SetCollation(Ident),
    AddConstraint(Box<Constraint>),
    DropConstraint {
        name: Ident,
        if_exists: bool,
        cascade: bool,
    },
}

/// A partition that is added, with its location where one is given.
pub type NewPartition = (PartitionSpec, Option<String>);

/// A column that is added: its name may be that of a field in another.
#[derive(Debug, Clone, PartialEq)]
pub struct NewColumn {
    pub name: MultipartName,
    pub data_type: DataType,
    pub nullable: bool,
    pub default: Option<Expr>,
    /// The text of `default`.
    pub default_text: Option<String>,
    pub comment: Option<String>,
    pub position: Option<ColumnPosition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnPosition {
    First,
    After(Ident),
}

#[derive(Debug, Clone, PartialEq)]
pub struct ColumnChange {
    pub name: MultipartName,
    pub kind: ColumnChangeKind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ColumnChangeKind {
    Type(DataType),
    Comment(String),
    Position(ColumnPosition),
    Nullable(bool),
    /// With the text of the value.
    SetDefault(Expr, String),
    DropDefault,
}

#[derive(Debug, Clone, PartialEq)]
pub enum AlterView {
    Rename {
        to: MultipartName,
    },
    SetProperties(Vec<(String, String)>),
    UnsetProperties {
        keys: Vec<String>,
        if_exists: bool,
    },
    /// With its own text.
    SetQuery(Box<Relation>, String),
    SetSchemaBinding(SchemaBinding),
}
