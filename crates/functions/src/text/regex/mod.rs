//! Functions of regular expressions, and LIKE.

mod java;
mod like;

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, ListBuilder, StringBuilder},
    datatypes::{DataType as Arrow, Field, Int32Type},
};
use datafusion::{error::Result as DfResult, scalar::ScalarValue};
use firesteel_plan::{DataType, SparkError, SparkResult};

pub(crate) use self::java::Regex;
use self::{java::Engine, like::like};
use crate::{
    FunctionContext, Typed,
    errors::external,
    literal,
    registry::{FunctionDef, check_count, want},
    udf::{Args, Ret, Text, Udf, booleans, call, numbers, strings},
};

struct Patterns<'a> {
    constant: Option<Arc<Regex>>,
    texts: Text,
    function: &'a str,
}

fn bad_pattern(function: &str, pattern: &str) -> SparkError {
    SparkError::new(
        "INVALID_PARAMETER_VALUE.PATTERN",
        "22023",
        format!("The value of parameter(s) `regexp` in `{function}` is invalid: '{pattern}'."),
    )
    .param("parameter", "`regexp`")
    .param("functionName", format!("`{function}`"))
    .param("value", format!("'{pattern}'"))
}

impl<'a> Patterns<'a> {
    fn new(args: &Args<'_>, index: usize, function: &'a str) -> DfResult<Self> {
        let constant = match args.constant_text(index) {
            // Spark takes the null for the answer and never looks at the pattern.
            Some(_) if args.scalar(0).is_some_and(ScalarValue::is_null) => {
                let nulls = arrow::array::new_null_array(&Arrow::Utf8, 1);
                return Ok(Self { constant: None, texts: Text::new(&nulls, true)?, function });
            }
            Some(p) => Some(Regex::cached(p).map_err(|_| external(bad_pattern(function, p)))?),
            None => None,
        };
        Ok(Self { constant, texts: args.text(index)?, function })
    }

    #[inline]
    fn get(&self, row: usize) -> DfResult<Option<Arc<Regex>>> {
        if let Some(r) = &self.constant {
            return Ok(Some(Arc::clone(r)));
        }
        match self.texts.get(row) {
            Some(p) => Regex::cached(p).map(Some).map_err(|_| external(bad_pattern(self.function, p))),
            None => Ok(None),
        }
    }
}

pub(super) fn udfs() -> Vec<Udf> {
    let list = Arrow::List(Arc::new(Field::new("item", Arrow::Utf8, true)));
    vec![
        Udf::new("spark_rlike", Ret::Fixed(Arrow::Boolean), |args| {
            let texts = args.text(0)?;
            let patterns = Patterns::new(args, 1, "rlike")?;
            booleans(args, |row| match (texts.get(row), patterns.get(row)?) {
                (Some(t), Some(p)) => p.is_match(t).map(Some),
                _ => Ok(None),
            })
        }),
        Udf::new("spark_regexp_extract", Ret::Fixed(Arrow::Utf8), extract),
        Udf::new("spark_regexp_extract_all", Ret::Fixed(list.clone()), extract_all),
        Udf::new("spark_regexp_replace", Ret::Fixed(Arrow::Utf8), replace),
        Udf::new("spark_regexp_count", Ret::Fixed(Arrow::Int32), |args| {
            let texts = args.text(0)?;
            let patterns = Patterns::new(args, 1, "regexp_count")?;
            numbers::<Int32Type>(args, |row| {
                let (Some(t), Some(p)) = (texts.get(row), patterns.get(row)?) else { return Ok(None) };
                let mut count = 0;
                p.each_match(t, |_| {
                    count += 1;
                    true
                })?;
                Ok(Some(count))
            })
        }),
        Udf::new("spark_regexp_instr", Ret::Fixed(Arrow::Int32), |args| {
            let texts = args.text(0)?;
            let patterns = Patterns::new(args, 1, "regexp_instr")?;
            numbers::<Int32Type>(args, |row| {
                let (Some(t), Some(p)) = (texts.get(row), patterns.get(row)?) else { return Ok(None) };
                Ok(Some(match p.first(t, 0)? {
                    Some(Some((start, _))) => t[..start].chars().count() as i32 + 1,
                    _ => 0,
                }))
            })
        }),
        Udf::new("spark_regexp_substr", Ret::Fixed(Arrow::Utf8), |args| {
            let texts = args.text(0)?;
            let patterns = Patterns::new(args, 1, "regexp_substr")?;
            strings(args, 0, |row, out| {
                let (Some(t), Some(p)) = (texts.get(row), patterns.get(row)?) else { return Ok(false) };
                match p.first(t, 0)? {
                    Some(Some((start, end))) if end > start => {
                        out.push_str(&t[start..end]);
                        Ok(true)
                    }
                    _ => Ok(false),
                }
            })
        }),
        Udf::new("spark_split", Ret::Fixed(list), split),
        Udf::new("spark_like", Ret::Fixed(Arrow::Boolean), |a| like(a, false)),
        Udf::new("spark_ilike", Ret::Fixed(Arrow::Boolean), |a| like(a, true)),
    ]
}

