//! Variables: names that stand for values, of the session or of a block of a script.

mod text;

use std::collections::BTreeMap;

use datafusion::{logical_expr::Expr as DfExpr, scalar::ScalarValue};
use firesteel_functions::Typed;
use firesteel_plan::{DataType, Expr, SparkError, SparkResult};

pub(crate) use text::{quoted, shown_value, value_sql};

use crate::errors;

#[derive(Debug, Clone)]
pub struct Variable {
    pub name: String,
    pub data_type: DataType,
    pub value: ScalarValue,
    /// What `SET VAR x = DEFAULT` evaluates, and the text that its spans point into.
    pub default: Expr,
    pub text: String,
}

/// The variables of a session and, inside of them, those of the blocks that a script is in.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    session: BTreeMap<String, Variable>,
    frames: Vec<Frame>,
}

/// The variables of one block.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    pub label: Option<String>,
    variables: BTreeMap<String, Variable>,
}

/// Where a variable is: in a block, from outside counted, or in the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableId {
    frame: Option<usize>,
    name: String,
}

/// What a variable's value is assigned to.
#[derive(Debug, Clone)]
pub enum AssignTarget {
    Set(VariableId),
    /// A new one, of the innermost block or of the session.
    Declare(Box<Variable>),
}

fn is(part: &str, word: &str) -> bool {
    part.eq_ignore_ascii_case(word)
}

/// Whether the parts before a variable's name say that it is the session's.
fn names_session(prefix: &[String]) -> bool {
    match prefix {
        [schema] => is(schema, "session"),
        [catalog, schema] => is(catalog, "system") && is(schema, "session"),
        _ => false,
    }
}

impl Variables {
    /// The variable of exactly this name.
    pub fn exact(&self, name: &[String]) -> Option<(VariableId, &Variable)> {
        let (last, prefix) = name.split_last()?;
        let key = last.to_lowercase();
        let framed = self.frames.iter().enumerate().rev().find_map(|(at, frame)| {
            let seen = match prefix {
                [] => true,
                [label] => frame.label.as_ref().is_some_and(|l| is(l, label)),
                _ => false,
            };
            let variable = seen.then(|| frame.variables.get(&key)).flatten()?;
            Some((VariableId { frame: Some(at), name: key.clone() }, variable))
        });
        framed.or_else(|| {
            let seen = prefix.is_empty() || names_session(prefix);
            let variable = seen.then(|| self.session.get(&key)).flatten()?;
            Some((VariableId { frame: None, name: key.clone() }, variable))
        })
    }

    /// The variable that a name begins with, and the fields in it that the rest names.
    pub fn find<'n>(&self, name: &'n [String]) -> Option<(VariableId, &Variable, &'n [String])> {
        (1..=name.len().min(3)).rev().find_map(|parts| {
            let (head, fields) = name.split_at(parts);
            let (id, variable) = self.exact(head)?;
            Some((id, variable, fields))
        })
    }

    /// The name that tells where it is: `system.session.x`, `label.x`.
    pub fn qualified(&self, id: &VariableId) -> String {
        match id.frame.and_then(|at| self.frames.get(at)) {
            Some(Frame { label: Some(label), .. }) => format!("{}.{}", label.to_lowercase(), id.name),
            Some(_) => id.name.clone(),
            None => format!("system.session.{}", id.name),
        }
    }

    /// Whether the innermost block, or the session outside of scripts, has one of the name.
    pub fn declared_here(&self, name: &str) -> bool {
        let key = name.to_lowercase();
        match self.frames.last() {
            Some(frame) => frame.variables.contains_key(&key),
            None => self.session.contains_key(&key),
        }
    }

    pub fn in_script(&self) -> bool {
        !self.frames.is_empty()
    }

    pub fn depth(&self) -> usize {
        self.frames.len()
    }

    pub fn enter(&mut self, label: Option<String>) {
        self.frames.push(Frame { label, variables: BTreeMap::new() });
    }

    /// Back to where only so many blocks are around.
    pub fn leave_to(&mut self, depth: usize) {
        self.frames.truncate(depth);
    }

    pub fn assign(&mut self, target: &AssignTarget, value: ScalarValue) {
        match target {
            AssignTarget::Set(id) => {
                let variables = match id.frame {
                    Some(at) => self.frames.get_mut(at).map(|f| &mut f.variables),
                    None => Some(&mut self.session),
                };
                if let Some(variable) = variables.and_then(|v| v.get_mut(&id.name)) {
                    variable.value = value;
                }
            }
            AssignTarget::Declare(variable) => {
                let variable = Variable { value, ..(**variable).clone() };
                let variables = self.frames.last_mut().map_or(&mut self.session, |f| &mut f.variables);
                variables.insert(variable.name.to_lowercase(), variable);
            }
        }
    }

    /// Whether there was one.
    pub fn drop(&mut self, name: &str) -> bool {
        self.session.remove(&name.to_lowercase()).is_some()
    }
}

impl Variable {
    pub fn typed(&self) -> Typed {
        Typed::new(DfExpr::Literal(self.value.clone(), None), self.data_type.clone(), true)
    }
}

/// The last part of the name of a session variable in a statement about it.
pub(crate) fn session_name(name: &[String]) -> SparkResult<&str> {
    match name.split_last() {
        Some((last, prefix)) if prefix.is_empty() || names_session(prefix) => Ok(last),
        _ => Err(unresolved(name, "[`system`.`session`]")),
    }
}

pub(crate) fn unresolved(name: &[String], path: &str) -> SparkError {
    let shown = errors::ids(name);
    SparkError::new("UNRESOLVED_VARIABLE", "42883", format!("Cannot resolve variable {shown} on search path {path}."))
        .param("variableName", shown)
        .param("searchPath", path)
}

pub(crate) fn full_name(name: &str) -> String {
    errors::ids(&["system".to_owned(), "session".to_owned(), name.to_owned()])
}
