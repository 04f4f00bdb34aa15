//! What the XML data source makes of elements: rows, and the schema of rows.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::error::Result as DfResult;
use firesteel_plan::{DataType, SparkError, SparkResult, types::StructField};

use super::{
    csv::{Specials, as_json, java_double},
    options::{Mode, Options, Times},
    parse::Json,
    read::Reader,
    schema,
    wanted::Wanted,
};
use crate::datetime::{
    pattern::{Pattern, Purpose},
    text,
};

/// An element of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    pub children: Vec<Element>,
    /// All text that is directly in it.
    pub text: String,
    /// What is between its tags, as it is written.
    pub inner: String,
}

/// How elements are named as columns, and what their texts mean.
#[derive(Debug, Clone)]
struct Shape {
    attribute_prefix: String,
    value_tag: String,
    excludes_attributes: bool,
    trims: bool,
    null_value: Option<String>,
}

impl Shape {
    fn new(options: &Options) -> Self {
        Self {
            attribute_prefix: options.get("attributePrefix").unwrap_or("_").to_owned(),
            value_tag: options.get("valueTag").unwrap_or("_VALUE").to_owned(),
            excludes_attributes: options.flag("excludeAttribute", false),
            trims: options.flag("ignoreSurroundingSpaces", true),
            null_value: options.get("nullValue").map(str::to_owned),
        }
    }

    fn trimmed<'a>(&self, text: &'a str) -> &'a str {
        if self.trims { text.trim() } else { text }
    }

    fn is_null(&self, text: &str) -> bool {
        self.null_value.as_deref() == Some(text)
    }

    fn attributes<'a>(&self, element: &'a Element) -> impl Iterator<Item = (String, &'a str)> {
        let prefix = self.attribute_prefix.clone();
        let own: &'a [(String, String)] = if self.excludes_attributes { &[] } else { &element.attributes };
        own.iter().map(move |(name, value)| (format!("{prefix}{name}"), value.as_str()))
    }
}

/// Reads rows' elements into the columns that are wanted of them.
pub struct XmlRecords {
    wanted: Wanted,
    reader: Reader,
    specials: Specials,
    shape: Shape,
}

impl XmlRecords {
    pub fn new(options: &Options, zone: &str, wanted: &[StructField]) -> SparkResult<Self> {
        Ok(Self {
            wanted: Wanted::new(options, wanted)?,
            reader: Reader::exact(options, zone)?,
            specials: Specials::new(options),
            shape: Shape::new(options),
        })
    }

    /// One row an element. After them, `broken` says that the document could not be read on, which is one more record;
    /// `document` is its text.
    pub fn read(&self, rows: &[Element], broken: bool, document: &str) -> DfResult<RecordBatch> {
        let data = &self.wanted.data;
        let mut objects: Vec<Option<Json<'_>>> = rows.iter().map(|row| Some(self.object(row, data))).collect();
        if broken {
            objects.push(None);
        }
        let (whole, arrow) = self.wanted.row();
        let values: Vec<Option<&Json<'_>>> = objects.iter().map(Option::as_ref).collect();
        let mut column = self.reader.build(&values, &whole, &arrow)?;
        if column.partial.contains(&true) {
            // What stands behind the first value that cannot be read is not looked at.
            for (row, partial) in column.partial.clone().into_iter().enumerate() {
                if partial && let (Some(Json::Object(fields, _)), Some(element)) = (&objects[row], rows.get(row)) {
                    objects[row] = Some(Json::Object(self.until_bad(fields, element)?, ""));
                }
            }
            let values: Vec<Option<&Json<'_>>> = objects.iter().map(Option::as_ref).collect();
            let bad = std::mem::take(&mut column.partial);
            column = self.reader.build(&values, &whole, &arrow)?;
            column.partial = bad;
        }
        if broken && let Some(last) = column.partial.last_mut() {
            *last = true;
        }
        self.wanted.batch_of_rows(&column, |row| column.partial[row].then_some(document))
    }

