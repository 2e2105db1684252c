//! The page as a browser sees it.

mod actions;
mod hostile;
mod live;
mod security;
mod sockets;
mod views;
