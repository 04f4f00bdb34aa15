//! Text to tokens. It never fails: a character that starts no token becomes `Unrecognized`, and the parser refuses it where
//! it stands, so that statements which take the rest of their line as it is (`SET key = …`) accept anything.

use crate::keyword::Keyword;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// An unquoted word that is no keyword.
    Word,
    Keyword(Keyword),
    /// `` `name` ``
    QuotedName,
    /// `'…'` with escapes.
    String,
    /// `"…"` with escapes.
    DoubleQuoted,
    /// `r'…'` or `r"…"`
    RawString,
    /// `$tag$…$tag$`
    DollarQuoted,
    Integer,
    /// With a point, without an exponent.
    Decimal,
    Exponent,
    /// `1L`
    Long,
    /// `1S`
    Short,
    /// `1Y`
    Byte,
    /// `1F`
    Float,
    /// `1D`
    Double,
    /// `1BD`
    BigDecimal,
    Symbol(Symbol),
    Unrecognized,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symbol {
    Semicolon,
    OpenParen,
    CloseParen,
    Comma,
    Dot,
    OpenBracket,
    CloseBracket,
    Bang,
    /// `=` and `==`
    Equal,
    NullSafeEqual,
    /// `<>`
    LessGreater,
    /// `!=`
    BangEqual,
    Less,
    /// `<=` and `!>`
    LessOrEqual,
    /// Shifts to the right are runs of these without space: a type may end with several (`map<int,array<int>>`).
    Greater,
    /// `>=` and `!<`
    GreaterOrEqual,
    ShiftLeft,
    Plus,
    Minus,
    Asterisk,
    Slash,
    Percent,
    Tilde,
    Ampersand,
    Pipe,
    Concat,
    /// `|>`
    PipeOperator,
    Hat,
    Colon,
    DoubleColon,
    Arrow,
    FatArrow,
    /// `/*+`
    HintStart,
    /// `*/`
    HintEnd,
    Question,
}

impl TokenKind {
    /// Whether nothing of the statement follows.
    pub fn ends_statement(self) -> bool {
        matches!(self, Self::End | Self::Symbol(Symbol::Semicolon))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub kind: TokenKind,
    /// Byte offsets in the text.
    pub start: u32,
    pub end: u32,
    /// Of an opening parenthesis: the index of the token that closes it, or of the end where none does. Otherwise 0.
    pub closes_at: u32,
}

#[derive(Debug, Default)]
pub struct Tokens {
    /// The last one is `End`.
    pub tokens: Vec<Token>,
    /// Where a `/*` starts that nothing closes.
    pub unclosed_comment: Option<usize>,
}

/// The tokens of `text`, without white space and comments.
pub fn tokenize(text: &str) -> Tokens {
    tokenize_from(text, 0)
}

/// The tokens from the byte `start` on; their offsets are those in all of `text`.
pub fn tokenize_from(text: &str, start: usize) -> Tokens {
    let mut lexer = Lexer { text, bytes: text.as_bytes(), at: start };
    let mut out = Tokens { tokens: Vec::with_capacity((text.len() - start) / 5 + 2), unclosed_comment: None };
    let mut open = Vec::new();
    loop {
        if let Some(comment) = lexer.skip_blank() {
            out.unclosed_comment = Some(comment);
        }
        let start = lexer.at;
        let Some(kind) = lexer.next_kind() else { break };
        let index = u32::try_from(out.tokens.len()).unwrap_or(u32::MAX);
        match kind {
            TokenKind::Symbol(Symbol::OpenParen) => open.push(out.tokens.len()),
            TokenKind::Symbol(Symbol::CloseParen) => {
                if let Some(opening) = open.pop() {
                    out.tokens[opening].closes_at = index;
                }
            }
            _ => {}
        }
        out.tokens.push(token(kind, start, lexer.at));
    }
    let end = u32::try_from(out.tokens.len()).unwrap_or(u32::MAX);
    for opening in open {
        out.tokens[opening].closes_at = end;
    }
    out.tokens.push(token(TokenKind::End, text.len(), text.len()));
    out
}

fn token(kind: TokenKind, start: usize, end: usize) -> Token {
    let offset = |at| u32::try_from(at).unwrap_or(u32::MAX);
    Token { kind, start: offset(start), end: offset(end), closes_at: 0 }
}

struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn char_at(&self, at: usize) -> Option<char> {
        self.text.get(at..).and_then(|rest| rest.chars().next())
    }

