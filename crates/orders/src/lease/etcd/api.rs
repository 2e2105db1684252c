//! The five calls of etcd's API that a lease takes, <https://etcd.io/docs/v3.4/dev-guide/api_reference_v3/>.
//!
//! By hand: the etcd client there is for Rust needs `protoc` to be built, and we promise that a C compiler is enough.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use prost::Message;
use tokio::time::timeout;
use tonic::{
    Request, Status,
    client::Grpc,
    codegen::http::uri::{Authority, PathAndQuery, Uri},
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use crate::lease::Error;

/// For one call.
const LIMIT: Duration = Duration::from_secs(1);

/// The members of a cluster, asked one at a time: the next one after a failure.
#[derive(Debug)]
pub(super) struct Api {
    members: Vec<(Authority, Channel)>,
    next: AtomicUsize,
}

/// A lease as etcd grants it.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) id: i64,
    /// Etcd may give more than was asked for.
    pub(super) ttl: Duration,
}

impl Api {
    pub(super) fn new(members: &[Authority]) -> Self {
        let channel = |member: &Authority| {
            let uri = Uri::builder()
                .scheme("http")
                .authority(member.clone())
                .path_and_query("/")
                .build()
                .expect("a scheme, an authority and a path make a URI");
            let channel = Endpoint::from(uri).connect_timeout(LIMIT).connect_lazy();
            (member.clone(), channel)
        };
        Self {
            members: members.iter().map(channel).collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// The lease with which a key goes, if there is such a key.
    pub(super) async fn lease_of(&self, key: &str) -> Result<Option<i64>, Error> {
        let request = RangeRequest {
            key: key.to_owned(),
        };
        let found: RangeResponse = self.call("/etcdserverpb.KV/Range", request).await?;
        Ok(found.pairs.first().map(|pair| pair.lease))
    }

    pub(super) async fn grant(&self, ttl: Duration) -> Result<Lease, Error> {
        let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        let request = LeaseGrantRequest { ttl: seconds };
        let granted: LeaseAnswer = self.call("/etcdserverpb.Lease/LeaseGrant", request).await?;
        let ttl = seconds_of(granted.ttl);
        Ok(Lease {
            id: granted.id,
            ttl,
        })
    }

    /// Makes a key that goes with the lease; the revision at which it was made, or nothing when there is one already.
    pub(super) async fn create(&self, key: &str, lease: i64) -> Result<Option<i64>, Error> {
        let request = TxnRequest {
            compare: vec![Compare {
                target: COMPARE_CREATE_REVISION,
                key: key.to_owned(),
                create_revision: Some(0),
            }],
            success: vec![RequestOp {
                put: Some(PutRequest {
                    key: key.to_owned(),
                    lease,
                }),
            }],
        };
        let done: TxnResponse = self.call("/etcdserverpb.KV/Txn", request).await?;
        let revision = done.header.unwrap_or_default().revision;
        Ok(done.succeeded.then_some(revision))
    }

    /// Prolongs a lease; how long it lasts from now, or nothing when it is over.
    pub(super) async fn keep_alive(&self, id: i64) -> Result<Option<Duration>, Error> {
        // Of this call of two streams we take one message each way, which looks on the wire like any other call.
        let path = "/etcdserverpb.Lease/LeaseKeepAlive";
        let kept: LeaseAnswer = self.call(path, LeaseName { id }).await?;
        Ok((kept.ttl > 0).then(|| seconds_of(kept.ttl)))
    }

    /// Ends a lease, and the key with it.
    pub(super) async fn revoke(&self, id: i64) -> Result<(), Error> {
        let path = "/etcdserverpb.Lease/LeaseRevoke";
        let _: Revoked = self.call(path, LeaseName { id }).await?;
        Ok(())
    }

    async fn call<Q, A>(&self, path: &'static str, message: Q) -> Result<A, Error>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let turn = self.next.load(Ordering::Relaxed);
        let (member, channel) = &self.members[turn % self.members.len()];
        let answer = async {
            let mut grpc = Grpc::new(channel.clone());
            let ready = grpc.ready().await;
            ready.map_err(|error| Status::unavailable(error.to_string()))?;
            let codec = ProstCodec::<Q, A>::default();
            let path = PathAndQuery::from_static(path);
            grpc.unary(Request::new(message), path, codec).await
        };
        let reason = match timeout(LIMIT, answer).await {
            Ok(Ok(answer)) => return Ok(answer.into_inner()),
            Ok(Err(status)) => status.message().to_owned(),
            Err(_) => format!("no answer within {LIMIT:?}"),
        };
        self.next.store(turn.wrapping_add(1), Ordering::Relaxed);
        let member = member.clone();
        Err(Error::Etcd { member, reason })
    }
}

fn seconds_of(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or_default())
}

const COMPARE_CREATE_REVISION: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct RangeRequest {
    #[prost(string, tag = "1")]
    key: String,
}

#[derive(Clone, PartialEq, Message)]
struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    pairs: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(int64, tag = "6")]
    lease: i64,
}

#[derive(Clone, PartialEq, Message)]
struct LeaseGrantRequest {
    #[prost(int64, tag = "1")]
    ttl: i64,
}

/// Of both `LeaseGrant` and `LeaseKeepAlive`.
#[derive(Clone, PartialEq, Message)]
struct LeaseAnswer {
    #[prost(int64, tag = "2")]
    id: i64,
    #[prost(int64, tag = "3")]
    ttl: i64,
}

#[derive(Clone, PartialEq, Message)]
struct LeaseName {
    #[prost(int64, tag = "1")]
    id: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Revoked {}

#[derive(Clone, PartialEq, Message)]
struct TxnRequest {
    #[prost(message, repeated, tag = "1")]
    compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    success: Vec<RequestOp>,
}

/// Compares for equality.
#[derive(Clone, PartialEq, Message)]
struct Compare {
    #[prost(int32, tag = "2")]
    target: i32,
    #[prost(string, tag = "3")]
    key: String,
    #[prost(int64, optional, tag = "5")]
    create_revision: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct RequestOp {
    #[prost(message, optional, tag = "2")]
    put: Option<PutRequest>,
}

#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(int64, tag = "3")]
    lease: i64,
}

#[derive(Clone, PartialEq, Message)]
struct TxnResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
    #[prost(bool, tag = "2")]
    succeeded: bool,
}

#[derive(Clone, PartialEq, Message)]
struct ResponseHeader {
    #[prost(int64, tag = "3")]
    revision: i64,
}
