//! Rows as XML elements.

use arrow::array::{Array, ArrayRef, AsArray};
use datafusion::error::Result as DfResult;
use firesteel_plan::{DataType, types::StructField};

use crate::{
    cast::write_value,
    json::{options::Options, write::Writer},
};

const INDENT: &str = "    ";

/// Writes rows as elements, one below the other in a document.
pub struct XmlWriter {
    writer: Writer,
    root_tag: String,
    row_tag: String,
    declaration: String,
    attribute_prefix: String,
    value_tag: String,
    item_name: String,
    /// What is written for nulls; without it they are left out.
    null_value: Option<String>,
}

impl XmlWriter {
    pub fn new(options: &Options, zone: &str) -> DfResult<Self> {
        let or = |key: &str, default: &str| options.get(key).unwrap_or(default).to_owned();
        Ok(Self {
            writer: Writer::new(options, zone)?,
            root_tag: or("rootTag", "ROWS"),
            row_tag: or("rowTag", "ROW"),
            declaration: or("declaration", "version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\""),
            attribute_prefix: or("attributePrefix", "_"),
            value_tag: or("valueTag", "_VALUE"),
            item_name: or("arrayElementName", "item"),
            null_value: options.get("nullValue").map(str::to_owned),
        })
    }

    /// What comes before the rows of a document.
    pub fn head(&self, out: &mut String) {
        if !self.declaration.is_empty() {
            out.push_str(&format!("<?xml {}?>\n", self.declaration));
        }
        out.push_str(&format!("<{}>", self.root_tag));
    }

    /// What comes behind them.
    pub fn tail(&self, out: &mut String) {
        // Attributes of the root are in its tag.
        let name = self.root_tag.split_whitespace().next().unwrap_or_default();
        out.push_str(&format!("\n</{name}>"));
    }

    pub fn row(&self, out: &mut String, fields: &[StructField], columns: &[ArrayRef], row: usize) -> DfResult<()> {
        self.structure(out, &self.row_tag, fields, columns, row, 1)
    }

    fn structure(
        &self,
        out: &mut String,
        name: &str,
        fields: &[StructField],
        columns: &[ArrayRef],
        row: usize,
        depth: usize,
    ) -> DfResult<()> {
        line(out, depth);
        out.push_str(&format!("<{name}"));
        let is_attribute = |f: &StructField| f.name.starts_with(&self.attribute_prefix) && f.name != self.value_tag;
        let is_null = |f: &StructField, c: &ArrayRef| c.is_null(row) || f.data_type == DataType::Null;
        for (field, column) in fields.iter().zip(columns).filter(|(f, _)| is_attribute(f)) {
            let text = match (is_null(field, column), &self.null_value) {
                (true, None) => continue,
                (true, Some(null)) => null.clone(),
                (false, _) => self.text(column, row, &field.data_type)?,
            };
            out.push_str(&format!(" {}=\"", &field.name[self.attribute_prefix.len()..]));
            escape(out, &text);
            out.push('"');
        }
        let mut content = String::new();
        let mut is_text = false;
        for (field, column) in fields.iter().zip(columns).filter(|(f, _)| !is_attribute(f)) {
            if is_null(field, column) {
                if let Some(null) = &self.null_value {
                    self.leaf(&mut content, &field.name, null, depth + 1);
                }
                continue;
            }
            if field.name == self.value_tag {
                escape(&mut content, &self.text(column, row, &field.data_type)?);
                is_text = true;
                continue;
            }
            self.value(&mut content, &field.name, column, row, &field.data_type, depth + 1)?;
        }
        if content.is_empty() {
            out.push_str("/>");
            return Ok(());
        }
        out.push('>');
        out.push_str(&content);
        if !is_text || content.contains('<') {
            line(out, depth);
        }
        out.push_str(&format!("</{name}>"));
        Ok(())
    }

    fn value(
        &self,
        out: &mut String,
        name: &str,
        column: &ArrayRef,
        row: usize,
        data_type: &DataType,
        depth: usize,
    ) -> DfResult<()> {
        match data_type {
            DataType::Struct(fields) => self.structure(out, name, fields, column.as_struct().columns(), row, depth),
            DataType::Array { element, .. } => {
                let list = crate::arrays::list(column)?;
                for i in list.value_offsets()[row]..list.value_offsets()[row + 1] {
                    let i = i as usize;
                    if list.values().is_null(i) {
                        self.leaf(out, name, self.null_value.as_deref().unwrap_or(""), depth);
                    } else if let DataType::Array { .. } = **element {
                        // An array in an array is an element with items.
                        line(out, depth);
                        out.push_str(&format!("<{name}>"));
                        self.value(out, &self.item_name, list.values(), i, element, depth + 1)?;
                        line(out, depth);
                        out.push_str(&format!("</{name}>"));
                    } else {
                        self.value(out, name, list.values(), i, element, depth)?;
                    }
                }
                Ok(())
            }
            DataType::Map { key, value, .. } => {
                let map = column.as_map();
                line(out, depth);
                out.push_str(&format!("<{name}>"));
                for i in map.value_offsets()[row]..map.value_offsets()[row + 1] {
                    let i = i as usize;
                    let key = self.text(map.keys(), i, key)?;
                    if map.values().is_null(i) {
                        self.leaf(out, &key, self.null_value.as_deref().unwrap_or(""), depth + 1);
                    } else {
                        self.value(out, &key, map.values(), i, value, depth + 1)?;
                    }
                }
                line(out, depth);
                out.push_str(&format!("</{name}>"));
                Ok(())
            }
            other => {
                let text = self.text(column, row, other)?;
                self.leaf(out, name, &text, depth);
                Ok(())
            }
        }
    }

    fn leaf(&self, out: &mut String, name: &str, text: &str, depth: usize) {
        line(out, depth);
        if text.is_empty() {
            out.push_str(&format!("<{name}/>"));
            return;
        }
        out.push_str(&format!("<{name}>"));
        escape(out, text);
        out.push_str(&format!("</{name}>"));
    }

    fn text(&self, column: &ArrayRef, row: usize, data_type: &DataType) -> DfResult<String> {
        let mut text = String::new();
        if !self.writer.write_time(&mut text, column, row, data_type)? {
            write_value(&self.writer.env, &mut text, column, row, data_type)?;
        }
        Ok(text)
    }
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str(INDENT);
    }
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#xd;"),
            c => out.push(c),
        }
    }
}
