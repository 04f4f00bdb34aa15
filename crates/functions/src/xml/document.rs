//! A document as a tree of nodes in one list, in the document's order.

use std::ops::Range;

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

/// How deep elements may be inside of each other.
const MAX_DEPTH: usize = 1000;

pub(super) type NodeId = usize;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Root,
    Element(String),
    Attribute(String, String),
    Text(String),
    Comment(String),
}

#[derive(Debug)]
pub(super) struct Node {
    pub kind: Kind,
    pub parent: NodeId,
    /// Everything inside of it follows up to here.
    pub end: NodeId,
    pub attributes: Vec<NodeId>,
    pub children: Vec<NodeId>,
}

/// Its first node is the root above the outermost element.
#[derive(Debug)]
pub(super) struct Document {
    pub nodes: Vec<Node>,
}

impl Document {
    /// What is wrong with the text, if anything.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader::from_str(text);
        let mut document = Self { nodes: Vec::new() };
        document.push(Kind::Root, 0);
        let mut open: Vec<NodeId> = vec![0];
        let mut pending = String::new();
        loop {
            let event = reader.read_event().map_err(|e| e.to_string())?;
            let here = open.last().copied().unwrap_or(0);
            match event {
                Event::Text(part) => pending.push_str(&part.decode().map_err(|e| e.to_string())?),
                Event::CData(part) => pending.push_str(&part.decode().map_err(|e| e.to_string())?),
                Event::GeneralRef(entity) => {
                    let name = entity.decode().map_err(|e| e.to_string())?;
                    match entity.resolve_char_ref().map_err(|e| e.to_string())? {
                        Some(c) => pending.push(c),
                        None => match quick_xml::escape::resolve_predefined_entity(&name) {
                            Some(text) => pending.push_str(text),
                            None => return Err(format!("The entity \"{name}\" was referenced, but not declared.")),
                        },
                    }
                }
                other => {
                    document.text(&mut pending, here)?;
                    match other {
                        Event::Start(start) => {
                            let element = document.element(&start, here)?;
                            open.push(element);
                            if open.len() > MAX_DEPTH {
                                return Err("the elements are too deep inside of each other".to_owned());
                            }
                        }
                        Event::Empty(start) => {
                            let element = document.element(&start, here)?;
                            document.close(element);
                        }
                        Event::End(_) => {
                            open.pop();
                            document.close(here);
                        }
                        Event::Comment(comment) => {
                            let comment = comment.decode().map_err(|e| e.to_string())?.into_owned();
                            document.push(Kind::Comment(comment), here);
                        }
                        Event::Eof => break,
                        _ => {}
                    }
                }
            }
        }
        if open.len() != 1 {
            return Err("XML document structures must start and end within the same entity.".to_owned());
        }
        document.close(0);
        let elements = document.nodes[0].children.iter().filter(|c| document.is_element(**c)).count();
        match elements {
            1 => Ok(document),
            0 => Err("Premature end of file.".to_owned()),
            _ => Err("The markup in the document following the root element must be well-formed.".to_owned()),
        }
    }

    fn push(&mut self, kind: Kind, parent: NodeId) -> NodeId {
        let id = self.nodes.len();
        let attribute = matches!(kind, Kind::Attribute(..));
        self.nodes.push(Node { kind, parent, end: id + 1, attributes: Vec::new(), children: Vec::new() });
        if id > 0 {
            let siblings = &mut self.nodes[parent];
            if attribute { siblings.attributes.push(id) } else { siblings.children.push(id) }
        }
        id
    }

    fn close(&mut self, id: NodeId) {
        self.nodes[id].end = self.nodes.len();
    }

    fn element(&mut self, start: &BytesStart<'_>, parent: NodeId) -> Result<NodeId, String> {
        let name = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|e| e.to_string());
        let element = self.push(Kind::Element(name(start.name().as_ref())?), parent);
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|e| e.to_string())?;
            let raw = name(&attribute.value)?;
            let value = quick_xml::escape::unescape(&raw).map_err(|e| e.to_string())?.into_owned();
            self.push(Kind::Attribute(name(attribute.key.as_ref())?, value), element);
        }
        Ok(element)
    }

    /// Ends a stretch of text.
    fn text(&mut self, pending: &mut String, parent: NodeId) -> Result<(), String> {
        let text = std::mem::take(pending);
        if parent == 0 {
            // Outside of the outermost element only blanks may stand.
            return if text.trim().is_empty() { Ok(()) } else { Err("Content is not allowed in prolog.".to_owned()) };
        }
        if !text.is_empty() {
            self.push(Kind::Text(text), parent);
        }
        Ok(())
    }

    pub(super) fn is_element(&self, id: NodeId) -> bool {
        matches!(self.nodes[id].kind, Kind::Element(_))
    }

    /// All nodes inside of one, itself first.
    pub(super) fn with_inside(&self, id: NodeId) -> Range<NodeId> {
        id..self.nodes[id].end
    }

    /// The text of a node and of everything in it.
    pub(super) fn string(&self, id: NodeId) -> String {
        match &self.nodes[id].kind {
            Kind::Text(text) | Kind::Attribute(_, text) | Kind::Comment(text) => text.clone(),
            Kind::Root | Kind::Element(_) => self
                .with_inside(id)
                .filter_map(|i| match &self.nodes[i].kind {
                    Kind::Text(text) => Some(text.as_str()),
                    _ => None,
                })
                .collect(),
        }
    }

    /// The value of a node by itself: an element has none.
    pub(super) fn value(&self, id: NodeId) -> Option<&str> {
        match &self.nodes[id].kind {
            Kind::Text(text) | Kind::Attribute(_, text) | Kind::Comment(text) => Some(text),
            Kind::Root | Kind::Element(_) => None,
        }
    }

    pub(super) fn name(&self, id: NodeId) -> &str {
        match &self.nodes[id].kind {
            Kind::Element(name) | Kind::Attribute(name, _) => name,
            _ => "",
        }
    }
}