    /// Skips white space and comments; answers where a comment starts that has no end.
    fn skip_blank(&mut self) -> Option<usize> {
        loop {
            match self.peek(0) {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => self.at += 1,
                b'-' if self.peek(1) == b'-' => self.skip_line_comment(),
                b'/' if self.peek(1) == b'*' && self.peek(2) != b'+' => {
                    let start = self.at;
                    if !self.skip_block_comment() {
                        return Some(start);
                    }
                }
                byte if byte >= 0x80 => match self.char_at(self.at) {
                    Some(c) if is_blank(c) => self.at += c.len_utf8(),
                    _ => return None,
                },
                _ => return None,
            }
        }
    }

    /// A comment to the end of its line; a backslash before the line's end continues it on the next line.
    fn skip_line_comment(&mut self) {
        while self.at < self.bytes.len() {
            match self.peek(0) {
                b'\\' if self.peek(1) == b'\n' => self.at += 2,
                b'\n' | b'\r' => return,
                _ => self.at += 1,
            }
        }
    }

    /// A comment in `/* */`, which may hold others. False where the text ends inside it.
    fn skip_block_comment(&mut self) -> bool {
        let mut depth = 0_usize;
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') if depth == 0 || self.peek(2) != b'+' => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    self.at += 2;
                    depth -= 1;
                    if depth == 0 {
                        return true;
                    }
                }
                _ => self.at += 1,
            }
        }
        false
    }

    fn next_kind(&mut self) -> Option<TokenKind> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let byte = self.peek(0);
        Some(match byte {
            b'\'' => self.quoted(b'\'', TokenKind::String),
            b'"' => self.quoted(b'"', TokenKind::DoubleQuoted),
            b'`' => self.backquoted(),
            b'$' => self.dollar_quoted(),
            b'r' | b'R' if matches!(self.peek(1), b'\'' | b'"') => self.raw_string(),
            b'0'..=b'9' => self.number(),
            b'.' if self.peek(1).is_ascii_digit() => self.number(),
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => self.word(),
            0x80.. => match self.char_at(self.at) {
                Some(c) if c.is_alphabetic() => self.word(),
                Some(c) => {
                    self.at += c.len_utf8();
                    TokenKind::Unrecognized
                }
                None => {
                    self.at += 1;
                    TokenKind::Unrecognized
                }
            },
            _ => self.symbol(),
        })
    }

    /// A string with backslash escapes; two quotes in a row stand for one.
    fn quoted(&mut self, quote: u8, kind: TokenKind) -> TokenKind {
        let start = self.at;
        self.at += 1;
        while self.at < self.bytes.len() {
            let byte = self.bytes[self.at];
            self.at += 1;
            if byte == b'\\' {
                self.at += 1;
            } else if byte == quote {
                if self.peek(0) != quote {
                    return kind;
                }
                self.at += 1;
            }
        }
        self.unrecognized(start)
    }

    /// The opening character alone is not understood; what follows is read on its own.
    fn unrecognized(&mut self, start: usize) -> TokenKind {
        self.at = start + 1;
        TokenKind::Unrecognized
    }

    fn backquoted(&mut self) -> TokenKind {
        let start = self.at;
        self.at += 1;
        while self.at < self.bytes.len() {
            let byte = self.bytes[self.at];
            self.at += 1;
            if byte == b'`' {
                if self.peek(0) != b'`' {
                    return TokenKind::QuotedName;
                }
                self.at += 1;
            }
        }
        self.unrecognized(start)
    }

    fn raw_string(&mut self) -> TokenKind {
        let quote = self.peek(1);
        let start = self.at;
        match self.bytes[start + 2..].iter().position(|&b| b == quote) {
            Some(length) => {
                self.at = start + 2 + length + 1;
                TokenKind::RawString
            }
            None => self.word(),
        }
    }

    fn dollar_quoted(&mut self) -> TokenKind {
        let start = self.at;
        let tag = self.bytes[start + 1..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        let body = start + tag + 2;
        if self.bytes.get(body - 1) != Some(&b'$') {
            return self.unrecognized(start);
        }
        match self.text.get(start..body).and_then(|mark| self.text[body..].find(mark)) {
            Some(length) => {
                self.at = body + length + tag + 2;
                TokenKind::DollarQuoted
            }
            None => {
                self.at = body;
                TokenKind::Unrecognized
            }
        }
    }

    /// The end of the run of letters, digits and underscores from `at`.
    fn word_end(&self, mut at: usize) -> usize {
        while let Some(&byte) = self.bytes.get(at) {
            if byte == b'_' || byte.is_ascii_alphanumeric() {
                at += 1;
            } else if byte >= 0x80 {
                match self.char_at(at) {
                    Some(c) if c.is_alphabetic() => at += c.len_utf8(),
                    _ => break,
                }
            } else {
                break;
            }
        }
        at
    }

    fn word(&mut self) -> TokenKind {
        let start = self.at;
        self.at = self.word_end(start);
        let word = &self.text[start..self.at];
        // A path such as s3://bucket/key reads as one word, so that the error can name all of it.
        if self.bytes[self.at..].starts_with(b"://") && word.bytes().all(|b| b.is_ascii_alphabetic()) {
            let rest = &self.bytes[self.at + 3..];
            let path = |b: &&u8| {
                b.is_ascii_alphanumeric() || matches!(**b, b'_' | b'/' | b'-' | b'.' | b'?' | b'=' | b'&' | b'#' | b'%')
            };
            let length = rest.iter().take_while(path).count();
            if length > 0 {
                self.at += 3 + length;
                return TokenKind::Word;
            }
        }
        Keyword::of(word).map_or(TokenKind::Word, TokenKind::Keyword)
    }

    /// The longest of a number and a word wins: `1e3` is a number, `1e3x` and `1_000` are words.
    fn number(&mut self) -> TokenKind {
        let start = self.at;
        let digits = |mut at: usize| {
            while self.bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let exponent = |at: usize| -> Option<usize> {
            if !matches!(self.bytes.get(at), Some(b'e' | b'E')) {
                return None;
            }
            let sign = usize::from(matches!(self.bytes.get(at + 1), Some(b'+' | b'-')));
            let end = digits(at + 1 + sign);
            (end > at + 1 + sign).then_some(end)
        };
        let suffix = |at: usize| -> Option<(TokenKind, usize)> {
            match (self.bytes.get(at)?.to_ascii_uppercase(), self.bytes.get(at + 1).map(u8::to_ascii_uppercase)) {
                (b'B', Some(b'D')) => Some((TokenKind::BigDecimal, at + 2)),
                (b'F', _) => Some((TokenKind::Float, at + 1)),
                (b'D', _) => Some((TokenKind::Double, at + 1)),
                _ => None,
            }
        };
        // A number with a point may not run into a letter, digit or underscore.
        let ends = |at: usize| !self.bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');

        let whole = digits(start);
        let mut found: Option<(TokenKind, usize)> = None;
        if self.bytes.get(whole) == Some(&b'.') {
            let point = digits(whole + 1);
            let powered = exponent(point);
            let value = powered.unwrap_or(point);
            let plain = if powered.is_some() { TokenKind::Exponent } else { TokenKind::Decimal };
            let candidates = [suffix(value), Some((plain, value)), Some((TokenKind::Decimal, point))];
            found = candidates.into_iter().flatten().find(|(_, end)| ends(*end));
        }
        let (kind, end) = found.unwrap_or_else(|| {
            if whole == start {
                // A point that is followed by digits which belong to a word.
                return (TokenKind::Symbol(Symbol::Dot), start + 1);
            }
            let powered = exponent(whole);
            let value = powered.unwrap_or(whole);
            let integer_suffix = match self.bytes.get(whole).map(u8::to_ascii_uppercase) {
                Some(b'L') => Some((TokenKind::Long, whole + 1)),
                Some(b'S') => Some((TokenKind::Short, whole + 1)),
                Some(b'Y') => Some((TokenKind::Byte, whole + 1)),
                _ => None,
            };
            let plain = if powered.is_some() { TokenKind::Exponent } else { TokenKind::Integer };
            let (kind, end) = integer_suffix.or_else(|| suffix(value)).unwrap_or((plain, value));
            let word = self.word_end(start);
            if word > end { (TokenKind::Word, word) } else { (kind, end) }
        });
        self.at = end;
        kind
    }

    fn symbol(&mut self) -> TokenKind {
        use Symbol as S;
        let next = self.peek(1);
        let (symbol, length) = match self.peek(0) {
            b';' => (S::Semicolon, 1),
            b'(' => (S::OpenParen, 1),
            b')' => (S::CloseParen, 1),
            b',' => (S::Comma, 1),
            b'.' => (S::Dot, 1),
            b'[' => (S::OpenBracket, 1),
            b']' => (S::CloseBracket, 1),
            b'!' => match next {
                b'=' => (S::BangEqual, 2),
                b'>' => (S::LessOrEqual, 2),
                b'<' => (S::GreaterOrEqual, 2),
                _ => (S::Bang, 1),
            },
            b'=' => match next {
                b'=' => (S::Equal, 2),
                b'>' => (S::FatArrow, 2),
                _ => (S::Equal, 1),
            },
            b'<' => match (next, self.peek(2)) {
                (b'=', b'>') => (S::NullSafeEqual, 3),
                (b'=', _) => (S::LessOrEqual, 2),
                (b'>', _) => (S::LessGreater, 2),
                (b'<', _) => (S::ShiftLeft, 2),
                _ => (S::Less, 1),
            },
            b'>' if next == b'=' => (S::GreaterOrEqual, 2),
            b'>' => (S::Greater, 1),
            b'+' => (S::Plus, 1),
            b'-' if next == b'>' => (S::Arrow, 2),
            b'-' => (S::Minus, 1),
            b'*' if next == b'/' => (S::HintEnd, 2),
            b'*' => (S::Asterisk, 1),
            b'/' if next == b'*' && self.peek(2) == b'+' => (S::HintStart, 3),
            b'/' => (S::Slash, 1),
            b'%' => (S::Percent, 1),
            b'~' => (S::Tilde, 1),
            b'&' => (S::Ampersand, 1),
            b'|' => match next {
                b'|' => (S::Concat, 2),
                b'>' => (S::PipeOperator, 2),
                _ => (S::Pipe, 1),
            },
            b'^' => (S::Hat, 1),
            b':' if next == b':' => (S::DoubleColon, 2),
            b':' => (S::Colon, 1),
            b'?' => (S::Question, 1),
            _ => {
                self.at += 1;
                return TokenKind::Unrecognized;
            }
        };
        self.at += length;
        TokenKind::Symbol(symbol)
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{2028}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(TokenKind, &str)> {
        let tokens = tokenize(text).tokens;
        tokens.iter().take(tokens.len() - 1).map(|t| (t.kind, &text[t.start as usize..t.end as usize])).collect()
    }

    #[test]
    fn numbers_and_words_take_the_longest() {
        use TokenKind::*;
        let dot = Symbol(super::Symbol::Dot);
        for (text, expected) in [
            ("1e3", vec![(Exponent, "1e3")]),
            ("1e3x", vec![(Word, "1e3x")]),
            ("1_000", vec![(Word, "1_000")]),
            ("12L", vec![(Long, "12L")]),
            ("1.5e-3", vec![(Exponent, "1.5e-3")]),
            (".5", vec![(Decimal, ".5")]),
            ("2.", vec![(Decimal, "2.")]),
            ("2.3W", vec![(Integer, "2"), (dot, "."), (Word, "3W")]),
            ("1.0BD", vec![(BigDecimal, "1.0BD")]),
            ("1bd", vec![(BigDecimal, "1bd")]),
            ("1.5f", vec![(Float, "1.5f")]),
            ("a.1b", vec![(Word, "a"), (dot, "."), (Word, "1b")]),
        ] {
            assert_eq!(kinds(text), expected, "{text}");
        }
    }

    #[test]
    fn comments_nest_and_hints_stay() {
        use TokenKind::Integer;
        assert_eq!(kinds("1 /* a /* b */ c */ 2 -- x\n3"), vec![(Integer, "1"), (Integer, "2"), (Integer, "3")]);
        assert_eq!(kinds("/*+ */").len(), 2);
        assert_eq!(tokenize("1 /* /* */").unclosed_comment, Some(2));
    }

    #[test]
    fn quotes_that_nothing_closes_are_single_characters() {
        assert_eq!(kinds("'ab")[0], (TokenKind::Unrecognized, "'"));
        assert_eq!(kinds("`ab")[0], (TokenKind::Unrecognized, "`"));
        assert_eq!(kinds("'a\\'").first(), Some(&(TokenKind::Unrecognized, "'")));
        assert_eq!(kinds("$$ab")[0], (TokenKind::Unrecognized, "$$"));
    }
}
