//! Unresolved expressions.

use std::fmt;

use crate::{DataType, Relation};

/// Byte offsets `[start, end)` in the query text. `Span::NONE` where there is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub const NONE: Span = Span { start: u32::MAX, end: u32::MAX };

    pub fn new(start: usize, end: usize) -> Self {
        Self { start: u32::try_from(start).unwrap_or(u32::MAX), end: u32::try_from(end).unwrap_or(u32::MAX) }
    }

    pub fn is_none(self) -> bool {
        self.start == u32::MAX
    }

    /// The smallest span that covers both.
    pub fn to(self, other: Span) -> Span {
        if self.is_none() {
            other
        } else if other.is_none() {
            self
        } else {
            Span { start: self.start.min(other.start), end: self.end.max(other.end) }
        }
    }
}

/// A name as written, without its quotes. Compared without case unless `spark.sql.caseSensitive`.
pub type Ident = String;

/// A name of one or more parts: `catalog.database.table`, `alias.column.field`.
pub type MultipartName = Vec<Ident>;

#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    Literal(Literal),
    /// `a`, `t.a`, `t.a.field`; `plan_id` ties a DataFrame column to its DataFrame.
    Attribute {
        name: MultipartName,
        plan_id: Option<i64>,
    },
    /// `*`, `t.*`, `* EXCEPT (a, b.c)`
    Star {
        target: Option<MultipartName>,
        except: Vec<MultipartName>,
    },
    /// A call by name: built-in, aggregate, window or user-defined; operators with a function name of their own
    /// (`<=>`, `||`, `%`) are `Binary`.
    Function(Box<FunctionCall>),
    /// `name => value` among a call's arguments.
    NamedArgument {
        name: Ident,
        value: Box<Expr>,
    },
    Unary {
        op: UnaryOp,
        operand: Box<Expr>,
    },
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    IsNull {
        operand: Box<Expr>,
        negated: bool,
    },
    /// `IS [NOT] TRUE | FALSE | UNKNOWN`
    IsBoolean {
        operand: Box<Expr>,
        value: Option<bool>,
        negated: bool,
    },
    Between {
        operand: Box<Expr>,
        low: Box<Expr>,
        high: Box<Expr>,
        negated: bool,
    },
    InList {
        operand: Box<Expr>,
        list: Vec<Expr>,
        negated: bool,
    },
    InSubquery {
        operand: Box<Expr>,
        subquery: Box<Relation>,
        negated: bool,
    },
    Exists {
        subquery: Box<Relation>,
    },
    ScalarSubquery {
        subquery: Box<Relation>,
    },
    Like {
        kind: LikeKind,
        operand: Box<Expr>,
        pattern: Box<Expr>,
        escape: Option<char>,
        negated: bool,
    },
    /// `LIKE ANY | SOME | ALL (…)`, the patterns in `patterns`.
    LikeMany {
        kind: LikeKind,
        all: bool,
        operand: Box<Expr>,
        patterns: Vec<Expr>,
        negated: bool,
    },
    Case {
        operand: Option<Box<Expr>>,
        branches: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    Cast {
        operand: Box<Expr>,
        data_type: DataType,
        mode: CastMode,
    },
    /// `EXTRACT(field FROM operand)`
    Extract {
        field: Ident,
        operand: Box<Expr>,
    },
    /// `base[index]`: array element or map value.
    Subscript {
        base: Box<Expr>,
        index: Box<Expr>,
    },
    /// `base.field` where base is not a plain name.
    Field {
        base: Box<Expr>,
        name: Ident,
    },
    /// `base:a.b[0]['c']`: a part of a VARIANT.
    VariantPath {
        base: Box<Expr>,
        path: Vec<PathPart>,
    },
    /// `TABLE name` or `TABLE (query)` among the arguments of a table function.
    TableArgument(Box<TableArgument>),
    /// `(x, y) -> body`
    Lambda {
        parameters: Vec<Ident>,
        body: Box<Expr>,
    },
    /// `(a, b, …)` with more than one element.
    Row(Vec<Expr>),
    Alias {
        operand: Box<Expr>,
        names: Vec<Ident>,
    },
    /// `:name` or `?` (by its position, 0-based).
    Parameter(Parameter),
    /// `INTERVAL` with an expression for its amount: `INTERVAL (a + 1) DAYS`.
    IntervalOf {
        amount: Box<Expr>,
        unit: Ident,
    },
    /// `expr COLLATE name`
    Collate {
        operand: Box<Expr>,
        collation: MultipartName,
    },
}

/// A step into a VARIANT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPart {
    Field(Ident),
    Index(u32),
}

