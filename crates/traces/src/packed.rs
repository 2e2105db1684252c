//! How spans are kept: those of one trace from one batch in one piece of memory, encoded as they came, but cut.

use std::{collections::HashMap, sync::Arc};

use opentelemetry_proto::tonic::{
    common::v1::{KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, Span},
};
use prost::Message as _;

use crate::{TraceId, cut, digest::Digest};

/// Spans in one piece: a trace that is too large loses whole pieces.
const MOST_SPANS: usize = 250;

/// What the text of an unnamed process is.
const UNNAMED: &str = "unknown";

/// Spans of one trace, from one process.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) id: TraceId,
    pub(crate) digest: Digest,
    pub(crate) bytes: Arc<[u8]>,
}

/// A piece, unpacked.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Spans {
    #[prost(message, optional, tag = "1")]
    pub(crate) origin: Option<Origin>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) spans: Vec<Span>,
}

/// Where spans come from.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Origin {
    #[prost(string, tag = "1")]
    pub(crate) service: String,
    /// Empty: as the service.
    #[prost(string, tag = "2")]
    pub(crate) instance: String,
    /// When the first of these spans began, in nanoseconds since 1970.
    #[prost(fixed64, tag = "3")]
    pub(crate) begin: u64,
}

/// The part of a piece that a list needs; the spans are skipped, not decoded.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct OriginAlone {
    #[prost(message, optional, tag = "1")]
    origin: Option<Origin>,
}

impl Origin {
    fn of(resource: Option<&Resource>) -> Self {
        let named = |name: &str| {
            let mut attributes = resource
                .into_iter()
                .flat_map(|resource| &resource.attributes);
            let found = attributes.find(|attribute| attribute.key == name);
            let mut text = found.and_then(plain).unwrap_or_default();
            cut::text(&mut text, cut::NAME);
            text
        };
        let mut service = named("service.name");
        if service.is_empty() {
            UNNAMED.clone_into(&mut service);
        }
        let mut instance = named("service.instance.id");
        if instance == service {
            instance.clear();
        }
        Self {
            service,
            instance,
            begin: 0,
        }
    }

    pub(crate) fn process(&self) -> &str {
        if self.instance.is_empty() {
            &self.service
        } else {
            &self.instance
        }
    }
}

