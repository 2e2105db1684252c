use std::str;

use axum::{
    Router,
    body::Bytes as Text,
    routing::{get, post},
};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2::{SendRequest, handshake};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    task::JoinSet,
};

use super::{
    super::{
        fixtures::{Fixture, HALF, HELLO},
        upload::BETWEEN_FRAMES,
    },
    *,
};
use crate::shutdown::Trigger;

const GET: &[u8] = b"GET /orders/7 HTTP/1.1\r\nhost: shop\r\n\r\n";
const SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nhost: shop\r\n\r\n";
/// Longer than a closing connection lingers.
const WORK: Duration = Duration::from_secs(3);

/// One connection being served, on a paused clock.
struct Served {
    client: DuplexStream,
    connection: JoinSet<Vec<String>>,
    trigger: Trigger,
    fixture: Fixture,
    opened: Instant,
}

fn router() -> Router {
    Router::new()
        .route("/orders/{id}", get(async || "ok"))
        .route("/orders", post(async |body: Text| body.len().to_string()))
        .route("/large", get(async || vec![b'x'; 1 << 20]))
        .route("/endless", get(std::future::pending::<()>))
        .route(
            "/slow",
            get(async || {
                sleep(WORK).await;
                "done"
            }),
        )
}

impl Served {
    fn new(protocol: Protocol) -> Self {
        let fixture = Fixture::new(protocol);
        let trigger = Trigger::new();
        let (client, server) = duplex(4096);
        let mut connection = JoinSet::new();
        let stack = fixture.stack(router());
        connection.spawn(serve(server, stack, trigger.shutdown()));
        let opened = Instant::now();
        Self {
            client,
            connection,
            trigger,
            fixture,
            opened,
        }
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.unwrap();
    }

    /// Reads until an answer's text.
    async fn hear(&mut self, text: &str) -> String {
        let mut heard = Vec::new();
        while !str::from_utf8(&heard).unwrap().ends_with(text) {
            let byte = self.client.read_u8().await;
            heard.push(byte.unwrap_or_else(|_| panic!("closed after {heard:?}")));
        }
        String::from_utf8(heard).unwrap()
    }

    /// What comes until the other side closes, and when that is.
    async fn rest(&mut self) -> (String, Duration) {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = self.client.read_to_end(&mut rest).await;
        let rest = String::from_utf8_lossy(&rest).into_owned();
        (rest, self.opened.elapsed())
    }

    /// An HTTP/2 client of this connection, and the task that drives it.
    async fn http_2(&mut self) -> (SendRequest<Empty<Bytes>>, JoinSet<hyper::Result<()>>) {
        let client = std::mem::replace(&mut self.client, duplex(1).0);
        let (requests, connection) = handshake(TokioExecutor::new(), TokioIo::new(client))
            .await
            .unwrap();
        (requests, JoinSet::from_iter([connection]))
    }

