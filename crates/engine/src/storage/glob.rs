//! Hadoop's path globs: `*`, `?`, `[a-c]`, `[^a]`, `{x,y}`.

use regex::Regex;

/// The part of `path` before its first segment with a glob, and a pattern of whole paths, if it has one.
pub fn split(path: &str) -> Option<(String, Regex)> {
    let first = path.find(['*', '?', '[', '{'])?;
    let base = path[..first].rfind('/').map_or("", |i| &path[..i]);
    // A pattern that matches a folder takes in what is below it.
    let pattern = format!("^{}(/.*)?$", to_regex(path));
    Some((base.to_owned(), Regex::new(&pattern).ok()?))
}

fn to_regex(glob: &str) -> String {
    let mut out = String::with_capacity(glob.len() * 2);
    let mut depth = 0usize;
    let mut chars = glob.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            '{' => {
                depth += 1;
                out.push('(');
            }
            '}' if depth > 0 => {
                depth -= 1;
                out.push(')');
            }
            ',' if depth > 0 => out.push('|'),
            '[' => {
                out.push('[');
                if chars.next_if(|c| matches!(c, '^' | '!')).is_some() {
                    out.push('^');
                }
                for c in chars.by_ref() {
                    if c == ']' {
                        break;
                    }
                    if matches!(c, '\\' | '[' | '&' | '~') {
                        out.push('\\');
                    }
                    out.push(c);
                }
                out.push(']');
            }
            '\\' => {
                if let Some(c) = chars.next() {
                    out.push_str(&regex::escape(&c.to_string()));
                }
            }
            c => out.push_str(&regex::escape(&c.to_string())),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_hadoop_does() {
        let (base, pattern) = split("logs/2026-*/{web,api}?.log").unwrap();
        assert_eq!(base, "logs");
        assert!(pattern.is_match("logs/2026-11/web1.log"));
        assert!(pattern.is_match("logs/2026-11/api2.log"));
        assert!(!pattern.is_match("logs/2026-11/x/web1.log"));
        assert!(split("logs/plain").is_none());
        assert!(split("a/[^x]*").unwrap().1.is_match("a/b/below"));
    }
}
