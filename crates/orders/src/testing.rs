//! For tests of this crate and of the whole mesh.

mod etcd;

pub use etcd::Etcd;
