//! Names of columns, and access to what is inside structs, arrays and maps.

use std::sync::Arc;

use datafusion::{
    common::Column,
    logical_expr::{Expr as DfExpr, expr::LambdaVariable, lit},
};
use firesteel_functions::{
    HigherOrder, Typed,
    lambda::{Lambda, Parameter},
    types,
};
use firesteel_plan::{DataType, SparkError, SparkResult};

use super::{AliasTarget, Clause, Env};
use crate::{
    errors,
    query::Analyzer,
    scope::{self, Attribute, same_name},
};

impl Analyzer<'_> {
    pub(super) fn attribute_ref(&self, name: &[String], env: &Env<'_>) -> SparkResult<Typed> {
        if let Some(found) = self.lambda_variable(name, env)? {
            return Ok(found);
        }
        if env.clause == Clause::Having
            && !env.in_aggregate
            && let Some(found) = self.grouping_ref(name, env)?
        {
            return Ok(found);
        }
        if env.aliases_first
            && !env.in_aggregate
            && let Some(found) = self.alias_ref(name, env)?
        {
            return Ok(found);
        }
        if let Some(found) = self.scope_ref(name, env)? {
            return Ok(found);
        }
        if (!env.aliases_first || env.in_aggregate)
            && let Some(found) = self.alias_ref(name, env)?
        {
            return Ok(found);
        }
        if let Some(found) = self.outer_ref(name, env)? {
            return Ok(found);
        }
        // `current_date` and its kin may be written without parentheses.
        if let [function] = name
            && is_bare_function(function)
        {
            return self.call_typed(&function.to_lowercase(), Vec::new());
        }
        if let Some(found) = self.argument_ref(name, env)? {
            return Ok(found);
        }
        if let Some(found) = self.variable_ref(name)? {
            return Ok(found);
        }
        let mut suggestions: Vec<Vec<String>> = Vec::new();
        for scope in env.scopes {
            suggestions.extend(scope.attributes.iter().map(Attribute::full_name));
        }
        Err(errors::unresolved_column(name, &scope::suggest(name, suggestions)))
    }

    fn scope_ref(&self, name: &[String], env: &Env<'_>) -> SparkResult<Option<Typed>> {
        for scope in env.scopes {
            if let Some(found) = scope.find(name, self.case_sensitive())? {
                let base = typed(found.attribute);
                return self.fields(base, found.fields, &found.attribute.name).map(Some);
            }
        }
        Ok(None)
    }

    /// A column that the query groups by: in HAVING it comes before the names of the list.
    fn grouping_ref(&self, name: &[String], env: &Env<'_>) -> SparkResult<Option<Typed>> {
        let Some(select) = env.select else { return Ok(None) };
        for scope in env.scopes {
            let Ok(Some(found)) = scope.find(name, self.case_sensitive()) else { continue };
            let column = found.attribute.expr();
            if select.borrow().grouping.iter().any(|g| g.expr == column) {
                // Where it has no such field, the name may be one of the list's.
                return Ok(self.fields(typed(found.attribute), found.fields, &found.attribute.name).ok());
            }
        }
        Ok(None)
    }

    fn alias_ref(&self, name: &[String], env: &Env<'_>) -> SparkResult<Option<Typed>> {
        let Some((first, fields)) = name.split_first() else { return Ok(None) };
        let mut found: Option<Typed> = None;
        let mut count = 0;
        for alias in env.aliases.iter().filter(|a| same_name(&a.name, first, self.case_sensitive())) {
            let value = match &alias.target {
                AliasTarget::Typed(typed) => typed.clone(),
                // What an alias stands for sees no aliases: `SELECT a + 1 AS a … GROUP BY a`.
                AliasTarget::Unresolved(expr) => self.expr(expr, &Env { aliases: &[], ..*env })?,
            };
            if found.as_ref().is_none_or(|f| f.expr != value.expr) {
                count += 1;
            }
            found = Some(value);
        }
        if count > 1 {
            if env.aliases_first {
                return Ok(None);
            }
            return Err(SparkError::new(
                "AMBIGUOUS_LATERAL_COLUMN_ALIAS",
                "42702",
                format!("Lateral column alias {} is ambiguous and has {count} matches.", errors::id(first)),
            )
            .param("name", errors::id(first))
            .param("n", count.to_string()));
        }
        found.map(|base| self.fields(base, fields, first)).transpose()
    }

    /// A name that belongs to a query around the subquery, the nearest first.
    fn outer_ref(&self, name: &[String], env: &Env<'_>) -> SparkResult<Option<Typed>> {
        for scope in env.around().flat_map(|around| around.scopes) {
            let Some(found) = scope.find(name, self.case_sensitive())? else { continue };
            let attribute = found.attribute;
            let field = types::field_to_arrow(&attribute.column, &attribute.data_type, attribute.nullable)?;
            let expr = DfExpr::OuterReferenceColumn(Arc::new(field), Column::new_unqualified(&attribute.column));
            let base = Typed::new(expr, attribute.data_type.clone(), attribute.nullable);
            return self.fields(base, found.fields, &attribute.name).map(Some);
        }
        Ok(None)
    }

    /// A parameter of the function whose text this is in, at whatever depth of subqueries.
    fn argument_ref(&self, name: &[String], env: &Env<'_>) -> SparkResult<Option<Typed>> {
        if let Some(args) = env.rel.args {
            let Some((known, value, fields)) = args.find(name, self.case_sensitive()) else { return Ok(None) };
            return self.fields(value.clone(), fields, known).map(Some);
        }
        let of_function = env.around().enumerate().find_map(|(between, around)| Some((between, around.rel.args?)));
        let Some((between, args)) = of_function else { return Ok(None) };
        let Some((known, value, fields)) = args.find(name, self.case_sensitive()) else { return Ok(None) };
        let mut value = value.clone();
        for _ in 0..=between {
            value.expr = self.to_outer(value.expr, args.caller)?;
        }
        self.fields(value, fields, known).map(Some)
    }

    fn variable_ref(&self, name: &[String]) -> SparkResult<Option<Typed>> {
        let Some((_, variable, fields)) = self.tables.variables.find(name) else { return Ok(None) };
        self.tables.note_temporary("VARIABLE", name);
        self.fields(variable.typed(), fields, &variable.name).map(Some)
    }

    /// A variable as names of columns show it.
    pub(super) fn variable_shown(&self, name: &[String]) -> Option<String> {
        let (id, variable, fields) = self.tables.variables.find(name)?;
        let value = crate::variable::value_sql(&self.functions, &variable.value, &variable.data_type).ok()?;
        let mut shown = format!("variablereference({}={value})", self.tables.variables.qualified(&id));
        for field in fields {
            shown.push('.');
            shown.push_str(field);
        }
        Some(shown)
    }

    fn lambda_variable(&self, name: &[String], env: &Env<'_>) -> SparkResult<Option<Typed>> {
        let Some((first, fields)) = name.split_first() else { return Ok(None) };
        let mut scope = env.lambda;
        while let Some(lambda) = scope {
            if let Some((_, variable)) =
                lambda.parameters.iter().find(|(n, _)| same_name(n, first, self.case_sensitive()))
            {
                return self.fields(variable.clone(), fields, first).map(Some);
            }
            scope = lambda.parent;
        }
        Ok(None)
    }

    pub(crate) fn fields(&self, base: Typed, fields: &[String], shown: &str) -> SparkResult<Typed> {
        let mut shown = shown.to_owned();
        let mut value = base;
        for field in fields {
            value = self.field(value, field, &shown)?;
            shown = format!("{shown}.{field}");
        }
        Ok(value)
    }

    /// `base.name`: a struct's field, that field of every struct in an array, or a map's value.
    pub(crate) fn field(&self, base: Typed, name: &str, shown: &str) -> SparkResult<Typed> {
        match &base.data_type {
            DataType::Struct(fields) => {
                let (_, field) = scope::find_field(fields, name, self.case_sensitive())?;
                let nullable = base.nullable || field.nullable;
                let (data_type, field_name) = (field.data_type.clone(), field.name.clone());
                let expr = datafusion::functions::core::get_field().call(vec![base.expr, lit(field_name)]);
                Ok(Typed::new(expr, data_type, nullable))
            }
            DataType::Map { .. } => {
                let key = Typed::new(lit(name), DataType::String, false);
                firesteel_functions::subscript(&self.functions, base, key)
            }
            DataType::Array { element, .. } if matches!(element.as_ref(), DataType::Struct(_)) => {
                let transform = HigherOrder::Transform;
                let mut parameters = transform.parameters(std::slice::from_ref(&base), 0)?.into_iter();
                let Some(Parameter { data_type, nullable }) = parameters.next() else {
                    return Err(SparkError::internal("a lambda without parameters"));
                };
                let variable = format!("element#{}", self.next_id());
                let field = types::field_to_arrow(&variable, &data_type, true)?;
                let of_element = LambdaVariable::new(variable.clone(), Some(Arc::new(field)));
                let element = Typed::new(DfExpr::LambdaVariable(of_element), data_type, nullable);
                let body = self.field(element, name, shown)?;
                let lambda = Lambda { parameters: vec![variable, format!("index#{}", self.next_id())], body };
                transform.resolve(&self.functions, "transform", vec![base], vec![lambda])
            }
            other => Err(errors::invalid_extract_base(shown, other)),
        }
    }

    /// `base[index]`
    pub(super) fn subscript(&self, base: Typed, shown: &str, index: Typed) -> SparkResult<Typed> {
        match &base.data_type {
            DataType::Map { .. } | DataType::Array { .. } => {
                firesteel_functions::subscript(&self.functions, base, index)
            }
            DataType::Struct(_) => match index.literal_text() {
                Some(name) => {
                    let name = name.to_owned();
                    self.field(base, &name, shown)
                }
                None => Err(SparkError::new(
                    "INVALID_EXTRACT_FIELD",
                    "42601",
                    format!(
                        "Cannot extract a field of {}: the field's name must be a string literal.",
                        errors::sql_expr(shown)
                    ),
                )),
            },
            other => Err(errors::invalid_extract_base(shown, other)),
        }
    }

    pub(super) fn struct_of(&self, items: Vec<Typed>) -> SparkResult<Typed> {
        let mut args = Vec::with_capacity(items.len() * 2);
        for (i, item) in items.into_iter().enumerate() {
            args.push(Typed::new(lit(format!("col{}", i + 1)), DataType::String, false));
            args.push(item);
        }
        self.call_typed("named_struct", args)
    }
}

pub(crate) fn typed(attribute: &Attribute) -> Typed {
    Typed::new(attribute.expr(), attribute.data_type.clone(), attribute.nullable)
}

pub(super) fn is_bare_function(name: &str) -> bool {
    [
        "current_date",
        "current_timestamp",
        "localtimestamp",
        "current_time",
        "current_user",
        "user",
        "session_user",
        "current_catalog",
        "current_database",
        "current_schema",
    ]
    .iter()
    .any(|f| f.eq_ignore_ascii_case(name))
}
