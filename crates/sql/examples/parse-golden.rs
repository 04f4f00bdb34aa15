//! Measures the parser against the answers that Spark keeps of its own tests: every statement must parse, unless Spark's
//! own parser refuses it; then the error must have the same class.
//!
//!     FIRESTEEL_GOLDEN=FOLDER cargo run -p firesteel-sql --example parse-golden [-- [--list] [FILE…]]
//!
//! FOLDER holds `sql-tests` as it is in the jar `spark-sql_2.13-4.2.0-tests`. Prints how many statements agree, and the others
//! in groups of one message; `--list` prints all of each group, FILE narrows the files to those whose path has it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use firesteel_plan::{SparkConf, SparkError};
use firesteel_sql::{ParseOptions, parse_statement, substitute_variables};

const PARSE_EXCEPTION: &str = "org.apache.spark.sql.catalyst.parser.ParseException";

/// One statement with what Spark answered.
struct Block {
    sql: String,
    output: String,
}

/// An error as Spark's parser gave it.
struct Refusal {
    class: String,
    state: String,
    parameters: BTreeMap<String, String>,
    /// Places in the text from 1, the last one included.
    place: Option<(u64, u64)>,
    /// The fragment at that place; where the text has another one there, the error is about another text.
    fragment: Option<String>,
}

#[derive(Default)]
struct Counts {
    all: usize,
    agree: usize,
    refused: usize,
    same_details: usize,
    groups: BTreeMap<String, Vec<String>>,
    details: BTreeMap<String, Vec<String>>,
}

fn main() -> ExitCode {
    let Some(folder) = std::env::var_os("FIRESTEEL_GOLDEN") else {
        eprintln!(
            "parse-golden: set FIRESTEEL_GOLDEN to a folder with sql-tests of the jar spark-sql_2.13-4.2.0-tests"
        );
        return ExitCode::from(2);
    };
    let root = PathBuf::from(folder).join("sql-tests");
    let (flags, only): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|a| a.starts_with("--"));
    let list = flags.iter().any(|f| f == "--list");
    let mut files = Vec::new();
    if let Err(error) = collect(&root.join("results"), &mut files) {
        eprintln!("parse-golden: {}: {error}", root.display());
        return ExitCode::from(2);
    }
    files.retain(|f| only.is_empty() || only.iter().any(|o| f.to_string_lossy().contains(o.as_str())));
    files.sort();

    let mut counts = Counts::default();
    for file in &files {
        let bytes = std::fs::read(file).unwrap_or_default();
        let name = file.strip_prefix(root.join("results")).unwrap_or(file).to_string_lossy().into_owned();
        let mut conf = configuration(&root, &name);
        for block in blocks(&String::from_utf8_lossy(&bytes)) {
            check(&name, &block, &conf, &mut counts);
            remember(&block.sql, &mut conf);
        }
    }
    print_groups("differ", &counts.groups, list);
    if flags.iter().any(|f| f == "--details") {
        print_groups("have other details", &counts.details, list);
    }
    println!(
        "{} of {} statements agree: {:.2} %; {} of {} refusals have the same state, parameters and place too",
        counts.agree,
        counts.all,
        100.0 * counts.agree as f64 / counts.all.max(1) as f64,
        counts.same_details,
        counts.refused
    );
    ExitCode::SUCCESS
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "out") {
            files.push(path);
        }
    }
    Ok(())
}

fn blocks(text: &str) -> Vec<Block> {
    let pieces = text.split("-- !query\n").skip(1);
    pieces
        .filter_map(|piece| {
            let (sql, rest) = piece.split_once("\n-- !query schema\n")?;
            let (_, output) = rest.split_once("-- !query output\n")?;
            Some(Block { sql: sql.to_owned(), output: output.to_owned() })
        })
        .collect()
}

/// What the test's `--SET` lines set, and what the folder of the test stands for.
fn configuration(root: &Path, name: &str) -> Vec<(String, String)> {
    let mut conf = Vec::new();
    if name.starts_with("nonansi/") {
        conf.push(("spark.sql.ansi.enabled".to_owned(), "false".to_owned()));
    }
    let input = root.join("inputs").join(name.trim_end_matches(".out"));
    let text = std::fs::read(input).unwrap_or_default();
    for line in String::from_utf8_lossy(&text).lines() {
        let Some(settings) = line.strip_prefix("--SET ") else { continue };
        for setting in settings.split(',') {
            if let Some((key, value)) = setting.split_once('=') {
                conf.push((key.trim().to_owned(), value.trim().to_owned()));
            }
        }
    }
    conf
}

