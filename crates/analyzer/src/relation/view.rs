//! Views of the catalog when the tables below them have changed.

use datafusion::logical_expr::Expr as DfExpr;
use firesteel_functions::{Typed, cast};
use firesteel_plan::{DataType, SparkError, SparkResult, statement::SchemaBinding};

use crate::{
    catalog::{Table, View},
    errors,
    query::Analyzer,
    scope::{Attribute, Planned, Scope, project, same_name},
};

impl Analyzer<'_> {
    /// The rows of a view's query with the columns that the catalog has for it.
    pub(super) fn bound_view(&self, view: &View, table: &Table, planned: Planned) -> SparkResult<Planned> {
        if view.binding == Some(SchemaBinding::Evolution) && view.columns.is_empty() {
            let case_sensitive = self.case_sensitive();
            let names: Vec<String> = planned.scope.attributes.iter().map(|a| a.name.clone()).collect();
            for (at, name) in names.iter().enumerate() {
                if names[..at].iter().any(|n| same_name(n, name, case_sensitive)) {
                    let shown = errors::id(&name.to_lowercase());
                    let message = format!(
                        "The column {shown} already exists. Choose another name or rename the existing column."
                    );
                    return Err(SparkError::new("COLUMN_ALREADY_EXISTS", "42711", message).param("columnName", shown));
                }
            }
            return Ok(planned);
        }
        let mut exprs: Vec<DfExpr> = Vec::with_capacity(table.schema.len());
        let mut attributes: Vec<Attribute> = Vec::with_capacity(table.schema.len());
        for (at, (field, wanted)) in table.schema.iter().zip(&view.query_columns).enumerate() {
            let found = self.column_of_view(view, table, &planned, at, wanted)?;
            let value = Typed::new(found.expr(), found.data_type.clone(), found.nullable);
            let to = field.data_type.in_queries();
            let value = match view.binding {
                Some(SchemaBinding::Evolution | SchemaBinding::TypeEvolution) => value,
                Some(SchemaBinding::Compensation) => cast::cast(&self.functions, value, to, self.functions.mode())?,
                _ if can_up_cast(&value.data_type, to) => {
                    cast::cast(&self.functions, value, to, self.functions.mode())?
                }
                _ => return Err(no_up_cast(&found.full_name().join("."), &value.data_type, to)),
            };
            // A column that is only renamed keeps its identity.
            if let DfExpr::Column(column) = &value.expr
                && column.name == found.column
                && !attributes.iter().any(|a| a.column == found.column)
            {
                exprs.push(value.expr);
                attributes.push(Attribute { name: field.name.clone(), comment: field.comment.clone(), ..found });
                continue;
            }
            let mut attribute = self.attribute_of(&field.name, &value);
            attribute.declare_as(field);
            exprs.push(value.expr.alias(&attribute.column));
            attributes.push(attribute);
        }
        Ok(Planned { plan: project(planned.plan, exprs)?, scope: Scope::new(attributes) })
    }

    /// The column of the query that a view's column was made of: by its name, and among equal names by its place.
    fn column_of_view(
        &self,
        view: &View,
        table: &Table,
        planned: &Planned,
        at: usize,
        wanted: &str,
    ) -> SparkResult<Attribute> {
        let same = |name: &str| same_name(name, wanted, self.case_sensitive());
        let candidates: Vec<&Attribute> = planned.scope.attributes.iter().filter(|a| same(&a.name)).collect();
        let expected = view.query_columns.iter().filter(|c| same(c)).count();
        let ordinal = view.query_columns[..at].iter().filter(|c| same(c)).count();
        if let (true, Some(found)) = (candidates.len() == expected, candidates.get(ordinal)) {
            return Ok((*found).clone());
        }
        let name = errors::ids(&table.full_name());
        let columns = if view.columns.is_empty() {
            String::new()
        } else {
            let names: Vec<_> = view.columns.iter().map(|(n, _)| n.clone()).collect();
            format!(" ({})", names.join(", "))
        };
        let suggestion =
            format!("CREATE OR REPLACE VIEW {}{columns} AS {}", table.full_name().join("."), view.query_text);
        let actual: Vec<String> = candidates.iter().map(|a| a.full_name().join(".")).collect();
        let actual = format!("[{}]", actual.join(", "));
        Err(SparkError::new(
            "INCOMPATIBLE_VIEW_SCHEMA_CHANGE",
            "51024",
            format!(
                "The SQL query of view {name} has an incompatible schema change and column {wanted} cannot be resolved. Expected \
                 {expected} columns named {wanted} but got {actual}.\nPlease try to re-create the view by running: {suggestion}."
            ),
        )
        .param("viewName", name)
        .param("colName", wanted)
        .param("expectedNum", expected.to_string())
        .param("actualCols", actual)
        .param("suggestion", suggestion))
    }
}

