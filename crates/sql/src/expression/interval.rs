//! INTERVAL literals.

use firesteel_plan::{DataType, Expr, ExprKind, SparkError, SparkResult, expr::Literal, types::DayTimeField};

use crate::{
    cursor::Parser,
    data_type::interval_type_of,
    keyword::Keyword as K,
    lexer::{Symbol as S, TokenKind},
    literal::{self, IntervalText, UnitsError},
};

fn is_unit(keyword: K) -> bool {
    matches!(
        keyword,
        K::NANOSECOND
            | K::NANOSECONDS
            | K::MICROSECOND
            | K::MICROSECONDS
            | K::MILLISECOND
            | K::MILLISECONDS
            | K::SECOND
            | K::SECONDS
            | K::MINUTE
            | K::MINUTES
            | K::HOUR
            | K::HOURS
            | K::DAY
            | K::DAYS
            | K::WEEK
            | K::WEEKS
            | K::MONTH
            | K::MONTHS
            | K::YEAR
            | K::YEARS
    )
}

impl Parser<'_> {
    /// Whether INTERVAL is followed by an amount and a unit.
    pub(super) fn starts_interval(&self) -> bool {
        self.is_interval_part(1)
    }

    /// `[+|-] amount unit`
    fn is_interval_part(&self, ahead: usize) -> bool {
        let sign = usize::from(self.is_symbol_at(ahead, S::Minus) || self.is_symbol_at(ahead, S::Plus));
        let mut at = ahead + sign;
        if matches!(self.kind_at(at), TokenKind::Integer | TokenKind::Decimal) {
            at += 1;
        } else if self.is_string_at(at) {
            while self.is_string_at(at) {
                at += 1;
            }
        } else {
            return false;
        }
        self.keyword_at(at).is_some_and(is_unit)
    }

    pub(super) fn interval_literal(&mut self) -> SparkResult<Expr> {
        let start = self.start();
        self.advance();
        let body = self.start();
        let (value, is_string) = self.interval_amount()?;
        if let (Some(from), true, Some(to)) = (self.keyword(), self.is_at(1, K::TO), self.keyword_at(2))
            && is_unit(from)
            && is_unit(to)
        {
            self.at += 3;
            let between = self.interval_between(&value, is_string, from, to, start, body);
            if self.is_interval_part(0) {
                while self.is_interval_part(0) {
                    self.interval_amount()?;
                    self.advance();
                    if self.is(K::TO) && self.keyword_at(1).is_some_and(is_unit) {
                        self.at += 2;
                    }
                }
                return Err(self.error_from(single_from_to(), start));
            }
            return between;
        }
        let mut interval = IntervalText::default();
        let mut amount = (value, is_string);
        loop {
            let unit = self.advance();
            let unit = self.token_text(unit);
            let (value, is_string) = amount;
            // In a string, space may stand behind the sign.
            let digits = match value.trim().strip_prefix(['-', '+']) {
                Some(digits) if is_string => format!("{}{}", &value.trim()[..1], digits.trim_start()),
                _ => value.trim().to_owned(),
            };
            if interval.add(&digits, unit).is_none() {
                let error =
                    if is_string && !is_numeric(&value) { not_a_number(&value) } else { unparsable(&value, unit) };
                return Err(self.error_from(error, body));
            }
            if !self.is_interval_part(0) {
                break;
            }
            amount = self.interval_amount()?;
            if self.is_at(1, K::TO) && self.keyword_at(2).is_some_and(is_unit) {
                self.at += 3;
                return Err(self.error_from(single_from_to(), start));
            }
        }
        self.interval_of_units(&interval, start)
    }

    /// The amount with its sign, and whether it was written as a string.
    fn interval_amount(&mut self) -> SparkResult<(String, bool)> {
        let negative = self.is_symbol(S::Minus);
        if negative || self.is_symbol(S::Plus) {
            self.advance();
        }
        let is_string = self.is_string_at(0);
        let value = if is_string {
            self.string()?
        } else {
            let token = self.advance();
            self.token_text(token).to_owned()
        };
        let value = match (negative, value.strip_prefix('-')) {
            (true, Some(positive)) => positive.to_owned(),
            (true, None) => format!("-{value}"),
            (false, _) => value,
        };
        Ok((value, is_string))
    }

    fn interval_between(
        &self,
        value: &str,
        is_string: bool,
        from: K,
        to: K,
        start: usize,
        body: usize,
    ) -> SparkResult<Expr> {
        if !is_string {
            let message = "The value of from-to unit must be a string.";
            return Err(self.error_from(SparkError::new("_LEGACY_ERROR_TEMP_0027", "", message), body));
        }
        let data_type = interval_type_of(from, to).filter(|_| from != to);
        let Some(data_type) = data_type else {
            let (from, to) = (from.text().to_lowercase(), to.text().to_lowercase());
            let error = interval_format(
                "UNSUPPORTED_FROM_TO_EXPRESSION",
                value,
                &format!("Cannot support (interval '{value}' {from} to {to}) expression."),
            );
            return Err(self.error_from(error.param("from", from).param("to", to), body));
        };
        match literal::unit_to_unit(value, from, to) {
            Ok(interval) => self.interval_constant(&interval, data_type, start),
            Err(error) => Err(self.error_from(units_error(&error, value, from, to), body)),
        }
    }

    /// An interval of the type that reaches from the largest to the smallest of its units.
    pub(super) fn interval_of_units(&self, interval: &IntervalText, start: usize) -> SparkResult<Expr> {
        let (mut year_month, mut day_time) = (Vec::new(), Vec::new());
        for unit in &interval.units {
            match unit.as_str() {
                "year" => year_month.push(K::YEAR),
                "month" => year_month.push(K::MONTH),
                "week" | "day" => day_time.push(DayTimeField::Day),
                "hour" => day_time.push(DayTimeField::Hour),
                "minute" => day_time.push(DayTimeField::Minute),
                _ => day_time.push(DayTimeField::Second),
            }
        }
        if !year_month.is_empty() && !day_time.is_empty() {
            let literal = self.text_from(start).to_owned();
            let error = SparkError::new(
                "_LEGACY_ERROR_TEMP_0029",
                "",
                format!("Cannot mix year-month and day-time fields: {literal}."),
            )
            .param("literal", literal);
            return Err(self.error_from(error, start));
        }
        let data_type = match (day_time.iter().min(), day_time.iter().max()) {
            (Some(first), Some(last)) => DataType::DayTimeInterval { start: *first, end: *last },
            _ => {
                let first = if year_month.contains(&K::YEAR) { K::YEAR } else { K::MONTH };
                let last = if year_month.contains(&K::MONTH) { K::MONTH } else { K::YEAR };
                interval_type_of(first, last).unwrap_or(DataType::CalendarInterval)
            }
        };
        self.interval_constant(interval, data_type, start)
    }

    fn interval_constant(&self, interval: &IntervalText, data_type: DataType, start: usize) -> SparkResult<Expr> {
        let value = match data_type {
            DataType::YearMonthInterval { .. } => Literal::YearMonthInterval { months: interval.months, data_type },
            _ => match interval.total_micros() {
                Some(micros) => Literal::DayTimeInterval { micros, data_type },
                None => {
                    let message = "Integer overflow while operating with intervals.";
                    let error = SparkError::new("INTERVAL_ARITHMETIC_OVERFLOW.WITHOUT_SUGGESTION", "22015", message);
                    return Err(self.error_from(error, start));
                }
            },
        };
        Ok(Expr::new(ExprKind::Literal(value), self.span_from(start)))
    }
}

