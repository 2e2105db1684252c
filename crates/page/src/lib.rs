//! The page for people: map, traces, orders to try, things to break.
//!
//! Server-rendered HTML, one stylesheet and one short script, all of it in the binary. Nothing is fetched from outside,
//! and the page works without script: what a script adds is that it moves by itself.
//!
//! ```text
//! request ─► limits ─► guard ──────────────► view ─► layout ─► headers ─► answer
//!            head,     Host, Origin,          │  asks the Mesh and the Store
//!            body,     Sec-Fetch-Site,        │
//!            time      token on POST          ├ map, traces, trace, try, break; /api in JSON
//!                                             └ /events: one snapshot a second for everybody who listens
//! ```
//!
//! What the page shows is a stranger's text: span names, attributes, log lines, answers. All of it is escaped by the
//! templates, and the content security policy would not run it anyway. Other pages in the browser, and names that
//! somebody points to this machine, get 403.

mod api;
mod app;
mod break_it;
mod drawing;
mod events;
mod figure;
mod filter;
mod form;
mod guard;
mod headers;
mod layout;
mod logs;
mod map;
mod mesh;
mod page;
mod picture;
mod refusal;
mod routes;
mod server;
mod span;
mod trace;
mod traces;
mod try_it;
mod waterfall;
mod words;

pub use mesh::{LogLine, Mesh, Placed, Queue, Replica, State};
pub use page::{Options, Page};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
