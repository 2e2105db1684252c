//! Ports that are free.

use std::{
    io,
    net::{Ipv4Addr, TcpListener, UdpSocket},
};

/// Below those that systems give to outgoing connections (Linux from 32768, macOS from 49152): while a server is down nobody's
/// connection shall sit on its port.
const LOWEST: u16 = 25_000;
const COUNT: u16 = 7_000;
const TRIES: usize = 1000;

/// Ports of ours. A UDP socket of the same number keeps others who choose as we do away, and leaves TCP to the server.
#[derive(Debug)]
pub(crate) struct Ports<const N: usize> {
    pub(crate) numbers: [u16; N],
    _held: Vec<UdpSocket>,
}

impl<const N: usize> Ports<N> {
    pub(crate) fn free() -> io::Result<Self> {
        let mut numbers = [0; N];
        let mut held = Vec::new();
        for number in &mut numbers {
            let socket = hold_one()?;
            *number = socket.local_addr()?.port();
            held.push(socket);
        }
        Ok(Self {
            numbers,
            _held: held,
        })
    }
}

/// Whether nobody listens there.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn hold_one() -> io::Result<UdpSocket> {
    for _ in 0..TRIES {
        // The system's choice, for want of dice.
        let chosen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let port = LOWEST + chosen.port() % COUNT;
        match UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(held) if is_free(port) => return Ok(held),
            _ => {}
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
        let held = Ports::<50>::free().unwrap();
        let ports = held.numbers;
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len());
        assert!(
            ports.iter().all(|port| (25_000..32_000).contains(port)),
            "{ports:?}"
        );
    }

    #[test]
    fn a_port_that_is_listened_on_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port));
        drop(listener);
        assert!(is_free(port));
    }
}
