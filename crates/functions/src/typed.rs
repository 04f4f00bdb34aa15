use std::sync::Arc;

use datafusion::{logical_expr::Expr, scalar::ScalarValue};
use firesteel_plan::DataType;

/// A resolved expression with its Spark type.
#[derive(Debug, Clone, PartialEq)]
pub struct Typed {
    pub expr: Expr,
    pub data_type: DataType,
    pub nullable: bool,
}

impl Typed {
    pub fn new(expr: Expr, data_type: DataType, nullable: bool) -> Self {
        Self { expr, data_type, nullable }
    }

    /// The value, when the expression is a literal.
    pub fn literal(&self) -> Option<&ScalarValue> {
        match &self.expr {
            Expr::Literal(value, _) => Some(value),
            Expr::Alias(alias) => match alias.expr.as_ref() {
                Expr::Literal(value, _) => Some(value),
                _ => None,
            },
            _ => None,
        }
    }

    /// The text of a string literal.
    pub fn literal_text(&self) -> Option<&str> {
        self.literal().and_then(|v| v.try_as_str()).flatten()
    }

    pub fn is_null_literal(&self) -> bool {
        self.literal().is_some_and(ScalarValue::is_null)
    }

    /// The expression as error messages show it.
    pub fn sql(&self) -> String {
        match (self.literal(), &self.data_type) {
            (Some(v), _) if v.is_null() => "NULL".to_owned(),
            (Some(v), DataType::String) => v.try_as_str().flatten().unwrap_or_default().to_owned(),
            (Some(v), _) => v.to_string(),
            (None, _) => match &self.expr {
                Expr::Column(column) => column.name.clone(),
                other => other.to_string(),
            },
        }
    }
}

/// How an evaluating function treats a value that it has no answer for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EvalMode {
    /// An error.
    Ansi,
    /// What Spark did before ANSI: null, or the value wrapped around.
    Legacy,
    /// Null.
    Try,
}

impl EvalMode {
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Ansi => "ansi",
            Self::Legacy => "legacy",
            Self::Try => "try",
        }
    }
}

/// What functions need to know of the session. All of it is fixed when a statement is analyzed.
#[derive(Debug, Clone)]
pub struct FunctionContext {
    /// `spark.sql.ansi.enabled`
    pub ansi: bool,
    /// `spark.sql.session.timeZone`, never empty.
    pub time_zone: Arc<str>,
    /// The statement's start, in microseconds since the epoch: what `current_timestamp()` answers.
    pub now_micros: i64,
    pub case_sensitive: bool,
    /// `spark.sql.decimalOperations.allowPrecisionLoss`
    pub precision_loss: bool,
    /// `spark.sql.ansi.enforceReservedKeywords`, where ANSI mode is on.
    pub reserved_keywords: bool,
    /// What TIMESTAMP is (`spark.sql.timestampType`): with a zone, or without.
    pub timestamp_type: DataType,
    pub current_user: Arc<str>,
    pub current_catalog: Arc<str>,
    pub current_database: Arc<str>,
    pub legacy: Legacy,
}

/// Settings that bring back what earlier versions of Spark did. All are off unless set.
#[derive(Debug, Clone, Copy, Default)]
pub struct Legacy {
    /// `spark.sql.legacy.javaCharsets`
    pub java_charsets: bool,
    /// `spark.sql.legacy.codingErrorAction`
    pub coding_errors_replaced: bool,
    /// `spark.sql.function.concatBinaryAsString`
    pub concat_binary_as_string: bool,
    /// `spark.sql.function.eltOutputAsString`
    pub elt_binary_as_string: bool,
    /// `spark.sql.legacy.negativeIndexInArrayInsert`
    pub negative_index_before_last: bool,
}

impl Default for FunctionContext {
    fn default() -> Self {
        Self {
            ansi: true,
            time_zone: "UTC".into(),
            now_micros: 0,
            case_sensitive: false,
            precision_loss: true,
            reserved_keywords: false,
            timestamp_type: DataType::Timestamp,
            current_user: "spark".into(),
            current_catalog: "spark_catalog".into(),
            current_database: "default".into(),
            legacy: Legacy::default(),
        }
    }
}

impl FunctionContext {
    pub fn mode(&self) -> EvalMode {
        if self.ansi { EvalMode::Ansi } else { EvalMode::Legacy }
    }
}
