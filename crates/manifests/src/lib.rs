//! Reads manifests: what `kustomize build` prints, or plain files, as objects that rules can ask.
//!
//! ```text
//!  deploy/overlays/kind ──kustomize build──► Manifests ──► Object   one object of any kind, its body as JSON
//!  istio/faults/*.yaml  ───────────────────►                  └───► VirtualService, …   typed, unknown fields refused
//! ```
//!
//! YAML is read as the API server does (booleans and octal numbers of YAML 1.1), except that a key that stands twice is
//! refused: `kubectl` takes the last one without a word.

mod destination_rule;
mod error;
mod kustomize;
mod manifests;
mod object;
mod virtual_service;
mod yaml;

pub use self::{
    destination_rule::{
        ConnectionPool, DestinationRule, HttpPool, LoadBalancer, OutlierDetection, RetryBudget,
        Subset, TcpPool, TrafficPolicy, Warmup,
    },
    error::Error,
    manifests::{Manifests, documents},
    object::Object,
    virtual_service::{
        Abort, Delay, Destination, Fault, HttpMatch, HttpRoute, Percentage, Retries, StringMatch,
        VirtualService, Weighted,
    },
};
