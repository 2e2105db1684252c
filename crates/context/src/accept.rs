//! Makes a [`RequestContext`] from the headers that arrived.
//!
//! One pass over the headers, then: which context counts (W3C before B3), what is malformed, what disagrees, and what goes
//! onward. Only headers named here ever go onward.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    Deadline, Policy, RequestContext, RequestId, SpanId, TraceId, b3, baggage,
    context::{Inner, new_trace},
    header, parse_grpc_timeout, w3c,
};

/// Bytes of a `tracestate` or `x-ot-span-context` that is passed on. W3C asks for 512 of the first (Trace Context, 3.3.1.5) and
/// lets a longer one be discarded; with it the next process would refuse the request for the length of its headers.
const LONGEST: usize = 4096;

/// A context, and what was wrong with the headers it was made from.
#[derive(Debug)]
pub struct Accepted {
    /// Goes with the request.
    pub context: RequestContext,
    /// The `grpc-timeout` was malformed and counts as absent.
    pub malformed_deadline: bool,
    /// W3C and B3 were both there and disagreed; W3C won.
    pub conflict: bool,
}

/// Reads the headers of a request that arrives now.
#[must_use]
pub fn accept(headers: &HeaderMap, policy: &Policy) -> Accepted {
    let received = Received::collect(headers, policy);
    let (deadline, malformed_deadline) = received.deadline(policy);
    let found = received.resolve();
    let trace_id = found
        .ids
        .map_or_else(TraceId::random, |(trace_id, _)| trace_id);
    let sampled = match (&policy.spans, policy.trusted) {
        (Some(_), true) => policy.sampler.decide(trace_id, found.sampled),
        (Some(_), false) => policy.sampler.decide(trace_id, None),
        (None, trusted) => trusted && found.sampled.unwrap_or(false),
    };
    let caller = found.ids.map(|(_, span_id)| span_id);
    let own_spans = policy.spans.is_some();
    let span_id = caller.filter(|_| !own_spans).unwrap_or_else(SpanId::random);
    let mut passed_on = received.passed_on(&found);
    if !own_spans {
        received.copy_trace(&found, (trace_id, span_id, sampled), policy, &mut passed_on);
    }
    let context = RequestContext::new(Inner {
        trace_id,
        span_id,
        parent: caller.filter(|_| own_spans),
        sampled,
        debug: found.debug && policy.trusted && sampled,
        request_id: received
            .request_id
            .and_then(RequestId::parse)
            .unwrap_or_else(|| RequestId::new(sampled)),
        deadline,
        task: None,
        passed_on,
        formats: policy.formats,
        spans: policy.spans.clone(),
    });
    Accepted {
        context,
        malformed_deadline,
        conflict: found.conflict,
    }
}

/// The headers that matter, as they came, of the formats that the policy reads.
#[derive(Debug, Default)]
struct Received<'h> {
    request_id: Option<&'h HeaderValue>,
    grpc_timeout: Vec<&'h HeaderValue>,
    traceparent: Vec<&'h HeaderValue>,
    tracestate: Vec<&'h HeaderValue>,
    baggage: Vec<&'h HeaderValue>,
    ot_span_context: Option<&'h HeaderValue>,
    b3: Option<&'h HeaderValue>,
    multi: b3::Multi<'h>,
}

/// The trace context that counts.
#[derive(Debug)]
struct Found {
    ids: Option<(TraceId, SpanId)>,
    /// The caller's decision, when it made one.
    sampled: Option<bool>,
    debug: bool,
    conflict: bool,
    w3c: Option<w3c::TraceParent>,
    /// What each B3 form says, if it is well formed.
    single: Option<b3::B3>,
    multi: Option<b3::B3>,
}

impl<'h> Received<'h> {
    fn collect(headers: &'h HeaderMap, policy: &Policy) -> Self {
        let mut got = Self::default();
        let formats = policy.formats;
        for (name, value) in headers {
            match name.as_str() {
                header::REQUEST_ID => got.request_id = got.request_id.or(Some(value)),
                header::GRPC_TIMEOUT => got.grpc_timeout.push(value),
                header::OT_SPAN_CONTEXT => got.ot_span_context = Some(value),
                header::TRACEPARENT if formats.w3c => got.traceparent.push(value),
                header::TRACESTATE if formats.w3c => got.tracestate.push(value),
                header::BAGGAGE if formats.baggage => got.baggage.push(value),
                header::B3 if formats.b3 => got.b3 = Some(value),
                header::B3_TRACE_ID if formats.b3_multi => got.multi.trace_id = Some(value),
                header::B3_SPAN_ID if formats.b3_multi => got.multi.span_id = Some(value),
                header::B3_PARENT_SPAN_ID if formats.b3_multi => got.multi.parent = Some(value),
                header::B3_SAMPLED if formats.b3_multi => got.multi.sampled = Some(value),
                header::B3_FLAGS if formats.b3_multi => got.multi.flags = Some(value),
                _ => {}
            }
        }
        got
    }

    /// The smaller of the caller's time and the process's own limit; a stranger's time does not count.
    fn deadline(&self, policy: &Policy) -> (Deadline, bool) {
        let own = Deadline::after(policy.limit);
        if !policy.trusted {
            return (own, false);
        }
        match self.grpc_timeout[..] {
            [] => (own, false),
            [value] => match parse_grpc_timeout(value) {
                Ok(time) => (own.shorten_to(time.min(policy.limit)), false),
                Err(_) => (own, true),
            },
            _ => (own, true),
        }
    }

