//! The map as a picture. Places are fixed; what is at them is live.
//!
//! ```text
//!                              ┌──────────────────────► inventory ◄┐
//!  customers ──► gateway ──┴──► orders ──► payments                │
//!                                 ▼  ▲                             │
//!                               queue └── fulfillment ─────────────┘
//! ```

use maud::{Markup, html};

use crate::{
    figure,
    mesh::{Queue, Replica, State},
    picture::{Picture, Process, Told},
    words,
};

/// A process's box.
const WIDTH: i32 = 220;
const HEIGHT: i32 = 150;

/// Name and left upper corner.
const PLACES: [(&str, i32, i32); 5] = [
    ("gateway", 240, 200),
    ("orders", 590, 200),
    ("inventory", 960, 10),
    ("payments", 960, 200),
    ("fulfillment", 960, 390),
];

/// A line between two boxes: from, to, its path, where its arrow ends and points to, where its figures stand.
struct Edge {
    from: &'static str,
    to: &'static str,
    path: &'static str,
    /// The tip of the arrow and its direction in degrees; 0 points to the right.
    tip: (i32, i32, i32),
    label: (i32, i32),
}

const fn edge(
    from: &'static str,
    to: &'static str,
    path: &'static str,
    tip: (i32, i32, i32),
    label: (i32, i32),
) -> Edge {
    Edge {
        from,
        to,
        path,
        tip,
        label,
    }
}

const CUSTOMERS: Edge = edge(
    "customers",
    "gateway",
    "M120 275H232",
    (240, 275, 0),
    (180, 275),
);

const CALLS: [Edge; 6] = [
    edge(
        "gateway",
        "orders",
        "M460 275H582",
        (590, 275, 0),
        (524, 275),
    ),
    edge(
        "gateway",
        "inventory",
        "M350 200C350 90 440 60 580 60H952",
        (960, 60, 0),
        (560, 60),
    ),
    edge(
        "orders",
        "inventory",
        "M735 200C745 140 800 118 860 118H952",
        (960, 118, 0),
        (826, 122),
    ),
    edge(
        "orders",
        "payments",
        "M810 262H952",
        (960, 262, 0),
        (884, 262),
    ),
    edge(
        "fulfillment",
        "orders",
        "M960 425C890 425 900 322 818 322",
        (810, 322, 180),
        (894, 366),
    ),
    edge(
        "fulfillment",
        "inventory",
        "M1180 465C1262 465 1262 85 1188 85",
        (1180, 85, 180),
        (1236, 275),
    ),
];

const PUBLISHED: Edge = edge(
    "orders",
    "queue",
    "M690 350V412",
    (690, 420, 90),
    (690, 380),
);
const CONSUMED: Edge = edge(
    "queue",
    "fulfillment",
    "M800 480H952",
    (960, 480, 0),
    (880, 480),
);

/// The whole picture, and the same in words.
pub(crate) fn draw(picture: &Picture) -> Markup {
    let gateway = picture.process("gateway");
    let customers = gateway.and_then(|process| process.figures.as_ref());
    let customers = customers.map(|all| Told::new(all.rate, all.p95, all.errors));
    let words = words::describe(picture, PLACES.iter().map(|(name, ..)| *name));
    html! {
        div class="scroll" role="region" aria-label="Map" tabindex="0" {
            svg class="map" viewBox="0 0 1290 550" role="img" aria-labelledby="map-title" aria-describedby="map-words" {
                title id="map-title" { "The processes, the calls between them and the queue" }
                desc id="map-words" { (words) }
                (line(&CUSTOMERS, customers.as_ref()))
                @for edge in &CALLS {
                    (line(edge, Told::of_call(picture.call(edge.from, edge.to)).as_ref()))
                }
                (messages(&PUBLISHED, picture.published()))
                (messages(&CONSUMED, picture.consumed()))
                g class="customers" {
                    circle cx="65" cy="246" r="13" {}
                    path d="M41 290a24 24 0 0 1 48 0z" {}
                    text x="65" y="314" { "customers" }
                }
                (queue(picture.queue))
                @for (name, x, y) in PLACES {
                    (process(name, picture.process(name), x, y))
                }
            }
        }
    }
}

fn class(told: Option<&Told>) -> &'static str {
    match told {
        Some(told) if told.has_errors => "edge failing",
        Some(told) if told.is_busy => "edge busy",
        _ => "edge",
    }
}

fn line(edge: &Edge, told: Option<&Told>) -> Markup {
    let Edge {
        from,
        to,
        label: (x, y),
        ..
    } = *edge;
    let told = told.filter(|told| told.is_busy || told.has_errors);
    html! {
        g class=(class(told)) data-call={ (from) "-" (to) } {
            (arrow(edge))
            @if let Some(told) = told {
                @let rows = if told.has_errors { 3 } else { 2 };
                (label(x, y, rows))
                text x=(x) y=(first_row(y, rows)) class="strong" { (told.rate) }
                text x=(x) y=(first_row(y, rows) + 15) { (told.p95) }
                @if told.has_errors {
                    text x=(x) y=(first_row(y, rows) + 30) class="bad" { "✕ " (told.errors) }
                }
            }
        }
    }
}

/// To or from the queue: there are no answers, so nothing takes time or fails on the way.
fn messages(edge: &Edge, rate: Option<f64>) -> Markup {
    let Edge {
        from,
        to,
        label: (x, y),
        ..
    } = *edge;
    let told = rate.map(|rate| Told::new(rate, None, 0.0));
    let told = told.filter(|told| told.is_busy);
    html! {
        g class=(class(told.as_ref())) data-call={ (from) "-" (to) } {
            (arrow(edge))
            @if let Some(told) = told {
                (label(x, y, 1))
                text x=(x) y=(first_row(y, 1)) class="strong" { (told.rate) }
            }
        }
    }
}

