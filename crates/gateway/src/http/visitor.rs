//! Who is asking: the session named by the cookie, or a new one.

use axum::response::{IntoResponse, Response};
use http::{
    HeaderMap, HeaderValue,
    header::{COOKIE, SET_COOKIE},
};
use mesh_context::Deadline;

use crate::{
    cart::{Cart, Full},
    error::Error,
    session::{SessionId, SessionName, Sessions, TTL, Versioned},
};

const COOKIE_NAME: &str = "mesh_session";

/// The session of one request.
#[derive(Debug)]
pub(super) struct Visitor {
    name: SessionName,
    /// The cart as it was when the request came.
    held: Versioned,
    /// The id, if the session was made for this request and the browser must be told.
    issued: Option<SessionId>,
}

impl Visitor {
    /// Finds the session, or makes one. An id that we did not issue is never adopted.
    pub(super) async fn of(
        sessions: &dyn Sessions,
        headers: &HeaderMap,
        deadline: Deadline,
    ) -> Result<Self, Error> {
        if let Some(id) = session_id(headers) {
            let name = id.name();
            if let Some(held) = sessions.find(&name, deadline).await? {
                let issued = None;
                return Ok(Self { name, held, issued });
            }
        }
        let id = SessionId::random();
        let name = id.name();
        sessions.create(&name, deadline).await?;
        Ok(Self {
            name,
            held: Versioned::default(),
            issued: Some(id),
        })
    }

    pub(super) fn name(&self) -> &SessionName {
        &self.name
    }

    pub(super) fn cart(&self) -> &Cart {
        &self.held.cart
    }

    /// Changes the cart, however many others do so at the same time.
    pub(super) async fn change(
        &mut self,
        sessions: &dyn Sessions,
        deadline: Deadline,
        change: impl Fn(&mut Cart) -> Result<(), Full>,
    ) -> Result<(), Error> {
        loop {
            let mut cart = self.held.cart.clone();
            change(&mut cart).map_err(|Full| {
                Error::Invalid("a cart holds 50 different products at most".to_owned())
            })?;
            let done = cart == self.held.cart
                || sessions
                    .replace(&self.name, self.held.version, cart.clone(), deadline)
                    .await?;
            if done {
                self.held.cart = cart;
                return Ok(());
            }
            // Each time round, another request got its change in.
            let now = sessions.find(&self.name, deadline).await?;
            self.held = now.ok_or(Error::Unavailable)?;
        }
    }

    /// Empties the cart, unless it was changed since the request came.
    pub(super) async fn empty_cart(
        &self,
        sessions: &dyn Sessions,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let (read, empty) = (self.held.version, Cart::default());
        let emptied = sessions.replace(&self.name, read, empty, deadline);
        emptied.await?;
        Ok(())
    }

    /// The answer, with the cookie if the browser has none.
    pub(super) fn answer(self, answer: impl IntoResponse) -> Response {
        let mut response = answer.into_response();
        if let Some(id) = self.issued {
            let cookie = format!(
                "{COOKIE_NAME}={}; Max-Age={}; Path=/; HttpOnly; SameSite=Lax",
                id.expose(),
                TTL.as_secs()
            );
            let mut cookie =
                HeaderValue::try_from(cookie).expect("hex digits and letters are visible ASCII");
            cookie.set_sensitive(true);
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        response
    }
}

/// The first cookie of our name that we may have issued. HTTP/2 may split the cookies over several headers, and those of
/// others on the same host may be of any bytes.
fn session_id(headers: &HeaderMap) -> Option<SessionId> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|header| header.as_bytes().split(|byte| *byte == b';'))
        .filter_map(|cookie| std::str::from_utf8(cookie).ok()?.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE_NAME)
        .find_map(|(_, value)| SessionId::parse(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Memory, tests::soon};

    fn headers(cookies: &[&str]) -> HeaderMap {
        cookies
            .iter()
            .map(|cookie| (COOKIE, HeaderValue::from_str(cookie).unwrap()))
            .collect()
    }

    fn set_cookie(response: &Response) -> Option<&str> {
        response.headers().get(SET_COOKIE)?.to_str().ok()
    }

    #[tokio::test]
    async fn the_cookie_leads_back_to_the_session_and_is_set_once() {
        let sessions = Memory::new();
        let first = Visitor::of(&sessions, &headers(&[]), soon()).await.unwrap();
        let name = first.name().clone();
        let response = first.answer(());
        let cookie = set_cookie(&response).unwrap();
        assert!(
            cookie.ends_with("; Max-Age=86400; Path=/; HttpOnly; SameSite=Lax"),
            "{cookie}"
        );
        let pair = cookie.split(';').next().unwrap();

        for sent in [vec![pair], vec!["a=b", &format!("c=d; {pair}")]] {
            let again = Visitor::of(&sessions, &headers(&sent), soon())
                .await
                .unwrap();
            assert_eq!(*again.name(), name);
            assert_eq!(set_cookie(&again.answer(())), None);
        }
    }

    #[tokio::test]
    async fn the_session_is_found_whatever_other_cookies_there_are() {
        let sessions = Memory::new();
        let first = Visitor::of(&sessions, &HeaderMap::new(), soon())
            .await
            .unwrap();
        let name = first.name().clone();
        let response = first.answer(());
        let ours = set_cookie(&response).unwrap().split(';').next().unwrap();
        for others in [
            "a=\u{e9}; ",
            "flag; ",
            ";;",
            "a=\"b=c\";",
            "mesh_session=x; ",
        ] {
            let latin_1: Vec<u8> = others.chars().map(|c| c as u8).collect();
            for others in [others.as_bytes(), &latin_1] {
                let sent = [others, ours.as_bytes()].concat();
                let sent =
                    HeaderMap::from_iter([(COOKIE, HeaderValue::from_bytes(&sent).unwrap())]);
                let again = Visitor::of(&sessions, &sent, soon()).await.unwrap();
                assert_eq!(*again.name(), name, "{others:?}");
            }
        }
    }

    #[tokio::test]
    async fn an_id_that_was_not_issued_is_not_adopted() {
        let sessions = Memory::new();
        let foreign = SessionId::random();
        for value in [foreign.expose(), "nonsense".to_owned(), String::new()] {
            let sent = headers(&[&format!("{COOKIE_NAME}={value}")]);
            let visitor = Visitor::of(&sessions, &sent, soon()).await.unwrap();
            assert_ne!(*visitor.name(), foreign.name());
            assert!(set_cookie(&visitor.answer(())).is_some());
        }
    }
}
