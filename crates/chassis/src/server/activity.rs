//! What one connection is doing: which requests are in flight on it, and since when there are none.
//!
//! Written by the socket (bytes came, bytes do not go) and by requests (begun, ended), read by the connection's
//! [`Watch`], which knows when the other side has been idle, slow or deaf for too long.

use std::{
    collections::BTreeMap,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use mesh_context::RequestContext;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    routes::{Endpoint, Verb},
    upload::BETWEEN_FRAMES,
};

/// From a request's first byte to the end of its headers.
pub(super) const HEADERS: Duration = Duration::from_secs(5);
/// How long a connection may live without a request.
pub(super) const IDLE: Duration = Duration::from_secs(75);

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    /// What goes on while nothing is in flight.
    between: Between,
    /// Since when the end of an HTTP/2 frame or header block has been waited for.
    unfinished: Option<Instant>,
    /// Since when the other side has taken nothing of what is to be written.
    blocked: Option<Instant>,
    next: u64,
    in_flight: BTreeMap<u64, InFlight>,
}

#[derive(Debug, Clone, Copy)]
enum Between {
    /// Nothing, since then.
    Idle(Instant),
    /// Headers have begun to come, over HTTP/1.
    Headers(Instant),
}

struct InFlight {
    endpoint: Arc<Endpoint>,
    verb: Verb,
    context: RequestContext,
}

/// One request in flight; it no longer is when this is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    activity: Arc<Activity>,
    number: u64,
}

/// Why a connection has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// No request for [`IDLE`].
    Idle,
    /// Headers did not end within [`HEADERS`].
    Headers,
    /// An answer is not taken: nothing of it for as long as a body may pause, or that long after its request's time.
    Answer,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            between: Between::Idle(Instant::now()),
            unfinished: None,
            blocked: None,
            next: 0,
            in_flight: BTreeMap::new(),
        })))
    }

    /// Bytes came that may be the beginning of a request, over HTTP/1.
    pub(super) fn bytes_came(&self) {
        let mut state = self.state();
        if state.in_flight.is_empty()
            && let Between::Idle(_) = state.between
        {
            state.between = Between::Headers(Instant::now());
        }
    }

    /// Headers, or a frame that would be in their way, have begun just now; or have ended. Over HTTP/2, where others may be
    /// in flight.
    pub(super) fn waits_for_end(&self, begun: bool) {
        self.state().unfinished = begun.then(Instant::now);
    }

    /// The other side takes nothing, or something again.
    pub(super) fn blocked(&self, blocked: bool) {
        self.state().blocked = blocked.then(Instant::now);
    }

    pub(super) fn begin(
        self: &Arc<Self>,
        endpoint: Arc<Endpoint>,
        verb: Verb,
        context: RequestContext,
    ) -> Ticket {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        let request = InFlight {
            endpoint,
            verb,
            context,
        };
        state.in_flight.insert(number, request);
        Ticket {
            activity: Arc::clone(self),
            number,
        }
    }

    /// Nothing has been in flight for so long, or what is will never be taken.
    pub(super) fn settled_for(&self, time: Duration) -> bool {
        let state = self.state();
        let (Between::Idle(since) | Between::Headers(since)) = state.between;
        let quiet = state.in_flight.is_empty() && since.elapsed() >= time;
        quiet || state.is_deaf(Instant::now())
    }

    /// What is in flight, for people: route and request id.
    pub(super) fn in_flight(&self) -> Vec<String> {
        let state = self.state();
        state.in_flight.values().map(InFlight::to_string).collect()
    }

    /// When the connection has to be looked at, as far as that is known while requests are in flight.
    fn limit(&self) -> Option<Instant> {
        let state = self.state();
        let written = state.blocked.map(|since| since + BETWEEN_FRAMES);
        let read = state.unfinished.map(|since| since + HEADERS);
        let between = state.in_flight.is_empty().then(|| match state.between {
            Between::Idle(since) => since + IDLE,
            Between::Headers(since) => since + HEADERS,
        });
        [written, read, between].into_iter().flatten().min()
    }

    fn overdue(&self, now: Instant) -> Option<Overdue> {
        let state = self.state();
        if state.is_deaf(now) {
            return Some(Overdue::Answer);
        }
        let too_long = |since: Instant| since + HEADERS <= now;
        if state.unfinished.is_some_and(too_long) {
            return Some(Overdue::Headers);
        }
        match state.between {
            _ if !state.in_flight.is_empty() => None,
            Between::Idle(since) => (since + IDLE <= now).then_some(Overdue::Idle),
            Between::Headers(since) => too_long(since).then_some(Overdue::Headers),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The other side does not take what it asked for.
    fn is_deaf(&self, now: Instant) -> bool {
        let ended = |since: Instant| since + BETWEEN_FRAMES <= now;
        let mut requests = self.in_flight.values();
        self.blocked.is_some_and(ended)
            || requests.any(|request| ended(request.context.deadline().instant()))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.in_flight.remove(&self.number);
        if state.in_flight.is_empty() {
            state.between = Between::Idle(Instant::now());
        }
    }
}

impl fmt::Display for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, _) = self.endpoint.describe(self.verb);
        write!(f, "{name} {}", self.context.request_id())
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

