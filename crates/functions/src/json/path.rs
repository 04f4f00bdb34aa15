//! `get_json_object`: one value by its path (`$.a[0]['b']`).

use arrow::array::ArrayRef;
use datafusion::error::Result as DfResult;
use firesteel_plan::SparkError;

use super::{
    parse::{Json, Lenience, parse_prefix},
    write::write_json,
};
use crate::{
    errors::external,
    udf::{Args, strings},
};

enum Step<'a> {
    Name(&'a str),
    Index(usize),
}

/// Nothing for what is no path.
fn parse_path(path: &str) -> Option<Vec<Step<'_>>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix("['") {
            let (name, behind) = behind.split_once("']")?;
            steps.push(Step::Name(name));
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix('[') {
            let (index, behind) = behind.split_once(']')?;
            steps.push(Step::Index(index.trim().parse().ok()?));
            rest = behind;
        } else {
            let behind = rest.strip_prefix('.')?;
            let end = behind.find(['.', '[']).unwrap_or(behind.len());
            if end == 0 {
                return None;
            }
            steps.push(Step::Name(&behind[..end]));
            rest = &behind[end..];
        }
    }
    Some(steps)
}

pub(super) fn get_json_object(args: &Args<'_>) -> DfResult<ArrayRef> {
    let (texts, paths) = (args.text(0)?, args.text(1)?);
    strings(args, args.rows * 16, |row, out| {
        let (Some(text), Some(path)) = (texts.get(row), paths.get(row)) else { return Ok(false) };
        if path.contains('*') {
            return Err(external(SparkError::unsupported("a path of JSON with *")));
        }
        let (Some(steps), Some(root)) = (parse_path(path), parse_prefix(text, Lenience::default())) else {
            return Ok(false);
        };
        let mut value = &root;
        // A null element is the text `null`; a null field is a null.
        let element = matches!(steps.last(), Some(Step::Index(_)));
        for step in steps {
            let found = match (step, value) {
                (Step::Name(name), Json::Object(fields, _)) => fields.iter().find(|(n, _)| n == name).map(|(_, v)| v),
                (Step::Index(index), Json::Array(values, _)) => values.get(index),
                _ => None,
            };
            match found {
                Some(found) => value = found,
                None => return Ok(false),
            }
        }
        match value {
            Json::Null if !element => return Ok(false),
            Json::Text(text) => out.push_str(text),
            other => write_json(out, other),
        }
        Ok(true)
    })
}
