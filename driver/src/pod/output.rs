//! Results in the pod's log.

use std::io::Write;

use arrow::array::Array;
use comfy_table::{Cell, presets};
use firesteel_plan::{SparkConf, SparkError, SparkResult};

use crate::{Outcome, QueryResult, StatementResult, display};

/// Rows of a result that are shown; a log is no place for data.
const MAX_ROWS: usize = 1000;

/// Shows what a statement gave.
pub fn show(result: &StatementResult, conf: &SparkConf, out: &mut impl Write) -> SparkResult<()> {
    match &result.outcome {
        Outcome::Rows(rows) if !rows.columns.is_empty() => {
            let text = table(rows, conf, MAX_ROWS)?;
            writeln!(out, "{text}")
                .and_then(|()| out.flush())
                .map_err(|e| SparkError::internal(format!("cannot write the result to the log: {e}")))
        }
        Outcome::Written(summary) => {
            tracing::info!(
                rows = summary.rows,
                files = summary.files,
                bytes = summary.bytes,
                seconds = result.seconds,
                "written"
            );
            Ok(())
        }
        Outcome::Rows(_) | Outcome::Done => Ok(()),
    }
}

fn table(result: &QueryResult, conf: &SparkConf, max_rows: usize) -> SparkResult<String> {
    let mut table = display::empty_table(&result.columns, presets::ASCII_FULL_CONDENSED);
    let mut left = max_rows;
    for batch in &result.batches {
        let batch = batch.slice(0, left.min(batch.num_rows()));
        let columns = display::to_text(&batch, &result.columns, conf)?;
        for row in 0..batch.num_rows() {
            let text =
                |c: &arrow::array::StringArray| if c.is_null(row) { "NULL".to_owned() } else { one_line(c.value(row)) };
            table.add_row(columns.iter().map(|c| Cell::new(text(c))));
        }
        left -= batch.num_rows();
    }
    let total = result.num_rows();
    let note = if total > max_rows { format!("\nthe first {max_rows} of {total} rows") } else { String::new() };
    Ok(format!("{table}{note}"))
}

fn one_line(text: &str) -> String {
    text.replace('\n', "\\n").replace('\r', "\\r")
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::{Int64Array, RecordBatch, StringArray},
        datatypes::{DataType as ArrowType, Field, Schema},
    };
    use firesteel_analyzer::OutputColumn;
    use firesteel_plan::DataType;
    use std::sync::Arc;

    #[test]
    fn long_results_are_cut_with_a_note() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("n", ArrowType::Int64, true),
            Field::new("word", ArrowType::Utf8, true),
        ]));
        let numbers = Int64Array::from(vec![Some(1), None, Some(3)]);
        let words = StringArray::from(vec!["a\nb", "c", "d"]);
        let batch = RecordBatch::try_new(schema, vec![Arc::new(numbers), Arc::new(words)]).unwrap();
        let column = |name: &str, data_type| OutputColumn::new(name, data_type, true);
        let result = QueryResult {
            columns: vec![column("n", DataType::Long), column("word", DataType::String)],
            batches: vec![batch.clone(), batch],
        };
        let text = table(&result, &SparkConf::new(), 4).unwrap();
        assert_eq!(text.lines().last(), Some("the first 4 of 6 rows"));
        assert_eq!(text.matches("a\\nb").count(), 2);
        assert_eq!(text.matches("NULL").count(), 1);
        assert!(!table(&result, &SparkConf::new(), 6).unwrap().contains("the first"));
    }
}
