//! Turns `tracing` events into log lines, filtered by `RUST_LOG`, which can be changed while the process runs.

use std::{
    fmt,
    io::{self, IsTerminal},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    layer::{Context, SubscriberExt},
    reload,
};

use super::{
    Format, Lines,
    access::{ACCESS_TARGET, AccessLines},
    format::{Line, Style},
};
use crate::BoxError;

/// How long the end of the process waits for the last lines to be written.
const FLUSH_LIMIT: Duration = Duration::from_millis(500);

/// The process's log. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    lines: Lines,
    format: Format,
    level: LogLevel,
}

/// Changes what is logged. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct LogLevel {
    filter: reload::Handle<EnvFilter, Registry>,
    access: Arc<AtomicBool>,
}

impl Logs {
    /// From now on every `tracing` event of this program goes to standard output. Once in the life of a program.
    pub(crate) fn start(service: &str, filter: &str) -> Result<Self, BoxError> {
        let style = if io::stdout().is_terminal() {
            Style::Text
        } else {
            Style::Json
        };
        let format = Format::new(style, service);
        let lines = Lines::start(io::stdout(), format.clone())?;
        let (subscriber, level) = subscriber(parse_filter(filter)?, lines.clone(), format.clone());
        tracing::subscriber::set_global_default(subscriber)?;
        level.ask_about_access();
        Ok(Self {
            lines,
            format,
            level,
        })
    }

    /// The access log, to the same place.
    pub(crate) fn access(&self) -> AccessLines {
        AccessLines::new(
            self.lines.clone(),
            self.format.clone(),
            Arc::clone(&self.level.access),
        )
    }

    pub(crate) fn level(&self) -> LogLevel {
        self.level.clone()
    }

    /// Waits until what was logged is written.
    pub(crate) fn flush(&self) {
        self.lines.flush(FLUSH_LIMIT);
    }
}

impl LogLevel {
    /// Replaces the filter, or says why the directives are none and changes nothing.
    pub(crate) fn set(&self, directives: &str) -> Result<(), String> {
        let filter = parse_filter(directives)?;
        self.filter
            .reload(filter)
            .map_err(|error| error.to_string())?;
        self.ask_about_access();
        Ok(())
    }

    /// Of no log, for tests of who changes it.
    #[cfg(test)]
    pub(crate) fn unattached() -> Self {
        let (layer, filter) = reload::Layer::new(EnvFilter::default());
        // The handle works for as long as its layer lives.
        Box::leak(Box::new(layer));
        Self {
            filter,
            access: Arc::default(),
        }
    }

    /// Whether the filter lets access lines through is asked once and not for each request.
    fn ask_about_access(&self) {
        self.access.store(
            tracing::enabled!(target: ACCESS_TARGET, Level::INFO),
            Ordering::Relaxed,
        );
    }
}

/// Directives as `RUST_LOG` has them: `info,hyper=off`.
pub(super) fn parse_filter(directives: &str) -> Result<EnvFilter, String> {
    if directives.trim().is_empty() {
        return Err("must be directives such as info or info,hyper=debug".to_owned());
    }
    // Taken for a target that nothing has, a sentence would silence every log line.
    let is_sentence = |directive: &str| directive.trim().contains(char::is_whitespace);
    if !directives.contains('[') && directives.split(',').any(is_sentence) {
        return Err(
            "must be directives such as info or info,hyper=debug, without blanks".to_owned(),
        );
    }
    EnvFilter::builder()
        .parse(directives)
        .map_err(|error| format!("must be directives such as info: {error}"))
}

fn subscriber(
    filter: EnvFilter,
    lines: Lines,
    format: Format,
) -> (impl Subscriber + Send + Sync, LogLevel) {
    let (filter, handle) = reload::Layer::new(filter);
    let subscriber = Registry::default()
        .with(filter)
        .with(Writer { lines, format });
    (
        subscriber,
        LogLevel {
            filter: handle,
            access: Arc::default(),
        },
    )
}

/// Writes each event that passes the filter.
struct Writer {
    lines: Lines,
    format: Format,
}

impl<S: Subscriber> Layer<S> for Writer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let metadata = event.metadata();
        let mut line = self.format.line(
            SystemTime::now(),
            *metadata.level(),
            metadata.target(),
            &message.0,
        );
        event.record(&mut Fields(&mut line));
        self.lines.push(&line.end());
    }
}

const MESSAGE: &str = "message";

/// Picks the message, which stands before the other fields.
struct Message(String);

impl Visit for Message {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == MESSAGE {
            self.0 = format!("{value:?}");
        }
    }
}

/// Picks everything else.
struct Fields<'a>(&'a mut Line);

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for infinity.
        if value.is_finite() {
            self.0.bare(field.name(), value)
        } else {
            self.0.text(field.name(), value)
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.bare(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.bare(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.bare(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() != MESSAGE {
            self.0.text(field.name(), value);
        }
    }

    /// An error with all its causes.
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let causes = std::iter::successors(Some(value), |error| error.source());
        let chain: Vec<String> = causes.map(ToString::to_string).collect();
        self.0.text(field.name(), chain.join(": "));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != MESSAGE {
            self.0.text(field.name(), format_args!("{value:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::{Value, json};

    use super::*;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("order not stored")]
    struct Outer(#[source] io::Error);

    /// What `log` writes under this filter.
    fn logged(filter: &str, log: impl FnOnce(&LogLevel)) -> Vec<Value> {
        let output = Output::default();
        let format = Format::new(Style::Json, "orders");
        let lines = Lines::start(output.clone(), format.clone()).unwrap();
        let (subscriber, level) = subscriber(parse_filter(filter).unwrap(), lines.clone(), format);
        tracing::subscriber::with_default(subscriber, || log(&level));
        lines.flush(Duration::from_secs(10));
        let written = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
        written
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn an_event_becomes_one_flat_object() {
        let lines = logged("info", |_| {
            let error = Outer(io::Error::other("disk full"));
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(order_id = %"o-1", tries = 2, exact = 0.5, done = false, error, "not {}", "yet");
        });
        let [line] = &lines[..] else {
            panic!("one line, not {lines:?}")
        };
        for (key, value) in [
            ("level", json!("WARN")),
            ("service", json!("orders")),
            ("message", json!("not yet")),
            ("order_id", json!("o-1")),
            ("tries", json!(2)),
            ("exact", json!(0.5)),
            ("done", json!(false)),
            ("error", json!("order not stored: disk full")),
        ] {
            assert_eq!(line[key], value, "{key}");
        }
        assert!(line["timestamp"].is_string() && line["target"].is_string());
    }

    #[test]
    fn the_filter_changes_while_the_process_runs_and_stays_when_the_new_one_is_none() {
        let lines = logged("warn", |level| {
            tracing::info!("unseen");
            assert!(!level.access.load(Ordering::Relaxed));
            level.set("debug").unwrap();
            tracing::debug!("seen");
            assert!(level.access.load(Ordering::Relaxed));
            for bad in [
                "",
                "  ",
                "info,[broken",
                "a=loud",
                "not a level",
                "a=info b",
            ] {
                assert!(level.set(bad).is_err(), "{bad}");
            }
            tracing::debug!("seen");
            level.set("debug,access=off").unwrap();
            assert!(!level.access.load(Ordering::Relaxed));
        });
        assert_eq!(
            lines
                .iter()
                .map(|line| line["message"].as_str())
                .collect::<Vec<_>>(),
            [Some("seen"); 2]
        );
    }
}
