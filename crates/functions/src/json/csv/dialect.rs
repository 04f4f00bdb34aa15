//! Records of CSV cut into values, where Spark's parser cuts them.

use std::borrow::Cow;

use firesteel_plan::{SparkError, SparkResult};

use super::super::options::Options;

/// A value as it stands in a record, its quotes and escapes undone; nothing where nothing stands.
pub type Value<'a> = Option<Cow<'a, str>>;

/// What follows when a quote in a quoted value has no escape, and no delimiter behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnescapedQuote {
    /// The value is all up to the next delimiter, with its quotes.
    StopAtDelimiter,
    /// The quote belongs to the value, which goes on to a quote with a delimiter behind it.
    StopAtClosingQuote,
    SkipValue,
    RaiseError,
}

/// How CSV is written: the characters that mean something, and what is made of empty values.
#[derive(Debug, Clone)]
pub struct Dialect {
    pub(super) separator: String,
    pub(super) quote: Option<char>,
    pub(super) escape: Option<char>,
    /// What stands before an escape that is meant as itself.
    pub(super) escape_of_escape: Option<char>,
    comment: Option<char>,
    trim_leading: bool,
    trim_trailing: bool,
    unescaped: UnescapedQuote,
    empty_value: String,
    pub(super) null_value: String,
    max_columns: usize,
    max_chars: Option<usize>,
}

/// The text of a record, and where it ends.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    text: &'a str,
    /// Ends a record in `text`; without it, all of `text` is one.
    newline: Option<&'a str>,
    /// Whether nothing comes behind `text`.
    complete: bool,
}

impl<'a> Record<'a> {
    /// A record that was cut off at its line's end.
    pub fn line(text: &'a str) -> Self {
        Self { text, newline: None, complete: true }
    }

    /// The record that `text` begins with; `complete` when `text` is all that is left.
    pub fn first_of(text: &'a str, newline: &'a str, complete: bool) -> Self {
        Self { text, newline: Some(newline), complete }
    }

    fn at_newline(&self, at: usize) -> Option<usize> {
        let newline = self.newline?;
        self.text[at..].starts_with(newline).then_some(newline.len())
    }
}

fn invalid(name: &str, why: &str) -> SparkError {
    SparkError::new("INVALID_OPTION_VALUE", "42616", format!("The CSV option '{name}' {why}.")).param("option", name)
}

/// The delimiter that an option spells: escapes of control characters, and any number of plain characters.
fn separator(written: &str) -> SparkResult<String> {
    let error = |class: &'static str, message: &str| Err(SparkError::new(class, "42602", message.to_owned()));
    if written.is_empty() {
        return error(
            "INVALID_DELIMITER_VALUE.EMPTY_STRING",
            "Invalid value for delimiter. Delimiter cannot be empty string.",
        );
    }
    let mut out = String::new();
    let mut chars = written.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            None => {
                return error(
                    "INVALID_DELIMITER_VALUE.SINGLE_BACKSLASH",
                    "Invalid value for delimiter. Single backslash is prohibited. It has special meaning as beginning of an escape sequence. To get the backslash character, pass a string with two backslashes as the delimiter.",
                );
            }
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('0') => out.push('\0'),
            Some(c @ ('"' | '\'' | '\\')) => out.push(c),
            Some(c) => {
                return Err(SparkError::new(
                    "INVALID_DELIMITER_VALUE.UNSUPPORTED_SPECIAL_CHARACTER",
                    "42602",
                    format!("Invalid value for delimiter. Unsupported special character for delimiter: \\{c}."),
                ));
            }
        }
    }
    Ok(out)
}

