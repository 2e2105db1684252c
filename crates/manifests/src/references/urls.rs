//! Addresses inside the cluster, wherever they stand: variables, secrets, configuration files in ConfigMaps.

use regex::Regex;
use serde_json::Value;

use crate::{Cluster, Finding, Object, cluster::namespace_of};

pub(super) fn find(cluster: &Cluster<'_>, findings: &mut Vec<Finding>) {
    // `scheme://[user[:password]@]host:port`, and bare `host.namespace.svc[.cluster.local]:port`.
    let host = r"(?<host>[a-z][a-z0-9-]*(?:\.[a-z0-9-]+)*)";
    let bare = r"(?<name>[a-z][a-z0-9-]*\.[a-z0-9-]+\.svc(?:\.cluster\.local)?)";
    let pattern = format!(r"(?:[a-z]+://(?:[^\s/@]*@)?{host}|\b{bare}):(?<port>\d+)");
    let address = Regex::new(&pattern).expect("it is a pattern");
    for object in cluster.manifests.iter() {
        let mut look = |field: &str, text: &str| {
            // Most texts are none; a pattern takes longer to say so.
            if !text.contains(':') {
                return;
            }
            for found in address.captures_iter(text) {
                let host = found.name("host").or(found.name("name"));
                let host = host.map_or("", |host| host.as_str());
                let port = found["port"].parse().unwrap_or_default();
                if !known(cluster, object, host, port) {
                    let problem = format!("there is no service {host} with the port {port}");
                    findings.push(Finding::of(object, field, problem));
                }
            }
        };
        texts(&object.body, "", &mut look);
        if object.kind == "Secret" {
            let keys = object.at("/data").as_object().into_iter().flatten();
            for (key, _) in keys {
                look(
                    &format!("data.{key}"),
                    &object.entry(key).unwrap_or_default(),
                );
            }
        }
    }
}

/// Every text in a value, with its field.
fn texts(value: &Value, field: &str, found: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::String(text) => found(field, text),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                texts(item, &format!("{field}[{index}]"), found);
            }
        }
        Value::Object(fields) => {
            for (name, item) in fields {
                let dot = if field.is_empty() { "" } else { "." };
                texts(item, &format!("{field}{dot}{name}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Names with a dot are of the outer world, unless they end as services do.
fn known(cluster: &Cluster<'_>, object: &Object, host: &str, port: u16) -> bool {
    let inside = !host.contains('.') || host.ends_with(".svc") || host.ends_with(".cluster.local");
    if !inside || host == "localhost" {
        return true;
    }
    let ports = cluster.service(host, namespace_of(object));
    ports.is_some_and(|ports| ports.contains(&port))
}
