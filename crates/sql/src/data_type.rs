//! Data types, and lists of columns with their types.

use firesteel_plan::{
    DataType, SparkError, SparkResult,
    types::{DayTimeField, StructField, YearMonthField},
};

use crate::{cursor::Parser, error, keyword::Keyword as K, lexer::Symbol as S};

impl Parser<'_> {
    pub fn data_type(&mut self) -> SparkResult<DataType> {
        self.nested(Self::data_type_here)
    }

    fn data_type_here(&mut self) -> SparkResult<DataType> {
        let start = self.start();
        let Some(keyword) = self.keyword() else { return self.unknown_type(start) };
        // What has no parameters in Spark is an unknown type with them.
        if keyword == K::STRING && self.is_symbol_at(1, S::OpenParen) {
            return self.unknown_type(start);
        }
        self.advance();
        Ok(match keyword {
            K::BOOLEAN => DataType::Boolean,
            K::TINYINT | K::BYTE => DataType::Byte,
            K::SMALLINT | K::SHORT => DataType::Short,
            K::INT | K::INTEGER => DataType::Integer,
            K::BIGINT | K::LONG => DataType::Long,
            K::FLOAT | K::REAL => DataType::Float,
            K::DOUBLE => DataType::Double,
            K::DATE => DataType::Date,
            K::BINARY => DataType::Binary,
            K::VOID => DataType::Null,
            K::VARIANT => DataType::Variant,
            K::TIMESTAMP_LTZ => DataType::Timestamp,
            K::TIMESTAMP_NTZ => DataType::TimestampNtz,
            K::TIMESTAMP => {
                if self.eat_all(&[K::WITHOUT, K::TIME, K::ZONE]) {
                    DataType::TimestampNtz
                } else if self.eat_all(&[K::WITH, K::LOCAL, K::TIME, K::ZONE]) || !self.options.timestamp_ntz {
                    DataType::Timestamp
                } else {
                    DataType::TimestampNtz
                }
            }
            K::TIME => {
                let precision = self.type_parameter()?.unwrap_or(6);
                self.eat_all(&[K::WITHOUT, K::TIME, K::ZONE]);
                match u8::try_from(precision) {
                    Ok(precision @ 0..=6) => DataType::Time(precision),
                    _ => return Err(self.error_from(time_precision(precision), start)),
                }
            }
            K::STRING => match self.type_collation()? {
                Some(collation) => DataType::CollatedString(collation),
                None => DataType::String,
            },
            K::CHAR | K::CHARACTER => match self.sized_text(start)? {
                Some(length) => DataType::Char(length),
                None => return Err(self.error_from(error::missing_length(keyword.text()), start)),
            },
            K::VARCHAR => match self.sized_text(start)? {
                Some(length) => DataType::Varchar(length),
                None => return Err(self.error_from(error::missing_length(keyword.text()), start)),
            },
            K::DECIMAL | K::DEC | K::NUMERIC => self.decimal_type(start)?,
            K::INTERVAL => self.interval_type()?,
            K::ARRAY => {
                if !self.is_symbol(S::Less) {
                    let message = "The definition of \"ARRAY\" type is incomplete. You must provide an element type. For example: \"ARRAY<elementType>\".";
                    return Err(
                        self.error_from(error::incomplete_type("INCOMPLETE_TYPE_DEFINITION.ARRAY", message), start)
                    );
                }
                self.advance();
                let element = self.data_type()?;
                self.expect_symbol(S::Greater)?;
                DataType::array(element)
            }
            K::MAP => {
                if !self.is_symbol(S::Less) {
                    let message = "The definition of \"MAP\" type is incomplete. You must provide a key type and a value type. For example: \"MAP<TIMESTAMP, INT>\".";
                    return Err(
                        self.error_from(error::incomplete_type("INCOMPLETE_TYPE_DEFINITION.MAP", message), start)
                    );
                }
                self.advance();
                let key = self.data_type()?;
                self.expect_symbol(S::Comma)?;
                let value = self.data_type()?;
                self.expect_symbol(S::Greater)?;
                DataType::map(key, value)
            }
            K::STRUCT => self.struct_type(start)?,
            K::GEOGRAPHY | K::GEOMETRY if self.is_symbol(S::OpenParen) => self.spatial_type(keyword, start)?,
            _ => {
                self.at -= 1;
                return self.unknown_type(start);
            }
        })
    }

    /// `(n)`
    fn type_parameter(&mut self) -> SparkResult<Option<u32>> {
        if !self.eat_symbol(S::OpenParen) {
            return Ok(None);
        }
        let value = self.unsigned_integer()?;
        self.expect_symbol(S::CloseParen)?;
        Ok(Some(value))
    }

    /// `COLLATE name` behind a text type. UTF8_BINARY is what there is without it.
    fn type_collation(&mut self) -> SparkResult<Option<String>> {
        if !(self.is(K::COLLATE) && self.is_name_at(1)) {
            return Ok(None);
        }
        self.advance();
        let collation = self.multipart_name()?.join(".");
        Ok(Some(collation).filter(|c| !c.eq_ignore_ascii_case("UTF8_BINARY")))
    }

    /// The length of CHAR and VARCHAR.
    fn sized_text(&mut self, start: usize) -> SparkResult<Option<u32>> {
        let length = self.type_parameter()?;
        match self.type_collation()? {
            Some(collation) => {
                let what = format!("the collation {collation} of CHAR and VARCHAR");
                Err(self.error_from(SparkError::unsupported(what), start))
            }
            None => Ok(length),
        }
    }

    /// `GEOMETRY(system)` or `GEOGRAPHY(system)`; ANY is every system.
    fn spatial_type(&mut self, keyword: K, start: usize) -> SparkResult<DataType> {
        self.advance();
        let system = if self.eat(K::ANY) { None } else { Some(self.unsigned_integer()?) };
        self.expect_symbol(S::CloseParen)?;
        let geography = keyword == K::GEOGRAPHY;
        if let Some(system) = system.filter(|s| !spatial_system_exists(*s, geography)) {
            let error = SparkError::new(
                "ST_INVALID_SRID_VALUE",
                "22023",
                format!("Invalid or unsupported SRID (spatial reference identifier) value: {system}."),
            );
            return Err(self.error_from(error.param("srid", system.to_string()), start));
        }
        Ok(if geography { DataType::Geography(system) } else { DataType::Geometry(system) })
    }

    fn decimal_type(&mut self, start: usize) -> SparkResult<DataType> {
        let (mut precision, mut scale) = (10, 0);
        if self.eat_symbol(S::OpenParen) {
            precision = self.unsigned_integer()?;
            if self.eat_symbol(S::Comma) {
                scale = self.unsigned_integer()?;
            }
            if self.is_symbol(S::Comma) {
                while self.eat_symbol(S::Comma) {
                    self.unsigned_integer()?;
                }
                self.expect_symbol(S::CloseParen)?;
                let whole = self.text_from(start).to_owned();
                return Err(self.error_from(error::unsupported_data_type(&whole), start));
            }
            self.expect_symbol(S::CloseParen)?;
        }
        if precision > u32::from(DataType::MAX_PRECISION) {
            let error = SparkError::new(
                "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION",
                "22003",
                format!("Decimal precision {precision} exceeds max precision {}.", DataType::MAX_PRECISION),
            )
            .param("precision", precision.to_string())
            .param("maxPrecision", DataType::MAX_PRECISION.to_string());
            return Err(self.error_from(error, start));
        }
        if scale > precision {
            let error = SparkError::new(
                "_LEGACY_ERROR_TEMP_1228",
                "",
                format!("Decimal scale ({scale}) cannot be greater than precision ({precision})."),
            );
            return Err(self.error_from(error, start));
        }
        // Both are at most 38.
        Ok(DataType::Decimal { precision: precision as u8, scale: scale as i8 })
    }

    fn interval_type(&mut self) -> SparkResult<DataType> {
        let Some((first, single)) = self.keyword().and_then(|k| Some((k, interval_type_of(k, k)?))) else {
            return Ok(DataType::CalendarInterval);
        };
        self.advance();
        let range = self.keyword_at(1).filter(|_| self.is(K::TO)).filter(|last| *last != first);
        match range.and_then(|last| interval_type_of(first, last)) {
            Some(data_type) => {
                self.at += 2;
                Ok(data_type)
            }
            None => Ok(single),
        }
    }

    fn struct_type(&mut self, start: usize) -> SparkResult<DataType> {
        if self.eat_symbol(S::LessGreater) {
            return Ok(DataType::Struct(Vec::new()));
        }
        if !self.eat_symbol(S::Less) {
            let message = "The definition of \"STRUCT\" type is incomplete. You must provide at least one field type. For example: \"STRUCT<name STRING, age DECIMAL(10, 2)>\".";
            return Err(self.error_from(error::incomplete_type("INCOMPLETE_TYPE_DEFINITION.STRUCT", message), start));
        }
        if self.eat_symbol(S::Greater) {
            return Ok(DataType::Struct(Vec::new()));
        }
        let fields = self.comma_separated(|p| {
            let name = p.plain_identifier()?;
            p.eat_symbol(S::Colon);
            p.struct_field(name)
        })?;
        self.expect_symbol(S::Greater)?;
        Ok(DataType::Struct(fields))
    }

    /// What follows a field's name: `type [NOT NULL] [COMMENT 'text']`
    fn struct_field(&mut self, name: String) -> SparkResult<StructField> {
        let data_type = self.data_type()?;
        let nullable = !self.eat_not_null()?;
        let comment = if self.eat(K::COMMENT) { Some(self.string()?) } else { None };
        Ok(StructField { name, data_type, nullable, comment })
    }

    pub fn eat_not_null(&mut self) -> SparkResult<bool> {
        if self.eat(K::NOT) || self.eat_symbol(S::Bang) {
            self.expect(K::NULL)?;
            return Ok(true);
        }
        Ok(false)
    }

    fn unknown_type<T>(&mut self, start: usize) -> SparkResult<T> {
        let name = self.identifier()?;
        if self.eat_symbol(S::OpenParen) {
            self.comma_separated(Self::unsigned_integer)?;
            self.expect_symbol(S::CloseParen)?;
        }
        let whole = if self.text_from(start).len() == name.len() { name } else { self.text_from(start).to_owned() };
        Err(self.error_from(error::unsupported_data_type(&whole), start))
    }

    /// `a INT, b STRING NOT NULL COMMENT 'x'`: columns of views, of files' schemas and of functions' results.
    pub fn column_types(&mut self) -> SparkResult<Vec<StructField>> {
        self.comma_separated(|p| {
            let name = p.plain_identifier()?;
            p.struct_field(name)
        })
    }
}

