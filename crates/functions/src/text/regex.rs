//! Regular expressions with Java's meaning, and LIKE.
//!
//! A pattern is translated to the syntax of the `regex` crate, whose search is linear in the text; patterns with
//! lookaround, back references or possessive quantifiers go to `fancy-regex`. Compiled patterns are kept.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use arrow::{
    array::{ArrayRef, ListBuilder, StringBuilder},
    datatypes::{DataType as Arrow, Field, Int32Type},
};
use datafusion::error::Result as DfResult;
use firesteel_plan::{DataType, SparkError, SparkResult};

use crate::{
    FunctionContext, Typed,
    errors::external,
    literal,
    registry::{FunctionDef, check_count, want},
    udf::{Args, Ret, Text, Udf, booleans, call, numbers, strings},
};

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

    fn engine(&self, text: &str) -> Engine<'_> {
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
    fn first(&self, text: &str, group: usize) -> DfResult<Option<Option<(usize, usize)>>> {
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

enum Engine<'a> {
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

// ---- kernels

struct Patterns<'a> {
    constant: Option<Arc<Regex>>,
    texts: Text,
    function: &'a str,
}

fn bad_pattern(function: &str, pattern: &str) -> SparkError {
    SparkError::new(
        "INVALID_PARAMETER_VALUE.PATTERN",
        "22023",
        format!("The value of parameter(s) `regexp` in `{function}` is invalid: '{pattern}'."),
    )
    .param("parameter", "`regexp`")
    .param("functionName", format!("`{function}`"))
    .param("value", format!("'{pattern}'"))
}

impl<'a> Patterns<'a> {
    fn new(args: &Args<'_>, index: usize, function: &'a str) -> DfResult<Self> {
        let constant = match args.constant_text(index) {
            Some(p) => Some(Regex::cached(p).map_err(|_| external(bad_pattern(function, p)))?),
            None => None,
        };
        Ok(Self { constant, texts: args.text(index)?, function })
    }

    #[inline]
    fn get(&self, row: usize) -> DfResult<Option<Arc<Regex>>> {
        if let Some(r) = &self.constant {
            return Ok(Some(Arc::clone(r)));
        }
        match self.texts.get(row) {
            Some(p) => Regex::cached(p).map(Some).map_err(|_| external(bad_pattern(self.function, p))),
            None => Ok(None),
        }
    }
}

pub(super) fn udfs() -> Vec<Udf> {
    let list = Arrow::List(Arc::new(Field::new("item", Arrow::Utf8, true)));
    vec![
        Udf::new("spark_rlike", Ret::Fixed(Arrow::Boolean), |args| {
            let texts = args.text(0)?;
            let patterns = Patterns::new(args, 1, "rlike")?;
            booleans(args, |row| match (texts.get(row), patterns.get(row)?) {
                (Some(t), Some(p)) => p.is_match(t).map(Some),
                _ => Ok(None),
            })
        }),
        Udf::new("spark_regexp_extract", Ret::Fixed(Arrow::Utf8), extract),
        Udf::new("spark_regexp_extract_all", Ret::Fixed(list.clone()), extract_all),
        Udf::new("spark_regexp_replace", Ret::Fixed(Arrow::Utf8), replace),
        Udf::new("spark_regexp_count", Ret::Fixed(Arrow::Int32), |args| {
            let texts = args.text(0)?;
            let patterns = Patterns::new(args, 1, "regexp_count")?;
            numbers::<Int32Type>(args, |row| {
                let (Some(t), Some(p)) = (texts.get(row), patterns.get(row)?) else { return Ok(None) };
                let mut count = 0;
                p.each_match(t, |_| {
                    count += 1;
                    true
                })?;
                Ok(Some(count))
            })
        }),
        Udf::new("spark_regexp_instr", Ret::Fixed(Arrow::Int32), |args| {
            let texts = args.text(0)?;
            let patterns = Patterns::new(args, 1, "regexp_instr")?;
            numbers::<Int32Type>(args, |row| {
                let (Some(t), Some(p)) = (texts.get(row), patterns.get(row)?) else { return Ok(None) };
                Ok(Some(match p.first(t, 0)? {
                    Some(Some((start, _))) => t[..start].chars().count() as i32 + 1,
                    _ => 0,
                }))
            })
        }),
        Udf::new("spark_regexp_substr", Ret::Fixed(Arrow::Utf8), |args| {
            let texts = args.text(0)?;
            let patterns = Patterns::new(args, 1, "regexp_substr")?;
            strings(args, 0, |row, out| {
                let (Some(t), Some(p)) = (texts.get(row), patterns.get(row)?) else { return Ok(false) };
                match p.first(t, 0)? {
                    Some(Some((start, end))) if end > start => {
                        out.push_str(&t[start..end]);
                        Ok(true)
                    }
                    _ => Ok(false),
                }
            })
        }),
        Udf::new("spark_split", Ret::Fixed(list), split),
        Udf::new("spark_like", Ret::Fixed(Arrow::Boolean), |a| like(a, false)),
        Udf::new("spark_ilike", Ret::Fixed(Arrow::Boolean), |a| like(a, true)),
    ]
}

