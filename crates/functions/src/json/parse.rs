//! JSON texts, read as leniently as Spark does by default: single quotes and numbers that are none (NaN, INF) are taken.

use std::borrow::Cow;

/// How deep values may be inside of each other.
const MAX_DEPTH: usize = 512;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    /// As it is written.
    Number(&'a str),
    Text(Cow<'a, str>),
    /// The values, and the whole as it is written.
    Array(Vec<Json<'a>>, &'a str),
    /// Fields in their order, and the whole as it is written.
    Object(Vec<(Cow<'a, str>, Json<'a>)>, &'a str),
}

/// What else is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lenience {
    pub single_quotes: bool,
    pub not_numbers: bool,
    pub leading_zeros: bool,
    pub unquoted_names: bool,
    pub comments: bool,
    pub backslash_any: bool,
    pub control_characters: bool,
}

impl Default for Lenience {
    fn default() -> Self {
        Self {
            single_quotes: true,
            not_numbers: true,
            leading_zeros: false,
            unquoted_names: false,
            comments: false,
            backslash_any: false,
            control_characters: false,
        }
    }
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
    lenience: Lenience,
}

/// The first value of the text; what is behind it is not looked at. Nothing when it is no JSON.
pub(crate) fn parse_prefix(text: &str, lenience: Lenience) -> Option<Json<'_>> {
    let mut cursor = Cursor { text, at: 0, lenience };
    cursor.blanks();
    cursor.value(0)
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn blanks(&mut self) {
        loop {
            while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
                self.at += 1;
            }
            let rest = &self.text[self.at..];
            let comment = match rest {
                _ if !self.lenience.comments => None,
                r if r.starts_with("//") => Some(r.find('\n').unwrap_or(r.len())),
                r if r.starts_with("/*") => r.find("*/").map(|i| i + 2),
                _ => None,
            };
            match comment {
                Some(length) => self.at += length,
                None => return,
            }
        }
    }

    fn value(&mut self, depth: usize) -> Option<Json<'a>> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.peek()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string(b'"').map(Json::Text),
            b'\'' if self.lenience.single_quotes => self.string(b'\'').map(Json::Text),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json<'a>> {
        let start = self.at;
        self.at += 1;
        let mut fields = Vec::new();
        self.blanks();
        if self.eat(b'}') {
            return Some(Json::Object(fields, &self.text[start..self.at]));
        }
        loop {
            self.blanks();
            let name = match self.peek()? {
                b'"' => self.string(b'"')?,
                b'\'' if self.lenience.single_quotes => self.string(b'\'')?,
                _ if self.lenience.unquoted_names => {
                    let rest = &self.text[self.at..];
                    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$')?;
                    if end == 0 {
                        return None;
                    }
                    self.at += end;
                    Cow::Borrowed(&rest[..end])
                }
                _ => return None,
            };
            self.blanks();
            if !self.eat(b':') {
                return None;
            }
            self.blanks();
            let value = self.value(depth + 1)?;
            fields.push((name, value));
            self.blanks();
            if self.eat(b'}') {
                return Some(Json::Object(fields, &self.text[start..self.at]));
            }
            if !self.eat(b',') {
                return None;
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Json<'a>> {
        let start = self.at;
        self.at += 1;
        let mut values = Vec::new();
        self.blanks();
        if self.eat(b']') {
            return Some(Json::Array(values, &self.text[start..self.at]));
        }
        loop {
            self.blanks();
            values.push(self.value(depth + 1)?);
            self.blanks();
            if self.eat(b']') {
                return Some(Json::Array(values, &self.text[start..self.at]));
            }
            if !self.eat(b',') {
                return None;
            }
        }
    }

    fn string(&mut self, quote: u8) -> Option<Cow<'a, str>> {
        self.at += 1;
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut plain = start;
        let mut owned: Option<String> = None;
        loop {
            let byte = *bytes.get(self.at)?;
            if byte == quote {
                let last = &self.text[plain..self.at];
                self.at += 1;
                return Some(match owned {
                    None => Cow::Borrowed(last),
                    Some(mut text) => {
                        text.push_str(last);
                        Cow::Owned(text)
                    }
                });
            }
            if byte < 0x20 && !self.lenience.control_characters {
                return None;
            }
            if byte != b'\\' {
                self.at += 1;
                continue;
            }
            let text = owned.get_or_insert_default();
            text.push_str(&self.text[plain..self.at]);
            self.at += 1;
            let escaped = self.text[self.at..].chars().next()?;
            self.at += escaped.len_utf8();
            match escaped {
                '"' | '\\' | '/' => text.push(escaped),
                '\'' if self.lenience.single_quotes => text.push('\''),
                'b' => text.push('\u{8}'),
                'f' => text.push('\u{c}'),
                'n' => text.push('\n'),
                'r' => text.push('\r'),
                't' => text.push('\t'),
                'u' => {
                    let unit = hex(self.text, self.at)?;
                    self.at += 4;
                    let pair = (0xd800..0xdc00).contains(&unit) && self.text.get(self.at..self.at + 2) == Some("\\u");
                    let low = if pair { hex(self.text, self.at + 2) } else { None };
                    match low.filter(|l| (0xdc00..0xe000).contains(l)) {
                        Some(low) => {
                            self.at += 6;
                            text.extend(char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)));
                        }
                        // Half of a pair is no character: Java writes `?` for it.
                        None => text.push(char::from_u32(unit).unwrap_or('?')),
                    }
                }
                other if self.lenience.backslash_any => text.push(other),
                _ => return None,
            }
            plain = self.at;
        }
    }

    fn word(&mut self) -> Option<Json<'a>> {
        let rest = &self.text[self.at..];
        let end =
            rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.')).unwrap_or(rest.len());
        let word = &rest[..end];
        self.at += end;
        match word {
            "null" => Some(Json::Null),
            "true" => Some(Json::Bool(true)),
            "false" => Some(Json::Bool(false)),
            "NaN" | "INF" | "+INF" | "-INF" | "Infinity" | "+Infinity" | "-Infinity" if self.lenience.not_numbers => {
                Some(Json::Number(word))
            }
            _ => self.number(word),
        }
    }

    fn number(&self, word: &'a str) -> Option<Json<'a>> {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let unsigned = word.strip_prefix('-').unwrap_or(word);
        let whole = digits(unsigned);
        if whole == 0 || (whole > 1 && unsigned.starts_with('0') && !self.lenience.leading_zeros) {
            return None;
        }
        let mut rest = &unsigned[whole..];
        if let Some(fraction) = rest.strip_prefix('.') {
            let n = digits(fraction);
            if n == 0 {
                return None;
            }
            rest = &fraction[n..];
        }
        if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
            let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            let n = digits(exponent);
            if n == 0 {
                return None;
            }
            rest = &exponent[n..];
        }
        rest.is_empty().then_some(Json::Number(word))
    }
}

fn hex(text: &str, at: usize) -> Option<u32> {
    let digits = text.get(at..at + 4)?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_spark_reads() {
        let read = |t| parse_prefix(t, Lenience::default());
        assert_eq!(
            read("[1, -2.5e3]"),
            Some(Json::Array(vec![Json::Number("1"), Json::Number("-2.5e3")], "[1, -2.5e3]"))
        );
        assert_eq!(read("'a\\u00e9'"), Some(Json::Text("aé".into())));
        assert_eq!(read("{\"a\":1,}"), None);
        assert_eq!(read("01"), None);
        assert_eq!(read("[1,2"), None);
        assert_eq!(read("{[1]}"), None);
    }
}
