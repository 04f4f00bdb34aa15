//! What the JSON data source makes of its files: records as columns, and the schema of records.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringArray, StructArray},
    compute::filter_record_batch,
    datatypes::{DataType as Arrow, Fields, SchemaRef},
};
use datafusion::{common::exec_err, error::Result as DfResult};
use firesteel_plan::{DataType, SparkError, SparkResult, types::StructField};

use super::{
    options::{Mode, Options, Times},
    parse::{Json, Lenience, parse_prefix},
    read::{Reader, lenience, malformed},
    schema,
};
use crate::{datetime::pattern::Purpose, errors, errors::external, types};

/// Reads records into the columns that are wanted of them.
pub struct JsonRecords {
    wanted: Vec<StructField>,
    /// Which of them is for the text of records that cannot be read.
    corrupt: Option<usize>,
    /// The others.
    read: Fields,
    schema: SchemaRef,
    reader: Reader,
    lenience: Lenience,
    mode: Mode,
}

impl JsonRecords {
    pub fn new(options: &Options, zone: &str, wanted: &[StructField]) -> SparkResult<Self> {
        let wanted: Vec<StructField> = wanted.iter().map(|f| StructField { nullable: true, ..f.clone() }).collect();
        let corrupt = wanted.iter().position(|f| f.name == options.corrupt_column());
        let schema = types::schema_to_arrow(&wanted)?;
        let read = schema.fields().iter().enumerate().filter(|(i, _)| Some(*i) != corrupt).map(|(_, f)| f.clone());
        Ok(Self {
            corrupt,
            read: read.collect(),
            schema: Arc::new(schema),
            wanted,
            reader: Reader::exact(options, zone)
                .map_err(|e| errors::spark_error(&e).cloned().unwrap_or_else(|| SparkError::internal(e)))?,
            lenience: lenience(options),
            mode: options.mode(),
        })
    }

    /// The rows of records: an array of objects is a row for each, and what is blank is none. `broken` are records whose
    /// bytes are no text, in order.
    pub fn read(&self, texts: &[&str], broken: &[usize]) -> DfResult<RecordBatch> {
        let mut parsed: Vec<Option<Json<'_>>> = texts.iter().map(|text| parse_prefix(text, self.lenience)).collect();
        for record in broken {
            parsed[*record] = None;
        }
        let parsed = parsed;
        // For each row its object, and the record it is of.
        let mut objects: Vec<Option<&Json<'_>>> = Vec::with_capacity(texts.len());
        let mut of: Vec<usize> = Vec::with_capacity(texts.len());
        let mut bad = vec![false; texts.len()];
        for (record, value) in parsed.iter().enumerate() {
            match value {
                None if texts[record].trim().is_empty() => continue,
                Some(object @ Json::Object(..)) => objects.push(Some(object)),
                Some(Json::Array(all, _)) if all.iter().all(|v| matches!(v, Json::Object(..))) => {
                    objects.extend(all.iter().map(Some));
                }
                _ => {
                    bad[record] = true;
                    objects.push(None);
                }
            }
            of.resize(objects.len(), record);
        }
        let data: Vec<StructField> =
            self.wanted.iter().enumerate().filter(|(i, _)| Some(*i) != self.corrupt).map(|(_, f)| f.clone()).collect();
        let column = self.reader.build(&objects, &DataType::Struct(data), &Arrow::Struct(self.read.clone()))?;
        for (row, partial) in column.partial.iter().enumerate() {
            bad[of[row]] |= partial;
        }
        if self.mode == Mode::FailFast
            && let Some(record) = bad.iter().position(|b| *b)
        {
            return Err(external(malformed(texts[record])));
        }
        let Some(fields) = column.array.as_any().downcast_ref::<StructArray>() else {
            return exec_err!("JSON became {}", column.array.data_type());
        };
        let mut columns: Vec<ArrayRef> = fields.columns().to_vec();
        if let Some(at) = self.corrupt {
            let texts: StringArray = of.iter().map(|record| bad[*record].then_some(texts[*record])).collect();
            columns.insert(at, Arc::new(texts));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(objects.len()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        match self.mode {
            Mode::DropMalformed if bad.contains(&true) => {
                let good: BooleanArray = of.iter().map(|record| Some(!bad[*record])).collect();
                Ok(filter_record_batch(&batch, &good)?)
            }
            _ => Ok(batch),
        }
    }
}

/// Finds the schema that holds every record.
pub struct JsonInference {
    options: Options,
    times: Times,
    lenience: Lenience,
    mode: Mode,
    root: DataType,
}

impl JsonInference {
    pub fn new(options: &Options, zone: &str) -> SparkResult<Self> {
        Ok(Self {
            times: Times::new(options, zone, Purpose::Parse)?,
            lenience: lenience(options),
            mode: options.mode(),
            options: options.clone(),
            root: DataType::Struct(Vec::new()),
        })
    }

    pub fn add(&mut self, text: &str) -> SparkResult<()> {
        let found = match parse_prefix(text, self.lenience) {
            Some(value) => schema::infer(&value, &self.options, Some(&self.times)),
            None if text.trim().is_empty() => return Ok(()),
            None => match self.mode {
                Mode::Permissive => {
                    DataType::Struct(vec![StructField::new(self.options.corrupt_column(), DataType::String, true)])
                }
                Mode::DropMalformed => return Ok(()),
                Mode::FailFast => return Err(malformed_in_inference()),
            },
        };
        let so_far = std::mem::replace(&mut self.root, DataType::Null);
        self.root = self.merge(so_far, found)?;
        Ok(())
    }

    /// Records are objects or arrays of objects; any other has the corrupt column.
    fn merge(&self, so_far: DataType, found: DataType) -> SparkResult<DataType> {
        match (so_far, found) {
            (so_far, DataType::Array { element, .. }) => self.merge(so_far, *element),
            (so_far, DataType::Null) => Ok(so_far),
            (so_far, found @ DataType::Struct(_)) => Ok(schema::common(&so_far, &found)),
            (DataType::Struct(mut fields), found) => match self.mode {
                Mode::Permissive => {
                    let corrupt = self.options.corrupt_column();
                    if !fields.iter().any(|f| f.name == corrupt) {
                        fields.push(StructField::new(corrupt, DataType::String, true));
                        fields.sort_by(|a, b| a.name.cmp(&b.name));
                    }
                    Ok(DataType::Struct(fields))
                }
                Mode::DropMalformed => Ok(DataType::Struct(fields)),
                Mode::FailFast => Err(no_object(&found)),
            },
            (so_far, _) => Ok(so_far),
        }
    }

    pub fn finish(self) -> Vec<StructField> {
        match schema::settled(self.root, self.options.flag("dropFieldIfAllNull", false)) {
            Some(DataType::Struct(fields)) => fields,
            _ => Vec::new(),
        }
    }
}

fn malformed_in_inference() -> SparkError {
    SparkError::new(
        "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION",
        "22023",
        "Malformed records are detected in schema inference. Parse Mode: FAILFAST. To infer a schema from the others, set \
         the option 'mode' to 'PERMISSIVE' or 'DROPMALFORMED'.",
    )
    .param("failFastMode", "FAILFAST")
}

fn no_object(found: &DataType) -> SparkError {
    let shown = format!("\"{}\"", errors::sql_type(found));
    SparkError::new(
        "INVALID_JSON_RECORD_TYPE",
        "22023",
        format!(
            "Detected an invalid type of a JSON record while inferring a common schema in the mode FAILFAST. Expected a \
             STRUCT type, but found {shown}."
        ),
    )
    .param("failFastMode", "FAILFAST")
    .param("invalidType", shown)
}