impl Dialect {
    pub fn new(options: &Options) -> SparkResult<Self> {
        // No character at all switches its meaning off.
        let one = |key: &str, default: Option<char>| match options.get(key) {
            None => Ok(default),
            Some(v) => {
                let mut chars = v.chars();
                match (chars.next(), chars.next()) {
                    (first, None) => Ok(first),
                    _ => Err(SparkError::new(
                        "OPTION_VALUE_EXCEEDS_ONE_CHARACTER",
                        "22023",
                        format!("The value of the option '{key}' cannot be more than one character."),
                    )
                    .param("paramName", key)),
                }
            }
        };
        let number = |key: &str, default: i64| match options.get(key) {
            None => Ok(default),
            Some(v) => v.trim().parse::<i64>().map_err(|_| invalid(key, &format!("should be an integer, found {v}"))),
        };
        let quote = one("quote", Some('"'))?;
        let escape = one("escape", Some('\\'))?;
        let unescaped = options.get("unescapedQuoteHandling").unwrap_or("STOP_AT_DELIMITER");
        let unescaped = match unescaped.to_ascii_uppercase().as_str() {
            "STOP_AT_DELIMITER" => UnescapedQuote::StopAtDelimiter,
            "STOP_AT_CLOSING_QUOTE" => UnescapedQuote::StopAtClosingQuote,
            "SKIP_VALUE" => UnescapedQuote::SkipValue,
            "RAISE_ERROR" => UnescapedQuote::RaiseError,
            "BACK_TO_DELIMITER" => {
                return Err(SparkError::unsupported("option unescapedQuoteHandling=BACK_TO_DELIMITER of csv"));
            }
            _ => return Err(invalid("unescapedQuoteHandling", &format!("cannot be {unescaped}"))),
        };
        Ok(Self {
            separator: separator(options.get("sep").or_else(|| options.get("delimiter")).unwrap_or(","))?,
            quote,
            escape,
            escape_of_escape: one("charToEscapeQuoteEscaping", None)?.or(if escape == quote { None } else { escape }),
            comment: one("comment", None)?,
            trim_leading: options.flag("ignoreLeadingWhiteSpace", false),
            trim_trailing: options.flag("ignoreTrailingWhiteSpace", false),
            unescaped,
            empty_value: options.get("emptyValue").unwrap_or("").to_owned(),
            null_value: options.get("nullValue").unwrap_or("").to_owned(),
            max_columns: usize::try_from(number("maxColumns", 20480)?)
                .map_err(|_| invalid("maxColumns", "is negative"))?,
            max_chars: usize::try_from(number("maxCharsPerColumn", -1)?).ok(),
        })
    }

    /// Whether a line is none: empty, or a comment.
    pub fn passes_over(&self, line: &str) -> bool {
        line.bytes().all(|b| b <= b' ') || self.is_comment(line)
    }

    /// Whether a record is a comment.
    pub fn is_comment(&self, record: &str) -> bool {
        self.comment.is_some_and(|c| record.starts_with(c))
    }

