//! The only way a service keeps state: SQLite or PostgreSQL behind one implementation, chosen by a URL.
//!
//! ```text
//!  Store::connect_until_ready ── folder or schema ── migrations, under a lock ── prepared
//!
//!  Store::begin ─┐   permit ── idle or new connection ── BEGIN      all of it within a Limit:
//!  Store::read ──┴─► Pool ───────────────────────────► Tx           3 s or what is left of the request
//!                                                       │
//!                     sqlx::query(…).execute(&mut *tx) ─┤ Connection: the bound on every statement
//!                                                       └ commit; or drop, which rolls back
//! ```
//!
//! The SQL is the services', and portable: `$1` placeholders, `TEXT` and `BIGINT` columns, `ON CONFLICT`, `RETURNING`,
//! conditional `UPDATE`s instead of row locks. Sums are cast (`CAST(SUM(x) AS BIGINT)`), for PostgreSQL widens
//! them; numbers are bound as `i64`, for PostgreSQL keeps a statement's types from its first use. A statement that fails
//! ends its transaction, as on PostgreSQL; what may conflict says `ON CONFLICT`.
//!
//! What an answered commit promises: SQLite runs with a write-ahead log and `synchronous=FULL`, so that it survives
//! `kill -9` and the loss of power, as PostgreSQL's does. An acknowledged charge is money; the price is one `fsync` a commit.
//!
//! An error from [`Tx::commit`] other than [`Error::Failed`] leaves open whether the commit happened: the answer was lost.

mod config;
mod connection;
mod error;
mod limit;
mod pool;
mod prepare;
mod store;
#[doc(hidden)]
pub mod testing;
mod tx;

pub use config::StoreConfig;
pub use connection::Connection;
pub use error::Error;
pub use store::Store;
pub use tx::Tx;
