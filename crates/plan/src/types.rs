//! Spark SQL's data types.

use std::fmt;

/// A Spark data type. Nullability belongs to the column, element or field that has the type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DataType {
    Null,
    Boolean,
    Byte,
    Short,
    Integer,
    Long,
    Float,
    Double,
    /// Precision 1 to 38; scale 0 to precision.
    Decimal {
        precision: u8,
        scale: i8,
    },
    String,
    /// Text that is compared by a collation other than UTF8_BINARY.
    CollatedString(String),
    Char(u32),
    Varchar(u32),
    Binary,
    Date,
    /// Microseconds since the epoch, shown in the session's time zone.
    Timestamp,
    /// Wall-clock microseconds without a zone.
    TimestampNtz,
    /// Wall-clock time of day with this many fractional digits (0 to 6).
    Time(u8),
    DayTimeInterval {
        start: DayTimeField,
        end: DayTimeField,
    },
    YearMonthInterval {
        start: YearMonthField,
        end: YearMonthField,
    },
    /// The legacy interval of months, days and microseconds.
    CalendarInterval,
    Variant,
    /// Shapes in a plane, of one spatial reference system or of any.
    Geometry(Option<u32>),
    /// Shapes on a globe.
    Geography(Option<u32>),
    Array {
        element: Box<DataType>,
        contains_null: bool,
    },
    Map {
        key: Box<DataType>,
        value: Box<DataType>,
        value_contains_null: bool,
    },
    Struct(Vec<StructField>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StructField {
    pub name: String,
    pub data_type: DataType,
    pub nullable: bool,
    pub comment: Option<String>,
}

impl StructField {
    pub fn new(name: impl Into<String>, data_type: DataType, nullable: bool) -> Self {
        Self { name: name.into(), data_type, nullable, comment: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DayTimeField {
    Day,
    Hour,
    Minute,
    Second,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum YearMonthField {
    Year,
    Month,
}

impl DataType {
    pub const MAX_PRECISION: u8 = 38;

    pub fn array(element: DataType) -> Self {
        Self::Array { element: Box::new(element), contains_null: true }
    }

    pub fn map(key: DataType, value: DataType) -> Self {
        Self::Map { key: Box::new(key), value: Box::new(value), value_contains_null: true }
    }

    pub fn is_integral(&self) -> bool {
        matches!(self, Self::Byte | Self::Short | Self::Integer | Self::Long)
    }

    pub fn is_numeric(&self) -> bool {
        self.is_integral() || matches!(self, Self::Float | Self::Double | Self::Decimal { .. })
    }

    pub fn is_string(&self) -> bool {
        matches!(self, Self::String | Self::CollatedString(_) | Self::Char(_) | Self::Varchar(_))
    }

    /// Whether it is char(n) or varchar(n), which only columns of tables are.
    pub fn is_char_or_varchar(&self) -> bool {
        matches!(self, Self::Char(_) | Self::Varchar(_))
    }

    /// What queries know it as: char(n) and varchar(n) are strings there.
    pub fn in_queries(&self) -> &Self {
        if self.is_char_or_varchar() { &Self::String } else { self }
    }

    pub fn is_interval(&self) -> bool {
        matches!(self, Self::DayTimeInterval { .. } | Self::YearMonthInterval { .. } | Self::CalendarInterval)
    }

    /// The name Spark's `printSchema` and `typeof` use: `bigint`, `array<string>`, `struct<a:int>`.
    pub fn simple_string(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("void"),
            Self::Boolean => f.write_str("boolean"),
            Self::Byte => f.write_str("tinyint"),
            Self::Short => f.write_str("smallint"),
            Self::Integer => f.write_str("int"),
            Self::Long => f.write_str("bigint"),
            Self::Float => f.write_str("float"),
            Self::Double => f.write_str("double"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::String => f.write_str("string"),
            Self::CollatedString(collation) => write!(f, "string collate {collation}"),
            Self::Char(n) => write!(f, "char({n})"),
            Self::Varchar(n) => write!(f, "varchar({n})"),
            Self::Binary => f.write_str("binary"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::TimestampNtz => f.write_str("timestamp_ntz"),
            Self::Time(p) => write!(f, "time({p})"),
            Self::DayTimeInterval { start, end } if start == end => {
                write!(f, "interval {}", start.name())
            }
            Self::DayTimeInterval { start, end } => write!(f, "interval {} to {}", start.name(), end.name()),
            Self::YearMonthInterval { start, end } if start == end => write!(f, "interval {}", start.name()),
            Self::YearMonthInterval { start, end } => write!(f, "interval {} to {}", start.name(), end.name()),
            Self::CalendarInterval => f.write_str("interval"),
            Self::Variant => f.write_str("variant"),
            Self::Geometry(system) => spatial(f, "geometry", *system),
            Self::Geography(system) => spatial(f, "geography", *system),
            Self::Array { element, .. } => write!(f, "array<{element}>"),
            Self::Map { key, value, .. } => write!(f, "map<{key},{value}>"),
            Self::Struct(fields) => {
                f.write_str("struct<")?;
                for (i, field) in fields.iter().enumerate() {
                    if i > 0 {
                        f.write_str(",")?;
                    }
                    write!(f, "{}:{}", field.name, field.data_type)?;
                }
                f.write_str(">")
            }
        }
    }
}

fn spatial(f: &mut fmt::Formatter<'_>, name: &str, system: Option<u32>) -> fmt::Result {
    match system {
        Some(system) => write!(f, "{name}({system})"),
        None => write!(f, "{name}(any)"),
    }
}

impl DayTimeField {
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Minute => "minute",
            Self::Second => "second",
        }
    }
}

impl YearMonthField {
    pub fn name(self) -> &'static str {
        match self {
            Self::Year => "year",
            Self::Month => "month",
        }
    }
}
