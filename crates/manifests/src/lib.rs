//! Reads manifests: what `kustomize build` prints, or plain files, as objects that rules can ask.
//!
//! ```text
//!  deploy/overlays/kind ──kustomize build──► Manifests ──► Object   one object of any kind, its body as JSON
//!  istio/faults/*.yaml  ───────────────────►                  └───► VirtualService, …   typed, unknown fields refused
//! ```
//!
//! YAML is read as the API server does (booleans and octal numbers of YAML 1.1), except that a key that stands twice is
//! refused: `kubectl` takes the last one without a word.

mod access;
mod call_graph;
mod cluster;
mod destination_rule;
mod error;
mod finding;
mod kustomize;
mod manifests;
mod object;
mod pod_security;
mod ports;
mod references;
mod routes;
mod schema;
mod virtual_service;
mod workloads;
mod yaml;

pub use self::{
    access::access,
    call_graph::{CallGraph, Edge},
    cluster::{Cluster, Outside, OutsidePod, Pod, Provider, container_port, namespace_of},
    destination_rule::{
        ConnectionPool, DestinationRule, HttpPool, LoadBalancer, OutlierDetection, RetryBudget,
        Subset, TcpPool, TrafficPolicy, Warmup,
    },
    error::Error,
    finding::Finding,
    manifests::{Manifests, documents, read_yaml},
    object::Object,
    pod_security::pod_security,
    ports::ports,
    references::references,
    routes::routes,
    schema::Schemas,
    virtual_service::{
        Abort, Delay, Destination, Fault, HttpMatch, HttpRoute, Percentage, Retries, StringMatch,
        VirtualService, Weighted,
    },
    workloads::{Processes, workloads},
};
