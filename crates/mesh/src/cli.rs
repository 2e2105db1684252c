//! The command line.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use mesh_config::parse_duration;
use mesh_load::Mix;
use mesh_traces::TraceId;

use crate::{load::KINDS, ports::MAX_OFFSET, process::Process};

/// More replicas of one process than a laptop has use for.
const MAX_REPLICAS: u32 = 50;

/// More requests a second than one process can send.
const MAX_RATE: f64 = 100_000.0;

/// One request in a quarter of an hour.
const MIN_RATE: f64 = 0.001;

#[derive(Debug, Parser)]
#[command(
    name = "mesh",
    version,
    about = "A shop made of small services: all of them, or any one",
    arg_required_else_help = true,
    after_help = "Start with `cargo mesh up`; it says what to try next. The README lists every setting."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole mesh on this machine until Ctrl-C
    Up(UpArgs),
    /// Run one process in the foreground, from the environment alone
    Run(RunArgs),
    /// Change the number of replicas of a process while the mesh runs
    Scale(ScaleArgs),
    /// Tell how each process of the running mesh is; exit code 1 when one is not ready
    Status(StatusArgs),
    /// Send requests to the running mesh at a fixed rate, and tell how long they took
    Load(LoadArgs),
    /// Look at messages that could not be worked on, and send them on their way again
    Dead {
        #[command(subcommand)]
        command: DeadCommand,
    },
    /// Show what happened to a request: each step, how long it took, how much time was left
    Trace(TraceArgs),
    /// Delete what the mesh of this folder has stored (.mesh), without a question
    Reset,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Every process is an OS process of its own, on loopback. The environment reaches all of them.
The state is kept in .mesh in this folder: a mesh that starts again finds its orders; `mesh reset` deletes them.

With --real the processes use servers that are installed here, started on free ports of loopback, with their data in
.mesh/postgres, .mesh/rabbitmq, .mesh/redis and .mesh/etcd. One that MESH_STORE_URL, MESH_QUEUE_URL, MESH_SESSION_URL
or MESH_LEASE_URL names already, in the environment or by --set, is not started.

Examples:
  cargo mesh up
  cargo mesh up --port-offset 100 --logs errors
  cargo mesh up --real
  cargo mesh up --set RUST_LOG=debug --set MESH_SEED_STOCK=5
  OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4317 cargo mesh up --keep-traces")]
pub(crate) struct UpArgs {
    /// Which log lines of the processes to show
    #[arg(long, value_enum, default_value_t = LogChoice::All)]
    pub(crate) logs: LogChoice,

