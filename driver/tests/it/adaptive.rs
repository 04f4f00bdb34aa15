//! Plans that change while they run, on executors: the rows stay the same.

use std::time::Duration;

use crate::application::OnExecutors;

/// Nothing is broadcast by the planner; what turns out small is.
const SWITCH: [(&str, &str); 4] = [
    ("spark.sql.autoBroadcastJoinThreshold", "-1"),
    ("spark.sql.adaptive.autoBroadcastJoinThreshold", "100k"),
    ("spark.sql.adaptive.nonEmptyPartitionRatioForBroadcastJoin", "0"),
    ("spark.sql.shuffle.partitions", "8"),
];

/// Nothing is broadcast at all.
const NEVER: [(&str, &str); 2] =
    [("spark.sql.autoBroadcastJoinThreshold", "-1"), ("spark.sql.shuffle.partitions", "8")];

/// The first value of `sql` with AQE on and off, and the plan that ran when it was on.
async fn both(conf: &[(&str, &str)], sql: &str) -> (String, String, String) {
    let app = OnExecutors::start(2, conf).await;
    let off = app.value(&format!("SET spark.sql.adaptive.enabled = false; {sql}")).await;
    assert_eq!(app.executed_plan(), None);
    let on = app.value(&format!("SET spark.sql.adaptive.enabled = true; {sql}")).await;
    (on, off, app.executed_plan().expect("a plan that ran"))
}