fn check_group(function: &str, regex: &Regex, group: i32) -> DfResult<usize> {
    let count = regex.group_count();
    usize::try_from(group).ok().filter(|g| *g <= count).ok_or_else(|| {
        external(
            SparkError::new(
                "INVALID_PARAMETER_VALUE.REGEX_GROUP_INDEX",
                "22023",
                format!(
                    "The value of parameter(s) `idx` in `{function}` is invalid: Expects group index between 0 and {count}, \
                     but got {group}."
                ),
            )
            .param("parameter", "`idx`")
            .param("functionName", format!("`{function}`"))
            .param("groupCount", count.to_string())
            .param("groupIndex", group.to_string()),
        )
    })
}

fn extract(args: &Args<'_>) -> DfResult<ArrayRef> {
    let texts = args.text(0)?;
    let patterns = Patterns::new(args, 1, "regexp_extract")?;
    let groups = args.primitive::<Int32Type>(2)?;
    let mut builder = StringBuilder::with_capacity(args.rows, texts.byte_size() / 4);
    // The usual call: one pattern and one group for all rows.
    if let (Some(regex), true, Some(group)) = (&patterns.constant, groups.constant, groups.get(0)) {
        if let (Ok(group), Regex::Linear { regex: linear, .. }) =
            (check_group("regexp_extract", regex, group), regex.as_ref())
        {
            let mut locations = linear.capture_locations();
            for row in 0..args.rows {
                let Some(t) = texts.get(row) else {
                    builder.append_null();
                    continue;
                };
                if let Engine::Linear(_) = regex.engine(t) {
                    let found = if group == 0 {
                        linear.find(t).map(|m| (m.start(), m.end()))
                    } else {
                        linear.captures_read(&mut locations, t).and_then(|_| locations.get(group))
                    };
                    builder.append_value(found.map_or("", |(s, e)| &t[s..e]));
                } else {
                    let found = regex.first(t, group)?.flatten();
                    builder.append_value(found.map_or("", |(s, e)| &t[s..e]));
                }
            }
            return Ok(Arc::new(builder.finish()));
        }
    }
    for row in 0..args.rows {
        let (Some(t), Some(p), Some(group)) = (texts.get(row), patterns.get(row)?, groups.get(row)) else {
            builder.append_null();
            continue;
        };
        // The group matters only where there is a match.
        let found = match check_group("regexp_extract", &p, group) {
            Ok(group) => p.first(t, group)?.flatten(),
            Err(error) if p.first(t, 0)?.is_some() => return Err(error),
            Err(_) => None,
        };
        builder.append_value(found.map_or("", |(s, e)| &t[s..e]));
    }
    Ok(Arc::new(builder.finish()))
}

fn extract_all(args: &Args<'_>) -> DfResult<ArrayRef> {
    let texts = args.text(0)?;
    let patterns = Patterns::new(args, 1, "regexp_extract_all")?;
    let groups = args.primitive::<Int32Type>(2)?;
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in 0..args.rows {
        let (Some(t), Some(p), Some(group)) = (texts.get(row), patterns.get(row)?, groups.get(row)) else {
            builder.append_null();
            continue;
        };
        let group = match check_group("regexp_extract_all", &p, group) {
            Ok(group) => group,
            Err(error) if p.first(t, 0)?.is_some() => return Err(error),
            Err(_) => 0,
        };
        p.each_match(t, |found| {
            builder.values().append_value(found.get(group).copied().flatten().map_or("", |(s, e)| &t[s..e]));
            true
        })?;
        builder.append(true);
    }
    Ok(Arc::new(builder.finish()))
}

