//! Whatever a manifest names must be there: accounts, keys, ports, hosts, subsets, targets, and somebody for each selector.
//!
//! Nothing else finds these: a VirtualService to a host that is not there, a policy that selects nobody and a queue whose
//! secret has another key are all accepted by the API server and by istiod.

mod istio;
mod pods;
mod policies;
mod scaling;
mod services;
mod urls;

use crate::{Cluster, Finding};

/// Every name in the manifests that leads nowhere.
#[must_use]
pub fn references(cluster: &Cluster<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for find in [
        pods::find,
        services::find,
        scaling::find,
        policies::find,
        istio::find,
        urls::find,
    ] {
        find(cluster, &mut findings);
    }
    findings
}
