//! Values as Spark shows them: its own cast to string.

use std::sync::Arc;

use arrow::{
    array::{AsArray, RecordBatch, StringArray},
    datatypes::DataType as ArrowType,
};
use comfy_table::{CellAlignment, ContentArrangement, Table};
use datafusion::{
    common::{Column, DFSchema},
    execution::context::ExecutionProps,
    logical_expr::Expr,
    physical_expr::PhysicalExpr,
};
use firesteel_analyzer::OutputColumn;
use firesteel_functions::{EvalMode, FunctionContext, Typed, cast};
use firesteel_plan::{DataType, SparkConf, SparkError, SparkResult, conf::keys};

/// A table with the columns' names, numbers to the right.
pub fn empty_table(columns: &[OutputColumn], preset: &str) -> Table {
    let mut table = Table::new();
    table.load_preset(preset);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|c| c.name.as_str()));
    for (i, column) in columns.iter().enumerate() {
        if column.data_type.is_numeric()
            && let Some(column) = table.column_mut(i)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Every column of `batch` as text; nulls stay null.
pub fn to_text(batch: &RecordBatch, columns: &[OutputColumn], conf: &SparkConf) -> SparkResult<Vec<StringArray>> {
    let ctx = FunctionContext {
        ansi: conf.bool(&keys::ANSI_ENABLED),
        time_zone: firesteel_analyzer::time_zone(conf).into(),
        now_micros: 0,
        case_sensitive: false,
        current_user: "".into(),
        current_catalog: "".into(),
        current_database: "".into(),
        ..FunctionContext::default()
    };
    columns.iter().enumerate().map(|(i, column)| column_text(batch, i, column, &ctx)).collect()
}

fn column_text(
    batch: &RecordBatch,
    index: usize,
    column: &OutputColumn,
    ctx: &FunctionContext,
) -> SparkResult<StringArray> {
    let wrong = |e: datafusion::common::DataFusionError| firesteel_engine::error::from_datafusion(&e);
    let one = batch.project(&[index]).map_err(SparkError::internal)?;
    let field = one.schema().field(0).clone().with_name("value");
    let schema = Arc::new(arrow::datatypes::Schema::new(vec![field]));
    let one = RecordBatch::try_new(schema.clone(), one.columns().to_vec()).map_err(SparkError::internal)?;
    let value = Typed {
        expr: Expr::Column(Column::new_unqualified("value")),
        data_type: column.data_type.clone(),
        nullable: true,
    };
    let text = cast::cast(ctx, value, &DataType::String, EvalMode::Legacy)?;
    let df_schema = DFSchema::try_from(schema).map_err(wrong)?;
    let physical = physical(&text.expr, &df_schema).map_err(wrong)?;
    let array = physical.evaluate(&one).and_then(|v| v.into_array(one.num_rows())).map_err(wrong)?;
    let array = arrow::compute::cast(&array, &ArrowType::Utf8).map_err(SparkError::internal)?;
    Ok(array.as_string::<i32>().clone())
}

fn physical(expr: &Expr, schema: &DFSchema) -> datafusion::common::Result<Arc<dyn PhysicalExpr>> {
    let props = ExecutionProps::new();
    datafusion::physical_expr::create_physical_expr(expr, schema, &props, &Default::default())
}
