//! Expressions as text, the way Spark names the columns that have no alias and shows expressions in messages.

use firesteel_plan::{
    Expr, ExprKind,
    expr::{
        BinaryOp, CastMode, FrameBound, FunctionCall, LikeKind, Literal, SortItem, TimestampKind, UnaryOp,
        WindowDefinition, WindowFrame, WindowSpec,
    },
};

/// Shows the name of an attribute: the analyzer knows which leading parts are a table's name.
pub type Names<'a> = &'a dyn Fn(&[String]) -> String;

/// The text of `expr`; `names` shows its attributes.
pub fn expr(e: &Expr, names: Names<'_>) -> String {
    let show = |e: &Expr| expr(e, names);
    let list = |items: &[Expr]| items.iter().map(show).collect::<Vec<_>>().join(", ");
    let not = |negated: bool, text: String| if negated { format!("(NOT {text})") } else { text };
    match &e.kind {
        ExprKind::Literal(value) => literal(value),
        ExprKind::Attribute { name, .. } => names(name),
        ExprKind::Star { target, .. } => match target {
            Some(target) => format!("{}.*", target.join(".")),
            None => "*".to_owned(),
        },
        ExprKind::Function(call) => function(call, names),
        ExprKind::NamedArgument { name, value } => format!("{name} => {}", show(value)),
        ExprKind::Unary { op, operand } => match op {
            UnaryOp::Minus => match &operand.kind {
                ExprKind::Literal(value) if is_number(value) => format!("-{}", literal(value)),
                _ => format!("(- {})", show(operand)),
            },
            UnaryOp::Plus => format!("(+ {})", show(operand)),
            UnaryOp::Not => format!("(NOT {})", show(operand)),
            UnaryOp::BitwiseNot => format!("~{}", show(operand)),
        },
        ExprKind::Binary { op: BinaryOp::NotEqual, left, right } => {
            format!("(NOT ({} = {}))", show(left), show(right))
        }
        ExprKind::Binary { op: BinaryOp::Concat, left, right } => {
            format!("concat({}, {})", show(left), show(right))
        }
        ExprKind::Binary { op, left, right } => format!("({} {} {})", show(left), op.symbol(), show(right)),
        ExprKind::IsNull { operand, negated } => {
            format!("({} IS {}NULL)", show(operand), if *negated { "NOT " } else { "" })
        }
        ExprKind::IsBoolean { operand, value: None, negated } => {
            format!("({} IS {}NULL)", show(operand), if *negated { "NOT " } else { "" })
        }
        ExprKind::IsBoolean { operand, value: Some(value), negated } => {
            not(*negated, format!("({} <=> {value})", show(operand)))
        }
        ExprKind::Between { operand, low, high, negated } => {
            not(*negated, format!("between({}, {}, {})", show(operand), show(low), show(high)))
        }
        ExprKind::InList { operand, list: items, negated } => {
            not(*negated, format!("({} IN ({}))", show(operand), list(items)))
        }
        ExprKind::InSubquery { operand, negated, .. } => {
            not(*negated, format!("({} IN (listquery()))", show(operand)))
        }
        ExprKind::Exists { .. } => "exists()".to_owned(),
        ExprKind::ScalarSubquery { .. } => "scalarsubquery()".to_owned(),
        ExprKind::Like { kind, operand, pattern, escape, negated } => {
            let (operand, pattern) = (show(operand), show(pattern));
            let text = match (kind, escape) {
                (LikeKind::RLike, _) => format!("RLIKE({operand}, {pattern})"),
                (LikeKind::Like, None | Some('\\')) => format!("{operand} LIKE {pattern}"),
                (LikeKind::Like, Some(c)) => format!("{operand} LIKE {pattern} ESCAPE '{c}'"),
                (LikeKind::ILike, None | Some('\\')) => format!("ilike({operand}, {pattern})"),
                (LikeKind::ILike, Some(c)) => format!("ilike({operand}, {pattern}, '{c}')"),
            };
            not(*negated, text)
        }
        ExprKind::LikeMany { all, operand, patterns, negated, .. } => {
            let name = match (all, negated) {
                (true, false) => "likeall",
                (true, true) => "notlikeall",
                (false, false) => "likeany",
                (false, true) => "notlikeany",
            };
            format!("{name}({}, {})", show(operand), list(patterns))
        }
        ExprKind::Case { operand, branches, otherwise } => {
            let mut text = "CASE".to_owned();
            for (when, then) in branches {
                let when = match operand {
                    Some(operand) => format!("({} = {})", show(operand), show(when)),
                    None => show(when),
                };
                text.push_str(&format!(" WHEN {when} THEN {}", show(then)));
            }
            if let Some(otherwise) = otherwise {
                text.push_str(&format!(" ELSE {}", show(otherwise)));
            }
            text.push_str(" END");
            text
        }
        ExprKind::Cast { operand, data_type, mode } => {
            let name = if *mode == CastMode::Try { "TRY_CAST" } else { "CAST" };
            format!("{name}({} AS {})", show(operand), data_type.to_string().to_uppercase())
        }
        ExprKind::Extract { field, operand } => format!("extract({field} FROM {})", show(operand)),
        ExprKind::Subscript { base, index } => format!("{}[{}]", show(base), show(index)),
        ExprKind::Field { base, name } => format!("{}.{name}", show(base)),
        ExprKind::Lambda { parameters, body } => {
            let variables = vec!["namedlambdavariable()"; parameters.len()].join(", ");
            let names = |name: &[String]| match name.first() {
                Some(first) if parameters.iter().any(|p| p.eq_ignore_ascii_case(first)) => {
                    let rest = name[1..].iter().map(|p| format!(".{p}")).collect::<String>();
                    format!("namedlambdavariable(){rest}")
                }
                _ => names(name),
            };
            format!("lambdafunction({}, {variables})", expr(body, &names))
        }
        ExprKind::Row(items) => format!("struct({})", list(items)),
        ExprKind::Alias { operand, names: alias } => format!("{} AS {}", show(operand), alias.join(", ")),
        ExprKind::Parameter(_) => "?".to_owned(),
        ExprKind::IntervalOf { amount, unit } => format!("INTERVAL {} {unit}", show(amount)),
        ExprKind::Collate { operand, collation } => format!("collate({}, {})", show(operand), collation.join(".")),
    }
}