    /// The values of a row before the first that cannot be read, in the document's order.
    fn until_bad<'a>(
        &self,
        fields: &[(std::borrow::Cow<'a, str>, Json<'a>)],
        element: &Element,
    ) -> DfResult<Vec<(std::borrow::Cow<'a, str>, Json<'a>)>> {
        let mut order: Vec<String> = self.shape.attributes(element).map(|(name, _)| name).collect();
        order.extend(element.children.iter().map(|c| c.name.clone()));
        order.push(self.shape.value_tag.clone());
        let mut kept = Vec::new();
        for name in order {
            let Some((known, value)) = fields.iter().find(|(n, _)| *n == name) else { continue };
            let Some(at) = self.wanted.data.iter().position(|f| f.name == name) else { continue };
            let column =
                self.reader.build(&[Some(value)], &self.wanted.data[at].data_type, self.wanted.read[at].data_type())?;
            if column.bad[0] || column.partial[0] {
                break;
            }
            kept.push((known.clone(), value.clone()));
        }
        Ok(kept)
    }

    fn object<'a>(&self, element: &'a Element, fields: &[StructField]) -> Json<'a> {
        let mut out = Vec::with_capacity(fields.len());
        for field in fields {
            if let Some((_, value)) = self.shape.attributes(element).find(|(name, _)| *name == field.name) {
                out.push((field.name.clone().into(), self.leaf(value, &field.data_type)));
                continue;
            }
            if field.name == self.shape.value_tag {
                let text = self.shape.trimmed(&element.text);
                if !text.is_empty() {
                    out.push((field.name.clone().into(), self.leaf(text, &field.data_type)));
                }
                continue;
            }
            let mut children = element.children.iter().filter(|c| c.name == field.name);
            let value = match &field.data_type {
                DataType::Array { element: item, .. } => {
                    let all: Vec<Json<'a>> = children.map(|c| self.value(c, item)).collect();
                    if all.is_empty() { None } else { Some(Json::Array(all, "")) }
                }
                // The last of elements of one name counts.
                other => children.next_back().map(|c| self.value(c, other)),
            };
            if let Some(value) = value {
                out.push((field.name.clone().into(), value));
            }
        }
        Json::Object(out, "")
    }

    fn value<'a>(&self, element: &'a Element, data_type: &DataType) -> Json<'a> {
        match data_type {
            DataType::Struct(fields) => self.object(element, fields),
            DataType::Map { value, .. } => {
                let attributes = self.shape.attributes(element).map(|(name, v)| (name.into(), self.leaf(v, value)));
                let children = element.children.iter().map(|c| (c.name.as_str().into(), self.value(c, value)));
                Json::Object(attributes.chain(children).collect(), "")
            }
            DataType::Array { element: item, .. } => Json::Array(vec![self.value(element, item)], ""),
            // Elements that are wanted as a string are one, tags and all.
            t if t.is_string() && !element.children.is_empty() => Json::Text(element.inner.as_str().into()),
            t => {
                let text = self.shape.trimmed(&element.text);
                if text.is_empty() && !t.is_string() { Json::Null } else { self.leaf(text, t) }
            }
        }
    }

    fn leaf<'a>(&self, text: &'a str, data_type: &DataType) -> Json<'a> {
        if self.shape.is_null(text) {
            return Json::Null;
        }
        match as_json(self.shape.trimmed(text), data_type, &self.specials) {
            Json::Number(n) if data_type.is_integral() => Json::Number(n),
            _ if data_type.is_string() => Json::Text(text.into()),
            other => other,
        }
    }
}

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

    pub fn add(&mut self, row: &Element) {
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
                let corrupt = DataType::Struct(vec![StructField::new(&self.corrupt, DataType::String, true)]);
                self.root = self.common(&self.root, &corrupt);
                Ok(())
            }
        }
    }

    pub fn finish(self) -> Vec<StructField> {
        match schema::settled(self.root, false) {
            Some(DataType::Struct(fields)) => fields,
            _ => Vec::new(),
        }
    }

    fn element(&self, element: &Element) -> DataType {
        let text = self.shape.trimmed(&element.text);
        let blank = element.text.trim().is_empty();
        let mut fields: Vec<StructField> = Vec::new();
        for (name, value) in self.shape.attributes(element) {
            fields.push(StructField::new(name, self.text(value), true));
        }
        for child in &element.children {
            let found = self.element(child);
            match fields.iter_mut().find(|f| f.name == child.name) {
                None => fields.push(StructField::new(&child.name, found, true)),
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
