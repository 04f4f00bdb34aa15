//! What the JSON data source makes of its files: records as columns, and the schema of records.

use arrow::array::RecordBatch;
use datafusion::error::Result as DfResult;
use firesteel_plan::{DataType, SparkError, SparkResult, types::StructField};

use super::{
    options::{Mode, Options, Times},
    parse::{Json, Lenience, parse_prefix},
    read::{Reader, lenience},
    schema,
    wanted::Wanted,
};
use crate::{datetime::pattern::Purpose, errors};

/// Reads records into the columns that are wanted of them.
pub struct JsonRecords {
    wanted: Wanted,
    reader: Reader,
    lenience: Lenience,
}

impl JsonRecords {
    pub fn new(options: &Options, zone: &str, wanted: &[StructField]) -> SparkResult<Self> {
        Ok(Self {
            wanted: Wanted::new(options, wanted)?,
            reader: Reader::exact(options, zone)?,
            lenience: lenience(options),
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
        let (row, arrow) = self.wanted.row();
        let rows = self.reader.build(&objects, &row, &arrow)?;
        for (row, partial) in rows.partial.iter().enumerate() {
            bad[of[row]] |= partial;
        }
        self.wanted.batch_of_rows(&rows, |row| bad[of[row]].then_some(texts[of[row]]))
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
