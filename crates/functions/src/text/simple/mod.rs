//! Plain string functions. Positions count characters from 1.

mod signatures;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType as Arrow, Int32Type, Int64Type},
};
use datafusion::{common::exec_err, error::Result as DfResult};
use firesteel_plan::SparkError;

pub(super) use self::signatures::functions;
use crate::{
    errors::{self, external},
    udf::{Args, Ret, Udf, binaries, booleans, borrowed, numbers, strings},
};

/// One string in, one string out.
macro_rules! text_to_text {
    ($name:literal, |$s:ident, $out:ident| $body:expr) => {
        Udf::new($name, Ret::Fixed(Arrow::Utf8), |args| {
            let texts = args.text(0)?;
            strings(args, texts.byte_size(), |row, $out| {
                let Some($s) = texts.get(row) else { return Ok(false) };
                $body;
                Ok(true)
            })
        })
    };
}

macro_rules! text_to_int {
    ($name:literal, |$s:ident| $body:expr) => {
        Udf::new($name, Ret::Fixed(Arrow::Int32), |args| {
            let texts = args.text(0)?;
            numbers::<Int32Type>(args, |row| Ok(texts.get(row).map(|$s| $body as i32)))
        })
    };
}

/// A part of the one string argument.
macro_rules! part_of_text {
    ($name:literal, $f:expr) => {
        Udf::new($name, Ret::Fixed(Arrow::Utf8), |args| {
            let (texts, cut) = (args.text(0)?, args.text(1)?);
            let f: for<'a> fn(&'a str, &str) -> &'a str = $f;
            borrowed(args, texts.byte_size(), |row| Ok(texts.get(row).zip(cut.get(row)).map(|(t, c)| f(t, c))))
        })
    };
}

