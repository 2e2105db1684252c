//! Istio's VirtualService, as far as the mesh uses it: a field that is not here is refused, so that nothing in a manifest is
//! overlooked by a rule or by a test that runs it on an Envoy.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use crate::{Error, Object};

/// What Istio retries on when a route does not say it, and how often: also for services without a VirtualService.
const DEFAULT_RETRY_ON: &str =
    "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
const DEFAULT_ATTEMPTS: u32 = 2;

/// The `spec` of a VirtualService.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VirtualService {
    /// Whose traffic it routes.
    pub hosts: Vec<String>,
    /// Gateways (`namespace/name`), or `mesh` for the sidecars; none: `mesh` alone.
    #[serde(default)]
    pub gateways: Vec<String>,
    /// Namespaces that see it.
    #[serde(default)]
    pub export_to: Vec<String>,
    /// The first route that matches is taken.
    #[serde(default)]
    pub http: Vec<HttpRoute>,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpRoute {
    /// For people and metrics.
    #[serde(default)]
    pub name: Option<String>,
    /// One of these has to match; none: every request does.
    #[serde(default, rename = "match")]
    pub matches: Vec<HttpMatch>,
    /// Where requests go.
    #[serde(default)]
    pub route: Vec<Weighted>,
    /// For all tries together; none: no limit.
    #[serde(default, deserialize_with = "duration")]
    pub timeout: Option<Duration>,
    /// None: Istio's default, which retries twice.
    #[serde(default)]
    pub retries: Option<Retries>,
    /// What is made to go wrong.
    #[serde(default)]
    pub fault: Option<Fault>,
    /// Headers that are set, added or removed.
    #[serde(default)]
    pub headers: Option<Value>,
    /// An answer without a destination.
    #[serde(default)]
    pub direct_response: Option<Value>,
}

/// What a request has to be like; all of it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpMatch {
    /// For people and metrics.
    #[serde(default)]
    pub name: Option<String>,
    /// The path; of gRPC `/package.Service/Method`.
    #[serde(default)]
    pub uri: Option<StringMatch>,
    /// The method.
    #[serde(default)]
    pub method: Option<StringMatch>,
    /// Headers by their names.
    #[serde(default)]
    pub headers: BTreeMap<String, StringMatch>,
    /// Labels of the caller's pod.
    #[serde(default)]
    pub source_labels: BTreeMap<String, String>,
    /// Gateways this match is for.
    #[serde(default)]
    pub gateways: Vec<String>,
}

/// How a text is compared.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StringMatch {
    /// The whole of it.
    Exact(String),
    /// Its beginning.
    Prefix(String),
    /// The whole of it, as RE2 has it.
    Regex(String),
}

/// One of the places requests are divided among.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Weighted {
    /// The place.
    pub destination: Destination,
    /// Its share; of a single one all.
    #[serde(default)]
    pub weight: Option<u32>,
    /// Headers that are set, added or removed.
    #[serde(default)]
    pub headers: Option<Value>,
}

/// A service, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Destination {
    /// The service: a short name is one of the object's own namespace.
    pub host: String,
    /// A part of it that a DestinationRule names.
    #[serde(default)]
    pub subset: Option<String>,
    /// None: the service's only one.
    #[serde(default, deserialize_with = "port")]
    pub port: Option<u16>,
}

/// How often a request is repeated, and after what.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retries {
    /// Repetitions, not tries; 0: none.
    #[serde(default)]
    pub attempts: u32,
    /// For one try; none: the route's.
    #[serde(default, deserialize_with = "duration")]
    pub per_try_timeout: Option<Duration>,
    /// Conditions with commas and no blanks between them; none: Istio's default.
    #[serde(default)]
    pub retry_on: Option<String>,
    /// Not the same replica again; true when it is not said.
    #[serde(default)]
    pub retry_ignore_previous_hosts: Option<bool>,
    /// The least pause before a repetition.
    #[serde(default, deserialize_with = "duration")]
    pub backoff: Option<Duration>,
}

/// What a route does wrong on purpose.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Requests are held up.
    #[serde(default)]
    pub delay: Option<Delay>,
    /// Requests are refused.
    #[serde(default)]
    pub abort: Option<Abort>,
}

/// Requests are held up.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delay {
    /// For how long.
    #[serde(default, deserialize_with = "duration")]
    pub fixed_delay: Option<Duration>,
    /// How many of them; none: all.
    #[serde(default)]
    pub percentage: Option<Percentage>,
}

