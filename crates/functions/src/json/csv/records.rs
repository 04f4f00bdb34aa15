//! Records of CSV as columns.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BinaryArray, RecordBatch, StringArray},
    datatypes::DataType as Arrow,
};
use datafusion::error::Result as DfResult;
use firesteel_plan::{DataType, SparkResult, types::StructField};

use super::{
    super::{options::Options, parse::Json, read::Reader, wanted::Wanted},
    Value,
};

/// The words for doubles that are no numbers.
#[derive(Debug, Clone)]
pub(crate) struct Specials {
    nan: String,
    positive: String,
    negative: String,
}

impl Specials {
    pub(crate) fn new(options: &Options) -> Self {
        let word = |key: &str, default: &str| options.get(key).unwrap_or(default).to_owned();
        Self {
            nan: word("nanValue", "NaN"),
            positive: word("positiveInf", "Inf"),
            negative: word("negativeInf", "-Inf"),
        }
    }

    pub(super) fn contains(&self, value: &str) -> bool {
        value == self.nan || value == self.positive || value == self.negative
    }

    fn number<'a>(&self, value: &'a str) -> Option<&'a str> {
        if value == self.nan {
            return Some("NaN");
        }
        if value == self.negative {
            return Some("-INF");
        }
        if value == self.positive {
            return Some("INF");
        }
        java_double(value)
    }
}

/// A text that Java reads as a double, as Rust reads it.
pub(crate) fn java_double(value: &str) -> Option<&str> {
    let text = value.trim_matches(|c| c <= ' ');
    match text {
        "NaN" | "+NaN" | "-NaN" => return Some("NaN"),
        "Infinity" | "+Infinity" => return Some("INF"),
        "-Infinity" => return Some("-INF"),
        _ => {}
    }
    let text = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let is_number = text.bytes().any(|b| b.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
        && text.parse::<f64>().is_ok();
    is_number.then_some(text)
}

/// A value in the form in which its type is read.
pub(crate) fn as_json<'a>(value: &'a str, data_type: &DataType, specials: &Specials) -> Json<'a> {
    match data_type {
        t if t.is_integral() => Json::Number(value),
        DataType::Float | DataType::Double => match specials.number(value) {
            Some(number) => Json::Number(number),
            // No boolean is a number.
            None => Json::Bool(false),
        },
        DataType::Decimal { .. } => match value.contains(',') {
            true => Json::Text(value.replace(',', "").into()),
            false if value.contains(|c| c <= ' ') => Json::Bool(false),
            false => Json::Number(value),
        },
        DataType::Boolean if value.eq_ignore_ascii_case("true") => Json::Bool(true),
        DataType::Boolean if value.eq_ignore_ascii_case("false") => Json::Bool(false),
        _ => Json::Text(value.into()),
    }
}

/// Types that CSV has no way to write.
pub fn supports(data_type: &DataType) -> bool {
    !matches!(
        data_type,
        DataType::Array { .. }
            | DataType::Map { .. }
            | DataType::Struct(_)
            | DataType::Variant
            | DataType::CalendarInterval
            | DataType::Null
    )
}

/// Reads records into the columns that are wanted of them.
pub struct CsvRecords {
    wanted: Wanted,
    /// Where in a record the value of each is.
    places: Vec<usize>,
    /// How many values a record has; nothing when it does not matter.
    values: Option<usize>,
    null_value: String,
    specials: Specials,
    reader: Reader,
}

/// Records cut into values.
#[derive(Default)]
pub struct CutRecords<'a> {
    values: Vec<Value<'a>>,
    ends: Vec<usize>,
    texts: Vec<&'a str>,
}

impl<'a> CutRecords<'a> {
    /// Where a record's values go; [`Self::end`] says that they are all there.
    pub fn values(&mut self) -> &mut Vec<Value<'a>> {
        &mut self.values
    }

    /// Ends a record, whose text is `text`.
    pub fn end(&mut self, text: &'a str) {
        self.ends.push(self.values.len());
        self.texts.push(text);
    }

    /// Forgets the values behind the last record.
    pub fn truncate(&mut self) {
        self.values.truncate(self.ends.last().copied().unwrap_or(0));
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The values of a record.
    pub fn get(&self, row: usize) -> &[Value<'a>] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.values[start..self.ends[row]]
    }
}

impl CsvRecords {
    /// `file` are the columns of the files, `places` those of them that are wanted. Unless all columns are read
    /// (`prunes`), how many values a record has, and what is in the others, does not matter.
    pub fn new(
        options: &Options,
        zone: &str,
        file: &[StructField],
        places: &[usize],
        prunes: bool,
    ) -> SparkResult<Self> {
        let corrupt = options.corrupt_column();
        let mut place = 0;
        // The text of a record is no value of it.
        let positions: Vec<Option<usize>> = file
            .iter()
            .map(|f| {
                let own = place;
                place += usize::from(f.name != corrupt);
                (f.name != corrupt).then_some(own)
            })
            .collect();
        let fields: Vec<StructField> = places.iter().map(|i| file[*i].clone()).collect();
        let places: Vec<usize> = places.iter().filter_map(|i| positions[*i]).collect();
        Ok(Self {
            values: (!prunes || places.len() == place).then_some(place),
            wanted: Wanted::new(options, &fields)?,
            places,
            null_value: options.get("nullValue").unwrap_or("").to_owned(),
            specials: Specials::new(options),
            reader: Reader::new(options, zone)?,
        })
    }

    /// Whether records need not be cut: no value of them is wanted, and none can be wrong.
    pub fn only_counts(&self) -> bool {
        self.wanted.is_empty() && self.values.is_none_or(|n| n == 0)
    }

    /// As many rows without columns.
    pub fn count(&self, rows: usize) -> DfResult<RecordBatch> {
        self.wanted.batch(Vec::new(), rows, |_| None)
    }

    pub fn read(&self, records: &CutRecords<'_>) -> DfResult<RecordBatch> {
        let rows = records.len();
        let mut bad: Vec<bool> = match self.values {
            Some(count) => (0..rows).map(|row| records.get(row).len() != count).collect(),
            None => vec![false; rows],
        };
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.places.len());
        for ((place, wanted), field) in self.places.iter().zip(&self.wanted.data).zip(&self.wanted.read) {
            let value =
                |row: usize| records.get(row).get(*place).and_then(|v| v.as_deref()).filter(|v| *v != self.null_value);
            if *field.data_type() == Arrow::Binary {
                let array: BinaryArray = (0..rows).map(|row| value(row).map(str::as_bytes)).collect();
                columns.push(Arc::new(array));
                continue;
            }
            if *field.data_type() == Arrow::Utf8 {
                let array: StringArray = (0..rows).map(value).collect();
                columns.push(Arc::new(array));
                continue;
            }
            let values: Vec<Option<Json<'_>>> =
                (0..rows).map(|row| value(row).map(|v| as_json(v, &wanted.data_type, &self.specials))).collect();
            let values: Vec<Option<&Json<'_>>> = values.iter().map(Option::as_ref).collect();
            let column = self.reader.build(&values, &wanted.data_type, field.data_type())?;
            bad.iter_mut().zip(&column.bad).for_each(|(bad, found)| *bad |= found);
            columns.push(column.array);
        }
        self.wanted.batch(columns, rows, |row| bad[row].then_some(records.texts[row]))
    }
}
