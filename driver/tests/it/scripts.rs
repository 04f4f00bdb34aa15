//! Variables, scripts and recursive queries, which the driver runs step by step.

use crate::application::{OnExecutors, in_process, row};

#[tokio::test(flavor = "multi_thread")]
async fn scripts_follow_their_control_flow() {
    let scratch = tempfile::tempdir().unwrap();
    let application = in_process(scratch.path(), &[]);
    for (script, expected) in [
        (
            "BEGIN DECLARE n INT = 0; DECLARE s INT = 0; l: WHILE n < 10 DO SET n = n + 1; IF n % 2 = 0 THEN ITERATE l; END IF; \
             IF n > 7 THEN LEAVE l; END IF; SET s = s + n; END WHILE; SELECT n, s; END",
            ["9", "16"],
        ),
        (
            "BEGIN DECLARE s INT = 0; FOR r AS SELECT id, id * 10 AS t FROM range(4) DO SET s = s + r.t + id; END FOR; \
             SELECT s, 'for'; END",
            ["66", "for"],
        ),
        (
            "BEGIN DECLARE n INT = 1; REPEAT SET n = n * 2; UNTIL n > 50 END REPEAT; CASE n WHEN 64 THEN SELECT n, 'case'; ELSE \
             SELECT n, 'else'; END CASE; END",
            ["64", "case"],
        ),
        (
            "BEGIN DECLARE EXIT HANDLER FOR SQLSTATE '22012' BEGIN SELECT 'divided', 'state'; END; SELECT 1 / 0; SELECT 'not', \
             'reached'; END",
            ["divided", "state"],
        ),
        (
            "BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN SELECT 'any', 'error'; END; BEGIN DECLARE EXIT HANDLER FOR \
             TABLE_OR_VIEW_NOT_FOUND BEGIN SELECT 'no', 'table'; END; SELECT * FROM not_there; END; END",
            ["no", "table"],
        ),
    ] {
        assert_eq!(row(&application, script).await.unwrap(), expected, "{script}");
    }
    let error = row(&application, "BEGIN DECLARE x INT = 1; IF x THEN SELECT 1; END IF; END").await.unwrap_err();
    assert_eq!(error.class(), "INVALID_BOOLEAN_STATEMENT");
    // What a script declared ends with it.
    let error = row(&application, "SELECT x").await.unwrap_err();
    assert_eq!(error.class(), "UNRESOLVED_COLUMN.WITHOUT_SUGGESTION");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_without_end_can_be_cancelled() {
    let scratch = tempfile::tempdir().unwrap();
    let application = in_process(scratch.path(), &[]);
    let endless = application.run_script("BEGIN DECLARE n INT = 0; LOOP SET n = n + 0; END LOOP; END", |_| true);
    let ended = tokio::time::timeout(std::time::Duration::from_millis(300), endless).await;
    assert!(ended.is_err(), "it ended by itself");
    assert_eq!(row(&application, "SELECT 1").await.unwrap(), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_take_what_queries_answer() {
    let scratch = tempfile::tempdir().unwrap();
    let application = in_process(scratch.path(), &[]);
    let script = "DECLARE a INT; DECLARE b STRING; SET VAR a = (SELECT max(id) FROM range(7)); \
                  SET VAR (a, b) = (SELECT a + 1, 'x'); EXECUTE IMMEDIATE 'SELECT id FROM range(100) WHERE id = :a' INTO a USING a; \
                  SELECT a, b";
    assert_eq!(row(&application, script).await.unwrap(), ["7", "x"]);
    let error = row(&application, "SET VAR (a) = (SELECT id FROM range(2))").await.unwrap_err();
    assert_eq!(error.class(), "ROW_SUBQUERY_TOO_MANY_ROWS");
}

const SUMS: &str = "WITH RECURSIVE t(n, s) AS (SELECT id, id FROM range(2) UNION ALL SELECT n + 2, s + n + 2 FROM t WHERE n < 40) \
                    SELECT count(*), sum(s), max(n) FROM t";

#[tokio::test(flavor = "multi_thread")]
async fn recursions_run_step_by_step_wherever_plans_run() {
    let scratch = tempfile::tempdir().unwrap();
    let application = in_process(scratch.path(), &[]);
    let here = row(&application, SUMS).await.unwrap();
    // 0, 2, … 40 and 1, 3, … 41, with the sums up to each.
    let sums: i64 = [0, 1]
        .into_iter()
        .map(|first| {
            (0..=20)
                .scan(0, |sum, i| {
                    *sum += first + 2 * i;
                    Some(*sum)
                })
                .sum::<i64>()
        })
        .sum();
    assert_eq!(here, ["42".to_owned(), sums.to_string(), "41".to_owned()]);
    let executors = OnExecutors::start(2, &[("spark.sql.adaptive.enabled", "true")]).await;
    assert_eq!(row(&executors.application, SUMS).await.unwrap(), here);

    let endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT";
    let error = row(&application, &format!("{endless} count(*) FROM t")).await.unwrap_err();
    assert_eq!(error.class(), "RECURSION_LEVEL_LIMIT_EXCEEDED");
    assert_eq!(row(&application, &format!("{endless} max(n) FROM (SELECT n FROM t LIMIT 9)")).await.unwrap(), ["9"]);
}