fn check_group(function: &str, regex: &Regex, group: i32) -> DfResult<usize> {
    let count = regex.group_count();
    usize::try_from(group).ok().filter(|g| *g <= count).ok_or_else(|| {
        external(
            SparkError::new(
                "INVALID_PARAMETER_VALUE.REGEX_GROUP_INDEX",
                "22023",
                format!(
                    "The value of parameter(s) `idx` in `{function}` is invalid: Expects group index between 0 and {count}, \
                     but got {group}."
                ),
            )
            .param("parameter", "`idx`")
            .param("functionName", format!("`{function}`"))
            .param("groupCount", count.to_string())
            .param("groupIndex", group.to_string()),
        )
    })
}

fn extract(args: &Args<'_>) -> DfResult<ArrayRef> {
    let texts = args.text(0)?;
    let patterns = Patterns::new(args, 1, "regexp_extract")?;
    let groups = args.primitive::<Int32Type>(2)?;
    let mut builder = StringBuilder::with_capacity(args.rows, texts.byte_size() / 4);
    // The usual call: one pattern and one group for all rows.
    if let (Some(regex), true, Some(group)) = (&patterns.constant, groups.constant, groups.get(0)) {
        let group = check_group("regexp_extract", regex, group)?;
        if let Regex::Linear { regex: linear, .. } = regex.as_ref() {
            let mut locations = linear.capture_locations();
            for row in 0..args.rows {
                let Some(t) = texts.get(row) else {
                    builder.append_null();
                    continue;
                };
                if let Engine::Linear(_) = regex.engine(t) {
                    let found = if group == 0 {
                        linear.find(t).map(|m| (m.start(), m.end()))
                    } else {
                        linear.captures_read(&mut locations, t).and_then(|_| locations.get(group))
                    };
                    builder.append_value(found.map_or("", |(s, e)| &t[s..e]));
                } else {
                    let found = regex.first(t, group)?.flatten();
                    builder.append_value(found.map_or("", |(s, e)| &t[s..e]));
                }
            }
            return Ok(Arc::new(builder.finish()));
        }
    }
    for row in 0..args.rows {
        let (Some(t), Some(p), Some(group)) = (texts.get(row), patterns.get(row)?, groups.get(row)) else {
            builder.append_null();
            continue;
        };
        let group = check_group("regexp_extract", &p, group)?;
        let found = p.first(t, group)?.flatten();
        builder.append_value(found.map_or("", |(s, e)| &t[s..e]));
    }
    Ok(Arc::new(builder.finish()))
}

fn extract_all(args: &Args<'_>) -> DfResult<ArrayRef> {
    let texts = args.text(0)?;
    let patterns = Patterns::new(args, 1, "regexp_extract_all")?;
    let groups = args.primitive::<Int32Type>(2)?;
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in 0..args.rows {
        let (Some(t), Some(p), Some(group)) = (texts.get(row), patterns.get(row)?, groups.get(row)) else {
            builder.append_null();
            continue;
        };
        let group = check_group("regexp_extract_all", &p, group)?;
        p.each_match(t, |found| {
            builder.values().append_value(found.get(group).copied().flatten().map_or("", |(s, e)| &t[s..e]));
            true
        })?;
        builder.append(true);
    }
    Ok(Arc::new(builder.finish()))
}

/// A part of a replacement.
enum Piece {
    Text(String),
    Group(usize),
}

fn bad_group(text: &str) -> datafusion::error::DataFusionError {
    external(
        SparkError::new(
            "INVALID_REGEXP_REPLACE",
            "22023",
            format!("Could not perform regexp_replace with replacement \"{text}\": it names no group of the pattern."),
        )
        .param("replacement", text),
    )
}

