//! The only way a service keeps state: SQLite or PostgreSQL behind one pool.