/// The name that a select item without an alias gets.
pub fn column_name(e: &Expr, names: Names<'_>) -> String {
    match &e.kind {
        // A field of a struct is named after itself.
        ExprKind::Field { name, .. } => name.clone(),
        ExprKind::Attribute { name, .. } => name.last().cloned().unwrap_or_default(),
        _ => expr(e, names),
    }
}

/// Attributes by the name as written.
pub fn as_written(name: &[String]) -> String {
    name.join(".")
}

fn function(call: &FunctionCall, names: Names<'_>) -> String {
    let name = call.name.last().map(String::as_str).unwrap_or_default();
    let lower = name.to_lowercase();
    let shown = match lower.as_str() {
        "ceil" | "ceiling" | "floor" | "rlike" => lower.to_uppercase(),
        _ => lower.clone(),
    };
    let args: Vec<String> = match call.args.as_slice() {
        [Expr { kind: ExprKind::Star { target: None, .. }, .. }] if lower == "count" => vec!["1".to_owned()],
        args => args.iter().map(|a| expr(a, names)).collect(),
    };
    let distinct = if call.distinct { "DISTINCT " } else { "" };
    let mut text = format!("{shown}({distinct}{})", args.join(", "));
    if !call.within_group.is_empty() {
        let items: Vec<String> = call.within_group.iter().map(|i| sort_item(i, names)).collect();
        text.push_str(&format!(" WITHIN GROUP (ORDER BY {})", items.join(", ")));
    }
    if let Some(filter) = &call.filter {
        text.push_str(&format!(" FILTER (WHERE {})", expr(filter, names)));
    }
    if call.ignore_nulls == Some(true) {
        text.push_str(" ignore nulls");
    }
    match &call.over {
        None => text,
        Some(WindowSpec::Named(window)) => format!("{text} OVER {window}"),
        Some(WindowSpec::Inline(definition)) => format!("{text} OVER ({})", over(definition, &lower, names)),
    }
}