    /// Appends the values of a record to `out`. The bytes that it takes, with the newline behind it; nothing when its end is
    /// not in the text yet, and then what was appended is no value.
    pub fn cut<'a>(&self, record: Record<'a>, out: &mut Vec<Value<'a>>) -> SparkResult<Option<usize>> {
        let text = record.text;
        let first = out.len();
        let mut at = 0;
        loop {
            if self.trim_leading {
                at += self.blanks(&text[at..], record.newline);
            }
            let rest = &text[at..];
            let value = if rest.is_empty() {
                if !record.complete {
                    return Ok(None);
                }
                None
            } else if rest.starts_with(self.separator.as_str()) || record.at_newline(at).is_some() {
                None
            } else if self.quote.is_some_and(|q| rest.starts_with(q)) {
                let Some((value, end)) = self.quoted(record, at)? else { return Ok(None) };
                at = end;
                value
            } else {
                let Some(end) = self.next_stop(record, at) else { return Ok(None) };
                let value = &text[at..end];
                at = end;
                self.unquoted(value)
            };
            if let Some(most) = self.max_chars
                && value.as_ref().is_some_and(|v| v.len() > most && v.chars().count() > most)
            {
                return Err(unreadable(format!("a value has more than {most} characters (maxCharsPerColumn)")));
            }
            out.push(value);
            if out.len() - first > self.max_columns {
                return Err(unreadable(format!("a record has more than {} values (maxColumns)", self.max_columns)));
            }
            if text[at..].is_empty() {
                return Ok(record.complete.then_some(at));
            }
            if let Some(length) = record.at_newline(at) {
                return Ok(Some(at + length));
            }
            at += self.separator.len();
        }
    }

    fn unquoted<'a>(&self, value: &'a str) -> Value<'a> {
        let value = if self.trim_trailing { value.trim_end_matches(|c| c <= ' ') } else { value };
        (!value.is_empty()).then_some(Cow::Borrowed(value))
    }

    /// How many bytes of `text` are blanks that mean nothing else.
    fn blanks(&self, text: &str, newline: Option<&str>) -> usize {
        let means =
            |rest: &str| rest.starts_with(self.separator.as_str()) || newline.is_some_and(|n| rest.starts_with(n));
        let mut at = 0;
        while text.as_bytes().get(at).is_some_and(|b| *b <= b' ') && !means(&text[at..]) {
            at += 1;
        }
        at
    }

    /// Where the next delimiter or newline is, or the end of a complete text.
    fn next_stop(&self, record: Record<'_>, from: usize) -> Option<usize> {
        let bytes = &record.text.as_bytes()[from..];
        let separator = self.separator.as_bytes();
        let found = match (separator, record.newline) {
            ([one], None) => bytes.iter().position(|b| b == one),
            ([one], Some("\n")) => bytes.iter().position(|b| b == one || *b == b'\n'),
            _ => (0..bytes.len()).find(|i| {
                bytes[*i..].starts_with(separator)
                    || record.newline.is_some_and(|n| bytes[*i..].starts_with(n.as_bytes()))
            }),
        };
        found.map(|i| from + i).or(record.complete.then_some(record.text.len()))
    }

    /// The value whose opening quote is at `open`, and where it ends.
    fn quoted<'a>(&self, record: Record<'a>, open: usize) -> SparkResult<Option<(Value<'a>, usize)>> {
        let text = record.text;
        let Some(quote) = self.quote else { return Ok(Some((None, open))) };
        let start = open + quote.len_utf8();
        // What was read so far, but for `text[plain..at]`.
        let mut read = String::new();
        let (mut plain, mut at) = (start, start);
        // A line ending in quotes is a newline, however the file writes it.
        let line_ending = record.newline.filter(|n| matches!(*n, "\r\n" | "\r"));
        loop {
            let Some(c) = text[at..].chars().next() else {
                if !record.complete {
                    return Ok(None);
                }
                // The end comes before the closing quote.
                read.push_str(&text[plain..at]);
                return Ok(Some((self.or_empty(Cow::Owned(read)), at)));
            };
            let behind = at + c.len_utf8();
            let next = text[behind..].chars().next();
            if Some(c) == self.escape && self.escape != self.quote {
                match next {
                    None if !record.complete => return Ok(None),
                    Some(n) if n == quote || (Some(n) == self.escape && self.escape_of_escape == self.escape) => {
                        read.push_str(&text[plain..at]);
                        read.push(n);
                        at = behind + n.len_utf8();
                        plain = at;
                    }
                    _ => at = behind,
                }
                continue;
            }
            if Some(c) == self.escape_of_escape && c != quote {
                match next {
                    None if !record.complete => return Ok(None),
                    Some(n) if Some(n) == self.escape => {
                        read.push_str(&text[plain..at]);
                        read.push(n);
                        at = behind + n.len_utf8();
                        plain = at;
                    }
                    // With nothing to escape it is lost.
                    _ => {
                        read.push_str(&text[plain..at]);
                        at = behind;
                        plain = at;
                    }
                }
                continue;
            }
            if let Some(newline) = line_ending
                && text[at..].starts_with(newline)
            {
                read.push_str(&text[plain..at]);
                read.push('\n');
                at += newline.len();
                plain = at;
                continue;
            }
            if c != quote {
                at = behind;
                continue;
            }
            // A quote. What is behind it tells what it is.
            if next.is_none() && !record.complete {
                return Ok(None);
            }
            if self.escape == self.quote && next == Some(quote) {
                read.push_str(&text[plain..behind]);
                at = behind + quote.len_utf8();
                plain = at;
                continue;
            }
            let blanks = self.blanks(&text[behind..], record.newline);
            let stop = behind + blanks;
            let ends = text[stop..].is_empty()
                || text[stop..].starts_with(self.separator.as_str())
                || record.at_newline(stop).is_some();
            if text[stop..].is_empty() && !record.complete {
                return Ok(None);
            }
            if ends {
                let value = if read.is_empty() {
                    Cow::Borrowed(&text[plain..at])
                } else {
                    read.push_str(&text[plain..at]);
                    Cow::Owned(read)
                };
                return Ok(Some((self.or_empty(value), stop)));
            }
            if next == Some(quote) {
                // Two quotes: the first belongs to the value, whatever the second is.
                at = behind;
                continue;
            }
            match self.unescaped {
                UnescapedQuote::StopAtClosingQuote => at = behind,
                UnescapedQuote::StopAtDelimiter => {
                    let Some(end) = self.next_stop(record, behind) else { return Ok(None) };
                    let value = format!("{quote}{read}{}", &text[plain..end]);
                    let value =
                        if self.trim_trailing { value.trim_end_matches(|c| c <= ' ').to_owned() } else { value };
                    return Ok(Some((Some(Cow::Owned(value)), end)));
                }
                UnescapedQuote::SkipValue => {
                    let Some(end) = self.next_stop(record, behind) else { return Ok(None) };
                    return Ok(Some((self.or_empty(Cow::Borrowed("")), end)));
                }
                UnescapedQuote::RaiseError => {
                    return Err(raised(format!(
                        "an unescaped quote {quote} is inside of a quoted value (unescapedQuoteHandling=RAISE_ERROR)"
                    )));
                }
            }
        }
    }

    fn or_empty<'a>(&self, value: Cow<'a, str>) -> Value<'a> {
        Some(if value.is_empty() { Cow::Owned(self.empty_value.clone()) } else { value })
    }
}