/// Why `value` is no interval of these units, as Spark says it.
fn units_error(error: &UnitsError, value: &str, from: K, to: K) -> SparkError {
    let year_month = from == K::YEAR;
    let kind = if year_month { "year-month" } else { "day-time" };
    match error {
        UnitsError::Form => {
            let parts = |unit| match unit {
                K::YEAR => "y-m",
                K::DAY => match to {
                    K::HOUR => "d h",
                    K::MINUTE => "d h:m",
                    _ => "d h:m:s.n",
                },
                K::HOUR if to == K::MINUTE => "h:m",
                K::HOUR => "h:m:s.n",
                _ => "m:s.n",
            };
            let (form, from, to) = (parts(from), from.text(), to.text());
            let supported = format!("`[+|-]{form}`, `INTERVAL [+|-]'[+|-]{form}' {from} TO {to}`");
            let type_name = format!("interval {} to {}", from.to_lowercase(), to.to_lowercase());
            let detail = format!(
                "Interval string does not match {kind} format of {supported} when cast to {type_name}: {value}."
            );
            let (subclass, detail) = if year_month {
                ("UNMATCHED_FORMAT_STRING", detail)
            } else {
                let notice = "Set \"spark.sql.legacy.fromDayTimeString.enabled\" to \"true\" to restore the behavior before Spark 3.0.";
                ("UNMATCHED_FORMAT_STRING_WITH_NOTICE", format!("{detail} {notice}"))
            };
            interval_format(subclass, value, &detail)
                .param("intervalStr", kind)
                .param("supportedFormat", supported)
                .param("typeName", type_name)
        }
        UnitsError::Range { unit, value, most } if !year_month => {
            let message = format!("requirement failed: {unit} {value} outside range [0, {most}]");
            SparkError::new("_LEGACY_ERROR_TEMP_0063", "", format!("{message}.")).param("msg", message)
        }
        UnitsError::Range { .. } | UnitsError::Overflow => {
            let detail = format!("Error parsing interval {kind} string.");
            interval_format("INTERVAL_PARSING", value, &detail).param("interval", kind)
        }
    }
}

fn is_numeric(text: &str) -> bool {
    let digits = text.trim().trim_start_matches(['-', '+']);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn not_a_number(value: &str) -> SparkError {
    SparkError::new(
        "_LEGACY_ERROR_TEMP_0026",
        "",
        format!(
            "Can only use numbers in the interval value part for multiple unit value pairs interval form, but got invalid \
             value: {value}."
        ),
    )
    .param("value", value)
}

fn single_from_to() -> SparkError {
    let message = "Can only have a single from-to unit in the interval literal syntax.";
    SparkError::new("_LEGACY_ERROR_TEMP_0024", "", message)
}

/// A number that its unit cannot take: too large, or with a fraction.
fn unparsable(value: &str, unit: &str) -> SparkError {
    let unit = unit.to_lowercase();
    if value.contains('.') && !unit.starts_with("second") {
        return interval_format("INVALID_FRACTION", value, &format!("'{unit}' cannot have fractional part."))
            .param("unit", unit);
    }
    interval_format("ARITHMETIC_EXCEPTION", value, &format!("Uncaught arithmetic exception while parsing '{value}'."))
}

fn interval_format(subclass: &str, input: &str, detail: &str) -> SparkError {
    SparkError::new(
        format!("INVALID_INTERVAL_FORMAT.{subclass}"),
        "22006",
        format!(
            "Error parsing '{input}' to interval. Please ensure that the value provided is in a valid format for defining an \
             interval. You can reference the documentation for the correct format. {detail}"
        ),
    )
    .param("input", input)
}
