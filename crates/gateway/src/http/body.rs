//! JSON bodies, read strictly and in the order in which errors are told: 415, 413, 400, 422.
//!
//! serde alone is too kind: it takes an array for an object (`[2]` for `{"quantity":2}`), and it stops at the first
//! wrong value without seeing that the rest is no JSON at all.

use std::{fmt, marker::PhantomData, time::Duration};

use axum::body::{Body, Bytes};
use bytes::BytesMut;
use http::{HeaderMap, header::CONTENT_TYPE};
use http_body::Body as _;
use http_body_util::BodyExt;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor, value::MapAccessDeserializer},
};
use tokio::time::timeout;

use crate::error::Error;

/// The longest body that is read.
const LIMIT: usize = 64 * 1024;
/// The most that is read of a body that is refused, and how long it is waited for: many a client listens only once it has
/// sent all.
const DISCARDED: u64 = 16 * 1024 * 1024;
const DISCARDING: Duration = Duration::from_secs(1);

/// A body that is JSON, of whatever shape.
#[derive(Debug)]
pub(super) struct Json(Bytes);

impl Json {
    /// Reads a body that says it is JSON, and is.
    pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Self, Error> {
        if !says_json(headers) {
            discard(body).await;
            return Err(Error::NotJson);
        }
        let bytes = collect(body).await?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Error::BadRequest("the body is not UTF-8".to_owned()))?;
        serde_json::from_str::<IgnoredAny>(text)
            .map_err(|error| Error::BadRequest(format!("the body is not JSON: {error}")))?;
        Ok(Self(bytes))
    }

    /// The value, if the JSON is an object of the right shape.
    pub(super) fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice::<Object<T>>(&self.0)
            .map(|Object(value)| value)
            .map_err(|error| Error::Invalid(error.to_string()))
    }
}

/// Whether there is exactly one content type, and it is JSON in UTF-8.
fn says_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else {
        return false;
    };
    let Ok(text) = only.to_str() else {
        return false;
    };
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    essence.eq_ignore_ascii_case("application/json")
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, charset)) if name.eq_ignore_ascii_case("charset") => {
                charset.trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            _ => true,
        })
}

async fn collect(mut body: Body) -> Result<Bytes, Error> {
    // What is too long by its own account is refused without waiting for it.
    if body.size_hint().lower() > LIMIT as u64 {
        discard(body).await;
        return Err(Error::TooLarge);
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::BadRequest("the body broke off".to_owned()))?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if bytes.len() + data.len() > LIMIT {
            discard(body).await;
            return Err(Error::TooLarge);
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes.freeze())
}

/// Reads the rest of a body that is refused, within reason: a connection closed on bytes that were sent is reset, and the
/// sender may never see why.
async fn discard(mut body: Body) {
    let mut left = DISCARDED;
    if body.size_hint().lower() > left {
        return;
    }
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // One that stops coming is told the same.
    let _ = timeout(DISCARDING, rest).await;
}

/// A JSON object read as `T`, and nothing but an object.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// For a field that may be left out but not be `null`.
pub(super) fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}