macro_rules! two_texts {
    ($name:literal, |$a:ident, $b:ident| $body:expr) => {
        Udf::new($name, Ret::Fixed(Arrow::Boolean), |args| {
            let (a, b) = (args.bytes(0)?, args.bytes(1)?);
            booleans(args, |row| Ok(a.get(row).zip(b.get(row)).map(|($a, $b)| $body)))
        })
    };
}

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        text_to_text!("spark_upper", |s, out| {
            if s.is_ascii() {
                out.push_str(s);
                out.make_ascii_uppercase();
            } else {
                out.push_str(&s.to_uppercase());
            }
        }),
        text_to_text!("spark_lower", |s, out| {
            if s.is_ascii() {
                out.push_str(s);
                out.make_ascii_lowercase();
            } else {
                out.push_str(&s.to_lowercase());
            }
        }),
        text_to_text!("spark_initcap", |s, out| {
            let mut start = true;
            for c in s.chars() {
                if start {
                    out.extend(c.to_uppercase());
                } else {
                    out.extend(c.to_lowercase());
                }
                start = c == ' ';
            }
        }),
        text_to_text!("spark_reverse", |s, out| out.extend(s.chars().rev())),
        text_to_text!("spark_soundex", |s, out| soundex(s, out)),
        text_to_text!("spark_quote", |s, out| {
            out.push('\'');
            for c in s.chars() {
                if c == '\'' || c == '\\' {
                    out.push('\\');
                }
                out.push(c);
            }
            out.push('\'');
        }),
        text_to_int!("spark_length", |s| if s.is_ascii() { s.len() } else { s.chars().count() }),
        text_to_int!("spark_ascii", |s| s.chars().next().map_or(0, u32::from)),
        Udf::new("spark_octet_length", Ret::Fixed(Arrow::Int32), |args| {
            let v = args.bytes(0)?;
            numbers::<Int32Type>(args, |row| Ok(v.get(row).map(|b| b.len() as i32)))
        }),
        part_of_text!("spark_btrim", |t, c| t.trim_matches(|x| c.contains(x))),
        part_of_text!("spark_ltrim", |t, c| t.trim_start_matches(|x| c.contains(x))),
        part_of_text!("spark_rtrim", |t, c| t.trim_end_matches(|x| c.contains(x))),
        two_texts!("spark_startswith", |a, b| a.starts_with(b)),
        two_texts!("spark_endswith", |a, b| a.ends_with(b)),
        two_texts!("spark_contains", |a, b| b.is_empty() || find(a, b).is_some()),
        Udf::new("spark_substring", Ret::Fixed(Arrow::Utf8), |args| {
            let texts = args.text(0)?;
            let (position, length) = (args.primitive::<Int32Type>(1)?, args.primitive::<Int32Type>(2)?);
            borrowed(args, texts.byte_size(), |row| {
                Ok(match (texts.get(row), position.get(row), length.get(row)) {
                    (Some(t), Some(p), Some(n)) => Some(substring(t, p, n)),
                    _ => None,
                })
            })
        }),
        Udf::new("spark_substring_bytes", Ret::Fixed(Arrow::Binary), |args| {
            let v = args.bytes(0)?;
            let (position, length) = (args.primitive::<Int32Type>(1)?, args.primitive::<Int32Type>(2)?);
            binaries(args, |row, out| {
                let (Some(b), Some(p), Some(n)) = (v.get(row), position.get(row), length.get(row)) else {
                    return Ok(false);
                };
                let (start, end) = bounds(b.len(), p, n);
                out.extend_from_slice(&b[start..end]);
                Ok(true)
            })
        }),
        Udf::new("spark_left", Ret::Fixed(Arrow::Utf8), |args| {
            let (texts, n) = (args.text(0)?, args.primitive::<Int32Type>(1)?);
            borrowed(args, texts.byte_size(), |row| Ok(texts.get(row).zip(n.get(row)).map(|(t, n)| substring(t, 1, n))))
        }),
        Udf::new("spark_right", Ret::Fixed(Arrow::Utf8), |args| {
            let (texts, n) = (args.text(0)?, args.primitive::<Int32Type>(1)?);
            borrowed(args, texts.byte_size(), |row| {
                Ok(texts
                    .get(row)
                    .zip(n.get(row))
                    .map(|(t, n)| if n <= 0 { "" } else { substring(t, n.wrapping_neg(), n) }))
            })
        }),
        Udf::new("spark_concat", Ret::Fixed(Arrow::Utf8), |args| {
            let columns = (0..args.len()).map(|i| args.text(i)).collect::<DfResult<Vec<_>>>()?;
            strings(args, columns.iter().map(crate::udf::Text::byte_size).sum(), |row, out| {
                for c in &columns {
                    match c.get(row) {
                        Some(t) => out.push_str(t),
                        None => return Ok(false),
                    }
                }
                Ok(true)
            })
        }),
        Udf::new("spark_concat_bytes", Ret::Fixed(Arrow::Binary), |args| {
            let columns = (0..args.len()).map(|i| args.bytes(i)).collect::<DfResult<Vec<_>>>()?;
            binaries(args, |row, out| {
                for c in &columns {
                    match c.get(row) {
                        Some(b) => out.extend_from_slice(b),
                        None => return Ok(false),
                    }
                }
                Ok(true)
            })
        }),
        Udf::new("spark_concat_ws", Ret::Fixed(Arrow::Utf8), concat_ws),
        Udf::new("spark_lpad", Ret::Fixed(Arrow::Utf8), |a| pad(a, true)),
        Udf::new("spark_rpad", Ret::Fixed(Arrow::Utf8), |a| pad(a, false)),
        Udf::new("spark_lpad_bytes", Ret::Fixed(Arrow::Binary), |a| pad_bytes(a, true)),
        Udf::new("spark_rpad_bytes", Ret::Fixed(Arrow::Binary), |a| pad_bytes(a, false)),
        Udf::new("spark_repeat", Ret::Fixed(Arrow::Utf8), |args| {
            let (texts, n) = (args.text(0)?, args.primitive::<Int32Type>(1)?);
            strings(args, texts.byte_size(), |row, out| {
                let (Some(t), Some(n)) = (texts.get(row), n.get(row)) else { return Ok(false) };
                let n = usize::try_from(n).unwrap_or(0);
                if t.len().saturating_mul(n) > i32::MAX as usize {
                    return exec_err!("repeat() would make a string of more than 2 GiB");
                }
                for _ in 0..n {
                    out.push_str(t);
                }
                Ok(true)
            })
        }),
        Udf::new("spark_replace", Ret::Fixed(Arrow::Utf8), |args| {
            let (texts, from, to) = (args.text(0)?, args.text(1)?, args.text(2)?);
            strings(args, texts.byte_size(), |row, out| {
                let (Some(t), Some(from), Some(to)) = (texts.get(row), from.get(row), to.get(row)) else {
                    return Ok(false);
                };
                if from.is_empty() {
                    out.push_str(t);
                    return Ok(true);
                }
                let mut last = 0;
                for (at, found) in t.match_indices(from) {
                    out.push_str(&t[last..at]);
                    out.push_str(to);
                    last = at + found.len();
                }
                out.push_str(&t[last..]);
                Ok(true)
            })
        }),
        Udf::new("spark_translate", Ret::Fixed(Arrow::Utf8), |args| {
            let (texts, from, to) = (args.text(0)?, args.text(1)?, args.text(2)?);
            strings(args, texts.byte_size(), |row, out| {
                let (Some(t), Some(from), Some(to)) = (texts.get(row), from.get(row), to.get(row)) else {
                    return Ok(false);
                };
                for c in t.chars() {
                    match from.chars().position(|f| f == c) {
                        None => out.push(c),
                        Some(i) => out.extend(to.chars().nth(i)),
                    }
                }
                Ok(true)
            })
        }),
        // (needle, haystack, start)
        Udf::new("spark_locate", Ret::Fixed(Arrow::Int32), |args| {
            let (needle, texts, start) = (args.text(0)?, args.text(1)?, args.primitive::<Int32Type>(2)?);
            numbers::<Int32Type>(args, |row| {
                let Some(start) = start.get(row) else { return Ok(Some(0)) };
                let (Some(n), Some(t)) = (needle.get(row), texts.get(row)) else { return Ok(None) };
                if start < 1 {
                    return Ok(Some(0));
                }
                let skip = start as usize - 1;
                let Some(from) = t.char_indices().map(|(i, _)| i).chain([t.len()]).nth(skip) else {
                    return Ok(Some(0));
                };
                Ok(Some(t[from..].find(n).map_or(0, |i| start + t[from..from + i].chars().count() as i32)))
            })
        }),
        Udf::new("spark_substring_index", Ret::Fixed(Arrow::Utf8), |args| {
            let (texts, delimiter, count) = (args.text(0)?, args.text(1)?, args.primitive::<Int32Type>(2)?);
            borrowed(args, texts.byte_size(), |row| {
                Ok(match (texts.get(row), delimiter.get(row), count.get(row)) {
                    (Some(_), Some(_), Some(i32::MIN)) => {
                        return Err(external(errors::arithmetic_overflow("integer overflow", "")));
                    }
                    (Some(t), Some(d), Some(n)) => Some(substring_index(t, d, n)),
                    _ => None,
                })
            })
        }),
        Udf::new("spark_split_part_ansi", Ret::Fixed(Arrow::Utf8), |args| {
            let (texts, delimiter, part) = (args.text(0)?, args.text(1)?, args.primitive::<Int32Type>(2)?);
            borrowed(args, texts.byte_size(), |row| {
                let (Some(t), Some(d), Some(n)) = (texts.get(row), delimiter.get(row), part.get(row)) else {
                    return Ok(None);
                };
                if n == 0 {
                    return Err(external(SparkError::new(
                        "INVALID_INDEX_OF_ZERO",
                        "22003",
                        "The index 0 is invalid. An index shall be either < 0 or > 0 (the first element has index 1).",
                    )));
                }
                if n == i32::MIN {
                    return Err(external(errors::arithmetic_overflow("integer overflow", "")));
                }
                let index = n.unsigned_abs() as usize - 1;
                if d.is_empty() {
                    return Ok(Some(if index == 0 { t } else { "" }));
                }
                Ok(Some(if n > 0 { t.split(d).nth(index) } else { t.rsplit(d).nth(index) }.unwrap_or("")))
            })
        }),
        Udf::new("spark_find_in_set", Ret::Fixed(Arrow::Int32), |args| {
            let (word, list) = (args.text(0)?, args.text(1)?);
            numbers::<Int32Type>(args, |row| {
                Ok(word.get(row).zip(list.get(row)).map(|(w, l)| {
                    if w.contains(',') { 0 } else { l.split(',').position(|x| x == w).map_or(0, |i| i as i32 + 1) }
                }))
            })
        }),
        Udf::new("spark_levenshtein", Ret::Fixed(Arrow::Int32), |args| {
            let (a, b) = (args.text(0)?, args.text(1)?);
            // With a threshold: -1 where the distance is above it.
            let threshold = if args.len() > 2 { Some(args.primitive::<Int32Type>(2)?) } else { None };
            numbers::<Int32Type>(args, |row| {
                let distance = a.get(row).zip(b.get(row)).map(|(a, b)| levenshtein(a, b) as i32);
                Ok(match threshold.as_ref().map(|t| t.get(row)) {
                    None => distance,
                    Some(None) => None,
                    Some(Some(most)) => distance.map(|d| if d > most { -1 } else { d }),
                })
            })
        }),
        Udf::new("spark_chr", Ret::Fixed(Arrow::Utf8), |args| {
            let v = args.primitive::<Int64Type>(0)?;
            strings(args, args.rows, |row, out| {
                let Some(n) = v.get(row) else { return Ok(false) };
                if n >= 0 {
                    out.extend(char::from_u32((n & 0xff) as u32));
                }
                Ok(true)
            })
        }),
        Udf::new("spark_overlay", Ret::Fixed(Arrow::Utf8), |args| {
            let (texts, with) = (args.text(0)?, args.text(1)?);
            let (position, length) = (args.primitive::<Int32Type>(2)?, args.primitive::<Int32Type>(3)?);
            strings(args, texts.byte_size(), |row, out| {
                let (Some(t), Some(w), Some(p), Some(n)) =
                    (texts.get(row), with.get(row), position.get(row), length.get(row))
                else {
                    return Ok(false);
                };
                let n = if n >= 0 { n } else { w.chars().count() as i32 };
                out.push_str(substring(t, 1, p.saturating_sub(1)));
                out.push_str(w);
                out.push_str(substring(t, p.saturating_add(n), i32::MAX));
                Ok(true)
            })
        }),
        Udf::new("spark_overlay_bytes", Ret::Fixed(Arrow::Binary), |args| {
            let (inputs, with) = (args.bytes(0)?, args.bytes(1)?);
            let (position, length) = (args.primitive::<Int32Type>(2)?, args.primitive::<Int32Type>(3)?);
            binaries(args, |row, out| {
                let (Some(b), Some(w), Some(p), Some(n)) =
                    (inputs.get(row), with.get(row), position.get(row), length.get(row))
                else {
                    return Ok(false);
                };
                let n = if n >= 0 { n } else { w.len() as i32 };
                let (start, end) = bounds(b.len(), 1, p.saturating_sub(1));
                out.extend_from_slice(&b[start..end]);
                out.extend_from_slice(w);
                let (start, end) = bounds(b.len(), p.saturating_add(n), i32::MAX);
                out.extend_from_slice(&b[start..end]);
                Ok(true)
            })
        }),
        Udf::new("spark_reverse_bytes", Ret::Fixed(Arrow::Binary), |args| {
            let v = args.bytes(0)?;
            binaries(args, |row, out| {
                let Some(b) = v.get(row) else { return Ok(false) };
                out.extend(b.iter().rev());
                Ok(true)
            })
        }),
        Udf::new("spark_url_decode_ansi", Ret::Fixed(Arrow::Utf8), |a| url_decode(a, false)),
        Udf::new("spark_url_decode_try", Ret::Fixed(Arrow::Utf8), |a| url_decode(a, true)),
        text_to_text!("spark_url_encode", |s, out| {
            use std::fmt::Write;
            for b in s.bytes() {
                match b {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => out.push(b as char),
                    b' ' => out.push('+'),
                    other => {
                        let _ = write!(out, "%{other:02X}");
                    }
                }
            }
        }),
    ]
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    match (std::str::from_utf8(text), std::str::from_utf8(part)) {
        (Ok(t), Ok(p)) => t.find(p),
        _ => text.windows(part.len()).position(|w| w == part),
    }
}