/// The spatial reference systems of each of the two types.
fn spatial_system_exists(system: u32, geography: bool) -> bool {
    system == 4326 || !geography && matches!(system, 0 | 3857)
}

fn time_precision(precision: u32) -> SparkError {
    SparkError::new(
        "UNSUPPORTED_TIME_PRECISION",
        "0A001",
        format!("The seconds precision {precision} of the TIME data type is out of the supported range [0, 6]."),
    )
    .param("precision", precision.to_string())
}

pub fn year_month(unit: K) -> Option<YearMonthField> {
    match unit {
        K::YEAR => Some(YearMonthField::Year),
        K::MONTH => Some(YearMonthField::Month),
        _ => None,
    }
}

pub fn day_time(unit: K) -> Option<DayTimeField> {
    match unit {
        K::DAY => Some(DayTimeField::Day),
        K::HOUR => Some(DayTimeField::Hour),
        K::MINUTE => Some(DayTimeField::Minute),
        K::SECOND => Some(DayTimeField::Second),
        _ => None,
    }
}

/// The type of `INTERVAL first TO last`; none where Spark has no such type.
pub fn interval_type_of(first: K, last: K) -> Option<DataType> {
    if let (Some(start), Some(end)) = (year_month(first), year_month(last)) {
        return (start <= end).then_some(DataType::YearMonthInterval { start, end });
    }
    let (start, end) = (day_time(first)?, day_time(last)?);
    (start <= end).then_some(DataType::DayTimeInterval { start, end })
}
