//! etcd, one member.

use std::io;

use crate::{
    Error, find,
    place::{Place, Plan},
    wire,
};

pub(crate) const PROGRAMS: [(&str, &str); 1] = [("etcd", "etcd-server")];

pub(crate) fn plan(place: &Place) -> Result<Plan, Error> {
    let server = find::program(place.kind, "etcd", "etcd-server")?;
    let clients = format!("http://127.0.0.1:{}", place.port);
    let peers = format!("http://127.0.0.1:{}", place.others[0]);
    let cluster = format!("mesh={peers}");
    let arguments = [
        "--name",
        "mesh",
        "--data-dir",
        "data",
        "--initial-cluster",
        &cluster,
        "--listen-client-urls",
        &clients,
        "--advertise-client-urls",
        &clients,
        "--listen-peer-urls",
        &peers,
        "--initial-advertise-peer-urls",
        &peers,
    ];
    Ok(Plan::of(server, &arguments))
}

/// It says that it is healthy when it has a leader and could read through it.
pub(crate) fn answers(port: u16) -> io::Result<bool> {
    let question = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    Ok(wire::ask(port, question, 12)? == b"HTTP/1.1 200")
}

pub(crate) fn url(place: &Place) -> String {
    format!("etcd://127.0.0.1:{}", place.port)
}
