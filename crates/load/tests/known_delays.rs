//! Against a server that does what it is told, on loopback: what is measured is what happened.

#![cfg(test)]

use std::{
    future::pending,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use mesh_load::{Client, Generator, Mix, Outcome, Percentiles, Plan, Report, Target};
use tokio::{
    net::TcpListener,
    sync::oneshot,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

/// Longer than any answer here takes, even on a machine that does other things.
const LIMIT: Duration = Duration::from_secs(60);

/// Shares of 1,000 requests, and how long the server keeps each: a distribution whose percentiles are known.
const DELAYS: [(usize, u64); 4] = [(600, 100), (350, 200), (45, 400), (5, 800)];

/// On a thread and a runtime of its own; dropping it ends it.
struct Server {
    address: SocketAddr,
    book: Arc<Book>,
    _end: oneshot::Sender<()>,
}

/// What the server does and did.
struct Book {
    delayed: AtomicU64,
    /// How long it really kept those it was to keep, from the request's arrival.
    kept: Mutex<Vec<Duration>>,
    arrivals: Mutex<Vec<Instant>>,
    connections: AtomicU64,
    /// For so long from the first request on nobody is answered.
    still: Mutex<Duration>,
    /// Connections break as soon as a request is there.
    breaks: AtomicBool,
}

impl Server {
    fn start() -> Self {
        let book = Arc::new(Book {
            delayed: AtomicU64::new(0),
            kept: Mutex::default(),
            arrivals: Mutex::default(),
            connections: AtomicU64::new(0),
            still: Mutex::default(),
            breaks: AtomicBool::new(false),
        });
        let (end, ended) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let kept = Arc::clone(&book);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = accept(listener, kept) => {}
                    _ = ended => {}
                }
            });
        });
        Self {
            address: told.recv().unwrap(),
            book,
            _end: end,
        }
    }

    fn target(&self, paths: &[String]) -> Paths {
        Paths {
            client: Client::new(LIMIT),
            address: self.address,
            paths: paths.to_vec(),
        }
    }
}

