//! Text in pieces that mutations move about. Not the lexer that is tested: what that takes apart wrongly, this must not.

/// Symbols of several characters, the longest first.
const SYMBOLS: [&str; 21] = [
    "<=>", ">>>", "/*+", "<=", ">=", "<>", "!=", "==", "||", "|>", "::", "->", "=>", "<<", ">>", "$$", "--", "/*",
    "*/", "??", "?.",
];

/// Words, numbers, quoted texts and symbols, in their order, without the space between.
pub fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        // A comment would swallow all that is behind it on the one line that comes of the tokens.
        if rest.starts_with("--") {
            rest = rest.find('\n').and_then(|end| rest.get(end..)).unwrap_or_default().trim_start();
            continue;
        }
        let length = length(rest, first).max(first.len_utf8());
        let (token, after) = rest.split_at(length);
        found.push(token);
        rest = after.trim_start();
    }
    found
}

fn length(rest: &str, first: char) -> usize {
    if is_word(first) {
        return rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    }
    if matches!(first, '\'' | '"' | '`') {
        let mut escaped = false;
        for (at, c) in rest.char_indices().skip(1) {
            match c {
                _ if escaped => escaped = false,
                '\\' if first != '`' => escaped = true,
                c if c == first => return at + 1,
                _ => {}
            }
        }
        return rest.len();
    }
    SYMBOLS.iter().find(|s| rest.starts_with(**s)).map_or(first.len_utf8(), |s| s.len())
}

pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