/// A part of a replacement.
enum Piece {
    Text(String),
    Group(usize),
}

fn bad_group(text: &str) -> datafusion::error::DataFusionError {
    external(
        SparkError::new(
            "INVALID_REGEXP_REPLACE",
            "22023",
            format!("Could not perform regexp_replace with replacement \"{text}\": it names no group of the pattern."),
        )
        .param("replacement", text),
    )
}

/// Java's replacement: `$n` a group, `\x` the character x.
fn pieces(text: &str, groups: usize) -> DfResult<Vec<Piece>> {
    let mut all = Vec::new();
    let mut plain = String::new();
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        match chars[at] {
            '\\' if at + 1 < chars.len() => {
                plain.push(chars[at + 1]);
                at += 2;
            }
            '$' => {
                let Some(mut group) = chars.get(at + 1).and_then(|c| c.to_digit(10)).map(|d| d as usize) else {
                    return Err(bad_group(text));
                };
                if group > groups {
                    return Err(bad_group(text));
                }
                at += 2;
                // More digits only as long as there is such a group.
                while let Some(d) = chars.get(at).and_then(|c| c.to_digit(10)) {
                    let longer = group * 10 + d as usize;
                    if longer > groups {
                        break;
                    }
                    group = longer;
                    at += 1;
                }
                if !plain.is_empty() {
                    all.push(Piece::Text(std::mem::take(&mut plain)));
                }
                all.push(Piece::Group(group));
            }
            c => {
                plain.push(c);
                at += 1;
            }
        }
    }
    if !plain.is_empty() {
        all.push(Piece::Text(plain));
    }
    Ok(all)
}

fn replace(args: &Args<'_>) -> DfResult<ArrayRef> {
    let texts = args.text(0)?;
    let patterns = Patterns::new(args, 1, "regexp_replace")?;
    let replacements = args.text(2)?;
    let positions = args.primitive::<Int32Type>(3)?;
    let constant = match (&patterns.constant, args.constant_text(2)) {
        (Some(p), Some(r)) => Some(pieces(r, p.group_count())?),
        _ => None,
    };
    strings(args, texts.byte_size(), |row, out| {
        let (Some(t), Some(p), Some(r), Some(position)) =
            (texts.get(row), patterns.get(row)?, replacements.get(row), positions.get(row))
        else {
            return Ok(false);
        };
        let own;
        let parts = match &constant {
            Some(parts) => parts,
            None => {
                own = pieces(r, p.group_count())?;
                &own
            }
        };
        let skip = usize::try_from(position - 1).unwrap_or(0);
        let start = t.char_indices().nth(skip).map_or(if skip == 0 { 0 } else { t.len() }, |(i, _)| i);
        // What is before it is not looked at, as in a region of a Java matcher.
        let (before, t) = t.split_at(start);
        out.push_str(before);
        let mut copied = 0;
        p.each_match(t, |groups| {
            let Some(Some((s, e))) = groups.first().copied() else { return false };
            out.push_str(&t[copied..s]);
            for part in parts {
                match part {
                    Piece::Text(text) => out.push_str(text),
                    Piece::Group(g) => {
                        if let Some(Some((s, e))) = groups.get(*g).copied() {
                            out.push_str(&t[s..e]);
                        }
                    }
                }
            }
            copied = e;
            true
        })?;
        out.push_str(&t[copied..]);
        Ok(true)
    })
}

fn split(args: &Args<'_>) -> DfResult<ArrayRef> {
    let texts = args.text(0)?;
    let patterns = Patterns::new(args, 1, "split")?;
    let limits = args.primitive::<Int32Type>(2)?;
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in 0..args.rows {
        let (Some(t), Some(p), Some(limit)) = (texts.get(row), patterns.get(row)?, limits.get(row)) else {
            builder.append_null();
            continue;
        };
        each_part(t, &p, limit, |part| builder.values().append_value(part))?;
        builder.append(true);
    }
    Ok(Arc::new(builder.finish()))
}

