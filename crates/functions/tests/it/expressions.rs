//! Values, types and errors of expressions against what real Spark answered (oracle/functions/record).

use std::{collections::BTreeSet, fmt::Write, fs, path::PathBuf};

use firesteel_functions::FunctionContext;
use serde_json::Value;

fn data(name: &str) -> PathBuf {
    PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("tests/data").join(name)
}

/// What is wrong with our answer, or nothing.
fn difference(zone: &str, sql: &str, ansi: bool, expected: &Value) -> Option<String> {
    let ctx = FunctionContext { ansi, time_zone: zone.into(), ..FunctionContext::default() };
    let ours = std::panic::catch_unwind(|| super::resolve::answer(&ctx, sql));
    let ours = match ours {
        Ok(Ok((data_type, text))) => serde_json::json!([data_type, text]),
        Ok(Err(error)) if error.class() == "INTERNAL_ERROR" => {
            return Some(format!("{expected} became {error}"));
        }
        Ok(Err(error)) => Value::String(error.class().to_owned()),
        Err(_) => return Some("panic".to_owned()),
    };
    if ours == *expected || nearly(&ours, expected) { None } else { Some(format!("{expected} became {ours}")) }
}

/// Doubles of transcendental functions may differ in the last place between Java's library and ours.
fn nearly(ours: &Value, expected: &Value) -> bool {
    let double = |v: &Value| match v.as_array().map(Vec::as_slice) {
        Some([Value::String(t), Value::String(s)]) if t == "double" => s.parse::<f64>().ok(),
        _ => None,
    };
    match (double(ours), double(expected)) {
        (Some(a), Some(b)) => (a - b).abs() <= b.abs() * 4.0 * f64::EPSILON,
        _ => false,
    }
}

#[test]
fn expressions_answer_as_spark_does() {
    let recorded: Value = serde_json::from_str(&fs::read_to_string(data("expressions.json")).unwrap()).unwrap();
    let known = fs::read_to_string(data("differences.txt")).unwrap();
    let known: BTreeSet<&str> =
        known.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).map(|l| l.split('\t').next().unwrap()).collect();
    let mut report = String::new();
    let (mut total, mut different) = (0, BTreeSet::new());
    for case in recorded["cases"].as_array().unwrap() {
        let (zone, sql) = (case[0].as_str().unwrap(), case[1].as_str().unwrap());
        let legacy = if case[3].is_null() { &case[2] } else { &case[3] };
        for (ansi, expected) in [(true, &case[2]), (false, legacy)] {
            total += 1;
            let key = format!("{zone} {} {sql}", if ansi { "ansi" } else { "legacy" });
            if let Some(what) = difference(zone, sql, ansi, expected) {
                if !known.contains(key.as_str()) {
                    let _ = writeln!(report, "{key}\t{what}");
                }
                different.insert(key);
            }
        }
    }
    eprintln!("{} of {total} answers equal", total - different.len());
    for key in known {
        if !different.contains(key) {
            let _ = writeln!(report, "{key}\tis equal now: remove it from differences.txt");
        }
    }
    assert!(report.is_empty(), "{}\n{report}", report.lines().count());
}
