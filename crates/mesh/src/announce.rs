//! What one reads when the mesh is up: where everything is, and what to try.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mesh_inventory::EXAMPLE_SKU;

use crate::{
    backing::Watch,
    folder::Entry,
    ports::Addresses,
    process::{Process, ReplicaId},
    table::table,
    terminal::{Ink, Palette},
    view::{View, seconds},
};

/// What else is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    /// Where the page for people is.
    pub(crate) page: SocketAddr,
    /// Whether its traces are kept here.
    pub(crate) has_traces: bool,
}

/// Ends the line that places an order.
const SEE_IT: &str = " && cargo mesh trace last";

/// Table and hints, for a mesh that took so long to start.
pub(crate) fn mesh(
    view: &View,
    servers: &Watch,
    told: Told,
    took: Duration,
    palette: Palette,
) -> String {
    let entries: Vec<Entry> = view
        .iter()
        .filter_map(|(id, status)| status.entry(*id))
        .collect();
    let mut text = format!("\nThe mesh is ready after {}.\n\n", seconds(took));
    text.push_str(&table(&processes(told.page, &entries), palette));
    let servers = backing(servers);
    if servers.len() > 1 {
        text.push('\n');
        text.push_str(&table(&servers, palette));
    }
    let gateway = view
        .get(&ReplicaId::first(Process::Gateway))
        .and_then(|status| status.process);
    if let Some((
        _,
        Addresses {
            listen: Some(listen),
            admin,
        },
    )) = gateway
    {
        text.push_str(&hints(listen, admin, told.has_traces, palette));
    }
    text.push_str("\nMore replicas: cargo mesh scale orders=2    Stop: Ctrl-C\n");
    text
}

/// The page comes first: all the rest is seen there.
fn processes(page: SocketAddr, entries: &[Entry]) -> Vec<[String; 4]> {
    let header = ["process", "serves", "health, metrics", "pid"].map(ToOwned::to_owned);
    let page = [
        "page".to_owned(),
        format!("http://{page}"),
        String::new(),
        std::process::id().to_string(),
    ];
    [header, page]
        .into_iter()
        .chain(entries.iter().map(row))
        .collect()
}

/// Nothing but the heading where no server was started.
fn backing(servers: &Watch) -> Vec<[String; 4]> {
    let header = ["server", "listens", "data and log", "pid"].map(ToOwned::to_owned);
    let rows = servers.running().into_iter().map(|(kind, running)| {
        [
            kind.to_string(),
            running.shown,
            running.folder.display().to_string(),
            running.pid.unwrap_or_default().to_string(),
        ]
    });
    std::iter::once(header).chain(rows).collect()
}

fn row(entry: &Entry) -> [String; 4] {
    let http = entry.http.map(|address| format!("http://{address}"));
    let grpc = entry.grpc.map(|address| format!("grpc://{address}"));
    [
        entry.name.clone(),
        http.or(grpc).unwrap_or_default(),
        format!("http://{}", entry.admin),
        entry.pid.to_string(),
    ]
}

fn hints(gateway: SocketAddr, admin: SocketAddr, has_traces: bool, palette: Palette) -> String {
    let order = palette.paint(Ink::Strong, &order_line(gateway, unused_key(), has_traces));
    let see = if has_traces { " and see its trace" } else { "" };
    format!(
        "\nPlace an order{see} (the same line again gives the same answer, and charges nothing):\n\n  {order}\n\n\
         Other payment tokens: tok_declined, tok_slow, tok_silent\n\n\
         Products: http://{gateway}/v1/products    API: http://{gateway}/docs    Admin: http://{admin}/"
    )
}

/// One line for the shell.
fn order_line(gateway: SocketAddr, key: u128, has_traces: bool) -> String {
    let see = if has_traces { SEE_IT } else { "" };
    let body =
        format!(r#"{{"items":[{{"sku":"{EXAMPLE_SKU}","quantity":1}}],"payment_token":"tok_ok"}}"#);
    format!(
        "curl -i -w '\\n' http://{gateway}/v1/orders -H 'Content-Type: application/json' -H 'Idempotency-Key: try-{key}' -d '{body}'{see}"
    )
}

/// Another mesh in this folder had another, and this one may remember it.
pub(crate) fn unused_key() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_aligned() {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let entries = [
            Entry {
                name: "gateway".to_owned(),
                pid: 7,
                http: Some(loopback(8080)),
                grpc: None,
                admin: loopback(9461),
            },
            Entry {
                name: "inventory".to_owned(),
                pid: 12345,
                http: None,
                grpc: Some(loopback(50052)),
                admin: loopback(9463),
            },
        ];
        let own = std::process::id();
        let expected = format!(
            "  process    serves                  health, metrics        pid\n  \
               page       http://127.0.0.1:9460                          {own}\n  \
               gateway    http://127.0.0.1:8080   http://127.0.0.1:9461  7\n  \
               inventory  grpc://127.0.0.1:50052  http://127.0.0.1:9463  12345\n"
        );
        let rows = processes(loopback(9460), &entries);
        assert_eq!(table(&rows, Palette { on: false }), expected);
    }

    #[test]
    fn the_order_can_be_pasted_into_a_shell() {
        let line = |has_traces| order_line(SocketAddr::from(([127, 0, 0, 1], 8080)), 5, has_traces);
        assert_eq!(line(true), line(false) + " && cargo mesh trace last");
        assert_eq!(
            line(false),
            r#"curl -i -w '\n' http://127.0.0.1:8080/v1/orders -H 'Content-Type: application/json' -H 'Idempotency-Key: try-5' -d '{"items":[{"sku":"apron","quantity":1}],"payment_token":"tok_ok"}'"#
        );
    }
}
