//! Keeps one connection up for ever: connects, lets it be used until it is lost, waits, connects again.
//!
//! Our own, because it must never give up, must declare the topology each time (a broker may come back empty), and must
//! say what is wrong once and not at every try.
//!
//! ```text
//!  Away ──connected──► Here      the pause is 100 ms again
//!  Here ──lost───────► Away
//!  Away ──failed─────► Away      after a pause, twice as long each time, up to 5 s
//! ```

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};

use crate::Error;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const CLOSED: &str = "closed";

/// One kind of connection.
pub(crate) trait Link: Send {
    /// What others use while the connection lasts.
    type Session: Clone + Send + Sync;

    /// For log lines.
    const NAME: &'static str;

    /// Connects, and makes ready for use.
    fn connect(&mut self) -> impl Future<Output = Result<Self::Session, String>> + Send;

    /// Ends when the connection is lost or not needed any more.
    fn serve(&mut self, session: &Self::Session) -> impl Future<Output = End> + Send;

    /// Closes what is left of the connection; nobody uses it any more.
    fn close(&mut self, session: Self::Session) -> impl Future<Output = ()> + Send;
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Wanted; the link is not needed any more.
    Closed,
    /// Not wanted, and why.
    Lost(String),
}

impl End {
    fn reason(&self) -> &str {
        match self {
            Self::Closed => CLOSED,
            Self::Lost(reason) => reason,
        }
    }
}

/// How a link is, for those who use it.
#[derive(Debug)]
pub(crate) struct Status<S> {
    session: watch::Sender<Result<S, Arc<str>>>,
    connected: watch::Sender<bool>,
}

impl<S> Default for Status<S> {
    fn default() -> Self {
        Self {
            session: watch::Sender::new(Err("not connected yet".into())),
            connected: watch::Sender::new(false),
        }
    }
}

impl<S: Clone> Status<S> {
    pub(crate) fn connected(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    /// The session, or why there is none.
    pub(crate) fn session(&self) -> Result<S, Error> {
        match &*self.session.borrow() {
            Ok(session) => Ok(session.clone()),
            Err(reason) => Err(Error::unavailable(Arc::clone(reason))),
        }
    }

    fn here(&self, session: S) {
        let _ = self.session.send_replace(Ok(session));
        self.connected.send_replace(true);
    }

    fn away(&self, reason: &str) {
        let _ = self.session.send_replace(Err(reason.into()));
        self.connected.send_replace(false);
    }
}

/// Keeps `link` up until it closes itself or `closing` becomes true.
pub(crate) async fn keep_up<L: Link>(
    mut link: L,
    status: Arc<Status<L::Session>>,
    mut closing: watch::Receiver<bool>,
) {
    let mut pause = FIRST_PAUSE;
    let mut said = String::new();
    loop {
        let connected = tokio::select! {
            connected = link.connect() => connected,
            _ = closing.wait_for(|closing| *closing) => break,
        };
        let reason = match connected {
            Ok(session) => {
                tracing::info!(link = L::NAME, "the queue is here");
                said.clear();
                pause = FIRST_PAUSE;
                status.here(session.clone());
                let end = link.serve(&session).await;
                // First, so that nobody uses what is being closed.
                status.away(end.reason());
                link.close(session).await;
                match end {
                    End::Closed => break,
                    End::Lost(reason) => reason,
                }
            }
            Err(reason) => reason,
        };
        status.away(&reason);
        if reason != said {
            tracing::warn!(link = L::NAME, %reason, "the queue is away, trying until it is back");
            said = reason;
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            _ = closing.wait_for(|closing| *closing) => break,
        }
    }
    status.away(CLOSED);
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::time::Instant;

    use super::*;

    /// Fails as often as it is told to, then lasts for a second each time.
    struct Scripted {
        failures: VecDeque<usize>,
        tries: watch::Sender<Vec<Duration>>,
        started: Instant,
    }

    impl Link for Scripted {
        type Session = usize;

        const NAME: &'static str = "scripted";

        async fn connect(&mut self) -> Result<usize, String> {
            let at = self.started.elapsed();
            self.tries.send_modify(|tries| tries.push(at));
            match self.failures.front_mut() {
                Some(0) => Ok(self.failures.len()),
                Some(left) => {
                    *left -= 1;
                    Err("refused".to_owned())
                }
                None => Err("gone for good".to_owned()),
            }
        }

        async fn serve(&mut self, _: &usize) -> End {
            sleep(Duration::from_secs(1)).await;
            self.failures.pop_front();
            End::Lost("reset".to_owned())
        }

        async fn close(&mut self, _: usize) {}
    }

    fn scripted(failures: &[usize]) -> (Scripted, watch::Receiver<Vec<Duration>>) {
        let tries = watch::Sender::new(Vec::new());
        let seen = tries.subscribe();
        let link = Scripted {
            failures: failures.iter().copied().collect(),
            tries,
            started: Instant::now(),
        };
        (link, seen)
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_from_a_tenth_of_a_second_to_five_and_start_anew_after_a_connection() {
        let (link, tries) = scripted(&[8, 0]);
        let closing = watch::Sender::new(false);
        let status = Arc::<Status<usize>>::default();
        let run = keep_up(link, status, closing.subscribe());
        assert!(
            tokio::time::timeout(Duration::from_secs(36), run)
                .await
                .is_err(),
            "it never gives up"
        );
        let tries: Vec<u128> = tries.borrow().iter().map(Duration::as_millis).collect();
        assert_eq!(
            tries[..9],
            [0, 100, 300, 700, 1500, 3100, 6300, 11300, 16300]
        );
        // The ninth try worked and lasted a second; so did the tenth.
        assert_eq!(tries[9..12], [17400, 18500, 18700]);
    }

    #[tokio::test(start_paused = true)]
    async fn users_see_the_session_or_why_there_is_none() {
        let (link, _tries) = scripted(&[1]);
        let closing = watch::Sender::new(false);
        let status = Arc::<Status<usize>>::default();
        let mut connected = status.connected();
        let run = keep_up(link, Arc::clone(&status), closing.subscribe());
        let never = Error::unavailable("not connected yet");
        assert_eq!(status.session(), Err(never));
        let look = async {
            tokio::task::yield_now().await;
            assert_eq!(status.session(), Err(Error::unavailable("refused")));
            connected.wait_for(|connected| *connected).await.unwrap();
            assert_eq!(status.session(), Ok(1));
            connected.wait_for(|connected| !*connected).await.unwrap();
            assert_eq!(status.session(), Err(Error::unavailable("reset")));
            closing.send_replace(true);
        };
        tokio::join!(run, look);
        assert_eq!(status.session(), Err(Error::unavailable("closed")));
    }
}
