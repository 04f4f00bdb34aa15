//! Parts of URLs, as Java's `java.net.URI` sees them.

use std::sync::LazyLock;

use arrow::{array::ArrayRef, datatypes::DataType as Arrow};
use datafusion::error::Result as DfResult;
use firesteel_plan::{DataType, SparkError};
use regex::Regex;

use crate::{
    EvalMode,
    errors::external,
    registry::{FunctionDef, Nulls},
    udf::{Args, Ret, Udf, strings},
};

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        Udf::new("spark_parse_url_ansi", Ret::Fixed(Arrow::Utf8), |a| parse_url(a, EvalMode::Ansi)),
        Udf::new("spark_parse_url_legacy", Ret::Fixed(Arrow::Utf8), |a| parse_url(a, EvalMode::Legacy)),
        Udf::new("spark_parse_url_try", Ret::Fixed(Arrow::Utf8), |a| parse_url(a, EvalMode::Try)),
    ]
}

#[derive(Default)]
struct Uri<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    /// Nothing where the rest behind the scheme is opaque (`mailto:…`).
    path: Option<&'a str>,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

/// Characters that may stand in a URI as they are; Java lets in letters beyond ASCII.
fn is_allowed(text: &str, brackets: bool) -> bool {
    let bytes = text.as_bytes();
    text.char_indices().all(|(i, c)| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        '-' | '_' | '.' | '!' | '~' | '*' | '\'' | '(' | ')' => true,
        ';' | '/' | '?' | ':' | '@' | '&' | '=' | '+' | '$' | ',' => true,
        '[' | ']' => brackets,
        '%' => {
            let hex = |k: usize| bytes.get(i + k).is_some_and(u8::is_ascii_hexdigit);
            hex(1) && hex(2)
        }
        c if c.is_ascii() => false,
        c => !c.is_control() && !c.is_whitespace(),
    })
}

fn parse(text: &str) -> Option<Uri<'_>> {
    let mut uri = Uri::default();
    let rest = match text.split_once('#') {
        Some((rest, fragment)) => {
            uri.fragment = Some(fragment);
            rest
        }
        None => text,
    };
    let mut rest = rest;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    if let Some(colon) = rest[..end].find(':') {
        let scheme = &rest[..colon];
        let mut letters = scheme.chars();
        let good = letters.next().is_some_and(|c| c.is_ascii_alphabetic())
            && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        if !good {
            return None;
        }
        uri.scheme = Some(scheme);
        rest = &rest[colon + 1..];
        if rest.is_empty() {
            return None;
        }
        if !rest.starts_with('/') {
            let good = is_allowed(rest, true) && uri.fragment.is_none_or(|f| is_allowed(f, true));
            return good.then_some(uri);
        }
    }
    if let Some(behind) = rest.strip_prefix("//") {
        let end = behind.find(['/', '?']).unwrap_or(behind.len());
        if end == 0 && behind.is_empty() {
            return None;
        }
        uri.authority = Some(&behind[..end]).filter(|a| !a.is_empty());
        rest = &behind[end..];
    }
    match rest.split_once('?') {
        Some((path, query)) => {
            uri.path = Some(path);
            uri.query = Some(query);
        }
        None => uri.path = Some(rest),
    }
    let good = uri.path.is_none_or(|p| is_allowed(p, false))
        && uri.authority.is_none_or(|a| is_allowed(a, true))
        && uri.query.is_none_or(|q| is_allowed(q, true))
        && uri.fragment.is_none_or(|f| is_allowed(f, true));
    good.then_some(uri)
}

/// User and host of an authority that names a server; Java finds none in others.
fn server(authority: &str) -> Option<(Option<&str>, &str)> {
    static SERVER: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let host = r"\[[0-9a-fA-F:.%\w]+\]|(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.?|\d{1,3}(?:\.\d{1,3}){3}";
        Regex::new(&format!(r"^(?:([^@]*)@)?({host})(?::\d*)?$")).ok()
    });
    let found = SERVER.as_ref()?.captures(authority)?;
    Some((found.get(1).map(|m| m.as_str()), found.get(2)?.as_str()))
}

fn part<'a>(uri: &Uri<'a>, name: &str) -> Option<std::borrow::Cow<'a, str>> {
    match name {
        "HOST" => Some(server(uri.authority?)?.1.into()),
        "PATH" => uri.path.map(Into::into),
        "QUERY" => uri.query.map(Into::into),
        "REF" => uri.fragment.map(Into::into),
        "PROTOCOL" => uri.scheme.map(Into::into),
        "FILE" => {
            let path = uri.path?;
            Some(match uri.query {
                Some(query) => format!("{path}?{query}").into(),
                None => path.into(),
            })
        }
        "AUTHORITY" => uri.authority.map(Into::into),
        "USERINFO" => server(uri.authority?)?.0.map(Into::into),
        _ => None,
    }
}

/// `parse_url(url, part[, key of the query])`
fn parse_url(args: &Args<'_>, mode: EvalMode) -> DfResult<ArrayRef> {
    let (urls, parts) = (args.text(0)?, args.text(1)?);
    let keys = if args.len() > 2 { Some(args.text(2)?) } else { None };
    strings(args, args.rows * 16, |row, out| {
        let (Some(url), Some(name)) = (urls.get(row), parts.get(row)) else { return Ok(false) };
        let key = match &keys {
            Some(keys) => match keys.get(row) {
                Some(key) => Some(key),
                None => return Ok(false),
            },
            None => None,
        };
        if key.is_some() && name != "QUERY" {
            return Ok(false);
        }
        let Some(uri) = parse(url) else {
            if mode == EvalMode::Ansi {
                let error = SparkError::new(
                    "INVALID_URL",
                    "22P02",
                    format!(
                        "The url is invalid: {url}. Use `try_parse_url` to tolerate invalid URL and return NULL instead."
                    ),
                );
                return Err(external(error.param("url", url)));
            }
            return Ok(false);
        };
        let Some(found) = part(&uri, name) else { return Ok(false) };
        let Some(key) = key else {
            out.push_str(&found);
            return Ok(true);
        };
        let value = found.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        out.push_str(value.unwrap_or_default());
        Ok(value.is_some())
    })
}

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::simple("parse_url", "spark_parse_url", "ss?s", DataType::String).by_mode().nulls(Nulls::Maybe),
        F::simple("try_parse_url", "spark_parse_url_try", "ss?s", DataType::String).nulls(Nulls::Maybe),
    ]
}
