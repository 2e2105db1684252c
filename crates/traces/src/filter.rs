//! Which traces are asked for.

use std::time::Duration;

use crate::{TraceId, digest::Digest};

/// All that is given must fit; what is empty is not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// A part of the route, in either case.
    pub route: Option<String>,
    /// `201`, `5xx`, `UNAVAILABLE`, or `error` for any trace of which a span failed.
    pub status: Option<String>,
    /// The least duration.
    pub at_least: Option<Duration>,
    /// How the id begins.
    pub id: Option<String>,
}

impl Filter {
    pub(crate) fn fits(&self, id: TraceId, digest: &Digest) -> bool {
        given(self.route.as_deref()).is_none_or(|part| contains(digest.route(), part))
            && given(self.status.as_deref()).is_none_or(|status| has_status(digest, status))
            && self.at_least.is_none_or(|least| digest.duration() >= least)
            && given(self.id.as_deref())
                .is_none_or(|prefix| id.to_string().starts_with(&prefix.to_ascii_lowercase()))
    }
}

fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn contains(text: &str, part: &str) -> bool {
    text.as_bytes()
        .windows(part.len())
        .any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
}

fn has_status(digest: &Digest, wanted: &str) -> bool {
    if wanted.eq_ignore_ascii_case("error") {
        return digest.is_error();
    }
    let status = digest.status();
    match wanted.as_bytes() {
        [class, b'x' | b'X', b'x' | b'X'] => {
            status.len() == 3 && status.as_bytes().first() == Some(class)
        }
        _ => status.eq_ignore_ascii_case(wanted),
    }
}