    async fn cut(&mut self) -> Vec<String> {
        self.connection.join_next().await.unwrap().unwrap()
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn silence_ends_after_five_seconds() {
    for (protocol, first) in [
        (Protocol::Http, &b""[..]),
        (Protocol::Http, b"P"),
        (Protocol::Grpc, b""),
        (Protocol::Grpc, b"PRI * HTTP/2.0"),
    ] {
        let mut served = Served::new(protocol);
        served.say(first).await;
        assert_eq!(served.rest().await, (String::new(), secs(5)), "{first:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_header_ends_after_five_seconds_however_slowly_more_comes() {
    let mut served = Served::new(Protocol::Http);
    served.say(b"GET /orders/7 HTTP/1.1\r\nhost: ").await;
    for _ in 0..4 {
        sleep(secs(1)).await;
        served.say(b"s").await;
    }
    assert_eq!(served.rest().await.1, secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_serves_again_and_ends_after_75_idle_seconds() {
    let mut served = Served::new(Protocol::Http);
    served.say(GET).await;
    served.hear("ok").await;
    sleep(secs(60)).await;
    served.say(GET).await;
    let answer = served.hear("ok").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // The second request has five seconds of its own for its headers.
    assert_eq!(served.rest().await, (String::new(), secs(135)));
    assert_eq!(served.fixture.lines().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_second_request_has_five_seconds_for_its_headers() {
    let mut served = Served::new(Protocol::Http);
    served.say(GET).await;
    served.hear("ok").await;
    sleep(secs(20)).await;
    served.say(&GET[..10]).await;
    assert_eq!(served.rest().await.1, secs(25));
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_ping_ends_an_http_2_connection_after_fifteen_seconds() {
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let mut served = Served::new(protocol);
        served.say(HELLO).await;
        assert_eq!(served.rest().await.1, PING_EVERY + PING_ANSWER);
    }
}

/// Found by pausing payments for longer than its callers wait: when it went on it closed their connections.
#[tokio::test(start_paused = true)]
async fn many_calls_given_up_before_they_were_seen_do_not_end_a_grpc_connection() {
    let mut served = Served::new(Protocol::Grpc);
    let mut said = HELLO.to_vec();
    for stream in (1..=99u8).step_by(2) {
        // POST http://s/, and no more of it: CANCEL.
        said.extend([
            0, 0, 6, 1, 4, 0, 0, 0, stream, 0x83, 0x86, 0x84, 0x41, 1, b's',
        ]);
        said.extend([0, 0, 4, 3, 0, 0, 0, 0, stream, 0, 0, 0, 8]);
    }
    served.say(&said).await;
    let (rest, closed) = served.rest().await;
    assert!(!rest.contains("too_many_resets"), "{rest}");
    // By its unanswered ping.
    assert_eq!(closed, secs(15));
}

#[tokio::test(start_paused = true)]
async fn half_an_http_2_header_ends_after_five_seconds_however_slowly_more_comes() {
    for protocol in [Protocol::Http, Protocol::Grpc] {
        for (begun, more) in [
            // The preface's text, and half of its SETTINGS.
            (&HELLO[..24], &b"\0"[..]),
            // CONTINUATION without end.
            (HALF, b"\0\0\0\x09\0\0\0\0\x01"),
            // HEADERS whose payload does not come.
            (b"\0\0\x10\x01\x04\0\0\0\x01", b"x"),
            (b"\0\0", b"\0"),
        ] {
            let mut served = Served::new(protocol);
            let hello = if HELLO.starts_with(begun) { b"" } else { HELLO };
            served.say(hello).await;
            sleep(secs(3)).await;
            let opened = Instant::now();
            served.say(begun).await;
            for _ in 0..4 {
                sleep(secs(1)).await;
                served.say(more).await;
            }
            served.rest().await;
            assert_eq!(opened.elapsed(), secs(5), "{begun:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_body_ends_with_the_requests_time() {
    let mut served = Served::new(Protocol::Http);
    served
        .say(b"POST /orders HTTP/1.1\r\nhost: shop\r\ncontent-length: 10\r\n\r\nhalf")
        .await;
    let (answer, after) = served.rest().await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert_eq!(after, secs(5));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_read_ends_after_ten_seconds() {
    let mut served = Served::new(Protocol::Http);
    served
        .say(b"GET /large HTTP/1.1\r\nhost: shop\r\n\r\n")
        .await;
    assert!(served.cut().await.is_empty());
    assert_eq!(served.opened.elapsed(), BETWEEN_FRAMES);
    assert_eq!(served.fixture.metric("http_requests_in_flight"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_takes_its_request_along() {
    let mut served = Served::new(Protocol::Http);
    served
        .say(b"GET /endless HTTP/1.1\r\nhost: shop\r\n\r\n")
        .await;
    sleep(secs(1)).await;
    let (gone, _) = duplex(1);
    served.client = gone;
    assert!(served.cut().await.is_empty());
    assert_eq!(served.fixture.lines(), ["GET unmatched 499  1000ms"]);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_what_is_idle_at_once() {
    let mut served = Served::new(Protocol::Http);
    served.say(GET).await;
    served.hear("ok").await;
    sleep(secs(10)).await;
    served.trigger.close();
    assert_eq!(served.rest().await, (String::new(), secs(10)));
    assert!(served.cut().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn closing_never_waits_for_a_silent_side() {
    for (protocol, first, said) in [
        (Protocol::Http, &b""[..], Duration::ZERO),
        (Protocol::Http, b"GET / HTTP/1.1\r\n", LINGER),
        (Protocol::Http, HELLO, LINGER),
        (Protocol::Grpc, HELLO, LINGER),
    ] {
        let mut served = Served::new(protocol);
        sleep(secs(1)).await;
        served.say(first).await;
        sleep(secs(1)).await;
        served.trigger.close();
        assert!(served.cut().await.is_empty());
        assert_eq!(served.opened.elapsed(), secs(2) + said, "{first:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn closing_lets_a_request_in_flight_finish() {
    let mut served = Served::new(Protocol::Http);
    served.say(SLOW).await;
    sleep(secs(1)).await;
    served.trigger.close();
    let (answer, after) = served.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("connection: close") && answer.ends_with("done"));
    assert_eq!(after, WORK);
    assert!(served.cut().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn closing_lets_http_2_streams_finish() {
    let mut served = Served::new(Protocol::Http);
    let (mut requests, _client) = served.http_2().await;
    let slow = || {
        let uri = "http://shop/slow";
        ::http::Request::get(uri)
            .body(Empty::<Bytes>::new())
            .unwrap()
    };
    let answer = requests.send_request(slow());
    sleep(secs(1)).await;
    served.trigger.close();
    let answer = answer.await.unwrap();
    assert_eq!(answer.collect().await.unwrap().to_bytes(), "done");
    assert!(served.cut().await.is_empty());
    assert_eq!(served.opened.elapsed(), WORK);
    assert!(requests.send_request(slow()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_left_at_the_cut_is_dropped_and_named() {
    let mut served = Served::new(Protocol::Http);
    served.say(SLOW).await;
    sleep(secs(1)).await;
    served.trigger.close();
    sleep(secs(1)).await;
    served.trigger.cut();
    let cut = served.cut().await;
    assert!(cut.len() == 1 && cut[0].starts_with("GET "), "{cut:?}");
    assert_eq!(served.opened.elapsed(), secs(2));
    assert_eq!(served.fixture.lines(), ["GET unmatched 499  2000ms"]);
}

#[tokio::test(start_paused = true)]
async fn headers_over_16_kib_are_431() {
    let mut served = Served::new(Protocol::Http);
    let header = format!(
        "GET /orders/7 HTTP/1.1\r\nhost: shop\r\nx: {}\r\n\r\n",
        "y".repeat(16 * 1024)
    );
    let (mut read, mut write) =
        tokio::io::split(std::mem::replace(&mut served.client, duplex(1).0));
    let mut answer = Vec::new();
    let (written, _) = tokio::join!(
        write.write_all(header.as_bytes()),
        read.read_to_end(&mut answer)
    );
    let _ = written;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");

    let mut served = Served::new(Protocol::Http);
    let (mut requests, _client) = served.http_2().await;
    for (length, status) in [(8 * 1024, 200), (16 * 1024, 431)] {
        let request = ::http::Request::get("http://shop/orders/7")
            .header("x", "y".repeat(length))
            .body(Empty::new())
            .unwrap();
        let answer = requests.send_request(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{length}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_for_no_host_or_for_two_is_400() {
    for hosts in ["", "host: a\r\nhost: a\r\n", "host: a\r\nhost: b\r\n"] {
        let mut served = Served::new(Protocol::Http);
        let request = format!("GET /orders/7 HTTP/1.1\r\nconnection: close\r\n{hosts}\r\n");
        served.say(request.as_bytes()).await;
        let (answer, _) = served.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{hosts:?} {answer}");
        assert!(answer.contains("x-request-id") && answer.contains("application/problem+json"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_routers_own_errors_are_whole_problems() {
    for (line, status) in [("GET /nowhere", "404"), ("DELETE /orders", "405")] {
        let mut served = Served::new(Protocol::Http);
        let request = format!("{line} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n");
        served.say(request.as_bytes()).await;
        let (answer, _) = served.rest().await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        assert_eq!(head.contains("allow: POST"), status == "405", "{head}");
        let length = format!("content-length: {}", body.len());
        assert!(head.contains(&length), "{head}");
        assert!(body.contains("request_id") && body.ends_with('}'), "{body}");
    }
}

/// hyper answers these itself.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_gets_a_problem_too() {
    let headers = "x: y\r\n".repeat(101);
    for (request, status) in [
        ("hello\r\n\r\n", 400),
        ("GET / HTTP/3.0\r\n\r\n", 400),
        ("GET orders/7 HTTP/1.1\r\nhost: shop\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: shop\r\na b: c\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nhost: shop\r\ncontent-length: x\r\n\r\n",
            400,
        ),
        (&format!("GET / HTTP/1.1\r\n{headers}\r\n"), 431),
    ] {
        let mut served = Served::new(Protocol::Http);
        served.say(GET).await;
        served.hear("ok").await;
        served.say(request.as_bytes()).await;
        let (answer, _) = served.rest().await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        for header in [
            "connection: close",
            "content-type: application/problem+json",
            "x-request-id: ",
            "x-trace-id: ",
            &format!("content-length: {}", body.len()),
        ] {
            assert_eq!(head.matches(header).count(), 1, "{header} in {head}");
        }
        assert!(body.contains("request_id") && body.ends_with('}'), "{body}");
        let line = format!("_OTHER unmatched {status}  0ms");
        assert_eq!(served.fixture.lines().last(), Some(&line), "{request}");
    }
}

#[tokio::test(start_paused = true)]
async fn bare_line_feeds_make_exactly_one_request() {
    let mut served = Served::new(Protocol::Http);
    let smuggled = "GET /orders/7 HTTP/1.1\nhost: shop\nconnection: close\n\nGET /slow HTTP/1.1\nhost: shop\n\n";
    served.say(smuggled.as_bytes()).await;
    let (answer, _) = served.rest().await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert_eq!(served.fixture.lines().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn http_1_on_a_grpc_listener_is_closed() {
    let mut served = Served::new(Protocol::Grpc);
    served.say(GET).await;
    assert_eq!(served.rest().await, (String::new(), Duration::ZERO));
}
