//! Patterns with Java's meaning.
//!
//! A pattern is translated to the syntax of the `regex` crate, whose search is linear in the text; patterns with
//! lookaround, back references or possessive quantifiers go to `fancy-regex`. Compiled patterns are kept.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use datafusion::error::Result as DfResult;
use firesteel_plan::SparkError;

use crate::errors::external;

/// A compiled pattern.
#[derive(Debug)]
pub(crate) enum Regex {
    Linear { regex: regex::Regex, dollar: Option<fancy_regex::Regex> },
    Fancy(fancy_regex::Regex),
}

static CACHE: LazyLock<Mutex<HashMap<String, Arc<Regex>>>> = LazyLock::new(Mutex::default);
const CACHE_SIZE: usize = 512;

/// Byte offsets of the groups of one match; group 0 is the whole.
pub(crate) type Groups = Vec<Option<(usize, usize)>>;

impl Regex {
    pub(crate) fn cached(pattern: &str) -> Result<Arc<Self>, String> {
        if let Ok(cache) = CACHE.lock()
            && let Some(found) = cache.get(pattern)
        {
            return Ok(Arc::clone(found));
        }
        let compiled = Arc::new(Self::compile(pattern)?);
        if let Ok(mut cache) = CACHE.lock() {
            if cache.len() >= CACHE_SIZE {
                cache.clear();
            }
            cache.insert(pattern.to_owned(), Arc::clone(&compiled));
        }
        Ok(compiled)
    }

    fn compile(pattern: &str) -> Result<Self, String> {
        let translated = translate(pattern, false)?;
        if !translated.fancy
            && let Ok(regex) = regex::Regex::new(&translated.text)
        {
            // `$` also matches before a last line end, which only texts with one there can show.
            let dollar = if translated.dollar {
                let text = translate(pattern, true)?.text;
                Some(fancy_regex::Regex::new(&text).map_err(|e| e.to_string())?)
            } else {
                None
            };
            return Ok(Self::Linear { regex, dollar });
        }
        let text = translate(pattern, true)?.text;
        fancy_regex::Regex::new(&text).map(Self::Fancy).map_err(|e| e.to_string())
    }

    pub(super) fn engine(&self, text: &str) -> Engine<'_> {
        match self {
            Self::Linear { dollar: Some(fancy), .. }
                if text.ends_with(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) =>
            {
                Engine::Fancy(fancy)
            }
            Self::Linear { regex, .. } => Engine::Linear(regex),
            Self::Fancy(regex) => Engine::Fancy(regex),
        }
    }

    pub(crate) fn is_match(&self, text: &str) -> DfResult<bool> {
        match self.engine(text) {
            Engine::Linear(r) => Ok(r.is_match(text)),
            Engine::Fancy(r) => r.is_match(text).map_err(gave_up),
        }
    }

    /// Number of groups, the whole match not among them.
    pub(crate) fn group_count(&self) -> usize {
        match self {
            Self::Linear { regex, .. } => regex.captures_len() - 1,
            Self::Fancy(regex) => regex.captures_len().saturating_sub(1),
        }
    }

    /// Calls `f` with each match until it answers false. Empty matches advance by a character, as Java's `find`.
    pub(crate) fn each_match(&self, text: &str, mut f: impl FnMut(&Groups) -> bool) -> DfResult<()> {
        match self.engine(text) {
            Engine::Linear(r) => {
                let mut locations = r.capture_locations();
                let mut groups = Groups::new();
                let mut at = 0;
                while at <= text.len() && r.captures_read_at(&mut locations, text, at).is_some() {
                    groups.clear();
                    groups.extend((0..locations.len()).map(|i| locations.get(i)));
                    let Some((start, end)) = locations.get(0) else { break };
                    if !f(&groups) {
                        break;
                    }
                    at = if end > start { end } else { next_char(text, end) };
                }
            }
            Engine::Fancy(r) => {
                let mut at = 0;
                while at <= text.len() {
                    let Some(captures) = r.captures_from_pos(text, at).map_err(gave_up)? else { break };
                    let groups: Groups = captures.iter().map(|m| m.map(|m| (m.start(), m.end()))).collect();
                    let Some(Some((start, end))) = groups.first().copied() else { break };
                    if !f(&groups) {
                        break;
                    }
                    at = if end > start { end } else { next_char(text, end) };
                }
            }
        }
        Ok(())
    }

    /// A group of the first match, without the other groups' work where it can be had.
    pub(super) fn first(&self, text: &str, group: usize) -> DfResult<Option<Option<(usize, usize)>>> {
        if let (Engine::Linear(r), 0) = (self.engine(text), group) {
            return Ok(r.find(text).map(|m| Some((m.start(), m.end()))));
        }
        let mut found = None;
        self.each_match(text, |groups| {
            found = Some(groups.get(group).copied().flatten());
            false
        })?;
        Ok(found)
    }
}

