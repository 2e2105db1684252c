//! Which route a request is for, known before anything else about it: metrics, span name and admission need it even when
//! no handler ever answers.

use std::{borrow::Cow, collections::HashMap, sync::Arc, sync::OnceLock};

use http::Method;
use mesh_context::Value;

use super::{
    http::Route,
    metrics::{Metrics, Series},
};
use crate::telemetry::names;

/// The label of everything that has no route.
pub(crate) const UNMATCHED: &str = "unmatched";

/// Label values of the HTTP method: nobody outside can add to them.
const VERBS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "_OTHER",
];

/// An HTTP method, bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verb(usize);

impl Verb {
    pub(crate) fn of(method: &Method) -> Self {
        let known = VERBS.iter().position(|verb| *verb == method.as_str());
        Self(known.unwrap_or(VERBS.len() - 1))
    }

    pub(crate) fn as_str(self) -> &'static str {
        VERBS[self.0]
    }
}

/// How a request is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Not work but a question about the process: no limit on it, no deadline of ours, no span.
    Health,
    /// Reads of what exists: a part of the process is kept for them.
    Critical,
    /// All else.
    Normal,
}

/// One route.
pub(crate) struct Endpoint {
    route: Cow<'static, str>,
    /// Length of the service's name, for an RPC: the route is `/service/method`.
    service: Option<usize>,
    class: Vec<(Verb, Class)>,
    series: [OnceLock<Box<Series>>; VERBS.len()],
}

impl Endpoint {
    fn new(route: impl Into<Cow<'static, str>>) -> Self {
        Self {
            route: route.into(),
            service: None,
            class: Vec::new(),
            series: Default::default(),
        }
    }

    /// A remote procedure, by its path.
    fn rpc(path: String, class: Class) -> Self {
        let service = path.rfind('/').map(|slash| slash.saturating_sub(1));
        Self {
            service,
            class: vec![(Verb::of(&Method::POST), class)],
            ..Self::new(path)
        }
    }

    pub(crate) fn route(&self) -> &str {
        &self.route
    }

    pub(crate) fn class(&self, verb: Verb) -> Class {
        let found = self.class.iter().find(|(of, _)| *of == verb);
        found.map_or(Class::Normal, |(_, class)| *class)
    }

    pub(crate) fn series(&self, verb: Verb, metrics: &Metrics) -> &Series {
        self.series[verb.0].get_or_init(|| Box::new(metrics.series(verb.as_str(), &self.route)))
    }

    /// Service and method of an RPC.
    fn parts(&self) -> Option<(&str, &str)> {
        let service = self.service?;
        Some((self.route.get(1..=service)?, self.route.get(service + 2..)?))
    }

    /// A span's name and what is known of it from the route.
    pub(crate) fn describe(&self, verb: Verb) -> (Cow<'static, str>, Vec<(&'static str, Value)>) {
        let mut attributes = Vec::with_capacity(12);
        attributes.push((names::HTTP_REQUEST_METHOD, verb.as_str().into()));
        if self.route == UNMATCHED {
            return (verb.as_str().into(), attributes);
        }
        attributes.push((names::HTTP_ROUTE, Value::Text(self.route.clone())));
        let name = match self.parts() {
            Some((service, method)) => {
                attributes.push((names::RPC_SYSTEM, "grpc".into()));
                attributes.push((names::RPC_SERVICE, service.to_owned().into()));
                attributes.push((names::RPC_METHOD, method.to_owned().into()));
                self.route[1..].to_owned()
            }
            None => format!("{} {}", verb.as_str(), self.route),
        };
        (name.into(), attributes)
    }
}

/// Every route of a listener.
pub(crate) struct Routes {
    known: Known,
    unmatched: Arc<Endpoint>,
    any_critical: bool,
}

enum Known {
    Patterns(matchit::Router<Arc<Endpoint>>),
    Paths(HashMap<String, Arc<Endpoint>>),
}

impl Routes {
    /// Of an HTTP interface; patterns as axum writes them.
    pub(crate) fn http(routes: Vec<Route>) -> Result<Self, matchit::InsertError> {
        let any_critical = routes.iter().any(|route| route.critical);
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for route in routes {
            let known = endpoints
                .iter()
                .position(|known| known.route == route.pattern);
            let at = known.unwrap_or(endpoints.len());
            if known.is_none() {
                endpoints.push(Endpoint::new(route.pattern));
            }
            if route.critical {
                endpoints[at]
                    .class
                    .push((Verb::of(&route.method), Class::Critical));
            }
        }
        let mut patterns = matchit::Router::new();
        for endpoint in endpoints {
            patterns.insert(endpoint.route.clone().into_owned(), Arc::new(endpoint))?;
        }
        Ok(Self::of(Known::Patterns(patterns), any_critical))
    }

