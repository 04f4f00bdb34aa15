use firesteel_api::crd;
use serde_json::Value;
use std::path::Path;

fn committed() -> std::path::PathBuf {
    Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../crds").join(crd::SPARKJOB_FILE)
}

#[test]
fn committed_crd_is_the_generated_one() {
    let generated = crd::sparkjob_yaml().unwrap();
    let committed = std::fs::read_to_string(committed()).unwrap_or_default();
    assert!(
        generated == committed,
        "crds/{} is out of date: run `cargo run -p firesteel-operator -- crds --dir crds --dir charts/firesteel/files --reference docs/sparkjob.md`",
        crd::SPARKJOB_FILE
    );
}

#[test]
fn crd_is_small() {
    // kubectl apply keeps the whole object in an annotation of at most 256 KiB.
    let json = serde_json::to_string(&crd::sparkjob_json().unwrap()).unwrap();
    assert!(json.len() < 256 * 1024, "{} bytes", json.len());
}

#[test]
fn schema_is_structural() {
    let crd = crd::sparkjob_json().unwrap();
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap();
    walk(schema, "$", &mut |path, node| {
        for banned in ["$ref", "oneOf", "anyOf", "allOf", "not", "nullable", "definitions"] {
            assert!(node.get(banned).is_none(), "{path} has {banned}");
        }
        let open = node.get("x-kubernetes-preserve-unknown-fields").is_some();
        assert!(node.get("type").is_some() || open, "{path} has no type");
    });
    // The driver's and the operator's parts of the status are told apart by these names.
    for field in ["progress", "executors", "conditions", "attempts"] {
        assert!(schema.pointer(&format!("/properties/status/properties/{field}")).is_some(), "{field}");
    }
}

fn walk(schema: &Value, path: &str, check: &mut impl FnMut(&str, &Value)) {
    check(path, schema);
    for (key, child) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        walk(child, &format!("{path}.{key}"), check);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = schema.get(key).filter(|child| child.is_object()) {
            walk(child, &format!("{path}.{key}"), check);
        }
    }
}