pin_project! {
    /// Ends when the connection has to. Polled after the connection, in the same task, so it sees every change without
    /// being woken for it; the timer is only ever set earlier, and looks again when it fires too early.
    pub(super) struct Watch {
        activity: Arc<Activity>,
        #[pin]
        timer: Sleep,
    }
}

impl Watch {
    pub(super) fn new(activity: Arc<Activity>) -> Self {
        let timer = sleep_until(Instant::now() + HEADERS);
        Self { activity, timer }
    }
}

impl Future for Watch {
    type Output = Overdue;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Overdue> {
        let mut this = self.project();
        loop {
            if let Some(limit) = this.activity.limit()
                && limit < this.timer.deadline()
            {
                this.timer.as_mut().reset(limit);
            }
            ready!(this.timer.as_mut().poll(cx));
            let now = Instant::now();
            if let Some(overdue) = this.activity.overdue(now) {
                return Poll::Ready(overdue);
            }
            let again = this.activity.limit().unwrap_or(now + BETWEEN_FRAMES);
            this.timer.as_mut().reset(again);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use mesh_context::{Policy, accept};
    use tokio::time::advance;
    use tokio_test::{assert_pending, assert_ready_eq, task};

    use super::{super::routes::Routes, *};

    fn begin(activity: &Arc<Activity>) -> Ticket {
        let policy = Policy::inside(Duration::from_secs(5));
        let context = accept(&HeaderMap::new(), &policy).context;
        let routes = Routes::http(Vec::new()).unwrap();
        activity.begin(
            Arc::clone(routes.find("/")),
            Verb::of(&Method::GET),
            context,
        )
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_requests_lives_75_seconds() {
        let activity = Activity::new();
        let mut watch = task::spawn(Watch::new(Arc::clone(&activity)));
        assert_pending!(watch.poll());
        advance(secs(70)).await;
        assert_pending!(watch.poll());
        drop(begin(&activity));
        advance(secs(74)).await;
        assert_pending!(watch.poll());
        advance(secs(1)).await;
        assert_ready_eq!(watch.poll(), Overdue::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn headers_have_five_seconds_from_their_first_byte_however_many_follow() {
        let activity = Activity::new();
        let mut watch = task::spawn(Watch::new(Arc::clone(&activity)));
        assert_pending!(watch.poll());
        advance(secs(30)).await;
        for _ in 0..4 {
            activity.bytes_came();
            assert_pending!(watch.poll());
            advance(secs(1)).await;
        }
        assert_pending!(watch.poll());
        advance(secs(1)).await;
        assert_ready_eq!(watch.poll(), Overdue::Headers);
    }

    #[tokio::test(start_paused = true)]
    async fn http_2_headers_have_five_seconds_whatever_else_is_in_flight() {
        let activity = Activity::new();
        let mut watch = task::spawn(Watch::new(Arc::clone(&activity)));
        let _ticket = begin(&activity);
        for _ in 0..2 {
            activity.waits_for_end(true);
            assert_pending!(watch.poll());
            advance(secs(4)).await;
            assert_pending!(watch.poll());
        }
        activity.waits_for_end(false);
        advance(secs(1)).await;
        assert_pending!(watch.poll());
        activity.waits_for_end(true);
        assert_pending!(watch.poll());
        advance(secs(5)).await;
        assert_ready_eq!(watch.poll(), Overdue::Headers);
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_takes_nothing_has_ten_seconds() {
        let activity = Activity::new();
        let mut watch = task::spawn(Watch::new(Arc::clone(&activity)));
        let _ticket = begin(&activity);
        activity.blocked(true);
        assert_pending!(watch.poll());
        advance(secs(9)).await;
        activity.blocked(false);
        assert_pending!(watch.poll());
        activity.blocked(true);
        advance(secs(9)).await;
        assert_pending!(watch.poll());
        advance(secs(1)).await;
        assert_ready_eq!(watch.poll(), Overdue::Answer);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_ends_ten_seconds_after_its_deadline() {
        let activity = Activity::new();
        let mut watch = task::spawn(Watch::new(Arc::clone(&activity)));
        let _ticket = begin(&activity);
        assert_pending!(watch.poll());
        for _ in 0..14 {
            advance(secs(1)).await;
            assert_pending!(watch.poll());
        }
        advance(BETWEEN_FRAMES).await;
        assert_ready_eq!(watch.poll(), Overdue::Answer);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_in_flight_is_named_and_then_it_is_quiet() {
        let activity = Activity::new();
        let (first, second) = (begin(&activity), begin(&activity));
        assert_eq!(activity.in_flight().len(), 2);
        drop(first);
        assert!(activity.in_flight()[0].starts_with("GET "));
        advance(secs(3)).await;
        assert!(!activity.settled_for(secs(1)));
        drop(second);
        assert!(activity.in_flight().is_empty());
        assert!(!activity.settled_for(secs(1)));
        advance(secs(1)).await;
        assert!(activity.settled_for(secs(1)));
    }
}
