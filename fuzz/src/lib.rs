//! Statements that no one would write, for the parser and the analyzer: each must be answered or refused, never with a panic, an
//! `INTERNAL_ERROR`, a stack that overflows, or late. docs/development.md has the commands.

mod corpus;
mod grammar;
mod mutate;
mod noise;
pub mod parse;
pub mod plan;
mod random;
mod tokens;

use std::time::Duration;

use grammar::Grammar;
use random::Random;

/// No statement may take longer.
pub const SLOW: Duration = Duration::from_secs(1);

/// Names that are put into statements.
pub struct Names<'a> {
    pub tables: &'a [&'a str],
    pub columns: &'a [&'a str],
    pub functions: &'a [&'a str],
}

/// Makes the statement of each seed and number.
pub struct Generator {
    corpus: Vec<String>,
    functions: Vec<String>,
}

impl Generator {
    /// From the repository's own statements, with those of Spark's tests where they were downloaded and are wanted.
    pub fn new(with_downloads: bool, functions: Vec<String>) -> std::io::Result<Self> {
        Ok(Self { corpus: corpus::corpus(with_downloads)?, functions })
    }

    pub fn corpus(&self) -> &[String] {
        &self.corpus
    }

    /// Any text, mutations of the corpus, and the grammar's statements.
    pub fn any(&self, seed: u64, number: u64) -> String {
        let mut random = Random::new(seed, number);
        match random.below(100) {
            0..=9 => noise::any_bytes(&mut random),
            10..=19 => noise::any_characters(&mut random),
            20..=79 => self.mutation(&mut random),
            _ => self.sound(&mut random),
        }
    }

    /// Statements that the parser mostly reads.
    pub fn nearly_sound(&self, seed: u64, number: u64) -> String {
        let mut random = Random::new(seed, number);
        if random.chance(50) { self.mutation(&mut random) } else { self.sound(&mut random) }
    }

    fn mutation(&self, random: &mut Random) -> String {
        self.with_names(|names| mutate::mutated(random, &self.corpus, names))
    }

    fn sound(&self, random: &mut Random) -> String {
        self.with_names(|names| Grammar { random, names }.statement())
    }

    fn with_names<T>(&self, f: impl FnOnce(&Names<'_>) -> T) -> T {
        let functions: Vec<&str> = self.functions.iter().map(String::as_str).collect();
        f(&Names { tables: &plan::TABLE_NAMES, columns: &plan::COLUMN_NAMES, functions: &functions })
    }
}

/// What is wrong with the answer to a statement.
#[derive(Debug)]
pub struct Complaint {
    pub text: String,
    pub what: String,
    /// Only the time is complained of, which says as much of the machine as of the statement.
    pub slow: bool,
}

/// Runs `check` and complains of a panic in it, of what it answers, and of a time longer than [`SLOW`].
fn examined(text: &str, check: impl FnOnce() -> Result<(), String>) -> Option<Complaint> {
    let began = std::time::Instant::now();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
    let took = began.elapsed();
    let slow = matches!(caught, Ok(Ok(())));
    let what = match caught {
        Err(panic) => {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            format!("panic: {}", said.unwrap_or_default())
        }
        Ok(Err(what)) => what,
        Ok(Ok(())) if took > SLOW => format!("slow: {:.1} s", took.as_secs_f64()),
        Ok(Ok(())) => return None,
    };
    Some(Complaint { text: text.to_owned(), what, slow })
}