fn raised(why: String) -> SparkError {
    SparkError::new("FAILED_READ_FILE.NO_HINT", "KD001", format!("The CSV record cannot be read: {why}."))
}

/// A file that cannot be read as CSV: no mode passes over it.
fn unreadable(why: String) -> SparkError {
    SparkError::new("MALFORMED_CSV_RECORD", "KD000", format!("Malformed CSV record: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialect(options: &[(&str, &str)]) -> Dialect {
        let all: std::collections::BTreeMap<String, String> =
            options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Dialect::new(&Options::from(all)).unwrap()
    }

    fn line(text: &str, options: &[(&str, &str)]) -> Vec<Option<String>> {
        let mut out = Vec::new();
        dialect(options).cut(Record::line(text), &mut out).unwrap();
        out.into_iter().map(|v| v.map(Cow::into_owned)).collect()
    }

    #[test]
    fn records_are_cut_at_any_length_of_what_is_there() {
        let text = "1,\"x\r\ny\",\"p\\\"q\"\r\n2,,\"a\"b\r\n";
        let dialect = dialect(&[]);
        let mut wanted = Vec::new();
        let length = dialect.cut(Record::first_of(text, "\r\n", true), &mut wanted).unwrap();
        let record = text.find("2,").unwrap();
        assert_eq!(length, Some(record));
        assert_eq!(wanted, [Some("1".into()), Some("x\ny".into()), Some("p\"q".into())]);
        for end in 0..record {
            let mut out = Vec::new();
            assert_eq!(dialect.cut(Record::first_of(&text[..end], "\r\n", false), &mut out).unwrap(), None, "{end}");
        }
    }

    #[test]
    fn separators_have_any_length() {
        assert_eq!(
            line("1||a|b||\"x||y\"", &[("sep", "||")]),
            [Some("1".into()), Some("a|b".into()), Some("x||y".into())]
        );
        assert_eq!(line("1\t", &[("sep", "\\t")]), [Some("1".into()), None]);
    }
}
