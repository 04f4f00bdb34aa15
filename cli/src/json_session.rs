//! `firesteel sql --json-session`: one session for a program that sends statements line by line and reads answers line by line.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    sync::Arc,
    time::Instant,
};

use firesteel_driver::{Application, hive};
use firesteel_plan::{SparkError, SparkResult, error::QueryContext};
use serde_json::{Value, json};

/// A longer line is refused, and so are those after it: where the next begins is not known.
const MAX_LINE: u64 = 16 << 20;

/// Answers requests from standard input until it ends. A statement that fails does not end the session.
pub fn run(runtime: &tokio::runtime::Runtime, application: Application) -> SparkResult<()> {
    let application = Arc::new(application);
    let mut input = BufReader::new(io::stdin().lock());
    let mut out = io::stdout().lock();
    let mut line = String::new();
    loop {
        line.clear();
        let read = (&mut input).take(MAX_LINE).read_line(&mut line).map_err(broken)?;
        if read == 0 {
            return Ok(());
        }
        if read as u64 == MAX_LINE && !line.ends_with('\n') {
            return Err(bad_request(format!("A line has at most {MAX_LINE} bytes.")));
        }
        if line.trim().is_empty() {
            continue;
        }
        let started = Instant::now();
        let mut answer = match statement(&line) {
            Ok(sql) => runtime.block_on(answer(&application, sql)),
            Err(error) => json!({ "error": described(&error, "") }),
        };
        if let Value::Object(fields) = &mut answer {
            fields.insert("seconds".to_owned(), json!(started.elapsed().as_secs_f64()));
        }
        let written = serde_json::to_writer(&mut out, &answer).map_err(io::Error::from);
        match written.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()) {
            Ok(()) => {}
            // Whoever asked has gone.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(e) => return Err(broken(e)),
        }
    }
}

fn broken(error: io::Error) -> SparkError {
    SparkError::internal(format!("requests cannot be read or answers not be written: {error}"))
}

fn bad_request(why: String) -> SparkError {
    SparkError::new("INVALID_SESSION_REQUEST", "22023", format!("{why} A request is {{\"sql\": \"…\"}} on one line."))
}

fn statement(line: &str) -> SparkResult<String> {
    let request: Value = serde_json::from_str(line).map_err(|e| bad_request(format!("The line is no JSON: {e}.")))?;
    match request.get("sql").and_then(Value::as_str) {
        Some(sql) => Ok(sql.to_owned()),
        None => Err(bad_request("The line has no text under \"sql\".".to_owned())),
    }
}

/// In a task of its own: what goes wrong with one statement, a defect of ours even, is that statement's answer.
async fn answer(application: &Arc<Application>, sql: String) -> Value {
    let (application, text) = (application.clone(), sql.clone());
    let task = tokio::spawn(async move {
        let (statement, result) = application.run_one(&text).await?;
        let rows = hive::rows(&statement, &result.outcome, &application.session().conf())?;
        Ok::<_, SparkError>(json!({ "schema": hive::schema(&result.outcome), "rows": rows }))
    });
    match task.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => json!({ "error": described(&error, &sql) }),
        Err(failed) => {
            let error = SparkError::internal(format!("the statement ended early: {failed}"));
            json!({ "error": described(&error, &sql) })
        }
    }
}

fn described(error: &SparkError, sql: &str) -> Value {
    json!({
        "errorClass": error.class(),
        "sqlState": error.sql_state(),
        "messageParameters": error.parameters(),
        "queryContext": error.context().map(|c| place(c, sql)).into_iter().collect::<Vec<_>>(),
        "message": error.message(),
    })
}

/// As Spark counts: UTF-16 units, from 1, the last one included.
fn place(context: &QueryContext, sql: &str) -> Value {
    let units = |end: usize| sql.get(..end).map_or(end, |t| t.encode_utf16().count());
    json!({
        "objectType": "",
        "objectName": "",
        "startIndex": units(context.start) + 1,
        "stopIndex": units(context.end),
        "fragment": context.fragment,
    })
}
