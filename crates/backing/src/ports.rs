//! Ports that are free.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
};

/// Below those that systems give to outgoing connections (Linux from 32768, macOS from 49152): while a server is down nobody's
/// connection shall sit on its port.
const LOWEST: u16 = 10_000;
const COUNT: u16 = 20_000;
const TRIES: usize = 1000;

/// So many, all different.
pub(crate) fn free<const N: usize>() -> io::Result<[u16; N]> {
    let mut ports = [0; N];
    // Held until all are chosen.
    let mut listeners = Vec::new();
    for port in &mut ports {
        let listener = listen_somewhere()?;
        *port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

/// Whether nobody listens there.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn listen_somewhere() -> io::Result<TcpListener> {
    for _ in 0..TRIES {
        // The system's choice, for want of dice.
        let chosen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let port = LOWEST + chosen.port() % COUNT;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener);
        }
    }
    Err(io::Error::other("no port is free"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn free_ports_differ_and_are_none_that_a_connection_may_have() {
        let ports: [u16; 50] = free().unwrap();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len());
        assert!(
            ports.iter().all(|port| (10_000..30_000).contains(port)),
            "{ports:?}"
        );
    }

    #[test]
    fn a_port_that_is_listened_on_is_not_free() {
        let listener = listen_somewhere().unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port));
        drop(listener);
        assert!(is_free(port));
    }
}