/// Start and end among `length` units of `n` units from a position that counts from 1, or from the end when negative.
fn bounds(length: usize, position: i32, n: i32) -> (usize, usize) {
    let (length, position, n) = (length as i64, i64::from(position), i64::from(n));
    let start = match position {
        p if p > 0 => p - 1,
        0 => 0,
        p => length + p,
    };
    let end = if n == i64::from(i32::MAX) { length } else { start + n };
    let end = end.clamp(0, length);
    let start = start.clamp(0, length);
    (start as usize, end.max(start) as usize)
}

fn substring(text: &str, position: i32, n: i32) -> &str {
    if n <= 0 {
        return "";
    }
    if text.is_ascii() {
        let (start, end) = bounds(text.len(), position, n);
        return &text[start..end];
    }
    let count = if position < 0 { text.chars().count() } else { text.len() };
    let (start, end) = bounds(count, position, n);
    let mut indices = text.char_indices().map(|(i, _)| i);
    let from = indices.nth(start).unwrap_or(text.len());
    if end <= start {
        return "";
    }
    let to = indices.nth(end - start - 1).unwrap_or(text.len());
    &text[from..to]
}

fn substring_index<'a>(text: &'a str, delimiter: &str, count: i32) -> &'a str {
    if count == 0 || delimiter.is_empty() {
        return "";
    }
    let nth = count.unsigned_abs() as usize - 1;
    if count > 0 {
        text.match_indices(delimiter).nth(nth).map_or(text, |(at, _)| &text[..at])
    } else {
        text.rmatch_indices(delimiter).nth(nth).map_or(text, |(at, d)| &text[at + d.len()..])
    }
}

