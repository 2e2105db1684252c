//! The page on a real port: what only a connection shows.

use std::{net::SocketAddr, time::Duration};

use mesh_traces::Store;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use crate::{
    page::{Options, Page},
    testing::mesh,
};

const LIMIT: Duration = Duration::from_secs(60);

fn serve() -> (SocketAddr, JoinSet<()>) {
    let page = Page::bind(Options {
        address: "127.0.0.1:0".parse().unwrap(),
        jaeger_ui: None,
        version: "1.2.3",
    })
    .unwrap();
    let address = page.address().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { match page.serve(mesh(), Store::new(1 << 20)).await {} });
    (address, tasks)
}

/// Sends the text and reads until the other side closes.
async fn exchange(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(LIMIT, stream.read_to_end(&mut answer)).await;
    // A server that refuses may reset what it did not read.
    let _read = read.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn its_own_port_decides_which_host_is_its_own() {
    let (address, _serving) = serve();
    let get = |host: String| format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let port = address.port();
    let seen = exchange(address, &get(format!("localhost:{port}"))).await;
    assert!(seen.starts_with("HTTP/1.1 200 OK\r\n"), "{seen}");
    assert!(seen.ends_with("</html>"));
    for host in ["127.0.0.1:9460".to_owned(), format!("evil.example:{port}")] {
        let seen = exchange(address, &get(host)).await;
        assert!(seen.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{seen}");
    }
    let absolute = format!(
        "GET http://evil.example/ HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    );
    assert!(
        exchange(address, &absolute)
            .await
            .starts_with("HTTP/1.1 403")
    );
    assert!(
        exchange(address, "GET / HTTP/1.0\r\n\r\n")
            .await
            .starts_with("HTTP/1.0 403")
    );
}

#[tokio::test]
async fn a_stranger_is_not_kept_and_a_head_has_an_end() {
    let (address, _serving) = serve();
    // It asks for no more, and the connection is closed all the same.
    let refused = exchange(address, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
    assert!(refused.contains("\r\nconnection: close\r\n"), "{refused}");
    let long = "x".repeat(64 << 10);
    let head = format!("GET / HTTP/1.1\r\nHost: {address}\r\nX-Long: {long}\r\n\r\n");
    let refused = exchange(address, &head).await;
    assert!(
        refused.is_empty() || refused.starts_with("HTTP/1.1 431"),
        "{refused}"
    );
    // A head that never ends.
    assert_eq!(exchange(address, "GET / HTTP/1.1\r\nHost:").await, "");
}

#[tokio::test]
async fn events_come_over_a_real_connection() {
    let (address, _serving) = serve();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let ask = format!("GET /events HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    while !seen.contains("event: snapshot") {
        let count = timeout(LIMIT, stream.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        assert!(count > 0, "{seen}");
        seen += &String::from_utf8_lossy(&buffer[..count]);
    }
    assert!(seen.contains("content-type: text/event-stream"), "{seen}");
}
