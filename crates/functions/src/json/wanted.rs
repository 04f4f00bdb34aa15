//! The columns that are wanted of a format's records, and what becomes of records that cannot be read.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringArray, StructArray},
    compute::filter_record_batch,
    datatypes::{DataType as Arrow, Fields, SchemaRef},
};
use datafusion::{common::exec_err, error::Result as DfResult};
use firesteel_plan::{DataType, SparkResult, types::StructField};

use super::{
    options::{Mode, Options},
    read::{Column, malformed},
};
use crate::{errors::external, types};

pub(crate) struct Wanted {
    /// Those that are read from a record.
    pub data: Vec<StructField>,
    /// The same for Arrow.
    pub read: Fields,
    /// The place of the one for the text of a record that cannot be read.
    corrupt: Option<usize>,
    schema: SchemaRef,
    mode: Mode,
}

impl Wanted {
    pub(crate) fn new(options: &Options, fields: &[StructField]) -> SparkResult<Self> {
        let mut data: Vec<StructField> = fields.iter().map(|f| StructField { nullable: true, ..f.clone() }).collect();
        let schema = types::schema_to_arrow(&data)?;
        let corrupt = data.iter().position(|f| f.name == options.corrupt_column());
        if let Some(at) = corrupt {
            data.remove(at);
        }
        let read = schema.fields().iter().enumerate().filter(|(i, _)| Some(*i) != corrupt).map(|(_, f)| f.clone());
        Ok(Self { data, read: read.collect(), corrupt, schema: Arc::new(schema), mode: options.mode() })
    }

    /// Whether no column is.
    pub(crate) fn is_empty(&self) -> bool {
        self.schema.fields().is_empty()
    }

    /// What is read of a record, as one value.
    pub(crate) fn row(&self) -> (DataType, Arrow) {
        (DataType::Struct(self.data.clone()), Arrow::Struct(self.read.clone()))
    }

    /// Such values as a batch.
    pub(crate) fn batch_of_rows<'a>(
        &self,
        rows: &Column,
        bad: impl Fn(usize) -> Option<&'a str>,
    ) -> DfResult<RecordBatch> {
        let Some(fields) = rows.array.as_any().downcast_ref::<StructArray>() else {
            return exec_err!("records became {}", rows.array.data_type());
        };
        self.batch(fields.columns().to_vec(), rows.bad.len(), bad)
    }

    /// A batch of what was read, one column for each of [`Self::data`]. `bad` is the text of a row's record if that cannot
    /// be read.
    pub(crate) fn batch<'a>(
        &self,
        mut columns: Vec<ArrayRef>,
        rows: usize,
        bad: impl Fn(usize) -> Option<&'a str>,
    ) -> DfResult<RecordBatch> {
        if self.mode == Mode::FailFast
            && let Some(record) = (0..rows).find_map(&bad)
        {
            return Err(external(malformed(record)));
        }
        if let Some(at) = self.corrupt {
            let texts: StringArray = (0..rows).map(&bad).collect();
            columns.insert(at, Arc::new(texts));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        if self.mode == Mode::DropMalformed {
            let good: BooleanArray = (0..rows).map(|row| Some(bad(row).is_none())).collect();
            if good.has_false() {
                return Ok(filter_record_batch(&batch, &good)?);
            }
        }
        Ok(batch)
    }
}
