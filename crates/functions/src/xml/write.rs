//! `to_xml`.

use arrow::array::{Array, ArrayRef, AsArray};
use datafusion::error::Result as DfResult;
use firesteel_plan::{DataType, SparkError};

use crate::{
    cast::{convert_list, write_value},
    errors::external,
    json::{options::Options, write::Writer},
    text::base64,
    types,
    udf::{Args, Bytes, strings},
};

struct Rules {
    row: String,
    indent: String,
    prefix: String,
    value: String,
    item: String,
    null: Option<String>,
    writer: Writer,
}

/// What becomes of a value: attributes and what stands inside of its element.
#[derive(Default)]
struct Body {
    attributes: String,
    text: String,
    children: String,
}

/// `(value, options, zone)`
pub(super) fn to_xml(args: &Args<'_>) -> DfResult<ArrayRef> {
    let values = args.array(0)?;
    let options = Options::decode(args.parameter(1)?);
    let text = |key: &str, default: &str| options.get(key).unwrap_or(default).to_owned();
    let rules = Rules {
        row: text("rowTag", "ROW"),
        indent: text("indent", "    "),
        prefix: text("attributePrefix", "_"),
        value: text("valueTag", "_VALUE"),
        item: text("arrayElementName", "item"),
        null: options.get("nullValue").map(str::to_owned),
        writer: Writer::new(&options, args.parameter(2)?)?,
    };
    let data_type = types::from_arrow(values.data_type()).map_err(external)?;
    strings(args, args.rows * 32, |row, out| {
        if values.is_null(row) {
            return Ok(false);
        }
        let body = rules.body(&values, row, &data_type, 0)?;
        rules.element(out, &rules.row, body, 0)?;
        Ok(true)
    })
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || matches!(c, '_' | ':'))
        && chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '-' | '.'))
}

impl Rules {
    fn line(&self, out: &mut String, depth: usize) {
        if !self.indent.is_empty() {
            out.push('\n');
            (0..depth).for_each(|_| out.push_str(&self.indent));
        }
    }

    fn element(&self, out: &mut String, name: &str, body: Body, depth: usize) -> DfResult<()> {
        if !is_name(name) {
            let message = format!("Illegal element name '{name}'.");
            return Err(external(SparkError::new("ILLEGAL_XML_NAME", "22023", message)));
        }
        out.push('<');
        out.push_str(name);
        out.push_str(&body.attributes);
        if body.text.is_empty() && body.children.is_empty() {
            out.push_str("/>");
            return Ok(());
        }
        out.push('>');
        out.push_str(&body.text);
        if !body.children.is_empty() {
            out.push_str(&body.children);
            self.line(out, depth);
        }
        out.push_str("</");
        out.push_str(name);
        out.push('>');
        Ok(())
    }

    fn leaf(&self, values: &ArrayRef, row: usize, data_type: &DataType) -> DfResult<String> {
        let mut plain = String::new();
        if *data_type == DataType::Binary {
            if let Some(bytes) = Bytes::new(values, false)?.get(row) {
                base64(bytes, &mut plain);
            }
        } else if !self.writer.write_time(&mut plain, values, row, data_type)? {
            write_value(&self.writer.env, &mut plain, values, row, data_type)?;
        }
        let mut out = String::new();
        escape(&mut out, &plain);
        Ok(out)
    }

    fn body(&self, values: &ArrayRef, row: usize, data_type: &DataType, depth: usize) -> DfResult<Body> {
        let mut body = Body::default();
        match data_type {
            DataType::Struct(fields) => {
                let columns = values.as_struct();
                for (column, field) in columns.columns().iter().zip(fields) {
                    self.child(&mut body, &field.name, column, row, &field.data_type, depth)?;
                }
            }
            DataType::Map { value, .. } => {
                let entries = values.as_map().value(row);
                let keys = crate::udf::Text::new(entries.column(0), false)?;
                for i in 0..entries.len() {
                    self.child(&mut body, keys.get(i).unwrap_or_default(), entries.column(1), i, value, depth)?;
                }
            }
            DataType::Array { element, .. } => {
                let items = convert_list(values)?.value(row);
                for i in 0..items.len() {
                    self.child(&mut body, &self.item, &items, i, element, depth)?;
                }
            }
            _ => body.text = self.leaf(values, row, data_type)?,
        }
        Ok(body)
    }

    fn child(
        &self,
        body: &mut Body,
        name: &str,
        values: &ArrayRef,
        row: usize,
        data_type: &DataType,
        depth: usize,
    ) -> DfResult<()> {
        let simple = !matches!(data_type, DataType::Struct(_) | DataType::Map { .. } | DataType::Array { .. });
        let is_null = *data_type == DataType::Null || values.is_null(row);
        let text = match (&self.null, is_null) {
            (None, true) => return Ok(()),
            (Some(null), true) => Some(null.clone()),
            _ if simple => Some(self.leaf(values, row, data_type)?),
            _ => None,
        };
        if let Some(text) = &text {
            if name == self.value {
                body.text.push_str(text);
                return Ok(());
            }
            if let Some(attribute) = name.strip_prefix(&self.prefix).filter(|a| !a.is_empty() && simple) {
                body.attributes.push_str(&format!(" {attribute}=\"{text}\""));
                return Ok(());
            }
        }
        // The elements of an array stand one behind the other under its name.
        if let (DataType::Array { element, .. }, None) = (data_type, &text) {
            let items = convert_list(values)?.value(row);
            for i in 0..items.len() {
                self.child(body, name, &items, i, element, depth)?;
            }
            return Ok(());
        }
        let inner = match text {
            Some(text) => Body { text, ..Body::default() },
            None => self.body(values, row, data_type, depth + 1)?,
        };
        self.line(&mut body.children, depth + 1);
        self.element(&mut body.children, name, inner, depth + 1)
    }
}