/// The part of a plan's text that tells how it ran.
fn last(plan: &str) -> &str {
    plan.split("== Initial Plan ==").next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn small_partitions_are_read_by_one_task() {
    let sql = "SELECT sum(k * n) FROM (SELECT id % 1000 k, count(*) n FROM range(0, 20000, 1, 4) GROUP BY 1)";
    let (on, off, plan) = both(&[("spark.sql.shuffle.partitions", "50")], sql).await;
    assert_eq!((on.as_str(), off.as_str()), ("9990000", "9990000"));
    assert!(plan.contains("isFinalPlan=true") && plan.contains("== Initial Plan =="), "{plan}");
    // The maps and one task that reads all they wrote: what is gathered of one task needs no stage.
    assert_eq!(last(&plan).matches("Stage ").count(), 2, "{plan}");
    assert!(last(&plan).contains("(1 tasks, reads stages 0"), "{plan}");
    let kept = [("spark.sql.shuffle.partitions", "50"), ("spark.sql.adaptive.coalescePartitions.enabled", "false")];
    let (on, off, plan) = both(&kept, sql).await;
    assert_eq!(on, off);
    assert!(last(&plan).contains("(50 tasks, reads stages 0"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sides_of_a_join_are_coalesced_alike() {
    let sql = "SELECT count(*), sum(a.x) FROM (SELECT id % 5000 k, id x FROM range(0, 30000, 1, 3)) a
        JOIN (SELECT id % 9000 k FROM range(0, 9000, 1, 5)) b ON a.k = b.k";
    let conf = [NEVER.as_slice(), &[("spark.sql.adaptive.coalescePartitions.minPartitionSize", "20k")]].concat();
    let (on, off, plan) = both(&conf, sql).await;
    assert_eq!((on.as_str(), off.as_str()), ("30000", "30000"));
    assert!(plan.contains("blocks=[0.."), "{plan}");
}

/// Half of all rows have one key. Its partition is joined by several tasks where the join type allows it.
#[tokio::test(flavor = "multi_thread")]
async fn a_skewed_partition_is_joined_by_several_tasks() {
    let skew = [
        ("spark.sql.adaptive.skewJoin.skewedPartitionThresholdInBytes", "20k"),
        ("spark.sql.adaptive.skewJoin.skewedPartitionFactor", "2"),
        ("spark.sql.adaptive.advisoryPartitionSizeInBytes", "10k"),
        ("spark.sql.adaptive.coalescePartitions.minPartitionSize", "1k"),
    ];
    let conf = [NEVER.as_slice(), &skew].concat();
    let large = "SELECT CASE WHEN id % 2 = 0 THEN 77 ELSE id % 1000 END k, sha2(CAST(id AS STRING), 256) s, id
        FROM range(0, 60000, 1, 6)";
    let small = "SELECT id k, id * 2 v FROM range(0, 2000, 1, 2)";
    for (join, splits) in [
        ("JOIN", true),
        ("LEFT JOIN", true),
        ("RIGHT JOIN", false),
        ("FULL JOIN", false),
        ("LEFT SEMI JOIN", true),
        ("LEFT ANTI JOIN", true),
    ] {
        let columns = if join.contains("SEMI") || join.contains("ANTI") {
            "l.id"
        } else {
            "coalesce(l.id, 0) + coalesce(r.v, 7)"
        };
        let sql = format!(
            "SELECT concat(count(*), ' ', sum(x)) FROM (SELECT {columns} x FROM ({large}) l {join} ({small}) r ON l.k = r.k)"
        );
        let (on, off, plan) = both(&conf, &sql).await;
        assert_eq!(on, off, "{join}\n{plan}");
        let parts = ["1..", "2..", "3.."].iter().any(|from| last(&plan).contains(&format!("of maps {from}")));
        assert_eq!(parts, splits, "{join}\n{plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_turns_out_small_is_read_whole() {
    let small = "SELECT id % 100000 k, max(id) x FROM range(0, 100000, 1, 4) WHERE id % 5000 = 7 GROUP BY 1";
    let large = "SELECT id % 20000 k, id x FROM range(0, 50000, 1, 4)";
    for join in ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "LEFT SEMI JOIN", "LEFT ANTI JOIN"] {
        for (left, right) in [(small, large), (large, small)] {
            let one_side = join.contains("SEMI") || join.contains("ANTI");
            let sum = if one_side { "l.x" } else { "coalesce(l.x, 1) * coalesce(r.x, 3)" };
            let sql =
                format!("SELECT concat(count(*), ' ', sum({sum})) FROM ({left}) l {join} ({right}) r ON l.k = r.k");
            let (on, off, plan) = both(&SWITCH, &sql).await;
            assert_eq!(on, off, "{sql}\n{plan}");
            // A join that outputs rows of the small side that found no partner must not read that side in every task.
            let left_small = left == small;
            let may = match join {
                "JOIN" | "LEFT SEMI JOIN" => true,
                "LEFT JOIN" | "LEFT ANTI JOIN" => !left_small,
                "RIGHT JOIN" => left_small,
                _ => false,
            };
            let switched = last(&plan).contains("mode=CollectLeft");
            // Of a semi join only the side that is not output can be read whole.
            if join != "LEFT SEMI JOIN" || !left_small {
                assert_eq!(switched, may, "{sql}\n{plan}");
            }
            assert!(!plan.split("== Initial Plan ==").nth(1).unwrap().contains("mode=CollectLeft"), "{plan}");
        }
    }
}

/// What was written in partitions by key is read by map output once the join does not need them.
#[tokio::test(flavor = "multi_thread")]
async fn a_switched_join_reads_its_other_side_by_map() {
    let sql = "SELECT count(*), sum(b.id) FROM (SELECT id k FROM range(0, 100000, 1, 3) WHERE id % 5000 = 7) a
        JOIN (SELECT id % 20000 k, sha2(CAST(id AS STRING), 256) s, id FROM range(0, 50000, 1, 4)) b ON a.k = b.k
        WHERE b.s > '1'";
    let conf = [SWITCH.as_slice(), &[("spark.sql.adaptive.coalescePartitions.minPartitionSize", "1k")]].concat();
    let (on, off, plan) = both(&conf, sql).await;
    assert_eq!(on, off);
    assert!(last(&plan).contains("mode=CollectLeft") && last(&plan).contains("blocks=[0..8 of maps 0..1,"), "{plan}");
    let without = [conf.as_slice(), &[("spark.sql.adaptive.localShuffleReader.enabled", "false")]].concat();
    let (on, _, plan) = both(&without, sql).await;
    assert_eq!(on, off);
    assert!(!last(&plan).contains("blocks=[0..8 of maps 0..1,"), "{plan}");
}

/// A side without rows: what the other side's stages would have done is not done.
#[tokio::test(flavor = "multi_thread")]
async fn joins_with_empty_sides_are_left_out() {
    let empty = "SELECT id % 10 k, max(id) m FROM range(0, 1000, 1, 2) WHERE id * id = 3 GROUP BY 1";
    let full = "SELECT k, count(*) n FROM (SELECT id % 500 k, id FROM range(0, 5000, 1, 4) GROUP BY 1, 2) GROUP BY 1";
    for join in ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "LEFT SEMI JOIN", "LEFT ANTI JOIN"] {
        for (left, right) in [(empty, full), (full, empty)] {
            let columns = if join.contains("SEMI") || join.contains("ANTI") { "l.k" } else { "l.k, r.k + 1 r" };
            let sql = format!(
                "SELECT concat(count(*), ' ', count(k)) FROM (SELECT {columns} FROM ({left}) l {join} ({right}) r ON l.k = r.k)"
            );
            let (on, off, plan) = both(&NEVER, &sql).await;
            assert_eq!(on, off, "{sql}\n{plan}");
            if join == "JOIN" {
                assert!(last(&plan).contains("EmptyExec") && !last(&plan).contains("HashJoinExec"), "{plan}");
            }
        }
    }
    let union = format!("SELECT sum(k) FROM (SELECT k FROM ({empty}) UNION ALL SELECT k FROM ({full}))");
    let (on, off, plan) = both(&NEVER, &union).await;
    assert_eq!((on.as_str(), off.as_str()), ("124750", "124750"));
    assert!(!last(&plan).contains("UnionExec"), "{plan}");
    // An anti join with nulls: no row when the other side has a null, all rows when it is empty.
    let null_aware = format!("SELECT count(*) FROM ({full}) WHERE k NOT IN (SELECT k FROM ({empty}))");
    let (on, off, _) = both(&NEVER, &null_aware).await;
    assert_eq!((on.as_str(), off.as_str()), ("500", "500"));
}

/// Windows, unions, limits, distinct aggregates, order, null-aware anti joins, subqueries: what needs its own rule when a
/// plan is cut.
#[tokio::test(flavor = "multi_thread")]
async fn plans_of_every_shape_answer_the_same() {
    let rows = "SELECT id, id % 97 k, CASE WHEN id % 11 = 0 THEN NULL ELSE id % 13 END n FROM range(0, 20000, 1, 5)";
    let queries = [
        format!("SELECT sum(r * k) FROM (SELECT k, row_number() OVER (PARTITION BY k ORDER BY id) r FROM ({rows}))"),
        format!("SELECT concat_ws(',', collect_list(id)) FROM (SELECT id FROM ({rows}) ORDER BY k, id DESC LIMIT 20)"),
        format!("SELECT count(DISTINCT k) + count(DISTINCT n) + sum(id) FROM ({rows})"),
        format!("SELECT count(*) FROM ({rows}) WHERE k NOT IN (SELECT n FROM ({rows}))"),
        format!("SELECT count(*) FROM ({rows}) WHERE k NOT IN (SELECT n FROM ({rows}) WHERE n IS NOT NULL)"),
        format!(
            "SELECT count(*) FROM ({rows}) WHERE id > (SELECT avg(s) FROM (SELECT sum(id) / count(*) s FROM ({rows}) GROUP BY k))"
        ),
        format!(
            "SELECT count(*) FROM ({rows}) a JOIN ({rows}) b ON a.k = b.k JOIN ({rows}) c ON a.k = c.k AND c.id < 97 WHERE a.id < 500 AND b.id < 500"
        ),
        format!(
            "SELECT count(*) FROM (SELECT k FROM ({rows}) GROUP BY k) a, (SELECT n FROM ({rows}) GROUP BY n) b WHERE a.k > b.n"
        ),
        format!("SELECT sum(k) FROM (SELECT k FROM ({rows}) INTERSECT SELECT n FROM ({rows}))"),
        format!("SELECT sum(k) FROM (SELECT k FROM ({rows}) EXCEPT SELECT n FROM ({rows}))"),
        format!(
            "SELECT sum(x) FROM (SELECT /*+ REPARTITION(3) */ k x FROM ({rows}) UNION ALL SELECT max(id) FROM ({rows}) GROUP BY n)"
        ),
        format!(
            "SELECT count(*) FROM (SELECT /*+ REPARTITION(5, k) */ k, id FROM ({rows})) a LEFT JOIN ({rows}) b ON a.k = b.n AND b.id < 100"
        ),
        format!("SELECT sum(c) FROM (SELECT k, n, count(*) c FROM ({rows}) GROUP BY ROLLUP (k, n)) WHERE k < 50"),
        format!("SELECT max(id) FROM (SELECT * FROM ({rows}) LIMIT 30000)"),
    ];
    for conf in [&SWITCH[..], &NEVER[..], &[]] {
        let on = OnExecutors::start(2, conf).await;
        let off = OnExecutors::start(2, &[conf, &[("spark.sql.adaptive.enabled", "false")]].concat()).await;
        for sql in &queries {
            let (a, b) = (on.value(sql).await, off.value(sql).await);
            assert_eq!(a, b, "{sql}\n{}", on.executed_plan().unwrap_or_default());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_that_the_plan_may_change() {
    let app = OnExecutors::start(1, &[]).await;
    let sql = "SELECT id % 3, count(*) FROM range(0, 100, 1, 2) GROUP BY 1";
    let plan = app.value(&format!("EXPLAIN {sql}")).await;
    assert!(plan.contains("AdaptiveSparkPlan isFinalPlan=false") && plan.contains("Stage 0"), "{plan}");
    let plan = app.value(&format!("SET spark.sql.adaptive.enabled = false; EXPLAIN {sql}")).await;
    assert!(!plan.contains("AdaptiveSparkPlan") && plan.contains("Stage 0"), "{plan}");
}

/// Files below the executors' folders.
fn files(app: &OnExecutors) -> Vec<std::path::PathBuf> {
    let mut folders: Vec<_> = app.executor_dirs();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    files
}

async fn no_files_are_left(app: &OnExecutors) {
    for _ in 0..500 {
        if files(app).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("left behind: {:?}", files(app));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_query_that_ended_failed_or_was_given_up() {
    let app = OnExecutors::start(2, &[]).await;
    let rows = "SELECT id % 1000 k, count(*) n FROM range(0, 50000, 1, 4) GROUP BY 1";
    assert_eq!(app.value(&format!("SELECT sum(n) FROM ({rows})")).await, "50000");
    no_files_are_left(&app).await;
    // The second stage fails, the first one's outputs are there.
    let failing = format!("SELECT sum(1 / (n - 50)) FROM ({rows})");
    let error = app.application.run_script(&failing, |_| true).await.unwrap_err();
    assert_eq!(error.class(), "DIVIDE_BY_ZERO", "{error}");
    no_files_are_left(&app).await;
    let endless = "SELECT count(*) FROM (SELECT a.id % 10 k FROM range(0, 100000, 1, 4) a JOIN range(0, 100000, 1, 4) b
        ON a.id % 10 = b.id % 10 GROUP BY 1)";
    let given_up =
        tokio::time::timeout(Duration::from_millis(1500), app.application.run_script(endless, |_| true)).await;
    assert!(given_up.is_err(), "it ended: {given_up:?}");
    no_files_are_left(&app).await;
    assert_eq!(app.value("SELECT count(*) FROM range(0, 10)").await, "10");
}

/// The executor that holds half of the outputs of finished stages dies before the next stage begins, or while it runs.
#[tokio::test(flavor = "multi_thread")]
async fn outputs_lost_between_stages_are_made_again() {
    const MAPS: u64 = 8;
    for wait_for in [MAPS, MAPS + 3] {
        let conf =
            [("spark.sql.shuffle.partitions", "400"), ("spark.sql.adaptive.coalescePartitions.enabled", "false")];
        let mut app = OnExecutors::start(2, &conf).await;
        let victim = app.executors.remove(0);
        let progress = app.progress.clone();
        let lost = tokio::spawn(async move {
            while progress.get().tasks_done < wait_for {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            victim.kill();
            victim
        });
        let sql = format!(
            "SELECT sum(n) FROM (SELECT k % 7, sum(n) n FROM (SELECT id % 5000 k, count(*) n FROM range(0, 100000, 1, {MAPS})
            GROUP BY 1) GROUP BY 1)"
        );
        assert_eq!(app.value(&sql).await, "100000");
        let _ = lost.await.unwrap();
        let again = app.progress.get().rows_read.saturating_sub(100_000);
        let of_one = 100_000 / MAPS;
        assert!((of_one..100_000).contains(&again) && again % of_one == 0, "{again} rows were read again");
    }
}
