//! `${key}` in SQL text.

use firesteel_plan::{
    SparkConf, SparkError, SparkResult,
    conf::keys::{ALL, VARIABLE_SUBSTITUTE},
};

/// How far values may refer to values.
const MAX_DEPTH: usize = 40;

/// Most bytes that the text may grow to.
const MAX_LENGTH: usize = 64 << 20;

/// Replaces `${key}`, and `${spark:key}`, `${sparkconf:key}`, `${hivevar:key}`, `${hiveconf:key}`, by the value of the
/// configuration key, `${env:NAME}` by the environment variable and `${system:name}` by the property of this process. What
/// has no value stays as it is. Values may refer to others. Does nothing if `spark.sql.variable.substitute` is off.
pub fn substitute_variables(text: &str, conf: &SparkConf) -> SparkResult<String> {
    if !text.contains("${") || !conf.bool(&VARIABLE_SUBSTITUTE) {
        return Ok(text.to_owned());
    }
    let mut used = Vec::new();
    substitute(text, &|prefix, name| lookup(conf, prefix, name), &mut used)
}

fn lookup(conf: &SparkConf, prefix: Option<&str>, name: &str) -> Option<String> {
    match prefix {
        None | Some("spark" | "sparkconf" | "hivevar" | "hiveconf") => {
            let default = || ALL.iter().find(|key| key.name == name).map(|key| key.default);
            conf.get_raw(name).or_else(default).map(str::to_owned)
        }
        Some("env") => std::env::var(name).ok(),
        Some("system") => system_property(name),
        Some(_) => None,
    }
}

/// The properties that mean something outside a JVM.
fn system_property(name: &str) -> Option<String> {
    match name {
        "user.name" => std::env::var("USER").ok(),
        "user.home" => std::env::var("HOME").ok(),
        "user.dir" => std::env::current_dir().ok().map(|dir| dir.to_string_lossy().into_owned()),
        "java.io.tmpdir" => Some(std::env::temp_dir().to_string_lossy().into_owned()),
        "file.separator" => Some("/".to_owned()),
        _ => None,
    }
}

type Lookup<'a> = dyn Fn(Option<&str>, &str) -> Option<String> + 'a;

fn substitute(text: &str, lookup: &Lookup<'_>, used: &mut Vec<String>) -> SparkResult<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        let reference = &rest[at..];
        let Some(end) = reference[2..].find(['}', ' ', '\t', '\n', '\r']).map(|i| i + 2) else {
            rest = reference;
            break;
        };
        let inner = &reference[2..end];
        if !reference[end..].starts_with('}') || inner.is_empty() {
            out.push_str("${");
            rest = &reference[2..];
            continue;
        }
        match value_of(inner, lookup) {
            Some(value) => {
                if used.iter().any(|u| u == inner) || used.len() >= MAX_DEPTH {
                    return Err(circular(text, inner));
                }
                used.push(inner.to_owned());
                out.push_str(&substitute(&value, lookup, used)?);
                used.pop();
            }
            None => out.push_str(&reference[..=end]),
        }
        if out.len() > MAX_LENGTH {
            return Err(circular(text, inner));
        }
        rest = &reference[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// The value of what stands in the braces: a name, or a prefix, a colon and a name.
fn value_of(inner: &str, lookup: &Lookup<'_>) -> Option<String> {
    if let Some((prefix, name)) = inner.split_once(':')
        && !prefix.is_empty()
        && !name.is_empty()
        && prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    {
        return lookup(Some(prefix), name);
    }
    lookup(None, inner)
}

fn circular(text: &str, reference: &str) -> SparkError {
    let shown: String = text.chars().take(200).collect();
    SparkError::new("INTERNAL_ERROR", "XX000", format!("Circular reference in {shown}: {reference}"))
        .param("message", format!("Circular reference: {reference}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(pairs: &[(&str, &str)]) -> SparkConf {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn values_replace_their_references() {
        let conf = conf(&[("a", "1"), ("b", "${a}2"), ("spark.x.y", "z")]);
        for (text, expected) in [
            ("SELECT ${a}", "SELECT 1"),
            ("'${b}/${spark.x.y}'", "'12/z'"),
            ("${spark:a} ${sparkconf:a} ${hivevar:a} ${hiveconf:a}", "1 1 1 1"),
            ("${none} ${a b} ${} ${other:a} $a {a} ${", "${none} ${a b} ${} ${other:a} $a {a} ${"),
            ("${spark.sql.shuffle.partitions}", "200"),
            ("${a b ${a}", "${a b 1"),
        ] {
            assert_eq!(substitute_variables(text, &conf).unwrap(), expected);
        }
    }

    #[test]
    fn circles_are_refused() {
        let conf = conf(&[("a", "${b}"), ("b", "${a}")]);
        assert!(substitute_variables("${a}", &conf).unwrap_err().message().contains("Circular reference"));
    }

    #[test]
    fn values_cannot_grow_without_bound() {
        let mut pairs: Vec<(String, String)> = vec![("v0".into(), "x".repeat(1000))];
        for i in 1..30 {
            pairs.push((format!("v{i}"), format!("${{v{0}}}${{v{0}}}", i - 1)));
        }
        let conf: SparkConf = pairs.into_iter().collect();
        assert!(substitute_variables("${v29}", &conf).is_err());
    }

    #[test]
    fn can_be_switched_off() {
        let conf = conf(&[("a", "1"), ("spark.sql.variable.substitute", "false")]);
        assert_eq!(substitute_variables("${a}", &conf).unwrap(), "${a}");
    }
}
