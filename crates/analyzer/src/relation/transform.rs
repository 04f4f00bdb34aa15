//! `SELECT TRANSFORM (…) USING 'program'`.

use std::sync::Arc;

use arrow::datatypes::{DataType as Arrow, Field, Schema};
use datafusion::common::DFSchema;
use firesteel_engine::program::{self, LineFormat, Program};
use firesteel_functions::{EvalMode, Typed, cast};
use firesteel_plan::{DataType, SparkError, SparkResult, relation::Transform, statement::RowFormat};

use crate::{
    errors,
    query::{Analyzer, RelEnv},
    scope::{Planned, Scope, project},
};

impl Analyzer<'_> {
    pub(super) fn transform(&self, transform: &Transform, env: &RelEnv<'_>) -> SparkResult<Planned> {
        let planned = self.relation(&transform.input, env)?.exact()?;
        if !planned.plan.all_out_ref_exprs().is_empty() {
            return Err(SparkError::unsupported("TRANSFORM in a subquery that refers to the query around it"));
        }
        let mut texts = Vec::with_capacity(planned.scope.attributes.len());
        for (at, attribute) in planned.scope.attributes.iter().enumerate() {
            let value = Typed::new(attribute.expr(), attribute.data_type.clone(), attribute.nullable);
            texts.push(
                cast::cast(&self.functions, value, &DataType::String, EvalMode::Legacy)?.expr.alias(format!("f{at}")),
            );
        }
        let input = project(planned.plan, texts)?;
        let named: Vec<(String, Option<DataType>)> = if transform.columns.is_empty() {
            vec![("key".to_owned(), None), ("value".to_owned(), None)]
        } else {
            transform.columns.clone()
        };
        let id = self.next_id();
        let fields: Vec<Field> =
            (0..named.len()).map(|at| Field::new(format!("field{at}#{id}"), Arrow::Utf8, true)).collect();
        let names: Vec<String> = fields.iter().map(|f| f.name().clone()).collect();
        let schema = DFSchema::try_from(Schema::new(fields)).map_err(errors::from_datafusion)?;
        let node = Program {
            id,
            input,
            command: transform.command.clone(),
            write: line_format(transform.input_format.as_ref())?,
            read: line_format(transform.output_format.as_ref())?,
            schema: Arc::new(schema),
        };
        let mut exprs = Vec::with_capacity(named.len());
        let mut attributes = Vec::with_capacity(named.len());
        for ((name, wanted), column) in named.into_iter().zip(names) {
            let text = Typed::new(
                datafusion::logical_expr::Expr::Column(datafusion::common::Column::new_unqualified(column)),
                DataType::String,
                true,
            );
            let value = match wanted {
                None | Some(DataType::String | DataType::Char(_) | DataType::Varchar(_)) => text,
                Some(DataType::Array { .. } | DataType::Map { .. } | DataType::Struct(_)) => {
                    return Err(SparkError::unsupported("arrays, maps and structs that TRANSFORM reads"));
                }
                // What a program writes may be anything: what is no such value is null.
                Some(to) => cast::cast(&self.functions, text, &to, EvalMode::Try)?,
            };
            let attribute = self.attribute(name, value.data_type.clone(), true);
            exprs.push(value.expr.alias(&attribute.column));
            attributes.push(attribute);
        }
        Ok(Planned { plan: project(program::plan(node), exprs)?, scope: Scope::new(attributes) })
    }
}

fn line_format(format: Option<&RowFormat>) -> SparkResult<LineFormat> {
    let default = || LineFormat { fields: "\t".to_owned(), null: "\\N".to_owned() };
    match format {
        None => Ok(default()),
        Some(RowFormat::Serde { .. }) => Err(SparkError::unsupported("TRANSFORM with a SERDE")),
        Some(RowFormat::Delimited { fields, null, .. }) => {
            let default = default();
            let fields = fields.clone().filter(|f| !f.is_empty()).unwrap_or(default.fields);
            Ok(LineFormat { fields, null: null.clone().unwrap_or(default.null) })
        }
    }
}