/// A table that a table function gets, and how its rows are split.
#[derive(Debug, Clone, PartialEq)]
pub struct TableArgument {
    pub table: Relation,
    pub partition_by: Vec<Expr>,
    /// `WITH SINGLE PARTITION`
    pub single_partition: bool,
    pub order_by: Vec<SortItem>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FunctionCall {
    pub name: MultipartName,
    pub args: Vec<Expr>,
    pub distinct: bool,
    /// `FILTER (WHERE …)`
    pub filter: Option<Expr>,
    /// `WITHIN GROUP (ORDER BY …)`
    pub within_group: Vec<SortItem>,
    /// `Some(true)`: IGNORE NULLS; `Some(false)`: RESPECT NULLS.
    pub ignore_nulls: Option<bool>,
    pub over: Option<WindowSpec>,
}

impl FunctionCall {
    pub fn new(name: impl Into<Ident>, args: Vec<Expr>) -> Self {
        Self {
            name: vec![name.into()],
            args,
            distinct: false,
            filter: None,
            within_group: Vec::new(),
            ignore_nulls: None,
            over: None,
        }
    }
}

/// `OVER name` or `OVER (…)`.
#[derive(Debug, Clone, PartialEq)]
pub enum WindowSpec {
    Named(Ident),
    Inline(WindowDefinition),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct WindowDefinition {
    pub partition_by: Vec<Expr>,
    pub order_by: Vec<SortItem>,
    pub frame: Option<WindowFrame>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct WindowFrame {
    /// True for ROWS, false for RANGE.
    pub rows: bool,
    pub start: FrameBound,
    pub end: FrameBound,
}

#[derive(Debug, Clone, PartialEq)]
pub enum FrameBound {
    UnboundedPreceding,
    Preceding(Box<Expr>),
    CurrentRow,
    Following(Box<Expr>),
    UnboundedFollowing,
}

/// An item of ORDER BY. `nulls_first` is `None` where not written: Spark then puts nulls first when ascending.
#[derive(Debug, Clone, PartialEq)]
pub struct SortItem {
    pub expr: Expr,
    pub ascending: bool,
    pub nulls_first: Option<bool>,
}

impl SortItem {
    pub fn nulls_first(&self) -> bool {
        self.nulls_first.unwrap_or(self.ascending)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    Minus,
    Plus,
    Not,
    BitwiseNot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Plus,
    Minus,
    Multiply,
    Divide,
    Modulo,
    /// `DIV`
    IntegralDivide,
    Concat,
    BitwiseAnd,
    BitwiseOr,
    BitwiseXor,
    ShiftLeft,
    ShiftRight,
    ShiftRightUnsigned,
    Equal,
    /// `<=>` and IS NOT DISTINCT FROM; IS DISTINCT FROM is its negation.
    NullSafeEqual,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LikeKind {
    Like,
    ILike,
    /// `RLIKE` / `REGEXP`
    RLike,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CastMode {
    /// By `spark.sql.ansi.enabled`.
    Session,
    Ansi,
    Legacy,
    /// TRY_CAST
    Try,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Parameter {
    Named(Ident),
    Positional(usize),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Null,
    Boolean(bool),
    Byte(i8),
    Short(i16),
    Integer(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    /// Unscaled value with the precision and scale of its text: `1.20` is (120, 3, 2).
    Decimal {
        unscaled: i128,
        precision: u8,
        scale: i8,
    },
    String(String),
    Binary(Vec<u8>),
    /// Days since the epoch.
    Date(i32),
    /// Text of `TIMESTAMP '…'` and its kin, which the session's time zone gives a meaning.
    TimestampText {
        text: String,
        kind: TimestampKind,
    },
    /// Microseconds since the epoch.
    Timestamp(i64),
    TimestampNtz(i64),
    /// Nanoseconds since midnight.
    Time {
        nanos: i64,
        precision: u8,
    },
    YearMonthInterval {
        months: i32,
        data_type: DataType,
    },
    /// Microseconds.
    DayTimeInterval {
        micros: i64,
        data_type: DataType,
    },
    CalendarInterval {
        months: i32,
        days: i32,
        micros: i64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimestampKind {
    /// `TIMESTAMP '…'`: by `spark.sql.timestampType` and whether the text has a zone.
    Session,
    Ltz,
    Ntz,
}

impl Expr {
    pub fn new(kind: ExprKind, span: Span) -> Self {
        Self { kind, span }
    }

    /// An expression that no text stands for.
    pub fn bare(kind: ExprKind) -> Self {
        Self { kind, span: Span::NONE }
    }

    pub fn attribute(name: impl Into<Ident>) -> Self {
        Self::bare(ExprKind::Attribute { name: vec![name.into()], plan_id: None })
    }

    pub fn literal(literal: Literal) -> Self {
        Self::bare(ExprKind::Literal(literal))
    }

    pub fn call(name: impl Into<Ident>, args: Vec<Expr>) -> Self {
        Self::bare(ExprKind::Function(Box::new(FunctionCall::new(name, args))))
    }

    pub fn alias(self, name: impl Into<Ident>) -> Self {
        let span = self.span;
        Self::new(ExprKind::Alias { operand: Box::new(self), names: vec![name.into()] }, span)
    }
}

impl BinaryOp {
    pub fn is_comparison(self) -> bool {
        use BinaryOp::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual, NullSafeEqual};
        matches!(self, Equal | NullSafeEqual | NotEqual | Less | LessOrEqual | Greater | GreaterOrEqual)
    }

    /// The operator as Spark writes it in column names and messages.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::IntegralDivide => "div",
            Self::Concat => "||",
            Self::BitwiseAnd => "&",
            Self::BitwiseOr => "|",
            Self::BitwiseXor => "^",
            Self::ShiftLeft => "<<",
            Self::ShiftRight => ">>",
            Self::ShiftRightUnsigned => ">>>",
            Self::Equal => "=",
            Self::NullSafeEqual => "<=>",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::And => "AND",
            Self::Or => "OR",
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}