fn levenshtein(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (diagonal + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row.last().copied().unwrap_or(0)
}

fn soundex(text: &str, out: &mut String) {
    const CODES: &[u8; 26] = b"01230127022455012623017202";
    let code = |c: char| CODES.get((c.to_ascii_uppercase() as usize).wrapping_sub('A' as usize)).copied();
    let mut chars = text.chars();
    let Some(first) = chars.next() else { return };
    if !first.is_ascii_alphabetic() {
        out.push_str(text);
        return;
    }
    out.push(first.to_ascii_uppercase());
    let mut last = code(first).unwrap_or(b'0');
    for c in chars {
        if !c.is_ascii_alphabetic() {
            last = b'0';
            continue;
        }
        let own = code(c).unwrap_or(b'0');
        // H and W (7) neither count nor part equal codes.
        if own == b'7' {
            continue;
        }
        if own != b'0' && own != last {
            out.push(own as char);
            if out.len() == 4 {
                break;
            }
        }
        last = own;
    }
    while out.len() < 4 {
        out.push('0');
    }
}

fn pad(args: &Args<'_>, left: bool) -> DfResult<ArrayRef> {
    let (texts, length, fill) = (args.text(0)?, args.primitive::<Int32Type>(1)?, args.text(2)?);
    strings(args, texts.byte_size(), |row, out| {
        let (Some(t), Some(n), Some(fill)) = (texts.get(row), length.get(row), fill.get(row)) else { return Ok(false) };
        let n = usize::try_from(n).unwrap_or(0);
        let have = t.chars().count();
        if have >= n || fill.is_empty() {
            out.extend(t.chars().take(n));
            return Ok(true);
        }
        if left {
            out.extend(fill.chars().cycle().take(n - have));
            out.push_str(t);
        } else {
            out.push_str(t);
            out.extend(fill.chars().cycle().take(n - have));
        }
        Ok(true)
    })
}

fn pad_bytes(args: &Args<'_>, left: bool) -> DfResult<ArrayRef> {
    let (values, length, fill) = (args.bytes(0)?, args.primitive::<Int32Type>(1)?, args.bytes(2)?);
    binaries(args, |row, out| {
        let (Some(b), Some(n), Some(fill)) = (values.get(row), length.get(row), fill.get(row)) else {
            return Ok(false);
        };
        let n = usize::try_from(n).unwrap_or(0);
        if b.len() >= n || fill.is_empty() {
            out.extend_from_slice(&b[..b.len().min(n)]);
            return Ok(true);
        }
        let padding = fill.iter().cycle().take(n - b.len());
        if left {
            out.extend(padding);
            out.extend_from_slice(b);
        } else {
            out.extend_from_slice(b);
            out.extend(padding);
        }
        Ok(true)
    })
}

fn concat_ws(args: &Args<'_>) -> DfResult<ArrayRef> {
    let separator = args.text(0)?;
    enum Column {
        Text(crate::udf::Text),
        List(arrow::array::ListArray),
    }
    let mut columns = Vec::new();
    for i in 1..args.len() {
        let array = args.array(i)?;
        columns.push(match array.data_type() {
            Arrow::List(_) => Column::List(array.as_list::<i32>().clone()),
            _ => Column::Text(args.text(i)?),
        });
    }
    strings(args, args.rows * 16, |row, out| {
        let Some(sep) = separator.get(row) else { return Ok(false) };
        let mut first = true;
        let mut add = |t: &str| {
            if !first {
                out.push_str(sep);
            }
            first = false;
            out.push_str(t);
        };
        for c in &columns {
            match c {
                Column::Text(t) => {
                    if let Some(t) = t.get(row) {
                        add(t);
                    }
                }
                Column::List(list) if list.is_valid(row) => {
                    let items = crate::udf::Text::new(&list.value(row), false)?;
                    for i in 0..list.value_length(row) as usize {
                        if let Some(t) = items.get(i) {
                            add(t);
                        }
                    }
                }
                Column::List(_) => {}
            }
        }
        Ok(true)
    })
}

fn url_decode(args: &Args<'_>, tolerate: bool) -> DfResult<ArrayRef> {
    let texts = args.text(0)?;
    strings(args, texts.byte_size(), |row, out| {
        let Some(t) = texts.get(row) else { return Ok(false) };
        let mut bytes = Vec::with_capacity(t.len());
        let source = t.as_bytes();
        let mut at = 0;
        let mut good = true;
        while at < source.len() {
            match source[at] {
                b'+' => bytes.push(b' '),
                b'%' => {
                    match t.get(at + 1..at + 3).and_then(|h| u8::from_str_radix(h, 16).ok()) {
                        Some(b) => bytes.push(b),
                        None => good = false,
                    }
                    at += 2;
                }
                b => bytes.push(b),
            }
            at += 1;
        }
        if good {
            out.push_str(&String::from_utf8_lossy(&bytes));
            return Ok(true);
        }
        if tolerate {
            return Ok(false);
        }
        Err(external(
            SparkError::new(
                "CANNOT_DECODE_URL",
                "22546",
                format!("The provided URL cannot be decoded: {t}. Please ensure that the URL is properly formatted and try again."),
            )
            .param("url", t),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_strings() {
        assert_eq!(substring("Spark SQL", 5, i32::MAX), "k SQL");
        assert_eq!(substring("Spark SQL", -3, i32::MAX), "SQL");
        assert_eq!(substring("Spark", 0, 2), "Sp");
        assert_eq!(substring("añb", 2, 1), "ñ");
        assert_eq!(substring("abc", -5, 3), "a");
        assert_eq!(substring_index("www.apache.org", ".", -2), "apache.org");
        assert_eq!(levenshtein("kitten", "sitting"), 3);
    }
}
