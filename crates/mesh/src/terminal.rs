//! All that `mesh up` writes for people. Writing never waits: a terminal that is slow, stopped or gone
//! must not hold up the processes of the mesh. What does not fit the queue is left out, counted and said.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use mesh_config::Source;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

use crate::error::Error;

/// Lines that may wait for the terminal.
const QUEUE: usize = 2048;

/// Of these, log lines leave some to what `mesh up` itself has to say.
const RESERVED: usize = 128;

/// While the terminal never catches up, the loss is said so often.
const LOSS_REPORT_EVERY: Duration = Duration::from_secs(1);

/// What is longer would wrap in a narrow terminal, and a wrapped line cannot be written over.
const STATUS_WIDTH: usize = 79;

/// Erases the line that the cursor is on.
const ERASE: &str = "\r\x1b[K";

/// A cheap handle; what is written through it keeps its order.
#[derive(Clone, Debug)]
pub(crate) struct Terminal {
    queue: mpsc::Sender<Output>,
    lost: Arc<AtomicU64>,
    palette: Palette,
    live: bool,
}

#[derive(Debug)]
enum Output {
    Text(String),
    /// The line at the bottom, written over again and again.
    Status(String),
    Flush(oneshot::Sender<()>),
}

impl Terminal {
    /// Standard output, with colours if it is a terminal and `NO_COLOR` is unset.
    pub(crate) fn stdout(environment: &dyn Source) -> io::Result<Self> {
        let live = io::stdout().is_terminal();
        let no_color = environment
            .get("NO_COLOR")
            .is_some_and(|value| !value.is_empty());
        Self::start(
            io::stdout(),
            live,
            Palette {
                on: live && !no_color,
            },
        )
    }

    fn start(out: impl Write + Send + 'static, live: bool, palette: Palette) -> io::Result<Self> {
        let (queue, outputs) = mpsc::channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let mut writer = Writer {
            out,
            status: String::new(),
            lost: Arc::clone(&lost),
            loss_reported: Instant::now(),
        };
        thread::Builder::new()
            .name("terminal".to_owned())
            .spawn(move || writer.run(outputs))?;
        Ok(Self {
            queue,
            lost,
            palette,
            live,
        })
    }

    pub(crate) fn palette(&self) -> Palette {
        self.palette
    }

    /// Whether [`Self::status`] shows anything.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// What `mesh up` itself says: a line or several.
    pub(crate) fn say(&self, text: impl Into<String>) {
        self.put(Output::Text(text.into()));
    }

