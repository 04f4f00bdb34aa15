//! Schemas that are written rather than derived: the loose Kubernetes types, and maps and lists with bounds. Bounds keep
//! the API server's cost estimate of the immutability rules finite and the stored object small.

use crate::memory;
use schemars::{Schema, SchemaGenerator, json_schema};

pub fn memory(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 20, "pattern": memory::PATTERN })
}

pub fn image_pull_policy(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["Always", "IfNotPresent", "Never"] })
}

pub fn spark_conf(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 512,
        "additionalProperties": { "type": "string", "maxLength": 8192 }
    })
}

pub fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": { "type": "string", "maxLength": 63 }
    })
}

pub fn annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": { "type": "string", "maxLength": 8192 }
    })
}

/// One object that the API server stores as it is.
pub fn object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A list of such objects.
pub fn objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 128,
        "x-kubernetes-list-type": "atomic",
        "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true }
    })
}

/// A list of such objects that have a `name`.
pub fn named_objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 128,
        "x-kubernetes-list-type": "atomic",
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": { "name": { "type": "string", "minLength": 1, "maxLength": 253 } },
            "x-kubernetes-preserve-unknown-fields": true
        }
    })
}
