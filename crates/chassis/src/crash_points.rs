//! Named places where a test has the process die, as if it were killed there.
//!
//! They exist only with the feature `crash-points`, which nothing that is shipped turns on: without it a point is nothing,
//! and the admin listener knows no route for it. With it each point counts how often it is passed, and `PUT
//! /debug/crash-points/<name>` arms one.

/// A place in the work where it matters whether the process dies before or after; named in
/// [`Process::CRASH_POINTS`](crate::Process::CRASH_POINTS). `x.before`: nothing that lasts has come of x yet; `x.after`: it
/// has, and nobody knows.
#[inline]
pub fn crash_point(name: &'static str) {
    #[cfg(feature = "crash-points")]
    points::pass(name);
    #[cfg(not(feature = "crash-points"))]
    let _ = name;
}

/// Says which points this process has.
pub(crate) fn declare(names: &'static [&'static str]) {
    #[cfg(feature = "crash-points")]
    points::declare(names);
    #[cfg(not(feature = "crash-points"))]
    let _ = names;
}

#[cfg(feature = "crash-points")]
pub(crate) mod points {
    //! The points of this process. A static, because they are passed in the depths of the business, which must not look
    //! different for it.

    use std::{
        collections::BTreeMap,
        io::{self, Write as _},
        process::abort,
        sync::{Mutex, MutexGuard, PoisonError},
    };

    /// One point.
    #[derive(Debug, Clone, Copy, Default)]
    pub(crate) struct Point {
        /// So often it was passed.
        pub(crate) passes: u64,
        /// So many passes are let by before the process dies.
        pub(crate) armed: Option<u64>,
    }

    type Points = BTreeMap<&'static str, Point>;

    /// Empty in the tests of one crate, which are no process: there a point is nothing.
    static POINTS: Mutex<Points> = Mutex::new(BTreeMap::new());

    fn points() -> MutexGuard<'static, Points> {
        POINTS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn declare(names: &'static [&'static str]) {
        let mut points = points();
        points.extend(names.iter().map(|name| (*name, Point::default())));
    }

    pub(super) fn pass(name: &'static str) {
        let mut points = points();
        if points.is_empty() {
            return;
        }
        let Some(point) = points.get_mut(name) else {
            die(&format!("crash point {name} is not declared"));
        };
        point.passes += 1;
        match &mut point.armed {
            None => {}
            Some(0) => die(&format!("crash point {name}")),
            Some(left) => *left -= 1,
        }
    }

    /// As `kill -9` does it: nothing is cleaned up, flushed or answered.
    fn die(why: &str) -> ! {
        let _ = writeln!(io::stderr(), "{why}");
        abort()
    }

    /// Arms a point; `false` when there is none of that name.
    pub(crate) fn arm(name: &str, let_by: u64) -> bool {
        let mut points = points();
        let point = points.get_mut(name);
        point.map(|point| point.armed = Some(let_by)).is_some()
    }

    pub(crate) fn all() -> BTreeMap<&'static str, Point> {
        points().clone()
    }
}
