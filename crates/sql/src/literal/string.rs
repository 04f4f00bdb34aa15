//! The values of string literals.

use crate::lexer::TokenKind;

/// The value of one string token, quotes and prefix included in `text`.
pub fn string_value(text: &str, kind: TokenKind) -> String {
    match kind {
        TokenKind::RawString => text.get(2..text.len() - 1).unwrap_or_default().to_owned(),
        TokenKind::DollarQuoted => {
            let mark = text[1..].find('$').map_or(text.len(), |i| i + 2);
            text.get(mark..text.len().saturating_sub(mark)).unwrap_or_default().to_owned()
        }
        _ => unescape(text),
    }
}

/// The value of a string in quotes with escapes: `\n`, `\t`, `\r`, `\b`, `\0`, `\Z` and `\ooo` (octal), `\uXXXX` and
/// `\UXXXXXXXX` stand for their characters; `\%` and `\_` stay as they are, for LIKE; any other escaped character stands for
/// itself; two quotes in a row stand for one.
fn unescape(text: &str) -> String {
    let quote = text.chars().next().unwrap_or('\'');
    let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
    if !inner.contains(['\\', quote]) {
        return inner.to_owned();
    }
    let mut out = String::with_capacity(inner.len());
    // Characters beyond 16 bits may be written as two halves, as in Java.
    let mut half: Option<u16> = None;
    let mut rest = inner;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c == quote {
            rest = rest.strip_prefix(quote).unwrap_or(rest);
        } else if c == '\\' {
            if let Some((unit, length)) = code_unit(rest) {
                rest = &rest[length..];
                push_unit(&mut out, &mut half, unit);
                continue;
            }
            if let Some((value, length)) = code_point(rest) {
                rest = &rest[length..];
                flush(&mut out, &mut half);
                out.push(value);
                continue;
            }
            flush(&mut out, &mut half);
            let Some(escaped) = rest.chars().next() else { break };
            rest = &rest[escaped.len_utf8()..];
            match escaped {
                '0' => out.push('\0'),
                'b' => out.push('\u{8}'),
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                'Z' => out.push('\u{1a}'),
                '%' => out.push_str("\\%"),
                '_' => out.push_str("\\_"),
                other => out.push(other),
            }
            continue;
        }
        flush(&mut out, &mut half);
        out.push(c);
    }
    flush(&mut out, &mut half);
    out
}

/// `uXXXX` at the start of `rest`, and its length.
fn code_unit(rest: &str) -> Option<(u16, usize)> {
    let digits = rest.strip_prefix('u')?.get(..4)?;
    let value = digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())??;
    Some((value, 5))
}

/// `UXXXXXXXX` or three octal digits at the start of `rest`, and their length.
fn code_point(rest: &str) -> Option<(char, usize)> {
    if let Some(digits) = rest.strip_prefix('U').and_then(|r| r.get(..8))
        && digits.bytes().all(|b| b.is_ascii_hexdigit())
    {
        let value = u32::from_str_radix(digits, 16).ok()?;
        return Some((char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER), 9));
    }
    let octal = rest.get(..3)?;
    let bytes = octal.as_bytes();
    let is_octal = matches!(bytes[0], b'0' | b'1') && bytes[1..].iter().all(|b| (b'0'..=b'7').contains(b));
    let value = is_octal.then(|| u32::from_str_radix(octal, 8).ok())??;
    Some((char::from_u32(value)?, 3))
}

fn push_unit(out: &mut String, half: &mut Option<u16>, unit: u16) {
    if let Some(first) = half.take() {
        if (0xdc00..0xe000).contains(&unit) {
            let value = 0x10000 + ((u32::from(first) - 0xd800) << 10) + (u32::from(unit) - 0xdc00);
            out.push(char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER));
            return;
        }
        out.push(char::REPLACEMENT_CHARACTER);
    }
    if (0xd800..0xdc00).contains(&unit) {
        *half = Some(unit);
    } else {
        out.push(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
}

/// Writes what was left of a character in two halves.
fn flush(out: &mut String, half: &mut Option<u16>) {
    if half.take().is_some() {
        out.push(char::REPLACEMENT_CHARACTER);
    }
}