    /// W3C counts before B3, the single B3 header before the five. A decision without ids counts when there is nothing else.
    fn resolve(&self) -> Found {
        let w3c = match self.traceparent[..] {
            [value] => w3c::parse(value),
            _ => None,
        };
        let single = self.b3.and_then(b3::parse_single);
        let multi = self.multi.parse().filter(|_| !self.multi.is_empty());
        let b3 = single
            .filter(|b3| b3.ids.is_some())
            .or(multi.filter(|b3| b3.ids.is_some()))
            .or(single)
            .or(multi);
        let (ids, sampled) = match (w3c, b3) {
            (Some(w3c), _) => (Some((w3c.trace_id, w3c.span_id)), Some(w3c.sampled)),
            (None, Some(b3)) => (b3.ids, b3.sampled),
            (None, None) => (None, None),
        };
        let mut found = Found {
            ids,
            sampled,
            debug: b3.is_some_and(|b3| b3.debug),
            conflict: false,
            w3c,
            single,
            multi,
        };
        found.conflict = [single, multi]
            .into_iter()
            .flatten()
            .any(|b3| !found.agrees(b3));
        found.debug &= sampled == Some(true);
        found
    }

    /// What goes onward whether or not this process makes spans.
    fn passed_on(&self, found: &Found) -> Vec<(HeaderName, HeaderValue)> {
        let fits = |value: &HeaderValue| value.len() <= LONGEST;
        let state = found.w3c.and_then(|_| joined(&self.tracestate));
        let baggage = baggage::limited(self.baggage.iter().copied());
        let ot = self.ot_span_context.cloned();
        let named = [
            (header::TRACESTATE, state.filter(fits)),
            (header::BAGGAGE, baggage),
            (header::OT_SPAN_CONTEXT, ot.filter(fits)),
        ];
        named
            .into_iter()
            .filter_map(|(name, value)| Some((HeaderName::from_static(name), value?)))
            .collect()
    }

    /// The trace headers of a process that makes no spans: as received where that is well formed, agrees and may be
    /// trusted; otherwise written anew from the context that counts.
    fn copy_trace(
        &self,
        found: &Found,
        (trace_id, span_id, sampled): (TraceId, SpanId, bool),
        policy: &Policy,
        headers: &mut Vec<(HeaderName, HeaderValue)>,
    ) {
        let came = self.b3.is_some() || !self.multi.is_empty();
        if !policy.formats.w3c && !came {
            headers.extend(new_trace(policy.formats, (trace_id, span_id, sampled)));
            return;
        }
        let mut put = |name, value| headers.push((HeaderName::from_static(name), value));
        if policy.formats.w3c {
            let as_received = policy.trusted && found.w3c.is_some_and(|w3c| w3c.current);
            let value = match self.traceparent[..] {
                [value] if as_received => value.clone(),
                _ => w3c::format(trace_id, span_id, sampled),
            };
            put(header::TRACEPARENT, value);
        }
        let outgoing = |b3: Option<b3::B3>| b3::Outgoing {
            trace_id,
            span_id,
            parent: b3.and_then(|b3| b3.parent).filter(|_| !found.conflict),
            sampled,
            debug: found.debug && policy.trusted,
            short: b3.is_some_and(|b3| b3.short) && !found.conflict,
        };
        if let Some(received) = self.b3 {
            put(
                header::B3,
                match found.single.filter(|b3| found.agrees(*b3)) {
                    Some(b3) if policy.trusted || b3.sampled == Some(false) => received.clone(),
                    Some(b3) if b3.ids.is_none() => HeaderValue::from_static("0"),
                    b3 => outgoing(b3).single(),
                },
            );
        }
        if self.multi.is_empty() {
            return;
        }
        match found.multi.filter(|b3| found.agrees(*b3)) {
            Some(b3) if policy.trusted || b3.sampled == Some(false) => {
                let received = self.multi.as_received();
                let kept = received.filter(|(name, _)| policy.trusted || *name != header::B3_FLAGS);
                kept.for_each(|(name, value)| put(name, value));
            }
            Some(b3) if b3.ids.is_none() => put(header::B3_SAMPLED, HeaderValue::from_static("0")),
            b3 => outgoing(b3)
                .multi()
                .for_each(|(name, value)| put(name, value)),
        }
    }
}

impl Found {
    /// Whether a B3 context says what the context that counts says; a 64-bit trace id is compared with the lower half.
    fn agrees(&self, b3: b3::B3) -> bool {
        let same_ids = match (self.ids, b3.ids) {
            (Some((trace_id, span_id)), Some((b3_trace, b3_span))) => {
                let mask = if b3.short {
                    u128::from(u64::MAX)
                } else {
                    u128::MAX
                };
                trace_id.as_u128() & mask == b3_trace.as_u128() && span_id == b3_span
            }
            (None | Some(_), None) => true,
            (None, Some(_)) => false,
        };
        same_ids && (b3.sampled.is_none() || self.sampled.is_none() || b3.sampled == self.sampled)
    }
}

/// Several headers of one name are one list; an empty one (Envoy writes it) is none.
fn joined(values: &[&HeaderValue]) -> Option<HeaderValue> {
    match values {
        [value] => Some((*value).clone()).filter(|value| !value.is_empty()),
        _ => {
            let parts: Vec<&[u8]> = values
                .iter()
                .map(|value| value.as_bytes())
                .filter(|part| !part.is_empty())
                .collect();
            HeaderValue::from_bytes(&parts.join(&b","[..]))
                .ok()
                .filter(|value| !value.is_empty())
        }
    }
}

#[cfg(test)]
mod tests;
