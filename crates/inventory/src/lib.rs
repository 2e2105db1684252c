//! The catalogue and the stock: reserve, commit, release, keyed by order.
