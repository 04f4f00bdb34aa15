//! A document as a tree of nodes in one list, in the document's order.

use std::ops::Range;

use quick_xml::{
    Reader, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesStart, Event},
};

/// How deep elements may be inside of each other.
const MAX_DEPTH: usize = 512;

pub(super) type NodeId = usize;

const ROOT: NodeId = 0;

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
    /// Where an element's contents stand in the document.
    content: Range<usize>,
    /// The text of an element that has it in several pieces.
    joined: Option<Box<str>>,
}

/// Its first node is the root above the outermost element.
#[derive(Debug)]
pub(super) struct Document {
    pub nodes: Vec<Node>,
    /// The root, and elements within each other that have no end yet.
    open: Vec<NodeId>,
    /// Whether prefixes belong to names.
    prefixes: bool,
}

impl Document {
    /// A text that is one element, or what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (document, wrong) = Self::read(text, true);
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        let outermost = &document.nodes[ROOT].children;
        if outermost.iter().any(|c| matches!(document.nodes[*c].kind, Kind::Text(_))) {
            return Err("Content is not allowed in prolog.".to_owned());
        }
        match outermost.iter().filter(|c| document.is_element(**c)).count() {
            1 => Ok(document),
            0 => Err("Premature end of file.".to_owned()),
            _ => Err("The markup in the document following the root element must be well-formed.".to_owned()),
        }
    }

    /// As much of a text as can be read, and what is wrong behind it.
    pub(super) fn read(text: &str, prefixes: bool) -> (Self, Option<String>) {
        let mut document = Self { nodes: Vec::new(), open: vec![ROOT], prefixes };
        document.push(Kind::Root, ROOT);
        let wrong = document.fill(text).err();
        document.close(ROOT, text.len());
        (document, wrong)
    }

    fn fill(&mut self, text: &str) -> Result<(), String> {
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let mut reader = Reader::from_str(text);
        let mut pending = String::new();
        loop {
            let before = place(reader.buffer_position());
            let event = reader.read_event().map_err(|e| e.to_string())?;
            let after = place(reader.buffer_position());
            match event {
                Event::Text(part) => {
                    pending.push_str(&part.xml_content(XmlVersion::Explicit1_0).map_err(|e| e.to_string())?);
                }
                Event::CData(part) => {
                    pending.push_str(&part.xml_content(XmlVersion::Explicit1_0).map_err(|e| e.to_string())?);
                }
                Event::GeneralRef(entity) => {
                    let name = entity.decode().map_err(|e| e.to_string())?;
                    match entity.resolve_char_ref().map_err(|e| e.to_string())? {
                        Some(c) => pending.push(c),
                        None => match resolve_predefined_entity(&name) {
                            Some(text) => pending.push_str(text),
                            None => return Err(format!("The entity \"{name}\" was referenced, but not declared.")),
                        },
                    }
                }
                other => {
                    self.text(&mut pending);
                    match other {
                        Event::Start(start) => {
                            self.start(&start, after)?;
                            if self.open.len() > MAX_DEPTH + 1 {
                                return Err("the elements are too deep inside of each other".to_owned());
                            }
                        }
                        Event::Empty(start) => {
                            self.start(&start, after)?;
                            self.end(after);
                        }
                        Event::End(_) => self.end(before),
                        Event::Comment(comment) => {
                            let comment = comment.decode().map_err(|e| e.to_string())?.into_owned();
                            self.push(Kind::Comment(comment), self.here());
                        }
                        Event::Eof if self.open.len() > 1 => {
                            return Err("XML document structures must start and end within the same entity.".to_owned());
                        }
                        Event::Eof => {
                            let is_blank = text.trim().is_empty();
                            let has_element = (0..self.nodes.len()).any(|id| self.is_element(id));
                            return if is_blank || has_element {
                                Ok(())
                            } else {
                                Err("Content is not allowed in prolog.".to_owned())
                            };
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn here(&self) -> NodeId {
        self.open.last().copied().unwrap_or(ROOT)
    }

    fn push(&mut self, kind: Kind, parent: NodeId) -> NodeId {
        let id = self.nodes.len();
        let attribute = matches!(kind, Kind::Attribute(..));
        self.nodes.push(Node {
            kind,
            parent,
            end: id + 1,
            attributes: Vec::new(),
            children: Vec::new(),
            content: 0..0,
            joined: None,
        });
        if id != ROOT {
            let siblings = &mut self.nodes[parent];
            if attribute { siblings.attributes.push(id) } else { siblings.children.push(id) }
        }
        id
    }

    fn counted(&self, bytes: &[u8]) -> Result<String, String> {
        let name = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
        Ok(if self.prefixes { name } else { name.rsplit_once(':').map_or(name, |(_, local)| local) }.to_owned())
    }

    fn start(&mut self, start: &BytesStart<'_>, content: usize) -> Result<(), String> {
        let name = self.counted(start.name().as_ref())?;
        let element = self.push(Kind::Element(name), self.here());
        self.nodes[element].content.start = content;
        // It is open until all of it was good.
        self.open.push(element);
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|e| e.to_string())?;
            let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|e| e.to_string())?.into_owned();
            let name = self.counted(attribute.key.as_ref())?;
            self.push(Kind::Attribute(name, value), element);
        }
        Ok(())
    }

    fn end(&mut self, content: usize) {
        if self.open.len() > 1
            && let Some(element) = self.open.pop()
        {
            self.close(element, content);
        }
    }

    fn close(&mut self, id: NodeId, content: usize) {
        let joined = (self.texts(id).nth(1).is_some()).then(|| self.texts(id).collect::<String>().into_boxed_str());
        let end = self.nodes.len();
        let node = &mut self.nodes[id];
        (node.end, node.content.end, node.joined) = (end, content, joined);
    }

    /// Ends a stretch of text. Blanks outside of all elements are none.
    fn text(&mut self, pending: &mut String) {
        let (text, here) = (std::mem::take(pending), self.here());
        if !text.is_empty() && (here != ROOT || !text.trim().is_empty()) {
            self.push(Kind::Text(text), here);
        }
    }

    pub(super) fn is_element(&self, id: NodeId) -> bool {
        matches!(self.nodes[id].kind, Kind::Element(_))
    }

    /// The outermost elements of a name, as far as they have an end.
    pub(super) fn outermost(&self, name: &str) -> Vec<NodeId> {
        let mut found = Vec::new();
        let mut id = ROOT;
        while let Some(node) = self.nodes.get(id) {
            match &node.kind {
                Kind::Element(own) if own == name => {
                    // All that follows is in it.
                    if self.open.contains(&id) {
                        break;
                    }
                    found.push(id);
                    id = node.end;
                }
                _ => id += 1,
            }
        }
        found
    }

    fn texts(&self, element: NodeId) -> impl Iterator<Item = &str> {
        self.nodes[element].children.iter().filter_map(move |c| match &self.nodes[*c].kind {
            Kind::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The text that is directly in an element.
    pub(super) fn own_text(&self, element: NodeId) -> &str {
        match &self.nodes[element].joined {
            Some(joined) => joined,
            None => self.texts(element).next().unwrap_or_default(),
        }
    }

    /// Where the contents of an element stand in the document.
    pub(super) fn content(&self, element: NodeId) -> Range<usize> {
        self.nodes[element].content.clone()
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