    /// A line of a process's log: the first to be left out.
    pub(crate) fn log(&self, line: String) {
        if self.queue.capacity() > RESERVED {
            self.put(Output::Text(line));
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Replaces the line at the bottom; empty: takes it away.
    pub(crate) fn status(&self, text: &str) {
        if self.live {
            self.put(Output::Status(text.chars().take(STATUS_WIDTH).collect()));
        }
    }

    /// Waits until all is written, unless that takes too long.
    pub(crate) async fn flush(&self, limit: Duration) {
        let (done, written) = oneshot::channel();
        self.put(Output::Flush(done));
        let _written = timeout(limit, written).await;
    }

    fn put(&self, output: Output) {
        if self.queue.try_send(output).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What cannot be done is told on standard error.
pub(crate) fn complain(error: &Error) {
    let _gone = writeln!(io::stderr(), "mesh: {error}");
}

/// The result of a command that answers at once.
pub(crate) fn answer(text: &str) {
    let _gone = writeln!(io::stdout(), "{text}");
}

/// The thread that may wait for the terminal. Errors are nothing to stop the mesh for: the reader went away.
struct Writer<W> {
    out: W,
    status: String,
    lost: Arc<AtomicU64>,
    loss_reported: Instant,
}

impl<W: Write> Writer<W> {
    fn run(&mut self, mut outputs: mpsc::Receiver<Output>) {
        while let Some(output) = outputs.blocking_recv() {
            let _gone = self.write(output);
            let caught_up = outputs.is_empty();
            if caught_up || self.loss_reported.elapsed() > LOSS_REPORT_EVERY {
                let _gone = self.report_loss();
            }
            if caught_up {
                let _gone = self.out.flush();
            }
        }
    }

    fn write(&mut self, output: Output) -> io::Result<()> {
        match output {
            Output::Text(text) => self.write_above_status(&text),
            Output::Status(text) => {
                if !(self.status.is_empty() && text.is_empty()) {
                    write!(self.out, "{ERASE}{text}")?;
                }
                self.status = text;
                Ok(())
            }
            Output::Flush(done) => {
                self.report_loss()?;
                self.out.flush()?;
                // Whoever asked may have stopped waiting.
                let _ = done.send(());
                Ok(())
            }
        }
    }

    fn write_above_status(&mut self, text: &str) -> io::Result<()> {
        if self.status.is_empty() {
            return writeln!(self.out, "{text}");
        }
        writeln!(self.out, "{ERASE}{text}")?;
        write!(self.out, "{}", self.status)
    }

    fn report_loss(&mut self) -> io::Result<()> {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost == 0 {
            return Ok(());
        }
        self.loss_reported = Instant::now();
        self.write_above_status(&format!(
            "({lost} lines left out: the terminal is slower than the mesh)"
        ))
    }
}

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Palette {
    pub(crate) on: bool,
}

/// What a piece of text is, for the eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Strong,
    Faint,
    Good,
    Warning,
    Bad,
    /// One of several that are easily told apart.
    Nth(usize),
}

impl Palette {
    pub(crate) fn paint(self, ink: Ink, text: &str) -> String {
        const DISTINCT: [&str; 6] = ["36", "35", "34", "33", "32", "96"];
        if !self.on {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Strong => "1",
            Ink::Faint => "2",
            Ink::Good => "32",
            Ink::Warning => "33",
            Ink::Bad => "1;31",
            Ink::Nth(n) => DISTINCT[n % DISTINCT.len()],
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Keeps what was written; blocks while `gate` is held.
    #[derive(Clone, Default)]
    pub(crate) struct Screen {
        gate: Arc<Mutex<()>>,
        text: Arc<Mutex<Vec<u8>>>,
    }

    impl Screen {
        pub(crate) fn terminal(&self, live: bool) -> Terminal {
            Terminal::start(self.clone(), live, Palette { on: false }).unwrap()
        }

        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _open = self.gate.lock().unwrap();
            self.text.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_stopped_terminal_blocks_nobody_and_the_loss_is_said() {
        let screen = Screen::default();
        let terminal = screen.terminal(false);
        let stopped = screen.gate.lock().unwrap();
        for n in 0..3 * QUEUE {
            terminal.log(format!("line {n}"));
        }
        terminal.say("still heard");
        drop(stopped);
        terminal.flush(LIMIT).await;

        let text = screen.text();
        assert!(text.starts_with("line 0\nline 1\n"));
        assert!(text.contains("still heard\n"));
        let kept = text.lines().filter(|line| line.starts_with("line")).count();
        let lost: usize = text
            .lines()
            .filter_map(|line| {
                line.strip_prefix('(')?
                    .split(' ')
                    .next()?
                    .parse::<usize>()
                    .ok()
            })
            .sum();
        assert_eq!(kept + lost, 3 * QUEUE, "{}", text.lines().last().unwrap());
    }

    #[tokio::test]
    async fn the_status_stays_below_what_is_said() {
        let screen = Screen::default();
        let terminal = screen.terminal(true);
        terminal.status("starting");
        terminal.say("orders ready");
        terminal.status("");
        terminal.say("done");
        terminal.flush(LIMIT).await;
        assert_eq!(
            screen.text(),
            format!("{ERASE}starting{ERASE}orders ready\nstarting{ERASE}done\n")
        );
    }

    #[tokio::test]
    async fn a_pipe_gets_no_status() {
        let screen = Screen::default();
        let terminal = screen.terminal(false);
        terminal.status("starting");
        terminal.say("done");
        terminal.flush(LIMIT).await;
        assert_eq!(screen.text(), "done\n");
    }
}
