//! The manifests of this repository: as people apply them, and made wrong, one field at a time.

mod mutation;
mod outside;
mod prometheus;
mod sets;

pub use self::{
    mutation::{Mutation, mutations},
    outside::outside,
    prometheus::{configurations, entries, promtool},
    sets::{every, mutable, mutable_canary, root, whole, yaml_files},
};
