//! Results as Spark's SQL shell prints them: one text a row, columns separated by tabs.

use arrow::array::{Array, AsArray, RecordBatch};
use firesteel_engine::error::from_datafusion;
use firesteel_functions::hive::HiveFormat;
use firesteel_plan::{SparkConf, SparkResult, Statement, conf::keys, statement::StatementKind};

use crate::{Outcome, QueryResult};

/// The schema as Spark's catalog writes it, `struct<a:int,b:string>`; `struct<>` where there are no rows to come.
pub fn schema(outcome: &Outcome) -> String {
    let Outcome::Rows(result) = outcome else { return "struct<>".to_owned() };
    let fields: Vec<String> = result.columns.iter().map(|c| format!("{}:{}", c.name, c.data_type)).collect();
    format!("struct<{}>", fields.join(","))
}

/// The rows of a statement's result as texts.
pub fn rows(statement: &Statement, outcome: &Outcome, conf: &SparkConf) -> SparkResult<Vec<String>> {
    let Outcome::Rows(result) = outcome else { return Ok(Vec::new()) };
    // Hive lists only the names, and columns in columns.
    let kind = match &statement.kind {
        StatementKind::Deferred { statement, .. } => statement,
        kind => kind,
    };
    match kind {
        StatementKind::ShowTables { .. } | StatementKind::ShowViews { .. } if result.columns.len() > 1 => {
            texts(result, |batch, row| Ok(cell(batch, 1, row).to_owned()))
        }
        StatementKind::DescribeTable { .. } | StatementKind::DescribeQuery { .. } if result.columns.len() == 3 => {
            texts(result, |batch, row| {
                let cells: Vec<String> = (0..3).map(|column| format!("{:<20}", cell(batch, column, row))).collect();
                Ok(cells.join("\t"))
            })
        }
        _ => plain(result, conf),
    }
}

fn plain(result: &QueryResult, conf: &SparkConf) -> SparkResult<Vec<String>> {
    let binary = conf.text(&keys::BINARY_OUTPUT_STYLE).parse()?;
    let format = HiveFormat::new(&firesteel_analyzer::time_zone(conf), binary)?;
    texts(result, |batch, row| {
        let mut text = String::new();
        for (i, (values, column)) in batch.columns().iter().zip(&result.columns).enumerate() {
            if i > 0 {
                text.push('\t');
            }
            format.write(&mut text, values, row, &column.data_type).map_err(|e| from_datafusion(&e))?;
        }
        Ok(text)
    })
}

fn texts(result: &QueryResult, text: impl Fn(&RecordBatch, usize) -> SparkResult<String>) -> SparkResult<Vec<String>> {
    let rows = result.batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)));
    rows.map(|(batch, row)| text(batch, row)).collect()
}

/// A text of a command's answer, empty where it has none.
fn cell(batch: &RecordBatch, column: usize, row: usize) -> &str {
    batch
        .columns()
        .get(column)
        .and_then(|values| values.as_string_opt::<i32>())
        .filter(|values| values.is_valid(row))
        .map_or("", |values| values.value(row))
}
