//! `mesh status`: how the mesh of this folder is, a line for each process.

use std::{
    collections::HashMap,
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    time::Duration,
};

use mesh_figures::Figures;
use mesh_messaging::{Depth, Queue};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{
    cli::StatusArgs,
    control::{self, Answer, Request, Told},
    dead, depth,
    error::Error,
    folder::Folder,
    process::Process,
    queue,
    running::Running,
    scraper::Scraper,
    table::table,
    terminal::Palette,
    view::Phase,
};

/// Between two looks at what a process has counted.
const SECOND: Duration = Duration::from_secs(1);

/// For what is not known.
const UNKNOWN: &str = "–";

/// Puts the cursor to the top and wipes the terminal.
const CLEAR: &str = "\x1b[H\x1b[J";

/// One replica.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    told: Told,
    /// None of one that does not answer.
    figures: Option<Figures>,
}

pub(crate) async fn status(args: StatusArgs) -> Result<(), Error> {
    let settings = dead::settings().await?;
    let Some((queue, driver)) = queue::open(&settings) else {
        return show(&args, None).await;
    };
    let work = async {
        let outcome = show(&args, Some(&queue)).await;
        // The driver runs until then.
        queue.close().await;
        outcome
    };
    let (outcome, ()) = tokio::join!(work, driver.run());
    outcome
}

/// Once, or again and again.
async fn show(args: &StatusArgs, queue: Option<&Queue>) -> Result<(), Error> {
    let mut scraper = Scraper::new();
    let mut seconds = interval(SECOND);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    seconds.tick().await;
    look(&mut scraper).await?;
    loop {
        seconds.tick().await;
        let rows = look(&mut scraper).await?;
        let depth = depth_of(queue).await;
        let text = if args.json {
            in_json(&rows, depth).to_string() + "\n"
        } else {
            for_people(&rows, depth)
        };
        let clear = args.watch && !args.json && io::stdout().is_terminal();
        let text = if clear {
            CLEAR.to_owned() + &text
        } else {
            text
        };
        let written = io::stdout().write_all(text.as_bytes());
        if !args.watch {
            return all_ready(&rows);
        }
        // Whoever read it went away.
        if written.and_then(|()| io::stdout().flush()).is_err() {
            return Ok(());
        }
    }
}

/// How each replica is now, and what it did since the last look.
async fn look(scraper: &mut Scraper) -> Result<Vec<Row>, Error> {
    let told = states().await?;
    // One that only starts is not published yet.
    let running = Running::here().ok();
    let entries = running.iter().flat_map(Running::entries);
    let admins: HashMap<&str, SocketAddr> = entries
        .map(|entry| (entry.name.as_str(), entry.admin))
        .collect();
    let answers = told.iter().filter(|told| told.phase.answers());
    let targets = answers
        .filter_map(|told| Some((told.name.clone(), *admins.get(told.name.as_str())?)))
        .collect();
    let mut figures = HashMap::new();
    scraper
        .round(targets, |name, found| {
            figures.insert(name, found);
        })
        .await;
    let rows = told.into_iter().map(|told| Row {
        figures: figures.remove(&told.name).flatten(),
        told,
    });
    Ok(rows.collect())
}

/// As the supervisor sees them.
async fn states() -> Result<Vec<Told>, Error> {
    let socket = Folder::here().control_socket();
    match control::ask(&socket, &Request::States).await? {
        Answer::Done(text) => serde_json::from_str(&text)
            .map_err(|error| Error::io("read what the running mesh says", error.into())),
        Answer::Refused(text) => Err(Error::Refused(text)),
    }
}

async fn depth_of(queue: Option<&Queue>) -> Option<Depth> {
    timeout(SECOND, queue?.depth()).await.ok()?.ok()
}

/// So that a script can wait for it.
fn all_ready(rows: &[Row]) -> Result<(), Error> {
    let unready: Vec<String> = rows
        .iter()
        .filter(|row| row.told.phase != Phase::Ready)
        .map(|row| format!("{} {}", row.told.name, row.told.phase))
        .collect();
    if unready.is_empty() {
        return Ok(());
    }
    Err(Error::NotReady(unready.join(", ")))
}

fn in_json(rows: &[Row], depth: Option<Depth>) -> Value {
    let queue = depth.map(|Depth { ready, dead }| json!({"ready": ready, "dead": dead}));
    json!({"processes": rows, "queue": queue})
}