    /// Add N to every port
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=i64::from(MAX_OFFSET)))]
    pub(crate) port_offset: u16,

    /// Start and use PostgreSQL, RabbitMQ, Redis and etcd instead of files and memory
    #[arg(long)]
    pub(crate) real: bool,

    /// Keep the newest traces here too when OTEL_EXPORTER_OTLP_ENDPOINT names a collector: both get all spans
    #[arg(long)]
    pub(crate) keep_traces: bool,

    /// Link the traces on the page to this Jaeger, which has them too
    #[arg(long, value_name = "URL", value_parser = http_url)]
    pub(crate) jaeger_ui: Option<String>,

    /// Give every process this variable; it beats the environment (may be repeated)
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Assignment>,

    /// Start N of this process instead of one (may be repeated); see also `mesh scale`
    #[arg(long, value_name = "PROCESS=N")]
    pub(crate) replicas: Vec<ReplicaCount>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Which one
    pub(crate) process: Process,

    /// Read the settings, print each of them, and exit: 0, or 64 when one cannot be used
    #[arg(long)]
    pub(crate) check_config: bool,

    /// End when standard input ends: what `mesh up` holds open for its children
    #[arg(long, hide = true)]
    pub(crate) die_with_parent: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ScaleArgs {
    /// For example orders=2
    #[arg(value_name = "PROCESS=N", required = true)]
    pub(crate) counts: Vec<ReplicaCount>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
One line for each process: what it is or waits for, requests (of fulfillment: messages) and errors a second, the time below
which 95 of 100 were answered, requests in flight, memory, and what waits in the queue. It looks twice, a second apart.

Examples:
  cargo mesh status
  cargo mesh status --watch
  until cargo mesh status; do :; done")]
pub(crate) struct StatusArgs {
    /// One JSON object instead of lines
    #[arg(long)]
    pub(crate) json: bool,

    /// Every second, until Ctrl-C or the end of the mesh
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A request's id is in its answer: x-trace-id. The newest traces are kept as long as the mesh of this folder runs.

Examples:
  cargo mesh trace
  cargo mesh trace 4bf92f3577b34da6a3ce929d0e0e4736
  cargo mesh trace last --json | jq '.spans[] | {process, name, remaining}'    (times are nanoseconds)")]
pub(crate) struct TraceArgs {
    /// Its id, or the last one
    #[arg(value_name = "last|ID", default_value = "last")]
    pub(crate) which: Which,

    /// As JSON, times in nanoseconds
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Requests leave when they are due, whatever became of those before, and their time counts from then. Kinds of requests:
  place  an order of one piece, of each product in turn, paid with tok_ok
  read   an order that was placed before
  list   the catalogue
  cart   a product put into a cart

Exit code 1: more went wrong than --max-error-rate allows, or the rate could not be held within 1 %.
Ctrl-C ends it early, with the result so far.

Examples:
  cargo mesh load --rate 200 --for 30s
  cargo mesh load --rate 50 --for 2m --mix place=1,read=4,list=2,cart=1 --svg load.svg")]
pub(crate) struct LoadArgs {
    /// Requests a second
    #[arg(long, value_name = "N", default_value = "100", value_parser = rate)]
    pub(crate) rate: f64,

    /// For how long, such as 30s or 5m
    #[arg(long = "for", value_name = "DURATION", default_value = "30s", value_parser = length)]
    pub(crate) length: Duration,

    /// Which kinds of requests, and how many of each to how many of the others
    #[arg(long, value_name = "KIND=SHARE,…", default_value = "place=1,read=4", value_parser = mix)]
    pub(crate) mix: Mix,

    /// Fail when a larger share of the requests goes wrong, 0 to 1
    #[arg(long, value_name = "SHARE", default_value = "0.01", value_parser = share)]
    pub(crate) max_error_rate: f64,

    /// Draw latency over time and how many requests took how long
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// Print the result as JSON, and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

/// One of the traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Last,
    Id(TraceId),
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "last" => Ok(Self::Last),
            id => match id.parse() {
                Ok(id) => Ok(Self::Id(id)),
                Err(error) => Err(format!("{error}; or \"last\"")),
            },
        }
    }
}

/// Of the mesh that runs in this folder.
#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// All of them: which order, why, since when
    List,
    /// One of them, with its headers and its body
    Show {
        /// Its id
        id: String,
    },
    /// Put one of them, or all, into the queue again
    Replay(ReplayArgs),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ReplayArgs {
    /// Its id
    pub(crate) id: Option<String>,

    /// All of them
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogChoice {
    /// Every line
    All,
    /// Errors, and lines that are no log records
    Errors,
    /// Nothing; what happens to the processes is still told
    None,
}

/// What a link may lead to.
fn http_url(text: &str) -> Result<String, String> {
    let is_url = ["http://", "https://"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    if is_url && text.parse::<http::Uri>().is_ok() {
        return Ok(text.to_owned());
    }
    Err("must be an address such as http://localhost:16686".to_owned())
}

/// `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self {
                key: key.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("must be KEY=VALUE, such as RUST_LOG=debug".to_owned()),
        }
    }
}

/// `orders=2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReplicaCount {
    pub(crate) process: Process,
    pub(crate) count: u32,
}

