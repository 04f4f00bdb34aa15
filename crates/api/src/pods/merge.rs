//! Merging of pod specs as JSON, so that a template may say anything a pod may say. Lists merge by the key Kubernetes itself
//! merges them by.

use serde_json::{Map, Value};

/// `over` on top of `base`: objects merge field by field, keyed lists entry by entry, everything else is replaced.
pub fn merge(base: Value, over: Value) -> Value {
    merge_at("", base, over)
}

/// How entries of a list are matched and combined.
enum ListRule {
    /// Entries with the same key merge as objects.
    Deep(&'static str),
    /// Entries with the same key are replaced as a whole: their fields exclude each other (`value` and `valueFrom`, the
    /// kinds of volume).
    Whole(&'static str),
    /// All of both, without repetition.
    Union,
    /// The upper list alone.
    Replace,
}

fn rule(field: &str) -> ListRule {
    match field {
        "containers" | "initContainers" => ListRule::Deep("name"),
        "volumes" | "env" | "imagePullSecrets" => ListRule::Whole("name"),
        "volumeMounts" => ListRule::Whole("mountPath"),
        "ports" => ListRule::Whole("containerPort"),
        "topologySpreadConstraints" => ListRule::Whole("topologyKey"),
        "tolerations" | "envFrom" | "hostAliases" => ListRule::Union,
        _ => ListRule::Replace,
    }
}

fn merge_at(field: &str, base: Value, over: Value) -> Value {
    match (base, over) {
        (base, Value::Null) => base,
        (Value::Object(base), Value::Object(over)) => Value::Object(merge_objects(base, over)),
        (Value::Array(base), Value::Array(over)) => Value::Array(match rule(field) {
            ListRule::Deep(key) => merge_keyed(base, over, key, merge),
            ListRule::Whole(key) => merge_keyed(base, over, key, |_, over| over),
            ListRule::Union => {
                let mut all = base;
                for item in over {
                    if !all.contains(&item) {
                        all.push(item);
                    }
                }
                all
            }
            ListRule::Replace => over,
        }),
        (_, over) => over,
    }
}

fn merge_objects(mut base: Map<String, Value>, over: Map<String, Value>) -> Map<String, Value> {
    for (key, value) in over {
        let merged = match base.remove(&key) {
            Some(existing) => merge_at(&key, existing, value),
            None => value,
        };
        if !merged.is_null() {
            base.insert(key, merged);
        }
    }
    base
}

fn merge_keyed(
    mut base: Vec<Value>,
    over: Vec<Value>,
    key: &str,
    combine: impl Fn(Value, Value) -> Value,
) -> Vec<Value> {
    for item in over {
        let same = item.get(key).and_then(|id| base.iter().position(|other| other.get(key) == Some(id)));
        match same {
            Some(index) => {
                let existing = std::mem::take(&mut base[index]);
                base[index] = combine(existing, item);
            }
            None => base.push(item),
        }
    }
    base
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_merge_by_their_key() {
        let base = json!({"containers": [
            {"name": "driver", "env": [{"name": "A", "valueFrom": {"x": 1}}, {"name": "B", "value": "b"}], "args": ["one", "two"]},
            {"name": "sidecar"}
        ]});
        let over = json!({"containers": [{"name": "driver", "env": [{"name": "A", "value": "a"}], "args": ["three"]}]});
        assert_eq!(
            merge(base, over),
            json!({"containers": [
                {"name": "driver", "env": [{"name": "A", "value": "a"}, {"name": "B", "value": "b"}], "args": ["three"]},
                {"name": "sidecar"}
            ]})
        );
    }

    #[test]
    fn a_mount_takes_anothers_place() {
        let base = json!({"volumeMounts": [{"name": "local", "mountPath": "/var/lib/firesteel"}]});
        let over = json!({"volumeMounts": [{"name": "nvme", "mountPath": "/var/lib/firesteel"}]});
        assert_eq!(merge(base, over.clone()), over);
    }

    #[test]
    fn tolerations_add_up_once() {
        let base = json!({"tolerations": [{"key": "a"}, {"key": "b"}]});
        let over = json!({"tolerations": [{"key": "b"}, {"key": "c"}]});
        assert_eq!(merge(base, over), json!({"tolerations": [{"key": "a"}, {"key": "b"}, {"key": "c"}]}));
    }

    #[test]
    fn nulls_say_nothing() {
        assert_eq!(
            merge(json!({"a": 1, "b": {"c": 2}}), json!({"a": null, "b": {"d": null}})),
            json!({"a": 1, "b": {"c": 2}})
        );
    }
}