/// The parts of a text between matches, at most as many as a positive limit says.
fn each_part<'t>(text: &'t str, regex: &Regex, limit: i32, mut part: impl FnMut(&'t str)) -> DfResult<()> {
    let most = if limit > 0 { limit as usize } else { usize::MAX };
    let (mut from, mut count) = (0, 1);
    if text.is_empty() {
        part("");
        return Ok(());
    }
    regex.each_match(text, |groups| {
        let Some(Some((s, e))) = groups.first().copied() else { return false };
        if count >= most {
            return false;
        }
        // An empty match at the start makes no leading part, nor one at the end of an empty pattern.
        if e == 0 || (s == e && s >= text.len()) {
            return true;
        }
        part(&text[from..s]);
        count += 1;
        from = e;
        true
    })?;
    part(&text[from..]);
    Ok(())
}

/// As `split(text, pattern, limit)`, for the function of that name.
pub(crate) fn split_text<'t>(text: &'t str, pattern: &str, limit: i32, function: &str) -> DfResult<Vec<&'t str>> {
    let regex = Regex::cached(pattern).map_err(|_| external(bad_pattern(function, pattern)))?;
    let mut parts = Vec::new();
    each_part(text, &regex, limit, |part| parts.push(part))?;
    Ok(parts)
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::simple("rlike", "spark_rlike", "ss", DataType::Boolean),
        F::simple("regexp", "spark_rlike", "ss", DataType::Boolean),
        F::simple("regexp_like", "spark_rlike", "ss", DataType::Boolean),
        F::simple("regexp_count", "spark_regexp_count", "ss", DataType::Integer),
        F::simple("regexp_substr", "spark_regexp_substr", "ss", DataType::String).nulls(crate::registry::Nulls::Maybe),
        F::resolve("regexp_instr", |c, n, a| {
            check_count(n, a.len(), 2, 3)?;
            with_default(c, n, "spark_regexp_instr", &a, "ss", None, DataType::Integer)
        }),
        F::resolve("regexp_extract", |c, n, a| {
            check_count(n, a.len(), 2, 3)?;
            with_default(c, n, "spark_regexp_extract", &a, "ssi", Some(1), DataType::String)
        }),
        F::resolve("regexp_extract_all", |c, n, a| {
            check_count(n, a.len(), 2, 3)?;
            let list = DataType::Array { element: Box::new(DataType::String), contains_null: true };
            with_default(c, n, "spark_regexp_extract_all", &a, "ssi", Some(1), list)
        }),
        F::resolve("regexp_replace", |c, n, a| {
            check_count(n, a.len(), 3, 4)?;
            with_default(c, n, "spark_regexp_replace", &a, "sssi", Some(1), DataType::String)
        }),
        F::resolve("split", |c, n, a| {
            check_count(n, a.len(), 2, 3)?;
            let list = DataType::Array { element: Box::new(DataType::String), contains_null: false };
            with_default(c, n, "spark_split", &a, "ssi", Some(-1), list)
        }),
        F::resolve("like", |c, n, a| like_call(c, n, a, firesteel_plan::expr::LikeKind::Like)),
        F::resolve("ilike", |c, n, a| like_call(c, n, a, firesteel_plan::expr::LikeKind::ILike)),
    ]
}

/// Casts the arguments by their letters and adds the last one where it is left out.
fn with_default(
    ctx: &FunctionContext,
    name: &'static str,
    udf: &str,
    args: &[Typed],
    letters: &str,
    default: Option<i32>,
    data_type: DataType,
) -> SparkResult<Typed> {
    let mut exprs = Vec::with_capacity(letters.len());
    let mut nullable = false;
    for (i, letter) in letters.chars().enumerate() {
        let arg = match (args.get(i), default) {
            (Some(arg), _) => want(ctx, name, i, letter, arg.clone())?,
            (None, Some(value)) => literal::int(value),
            (None, None) => break,
        };
        nullable |= arg.nullable;
        exprs.push(arg.expr);
    }
    Ok(Typed::new(call(udf, exprs)?, data_type, nullable))
}

fn like_call(
    ctx: &FunctionContext,
    name: &'static str,
    args: Vec<Typed>,
    kind: firesteel_plan::expr::LikeKind,
) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 3)?;
    let escape = args.get(2).and_then(|e| e.literal_text()).and_then(|e| e.chars().next());
    let mut args = args.into_iter();
    match (args.next(), args.next()) {
        (Some(text), Some(pattern)) => crate::operators::like(ctx, kind, text, pattern, escape, false),
        _ => Err(crate::errors::wrong_num_args(name, 2, 0)),
    }
}