pub(super) enum Engine<'a> {
    Linear(&'a regex::Regex),
    Fancy(&'a fancy_regex::Regex),
}

fn gave_up(error: fancy_regex::Error) -> datafusion::error::DataFusionError {
    external(SparkError::internal(format!("a regular expression gave up: {error}")))
}

fn next_char(text: &str, at: usize) -> usize {
    at + text.get(at..).and_then(|t| t.chars().next()).map_or(1, char::len_utf8)
}

struct Translated {
    text: String,
    fancy: bool,
    dollar: bool,
}

/// Java's syntax in that of the `regex` crate. `exact_dollar` writes `$` with a lookahead.
fn translate(pattern: &str, exact_dollar: bool) -> Result<Translated, String> {
    const LINE: &str = r"\n\r\x{85}\x{2028}\x{2029}";
    let chars: Vec<char> = pattern.chars().collect();
    let mut out = String::with_capacity(pattern.len() + 16);
    let (mut fancy, mut dollar, mut depth, mut dotall, mut multiline) = (false, false, 0u32, false, false);
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        at += 1;
        match c {
            '\\' => {
                let Some(e) = chars.get(at).copied() else { return Err("\\ at the end of the pattern".to_owned()) };
                at += 1;
                let inside = depth > 0;
                match e {
                    'd' => out.push_str(if inside { "0-9" } else { "[0-9]" }),
                    'D' => out.push_str("[^0-9]"),
                    'w' => out.push_str(if inside { "0-9A-Za-z_" } else { "[0-9A-Za-z_]" }),
                    'W' => out.push_str("[^0-9A-Za-z_]"),
                    's' => out.push_str(if inside { r" \t\n\x0B\f\r" } else { r"[ \t\n\x0B\f\r]" }),
                    'S' => out.push_str(r"[^ \t\n\x0B\f\r]"),
                    'h' => out.push_str(r"[ \t\x{A0}\x{1680}\x{180e}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}]"),
                    'H' => out.push_str(r"[^ \t\x{A0}\x{1680}\x{180e}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}]"),
                    'v' => out.push_str(r"[\n\x0B\f\r\x{85}\x{2028}\x{2029}]"),
                    'V' => out.push_str(r"[^\n\x0B\f\r\x{85}\x{2028}\x{2029}]"),
                    'R' => out.push_str(r"(?:\r\n|[\n\x0B\f\r\x{85}\x{2028}\x{2029}])"),
                    'b' if !inside => out.push_str(r"\b"),
                    'B' if !inside => out.push_str(r"\B"),
                    'A' => out.push_str(r"\A"),
                    'z' => out.push_str(r"\z"),
                    'Z' => {
                        fancy = true;
                        out.push_str(r"(?=(?:\r\n|[\n\r\x{85}\x{2028}\x{2029}])?\z)");
                    }
                    'G' => {
                        fancy = true;
                        out.push_str(r"\G");
                    }
                    't' | 'n' | 'r' | 'f' => {
                        out.push('\\');
                        out.push(e);
                    }
                    'a' => out.push_str(r"\x07"),
                    'e' => out.push_str(r"\x1B"),
                    'c' => {
                        let Some(control) = chars.get(at) else {
                            return Err("\\c at the end of the pattern".to_owned());
                        };
                        at += 1;
                        out.push_str(&format!("\\x{{{:x}}}", (*control as u32) ^ 64));
                    }
                    '0' => {
                        let digits: String =
                            chars[at..].iter().take(3).take_while(|c| ('0'..='7').contains(*c)).collect();
                        let value =
                            u32::from_str_radix(&digits, 8).map_err(|_| "an octal escape without digits".to_owned())?;
                        at += digits.len();
                        out.push_str(&format!("\\x{{{value:x}}}"));
                    }
                    'x' if chars.get(at) == Some(&'{') => out.push_str("\\x"),
                    'x' | 'u' => {
                        let n = if e == 'x' { 2 } else { 4 };
                        let digits: String = chars[at..].iter().take(n).collect();
                        if digits.chars().count() != n || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
                            return Err(format!("\\{e} without {n} hexadecimal digits"));
                        }
                        at += n;
                        out.push_str(&format!("\\x{{{digits}}}"));
                    }
                    'Q' => {
                        let rest: String = chars[at..].iter().collect();
                        let (quoted, used) = match rest.find("\\E") {
                            Some(end) => (&rest[..end], rest[..end].chars().count() + 2),
                            None => (rest.as_str(), rest.chars().count()),
                        };
                        out.push_str(&regex::escape(quoted));
                        at += used;
                    }
                    'E' => {}
                    'p' | 'P' => {
                        let name: String = if chars.get(at) == Some(&'{') {
                            let rest: String = chars[at + 1..].iter().take_while(|c| **c != '}').collect();
                            at += rest.chars().count() + 2;
                            rest
                        } else {
                            at += 1;
                            chars.get(at - 1).map(char::to_string).unwrap_or_default()
                        };
                        out.push_str(&property(&name, e == 'P')?);
                    }
                    'k' => {
                        fancy = true;
                        out.push_str("\\k");
                    }
                    '1'..='9' => {
                        fancy = true;
                        out.push('\\');
                        out.push(e);
                    }
                    other if other.is_ascii_alphabetic() => {
                        return Err(format!("Illegal/unsupported escape sequence \\{other}"));
                    }
                    other => push_literal(&mut out, other),
                }
            }
            '[' => {
                depth += 1;
                out.push('[');
                if chars.get(at) == Some(&'^') {
                    out.push('^');
                    at += 1;
                }
                if chars.get(at) == Some(&']') && depth == 1 {
                    out.push_str("\\]");
                    at += 1;
                }
            }
            ']' if depth > 0 => {
                depth -= 1;
                out.push(']');
            }
            '&' if depth > 0 && chars.get(at) == Some(&'&') => {
                at += 1;
                out.push_str("&&");
            }
            '~' | '-' if depth > 0 && chars.get(at) == Some(&c) => {
                // Not set operations in Java.
                out.push('\\');
                out.push(c);
            }
            _ if depth > 0 => {
                if matches!(c, '#' | '&' | '~') {
                    out.push('\\');
                }
                out.push(c);
            }
            '.' => {
                if dotall {
                    out.push_str("(?s:.)");
                } else {
                    out.push_str(&format!("[^{LINE}]"));
                }
            }
            '$' => {
                if multiline {
                    out.push_str("(?m:$)");
                } else {
                    dollar = true;
                    out.push_str(if exact_dollar { r"(?=(?:\r\n|[\n\r\x{85}\x{2028}\x{2029}])?\z)" } else { r"\z" });
                }
            }
            '^' => out.push_str(if multiline { "(?m:^)" } else { r"\A" }),
            '(' if chars.get(at) == Some(&'?') => {
                let next = chars.get(at + 1).copied();
                let after = chars.get(at + 2).copied();
                match (next, after) {
                    (Some('=' | '!' | '>'), _) | (Some('<'), Some('=' | '!')) => fancy = true,
                    (Some(f), _) if f.is_ascii_alphabetic() || f == '-' => {
                        let flags: String =
                            chars[at + 1..].iter().take_while(|c| c.is_ascii_alphabetic() || **c == '-').collect();
                        let on = flags.split('-').next().unwrap_or_default();
                        dotall |= on.contains('s');
                        multiline |= on.contains('m');
                        let kept: String = flags.chars().filter(|c| matches!(c, 'i' | 'x' | '-')).collect();
                        let kept = kept.trim_end_matches('-');
                        at += 1 + flags.chars().count();
                        if flags.contains('d') || flags.contains('U') {
                            return Err("the flags d and U are not supported".to_owned());
                        }
                        if chars.get(at) == Some(&')') {
                            at += 1;
                            if !kept.is_empty() {
                                out.push_str(&format!("(?{kept})"));
                            }
                            continue;
                        }
                        out.push_str(&format!("(?{kept}"));
                        continue;
                    }
                    _ => {}
                }
                out.push('(');
            }
            '*' | '+' | '?' | '}' => {
                out.push(c);
                if chars.get(at) == Some(&'+') {
                    fancy = true;
                    out.push('+');
                    at += 1;
                }
            }
            other => out.push(other),
        }
    }
    if depth > 0 {
        return Err("Unclosed character class".to_owned());
    }
    Ok(Translated { text: out, fancy, dollar })
}

