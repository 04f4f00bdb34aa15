//! Errors as Spark gives them: an error class, its SQLSTATE, the message with its parameters, and where in the query.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

pub type SparkResult<T> = Result<T, SparkError>;

/// An error that a user sees. Boxed inside, so that `Result`s stay small.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SparkError(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Inner {
    class: String,
    sql_state: String,
    message: String,
    parameters: BTreeMap<String, String>,
    context: Option<QueryContext>,
}

/// The fragment of the query text that an error is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryContext {
    /// Byte offsets of the fragment in the text.
    pub start: usize,
    pub end: usize,
    /// 1-based.
    pub line: usize,
    /// 0-based; messages count from 1.
    pub column: usize,
    pub fragment: String,
    /// The line of the text that the fragment starts on, to draw a caret under.
    pub line_text: String,
}

impl SparkError {
    /// `class` is Spark's error class, with its subclass after a dot (`UNRESOLVED_COLUMN.WITH_SUGGESTION`); `message`
    /// is the text without the class in brackets.
    pub fn new(class: impl Into<String>, sql_state: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            class: class.into(),
            sql_state: sql_state.into(),
            message: message.into(),
            parameters: BTreeMap::new(),
            context: None,
        }))
    }

    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.parameters.insert(name.into(), value.into());
        self
    }

    pub fn with_context(mut self, context: QueryContext) -> Self {
        if self.0.context.is_none() {
            self.0.context = Some(context);
        }
        self
    }

    /// The error without its place, which was one in another text.
    pub fn without_context(mut self) -> Self {
        self.0.context = None;
        self
    }

    /// Points at `span` of `text`, unless a place is known already.
    pub fn at(self, text: &str, span: crate::Span) -> Self {
        if self.0.context.is_some() || span.is_none() {
            return self;
        }
        let context = QueryContext::new(text, span);
        self.with_context(context)
    }

    pub fn class(&self) -> &str {
        &self.0.class
    }

    pub fn sql_state(&self) -> &str {
        &self.0.sql_state
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn parameters(&self) -> &BTreeMap<String, String> {
        &self.0.parameters
    }

    pub fn context(&self) -> Option<&QueryContext> {
        self.0.context.as_ref()
    }

    // ---- the classes used in many places

    /// A feature of Spark that this version does not have. `what` names it as a user wrote it.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(
            "UNSUPPORTED_FEATURE",
            "0A000",
            format!("The feature is not supported: {what} is not in this version of Firesteel."),
        )
        .param("feature", what.to_string())
    }

    /// A defect of ours.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new("INTERNAL_ERROR", "XX000", message.to_string()).param("message", message.to_string())
    }
}

impl QueryContext {
    pub fn new(text: &str, span: crate::Span) -> Self {
        let start = floor_boundary(text, span.start as usize);
        let end = floor_boundary(text, (span.end as usize).max(start));
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        Self {
            start,
            end,
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count(),
            fragment: text[start..end].to_owned(),
            line_text: text[line_start..line_end].trim_end_matches('\r').to_owned(),
        }
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl fmt::Display for SparkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.0.class, self.0.message)?;
        if !self.0.sql_state.is_empty() {
            write!(f, " SQLSTATE: {}", self.0.sql_state)?;
        }
        if let Some(context) = &self.0.context {
            // Spark counts the position from 1 here.
            let position = context.column + 1;
            write!(f, "\n== SQL (line {}, position {position}) ==\n{}\n", context.line, context.line_text)?;
            for _ in 0..context.column {
                f.write_str(" ")?;
            }
            let width = context.fragment.lines().next().map_or(1, |l| l.chars().count()).max(1);
            for _ in 0..width {
                f.write_str("^")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for SparkError {}
