//! Redis.

use std::io;

use crate::{
    Error, find,
    place::{Place, Plan},
    wire,
};

pub(crate) const PROGRAMS: [(&str, &str); 1] = [("redis-server", "redis-server")];

/// Everything written is in the file before it is answered: nothing is lost with the process.
pub(crate) fn plan(place: &Place) -> Result<Plan, Error> {
    let server = find::program(place.kind, "redis-server", "redis-server")?;
    let port = place.port.to_string();
    let arguments = [
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--appendonly",
        "yes",
        "--save",
        "",
        "--daemonize",
        "no",
    ];
    Ok(Plan::of(server, &arguments))
}

/// While it loads its file it answers `-LOADING`.
pub(crate) fn answers(port: u16) -> io::Result<bool> {
    Ok(wire::ask(port, b"PING\r\n", 5)? == b"+PONG")
}

pub(crate) fn url(place: &Place) -> String {
    format!("redis://127.0.0.1:{}", place.port)
}
