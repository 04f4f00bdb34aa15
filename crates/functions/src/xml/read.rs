//! `from_xml` and `schema_of_xml`.

use arrow::array::ArrayRef;
use datafusion::error::Result as DfResult;
use firesteel_plan::{DataType, SparkResult};

use super::{document::Document, infer::XmlInference, records::Values, rows::Element};
use crate::{
    errors::external,
    json::{
        options::Options,
        parse::Json,
        read::{Reader, malformed, whole_rows},
    },
    types,
    udf::Args,
};

/// `(null of the type, text, options, zone)`
pub(super) fn from_xml(args: &Args<'_>) -> DfResult<ArrayRef> {
    let texts = args.text(1)?;
    let options = Options::decode(args.parameter(2)?);
    let reader = Reader::new(&options, args.parameter(3)?).map_err(external)?;
    let elements = Values::new(&options);
    let data_type = types::from_arrow(args.return_type).map_err(external)?;
    let present: Vec<bool> = (0..args.rows).map(|row| texts.get(row).is_some()).collect();
    let documents: Vec<Option<(Document, &str)>> =
        (0..args.rows).map(|row| texts.get(row).and_then(|t| Some((Document::parse(t).ok()?, t)))).collect();
    let values: Vec<Option<Json<'_>>> = documents
        .iter()
        .map(|read| {
            let (document, text) = read.as_ref()?;
            Some(elements.value(Element::outermost(document, text), &data_type))
        })
        .collect();
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
pub(super) fn schema_of(text: &str, options: &Options, zone: &str) -> SparkResult<DataType> {
    let inference = XmlInference::new(options, zone)?;
    Ok(match Document::parse(text) {
        Ok(document) => inference.of_one(Element::outermost(&document, text)),
        Err(_) => inference.corrupt(),
    })
}