/// Requests are refused.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Abort {
    /// With this HTTP status.
    #[serde(default)]
    pub http_status: Option<u16>,
    /// With this gRPC status, by its name.
    #[serde(default)]
    pub grpc_status: Option<String>,
    /// How many of them; none: all.
    #[serde(default)]
    pub percentage: Option<Percentage>,
}

/// A share of requests.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Percentage {
    /// 0 to 100.
    pub value: f64,
}

impl VirtualService {
    /// Reads an object of that kind.
    ///
    /// # Errors
    ///
    /// When it has a field that is not known here, or a value that is not one.
    pub fn read(object: &Object) -> Result<Self, Error> {
        object.spec()
    }
}

impl HttpRoute {
    /// How often a request may be repeated.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.retries
            .as_ref()
            .map_or(DEFAULT_ATTEMPTS, |retries| retries.attempts)
    }

    /// After what it is repeated, as Envoy is told.
    #[must_use]
    pub fn retry_on(&self) -> &str {
        self.retries
            .as_ref()
            .and_then(|retries| retries.retry_on.as_deref())
            .unwrap_or(DEFAULT_RETRY_ON)
    }

    /// For one try; none: the whole timeout.
    #[must_use]
    pub fn per_try_timeout(&self) -> Option<Duration> {
        self.retries
            .as_ref()
            .and_then(|retries| retries.per_try_timeout)
    }

    /// The paths it takes; none: a route that takes paths of any kind.
    pub fn uris(&self) -> impl Iterator<Item = &StringMatch> {
        self.matches.iter().filter_map(|one| one.uri.as_ref())
    }
}

pub(crate) fn duration<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(value)?;
    let read = mesh_config::parse_duration(&text);
    read.map(Some)
        .map_err(|problem| de::Error::custom(format!("duration {text:?} {problem}")))
}

/// `port: {number: 50051}`.
fn port<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u16>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Port {
        number: u16,
    }
    Ok(Some(Port::deserialize(value)?.number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Manifests;

    const ORDERS: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders, namespace: shop}
spec:
  hosts: [orders]
  http:
    - name: get-order
      match: [{uri: {exact: /shop.orders.v1.OrdersService/GetOrder}}]
      timeout: 1s
      retries: {attempts: 1, perTryTimeout: 450ms, retryOn: 'unavailable,reset'}
      route: [{destination: {host: orders, port: {number: 50051}}, weight: 100}]
    - fault: {delay: {percentage: {value: 12.5}, fixedDelay: 1.5s}}
      route: [{destination: {host: orders}}]
";

    fn read(text: &str) -> Result<VirtualService, Error> {
        let manifests = Manifests::parse("here", text)?;
        VirtualService::read(manifests.iter().next().expect("an object"))
    }

    #[test]
    fn routes_say_their_limits_and_where_they_lead() {
        let service = read(ORDERS).expect("it is one");
        let [one, rest] = &service.http[..] else {
            panic!("{service:?}")
        };
        assert_eq!(one.timeout, Some(Duration::from_secs(1)));
        assert_eq!((one.attempts(), one.retry_on()), (1, "unavailable,reset"));
        assert_eq!(one.per_try_timeout(), Some(Duration::from_millis(450)));
        assert_eq!(one.route[0].destination.port, Some(50051));
        let path = "/shop.orders.v1.OrdersService/GetOrder".to_owned();
        assert!(one.uris().eq([&StringMatch::Exact(path)]));

        assert_eq!((rest.timeout, rest.attempts()), (None, 2));
        assert_eq!(rest.retry_on(), DEFAULT_RETRY_ON);
        let delay = rest.fault.as_ref().and_then(|fault| fault.delay.as_ref());
        assert_eq!(
            delay.and_then(|delay| delay.fixed_delay),
            Some(Duration::from_millis(1500))
        );
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (good, bad, problem) in [
            ("timeout:", "timeOut:", "unknown field `timeOut`"),
            ("perTryTimeout:", "perTry:", "unknown field `perTry`"),
            ("timeout: 1s", "timeout: '1'", "duration \"1\" must be"),
            ("{exact:", "{exactly:", "unknown variant `exactly`"),
            ("{number:", "{name:", "unknown field `name`"),
        ] {
            let text = ORDERS.replacen(good, bad, 1);
            let error = read(&text).expect_err(bad).to_string();
            assert!(
                error.starts_with("VirtualService shop/orders (here): spec: "),
                "{error}"
            );
            assert!(error.contains(problem), "{error}");
        }
    }
}
