//! The process as the chassis runs it, on each queue, with fake peers behind a real socket.

#![expect(clippy::unwrap_used, reason = "a test may panic, and says where")]

mod messages;
mod outages;
mod peers;
mod world;
