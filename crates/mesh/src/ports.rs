//! Which addresses a replica has on loopback.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use crate::process::Process;

/// Where the page for people is, before `--port-offset`.
const PAGE_PORT: u16 = 9460;

/// The highest port is 50053.
pub(crate) const MAX_OFFSET: u16 = u16::MAX - 50053;

/// Offsets that are tried for the advice what to do about a port that is taken.
const SUGGESTED_OFFSETS: [u16; 5] = [100, 200, 300, 1000, 2000];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// None for a process that serves nobody.
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) admin: SocketAddr,
}

impl Addresses {
    /// The known ports, shifted: what the first replica of a process has.
    pub(crate) fn known(process: Process, offset: u16) -> Self {
        Self {
            listen: process.port().map(|port| loopback(port + offset)),
            admin: loopback(process.admin_port() + offset),
        }
    }

    /// Ports that are free now. Whoever takes one before the replica does makes that start fail;
    /// the next start asks anew.
    pub(crate) fn free(process: Process) -> io::Result<Self> {
        let (listen, admin) = (
            TcpListener::bind(loopback(0))?,
            TcpListener::bind(loopback(0))?,
        );
        let listen = process.port().map(|_known| listen.local_addr());
        Ok(Self {
            listen: listen.transpose()?,
            admin: admin.local_addr()?,
        })
    }
}

/// Where the page for people is.
pub(crate) fn page(offset: u16) -> SocketAddr {
    loopback(PAGE_PORT + offset)
}

/// Those of the known addresses that something else listens on, and whose they are: the page's and those of these processes.
pub(crate) fn taken(processes: &[Process], offset: u16) -> Vec<(&'static str, SocketAddr)> {
    let mut known = vec![("page", page(offset))];
    for process in processes {
        let addresses = Addresses::known(*process, offset);
        let its = addresses.listen.into_iter().chain([addresses.admin]);
        known.extend(its.map(|address| (process.name(), address)));
    }
    known.retain(|(_, address)| {
        let bound = TcpListener::bind(address);
        bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    });
    known
}

/// An offset at which every known port is free, if one of the round ones will do.
pub(crate) fn free_offset() -> Option<u16> {
    SUGGESTED_OFFSETS
        .into_iter()
        .find(|offset| taken(&Process::ALL, *offset).is_empty())
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_fits_at_the_highest_offset() {
        let highest = Process::ALL
            .iter()
            .flat_map(|process| process.port().into_iter().chain([process.admin_port()]))
            .max()
            .unwrap();
        assert_eq!(highest.checked_add(MAX_OFFSET), Some(u16::MAX));
    }

    #[test]
    fn the_offset_shifts_every_port() {
        let addresses = Addresses::known(Process::Gateway, 100);
        assert_eq!(addresses.listen, Some(loopback(8180)));
        assert_eq!(addresses.admin, loopback(9561));
        let addresses = Addresses::known(Process::Fulfillment, 100);
        assert_eq!(addresses.listen, None, "it serves nobody");
        assert_eq!(addresses.admin, loopback(9565));
        assert_eq!(page(100), loopback(9560));
    }

    #[test]
    fn free_ports_can_be_bound_and_differ() {
        let addresses = Addresses::free(Process::Orders).unwrap();
        assert_ne!(addresses.listen, Some(addresses.admin));
        assert_ne!(addresses.listen.unwrap().port(), 0);
    }
}
