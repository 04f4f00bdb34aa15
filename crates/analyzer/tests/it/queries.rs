//! Queries over small data with nulls and duplicates: the rows that real Spark answered (oracle/record on
//! oracle/cases/queries.sql).

use firesteel_analyzer::Analyzed;
use serde_json::Value;

use crate::support::{analyze, repository, rows, session};

#[tokio::test]
async fn queries_answer_sparks_rows() {
    let warehouse = tempfile::tempdir().unwrap();
    let session = session(warehouse.path());
    let oracle = repository().join("oracle");
    let script = std::fs::read_to_string(oracle.join("cases/queries.sql")).unwrap();
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (number, span) in firesteel_sql::split_statements(&script).into_iter().enumerate() {
        let sql = &script[span.start as usize..span.end as usize];
        let recorded = oracle.join(format!("expected/queries/result-{:03}.jsonl", number + 1));
        if !recorded.exists() {
            assert!(matches!(analyze(&session, sql).await, Ok(Analyzed::Done)), "{sql}");
            continue;
        }
        compared += 1;
        let recorded = std::fs::read_to_string(recorded).unwrap();
        let mut lines = recorded.lines();
        let head: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        let mut expected: Vec<String> = lines.map(str::to_owned).collect();
        match rows(&session, sql).await {
            Ok((schema, mut actual)) => {
                if head["schema"] != schema {
                    wrong.push(format!("{sql}\n    schema: expected {}, got {schema}", head["schema"]));
                }
                if head.get("ordered").is_none() {
                    expected.sort();
                    actual.sort();
                }
                if expected != actual {
                    wrong.push(format!(
                        "{sql}\n    expected {}\n         got {}",
                        expected.join(" "),
                        actual.join(" ")
                    ));
                }
            }
            Err(error) => wrong.push(format!("{sql}\n    {error}")),
        }
    }
    assert!(compared > 50, "only {compared} queries are recorded");
    assert!(wrong.is_empty(), "{} of {compared} queries differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Which way a join goes that hints speak of.
#[tokio::test]
async fn join_hints_are_heeded() {
    let warehouse = tempfile::tempdir().unwrap();
    let session = session(warehouse.path());
    for table in ["a", "b"] {
        analyze(&session, &format!("CREATE TEMPORARY VIEW {table} AS SELECT id, id % 7 AS v FROM range(0, 100, 1, 4)"))
            .await
            .unwrap();
    }
    let joins = async |sql: &str| {
        let Analyzed::Query(query) = analyze(&session, sql).await.unwrap() else { panic!("{sql}") };
        let plan = session.engine().state().create_physical_plan(&query.plan).await.unwrap();
        let text = datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string();
        assert!(!text.contains("JoinHint"), "{text}");
        let joins = text.lines().map(str::trim).filter(|line| line.contains("Join"));
        let shown = joins.map(|line| {
            let mode = line.split("mode=").nth(1).and_then(|rest| rest.split(',').next());
            format!("{} {}", line.split(':').next().unwrap(), mode.unwrap_or_default()).trim().to_owned()
        });
        shown.collect::<Vec<_>>()
    };
    for (hint, from, expected) in [
        ("MERGE(b)", "a JOIN b USING (id)", "SortMergeJoinExec"),
        ("SHUFFLE_MERGE(a, b)", "a LEFT JOIN b USING (id)", "SortMergeJoinExec"),
        ("MERGE", "(SELECT /*+ MERGE */ * FROM a) JOIN b USING (id)", "SortMergeJoinExec"),
        ("BROADCAST(b)", "a JOIN b USING (id)", "HybridHashJoinExec CollectLeft"),
        ("SHUFFLE_HASH(b)", "a JOIN b USING (id)", "HybridHashJoinExec Partitioned"),
        // A broadcast goes before a merge; the left side of a left join cannot be broadcast.
        ("MERGE(a), MAPJOIN(b)", "a JOIN b USING (id)", "HybridHashJoinExec CollectLeft"),
        // Not that of a subquery, and not the table behind another name.
        ("MERGE(b)", "a JOIN (SELECT * FROM b) AS c USING (id)", "HybridHashJoinExec"),
        ("MERGE(b)", "a JOIN b AS c USING (id)", "HybridHashJoinExec"),
        ("MERGE(c)", "a JOIN b AS c USING (id)", "SortMergeJoinExec"),
        ("NOT_A_HINT(b)", "a JOIN b USING (id)", "HybridHashJoinExec"),
    ] {
        let sql = format!("SELECT /*+ {hint} */ * FROM {from}");
        let joins = joins(&sql).await;
        assert!(joins.len() == 1 && joins[0].starts_with(expected), "{sql}: {joins:?}");
    }
}