/// Java's replacement: `$n` a group, `\x` the character x.
fn pieces(text: &str, groups: usize) -> DfResult<Vec<Piece>> {
    let mut all = Vec::new();
    let mut plain = String::new();
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        match chars[at] {
            '\\' if at + 1 < chars.len() => {
                plain.push(chars[at + 1]);
                at += 2;
            }
            '$' => {
                let Some(mut group) = chars.get(at + 1).and_then(|c| c.to_digit(10)).map(|d| d as usize) else {
                    return Err(bad_group(text));
                };
                if group > groups {
                    return Err(bad_group(text));
                }
                at += 2;
                // More digits only as long as there is such a group.
                while let Some(d) = chars.get(at).and_then(|c| c.to_digit(10)) {
                    let longer = group * 10 + d as usize;
                    if longer > groups {
                        break;
                    }
                    group = longer;
                    at += 1;
                }
                if !plain.is_empty() {
                    all.push(Piece::Text(std::mem::take(&mut plain)));
                }
                all.push(Piece::Group(group));
            }
            c => {
                plain.push(c);
                at += 1;
            }
        }
    }
    if !plain.is_empty() {
        all.push(Piece::Text(plain));
    }
    Ok(all)
}

fn replace(args: &Args<'_>) -> DfResult<ArrayRef> {
    let texts = args.text(0)?;
    let patterns = Patterns::new(args, 1, "regexp_replace")?;
    let replacements = args.text(2)?;
    let positions = args.primitive::<Int32Type>(3)?;
    let constant = match (&patterns.constant, args.constant_text(2)) {
        (Some(p), Some(r)) => Some(pieces(r, p.group_count())?),
        _ => None,
    };
    strings(args, texts.byte_size(), |row, out| {
        let (Some(t), Some(p), Some(r), Some(position)) =
            (texts.get(row), patterns.get(row)?, replacements.get(row), positions.get(row))
        else {
            return Ok(false);
        };
        let own;
        let parts = match &constant {
            Some(parts) => parts,
            None => {
                own = pieces(r, p.group_count())?;
                &own
            }
        };
        let skip = usize::try_from(position - 1).unwrap_or(0);
        let start = t.char_indices().nth(skip).map_or(if skip == 0 { 0 } else { t.len() }, |(i, _)| i);
        let mut copied = 0;
        p.each_match(t, |groups| {
            let Some(Some((s, e))) = groups.first().copied() else { return false };
            if s < start {
                return true;
            }
            out.push_str(&t[copied..s]);
            for part in parts {
                match part {
                    Piece::Text(text) => out.push_str(text),
                    Piece::Group(g) => {
                        if let Some(Some((s, e))) = groups.get(*g).copied() {
                            out.push_str(&t[s..e]);
                        }
                    }
                }
            }
            copied = e;
            true
        })?;
        out.push_str(&t[copied..]);
        Ok(true)
    })
}

fn split(args: &Args<'_>) -> DfResult<ArrayRef> {
    let texts = args.text(0)?;
    let patterns = Patterns::new(args, 1, "split")?;
    let limits = args.primitive::<Int32Type>(2)?;
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in 0..args.rows {
        let (Some(t), Some(p), Some(limit)) = (texts.get(row), patterns.get(row)?, limits.get(row)) else {
            builder.append_null();
            continue;
        };
        let most = if limit > 0 { limit as usize } else { usize::MAX };
        let (mut from, mut count) = (0, 1);
        if t.is_empty() {
            builder.values().append_value("");
            builder.append(true);
            continue;
        }
        p.each_match(t, |groups| {
            let Some(Some((s, e))) = groups.first().copied() else { return false };
            if count >= most {
                return false;
            }
            // An empty match at the start makes no leading part, nor one at the end of an empty pattern.
            if e == 0 || (s == e && s >= t.len()) {
                return true;
            }
            builder.values().append_value(&t[from..s]);
            count += 1;
            from = e;
            true
        })?;
        builder.values().append_value(&t[from..]);
        builder.append(true);
    }
    Ok(Arc::new(builder.finish()))
}

// ---- LIKE with escapes

fn like(args: &Args<'_>, fold: bool) -> DfResult<ArrayRef> {
    let texts = args.text(0)?;
    let patterns = args.text(1)?;
    let escape = args.parameter(2)?.chars().next().unwrap_or('\\');
    let constant = match args.constant_text(1) {
        Some(p) => Some(like_regex(p, escape, fold)?),
        None => None,
    };
    booleans(args, |row| {
        let (Some(t), Some(p)) = (texts.get(row), patterns.get(row)) else { return Ok(None) };
        let own;
        let regex = match &constant {
            Some(r) => r,
            None => {
                own = like_regex(p, escape, fold)?;
                &own
            }
        };
        Ok(Some(regex.is_match(t)))
    })
}

