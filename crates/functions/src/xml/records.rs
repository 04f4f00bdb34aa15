//! Elements as columns.

use std::borrow::Cow;

use arrow::array::RecordBatch;
use datafusion::error::Result as DfResult;
use firesteel_plan::{DataType, SparkResult, types::StructField};

use super::rows::{Element, XmlRows};
use crate::json::{
    csv::{Specials, as_json},
    options::Options,
    parse::Json,
    read::Reader,
    wanted::Wanted,
};

/// How elements are named as columns, and what their texts mean.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    attribute_prefix: String,
    pub value_tag: String,
    excludes_attributes: bool,
    trims: bool,
    null_value: Option<String>,
}

impl Shape {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            attribute_prefix: options.get("attributePrefix").unwrap_or("_").to_owned(),
            value_tag: options.get("valueTag").unwrap_or("_VALUE").to_owned(),
            excludes_attributes: options.flag("excludeAttribute", false),
            trims: options.flag("ignoreSurroundingSpaces", true),
            null_value: options.get("nullValue").map(str::to_owned),
        }
    }

    pub(super) fn trimmed<'a>(&self, text: &'a str) -> &'a str {
        if self.trims { text.trim() } else { text }
    }

    pub(super) fn is_null(&self, text: &str) -> bool {
        self.null_value.as_deref() == Some(text)
    }

    /// The columns and values that an element's attributes are.
    pub(super) fn attributes<'d>(&self, element: Element<'d>) -> impl Iterator<Item = (String, &'d str)> {
        let own = (!self.excludes_attributes).then(|| element.attributes());
        own.into_iter().flatten().map(move |(name, value)| (format!("{}{name}", self.attribute_prefix), value))
    }
}

/// What elements are as values of the types that are wanted.
pub(super) struct Values {
    specials: Specials,
    shape: Shape,
}

impl Values {
    pub(super) fn new(options: &Options) -> Self {
        Self { specials: Specials::new(options), shape: Shape::new(options) }
    }

    fn object<'a>(&self, element: Element<'a>, fields: &[StructField]) -> Json<'a> {
        let mut out = Vec::with_capacity(fields.len());
        for field in fields {
            if let Some((_, value)) = self.shape.attributes(element).find(|(name, _)| *name == field.name) {
                out.push((field.name.clone().into(), self.leaf(value, &field.data_type)));
                continue;
            }
            if field.name == self.shape.value_tag {
                let text = self.shape.trimmed(element.own_text());
                if !text.is_empty() {
                    out.push((field.name.clone().into(), self.leaf(text, &field.data_type)));
                }
                continue;
            }
            let mut children = element.children().filter(|c| c.name() == field.name);
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

    pub(super) fn value<'a>(&self, element: Element<'a>, data_type: &DataType) -> Json<'a> {
        match data_type {
            DataType::Struct(fields) => self.object(element, fields),
            DataType::Map { value, .. } => {
                let attributes = self.shape.attributes(element).map(|(name, v)| (name.into(), self.leaf(v, value)));
                let children = element.children().map(|c| (c.name().into(), self.value(c, value)));
                Json::Object(attributes.chain(children).collect(), "")
            }
            DataType::Array { element: item, .. } => Json::Array(vec![self.value(element, item)], ""),
            // Elements that are wanted as a string are one, tags and all.
            t if t.is_string() && element.children().next().is_some() => Json::Text(element.inner().into()),
            t => {
                let text = self.shape.trimmed(element.own_text());
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

/// Reads rows' elements into the columns that are wanted of them.
pub struct XmlRecords {
    wanted: Wanted,
    reader: Reader,
    values: Values,
}

impl XmlRecords {
    pub fn new(options: &Options, zone: &str, wanted: &[StructField]) -> SparkResult<Self> {
        Ok(Self {
            wanted: Wanted::new(options, wanted)?,
            reader: Reader::exact(options, zone)?,
            values: Values::new(options),
        })
    }

    /// One row an element. That the document could not be read on is one more record.
    pub fn read(&self, rows: &XmlRows<'_>) -> DfResult<RecordBatch> {
        let data = &self.wanted.data;
        let mut objects: Vec<Option<Json<'_>>> = rows.iter().map(|row| Some(self.values.object(row, data))).collect();
        if rows.is_broken() {
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
        if rows.is_broken()
            && let Some(last) = column.partial.last_mut()
        {
            *last = true;
        }
        self.wanted.batch_of_rows(&column, |row| column.partial[row].then_some(rows.text()))
    }

    /// The values of a row before the first that cannot be read, in the document's order.
    fn until_bad<'a>(
        &self,
        fields: &[(Cow<'a, str>, Json<'a>)],
        element: Element<'_>,
    ) -> DfResult<Vec<(Cow<'a, str>, Json<'a>)>> {
        let shape = &self.values.shape;
        let mut order: Vec<String> = shape.attributes(element).map(|(name, _)| name).collect();
        order.extend(element.children().map(|c| c.name().to_owned()));
        order.push(shape.value_tag.clone());
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
}