/// Casts that lose nothing.
fn can_up_cast(from: &DataType, to: &DataType) -> bool {
    let rank = |t: &DataType| match t {
        DataType::Byte => Some(0),
        DataType::Short => Some(1),
        DataType::Integer => Some(2),
        DataType::Long => Some(3),
        DataType::Float => Some(4),
        DataType::Double => Some(5),
        _ => None,
    };
    if from == to || *from == DataType::Null {
        return true;
    }
    if let (Some(from), Some(to)) = (rank(from), rank(to)) {
        return from <= to;
    }
    let digits = |t: &DataType| match t {
        DataType::Decimal { precision, scale } => Some((i32::from(*precision) - i32::from(*scale), i32::from(*scale))),
        DataType::Byte => Some((3, 0)),
        DataType::Short => Some((5, 0)),
        DataType::Integer => Some((10, 0)),
        DataType::Long => Some((20, 0)),
        _ => None,
    };
    match (from, to) {
        (_, DataType::Decimal { .. }) => match (digits(from), digits(to)) {
            (Some((i, s)), Some((j, t))) => i <= j && s <= t,
            _ => false,
        },
        (DataType::Decimal { .. }, to) if to.is_integral() => match (digits(from), digits(to)) {
            (Some((i, 0)), Some((j, _))) => i < j,
            _ => false,
        },
        (DataType::Date, DataType::Timestamp | DataType::TimestampNtz)
        | (DataType::TimestampNtz, DataType::Timestamp)
        | (DataType::Timestamp, DataType::TimestampNtz) => true,
        (
            DataType::Boolean
            | DataType::Byte
            | DataType::Short
            | DataType::Integer
            | DataType::Long
            | DataType::Float
            | DataType::Double
            | DataType::Decimal { .. }
            | DataType::Date
            | DataType::Timestamp
            | DataType::TimestampNtz
            | DataType::Char(_)
            | DataType::Varchar(_),
            DataType::String,
        ) => true,
        (DataType::DayTimeInterval { .. }, DataType::DayTimeInterval { .. })
        | (DataType::YearMonthInterval { .. }, DataType::YearMonthInterval { .. }) => true,
        (DataType::Array { element: from, .. }, DataType::Array { element: to, .. }) => can_up_cast(from, to),
        (DataType::Map { key: a, value: b, .. }, DataType::Map { key: c, value: d, .. }) => {
            can_up_cast(a, c) && can_up_cast(b, d)
        }
        (DataType::Struct(from), DataType::Struct(to)) => {
            from.len() == to.len() && from.iter().zip(to).all(|(f, t)| can_up_cast(&f.data_type, &t.data_type))
        }
        _ => false,
    }
}

fn no_up_cast(expression: &str, from: &DataType, to: &DataType) -> SparkError {
    let (source, target) = (errors::sql_type(from), errors::sql_type(to));
    let details = "The type path of the target object is:\n\nYou can either add an explicit cast to the input data or choose a higher precision type of the field in the target object";
    SparkError::new(
        "CANNOT_UP_CAST_DATATYPE",
        "42846",
        format!("Cannot up cast {expression} from {source} to {target}.\n{details}"),
    )
    .param("expression", expression)
    .param("sourceType", source)
    .param("targetType", target)
    .param("details", details)
}
