//! The interactive shell: history, completion, statements over several lines.

use std::path::PathBuf;

use firesteel_driver::Application;
use firesteel_plan::{SparkError, SparkResult};
use firesteel_sql::Keyword;
use rustyline::{
    Completer, Context, Editor, Helper, Highlighter, Hinter,
    completion::{Completer as CompleterTrait, Pair},
    error::ReadlineError,
    history::DefaultHistory,
    validate::{ValidationContext, ValidationResult, Validator},
};

use crate::{output, progress_bar::Bar, sql};

const WORDS_OF_THE_SHELL: &[&str] = &["quit", "exit", "help"];

#[derive(Helper, Completer, Highlighter, Hinter)]
struct ShellHelper {
    #[rustyline(Completer)]
    words: Words,
}

struct Words(Vec<String>);

impl CompleterTrait for Words {
    type Candidate = Pair;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = line.get(..position).unwrap_or_default();
        let start = before
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_'))
            .map_or(0, |i| i + before[i..].chars().next().map_or(1, char::len_utf8));
        let word = &before[start..];
        if word.is_empty() {
            return Ok((start, Vec::new()));
        }
        let upper = word.to_uppercase();
        let lower_case = word.chars().all(|c| !c.is_uppercase());
        let found = self.0.iter().filter(|w| w.to_uppercase().starts_with(&upper)).map(|w| {
            let shown = if lower_case { w.to_lowercase() } else { w.clone() };
            Pair { display: shown.clone(), replacement: shown }
        });
        Ok((start, found.collect()))
    }
}

impl Validator for ShellHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input().trim();
        let complete =
            text.is_empty() || text.ends_with(';') || WORDS_OF_THE_SHELL.contains(&text.to_ascii_lowercase().as_str());
        Ok(if complete { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

pub fn run(runtime: &tokio::runtime::Runtime, application: &Application, format: output::Format) -> SparkResult<()> {
    let failed = |e: ReadlineError| SparkError::internal(format!("the terminal cannot be read: {e}"));
    let mut words: Vec<String> = Keyword::all().map(|k| k.text().to_owned()).collect();
    words.extend(firesteel_functions::registry::names().into_keys().map(str::to_owned));
    words.sort();
    words.dedup();
    let mut editor: Editor<ShellHelper, DefaultHistory> = Editor::new().map_err(failed)?;
    editor.set_helper(Some(ShellHelper { words: Words(words) }));
    let history = history_file();
    if let Some(path) = &history {
        // No history yet is no error.
        let _ = editor.load_history(path);
    }
    eprintln!("Firesteel {}. End statements with ';', leave with Ctrl-D, 'help' for more.", env!("CARGO_PKG_VERSION"));
    loop {
        let line = match editor.readline("firesteel> ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(failed(error)),
        };
        let text = line.trim();
        if text.is_empty() {
            continue;
        }
        let _ = editor.add_history_entry(text);
        match text.trim_end_matches(';').to_ascii_lowercase().as_str() {
            "quit" | "exit" => break,
            "help" => {
                eprintln!(
                    "Any statement of Spark SQL, ended by ';'. SHOW TABLES; DESCRIBE t; SET key = value; EXPLAIN SELECT …;\nTab completes keywords and functions, Ctrl-R searches the history, Ctrl-C drops the line."
                );
                continue;
            }
            _ => {}
        }
        let outcome = runtime.block_on(async {
            let bar = Bar::start(application.progress(), true);
            let mut shown = Ok(());
            let run = application.run_script(text, |result| {
                shown = bar.suspend(|| {
                    let shown = sql::show(application, &result, format);
                    eprintln!("({:.3} s)", result.seconds);
                    shown
                });
                shown.is_ok()
            });
            tokio::select! {
                ran = run => ran.and(shown),
                _ = tokio::signal::ctrl_c() => {
                    Err(SparkError::new("OPERATION_CANCELED", "HY008", "Operation has been canceled.".to_owned()))
                }
            }
        });
        if let Err(error) = outcome {
            eprintln!("error: {error}");
        }
    }
    if let Some(path) = &history {
        if let Some(folder) = path.parent() {
            let _ = std::fs::create_dir_all(folder);
        }
        let _ = editor.save_history(path);
    }
    Ok(())
}

fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?;
    Some(state.join("firesteel/sql-history"))
}
