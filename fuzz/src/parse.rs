//! The parser: every text has a statement or an error with a class and a place.

use firesteel_sql::{ParseOptions, parse_expression, parse_statement, parse_statement_at, split_statements};

use crate::{Complaint, examined};

/// What is wrong with how the parser answers to `text`.
pub fn check(text: &str) -> Option<Complaint> {
    examined(text, || {
        let spans = split_statements(text);
        for span in &spans {
            if text.get(span.start as usize..span.end as usize).is_none() {
                return Err(format!("a statement at {span:?} cuts a character"));
            }
        }
        let options = ParseOptions::default();
        let others =
            ParseOptions { double_quoted_identifiers: true, reserved_keywords: true, ..ParseOptions::default() };
        if let Some(last) = spans.last() {
            drop(parse_statement_at(text, *last, &others));
        }
        drop(parse_expression(text, &options));
        match parse_statement(text, &options) {
            Err(error) if error.class() == "INTERNAL_ERROR" => Err(error.to_string()),
            Err(error) => match error.context() {
                None => Err(format!("no place: {error}")),
                Some(place) if text.get(place.start..place.end).is_none() => Err(format!("a wrong place: {error}")),
                Some(_) => Ok(()),
            },
            Ok(_) => Ok(()),
        }
    })
}
