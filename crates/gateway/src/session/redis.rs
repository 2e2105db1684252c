//! Sessions in Redis, where every gateway finds them: a cart filled through one is checked out through another.
//!
//! ```text
//!  mesh:session:<name>    version   another at each change
//!                         cart      {"espresso-cup":2}
//! ```
//!
//! Each command is sent once. One that got no answer may have been carried out all the same, then or later; that does no
//! harm, because a change counts only while the version is the one that was read.

mod link;

use std::time::Duration;

use mesh_chassis::Blocker;
use mesh_context::Deadline;
use redis::{Cmd, FromRedisValue};
use tokio::time::timeout_at;

use self::link::Link;
use super::{Answer, Error, SessionName, Sessions, TTL, Versioned};
use crate::{cart::Cart, config::RedisServer};

/// Redis answers within a millisecond or two; after so long it is away, whatever time the request has left.
const LONGEST: Duration = Duration::from_secs(1);

// Redis carries out a script as a whole. Their text is sent each time: it is short, and so nobody has to tell a Redis
// that was restarted.
const CREATE: &str = "redis.call('HSET', KEYS[1], 'version', ARGV[1], 'cart', ARGV[2]) \
                      return redis.call('EXPIRE', KEYS[1], ARGV[3])";
const REPLACE: &str = "if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return 0 end \
                       redis.call('HSET', KEYS[1], 'version', ARGV[2], 'cart', ARGV[3]) return 1";

/// Sessions that all gateways share.
#[derive(Debug)]
pub(crate) struct Redis {
    link: Link,
}

impl Redis {
    /// Connects nothing: that is done by what is returned too, which never ends. `blocker` is ready once Redis has answered.
    pub(crate) fn new(
        server: RedisServer,
        blocker: Blocker,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let link = Link::default();
        let keep_up = link.clone().keep_up(server, blocker);
        (Self { link }, keep_up)
    }

    /// One command, one answer.
    async fn ask<T: FromRedisValue>(&self, command: &Cmd, deadline: Deadline) -> Result<T, Error> {
        let mut connection = self.link.connection()?;
        // What is kept back of the request's time is for saying that there was no answer.
        let (share, limit) = (deadline.outbound(Duration::MAX), deadline.outbound(LONGEST));
        match timeout_at(limit.instant(), command.query_async(&mut connection)).await {
            Ok(answer) => answer.map_err(|error| Error::Away(error.to_string())),
            Err(_) if limit < share => Err(Error::Away(format!("no answer within {LONGEST:?}"))),
            Err(_) => Err(Error::OutOfTime),
        }
    }
}

impl Sessions for Redis {
    fn create<'a>(&'a self, name: &'a SessionName, deadline: Deadline) -> Answer<'a, ()> {
        let Versioned { cart, version } = Versioned::default();
        let mut command = script(CREATE, name);
        command.arg(version).arg(json(&cart)).arg(TTL.as_secs());
        Box::pin(async move { self.ask(&command, deadline).await })
    }

    fn find<'a>(
        &'a self,
        name: &'a SessionName,
        deadline: Deadline,
    ) -> Answer<'a, Option<Versioned>> {
        let mut command = redis::cmd("HMGET");
        command.arg(key(name)).arg("version").arg("cart");
        Box::pin(async move {
            match self.ask(&command, deadline).await? {
                (Some(version), Some(cart)) => read(&cart, version).map(Some),
                (None::<u64>, None::<Vec<u8>>) => Ok(None),
                _ => Err(Error::Away("half a session".to_owned())),
            }
        })
    }

    fn replace<'a>(
        &'a self,
        name: &'a SessionName,
        read: u64,
        cart: Cart,
        deadline: Deadline,
    ) -> Answer<'a, bool> {
        // Not the next number: a Redis that came back with older data would give it to two different carts.
        let version: u64 = rand::random();
        let mut command = script(REPLACE, name);
        command.arg(read).arg(version).arg(json(&cart));
        Box::pin(async move { self.ask(&command, deadline).await })
    }
}

fn script(text: &str, name: &SessionName) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(text).arg(1).arg(key(name));
    command
}

fn key(name: &SessionName) -> String {
    format!("mesh:session:{}", name.as_str())
}

fn json(cart: &Cart) -> Vec<u8> {
    serde_json::to_vec(cart).expect("a map of strings to numbers is JSON")
}

fn read(cart: &[u8], version: u64) -> Result<Versioned, Error> {
    let cart = serde_json::from_slice(cart)
        .map_err(|error| Error::Away(format!("a cart that cannot be read: {error}")))?;
    Ok(Versioned { cart, version })
}

#[cfg(test)]
mod tests;
