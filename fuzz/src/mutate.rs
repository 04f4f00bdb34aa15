//! Statements that were sound, with tokens removed, doubled, moved, replaced, nested.

use crate::{
    Names, noise,
    random::Random,
    tokens::{is_word, tokens},
};

/// Tokens of a statement that still changes at all; more of them are cut off.
const MOST_TOKENS: usize = 4000;
/// Pairs of parentheses and the like around a piece.
const DEEPEST: usize = 3000;

const WRAPS: [(&str, &str); 16] = [
    ("(", ")"),
    ("[", "]"),
    ("(SELECT", ")"),
    ("(SELECT * FROM (", "))"),
    ("CASE WHEN", "THEN 1 END"),
    ("CAST(", "AS STRING)"),
    ("NOT", ""),
    ("-", ""),
    ("f(", ")"),
    ("EXISTS (", ")"),
    ("array(", ")"),
    ("struct(1, ", ")"),
    ("x ->", ""),
    ("1 +", ""),
    ("(1 IN (", "))"),
    ("/*", "*/"),
];

const LITERALS: [&str; 36] = [
    "NULL",
    "0",
    "-1",
    "1",
    "127",
    "128",
    "2147483647",
    "2147483648",
    "-9223372036854775808",
    "9223372036854775808",
    "99999999999999999999999999999999999999",
    "1e400",
    "1e-400D",
    "0.1",
    "1.5BD",
    "'NaN'",
    "CAST('NaN' AS DOUBLE)",
    "''",
    "'x'",
    "'\\u0000'",
    "r'\\'",
    "X'00FF'",
    "X'F'",
    "DATE'2024-02-30'",
    "DATE'0001-01-01'",
    "TIMESTAMP'2024-03-10 02:30:00'",
    "INTERVAL '1' YEAR",
    "INTERVAL 1 DAY 2 HOURS",
    "INTERVAL '1-2' YEAR TO MONTH",
    "array()",
    "map()",
    "array(1, NULL)",
    "named_struct('a', 1)",
    "true",
    "?",
    ":p",
];

const JOINTS: [&str; 9] = [" ", " ", " ", " ", "", "\n", "\t", "/**/", "\u{a0}"];

/// One of the corpus's statements, changed once or a few times.
pub fn mutated(random: &mut Random, corpus: &[String], names: &Names) -> String {
    let Some(text) = corpus.get(random.below(corpus.len())) else { return String::new() };
    if random.chance(10) {
        return noise::disturbed(random, text);
    }
    let mut pieces = tokens(text);
    pieces.truncate(MOST_TOKENS);
    if random.chance(60) {
        at_home(random, &mut pieces, names);
    }
    for _ in 0..random.below(5) {
        let other = corpus.get(random.below(corpus.len())).map_or("", String::as_str);
        change(random, &mut pieces, other, names);
    }
    let joint = if random.chance(80) { " " } else { random.pick(&JOINTS) };
    pieces.join(joint)
}

/// Names of relations become those of tables that there are, and some other names become those of their columns.
fn at_home<'a>(random: &mut Random, pieces: &mut [&'a str], names: &Names<'a>) {
    let mut before = "";
    let all = random.chance(30);
    for piece in pieces {
        if piece.starts_with(|c: char| is_word(c) && !c.is_ascii_digit()) {
            if matches!(before.to_ascii_uppercase().as_str(), "FROM" | "JOIN" | "INTO" | "TABLE") {
                *piece = random.pick(names.tables);
            } else if all && piece.chars().all(|c| !c.is_uppercase()) && random.chance(50) && piece.len() < 4 {
                *piece = random.pick(names.columns);
            }
        }
        before = piece;
    }
}

fn change<'a>(random: &mut Random, pieces: &mut Vec<&'a str>, other: &'a str, names: &Names<'a>) {
    let at = random.below(pieces.len() + 1);
    let end = (at + 1 + random.below(12)).min(pieces.len());
    let range = at.min(end)..end;
    match random.below(11) {
        0 => drop(pieces.drain(range)),
        1 => {
            let copy = pieces.get(range).unwrap_or_default().to_vec();
            drop(pieces.splice(at..at, copy));
        }
        2 => {
            let second = random.below(pieces.len());
            if at < pieces.len() {
                pieces.swap(at, second);
            }
        }
        3 | 4 => {
            let from = tokens(other);
            let token = from.get(random.below(from.len())).copied().unwrap_or_default();
            if let Some(piece) = pieces.get_mut(at) {
                *piece = token;
            }
        }
        5 => {
            let from = tokens(other);
            let (a, b) = (random.below(from.len()), 1 + random.below(20));
            let part = from.into_iter().skip(a).take(b);
            drop(pieces.splice(at..at, part));
        }
        // The beginning of one and the end of another.
        6 => {
            let from = tokens(other);
            pieces.truncate(at);
            let skipped = random.below(from.len());
            pieces.extend(from.into_iter().skip(skipped));
        }
        7 => {
            let (open, close) = random.pick(&WRAPS);
            let deep = if random.chance(15) { random.below(DEEPEST) } else { 1 + random.below(4) };
            drop(pieces.splice(range.end..range.end, std::iter::repeat_n(close, deep)));
            drop(pieces.splice(range.start..range.start, std::iter::repeat_n(open, deep)));
        }
        8 => {
            let literal = random.pick(&LITERALS);
            replace_one(random, pieces, literal, |p| p.starts_with(|c: char| c.is_ascii_digit() || c == '\''));
        }
        9 => {
            let function = random.pick(names.functions);
            let calls: Vec<usize> = (1..pieces.len()).filter(|i| pieces.get(*i) == Some(&"(")).collect();
            let called = calls.get(random.below(calls.len())).map(|i| i - 1);
            if let Some(piece) = called.and_then(|i| pieces.get_mut(i)).filter(|p| p.starts_with(is_word)) {
                *piece = function;
            }
        }
        _ => {
            let column = random.pick(names.columns);
            replace_one(random, pieces, column, |p| p.starts_with(char::is_lowercase));
        }
    }
}

fn replace_one<'a>(random: &mut Random, pieces: &mut [&'a str], by: &'a str, which: impl Fn(&str) -> bool) {
    let places: Vec<usize> = pieces.iter().enumerate().filter(|(_, p)| which(p)).map(|(i, _)| i).collect();
    if let Some(piece) = places.get(random.below(places.len())).and_then(|i| pieces.get_mut(*i)) {
        *piece = by;
    }
}
