//! Where tests have inventory die: see `mesh_chassis::crash_point`.

/// All of them: before and after the transaction of each write.
pub(crate) const ALL: &[&str] = &[
    "inventory.reserve.before",
    "inventory.reserve.after",
    "inventory.commit.before",
    "inventory.commit.after",
    "inventory.release.before",
    "inventory.release.after",
];