fn for_people(rows: &[Row], depth: Option<Depth>) -> String {
    let heading = [
        "process",
        "is",
        "rate",
        "errors",
        "p95",
        "in flight",
        "memory",
        "queue",
    ];
    let mut lines = vec![heading.map(ToOwned::to_owned)];
    let worker = Process::Fulfillment.name();
    lines.extend(rows.iter().map(|row| {
        let is_worker = row.told.name == worker;
        line(
            row,
            if is_worker {
                depth::in_short(depth)
            } else {
                String::new()
            },
        )
    }));
    let mut text = table(&lines, Palette { on: false });
    if !rows.iter().any(|row| row.told.name == worker) {
        text.push_str(&format!("  queue: {}\n", depth::in_short(depth)));
    }
    text
}

fn line(row: &Row, queue: String) -> [String; 8] {
    let phase = row.told.phase.to_string();
    let is = phase.strip_prefix("is ").unwrap_or(&phase).to_owned();
    let name = row.told.name.clone();
    let unknown = || UNKNOWN.to_owned();
    let Some(figures) = &row.figures else {
        return [
            name,
            is,
            unknown(),
            unknown(),
            unknown(),
            unknown(),
            unknown(),
            queue,
        ];
    };
    [
        name,
        is,
        // Whoever serves requests has no messages, and the reverse.
        per_second(figures.rate + figures.consumed),
        per_second(figures.errors),
        figures.p95.map_or_else(unknown, short),
        figures.in_flight.to_string(),
        megabytes(figures.rss),
        queue,
    ]
}

fn per_second(rate: f64) -> String {
    if rate == 0.0 {
        return "0".to_owned();
    }
    format!("{rate:.1}/s")
}

/// `4.1 ms`, `1.20 s`.
fn short(duration: Duration) -> String {
    if duration < SECOND {
        return format!("{:.1} ms", duration.as_secs_f64() * 1e3);
    }
    format!("{:.2} s", duration.as_secs_f64())
}

/// The system may not say.
fn megabytes(bytes: u64) -> String {
    if bytes == 0 {
        return UNKNOWN.to_owned();
    }
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, phase: Phase, figures: Option<Figures>) -> Row {
        let told = Told {
            name: name.to_owned(),
            phase,
        };
        Row { told, figures }
    }

    fn rows() -> Vec<Row> {
        let served = Figures {
            rate: 12.34,
            errors: 0.5,
            p95: Some(Duration::from_micros(4_120)),
            in_flight: 3,
            rss: 12_100_000,
            ..Figures::default()
        };
        let worked = Figures {
            consumed: 2.0,
            p95: Some(Duration::from_millis(1_200)),
            ..Figures::default()
        };
        vec![
            row("gateway", Phase::Ready, Some(served)),
            row(
                "orders",
                Phase::Waiting(vec!["store".to_owned(), "queue".to_owned()]),
                None,
            ),
            row("payments", Phase::Paused, None),
            row("fulfillment", Phase::Ready, Some(worked.clone())),
            row("fulfillment-2", Phase::Ready, Some(worked)),
        ]
    }

    #[test]
    fn each_process_has_a_line() {
        let depth = Some(Depth { ready: 7, dead: 1 });
        let expected = "  \
            process        is                         rate    errors  p95     in flight  memory   queue\n  \
            gateway        ready                      12.3/s  0.5/s   4.1 ms  3          12.1 MB\n  \
            orders         waits for store and queue  –       –       –       –          –\n  \
            payments       paused                     –       –       –       –          –\n  \
            fulfillment    ready                      2.0/s   0       1.20 s  0          –        7 waiting, 1 dead letters\n  \
            fulfillment-2  ready                      2.0/s   0       1.20 s  0          –\n";
        assert_eq!(for_people(&rows(), depth), expected);
    }

    #[test]
    fn a_queue_without_workers_has_a_line_of_its_own() {
        let text = for_people(&rows()[..2], None);
        assert!(text.ends_with("\n  queue: away\n"), "{text}");
    }

    #[test]
    fn machines_get_units_and_the_state_by_name() {
        let depth = Some(Depth { ready: 7, dead: 1 });
        let json = in_json(&rows(), depth);
        assert_eq!(json["queue"], json!({"ready": 7, "dead": 1}));
        let process = |index: usize| &json["processes"][index];
        assert_eq!(process(0)["name"], "gateway");
        assert_eq!(process(0)["state"], "ready");
        assert_eq!(process(0)["figures"]["rss_bytes"], 12_100_000);
        assert_eq!(process(1)["state"], "waiting");
        assert_eq!(process(1)["waiting_for"], json!(["store", "queue"]));
        assert!(process(1)["figures"].is_null());
        assert!(in_json(&[], None)["queue"].is_null());
    }

    #[test]
    fn who_is_not_ready_is_named() {
        let told = all_ready(&rows()).unwrap_err().to_string();
        assert_eq!(
            told,
            "not ready: orders waits for store and queue, payments is paused"
        );
        all_ready(&rows()[..1]).unwrap();
    }
}
