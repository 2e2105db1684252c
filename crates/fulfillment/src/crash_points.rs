//! Where tests have fulfillment die: see `mesh_chassis::crash_point`.

/// All of them, in the order of a message's life.
pub(crate) const ALL: &[&str] = &[
    "fulfillment.work.before",
    "fulfillment.commit.before",
    "fulfillment.commit.after",
    "fulfillment.ack.before",
    "fulfillment.ack.after",
];
