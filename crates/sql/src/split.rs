//! A script's statements.

use firesteel_plan::Span;

use crate::{
    keyword::Keyword as K,
    lexer::{self, TokenKind},
};

/// Where each statement of `text` stands, without the semicolons between them. Semicolons in quotes and comments do not
/// separate; what has nothing but comments is left out. A compound statement (BEGIN … END) takes the rest of the text.
pub fn split_statements(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let end = statement_end(text, start);
        let piece = &text[start..end];
        let tokens = lexer::tokenize(piece);
        let first = tokens.tokens.first().map_or(TokenKind::End, |t| t.kind);
        if first == TokenKind::Keyword(K::BEGIN) && tokens.tokens.len() > 2 {
            spans.push(trimmed(text, start, text.len()));
            break;
        }
        if first != TokenKind::End || tokens.unclosed_comment.is_some() {
            spans.push(trimmed(text, start, end));
        }
        start = end + 1;
    }
    spans
}

fn trimmed(text: &str, start: usize, end: usize) -> Span {
    let piece = &text[start..end];
    let start = start + (piece.len() - piece.trim_start().len());
    Span::new(start, start + piece.trim().len())
}

/// The offset of the semicolon that ends the statement at `start`, or of the end of the text.
fn statement_end(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let mut at = start;
    while at < bytes.len() {
        match byte(at) {
            b';' => return at,
            quote @ (b'\'' | b'"' | b'`') => {
                let raw = at > start
                    && matches!(byte(at - 1), b'r' | b'R')
                    && (at < start + 2 || !(byte(at - 2).is_ascii_alphanumeric() || byte(at - 2) == b'_'));
                let escapes = quote != b'`' && !raw;
                at += 1;
                while at < bytes.len() && byte(at) != quote {
                    at += if escapes && byte(at) == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' if byte(at + 1) == b'-' => {
                while at < bytes.len() && byte(at) != b'\n' {
                    at += if byte(at) == b'\\' && byte(at + 1) == b'\n' { 2 } else { 1 };
                }
            }
            b'/' if byte(at + 1) == b'*' && byte(at + 2) != b'+' => {
                let mut depth = 1;
                at += 2;
                while at < bytes.len() && depth > 0 {
                    match (byte(at), byte(at + 1)) {
                        (b'/', b'*') if byte(at + 2) != b'+' => {
                            depth += 1;
                            at += 2;
                        }
                        (b'*', b'/') => {
                            depth -= 1;
                            at += 2;
                        }
                        _ => at += 1,
                    }
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        split_statements(text).into_iter().map(|s| &text[s.start as usize..s.end as usize]).collect()
    }

    #[test]
    fn semicolons_separate_where_they_are_code() {
        let text = "-- first; one\nSELECT ';', \"a;\", `b;` /* ; /* ; */ ; */; ;\n SELECT 'it\\'s;' ;-- end;\n";
        assert_eq!(split(text), ["-- first; one\nSELECT ';', \"a;\", `b;` /* ; /* ; */ ; */", "SELECT 'it\\'s;'"]);
        assert_eq!(split("SELECT r'\\'; SELECT 2"), ["SELECT r'\\'", "SELECT 2"]);
        assert_eq!(split("SELECT 'a;"), ["SELECT 'a;"]);
        assert_eq!(split("BEGIN SELECT 1; SELECT 2; END"), ["BEGIN SELECT 1; SELECT 2; END"]);
        assert_eq!(split("SELECT 1; /* open"), ["SELECT 1", "/* open"]);
        assert_eq!(split(" ;; "), Vec::<&str>::new());
    }
}
