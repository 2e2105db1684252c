//! The page for people: map, traces, orders to try, things to break.
