//! What names mean: the attributes that a relation offers, and how a written name finds one of them.

use std::collections::HashMap;

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan};
use firesteel_engine::source::METADATA;
use firesteel_plan::{DataType, SparkError, SparkResult, types::StructField};

use crate::errors;

/// One column of a relation.
#[derive(Debug, Clone)]
pub struct Attribute {
    /// Equal for two columns that are the same value by construction, so that picking either is not ambiguous.
    pub id: u64,
    /// The name people use.
    pub name: String,
    /// `[catalog, database, table]`, `[alias]`, or nothing.
    pub qualifier: Vec<String>,
    pub data_type: DataType,
    pub nullable: bool,
    /// The unique column name in the DataFusion plan: `name#id`.
    pub column: String,
    /// Of the table's column that it is.
    pub comment: Option<String>,
    /// The type of the table's column that it is, where that is char(n) or varchar(n): queries know strings alone.
    pub declared: Option<DataType>,
}

impl Attribute {
    /// Takes over what a table's or a view's column says of itself.
    pub fn declare_as(&mut self, field: &StructField) {
        self.declared = field.data_type.is_char_or_varchar().then(|| field.data_type.clone());
        self.comment.clone_from(&field.comment);
    }

    pub fn expr(&self) -> Expr {
        Expr::Column(Column::new_unqualified(&self.column))
    }

    /// The name with its qualifier.
    pub fn full_name(&self) -> Vec<String> {
        self.qualifier.iter().chain([&self.name]).cloned().collect()
    }

    fn has_qualifier(&self, parts: &[String], case_sensitive: bool) -> bool {
        parts.len() <= self.qualifier.len()
            && self.qualifier[self.qualifier.len() - parts.len()..]
                .iter()
                .zip(parts)
                .all(|(a, b)| same_name(a, b, case_sensitive))
    }
}

pub fn same_name(a: &str, b: &str, case_sensitive: bool) -> bool {
    if a == b || case_sensitive {
        return a == b;
    }
    // Tables of thousands of columns compare millions of names.
    let ascii = a.is_ascii() && b.is_ascii();
    a.eq_ignore_ascii_case(b) || (!ascii && a.to_lowercase() == b.to_lowercase())
}

/// The attributes of a relation, in order.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    pub attributes: Vec<Attribute>,
    /// Columns that only a qualified name reaches: the sides' own keys of a USING join.
    pub hidden: Vec<Attribute>,
}

/// A plan with the meaning of its columns. The plan may have more columns than the scope shows.
#[derive(Debug, Clone)]
pub struct Planned {
    pub plan: LogicalPlan,
    pub scope: Scope,
}

/// An attribute that a name begins with, and the rest of the name: fields inside it.
pub struct Found<'a> {
    pub attribute: &'a Attribute,
    pub fields: &'a [String],
}

impl Scope {
    pub fn new(attributes: Vec<Attribute>) -> Self {
        Self { attributes, hidden: Vec::new() }
    }

    /// Finds `name`: the longest qualifier that fits wins, then the rest are fields. `None` where nothing fits.
    pub fn find<'a>(&'a self, name: &'a [String], case_sensitive: bool) -> SparkResult<Option<Found<'a>>> {
        for qualifier_parts in (0..name.len().min(4)).rev() {
            let (qualifier, rest) = name.split_at(qualifier_parts);
            let Some((column, fields)) = rest.split_first() else { continue };
            // Only a qualified name reaches them, but for what tells of files.
            let hidden = self.hidden.iter().filter(|a| qualifier_parts > 0 || a.name == METADATA);
            let mut found: Vec<&Attribute> = Vec::new();
            for attribute in self.attributes.iter().chain(hidden) {
                if same_name(&attribute.name, column, case_sensitive)
                    && (qualifier_parts == 0 || attribute.has_qualifier(qualifier, case_sensitive))
                    && !found.iter().any(|f| f.id == attribute.id)
                {
                    found.push(attribute);
                }
            }
            match found.as_slice() {
                [] => {}
                [attribute] => return Ok(Some(Found { attribute, fields })),
                many => {
                    let names: Vec<_> = many.iter().map(|a| a.full_name()).collect();
                    return Err(errors::ambiguous_reference(name, &names));
                }
            }
        }
        Ok(None)
    }

    /// The attributes that `*` or `qualifier.*` stands for. `None` where no attribute has the qualifier.
    pub fn star(&self, qualifier: Option<&[String]>, case_sensitive: bool) -> Option<Vec<Attribute>> {
        let Some(qualifier) = qualifier else { return Some(self.attributes.clone()) };
        let found: Vec<_> = self
            .hidden
            .iter()
            .chain(&self.attributes)
            .filter(|a| a.name != METADATA && !a.qualifier.is_empty() && a.has_qualifier(qualifier, case_sensitive))
            .cloned()
            .collect();
        (!found.is_empty()).then_some(found)
    }

    /// The same attributes under another table name.
    pub fn with_qualifier(mut self, qualifier: &[String]) -> Self {
        self.hidden.retain(|a| a.name == METADATA);
        for attribute in self.attributes.iter_mut().chain(&mut self.hidden) {
            attribute.qualifier = qualifier.to_vec();
        }
        self
    }

    pub fn names(&self) -> Vec<String> {
        self.attributes.iter().map(|a| a.name.clone()).collect()
    }

    /// The names of the attributes by likeness to `name`, best first, as Spark proposes them.
    pub fn suggestions(&self, name: &[String]) -> Vec<String> {
        suggest(name, self.attributes.iter().map(Attribute::full_name).collect())
    }
}

