//! Queues for tests.
