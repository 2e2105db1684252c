//! Log lines on their way to standard output: a bounded buffer and the one thread that writes.
//!
//! Whoever logs only appends under a short lock. The thread is woken by the first line and then waits a moment for more,
//! so that under load one write carries hundreds of lines. When standard output is stuck, lines that find no room are
//! dropped, counted, and said once there is room again.

use std::{
    fmt,
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, SystemTime},
};

use tracing::Level;

use super::Format;

/// Bytes that may wait.
const ROOM: usize = 1 << 20;
/// Bytes that are worth a write without waiting for more.
const BATCH: usize = 8 << 10;
/// How long the first line waits for others.
const PAUSE: Duration = Duration::from_millis(20);

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Lines(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// There is something to write, or enough of it.
    filled: Condvar,
    /// Everything was written.
    written: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    dropped: u64,
    writing: bool,
    /// Somebody waits for everything to be written.
    flush: bool,
}

impl Lines {
    /// Starts the thread that writes to `out`; `format` is that of the line about dropped lines.
    pub(crate) fn start(out: impl Write + Send + 'static, format: Format) -> io::Result<Self> {
        let state = Mutex::new(State::default());
        let lines = Self(Arc::new(Shared {
            state,
            filled: Condvar::new(),
            written: Condvar::new(),
        }));
        let shared = Arc::clone(&lines.0);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || shared.write_all(out, &format))?;
        Ok(lines)
    }

    /// Takes one line with its line end; never blocks on output.
    pub(crate) fn push(&self, line: &[u8]) {
        let mut state = self.0.lock();
        if state.waiting.len() + line.len() > ROOM {
            state.dropped += 1;
            return;
        }
        let before = state.waiting.len();
        state.waiting.extend_from_slice(line);
        if before == 0 || (before < BATCH && state.waiting.len() >= BATCH) {
            drop(state);
            self.0.filled.notify_one();
        }
    }

    /// Waits until all lines are written, at most `limit`.
    pub(crate) fn flush(&self, limit: Duration) {
        let mut state = self.0.lock();
        state.flush = true;
        self.0.filled.notify_one();
        let unwritten = |state: &mut State| !state.waiting.is_empty() || state.writing;
        let waited = self.0.written.wait_timeout_while(state, limit, unwritten);
        waited.unwrap_or_else(PoisonError::into_inner).0.flush = false;
    }
}

impl Shared {
    /// A panic while the lock is held leaves at worst half a line.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self, mut out: impl Write, format: &Format) {
        let mut batch = Vec::new();
        loop {
            let dropped = self.next(&mut batch);
            if dropped > 0 {
                let mut line = format.line(
                    SystemTime::now(),
                    Level::WARN,
                    module_path!(),
                    "log lines were dropped",
                );
                line.bare("dropped", dropped);
                batch.extend_from_slice(&line.end());
            }
            // Where nobody reads there is nobody to tell.
            let _ = out.write_all(&batch).and_then(|()| out.flush());
            batch.clear();
            let mut state = self.lock();
            state.writing = false;
            if state.waiting.is_empty() {
                drop(state);
                self.written.notify_all();
            }
        }
    }

    /// Waits for lines, moves them into `batch`, and says how many found no room.
    fn next(&self, batch: &mut Vec<u8>) -> u64 {
        let state = self.lock();
        let nothing = |state: &mut State| state.waiting.is_empty();
        let state = self
            .filled
            .wait_while(state, nothing)
            .unwrap_or_else(PoisonError::into_inner);
        let little = |state: &mut State| state.waiting.len() < BATCH && !state.flush;
        let waited = self.filled.wait_timeout_while(state, PAUSE, little);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut state.waiting, batch);
        state.writing = true;
        mem::take(&mut state.dropped)
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("Lines")
            .field("waiting", &state.waiting.len())
            .field("dropped", &state.dropped)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::telemetry::format::Style;

    const LIMIT: Duration = Duration::from_secs(10);

    /// Output that goes to a channel, each write when it is allowed to.
    struct Gated {
        allowed: mpsc::Receiver<()>,
        written: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.allowed.recv();
            let _ = self.written.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (Lines, mpsc::Sender<()>, mpsc::Receiver<Vec<u8>>) {
        let (allow, allowed) = mpsc::channel();
        let (written, output) = mpsc::channel();
        let lines = Lines::start(
            Gated { allowed, written },
            Format::new(Style::Json, "orders"),
        )
        .unwrap();
        (lines, allow, output)
    }

    #[test]
    fn lines_come_out_in_order_and_a_flush_waits_for_them() {
        let (lines, allow, output) = gated();
        drop(allow);
        for n in 0..100 {
            lines.push(format!("{n}\n").as_bytes());
        }
        lines.flush(LIMIT);
        let written = String::from_utf8(output.try_iter().flatten().collect()).unwrap();
        assert_eq!(
            written,
            (0..100).map(|n| format!("{n}\n")).collect::<String>()
        );
    }

    #[test]
    fn a_stuck_output_costs_lines_but_never_blocks_and_the_loss_is_said() {
        let (lines, allow, output) = gated();
        let line = [vec![b'x'; (1 << 10) - 1], vec![b'\n']].concat();
        let pushed = 3 * ROOM / line.len();
        for _ in 0..pushed {
            lines.push(&line);
        }
        let dropped = lines.0.lock().dropped;
        assert!(dropped > 0);
        lines.flush(Duration::from_millis(1));
        drop(allow);
        lines.flush(LIMIT);
        let written = String::from_utf8(output.try_iter().flatten().collect()).unwrap();
        assert!(written.contains(&format!("\"dropped\":{dropped}")));
        assert_eq!(
            written.lines().filter(|line| line.starts_with('x')).count() as u64 + dropped,
            pushed as u64
        );
    }
}
