//! Requests at a fixed rate, whatever becomes of them, and how long each took.