fn arrow(edge: &Edge) -> Markup {
    let (x, y, turn) = edge.tip;
    html! {
        path class="line" d=(edge.path) {}
        path class="tip" d="M0 0L-11 -6V6Z" transform={ "translate(" (x) " " (y) ") rotate(" (turn) ")" } {}
    }
}

/// What a line's figures stand on, so that they can be read.
fn label(x: i32, y: i32, rows: i32) -> Markup {
    let height = 15 * rows + 6;
    html! { rect class="label" x=(x - 37) y=(y - height / 2) width="74" height=(height) rx="6" {} }
}

fn first_row(y: i32, rows: i32) -> i32 {
    y - 15 * rows / 2 + 12
}

fn process(name: &str, process: Option<&Process>, x: i32, y: i32) -> Markup {
    let word = process.map_or("none", Process::word);
    let readiness = process.map_or_else(|| "not running".to_owned(), Process::readiness);
    html! {
        g class="process" data-process=(name) data-state=(word) transform={ "translate(" (x) " " (y) ")" } {
            title { (name) ": " (readiness) }
            rect class="box" width=(WIDTH) height=(HEIGHT) rx="12" {}
            rect class="edge-of-box" x="0" y="12" width="4" height=(HEIGHT - 24) rx="2" {}
            text class="name" x="18" y="29" { (name) }
            g transform="translate(22 48)" { (mark(word)) }
            text class="state" x="36" y="53" { (figure::cut(&readiness, 26)) }
            @if let Some(process) = process {
                (figures(process))
                (replicas(process))
            }
        }
    }
}

fn figures(process: &Process) -> Markup {
    let figures = process.figures.as_ref();
    let told =
        figures.map(|all| Told::new(process.work().unwrap_or_default(), all.p95, all.errors));
    let unknown = || figure::UNKNOWN.to_owned();
    let in_flight = figures.map_or_else(unknown, |all| figure::count(all.in_flight));
    let has_errors = told.as_ref().is_some_and(|told| told.has_errors);
    let (rate, p95, errors) = told.map_or_else(
        || (unknown(), unknown(), unknown()),
        |told| (told.rate, told.p95, told.errors),
    );
    html! {
        (pair(18, 76, "rate", &rate, ""))
        (pair(112, 76, "p95", &p95, ""))
        (pair(18, 98, "errors", &errors, if has_errors { "bad" } else { "" }))
        (pair(112, 98, "in flight", &in_flight, ""))
    }
}

fn pair(x: i32, y: i32, name: &str, value: &str, class: &str) -> Markup {
    html! {
        text class="figure" x=(x) y=(y) {
            tspan class="faint" { (name) " " }
            tspan class={ "strong " (class) } { (value) }
        }
    }
}

/// A mark a replica, in their order.
fn replicas(process: &Process) -> Markup {
    html! {
        @for (index, (replica, _)) in process.replicas.iter().take(10).enumerate() {
            @let word = replica.state.word();
            g class="replica" data-replica=(replica.name) data-state=(word)
                transform={ "translate(" (18 + 19 * index) " 115)" } {
                title { (replica.name) ": " (replica.state) }
                rect width="17" height="22" rx="5" {}
                g transform="translate(8.5 11)" { (mark(word)) }
            }
        }
        // One can see that it is another one than before.
        @if let [(Replica { pid: Some(pid), .. }, _)] = &process.replicas[..] {
            text class="pid" x="42" y="130" { "process " (pid) }
        }
    }
}

/// Every state has a shape of its own.
fn mark(word: &str) -> Markup {
    let shape = if word == State::Ready.word() {
        "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0 -5 0Z"
    } else if word == State::Starting.word() {
        "M0 -5A5 5 0 0 1 0 5Z"
    } else if word == State::Paused.word() {
        "M-4 -5H-1V5H-4ZM1 -5H4V5H1Z"
    } else if word == State::Down.word() {
        "M-5 -3L-3 -5L0 -2L3 -5L5 -3L2 0L5 3L3 5L0 2L-3 5L-5 3L-2 0Z"
    } else if word == State::Stopping.word() {
        "M-4 -4H4V4H-4Z"
    } else {
        "M0 -5L5 4H-5Z"
    };
    html! { path class="mark" d=(shape) {} }
}

fn queue(queue: Option<Queue>) -> Markup {
    let unknown = || figure::UNKNOWN.to_owned();
    let ready = queue.map_or_else(unknown, |queue| figure::count(queue.ready));
    let dead = queue.map_or_else(unknown, |queue| figure::count(queue.dead));
    let has_dead = queue.is_some_and(|queue| queue.dead > 0);
    let bars = queue.map_or(0, |queue| queue.ready).min(8);
    html! {
        g class="queue" data-queue=(ready) transform="translate(590 420)" {
            title { "queue: " (ready) " waiting, " (dead) " dead letters" }
            rect class="box" width="210" height="110" rx="55" {}
            text class="name" x="105" y="30" { "queue" }
            text class="figure" x="105" y="53" { tspan class="strong" { (ready) } tspan class="faint" { " waiting" } }
            text class="figure" x="105" y="74" {
                tspan class=(if has_dead { "strong bad" } else { "strong" }) { @if has_dead { "✕ " } (dead) }
                tspan class="faint" { " dead letters" }
            }
            // A slip of paper a message, as far as there is room.
            @for slip in 0..8 {
                rect class=(if slip < bars { "slip" } else { "slip none" }) x=(50 + 14 * slip) y="86" width="10" height="10" rx="2" {}
            }
        }
    }
}