    /// Of gRPC services: the path of every method.
    pub(crate) fn grpc(methods: impl IntoIterator<Item = (String, Class)>) -> Self {
        let mut any_critical = false;
        let mut paths = HashMap::new();
        for (path, class) in methods {
            any_critical |= class == Class::Critical;
            paths.insert(path.clone(), Arc::new(Endpoint::rpc(path, class)));
        }
        Self::of(Known::Paths(paths), any_critical)
    }

    fn of(known: Known, any_critical: bool) -> Self {
        Self {
            known,
            unmatched: Arc::new(Endpoint::new(UNMATCHED)),
            any_critical,
        }
    }

    pub(crate) fn find(&self, path: &str) -> &Arc<Endpoint> {
        let found = match &self.known {
            Known::Patterns(patterns) => patterns.at(path).ok().map(|found| found.value),
            Known::Paths(paths) => paths.get(path),
        };
        found.unwrap_or(&self.unmatched)
    }

    /// Some route is served before others when room is short.
    pub(crate) fn any_critical(&self) -> bool {
        self.any_critical
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Method = Method::GET;

    #[test]
    fn a_path_is_found_by_its_pattern_and_strangers_are_unmatched() {
        let routes = Routes::http(vec![
            Route::new(GET, "/v1/orders"),
            Route::new(Method::POST, "/v1/orders"),
            Route::new(GET, "/v1/orders/{id}").critical(),
            Route::new(GET, "/docs/{*file}"),
        ])
        .unwrap();
        for (path, route) in [
            ("/v1/orders", "/v1/orders"),
            ("/v1/orders/7", "/v1/orders/{id}"),
            ("/docs/a/b.js", "/docs/{*file}"),
            ("/v1/orders/7/x", UNMATCHED),
            ("*", UNMATCHED),
            ("", UNMATCHED),
        ] {
            assert_eq!(routes.find(path).route(), route, "{path}");
        }
        let one = routes.find("/v1/orders/7");
        assert_eq!(one.class(Verb::of(&GET)), Class::Critical);
        assert_eq!(one.class(Verb::of(&Method::DELETE)), Class::Normal);
        assert!(routes.any_critical());
    }

    #[test]
    fn a_route_declared_in_two_ways_is_refused() {
        let routes = vec![Route::new(GET, "/a/{id}"), Route::new(GET, "/a/{name}")];
        assert!(Routes::http(routes).is_err());
    }

    #[test]
    fn a_span_is_named_by_route_or_rpc_never_by_path() {
        let http = Routes::http(vec![Route::new(GET, "/v1/orders/{id}")]).unwrap();
        let (name, attributes) = http.find("/v1/orders/7").describe(Verb::of(&GET));
        assert_eq!(name, "GET /v1/orders/{id}");
        assert!(attributes.contains(&(names::HTTP_ROUTE, "/v1/orders/{id}".into())));
        assert_eq!(http.find("/evil").describe(Verb::of(&GET)).0, "GET");

        let grpc = Routes::grpc([("/shop.a.v1.A/Do".to_owned(), Class::Normal)]);
        let (name, attributes) = grpc
            .find("/shop.a.v1.A/Do")
            .describe(Verb::of(&Method::POST));
        assert_eq!(name, "shop.a.v1.A/Do");
        assert!(attributes.contains(&(names::RPC_SYSTEM, "grpc".into())));
        assert!(attributes.contains(&(names::RPC_SERVICE, "shop.a.v1.A".into())));
        assert!(attributes.contains(&(names::RPC_METHOD, "Do".into())));
        assert_eq!(grpc.find("/shop.a.v1.A/Other").route(), UNMATCHED);
    }

    #[test]
    fn a_made_up_method_has_the_label_of_all_others() {
        let made_up = Method::from_bytes(b"BREW").unwrap();
        assert_eq!(Verb::of(&made_up).as_str(), "_OTHER");
        assert_eq!(Verb::of(&Method::PATCH).as_str(), "PATCH");
    }
}
