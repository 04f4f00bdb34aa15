//! The chart, rendered by Helm itself. Helm is found on the PATH or where the cluster tests build it; without it these tests
//! say so and pass, since `e2e/cluster` brings it on every machine that tests the chart for good.

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn helm() -> Option<PathBuf> {
    let on_path =
        std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let cached = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/firesteel/bin"));
    let found = on_path.chain(cached).map(|folder| folder.join("helm")).find(|file| file.is_file());
    if found.is_none() {
        eprintln!("skipped: there is no helm; `e2e/cluster/cluster build` makes one");
    }
    found
}

fn run(arguments: &[&str]) -> Option<Output> {
    let chart = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../charts/firesteel");
    let mut command = Command::new(helm()?);
    command.args(&arguments[..arguments.len().min(2)]).arg(chart).args(&arguments[arguments.len().min(2)..]);
    Some(command.output().unwrap())
}

/// Objects of `helm template fs … -n fs` with settings.
fn template(settings: &[&str]) -> Option<Vec<Value>> {
    let mut arguments = vec!["template", "fs", "--namespace", "fs"];
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    let output = run(&arguments)?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let documents =
        serde_yaml::Deserializer::from_str(&text).map(|document| serde::Deserialize::deserialize(document).unwrap());
    Some(documents.filter(|value: &Value| !value.is_null()).collect())
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

#[test]
fn lints() {
    let chart = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../charts/firesteel");
    let Some(helm) = helm() else { return };
    let output = Command::new(helm).args(["lint", "--strict"]).arg(chart).output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_whole_cluster_by_default() {
    let Some(objects) = template(&[]) else { return };
    assert_eq!(of_kind(&objects, "ClusterRole").len(), 1);
    assert_eq!(of_kind(&objects, "Deployment").len(), 1);
    assert!(of_kind(&objects, "PodDisruptionBudget").is_empty());
    assert!(of_kind(&objects, "ServiceMonitor").is_empty());
    let definition = of_kind(&objects, "CustomResourceDefinition")[0];
    assert_eq!(definition["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");

    let pod = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL");
}

#[test]
fn the_environment_is_what_the_operator_reads() {
    let Some(objects) =
        template(&["watchNamespaces={a,b}", "runtime.repository=r/x", "runtime.tag=v7", "runtime.pullSecrets={s}"])
    else {
        return;
    };
    let container = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
    let known = clap_environment();
    for variable in container["env"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        assert!(known.iter().any(|k| k == name), "the operator does not read {name}");
    }
    let value =
        |name: &str| container["env"].as_array().unwrap().iter().find(|v| v["name"] == name).unwrap()["value"].clone();
    assert_eq!(value("FIRESTEEL_WATCH_NAMESPACES"), "a,b");
    assert_eq!(value("FIRESTEEL_RUNTIME_IMAGE"), "r/x:v7");
    assert_eq!(value("FIRESTEEL_IMAGE_PULL_SECRETS"), "s");
}

fn clap_environment() -> Vec<String> {
    use clap::CommandFactory;
    let cli = firesteel_operator::config::Cli::command();
    let run = cli.find_subcommand("run").unwrap();
    run.get_arguments()
        .filter_map(|argument| argument.get_env())
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

#[test]
fn listed_namespaces_mean_no_right_elsewhere() {
    let Some(objects) = template(&["watchNamespaces={a,b}", "replicas=2"]) else { return };
    assert!(of_kind(&objects, "ClusterRole").is_empty() && of_kind(&objects, "ClusterRoleBinding").is_empty());
    let mut places: Vec<String> = of_kind(&objects, "Role")
        .iter()
        .map(|role| format!("{}/{}", role["metadata"]["namespace"], role["metadata"]["name"]).replace('"', ""))
        .collect();
    places.sort();
    assert_eq!(
        places,
        [
            "a/fs-firesteel",
            "a/fs-firesteel-driver",
            "b/fs-firesteel",
            "b/fs-firesteel-driver",
            "fs/fs-firesteel-leader"
        ]
    );
    assert_eq!(of_kind(&objects, "PodDisruptionBudget").len(), 1);
}

#[test]
fn drivers_see_nodes_only_when_asked_for() {
    let settings = ["watchNamespaces={a,b}", "jobs.nodeNotices=true"];
    let Some(objects) = template(&settings) else { return };
    let role = of_kind(&objects, "ClusterRole")[0];
    assert_eq!(
        role["rules"],
        serde_json::json!([{ "apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"] }])
    );
    let binding = of_kind(&objects, "ClusterRoleBinding")[0];
    let subjects = binding["subjects"].as_array().unwrap();
    let places: Vec<String> =
        subjects.iter().map(|s| format!("{}/{}", s["namespace"], s["name"]).replace('"', "")).collect();
    assert_eq!(places, ["a/firesteel-driver", "b/firesteel-driver"]);
}

#[test]
fn nobody_reads_secrets_and_nobody_has_a_star() {
    let Some(objects) = template(&["watchNamespaces={a}"]) else { return };
    for role in objects.iter().filter(|object| object["kind"] == "Role" || object["kind"] == "ClusterRole") {
        for rule in role["rules"].as_array().unwrap() {
            let words = |key: &str| -> Vec<String> {
                rule[key].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
            };
            let (resources, verbs) = (words("resources"), words("verbs"));
            assert!(!resources.contains(&"*".to_owned()) && !verbs.contains(&"*".to_owned()), "{rule}");
            if resources.contains(&"secrets".to_owned()) {
                assert!(!verbs.iter().any(|verb| ["get", "list", "watch"].contains(&verb.as_str())), "{rule}");
            }
        }
    }
}

#[test]
fn every_verb_is_explained() {
    let folder = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../charts/firesteel/templates");
    for file in ["_helpers.tpl", "rbac-operator.yaml", "rbac-jobs.yaml", "rbac-nodes.yaml"] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let mut in_verbs = false;
        for line in text.lines() {
            let trimmed = line.trim();
            match trimmed {
                "verbs:" => in_verbs = true,
                _ if in_verbs && trimmed.starts_with('#') => {}
                _ if in_verbs && trimmed.starts_with("- ") && !trimmed.starts_with("- apiGroups") => {
                    assert!(trimmed.contains('#'), "{file}: {trimmed} has no cause");
                }
                _ => in_verbs = false,
            }
        }
    }
}

#[test]
fn wrong_values_are_refused() {
    for (setting, expected) in [
        ("replicas=-1", "replicas"),
        ("colour=red", "colour"),
        ("runtime.pullPolicy=Sometimes", "pullPolicy"),
        ("watchNamespaces={A_b}", "watchNamespaces"),
    ] {
        let Some(output) = run(&["template", "fs", "--set", setting]) else { return };
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(expected), "{setting}: {text}");
    }
}
