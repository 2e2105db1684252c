//! Small schemas in the forms that Kubernetes and the definitions of custom resources have.

use serde_json::{Value, json};

use super::Schemas;
use crate::Manifests;

fn schemas() -> Schemas {
    Schemas::new(kubernetes(), &[custom()])
}

fn kubernetes() -> Value {
    let string = json!({ "type": ["string", "null"] });
    json!({
        "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "name": string,
                "labels": { "type": "object", "additionalProperties": string },
            },
        },
        "Quantity": { "oneOf": [{ "type": "string" }, { "type": "number" }] },
        "Service": {
            "type": "object",
            "additionalProperties": false,
            "required": ["spec"],
            "properties": {
                "apiVersion": string,
                "kind": string,
                "metadata": { "$ref": "/api/_definitions.json#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" },
                "spec": {
                    "type": "object",
                    "properties": {
                        "ports": {
                            "type": "array",
                            "x-kubernetes-list-type": "map",
                            "x-kubernetes-list-map-keys": ["port"],
                            "items": { "type": "object", "properties": { "port": { "type": "integer" } } },
                        },
                        "size": { "$ref": "#/$defs/Quantity" },
                        "type": { "enum": ["ClusterIP", "None"] },
                    },
                },
            },
            "x-kubernetes-group-version-kind": [{ "group": "", "version": "v1", "kind": "Service" }],
        },
    })
}

fn custom() -> Value {
    let duration = json!({
        "type": "string",
        "x-kubernetes-validations": [{ "rule": "duration(self) >= duration('1ms')" }],
    });
    let route = json!({
        "openAPIV3Schema": {
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "minProperties": 1,
                    "oneOf": [{ "required": ["a"] }, { "not": { "required": ["a"] } }],
                    "properties": {
                        "a": { "type": "string", "pattern": "^[a-z]+$", "maxLength": 3 },
                        "timeout": duration,
                        "share": { "type": "integer", "minimum": 0, "maximum": 100 },
                        "either": { "x-kubernetes-int-or-string": true },
                        "open": { "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {} },
                    },
                },
            },
        },
    });
    json!({
        "spec": {
            "group": "example.com",
            "names": { "kind": "Route" },
            "versions": [{ "name": "v1", "schema": route }],
        },
    })
}

fn problems(api_version: &str, kind: &str, fields: &Value) -> Vec<String> {
    let mut body = json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "a" } });
    for (name, value) in fields.as_object().expect("fields") {
        match value.as_object().filter(|_| name == "metadata") {
            Some(more) => more
                .iter()
                .for_each(|(name, value)| body["metadata"][name] = value.clone()),
            None => body[name] = value.clone(),
        }
    }
    let manifests = Manifests::parse("here", &body.to_string()).expect("JSON is YAML");
    let object = manifests.iter().next().expect("one object");
    let findings = schemas().check(object).into_iter();
    findings
        .map(|finding| format!("{}: {}", finding.field, finding.problem))
        .collect()
}

#[test]
fn what_a_schema_allows_is_no_finding() {
    for spec in [
        json!({}),
        json!({ "ports": [{ "port": 1 }, { "port": 2, "unnamed": "where nothing is closed" }], "size": "1Gi" }),
        json!({ "size": 1.5, "type": "None", "ports": null }),
    ] {
        assert!(
            problems("v1", "Service", &json!({ "spec": spec })).is_empty(),
            "{spec}"
        );
    }
    for spec in [
        json!({ "a": "abc", "timeout": "1.5s", "share": 100, "either": "80" }),
        json!({ "either": 80, "open": { "anything": 1 } }),
    ] {
        assert!(
            problems("example.com/v1", "Route", &json!({ "spec": spec })).is_empty(),
            "{spec}"
        );
    }
}

#[test]
fn what_the_schemas_of_kubernetes_forbid_is_found_at_its_field() {
    let cases = [
        (json!({}), ": spec is missing"),
        (json!({ "spec": {}, "sepc": 1 }), "sepc: unknown field"),
        (
            json!({ "spec": {}, "metadata": { "lables": {} } }),
            "metadata.lables: unknown field",
        ),
        (
            json!({ "spec": {}, "metadata": { "labels": { "a": 1 } } }),
            "metadata.labels.a: 1 must be of the type",
        ),
        (
            json!({ "spec": { "ports": [{ "port": "80" }] } }),
            "spec.ports[0].port: \"80\" must be of the type \"integer\"",
        ),
        (
            json!({ "spec": { "ports": [{ "port": 1 }, { "port": 1 }] } }),
            "spec.ports: 1 is there twice",
        ),
        (
            json!({ "spec": { "size": [] } }),
            "spec.size: fits 0 of the 2 alternatives",
        ),
        (
            json!({ "spec": { "type": "Cluster" } }),
            "spec.type: \"Cluster\" must be one of",
        ),
    ];
    found("v1", "Service", &cases);
}

#[test]
fn what_the_schemas_of_custom_resources_forbid_is_found_at_its_field() {
    let cases = [
        (json!({ "sepc": {} }), "sepc: unknown field"),
        (
            json!({ "metadata": { "lables": {} } }),
            "metadata.lables: unknown field",
        ),
        (
            json!({ "spec": {} }),
            "spec: {} must have at least 1 fields",
        ),
        (json!({ "spec": { "b": 1 } }), "spec.b: unknown field"),
        (
            json!({ "spec": { "a": "A" } }),
            "spec.a: \"A\" must match \"^[a-z]+$\"",
        ),
        (
            json!({ "spec": { "a": "abcd" } }),
            "spec.a: \"abcd\" must have at most 3 characters",
        ),
        (
            json!({ "spec": { "share": 101 } }),
            "spec.share: 101 must be at most 100",
        ),
        (
            json!({ "spec": { "share": 1.5 } }),
            "spec.share: 1.5 must be of the type \"integer\"",
        ),
        (
            json!({ "spec": { "timeout": "5" } }),
            "spec.timeout: duration \"5\" must be",
        ),
        (
            json!({ "spec": { "either": true } }),
            "spec.either: true must be a number or a text",
        ),
        (
            json!({ "spec": { "a": null } }),
            "spec.a: null must be of the type",
        ),
    ];
    found("example.com/v1", "Route", &cases);
}

#[track_caller]
fn found(version: &str, kind: &str, cases: &[(Value, &str)]) {
    for (fields, expected) in cases {
        let found = problems(version, kind, fields);
        let there = found.len() == 1 && found[0].starts_with(expected);
        assert!(there, "{fields}: {found:?} instead of {expected:?}");
    }
}

#[test]
fn a_kind_without_a_schema_is_found() {
    let found = problems("example.com/v2", "Route", &json!({}));
    assert_eq!(found, [": no schema knows example.com/v2 Route"]);
}

#[test]
fn a_keyword_that_is_not_understood_is_found() {
    let schema = json!({ "A": {
        "properties": { "apiVersion": {}, "kind": {}, "metadata": {}, "n": { "multipleOf": 2 } },
        "x-kubernetes-group-version-kind": [{ "group": "", "version": "v1", "kind": "A" }],
    } });
    let text = "{apiVersion: v1, kind: A, metadata: {name: a}, n: 3}";
    let manifests = Manifests::parse("here", text).expect("an object");
    let found = Schemas::new(schema, &[]).check(manifests.iter().next().expect("one"));
    assert_eq!(
        found[0].problem,
        "its schema says multipleOf, which is not checked here"
    );
}