async fn accept(listener: TcpListener, book: Arc<Book>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        book.connections.fetch_add(1, Ordering::Relaxed);
        let book = Arc::clone(&book);
        connections.spawn(async move {
            let answer = service_fn(|request| answer(request, Arc::clone(&book)));
            // It ends with the client.
            let _ended = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    book: Arc<Book>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let arrived = Instant::now();
    let first = {
        let mut arrivals = book.arrivals.lock().unwrap();
        arrivals.push(arrived);
        arrivals[0]
    };
    if book.breaks.load(Ordering::Relaxed) {
        return Err(std::io::Error::other("told to break the connection"));
    }
    let still = *book.still.lock().unwrap();
    sleep_until(first + still).await;
    if request.uri().path() == "/delayed" {
        // In no order that the rate could follow.
        let number = book.delayed.fetch_add(1, Ordering::Relaxed) * 7_919 % 1_000;
        sleep(delay(usize::try_from(number).unwrap())).await;
        book.kept.lock().unwrap().push(arrived.elapsed());
    }
    Ok(Response::new(Full::from("answer")))
}

/// That of the request with that place among a thousand.
fn delay(place: usize) -> Duration {
    let mut end = 0;
    let found = DELAYS.iter().find(|(share, _)| {
        end += share;
        place < end
    });
    Duration::from_millis(found.unwrap().1)
}

/// Kinds are paths.
struct Paths {
    client: Client,
    address: SocketAddr,
    paths: Vec<String>,
}

const KINDS: [&str; 2] = ["delayed", "at_once"];

impl Target for Paths {
    async fn send(&self, kind: usize) -> Outcome {
        let uri = format!("http://{}/{}", self.address, self.paths[kind]);
        let request = Request::get(uri).body(Full::default()).unwrap();
        Outcome::from(&self.client.ask(request).await)
    }
}

fn plan(rate: f64, length: Duration, mix: &str) -> Plan {
    Plan {
        rate,
        length,
        mix: Mix::parse(mix, &KINDS).unwrap(),
        most_in_flight: 10_000,
    }
}

async fn run(server: &Server, plan: Plan) -> Report {
    let target = Arc::new(server.target(plan.mix.kinds()));
    Generator::new(plan).run(target, pending()).await
}

/// Of a sorted list, as it is defined: the smallest that so many do not exceed.
fn quantile(sorted: &[Duration], quantile: f64) -> Duration {
    let rank = (sorted.len() as f64 * quantile).ceil() as usize;
    sorted[rank.max(1) - 1]
}

#[tokio::test]
async fn percentiles_are_right_within_five_percent() {
    let server = Server::start();
    let length = Duration::from_secs(8);
    let report = run(&server, plan(250.0, length, "delayed=1,at_once=1")).await;
    assert_eq!(report.all.errors, 0, "{:?}", report.outcomes);
    let [delayed, at_once] = &report.kinds[..] else {
        panic!("two kinds: {:?}", report.kinds);
    };
    assert_eq!((delayed.requests, at_once.requests), (1_000, 1_000));
    let mut kept = server.book.kept.lock().unwrap().clone();
    kept.sort_unstable();
    // What the way there and back adds, as those show that are not kept.
    let overhead = at_once.latency.p99;
    let Percentiles {
        p50,
        p90,
        p99,
        p99_9,
        ..
    } = delayed.latency;
    for (share, programmed, found) in [
        (0.5, 100, p50),
        (0.9, 200, p90),
        (0.99, 400, p99),
        (0.999, 800, p99_9),
    ] {
        // A server on a busy machine keeps them a little longer than it was told to.
        let kept = quantile(&kept, share);
        assert!(
            kept >= Duration::from_millis(programmed),
            "{share}: {kept:?}"
        );
        let told = format!("{share}: {found:?}, kept {kept:?}, overhead {overhead:?}");
        assert!(found >= kept.mul_f64(0.95), "{told}");
        assert!(found <= kept.mul_f64(1.05) + overhead, "{told}");
    }
}

#[tokio::test]
async fn a_server_that_stands_still_is_seen_in_full() {
    const STILL: Duration = Duration::from_secs(1);
    let server = Server::start();
    *server.book.still.lock().unwrap() = STILL;
    let report = run(&server, plan(200.0, 2 * STILL, "at_once=1")).await;
    assert_eq!(report.all.errors, 0, "{:?}", report.outcomes);
    // Half of the requests were due in that second and waited for its end: a tenth of all for 0.8 s or longer. Who sends
    // one request when the last is answered sees one that is slow.
    let latency = report.all.latency;
    assert!(latency.p90 >= STILL.mul_f64(0.8 * 0.95), "{latency:?}");
    assert!(latency.max >= STILL.mul_f64(0.95), "{latency:?}");
}

#[tokio::test]
async fn the_rate_is_held_or_it_is_said_that_it_was_not() {
    let server = Server::start();
    let report = run(&server, plan(500.0, Duration::from_secs(3), "at_once=1")).await;
    let arrivals = server.book.arrivals.lock().unwrap().clone();
    assert_eq!(arrivals.len(), 1_500);
    match report.rate.shortfall() {
        None => {
            assert!((report.rate.held / 500.0 - 1.0).abs() <= 0.01);
            let took = *arrivals.last().unwrap() - arrivals[0];
            let seen = 1_499.0 / took.as_secs_f64();
            // The server's own pauses are in it.
            assert!((450.0..550.0).contains(&seen), "{seen}");
        }
        Some(told) => assert!(!told.is_empty()),
    }
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Server::start();
    let report = run(&server, plan(200.0, Duration::from_secs(2), "at_once=1")).await;
    assert_eq!(report.all.errors, 0, "{:?}", report.outcomes);
    let connections = server.book.connections.load(Ordering::Relaxed);
    assert!(connections < 100, "{connections} for 400 requests");
}

#[tokio::test]
async fn what_goes_wrong_is_told_by_what_it_was() {
    let server = Server::start();
    server.book.breaks.store(true, Ordering::Relaxed);
    let report = run(
        &server,
        plan(100.0, Duration::from_millis(100), "at_once=1"),
    )
    .await;
    assert_eq!(outcomes(&report), ["connection broke: 10"]);
    let address = server.address;
    drop(server);
    let closed = Paths {
        client: Client::new(LIMIT),
        address,
        paths: vec!["at_once".to_owned()],
    };
    let nobody = async || closed.send(0).await.to_string();
    let end = Instant::now() + LIMIT;
    // Its thread may need a moment to end.
    while nobody().await != "no connection" {
        assert!(Instant::now() < end);
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_an_error() {
    let server = Server::start();
    *server.book.still.lock().unwrap() = LIMIT;
    let target = Paths {
        client: Client::new(Duration::from_millis(100)),
        ..server.target(&["at_once".to_owned()])
    };
    let plan = plan(100.0, Duration::from_millis(100), "at_once=1");
    let report = Generator::new(plan).run(Arc::new(target), pending()).await;
    assert_eq!(outcomes(&report), ["no answer in time: 10"]);
    assert!((report.error_rate() - 1.0).abs() < 1e-9);
    assert!(report.all.latency.p50 >= Duration::from_millis(100));
}

fn outcomes(report: &Report) -> Vec<String> {
    let outcomes = report.outcomes.iter();
    outcomes
        .map(|of| format!("{}: {}", of.outcome, of.requests))
        .collect()
}
