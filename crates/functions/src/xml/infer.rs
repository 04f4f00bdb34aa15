//! The schema of elements.

use std::sync::Arc;

use firesteel_plan::{DataType, SparkError, SparkResult, types::StructField};

use super::{
    records::Shape,
    rows::{Element, XmlRows},
};
use crate::{
    datetime::{
        pattern::{Pattern, Purpose},
        text,
    },
    json::{
        csv::java_double,
        options::{Mode, Options, Times},
        schema,
    },
};

/// Finds the schema that holds every row.
pub struct XmlInference {
    shape: Shape,
    times: Times,
    dates: Arc<Pattern>,
    infers: bool,
    prefers_decimal: bool,
    mode: Mode,
    corrupt: String,
    root: DataType,
}

impl XmlInference {
    pub fn new(options: &Options, zone: &str) -> SparkResult<Self> {
        let times = Times::new(options, zone, Purpose::Parse)?;
        Ok(Self {
            dates: match &times.date {
                Some(pattern) => pattern.clone(),
                None => Pattern::cached("yyyy-MM-dd", Purpose::Parse)?,
            },
            times,
            shape: Shape::new(options),
            infers: options.flag("inferSchema", true),
            prefers_decimal: options.flag("prefersDecimal", false),
            mode: options.mode(),
            corrupt: options.corrupt_column().to_owned(),
            root: DataType::Struct(Vec::new()),
        })
    }

    /// Takes a row into account.
    pub fn add(&mut self, rows: &XmlRows<'_>, row: usize) {
        let Some(row) = rows.get(row) else { return };
        let found = match self.element(row) {
            found @ DataType::Struct(_) => found,
            DataType::Null => DataType::Struct(Vec::new()),
            text => DataType::Struct(vec![StructField::new(&self.shape.value_tag, text, true)]),
        };
        self.root = self.common(&self.root, &found);
    }

    /// A document that could not be read on.
    pub fn add_broken(&mut self) -> SparkResult<()> {
        match self.mode {
            Mode::FailFast => Err(SparkError::new(
                "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION",
                "22023",
                "Malformed records are detected in schema inference. Parse Mode: FAILFAST.".to_owned(),
            )),
            Mode::DropMalformed => Ok(()),
            Mode::Permissive => {
                let corrupt = self.corrupt();
                self.root = self.common(&self.root, &corrupt);
                Ok(())
            }
        }
    }

    /// What stands for a document that cannot be read.
    pub(super) fn corrupt(&self) -> DataType {
        DataType::Struct(vec![StructField::new(&self.corrupt, DataType::String, true)])
    }

    pub fn finish(self) -> Vec<StructField> {
        match schema::settled(self.root, false) {
            Some(DataType::Struct(fields)) => fields,
            _ => Vec::new(),
        }
    }

    /// The type of an element by itself.
    pub(super) fn of_one(&self, element: Element<'_>) -> DataType {
        schema::settled(self.element(element), false).unwrap_or(DataType::String)
    }

    fn element(&self, element: Element<'_>) -> DataType {
        let text = self.shape.trimmed(element.own_text());
        let blank = element.own_text().trim().is_empty();
        let mut fields: Vec<StructField> = Vec::new();
        for (name, value) in self.shape.attributes(element) {
            fields.push(StructField::new(name, self.text(value), true));
        }
        for child in element.children() {
            let found = self.element(child);
            match fields.iter_mut().find(|f| f.name == child.name()) {
                None => fields.push(StructField::new(child.name(), found, true)),
                Some(known) => {
                    known.data_type = match &known.data_type {
                        DataType::Array { element, .. } => DataType::array(self.common(element, &found)),
                        one => DataType::array(self.common(one, &found)),
                    }
                }
            }
        }
        if fields.is_empty() {
            return self.text(text);
        }
        if !blank {
            fields.push(StructField::new(&self.shape.value_tag, self.text(text), true));
        }
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        DataType::Struct(fields)
    }

    fn text(&self, written: &str) -> DataType {
        if self.shape.is_null(written) {
            return DataType::Null;
        }
        if !self.infers {
            return DataType::String;
        }
        let value = self.shape.trimmed(written);
        if value.is_empty() {
            return DataType::Null;
        }
        if value.parse::<i64>().is_ok() {
            return DataType::Long;
        }
        if java_double(value).is_some() && !value.ends_with(['d', 'D', 'f', 'F']) {
            if self.prefers_decimal
                && let found @ DataType::Decimal { .. } = schema::number(value, true, true)
            {
                return found;
            }
            return DataType::Double;
        }
        if value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") {
            return DataType::Boolean;
        }
        if self.dates.parse(value).and_then(|p| p.date()).is_some() {
            return DataType::Date;
        }
        let is_time = match &self.times.timestamp {
            Some(pattern) => pattern.parse(value).and_then(|p| p.instant(self.times.zone)).is_some(),
            None => text::parse_timestamp(value).is_some_and(|p| p.date.is_some()),
        };
        if is_time { DataType::Timestamp } else { DataType::String }
    }

    /// One type for both. What is one element here and several there is an array; what is only text in one place and has
    /// more in the other is a struct with the text in it.
    fn common(&self, a: &DataType, b: &DataType) -> DataType {
        use DataType::{Array, Null, Struct};
        match (a, b) {
            (x, y) if x == y => x.clone(),
            (Null, other) | (other, Null) => other.clone(),
            (Array { element: x, .. }, Array { element: y, .. }) => DataType::array(self.common(x, y)),
            (Array { element, .. }, other) | (other, Array { element, .. }) => {
                DataType::array(self.common(element, other))
            }
            (Struct(x), Struct(y)) => {
                let mut fields = x.clone();
                for field in y {
                    match fields.iter_mut().find(|f| f.name == field.name) {
                        Some(known) => known.data_type = self.common(&known.data_type, &field.data_type),
                        None => fields.push(field.clone()),
                    }
                }
                fields.sort_by(|a, b| a.name.cmp(&b.name));
                Struct(fields)
            }
            (Struct(fields), text) | (text, Struct(fields)) => {
                let value = Struct(vec![StructField::new(&self.shape.value_tag, text.clone(), true)]);
                self.common(&Struct(fields.clone()), &value)
            }
            _ => schema::common(a, b),
        }
    }
}