impl FromStr for ReplicaCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, count) = text
            .split_once('=')
            .ok_or("must be PROCESS=N, such as orders=2")?;
        let process = Process::ALL
            .into_iter()
            .find(|process| process.name() == name)
            .ok_or_else(|| {
                let known = Process::ALL.map(Process::name).join(", ");
                format!("no process {name:?}: there are {known}")
            })?;
        let count = count
            .parse()
            .ok()
            .filter(|count| *count <= MAX_REPLICAS)
            .ok_or_else(|| format!("{count:?} is not a number from 0 to {MAX_REPLICAS}"))?;
        Ok(Self { process, count })
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: Option<f64> = text.parse().ok();
    rate.filter(|rate| (MIN_RATE..=MAX_RATE).contains(rate))
        .ok_or_else(|| format!("must be a number from {MIN_RATE} to {MAX_RATE}"))
}

fn length(text: &str) -> Result<Duration, String> {
    let length = parse_duration(text)?;
    if length.is_zero() {
        return Err("must be longer than nothing".to_owned());
    }
    Ok(length)
}

fn mix(text: &str) -> Result<Mix, String> {
    Mix::parse(text, &KINDS).map_err(|error| error.to_string())
}

fn share(text: &str) -> Result<f64, String> {
    let share: Option<f64> = text.parse().ok();
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "must be a number from 0 to 1, such as 0.01 for one in a hundred".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn assignments_keep_everything_after_the_first_equals_sign() {
        let assignment: Assignment = "MESH_STORE_URL=postgres://h/d?a=b".parse().unwrap();
        assert_eq!(assignment.key, "MESH_STORE_URL");
        assert_eq!(assignment.value, "postgres://h/d?a=b");
        assert!("RUST_LOG".parse::<Assignment>().is_err());
        assert!("=debug".parse::<Assignment>().is_err());
    }

    #[test]
    fn a_trace_is_the_last_or_has_an_id() {
        assert_eq!("last".parse(), Ok(Which::Last));
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(id.parse(), Ok(Which::Id(id.parse().unwrap())));
        let refused = "first".parse::<Which>().unwrap_err();
        assert!(refused.contains("32 hex digits"), "{refused}");
    }

    #[test]
    fn a_jaeger_is_somewhere_a_link_can_lead_to() {
        for good in ["http://localhost:16686", "https://jaeger.example/ui"] {
            assert_eq!(http_url(good).unwrap(), good);
        }
        for bad in [
            "",
            "localhost:16686",
            "javascript:alert(1)",
            "http://",
            "http://a b",
        ] {
            assert!(http_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn replicas_name_a_process_that_exists() {
        let count: ReplicaCount = "orders=2".parse().unwrap();
        assert_eq!((count.process, count.count), (Process::Orders, 2));
        let unknown = "order=2".parse::<ReplicaCount>().unwrap_err();
        assert!(
            unknown.contains("gateway, orders, inventory, payments, fulfillment"),
            "{unknown}"
        );
        for bad in ["orders", "orders=", "orders=-1", "orders=51", "orders=two"] {
            assert!(bad.parse::<ReplicaCount>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_load_has_a_rate_a_length_and_kinds_that_exist() {
        let parse = |args: &[&str]| {
            let words = ["mesh", "load"].iter().chain(args);
            match Cli::try_parse_from(words).map(|cli| cli.command) {
                Ok(Command::Load(args)) => Ok(args),
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error.to_string()),
            }
        };
        let load = parse(&["--rate", "0.5", "--for", "2m", "--mix", "list"]).unwrap();
        assert_eq!((load.rate, load.length.as_secs()), (0.5, 120));
        assert_eq!(load.mix.kinds(), ["list"]);
        let load = parse(&[]).unwrap();
        assert_eq!(load.mix.kinds(), ["place", "read"]);
        for (args, expected) in [
            (["--rate", "0"], "0.001 to 100000"),
            (["--rate", "NaN"], "0.001 to 100000"),
            (["--rate", "fast"], "0.001 to 100000"),
            (["--for", "30"], "a number with a unit"),
            (["--for", "0s"], "longer than nothing"),
            (["--mix", "reed=4"], "there are place, read, list, cart"),
            (["--mix", "read=0"], "nothing to send"),
            (["--max-error-rate", "1.5"], "from 0 to 1"),
        ] {
            let told = parse(&args).unwrap_err();
            assert!(told.contains(expected), "{args:?}: {told}");
        }
    }
}
