//! Binds the service listener.

use std::{io, net::SocketAddr};

use tokio::{
    net::{TcpListener, TcpSocket},
    runtime::Handle,
};

use super::StartError;

/// Connections that wait to be accepted. With too few, a burst costs its clients a second each until they try again.
const BACKLOG: u32 = 1_024;

/// Bound now, accepted from in `main` later. An address in use is an error: nobody waits for it to become free.
pub(super) fn listen(addr: SocketAddr, main: &Handle) -> Result<TcpListener, StartError> {
    let _inside = main.enter();
    let bind = || -> io::Result<TcpListener> {
        let socket = if addr.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        // A restart must not wait for connections of the process before.
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|source| StartError::Listen { addr, source })
}
