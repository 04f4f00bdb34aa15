//! Reading JSON into a Kubernetes type without losing anything: the generated types ignore fields they do not know, so a
//! misspelt `hostPth` would be dropped without a word. Here it is an error that names the path.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Reads `value` as a `T`; `place` is where it stands in the job, for the message.
///
/// # Errors
/// A type error or a field that `T` does not have, with the path.
pub fn from_value<T: DeserializeOwned + Serialize>(value: &Value, place: &str) -> Result<T, String> {
    let typed: T = serde_json::from_value(value.clone()).map_err(|error| format!("{place}: {error}"))?;
    let back = serde_json::to_value(&typed).map_err(|error| format!("{place}: {error}"))?;
    match first_lost(value, &back, place) {
        Some(path) => Err(format!("{path}: there is no such field")),
        None => Ok(typed),
    }
}

/// Path of the first key of `given` that `kept` lacks. Nulls count as absent.
fn first_lost(given: &Value, kept: &Value, path: &str) -> Option<String> {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            given.iter().filter(|(_, value)| !value.is_null()).find_map(|(key, value)| {
                let path = format!("{path}.{key}");
                match kept.get(key) {
                    Some(other) => first_lost(value, other, &path),
                    None if is_empty(value) => None,
                    None => Some(path),
                }
            })
        }
        (Value::Array(given), Value::Array(kept)) if given.len() == kept.len() => given
            .iter()
            .zip(kept)
            .enumerate()
            .find_map(|(index, (value, other))| first_lost(value, other, &format!("{path}[{index}]"))),
        _ => None,
    }
}

/// Empty lists and maps may be left out when a type is written back.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{PodTemplateSpec, Volume};
    use serde_json::json;

    #[test]
    fn knows_what_kubernetes_knows() {
        let volume: Volume = from_value(&json!({"name": "a", "emptyDir": {}}), "driver.volumes[0]").unwrap();
        assert!(volume.empty_dir.is_some());
        let error =
            from_value::<Volume>(&json!({"name": "a", "hostPth": {"path": "/"}}), "driver.volumes[0]").unwrap_err();
        assert_eq!(error, "driver.volumes[0].hostPth: there is no such field");
        let error = from_value::<Volume>(&json!({"name": 5}), "driver.volumes[0]").unwrap_err();
        assert!(error.starts_with("driver.volumes[0]: "), "{error}");
    }

    #[test]
    fn looks_into_templates() {
        let template =
            json!({"spec": {"containers": [{"name": "driver", "securityContex": {}, "ports": [{"contanerPort": 1}]}]}});
        assert!(from_value::<PodTemplateSpec>(&template, "driver.podTemplate").is_err());
        let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"dnsPolicy": "None", "containers": []}});
        assert!(from_value::<PodTemplateSpec>(&template, "driver.podTemplate").is_ok());
    }
}