fn push_literal(out: &mut String, c: char) {
    let mut buffer = [0; 4];
    let text = c.encode_utf8(&mut buffer);
    if c == '-' || c == '&' || c == '~' || c == '#' {
        out.push('\\');
        out.push(c);
    } else {
        out.push_str(&regex::escape(text));
    }
}

fn property(name: &str, negated: bool) -> Result<String, String> {
    let not = if negated { "^" } else { "" };
    Ok(match name {
        "Lower" => format!("[{not}a-z]"),
        "Upper" => format!("[{not}A-Z]"),
        "ASCII" => format!("[{not}\\x00-\\x7F]"),
        "Alpha" => format!("[{not}A-Za-z]"),
        "Digit" => format!("[{not}0-9]"),
        "Alnum" => format!("[{not}A-Za-z0-9]"),
        "Punct" => format!("[{not}!-/:-@\\[-`{{-~]"),
        "Graph" => format!("[{not}!-~]"),
        "Print" => format!("[{not} -~]"),
        "Blank" => format!("[{not} \\t]"),
        "Cntrl" => format!("[{not}\\x00-\\x1F\\x7F]"),
        "XDigit" => format!("[{not}0-9A-Fa-f]"),
        "Space" => format!("[{not} \\t\\n\\x0B\\f\\r]"),
        "javaLowerCase" => format!("\\{}{{Lowercase}}", if negated { 'P' } else { 'p' }),
        "javaUpperCase" => format!("\\{}{{Uppercase}}", if negated { 'P' } else { 'p' }),
        other => {
            let other = other.strip_prefix("Is").or(other.strip_prefix("In")).unwrap_or(other);
            let other = other.strip_prefix("script=").or(other.strip_prefix("sc=")).unwrap_or(other);
            format!("\\{}{{{other}}}", if negated { 'P' } else { 'p' })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first<'a>(pattern: &str, text: &'a str) -> Option<&'a str> {
        let regex = Regex::compile(pattern).unwrap();
        regex.first(text, 0).unwrap().flatten().map(|(s, e)| &text[s..e])
    }

    #[test]
    fn java_syntax_means_what_it_means_in_java() {
        assert_eq!(first(r"\d+", "a١٢34"), Some("34"));
        assert_eq!(first(r"\w+$", "ab cd\n"), Some("cd"));
        assert_eq!(first(r#"" "((?:[^"\\]|\\.)*)"$"#, r#"x" "agent""#), Some(r#"" "agent""#));
        assert_eq!(first("a.c", "a\rc abc"), Some("abc"));
        assert_eq!(first(r"(?<=x)y", "zyxy"), Some("y"));
        assert_eq!(first(r"[a-z&&[^b]]+", "bbac"), Some("ac"));
        assert_eq!(first(r"\Q.+\E", "a.+b"), Some(".+"));
        assert_eq!(first(r"a++b", "aab"), Some("aab"));
        assert!(Regex::compile("[a").is_err());
    }
}
