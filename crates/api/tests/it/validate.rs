use firesteel_api::{
    Reason, SparkJob,
    jobfile::JobFile,
    validate::{Problems, Target, validate},
};

fn job(spec: &str) -> SparkJob {
    let indented = spec.lines().map(|line| format!("  {line}\n")).collect::<String>();
    let text = format!(
        "apiVersion: firesteel.dev/v1alpha1\nkind: SparkJob\nmetadata: {{name: a, namespace: n, uid: u}}\nspec:\n{indented}"
    );
    JobFile::parse(&text).unwrap().job
}

fn problems(spec: &str) -> Problems {
    validate(&job(spec), Target::Cluster).expect_err(spec)
}

#[test]
fn refusals_name_the_field() {
    let table = [
        ("image: x", "spec: exactly one of sql, python and app must be set"),
        ("sql: {inline: '  '}", "spec.sql.inline: there is no statement in it"),
        ("sql: {inline: a, path: /b}", "spec.sql: exactly one of inline, configMap and path must be set"),
        ("sql: {path: a.sql}", "spec.sql.path: 'a.sql' is relative"),
        ("sql: {path: 'gs://b/a.sql'}", "spec.sql.path: 'gs://b/a.sql': only s3://, s3a:// and file paths can be read"),
        ("python: {path: /a.py}", "spec.python: PySpark programs are not supported in this version"),
        ("app: {path: /a.jar}", "spec.app: compiled applications are not supported"),
        (
            "sql: {inline: a}\ndriver: {env: [{name: FIRESTEEL_X, value: y}]}",
            "spec.driver.env: 'FIRESTEEL_X': names that begin",
        ),
        (
            "sql: {inline: a}\nexecutor: {volumes: [{name: v, hostPth: {}}, {name: w, emptyDir: {}}], volumeMounts: [{name: w, mountPath: /w, x: 1}]}",
            "spec.executor.volumeMounts[0].x: there is no such field",
        ),
        (
            "sql: {inline: a}\nexecutor: {volumeMounts: [{name: v, mountPath: /v}]}",
            "spec.executor.volumeMounts: 'v' is not one of spec.executor.volumes",
        ),
        (
            "sql: {inline: a}\ndriver: {affinity: {nodeAfinity: {a: b}}}",
            "spec.driver.affinity.nodeAfinity: there is no such field",
        ),
        ("sql: {inline: a}\ndriver: {tolerations: [{key: 1}]}", "spec.driver.tolerations[0]: invalid type"),
        (
            "sql: {inline: a}\ndriver: {podTemplate: {spec: {hostNetwrk: true}}}",
            "spec.driver.podTemplate.spec.hostNetwrk: there is no such field",
        ),
        (
            "sql: {inline: a}\ndriver: {labels: {firesteel.dev/job: x}}",
            "spec.driver.labels: 'firesteel.dev/job': keys under",
        ),
        (
            "sql: {inline: a}\nsparkConf: {spark.kubernetes.namespace: x}",
            "spec.sparkConf[\"spark.kubernetes.namespace\"]: this key is not read: set metadata.namespace",
        ),
        (
            "sql: {inline: a}\nexecutor: {dynamicAllocation: {minInstances: 2, maxInstances: 1}}",
            "spec.executor.dynamicAllocation.minInstances: 2 is more than the 1 of maxInstances",
        ),
        ("sql: {inline: a}\nexecutor: {memory: 1.5g}", "spec.executor.memory: '1.5g' is a fraction"),
        ("sql: {inline: a}\nimage: 'a b'", "spec.image: 'a b' is not an image reference"),
    ];
    for (spec, expected) in table {
        let text = problems(spec).to_string();
        assert!(text.contains(expected), "{spec}\n got: {text}");
    }
}

#[test]
fn everything_wrong_is_reported_at_once() {
    let found = problems("sql: {path: rel.sql}\nexecutor: {memory: '5'}\ndriver: {cores: 1, coreRequest: x}");
    assert_eq!(found.0.len(), 3, "{found}");
    assert_eq!(found.reason(), Reason::InvalidSpec);
    assert_eq!(problems("python: {path: /a.py}").reason(), Reason::NotYetSupported);
}

#[test]
fn a_laptop_takes_relative_paths() {
    assert!(validate(&job("sql: {path: a.sql}"), Target::Local).is_ok());
}

#[test]
fn a_template_may_bring_the_volume_of_a_mount() {
    let spec = "sql: {inline: a}\nexecutor: {volumeMounts: [{name: v, mountPath: /v}], podTemplate: {spec: {volumes: [{name: v, emptyDir: {}}]}}}";
    assert!(validate(&job(spec), Target::Cluster).is_ok());
}