fn like_regex(pattern: &str, escape: char, fold: bool) -> DfResult<regex::Regex> {
    let mut text = String::from(if fold { r"(?si)\A" } else { r"(?s)\A" });
    let mut chars = pattern.chars();
    let invalid = |what: &str| {
        external(
            SparkError::new(
                format!("INVALID_FORMAT.{what}"),
                "42601",
                format!(
                    "The format is invalid: '{pattern}'. The escape character must be followed by '_', '%' or itself."
                ),
            )
            .param("format", format!("'{pattern}'")),
        )
    };
    while let Some(c) = chars.next() {
        if c == escape {
            match chars.next() {
                Some(e) if e == '_' || e == '%' || e == escape => {
                    text.push_str(&regex::escape(e.encode_utf8(&mut [0; 4])))
                }
                Some(_) => return Err(invalid("ESC_IN_THE_MIDDLE")),
                None => return Err(invalid("ESC_AT_THE_END")),
            }
            continue;
        }
        match c {
            '_' => text.push('.'),
            '%' => text.push_str(".*"),
            other => text.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    text.push_str(r"\z");
    regex::Regex::new(&text).map_err(|e| external(SparkError::internal(e.to_string())))
}

// ---- the functions

pub(super) fn functions() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::simple("rlike", "spark_rlike", "ss", DataType::Boolean),
        F::simple("regexp", "spark_rlike", "ss", DataType::Boolean),
        F::simple("regexp_like", "spark_rlike", "ss", DataType::Boolean),
        F::simple("regexp_count", "spark_regexp_count", "ss", DataType::Integer),
        F::simple("regexp_substr", "spark_regexp_substr", "ss", DataType::String).nulls(crate::registry::Nulls::Maybe),
        F::resolve("regexp_instr", |c, n, a| {
            check_count(n, a.len(), 2, 3)?;
            with_default(c, n, "spark_regexp_instr", &a, "ss", None, DataType::Integer)
        }),
        F::resolve("regexp_extract", |c, n, a| {
            check_count(n, a.len(), 2, 3)?;
            with_default(c, n, "spark_regexp_extract", &a, "ssi", Some(1), DataType::String)
        }),
        F::resolve("regexp_extract_all", |c, n, a| {
            check_count(n, a.len(), 2, 3)?;
            let list = DataType::Array { element: Box::new(DataType::String), contains_null: true };
            with_default(c, n, "spark_regexp_extract_all", &a, "ssi", Some(1), list)
        }),
        F::resolve("regexp_replace", |c, n, a| {
            check_count(n, a.len(), 3, 4)?;
            with_default(c, n, "spark_regexp_replace", &a, "sssi", Some(1), DataType::String)
        }),
        F::resolve("split", |c, n, a| {
            check_count(n, a.len(), 2, 3)?;
            let list = DataType::Array { element: Box::new(DataType::String), contains_null: false };
            with_default(c, n, "spark_split", &a, "ssi", Some(-1), list)
        }),
        F::resolve("like", |c, n, a| like_call(c, n, a, firesteel_plan::expr::LikeKind::Like)),
        F::resolve("ilike", |c, n, a| like_call(c, n, a, firesteel_plan::expr::LikeKind::ILike)),
    ]
}

/// Casts the arguments by their letters and adds the last one where it is left out.
fn with_default(
    ctx: &FunctionContext,
    name: &'static str,
    udf: &str,
    args: &[Typed],
    letters: &str,
    default: Option<i32>,
    data_type: DataType,
) -> SparkResult<Typed> {
    let mut exprs = Vec::with_capacity(letters.len());
    let mut nullable = false;
    for (i, letter) in letters.chars().enumerate() {
        let arg = match (args.get(i), default) {
            (Some(arg), _) => want(ctx, name, i, letter, arg.clone())?,
            (None, Some(value)) => literal::int(value),
            (None, None) => break,
        };
        nullable |= arg.nullable;
        exprs.push(arg.expr);
    }
    Ok(Typed::new(call(udf, exprs)?, data_type, nullable))
}

fn like_call(
    ctx: &FunctionContext,
    name: &'static str,
    args: Vec<Typed>,
    kind: firesteel_plan::expr::LikeKind,
) -> SparkResult<Typed> {
    check_count(name, args.len(), 2, 3)?;
    let escape = args.get(2).and_then(|e| e.literal_text()).and_then(|e| e.chars().next());
    let mut args = args.into_iter();
    match (args.next(), args.next()) {
        (Some(text), Some(pattern)) => crate::operators::like(ctx, kind, text, pattern, escape, false),
        _ => Err(crate::errors::wrong_num_args(name, 2, 0)),
    }
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
