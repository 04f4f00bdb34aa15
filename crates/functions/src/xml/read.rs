//! `from_xml` and `schema_of_xml`.

use std::borrow::Cow;

use arrow::array::ArrayRef;
use datafusion::error::Result as DfResult;
use firesteel_plan::{DataType, types::StructField};

use super::document::{Document, Kind, NodeId};
use crate::{
    coercion,
    datetime::text,
    errors::external,
    json::{
        options::Options,
        parse::Json,
        read::{Reader, malformed, whole_rows},
    },
    types,
    udf::Args,
};

/// How elements become values.
pub(super) struct Rules {
    prefix: String,
    value: String,
    attributes: bool,
    trim: bool,
    null: Option<String>,
}

impl Rules {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            prefix: options.get("attributePrefix").unwrap_or("_").to_owned(),
            value: options.get("valueTag").unwrap_or("_VALUE").to_owned(),
            attributes: !options.flag("excludeAttribute", false),
            trim: options.flag("ignoreSurroundingSpaces", true),
            null: options.get("nullValue").map(str::to_owned),
        }
    }

    /// The text that stands in an element itself.
    fn text<'d>(&self, document: &'d Document, element: NodeId) -> Cow<'d, str> {
        let mut parts = document.nodes[element].children.iter().filter_map(|c| match &document.nodes[*c].kind {
            Kind::Text(text) => Some(text.as_str()),
            _ => None,
        });
        let trimmed = |text: &'d str| if self.trim { text.trim() } else { text };
        match (parts.next(), parts.next()) {
            (None, _) => Cow::Borrowed(""),
            (Some(only), None) => Cow::Borrowed(trimmed(only)),
            (Some(first), Some(second)) => {
                Cow::Owned([first, second].into_iter().chain(parts).map(trimmed).collect::<String>())
            }
        }
    }

    fn elements<'d>(&self, document: &'d Document, element: NodeId) -> impl Iterator<Item = NodeId> + 'd {
        document.nodes[element].children.iter().copied().filter(|c| document.is_element(*c))
    }

    fn attributes<'d>(&self, document: &'d Document, element: NodeId) -> impl Iterator<Item = (&'d str, &'d str)> {
        let all = if self.attributes { document.nodes[element].attributes.as_slice() } else { &[] };
        all.iter().map(|a| (document.name(*a), document.value(*a).unwrap_or_default()))
    }

    fn leaf<'d>(&self, text: Cow<'d, str>, data_type: &DataType) -> Json<'d> {
        if self.null.as_deref() == Some(&text) || (text.is_empty() && !data_type.is_string()) {
            return Json::Null;
        }
        match (data_type, text) {
            (DataType::Boolean, text) if text.eq_ignore_ascii_case("true") => Json::Bool(true),
            (DataType::Boolean, text) if text.eq_ignore_ascii_case("false") => Json::Bool(false),
            (t, Cow::Borrowed(text)) if t.is_numeric() && is_number(text) => {
                Json::Number(text.strip_prefix('+').unwrap_or(text))
            }
            (_, text) => Json::Text(text),
        }
    }

    fn element<'d>(&self, document: &'d Document, element: NodeId, data_type: &DataType) -> Json<'d> {
        match data_type {
            DataType::Struct(fields) => Json::Object(
                fields.iter().map(|f| (Cow::Owned(f.name.clone()), self.field(document, element, f))).collect(),
                "",
            ),
            DataType::Map { value, .. } => {
                let attributes = self
                    .attributes(document, element)
                    .map(|(n, v)| (Cow::Owned(format!("{}{n}", self.prefix)), self.leaf(Cow::Borrowed(v), value)));
                let children = self
                    .elements(document, element)
                    .map(|c| (Cow::Borrowed(document.name(c)), self.element(document, c, value)));
                Json::Object(attributes.chain(children).collect(), "")
            }
            DataType::Array { element: inner, .. } => Json::Array(vec![self.element(document, element, inner)], ""),
            t if t.is_string() && self.elements(document, element).next().is_some() => {
                Json::Text(Cow::Owned(document.string(element)))
            }
            _ => self.leaf(self.text(document, element), data_type),
        }
    }

    fn field<'d>(&self, document: &'d Document, element: NodeId, field: &StructField) -> Json<'d> {
        if field.name == self.value {
            return self.leaf(self.text(document, element), &field.data_type);
        }
        if let Some(name) = field.name.strip_prefix(&self.prefix)
            && let Some((_, value)) = self.attributes(document, element).find(|(n, _)| *n == name)
        {
            return self.leaf(Cow::Borrowed(value), &field.data_type);
        }
        let named = self.elements(document, element).filter(|c| document.name(*c) == field.name);
        match &field.data_type {
            DataType::Array { element: inner, .. } => {
                let all: Vec<Json<'d>> = named.map(|c| self.element(document, c, inner)).collect();
                if all.is_empty() { Json::Null } else { Json::Array(all, "") }
            }
            data_type => named.last().map_or(Json::Null, |c| self.element(document, c, data_type)),
        }
    }

    fn infer(&self, document: &Document, element: NodeId) -> DataType {
        let mut fields: Vec<StructField> = Vec::new();
        let mut add = |name: String, data_type: DataType| match fields.iter_mut().find(|f| f.name == name) {
            None => fields.push(StructField::new(name, data_type, true)),
            Some(known) => {
                let old = std::mem::replace(&mut known.data_type, DataType::Null);
                let element = match old {
                    DataType::Array { element, .. } => self.common(*element, data_type),
                    single => self.common(single, data_type),
                };
                known.data_type = DataType::array(element);
            }
        };
        for (name, value) in self.attributes(document, element) {
            add(format!("{}{name}", self.prefix), primitive(value));
        }
        for child in self.elements(document, element) {
            add(document.name(child).to_owned(), self.infer(document, child));
        }
        let text = self.text(document, element);
        if fields.is_empty() {
            return primitive(&text);
        }
        if !text.is_empty() {
            fields.push(StructField::new(self.value.clone(), primitive(&text), true));
        }
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        DataType::Struct(fields)
    }

    fn common(&self, a: DataType, b: DataType) -> DataType {
        match (a, b) {
            (a, b) if a == b => a,
            (DataType::Null, other) | (other, DataType::Null) => other,
            (DataType::Long, DataType::Double) | (DataType::Double, DataType::Long) => DataType::Double,
            (DataType::Struct(a), DataType::Struct(b)) => {
                let mut fields = a;
                for field in b {
                    match fields.iter_mut().find(|f| f.name == field.name) {
                        Some(known) => known.data_type = self.common(known.data_type.clone(), field.data_type),
                        None => fields.push(field),
                    }
                }
                fields.sort_by(|a, b| a.name.cmp(&b.name));
                DataType::Struct(fields)
            }
            (DataType::Struct(fields), other) | (other, DataType::Struct(fields)) => {
                let value = DataType::Struct(vec![StructField::new(self.value.clone(), other, true)]);
                self.common(DataType::Struct(fields), value)
            }
            (DataType::Array { element: a, .. }, DataType::Array { element: b, .. }) => {
                DataType::array(self.common(*a, *b))
            }
            (DataType::Array { element, .. }, other) | (other, DataType::Array { element, .. }) => {
                DataType::array(self.common(*element, other))
            }
            (a, b) => coercion::tightest_common_type(&a, &b, true).unwrap_or(DataType::String),
        }
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
}

