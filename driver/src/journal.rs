//! What an application has done for good: for a driver that takes the place of one that died.
//!
//! Finished stages are not in it: executors know those. It holds what they cannot know, in a few bytes, and is written once
//! a statement that has an effect.

use async_trait::async_trait;
use firesteel_engine::codec::digest;
use firesteel_plan::{Span, SparkError, SparkResult, Statement, statement::StatementKind};

/// Where an application's driver notes what is done, and where one that follows it finds that.
#[async_trait]
pub trait Journal: Send + Sync {
    /// What had been done when this driver began.
    fn before(&self) -> Done;

    /// Notes it. When this returns well no later driver does it again. An error says that there is a later one already, or
    /// that nothing can be noted.
    async fn record(&self, done: Done) -> SparkResult<()>;

    /// Names the application, in all lives of its driver.
    fn application(&self) -> &str;
}

/// The statements from the first on whose effects are complete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    pub statements: usize,
    /// Rows that they have written.
    pub rows: u64,
    /// [`text_of`] them.
    pub text: String,
}

impl Done {
    /// Checks that the program still begins with the statements that are done.
    pub fn check(&self, script: &str, statements: &[Span]) -> SparkResult<()> {
        if self.statements == 0
            || (self.statements <= statements.len() && text_of(script, statements, self.statements) == self.text)
        {
            return Ok(());
        }
        Err(SparkError::new(
            "RECOVERY_FAILED.PROGRAM_CHANGED",
            "58000",
            format!(
                "The program changed since its first {} statements were run by an earlier driver, which cannot be taken back. \
                 Delete the SparkJob and create it again.",
                self.statements
            ),
        ))
    }
}

/// A fingerprint of the first `count` statements of a script.
pub fn text_of(script: &str, statements: &[Span], count: usize) -> String {
    let end = count.checked_sub(1).and_then(|last| statements.get(last)).map_or(0, |span| span.end as usize);
    digest(script.get(..end).unwrap_or(script).as_bytes()).to_string()
}

/// Whether what a finished statement did lasts: it is noted before the next one begins. What a session is told is told again.
pub fn has_effect(statement: &Statement) -> bool {
    kind_has_effect(&statement.kind)
}

fn kind_has_effect(kind: &StatementKind) -> bool {
    use StatementKind as Kind;
    match kind {
        Kind::Query(_)
        | Kind::Insert(_)
        | Kind::InsertDirectory(_)
        | Kind::DropTable { .. }
        | Kind::DropDatabase { .. } => true,
        // What these do is known when they have run.
        Kind::TruncateTable { .. } | Kind::Script(_) | Kind::ExecuteImmediate { .. } => true,
        Kind::Deferred { statement, .. } => kind_has_effect(statement),
        Kind::CreateTable(create) => create.query.is_some(),
        _ => false,
    }
}

/// A later driver cannot bring the session to where the earlier one had it.
pub fn not_repeatable(what: &str) -> SparkError {
    SparkError::new(
        "RECOVERY_FAILED.NOT_REPEATABLE",
        "58000",
        format!(
            "An earlier driver has run statements after which the session cannot be as it was: {what} cannot be repeated. Delete the SparkJob and create it again."
        ),
    )
}

#[cfg(test)]
mod tests {
    use firesteel_sql::split_statements;

    use super::*;

    #[test]
    fn a_program_whose_beginning_changed_is_refused() {
        let script = "INSERT INTO t SELECT 1; SELECT 2; SELECT 3";
        let spans = split_statements(script);
        let done = Done { statements: 2, rows: 1, text: text_of(script, &spans, 2) };
        assert!(done.check(script, &spans).is_ok());
        let longer = "INSERT INTO t SELECT 1; SELECT 2; SELECT 4; SELECT 5";
        assert!(done.check(longer, &split_statements(longer)).is_ok(), "what follows may");
        for other in ["INSERT INTO t SELECT 7; SELECT 2; SELECT 3", "INSERT INTO t SELECT 1"] {
            let error = done.check(other, &split_statements(other)).unwrap_err();
            assert_eq!(error.class(), "RECOVERY_FAILED.PROGRAM_CHANGED");
        }
        assert!(Done::default().check(script, &spans).is_ok());
    }
}
