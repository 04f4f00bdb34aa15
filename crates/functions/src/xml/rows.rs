//! The elements of a document that are rows.

use super::document::{Document, NodeId};

/// A document's rows: the outermost elements of a name.
pub struct XmlRows<'t> {
    text: &'t str,
    document: Document,
    rows: Vec<NodeId>,
    broken: bool,
}

impl<'t> XmlRows<'t> {
    /// With `namespaces` prefixes belong to names.
    pub fn of(text: &'t str, tag: &str, namespaces: bool) -> Self {
        let (document, wrong) = Document::read(text, namespaces);
        Self { text, rows: document.outermost(tag), document, broken: wrong.is_some() }
    }

    /// Whether the document could not be read to its end.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    pub(super) fn get(&self, row: usize) -> Option<Element<'_>> {
        self.rows.get(row).map(|id| Element { document: &self.document, text: self.text, id: *id })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Element<'_>> {
        self.rows.iter().map(move |id| Element { document: &self.document, text: self.text, id: *id })
    }
}

/// An element of a document.
#[derive(Clone, Copy)]
pub(super) struct Element<'d> {
    document: &'d Document,
    text: &'d str,
    id: NodeId,
}

impl<'d> Element<'d> {
    /// The outermost element of a document.
    pub(super) fn outermost(document: &'d Document, text: &'d str) -> Self {
        let id = document.nodes[0].children.iter().copied().find(|c| document.is_element(*c)).unwrap_or(0);
        Self { document, text, id }
    }

    pub(super) fn name(self) -> &'d str {
        self.document.name(self.id)
    }

    pub(super) fn attributes(self) -> impl Iterator<Item = (&'d str, &'d str)> {
        let document = self.document;
        document.nodes[self.id]
            .attributes
            .iter()
            .map(move |a| (document.name(*a), document.value(*a).unwrap_or_default()))
    }

    /// The elements directly in it.
    pub(super) fn children(self) -> impl DoubleEndedIterator<Item = Self> {
        let elements =
            self.document.nodes[self.id].children.iter().copied().filter(move |c| self.document.is_element(*c));
        elements.map(move |id| Self { id, ..self })
    }

    /// All text that is directly in it.
    pub(super) fn own_text(self) -> &'d str {
        self.document.own_text(self.id)
    }

    /// What is between its tags, as it is written.
    pub(super) fn inner(self) -> &'d str {
        self.text.get(self.document.content(self.id)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> XmlRows<'_> {
        XmlRows::of(text, "r", true)
    }

    #[test]
    fn rows_are_found_wherever_they_are() {
        let found = rows("<x><r a='1&amp;2'>t<b>&#65;<![CDATA[<&]]></b>u</r><y><r/></y></x>");
        assert!(!found.is_broken());
        assert_eq!(found.len(), 2);
        let row = found.get(0).unwrap();
        assert_eq!(row.attributes().collect::<Vec<_>>(), [("a", "1&2")]);
        assert_eq!((row.own_text(), row.children().next().unwrap().own_text()), ("tu", "A<&"));
        assert_eq!(row.inner(), "t<b>&#65;<![CDATA[<&]]></b>u");
        for cut in ["<x><r>", "<x><r></x>", "<x><r/>", "<x>&nothing;</x>", "<x><r a=1></r></x>", "no document"] {
            assert!(rows(cut).is_broken(), "{cut}");
        }
        assert_eq!(rows("<x><r/><r><r/>").len(), 1, "a row without an end is none, nor what is in it");
        assert_eq!(rows("<r/> <r/>").len(), 2);
    }
}