fn primitive(value: &str) -> DataType {
    if value.is_empty() {
        DataType::Null
    } else if value.parse::<i64>().is_ok() {
        DataType::Long
    } else if is_number(value) {
        DataType::Double
    } else if value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") {
        DataType::Boolean
    } else if value.len() == 10 && text::parse_date(value).is_some() {
        DataType::Date
    } else if value.len() > 10 && value.contains('T') && text::parse_timestamp(value).is_some_and(|t| t.date.is_some())
    {
        DataType::Timestamp
    } else {
        DataType::String
    }
}

fn outermost(document: &Document) -> NodeId {
    document.nodes[0].children.iter().copied().find(|c| document.is_element(*c)).unwrap_or(0)
}

/// `(null of the type, text, options, zone)`
pub(super) fn from_xml(args: &Args<'_>) -> DfResult<ArrayRef> {
    let texts = args.text(1)?;
    let options = Options::decode(args.parameter(2)?);
    let reader = Reader::new(&options, args.parameter(3)?).map_err(external)?;
    let rules = Rules::new(&options);
    let data_type = types::from_arrow(args.return_type).map_err(external)?;
    let present: Vec<bool> = (0..args.rows).map(|row| texts.get(row).is_some()).collect();
    let documents: Vec<Option<Document>> =
        (0..args.rows).map(|row| texts.get(row).and_then(|t| Document::parse(t).ok())).collect();
    let values: Vec<Option<Json<'_>>> =
        documents.iter().map(|d| d.as_ref().map(|d| rules.element(d, outermost(d), &data_type))).collect();
    let values: Vec<Option<&Json<'_>>> = values.iter().map(Option::as_ref).collect();
    let column = reader.build(&values, &data_type, args.return_type)?;
    if options.fails_fast() {
        let unread = (0..args.rows)
            .find(|row| present[*row] && (values[*row].is_none() || column.bad[*row] || column.partial[*row]));
        if let Some(row) = unread {
            return Err(external(malformed(texts.get(row).unwrap_or_default())));
        }
    }
    whole_rows(column, &data_type, &present)
}

/// The type of what a text holds; what was empty everywhere becomes a string.
pub(super) fn schema_of(text: &str, options: &Options) -> DataType {
    fn settled(data_type: DataType) -> DataType {
        match data_type {
            DataType::Null => DataType::String,
            DataType::Array { element, .. } => DataType::array(settled(*element)),
            DataType::Struct(fields) => DataType::Struct(
                fields.into_iter().map(|f| StructField::new(f.name, settled(f.data_type), true)).collect(),
            ),
            other => other,
        }
    }
    match Document::parse(text) {
        Ok(document) => settled(Rules::new(options).infer(&document, outermost(&document))),
        Err(_) => {
            let name = options.get("columnNameOfCorruptRecord").unwrap_or("_corrupt_record");
            DataType::Struct(vec![StructField::new(name, DataType::String, true)])
        }
    }
}
