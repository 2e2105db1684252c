//! Who may ask: a browser that shows this very page, or a program on this machine.
//!
//! Another page in the same browser can send requests here, and a name that somebody points to 127.0.0.1 makes them
//! look like its own (DNS rebinding). Both are told by headers that no page can set: `Host`, `Origin`, `Sec-Fetch-Site`.
//! Whatever changes something needs, besides, a token that only our own forms have.

use std::{hint::black_box, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderName, Method, StatusCode, Uri,
    header::{CONNECTION, HOST, ORIGIN},
};

use crate::{app::App, mesh::Mesh};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request is refused. It tells a stranger nothing.
type Reason = &'static str;

/// What is compared with what a request says of itself.
#[derive(Debug)]
pub(crate) struct Guard {
    hosts: [String; 3],
    pub(crate) token: Token,
}

impl Guard {
    pub(crate) fn new(port: u16, token: Token) -> Self {
        let hosts = ["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{port}"));
        Self { hosts, token }
    }

    fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Reason> {
        let host = single(headers, &HOST)?.ok_or("a Host header is needed")?;
        if !self.is_ours(host) {
            return Err("the Host header names another server");
        }
        if uri.authority().is_some_and(|to| !self.is_ours(to.as_str())) {
            return Err("the request is for another server");
        }
        let origin = single(headers, &ORIGIN)?;
        if origin.is_some_and(|origin| !self.is_own_origin(origin)) {
            return Err("the request comes from another page");
        }
        let site = single(headers, &SEC_FETCH_SITE)?;
        if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
            return Err("the request comes from another site");
        }
        let reads = matches!(*method, Method::GET | Method::HEAD);
        // "none" is a person who typed the address, and nobody types a POST.
        if !reads && origin.is_none() && site != Some("same-origin") {
            return Err("what changes something must come from this page");
        }
        Ok(())
    }

    fn is_own_origin(&self, origin: &str) -> bool {
        let host = origin.strip_prefix("http://");
        host.is_some_and(|host| self.is_ours(host))
    }

    fn is_ours(&self, host: &str) -> bool {
        self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host))
    }
}

/// The header, if it is there once; none if it is absent.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Reason> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err("a header that must be there once is there twice");
    }
    let text = first.map(|value| value.to_str()).transpose();
    text.map_err(|_| "a header is not text")
}

/// In every form of ours; new at each start.
#[derive(Debug)]
pub(crate) struct Token(String);

impl Token {
    pub(crate) fn random() -> Self {
        use std::fmt::Write as _;
        let mut text = String::new();
        for byte in rand::random::<[u8; 32]>() {
            let _infallible = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// For a hidden field.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Takes as long for a nearly right token as for a wrong one.
    pub(crate) fn is(&self, sent: &str) -> bool {
        let (own, sent) = (self.0.as_bytes(), sent.as_bytes());
        let differ = |(own, sent): (&u8, &u8)| black_box(own ^ sent);
        own.len() == sent.len()
            && own
                .iter()
                .zip(sent)
                .map(differ)
                .fold(0, |all, one| all | one)
                == 0
    }
}

/// Refuses strangers before anything else looks at what they sent.
pub(crate) async fn layer<M: Mesh>(
    State(app): State<Arc<App<M>>>,
    request: Request,
    next: Next,
) -> Response {
    match app
        .guard
        .check(request.method(), request.uri(), request.headers())
    {
        Ok(()) => next.run(request).await,
        // Nothing that they send on this connection is of interest.
        Err(reason) => {
            let text = format!("403: {reason}\n");
            (StatusCode::FORBIDDEN, [(CONNECTION, "close")], text).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn allows(method: &Method, headers: &[(&'static str, &'static str)]) -> bool {
        let guard = Guard::new(9460, Token::random());
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        guard
            .check(method, &Uri::from_static("/"), &headers)
            .is_ok()
    }

    #[test]
    fn only_our_own_names_and_port_are_answered() {
        for (host, expected) in [
            ("127.0.0.1:9460", true),
            ("localhost:9460", true),
            ("LocalHost:9460", true),
            ("[::1]:9460", true),
            ("127.0.0.1", false),
            ("127.0.0.1:9461", false),
            ("127.0.0.1:94600", false),
            ("localhost.:9460", false),
            ("localhost.evil.example:9460", false),
            ("evil.example:9460", false),
            ("127.0.0.2:9460", false),
            ("user@127.0.0.1:9460", false),
            ("", false),
        ] {
            assert_eq!(allows(&Method::GET, &[("host", host)]), expected, "{host}");
        }
        assert!(!allows(&Method::GET, &[]), "no host");
        let twice = [("host", "127.0.0.1:9460"), ("host", "127.0.0.1:9460")];
        assert!(!allows(&Method::GET, &twice));
    }

    #[test]
    fn other_pages_are_refused_and_writing_needs_to_be_ours() {
        const HOST: (&str, &str) = ("host", "127.0.0.1:9460");
        for (name, value, may_read, may_write) in [
            ("origin", "http://127.0.0.1:9460", true, true),
            ("origin", "http://localhost:9460", true, true),
            ("origin", "https://127.0.0.1:9460", false, false),
            ("origin", "http://127.0.0.1:8080", false, false),
            ("origin", "http://evil.example", false, false),
            ("origin", "null", false, false),
            ("origin", "", false, false),
            ("sec-fetch-site", "same-origin", true, true),
            ("sec-fetch-site", "none", true, false),
            ("sec-fetch-site", "same-site", false, false),
            ("sec-fetch-site", "cross-site", false, false),
            ("sec-fetch-site", "", false, false),
            ("accept", "*/*", true, false),
        ] {
            let headers = [HOST, (name, value)];
            for (method, expected) in [
                (Method::GET, may_read),
                (Method::HEAD, may_read),
                (Method::POST, may_write),
                (Method::DELETE, may_write),
                (Method::OPTIONS, may_write),
            ] {
                assert_eq!(
                    allows(&method, &headers),
                    expected,
                    "{method} {name} {value}"
                );
            }
        }
        let mixed = [
            HOST,
            ("origin", "http://127.0.0.1:9460"),
            ("sec-fetch-site", "cross-site"),
        ];
        assert!(!allows(&Method::POST, &mixed));
    }

    #[test]
    fn a_request_for_another_server_is_refused() {
        let guard = Guard::new(9460, Token::random());
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("localhost:9460"))]);
        let check = |uri| guard.check(&Method::GET, &Uri::from_static(uri), &headers);
        assert!(check("http://localhost:9460/").is_ok());
        assert!(check("http://evil.example/").is_err());
    }

    #[test]
    fn the_token_is_compared_whole() {
        let (token, other) = (Token::random(), Token::random());
        let right = token.expose().to_owned();
        assert!(token.is(&right));
        for wrong in [other.expose(), "", &right[1..], &format!("{right}0")] {
            assert!(!token.is(wrong), "{wrong}");
        }
        assert_eq!(right.len(), 64);
    }
}