impl Planned {
    /// The plan with exactly the scope's columns, in its order, each once.
    pub fn exact(self) -> SparkResult<Self> {
        let Planned { plan, mut scope } = self;
        scope.hidden.clear();
        let mut seen: HashMap<String, ()> = HashMap::new();
        let unique = scope.attributes.iter().all(|a| seen.insert(a.column.clone(), ()).is_none());
        let fields = plan.schema().fields();
        let same = unique
            && fields.len() == scope.attributes.len()
            && fields.iter().zip(&scope.attributes).all(|(f, a)| *f.name() == a.column);
        if same {
            return Ok(Planned { plan, scope });
        }
        seen.clear();
        let mut exprs = Vec::with_capacity(scope.attributes.len());
        for (i, attribute) in scope.attributes.iter_mut().enumerate() {
            let expr = attribute.expr();
            if seen.insert(attribute.column.clone(), ()).is_some() {
                attribute.column = format!("{}@{i}", attribute.column);
                exprs.push(expr.alias(&attribute.column));
            } else {
                exprs.push(expr);
            }
        }
        Ok(Planned { plan: project(plan, exprs)?, scope })
    }
}

pub fn project(plan: LogicalPlan, exprs: Vec<Expr>) -> SparkResult<LogicalPlan> {
    use datafusion::logical_expr::logical_plan::Projection;
    Projection::try_new(exprs, plan.into()).map(LogicalPlan::Projection).map_err(errors::from_datafusion)
}

const SUGGESTIONS: usize = 5;

/// Orders candidates by edit distance to `name`. Qualifiers that all candidates share say nothing and are left out,
/// unless the name has one.
pub fn suggest(name: &[String], mut candidates: Vec<Vec<String>>) -> Vec<String> {
    if name.len() == 1 {
        let same_prefix = candidates.windows(2).all(|pair| {
            let prefix = |c: &Vec<String>| c[..c.len().saturating_sub(1)].to_vec();
            prefix(&pair[0]) == prefix(&pair[1])
        });
        if same_prefix {
            for candidate in &mut candidates {
                candidate.drain(..candidate.len().saturating_sub(1));
            }
        }
    }
    // Further back only the table's own name helps a reader.
    let drop_common = candidates.iter().map(Vec::len).max().unwrap_or(0).saturating_sub(2);
    for candidate in &mut candidates {
        let excess = candidate.len().saturating_sub(2).min(drop_common);
        candidate.drain(..excess);
    }
    let base = name.join(".");
    let mut scored: Vec<(usize, String)> =
        candidates.into_iter().map(|c| (edit_distance(&c.join("."), &base), errors::ids(&c))).collect();
    scored.sort_by_key(|(distance, _)| *distance);
    scored.into_iter().take(SUGGESTIONS).map(|(_, s)| s).collect()
}

fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = if x == y { diagonal } else { 1 + diagonal.min(row[j]).min(row[j + 1]) };
            diagonal = row[j + 1];
            row[j + 1] = cost;
        }
    }
    row[b.len()]
}

/// What Spark's field access finds in a struct: its ordinal and field.
pub fn find_field<'a>(
    fields: &'a [firesteel_plan::types::StructField],
    name: &str,
    case_sensitive: bool,
) -> Result<(usize, &'a firesteel_plan::types::StructField), SparkError> {
    let mut found = fields.iter().enumerate().filter(|(_, f)| same_name(&f.name, name, case_sensitive));
    let Some(first) = found.next() else {
        let names: Vec<_> = fields.iter().map(|f| f.name.clone()).collect();
        return Err(errors::field_not_found(name, &names));
    };
    match found.count() {
        0 => Ok(first),
        more => Err(errors::ambiguous_field(name, more + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(id: u64, name: &str, qualifier: &[&str]) -> Attribute {
        Attribute {
            id,
            name: name.into(),
            qualifier: qualifier.iter().map(|q| (*q).to_owned()).collect(),
            data_type: DataType::Integer,
            nullable: true,
            column: format!("{name}#{id}"),
            comment: None,
            declared: None,
        }
    }

    fn name(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn the_longest_qualifier_that_fits_wins() {
        let scope = Scope::new(vec![attribute(1, "a", &["c", "d", "t"]), attribute(2, "b", &["u"])]);
        for (text, fields) in [("a", 0), ("T.a", 0), ("d.t.A", 0), ("c.d.t.a.f", 1), ("a.f.g", 2)] {
            let name = name(text);
            let found = scope.find(&name, false).unwrap().unwrap();
            assert_eq!((found.attribute.id, found.fields.len()), (1, fields), "{text}");
        }
        assert!(scope.find(&name("u.a"), false).unwrap().is_none());
        assert!(scope.find(&name("A"), true).unwrap().is_none());
    }

    #[test]
    fn two_different_columns_are_ambiguous_and_one_column_twice_is_not() {
        let scope = Scope::new(vec![attribute(1, "a", &["t"]), attribute(1, "a", &["t"]), attribute(2, "b", &["t"])]);
        assert!(scope.find(&name("a"), false).is_ok());
        let scope = Scope::new(vec![attribute(1, "a", &["t"]), attribute(2, "a", &["u"])]);
        assert_eq!(scope.find(&name("a"), false).err().unwrap().class(), "AMBIGUOUS_REFERENCE");
        assert_eq!(scope.find(&name("u.a"), false).unwrap().unwrap().attribute.id, 2);
    }

    #[test]
    fn hidden_columns_need_a_qualifier() {
        let mut scope = Scope::new(vec![attribute(1, "a", &["t"])]);
        scope.hidden.push(attribute(2, "a", &["u"]));
        assert_eq!(scope.find(&name("a"), false).unwrap().unwrap().attribute.id, 1);
        assert_eq!(scope.find(&name("u.a"), false).unwrap().unwrap().attribute.id, 2);
    }

    #[test]
    fn distance() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "ab"), 2);
    }
}