fn over(definition: &WindowDefinition, function: &str, names: Names<'_>) -> String {
    let mut parts = Vec::new();
    if !definition.partition_by.is_empty() {
        let items: Vec<String> = definition.partition_by.iter().map(|e| expr(e, names)).collect();
        parts.push(format!("PARTITION BY {}", items.join(", ")));
    }
    if !definition.order_by.is_empty() {
        let items: Vec<String> = definition.order_by.iter().map(|i| sort_item(i, names)).collect();
        parts.push(format!("ORDER BY {}", items.join(", ")));
    }
    parts.push(match &definition.frame {
        Some(frame) => window_frame(frame, names),
        None => default_frame(function, !definition.order_by.is_empty()).to_owned(),
    });
    parts.join(" ")
}

fn default_frame(function: &str, ordered: bool) -> &'static str {
    match function {
        "row_number" | "rank" | "dense_rank" | "percent_rank" | "cume_dist" | "ntile" => {
            if function == "cume_dist" {
                "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
            } else {
                "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
            }
        }
        "lag" => "ROWS BETWEEN -1 FOLLOWING AND -1 FOLLOWING",
        "lead" => "ROWS BETWEEN 1 FOLLOWING AND 1 FOLLOWING",
        _ if ordered => "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
        _ => "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
    }
}

fn window_frame(frame: &WindowFrame, names: Names<'_>) -> String {
    let bound = |bound: &FrameBound| match bound {
        FrameBound::UnboundedPreceding => "UNBOUNDED PRECEDING".to_owned(),
        FrameBound::Preceding(e) => format!("{} PRECEDING", expr(e, names)),
        FrameBound::CurrentRow => "CURRENT ROW".to_owned(),
        FrameBound::Following(e) => format!("{} FOLLOWING", expr(e, names)),
        FrameBound::UnboundedFollowing => "UNBOUNDED FOLLOWING".to_owned(),
    };
    let unit = if frame.rows { "ROWS" } else { "RANGE" };
    format!("{unit} BETWEEN {} AND {}", bound(&frame.start), bound(&frame.end))
}

pub fn sort_item(item: &SortItem, names: Names<'_>) -> String {
    format!(
        "{} {} NULLS {}",
        expr(&item.expr, names),
        if item.ascending { "ASC" } else { "DESC" },
        if item.nulls_first() { "FIRST" } else { "LAST" }
    )
}

fn is_number(value: &Literal) -> bool {
    matches!(
        value,
        Literal::Byte(_)
            | Literal::Short(_)
            | Literal::Integer(_)
            | Literal::Long(_)
            | Literal::Float(_)
            | Literal::Double(_)
            | Literal::Decimal { .. }
    )
}

fn literal(value: &Literal) -> String {
    match value {
        Literal::Null => "NULL".to_owned(),
        Literal::Boolean(b) => b.to_string(),
        Literal::Byte(v) => v.to_string(),
        Literal::Short(v) => v.to_string(),
        Literal::Integer(v) => v.to_string(),
        Literal::Long(v) => v.to_string(),
        Literal::Float(v) => float_text(format!("{v:?}")),
        Literal::Double(v) => float_text(format!("{v:?}")),
        Literal::Decimal { unscaled, scale, .. } => decimal(*unscaled, *scale),
        Literal::String(s) => s.clone(),
        Literal::Binary(bytes) => {
            format!("X'{}'", bytes.iter().map(|b| format!("{b:02X}")).collect::<String>())
        }
        Literal::Date(days) => format!("DATE '{}'", date(*days)),
        Literal::TimestampText { text, kind } => match kind {
            TimestampKind::Ntz => format!("TIMESTAMP_NTZ '{text}'"),
            _ => format!("TIMESTAMP '{text}'"),
        },
        Literal::Timestamp(micros) => format!("TIMESTAMP '{}'", timestamp(*micros)),
        Literal::TimestampNtz(micros) => format!("TIMESTAMP_NTZ '{}'", timestamp(*micros)),
        Literal::Time { nanos, .. } => {
            let seconds = nanos / 1_000_000_000;
            format!("TIME '{:02}:{:02}:{:02}'", seconds / 3600, seconds / 60 % 60, seconds % 60)
        }
        Literal::YearMonthInterval { months, data_type } => year_month(*months, data_type),
        Literal::DayTimeInterval { micros, data_type } => day_time(*micros, data_type),
        Literal::CalendarInterval { months, days, micros } => {
            format!("INTERVAL '{months} months {days} days {micros} microseconds'")
        }
    }
}

