//! A connection's bytes: gives back those that were read to find out which HTTP it speaks, and tells its [`Activity`] when
//! more come and when none go.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::{activity::Activity, frames::Frames};

/// What every HTTP/2 connection begins with.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Which HTTP a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Http {
    One,
    Two,
}

/// A connection, its first bytes still to be read.
pub(super) struct Socket<T> {
    io: T,
    first: First,
    activity: Arc<Activity>,
    /// Over HTTP/2, where pings find those who say nothing, only what has begun and does not end counts. Over HTTP/1
    /// whatever comes between requests is the beginning of one.
    frames: Option<Frames>,
    blocked: bool,
}

/// Bytes read before hyper had the connection.
struct First {
    bytes: [u8; PREFACE.len()],
    read: usize,
    given: usize,
}

/// Reads until it is clear which HTTP this is. `None`: the other side closed before.
pub(super) async fn first_bytes<T>(
    mut io: T,
    activity: Arc<Activity>,
) -> io::Result<Option<(Http, Socket<T>)>>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut first = First {
        bytes: [0; PREFACE.len()],
        read: 0,
        given: 0,
    };
    let http = loop {
        let read = io.read(&mut first.bytes[first.read..]).await?;
        if read == 0 {
            return Ok(None);
        }
        first.read += read;
        let so_far = &first.bytes[..first.read];
        if so_far == PREFACE {
            break Http::Two;
        }
        if !PREFACE.starts_with(so_far) {
            break Http::One;
        }
    };
    let frames = match http {
        Http::One => {
            activity.bytes_came();
            None
        }
        Http::Two => {
            activity.waits_for_end(true);
            Some(Frames::new())
        }
    };
    let socket = Socket {
        io,
        first,
        activity,
        frames,
        blocked: false,
    };
    Ok(Some((http, socket)))
}

impl<T> Socket<T> {
    fn came(&mut self, bytes: &[u8]) {
        match &mut self.frames {
            None => self.activity.bytes_came(),
            Some(frames) => {
                if let Some(begun) = frames.take(bytes) {
                    self.activity.waits_for_end(begun);
                }
            }
        }
    }

    fn noted<R>(&mut self, written: Poll<R>) -> Poll<R> {
        if self.blocked != written.is_pending() {
            self.blocked = written.is_pending();
            self.activity.blocked(self.blocked);
        }
        written
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Socket<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let left = &this.first.bytes[this.first.given..this.first.read];
        if !left.is_empty() {
            let given = left.len().min(buf.remaining());
            buf.put_slice(&left[..given]);
            this.first.given += given;
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        if read.is_ready() {
            this.came(&buf.filled()[before..]);
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Socket<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.noted(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.noted(written)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    async fn spoken(chunks: &[&[u8]]) -> Option<(Http, Vec<u8>)> {
        let (mut client, server) = tokio::io::duplex(64);
        let write = async {
            for chunk in chunks {
                client.write_all(chunk).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(client);
        };
        let read = async {
            let (http, mut socket) = first_bytes(server, Activity::new()).await.unwrap()?;
            let mut all = Vec::new();
            socket.read_to_end(&mut all).await.unwrap();
            Some((http, all))
        };
        tokio::join!(write, read).1
    }

    #[tokio::test]
    async fn the_first_bytes_tell_which_http_and_are_not_lost() {
        let get = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        assert_eq!(spoken(&[get]).await, Some((Http::One, get.to_vec())));
        let (start, rest) = PREFACE.split_at(1);
        let two = [PREFACE.as_slice(), b"more"].concat();
        assert_eq!(
            spoken(&[start, rest, b"more"]).await,
            Some((Http::Two, two))
        );
        let post = spoken(&[b"P", b"OST /"]).await;
        assert_eq!(post, Some((Http::One, b"POST /".to_vec())));
        assert_eq!(spoken(&[b"PRI * H"]).await, None);
        assert_eq!(spoken(&[]).await, None);
    }
}
