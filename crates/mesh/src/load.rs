//! `mesh load`: requests to the running mesh at a fixed rate, and how long they took.

mod shop;
mod shown;

use std::{
    convert::Infallible,
    fs::{self, File},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use mesh_config::Env;
use mesh_load::{Generator, Plan, Report, Watch};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::{MissedTickBehavior, interval};

pub(crate) use self::shop::KINDS;
use self::shop::Shop;
use crate::{
    cli::LoadArgs,
    error::Error,
    running::Running,
    signals::Signals,
    terminal::{self, Terminal},
};

/// Each request in flight is a connection, and each connection an open file.
const MOST_IN_FLIGHT: usize = 10_000;

/// For all that is no connection.
const OTHER_FILES: usize = 64;

/// Systems have as many files open as this without asking for more.
const USUAL_FILES: u64 = 1_024;

/// The status line moves so often.
const TICK: Duration = Duration::from_millis(200);

/// Where there is no status line, it is said every so many ticks how it goes.
const TELL_TICKS: u64 = 25;

/// For a terminal that is slow with the last lines.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

pub(crate) async fn load(args: LoadArgs) -> Result<(), Error> {
    let mut signals = Signals::new().map_err(|source| Error::io("wait for signals", source))?;
    let gateway = Running::here()?.gateway();
    let svg = args.svg.map(Drawing::begin).transpose()?;
    let terminal =
        Terminal::stdout(&Env).map_err(|source| Error::io("start the output thread", source))?;
    let plan = Plan {
        rate: args.rate,
        length: args.length,
        mix: args.mix,
        most_in_flight: most_in_flight(),
    };
    let shop = tokio::select! {
        shop = Shop::open(gateway, &plan) => shop?,
        () = signals.next() => return Ok(()),
    };
    if !args.json {
        terminal.say(shown::intention(&plan, gateway));
        if let Some(warning) = shop.short_stock(&plan) {
            terminal.say(warning);
        }
    }
    let generator = Generator::new(plan);
    let watch = generator.watch();
    let report = tokio::select! {
        report = generator.run(Arc::new(shop), signals.next()) => report,
        never = show(&terminal, &watch, args.length), if !args.json => match never {},
    };
    terminal.status("");
    if args.json {
        terminal::answer(
            &serde_json::to_string_pretty(&report).expect("a report is numbers and names"),
        );
    } else {
        terminal.say(shown::result(&report, terminal.palette()));
    }
    terminal.flush(FLUSH_LIMIT).await;
    if let Some(svg) = svg {
        svg.draw(&report)?;
    }
    verdict(&report, args.max_error_rate)
}

/// Keeps people informed of how it goes.
async fn show(terminal: &Terminal, watch: &Watch, length: Duration) -> Infallible {
    let mut ticks = interval(TICK);
    // One that comes late is no reason for two.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut tick = 0;
    loop {
        ticks.tick().await;
        tick += 1;
        if terminal.is_live() {
            terminal.status(&shown::progress(&watch.now(), length));
        } else if tick % TELL_TICKS == 0 {
            terminal.say(shown::progress(&watch.now(), length));
        }
    }
}

/// What must not be: too many errors, or another load than the one that was asked for.
fn verdict(report: &Report, max_error_rate: f64) -> Result<(), Error> {
    let mut problems = Vec::new();
    if let Some(shortfall) = report.rate.shortfall() {
        problems.push(format!("the rate could not be held: {shortfall}"));
    }
    if report.error_rate() > max_error_rate {
        problems.push(format!(
            "{} of {} requests went wrong ({:.2} %), more than --max-error-rate {max_error_rate} allows",
            report.all.errors,
            report.all.requests,
            report.error_rate() * 100.0
        ));
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::Refused(problems.join("\n      ")))
}

/// As many files as we may have, and as many requests in flight as that allows.
fn most_in_flight() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = (MOST_IN_FLIGHT + OTHER_FILES) as u64;
    let raised = Rlimit {
        current: Some(maximum.unwrap_or(wanted).min(wanted)),
        maximum,
    };
    let files = match current {
        Some(current) if current < wanted && setrlimit(Resource::Nofile, raised).is_ok() => {
            raised.current
        }
        current => Some(current.unwrap_or(wanted)),
    };
    let files = usize::try_from(files.unwrap_or(USUAL_FILES)).unwrap_or(usize::MAX);
    files.saturating_sub(OTHER_FILES).clamp(1, MOST_IN_FLIGHT)
}

/// The file of `--svg`, made before the load, so that nobody waits for a picture that has no place.
struct Drawing {
    path: PathBuf,
}

impl Drawing {
    fn begin(path: PathBuf) -> Result<Self, Error> {
        match File::create(&path) {
            Ok(_empty) => Ok(Self { path }),
            Err(source) => Err(Error::io(format!("write {}", path.display()), source)),
        }
    }

    fn draw(&self, report: &Report) -> Result<(), Error> {
        fs::write(&self.path, mesh_load::svg(report))
            .map_err(|source| Error::io(format!("write {}", self.path.display()), source))
    }
}