/// Takes over what the statement sets for those after it.
fn remember(sql: &str, conf: &mut Vec<(String, String)>) {
    let words = sql.trim();
    if words.get(..4).is_some_and(|w| w.eq_ignore_ascii_case("set "))
        && let Some((key, value)) = words[4..].split_once('=')
        && key.trim().starts_with("spark.")
    {
        conf.push((key.trim().to_owned(), value.trim().to_owned()));
    }
}

fn check(file: &str, block: &Block, conf: &[(String, String)], counts: &mut Counts) {
    let conf: SparkConf = conf.iter().cloned().collect();
    let options = ParseOptions::from_conf(&conf);
    let text = substitute_variables(&block.sql, &conf).unwrap_or_else(|_| block.sql.clone());
    let ours = parse_statement(&text, &options).err();
    let spark = refusal(block);
    counts.all += 1;
    let shown = |text: &str| format!("{file}\n      {}", text.replace('\n', "\n      "));
    match (&spark, &ours) {
        (None, None) => counts.agree += 1,
        // Spark finds some of these while it analyses.
        (None, Some(error))
            if !error.class().starts_with("PARSE_") && block.output.contains(&format!("\"{}\"", error.class())) =>
        {
            counts.agree += 1;
        }
        (None, Some(error)) => {
            let message = format!("refused here: {error}");
            let group = message.lines().next().unwrap_or_default().to_owned();
            counts.groups.entry(group).or_default().push(shown(&text));
        }
        (Some(spark), None) => {
            let group = format!("accepted here, {} in Spark", spark.class);
            counts.groups.entry(group).or_default().push(shown(&text));
        }
        (Some(spark), Some(error)) => {
            counts.refused += 1;
            if error.class() != spark.class {
                let group = format!("{} here, {} in Spark", error.class(), spark.class);
                counts.groups.entry(group).or_default().push(shown(&text));
                return;
            }
            counts.agree += 1;
            match difference(&text, spark, error) {
                None => counts.same_details += 1,
                Some(what) => {
                    counts.details.entry(spark.class.clone()).or_default().push(format!("{what} in {}", shown(&text)))
                }
            }
        }
    }
}

/// The error of Spark's parser, if that refused this very text.
fn refusal(block: &Block) -> Option<Refusal> {
    let json = block.output.trim().strip_prefix(PARSE_EXCEPTION)?;
    let value: serde_json::Value = serde_json::from_str(json.trim()).ok()?;
    let text = |v: &serde_json::Value| v.as_str().map(str::to_owned);
    let parameters = value["messageParameters"]
        .as_object()
        .map(|map| map.iter().filter_map(|(k, v)| Some((k.clone(), text(v)?))).collect::<BTreeMap<_, _>>());
    let context = &value["queryContext"][0];
    let refusal = Refusal {
        class: text(&value["errorClass"])?,
        state: text(&value["sqlState"]).unwrap_or_default(),
        parameters: parameters.unwrap_or_default(),
        place: context["startIndex"].as_u64().zip(context["stopIndex"].as_u64()),
        fragment: text(&context["fragment"]),
    };
    // A schema or a type in a string that a function reads has its own text.
    let is_here = refusal.fragment.as_ref().is_none_or(|fragment| {
        let start = refusal.place.map_or(0, |(start, _)| start.saturating_sub(1)) as usize;
        let tail: String = block.sql.chars().skip(start).collect();
        let shorten = |t: &str| t.split_whitespace().collect::<String>();
        shorten(&tail).starts_with(&shorten(fragment.trim_end_matches("...")))
    });
    is_here.then_some(refusal)
}

fn difference(text: &str, spark: &Refusal, ours: &SparkError) -> Option<String> {
    let characters = |bytes: usize| text.get(..bytes).map_or(0, |t| t.chars().count() as u64);
    let place = ours.context().map(|c| (characters(c.start) + 1, characters(c.end)));
    if ours.sql_state() != spark.state {
        return Some(format!("state {} here, {} in Spark", ours.sql_state(), spark.state));
    }
    if *ours.parameters() != spark.parameters {
        return Some(format!("{:?} here, {:?} in Spark", ours.parameters(), spark.parameters));
    }
    if spark.place.is_some() && place != spark.place {
        return Some(format!("{place:?} here, {:?} in Spark", spark.place));
    }
    None
}

fn print_groups(title: &str, groups: &BTreeMap<String, Vec<String>>, list: bool) {
    let mut groups: Vec<_> = groups.iter().collect();
    groups.sort_by_key(|(_, found)| std::cmp::Reverse(found.len()));
    println!("{} that {title}:", groups.iter().map(|(_, found)| found.len()).sum::<usize>());
    for (group, found) in groups {
        println!("{:6} {group}", found.len());
        for one in found.iter().take(if list { usize::MAX } else { 2 }) {
            println!("    {one}");
        }
    }
}
