//! `get_json_object`: values by their path (`$.a[0]['b']`, `$.a[*].b`), and fields of an object.

use arrow::array::ArrayRef;
use datafusion::error::Result as DfResult;

use super::{
    parse::{Json, Lenience, parse_prefix},
    write::write_json,
};
use crate::udf::{Args, strings};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Step<'a> {
    Name(&'a str),
    /// Every field: `.*`
    AnyName,
    Index(usize),
    /// Every element: `[*]`
    AnyIndex,
}

/// How a value that is found is written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Style {
    /// A string without its quotes.
    Raw,
    Quoted,
    /// The elements of an array as if they stood beside it.
    Flatten,
}

/// Nothing for what is no path.
fn parse_path(path: &str) -> Option<Vec<Step<'_>>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix("['") {
            let (name, behind) = behind.split_once("']")?;
            if name.is_empty() || name.contains(['\'', '?']) {
                return None;
            }
            steps.push(if name == "*" { Step::AnyName } else { Step::Name(name) });
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix('[') {
            let (index, behind) = behind.split_once(']')?;
            steps.push(if index == "*" { Step::AnyIndex } else { Step::Index(index.trim().parse().ok()?) });
            rest = behind;
        } else {
            let behind = rest.strip_prefix('.')?;
            let end = behind.find(['.', '[']).unwrap_or(behind.len());
            if end == 0 {
                return None;
            }
            let name = &behind[..end];
            steps.push(if name == "*" { Step::AnyName } else { Step::Name(name) });
            rest = &behind[end..];
        }
    }
    Some(steps)
}

/// Adds what is at the path to `out`, one text a value. Whether anything is there.
fn find(value: &Json<'_>, path: &[Step<'_>], style: Style, out: &mut Vec<String>) -> bool {
    let Some((step, rest)) = path.split_first() else {
        return match value {
            Json::Text(text) if style == Style::Raw => {
                out.push(text.to_string());
                true
            }
            Json::Array(all, _) if style == Style::Flatten => {
                all.iter().fold(false, |found, v| find(v, &[], style, out) || found)
            }
            other => {
                let mut text = String::new();
                write_json(&mut text, other);
                out.push(text);
                true
            }
        };
    };
    match (step, value) {
        // The first field of that name that has something.
        (Step::Name(name), Json::Object(fields, _)) => {
            fields.iter().filter(|(n, v)| n == name && *v != Json::Null).any(|(_, v)| find(v, rest, style, out))
        }
        (Step::AnyName, Json::Object(fields, _)) => fields.iter().any(|(_, v)| find(v, rest, style, out)),
        (Step::Index(index), Json::Array(all, _)) => {
            let style = if rest.first() == Some(&Step::AnyIndex) { Style::Quoted } else { style };
            all.get(*index).is_some_and(|v| find(v, rest, style, out))
        }
        (Step::AnyIndex, Json::Array(all, _)) => {
            let mut inside = Vec::new();
            // As in Hive, two of them in a row do not keep the structure.
            if rest.first() == Some(&Step::AnyIndex) {
                let found =
                    all.iter().fold(false, |found, v| find(v, &rest[1..], Style::Flatten, &mut inside) || found);
                out.push(format!("[{}]", inside.join(",")));
                return found;
            }
            if style == Style::Quoted {
                let found = all.iter().fold(false, |found, v| find(v, rest, style, &mut inside) || found);
                out.push(format!("[{}]", inside.join(",")));
                return found;
            }
            let style = if style == Style::Raw { Style::Quoted } else { style };
            let matches = all.iter().filter(|v| find(v, rest, style, &mut inside)).count();
            match matches {
                0 => {}
                // A single match stands alone.
                1 => out.push(inside.join(",")),
                _ => out.push(format!("[{}]", inside.join(","))),
            }
            matches > 0
        }
        _ => false,
    }
}

pub(super) fn get_json_object(args: &Args<'_>) -> DfResult<ArrayRef> {
    let (texts, paths) = (args.text(0)?, args.text(1)?);
    strings(args, args.rows * 16, |row, out| {
        let (Some(text), Some(path)) = (texts.get(row), paths.get(row)) else { return Ok(false) };
        let (Some(steps), Some(root)) = (parse_path(path), parse_prefix(text, Lenience::default())) else {
            return Ok(false);
        };
        let mut found = Vec::new();
        if !find(&root, &steps, Style::Raw, &mut found) {
            return Ok(false);
        }
        found.iter().for_each(|text| out.push_str(text));
        Ok(true)
    })
}

/// A field of an object as `json_tuple` answers it: `(text, name)`.
pub(super) fn json_field(args: &Args<'_>) -> DfResult<ArrayRef> {
    let (texts, names) = (args.text(0)?, args.text(1)?);
    strings(args, args.rows * 16, |row, out| {
        let (Some(text), Some(name)) = (texts.get(row), names.get(row)) else { return Ok(false) };
        let Some(Json::Object(fields, _)) = parse_prefix(text, Lenience::default()) else { return Ok(false) };
        match fields.iter().rev().find(|(n, v)| n == name && *v != Json::Null) {
            Some((_, Json::Text(text))) => out.push_str(text),
            Some((_, other)) => write_json(out, other),
            None => return Ok(false),
        }
        Ok(true)
    })
}
