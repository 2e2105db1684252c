//! Ports that are free, kept while the processes that listen on them come and go.
//!
//! A port is held by a UDP socket of the same number: it keeps others who choose as we do away, and leaves TCP to the process.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    ops::Range,
};

/// Single ports come from here: below those that systems give to outgoing connections (Linux from 32768, macOS from 49152):
/// while a server is down nobody's connection shall sit on its port.
const SINGLE: Range<u16> = 25_000..32_000;
/// What Linux gives to outgoing connections. Ports that are far apart are moved past it.
const OUTGOING: Range<u16> = 32_768..61_000;
/// How many are tried before giving up.
const TRIES: usize = 1_000;

/// Ports of loopback that nobody else uses; ours until this is dropped.
#[derive(Debug, Default)]
pub struct Ports {
    held: Vec<UdpSocket>,
}

impl Ports {
    /// A port that nobody listens on, if one can be found.
    pub fn find(&mut self) -> Option<u16> {
        let one = || {
            let port = random(SINGLE);
            Some((port, vec![hold(port)?]))
        };
        self.keep(one)
    }

    /// A number to add to each of `ports` so that all of them are free, if one can be found.
    pub fn find_offset(&mut self, ports: &[u16]) -> Option<u16> {
        let most = u16::MAX - ports.iter().max()?;
        let moved = || {
            let offset = random(0..most);
            let hold = |port: &u16| {
                let port = port + offset;
                hold(port).filter(|_| !OUTGOING.contains(&port))
            };
            let held: Option<Vec<_>> = ports.iter().map(hold).collect();
            Some((offset, held?))
        };
        self.keep(moved)
    }

    /// An address that nobody listens on.
    ///
    /// # Panics
    /// There is none.
    pub fn take(&mut self) -> SocketAddr {
        let port = self.find().expect("one of thousands of ports is free");
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    /// A number to add to each of `ports` so that all of them are free.
    ///
    /// # Panics
    /// There is none.
    pub fn take_offset(&mut self, ports: &[u16]) -> u16 {
        let offset = self.find_offset(ports);
        offset.expect("ports are free at one of many offsets")
    }

    fn keep(&mut self, tried: impl FnMut() -> Option<(u16, Vec<UdpSocket>)>) -> Option<u16> {
        let found = std::iter::repeat_with(tried).take(TRIES).flatten().next();
        let (number, held) = found?;
        self.held.extend(held);
        Some(number)
    }
}

/// Whether nobody listens there.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn hold(port: u16) -> Option<UdpSocket> {
    let held = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    is_free(port).then_some(held)
}

fn random(range: Range<u16>) -> u16 {
    let length = u64::from(range.end - range.start);
    let number = RandomState::new().hash_one(()) % length;
    range.start + u16::try_from(number).expect("smaller than the length of the range")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn free_ports_differ_and_are_none_that_a_connection_may_have() {
        let mut held = Ports::default();
        let ports: Vec<u16> = std::iter::repeat_with(|| held.find().unwrap())
            .take(50)
            .collect();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len());
        assert!(
            ports.iter().all(|port| (25_000..32_000).contains(port)),
            "{ports:?}"
        );
    }

    #[test]
    fn a_port_is_given_out_once_until_it_is_given_back() {
        let mut ports = Ports::default();
        let port = ports.find().unwrap();
        assert!(hold(port).is_none());
        drop(ports);
        assert!(hold(port).is_some());
    }

    #[test]
    fn an_offset_leaves_every_port_free_and_out_of_the_way_of_connections() {
        const PORTS: [u16; 3] = [8080, 9460, 50_053];
        let mut held = Ports::default();
        let offsets: BTreeSet<u16> = std::iter::repeat_with(|| held.take_offset(&PORTS))
            .take(10)
            .collect();
        assert_eq!(offsets.len(), 10);
        for port in PORTS
            .iter()
            .flat_map(|port| offsets.iter().map(move |offset| port + offset))
        {
            assert!(is_free(port) && hold(port).is_none(), "{port}");
            assert!(!(32_768..61_000).contains(&port), "{port}");
        }
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