fn float_text(text: String) -> String {
    // Rust writes 1e20 where Java writes 1.0E20.
    match text.split_once('e') {
        Some((mantissa, exponent)) if mantissa.contains('.') => format!("{mantissa}E{exponent}"),
        Some((mantissa, exponent)) => format!("{mantissa}.0E{exponent}"),
        None => text,
    }
}

fn decimal(unscaled: i128, scale: i8) -> String {
    let scale = usize::try_from(scale).unwrap_or(0);
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let sign = if unscaled < 0 { "-" } else { "" };
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Civil date of a day number, for years as people write them.
fn date(days: i32) -> String {
    let z = i64::from(days) + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

fn timestamp(micros: i64) -> String {
    let days = i32::try_from(micros.div_euclid(86_400_000_000)).unwrap_or(0);
    let rest = micros.rem_euclid(86_400_000_000);
    let (seconds, fraction) = (rest / 1_000_000, rest % 1_000_000);
    let mut text = format!("{} {:02}:{:02}:{:02}", date(days), seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction != 0 {
        text.push_str(format!(".{fraction:06}").trim_end_matches('0'));
    }
    text
}

fn year_month(months: i32, data_type: &firesteel_plan::DataType) -> String {
    let kind = data_type.to_string().replace("interval ", "").to_uppercase();
    let sign = if months < 0 { "-" } else { "" };
    let months = months.unsigned_abs();
    let text = match kind.as_str() {
        "YEAR" => format!("{sign}{}", months / 12),
        "MONTH" => format!("{sign}{months}"),
        _ => format!("{sign}{}-{}", months / 12, months % 12),
    };
    format!("INTERVAL '{text}' {kind}")
}

fn day_time(micros: i64, data_type: &firesteel_plan::DataType) -> String {
    let kind = data_type.to_string().replace("interval ", "").to_uppercase();
    let (start, end) = kind.split_once(" TO ").unwrap_or((&kind, &kind));
    let sign = if micros < 0 { "-" } else { "" };
    let total = micros.unsigned_abs();
    let (seconds, fraction) = (total / 1_000_000, total % 1_000_000);
    let fraction = if fraction == 0 {
        String::new()
    } else {
        format!(".{fraction:06}").trim_end_matches('0').to_owned()
    };
    let order = ["DAY", "HOUR", "MINUTE", "SECOND"];
    let at = |name: &str| order.iter().position(|o| *o == name).unwrap_or(0);
    let (first, last) = (at(start), at(end));
    let sizes = [86_400, 3_600, 60, 1];
    let mut rest = seconds;
    let mut text = String::new();
    for i in first..=last {
        let value = rest / sizes[i];
        rest %= sizes[i];
        match (i == first, i) {
            (true, 3) => text.push_str(&format!("{value:02}{fraction}")),
            (true, _) => text.push_str(&value.to_string()),
            (false, 1) => text.push_str(&format!(" {value:02}")),
            (false, 3) => text.push_str(&format!(":{value:02}{fraction}")),
            (false, _) => text.push_str(&format!(":{value:02}")),
        }
    }
    format!("INTERVAL '{sign}{text}' {kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_decimals() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(19_782), "2024-02-29");
        assert_eq!(decimal(-5, 2), "-0.05");
        assert_eq!(timestamp(1_500_000), "1970-01-01 00:00:01.5");
    }
}
