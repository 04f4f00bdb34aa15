//! `sentences`: the words of each sentence of a text.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, ListBuilder, StringBuilder},
    datatypes::DataType as Arrow,
};
use datafusion::error::Result as DfResult;
use firesteel_plan::DataType;

use crate::{
    Typed, literal,
    registry::{FunctionDef, check_count, want},
    udf::{Args, Ret, Udf, call},
};

pub(super) fn udfs() -> Vec<Udf> {
    let words = Arrow::new_list(Arrow::Utf8, true);
    vec![Udf::new("spark_sentences", Ret::Fixed(Arrow::new_list(words, true)), sentences)]
}

/// The places where a sentence ends: behind a full stop, an exclamation or a question mark that blanks follow, and at
/// ends of paragraphs. Behind a full stop the next sentence does not begin with a small letter.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((_, c)) = chars.next() {
        let ends = matches!(c, '.' | '!' | '?' | '。' | '！' | '？' | '\n');
        if !ends {
            continue;
        }
        while chars.next_if(|(_, c)| matches!(c, '.' | '!' | '?' | '"' | '\'' | ')' | ']')).is_some() {}
        let blank = chars.peek().is_none_or(|(_, c)| c.is_whitespace()) || matches!(c, '。' | '！' | '？' | '\n');
        while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let small = c == '.' && chars.peek().is_some_and(|(_, c)| c.is_lowercase());
        if blank && !small {
            let end = chars.peek().map_or(text.len(), |(at, _)| *at);
            parts.push(&text[start..end]);
            start = end;
        }
    }
    if start < text.len() {
        parts.push(&text[start..]);
    }
    parts
}

/// Letters and digits that stand together, with apostrophes and points inside of them.
fn words(sentence: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = None;
    let mut end = 0;
    for (at, c) in sentence.char_indices() {
        let rest = &sentence[at + c.len_utf8()..];
        let inside = matches!(c, '\'' | '.' | '’' | ',' | '_')
            && start.is_some()
            && rest.chars().next().is_some_and(|next| match c {
                ',' => next.is_numeric() && sentence[..at].ends_with(|p: char| p.is_numeric()),
                _ => next.is_alphanumeric(),
            });
        if c.is_alphanumeric() || inside {
            start.get_or_insert(at);
            end = at + c.len_utf8();
        } else if let Some(from) = start.take() {
            found.push(&sentence[from..end]);
        }
    }
    if let Some(from) = start {
        found.push(&sentence[from..end]);
    }
    found
}

fn sentences(args: &Args<'_>) -> DfResult<ArrayRef> {
    let texts = args.text(0)?;
    let mut builder = ListBuilder::new(ListBuilder::new(StringBuilder::new()));
    for row in 0..args.rows {
        let Some(text) = texts.get(row) else {
            builder.append(false);
            continue;
        };
        for sentence in split(text) {
            for word in words(sentence) {
                builder.values().values().append_value(word);
            }
            builder.values().append(true);
        }
        builder.append(true);
    }
    Ok(Arc::new(builder.finish()))
}

pub(super) fn functions() -> Vec<FunctionDef> {
    vec![FunctionDef::resolve("sentences", |ctx, name, mut args| {
        check_count(name, args.len(), 1, 3)?;
        // Language and country make no difference to the rules above.
        for index in (1..args.len()).rev() {
            want(ctx, name, index, 's', args.remove(index))?;
        }
        let text = want(ctx, name, 0, 's', args.remove(0))?;
        let Some(text) = (!text.is_null_literal()).then_some(text) else {
            return literal::null(&DataType::array(DataType::array(DataType::String)));
        };
        let element = DataType::Array { element: Box::new(DataType::String), contains_null: false };
        let data_type = DataType::Array { element: Box::new(element), contains_null: false };
        let nullable = text.nullable;
        Ok(Typed::new(call("spark_sentences", vec![text.expr])?, data_type, nullable))
    })]
}
