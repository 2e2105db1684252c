//! Free ports, kept while the processes that listen on them come and go.
//!
//! A port is held by a UDP socket of the same number: it stops other tests from choosing it and leaves TCP to the process.
//! All are below the range from which the kernel takes ports for outgoing connections.

use std::{
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    ops::Range,
};

/// Where single ports come from.
const RANGE: Range<u16> = 10_000..30_000;
/// How many places are tried before giving up.
const TRIES: usize = 1_000;

/// Ports of loopback that nobody else uses.
#[derive(Debug, Default)]
pub struct Ports {
    held: Vec<UdpSocket>,
}

impl Ports {
    /// An address nobody listens on.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn take(&mut self) -> SocketAddr {
        let offset = self.take_offset(&[0], RANGE);
        SocketAddr::from((Ipv4Addr::LOCALHOST, offset))
    }

    /// A number to add to each of `ports` so that all of them are free.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn take_offset(&mut self, ports: &[u16], offsets: Range<u16>) -> u16 {
        for _ in 0..TRIES {
            let offset = random(offsets.clone());
            let held: Option<Vec<_>> = ports.iter().map(|port| hold(port + offset)).collect();
            if let Some(held) = held {
                self.held.extend(held);
                return offset;
            }
        }
        panic!("no free ports found in {TRIES} tries");
    }
}

fn hold(port: u16) -> Option<UdpSocket> {
    let address = (Ipv4Addr::LOCALHOST, port);
    let held = UdpSocket::bind(address).ok()?;
    TcpListener::bind(address).ok()?;
    Some(held)
}

fn random(range: Range<u16>) -> u16 {
    let length = u64::from(range.end - range.start);
    let number = RandomState::new().hash_one(()) % length;
    range.start + u16::try_from(number).expect("smaller than the length of the range")
}

#[cfg(test)]
mod tests {
    use super::Ports;

    #[test]
    fn a_port_is_given_out_once() {
        let (mut one, mut other) = (Ports::default(), Ports::default());
        let first = one.take();
        let offset = other.take_offset(&[0], first.port()..first.port() + 2);
        assert_eq!(offset, first.port() + 1);
    }
}
