//! Every keyword can be a name, in every place where Spark lets it be one.

use firesteel_sql::{Keyword, ParseOptions, parse_statement};

#[test]
fn every_keyword_can_be_a_name() {
    let forms = [
        "SELECT 1 AS {}",
        "SELECT 1 {}",
        "SELECT 1 {} FROM t",
        "SELECT * FROM {}",
        "SELECT {}",
        "SELECT {} FROM t",
        "SELECT {}(1)",
        "SELECT a.{}",
        "SELECT {}.a FROM t",
        "SELECT {} + 1 FROM t",
    ];
    let of_tables = ["SELECT * FROM t {}", "SELECT * FROM t AS {}"];
    let mut wrong = Vec::new();
    for keyword in Keyword::all() {
        for form in forms.iter().chain(&of_tables) {
            let text = form.replace("{}", keyword.text());
            // Taken for `CASE +1 WHEN …` here.
            if keyword == Keyword::CASE && *form == "SELECT {} + 1 FROM t" {
                continue;
            }
            let refused = of_tables.contains(form) && keyword.joins_relations();
            let parsed = parse_statement(&text, &ParseOptions::default());
            if parsed.is_err() != refused {
                wrong.push(format!("{text}: {}", parsed.err().map_or("accepted".into(), |e| e.message().to_owned())));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ from Spark:\n{}", wrong.len(), wrong.join("\n"));
}