fn plain(attribute: &KeyValue) -> Option<String> {
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

/// The spans by trace, traces in the order in which they come; and how many spans name no trace.
pub(crate) fn pack(batch: Vec<ResourceSpans>) -> (Vec<Piece>, u64) {
    let mut pieces = Vec::new();
    let mut nameless = 0;
    for ResourceSpans {
        resource,
        scope_spans,
        ..
    } in batch
    {
        let mut parcel = Parcel::new(Origin::of(resource.as_ref()));
        for span in scope_spans.into_iter().flat_map(|scope| scope.spans) {
            match TraceId::read(&span.trace_id) {
                Some(id) => pieces.extend(parcel.add(id, span)),
                None => nameless += 1,
            }
        }
        pieces.extend(parcel.seal());
    }
    (pieces, nameless)
}

/// Spans of one process, being sorted by trace.
struct Parcel {
    origin: Origin,
    groups: Vec<(TraceId, Digest, Vec<Span>)>,
    places: HashMap<TraceId, usize>,
}

impl Parcel {
    fn new(origin: Origin) -> Self {
        Self {
            origin,
            groups: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// A piece, when there are as many as it may have.
    fn add(&mut self, id: TraceId, mut span: Span) -> Option<Piece> {
        let place = *self.places.entry(id).or_insert_with(|| {
            self.groups.push((id, Digest::default(), Vec::new()));
            self.groups.len() - 1
        });
        let (_, digest, spans) = &mut self.groups[place];
        cut::span(&mut span);
        digest.note(&span);
        spans.push(span);
        (spans.len() == MOST_SPANS).then(|| {
            let (digest, spans) = (std::mem::take(digest), std::mem::take(spans));
            piece(&mut self.origin, id, digest, spans)
        })
    }

    fn seal(self) -> impl Iterator<Item = Piece> {
        let Self {
            mut origin, groups, ..
        } = self;
        groups
            .into_iter()
            .filter(|(_, _, spans)| !spans.is_empty())
            .map(move |(id, digest, spans)| piece(&mut origin, id, digest, spans))
    }
}

/// The origin is lent, so that its texts are not copied for each piece.
fn piece(origin: &mut Origin, id: TraceId, digest: Digest, spans: Vec<Span>) -> Piece {
    origin.begin = digest.begin();
    let whole = Spans {
        origin: Some(std::mem::take(origin)),
        spans,
    };
    let bytes = whole.encode_to_vec().into();
    *origin = whole.origin.unwrap_or_default();
    Piece { id, digest, bytes }
}

/// The spans of a piece that we packed.
pub(crate) fn unpack(bytes: &[u8]) -> Spans {
    Spans::decode(bytes).expect("we encoded it")
}

/// Where they come from.
pub(crate) fn origin(bytes: &[u8]) -> Origin {
    OriginAlone::decode(bytes)
        .expect("we encoded it")
        .origin
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{common::v1::AnyValue, trace::v1::ScopeSpans};

    use super::*;

    fn id(n: u8) -> TraceId {
        TraceId([n; 16])
    }

    fn span(trace: &[u8], name: &str) -> Span {
        Span {
            trace_id: trace.to_vec(),
            name: name.to_owned(),
            start_time_unix_nano: 5,
            end_time_unix_nano: 7,
            ..Span::default()
        }
    }

    fn batch(attributes: &[(&str, &str)], spans: Vec<Span>) -> ResourceSpans {
        let attributes = attributes.iter().map(|(key, value)| KeyValue {
            key: (*key).to_owned(),
            value: Some(AnyValue {
                value: Some(Value::StringValue((*value).to_owned())),
            }),
            key_strindex: 0,
        });
        ResourceSpans {
            resource: Some(Resource {
                attributes: attributes.collect(),
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }
    }

    #[test]
    fn spans_are_sorted_by_trace_in_the_order_of_their_coming() {
        let spans = vec![
            span(&[2; 16], "a"),
            span(&[1; 16], "b"),
            span(&[0; 16], "no trace"),
            span(&[2; 16], "c"),
            span(&[1; 8], "no trace either"),
        ];
        let (pieces, nameless) = pack(vec![batch(&[("service.name", "orders")], spans)]);
        assert_eq!(nameless, 2);
        let names = |piece: &Piece| {
            let spans = unpack(&piece.bytes).spans.into_iter();
            spans.map(|span| span.name).collect::<String>()
        };
        let found: Vec<_> = pieces
            .iter()
            .map(|piece| (piece.id, names(piece)))
            .collect();
        assert_eq!(found, [(id(2), "ac".to_owned()), (id(1), "b".to_owned())]);
        assert_eq!(pieces[0].digest.spans(), 2);
        assert_eq!(origin(&pieces[1].bytes).begin, 5);
    }

    #[test]
    fn a_large_trace_comes_in_pieces() {
        let spans = vec![span(&[1; 16], "a"); 2 * MOST_SPANS + 1];
        let (pieces, _) = pack(vec![batch(&[], spans)]);
        let sizes: Vec<_> = pieces.iter().map(|piece| piece.digest.spans()).collect();
        assert_eq!(sizes, [MOST_SPANS, MOST_SPANS, 1]);
        let unpacked = pieces.iter().map(|piece| unpack(&piece.bytes).spans.len());
        assert_eq!(unpacked.sum::<usize>(), 2 * MOST_SPANS + 1);
    }

    #[test]
    fn a_process_is_its_instance_else_its_service() {
        for (attributes, service, process) in [
            (&[][..], "unknown", "unknown"),
            (&[("service.name", "orders")], "orders", "orders"),
            (
                &[
                    ("service.name", "orders"),
                    ("service.instance.id", "orders-2"),
                ],
                "orders",
                "orders-2",
            ),
            (&[("service.instance.id", "x")], "unknown", "x"),
        ] {
            let (pieces, _) = pack(vec![batch(attributes, vec![span(&[1; 16], "a")])]);
            let origin = origin(&pieces[0].bytes);
            assert_eq!(
                (origin.service.as_str(), origin.process()),
                (service, process)
            );
        }
        let long = "x".repeat(1 << 20);
        let (pieces, _) = pack(vec![batch(
            &[("service.name", &long)],
            vec![span(&[1; 16], "a")],
        )]);
        assert!(pieces[0].bytes.len() < 500);
    }
}
