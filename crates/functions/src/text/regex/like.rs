//! LIKE, with its escapes.

use arrow::array::ArrayRef;
use datafusion::{error::Result as DfResult, scalar::ScalarValue};
use firesteel_plan::SparkError;

use crate::{
    errors::external,
    udf::{Args, booleans},
};

pub(super) fn like(args: &Args<'_>, fold: bool) -> DfResult<ArrayRef> {
    let texts = args.text(0)?;
    let patterns = args.text(1)?;
    let escape = args.parameter(2)?.chars().next().unwrap_or('\\');
    let constant = match args.constant_text(1) {
        // Spark takes the null for the answer and never looks at the pattern.
        Some(_) if args.scalar(0).is_some_and(ScalarValue::is_null) => None,
        Some(p) => Some(like_regex(p, escape, fold)?),
        None => None,
    };
    booleans(args, |row| {
        let (Some(t), Some(p)) = (texts.get(row), patterns.get(row)) else { return Ok(None) };
        let own;
        let regex = match &constant {
            Some(r) => r,
            None => {
                own = like_regex(p, escape, fold)?;
                &own
            }
        };
        Ok(Some(regex.is_match(t)))
    })
}

fn like_regex(pattern: &str, escape: char, fold: bool) -> DfResult<regex::Regex> {
    let mut text = String::from(if fold { r"(?si)\A" } else { r"(?s)\A" });
    let mut chars = pattern.chars();
    let invalid = |what: &str| {
        external(
            SparkError::new(
                format!("INVALID_FORMAT.{what}"),
                "42601",
                format!(
                    "The format is invalid: '{pattern}'. The escape character must be followed by '_', '%' or itself."
                ),
            )
            .param("format", format!("'{pattern}'")),
        )
    };
    while let Some(c) = chars.next() {
        if c == escape {
            match chars.next() {
                Some(e) if e == '_' || e == '%' || e == escape => {
                    text.push_str(&regex::escape(e.encode_utf8(&mut [0; 4])))
                }
                Some(_) => return Err(invalid("ESC_IN_THE_MIDDLE")),
                None => return Err(invalid("ESC_AT_THE_END")),
            }
            continue;
        }
        match c {
            '_' => text.push('.'),
            '%' => text.push_str(".*"),
            other => text.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    text.push_str(r"\z");
    regex::Regex::new(&text).map_err(|e| external(SparkError::internal(e.to_string())))
}
