//! Generated files are what the code generates.

use firesteel_api::crd;
use firesteel_operator::{metrics::Metrics, reference};
use std::path::{Path, PathBuf};

fn project(path: &str) -> PathBuf {
    Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("..").join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap_or_default()
}

const REMEDY: &str = "run `cargo run -p firesteel-operator -- crds --dir crds --dir charts/firesteel/files --reference docs/sparkjob.md`";

#[test]
fn the_charts_definition_is_the_generated_one() {
    let generated = crd::sparkjob_yaml().unwrap();
    for folder in ["crds", "charts/firesteel/files"] {
        assert!(read(&format!("{folder}/{}", crd::SPARKJOB_FILE)) == generated, "{folder} is out of date: {REMEDY}");
    }
}

#[test]
fn the_reference_is_the_generated_one() {
    assert!(
        read("docs/sparkjob.md") == reference::sparkjob_markdown(&crd::sparkjob_json().unwrap()),
        "docs/sparkjob.md is out of date: {REMEDY}"
    );
}

#[test]
fn metrics_are_open_metrics_with_bounded_labels() {
    let metrics = Metrics::default();
    metrics.reconciled(Some("conflict"), std::time::Duration::from_millis(3));
    metrics.set_leader(true);
    let text = metrics.encode();
    for line in [
        "firesteel_operator_reconciles_total{result=\"error\"} 1",
        "firesteel_operator_reconcile_errors_total{kind=\"conflict\"} 1",
        "firesteel_operator_leader 1",
        "firesteel_operator_jobs{phase=\"Running\"} 0",
    ] {
        assert!(text.contains(line), "{line} not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}
