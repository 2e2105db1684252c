//! The `Host` rule of HTTP/1.1, which hyper leaves to its user: exactly one.
//!
//! Two are how a proxy and the server behind it are made to disagree about whom a request is for.

use http::{Request, Version, header::HOST};

/// Whether a request says once for whom it is. HTTP/2 may say it in `:authority` instead.
pub(super) fn is_clear<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        // A proxy joins two with a comma (Envoy 1.40 does); no host name holds one.
        (Some(host), None) => !host.as_bytes().contains(&b','),
        (Some(_), Some(_)) => false,
        (None, _) => request.version() == Version::HTTP_2 && request.uri().authority().is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_host_is_asked_for() {
        let clear = |version, uri: &str, hosts: &[&str]| {
            let mut request = Request::builder().version(version).uri(uri);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            is_clear(&request.body(()).unwrap())
        };
        assert!(clear(Version::HTTP_11, "/", &["a:8080"]));
        assert!(clear(Version::HTTP_2, "http://a/", &[]));
        assert!(clear(Version::HTTP_2, "/", &["a"]));
        for hosts in [&[][..], &["a", "a"], &["a", "b"], &["a,b"]] {
            assert!(!clear(Version::HTTP_11, "/", hosts), "{hosts:?}");
        }
        assert!(!clear(Version::HTTP_11, "http://a/", &[]), "absolute form");
        assert!(!clear(Version::HTTP_2, "http://a/", &["a", "b"]));
    }
}
