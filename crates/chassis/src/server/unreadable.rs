//! Requests that cannot be read as HTTP/1: hyper answers those itself, with a bare 400, 414 or 431, and no layer hears of
//! them. Here such an answer is put into our words on its way out, so that it is a problem with its ids, counted and
//! logged like every other.
//!
//! hyper says such a thing only when it owes no other answer, and then closes: it is the last that a connection writes.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    str,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::request::Stack;

/// hyper's bare answer is not longer.
const LONGEST: usize = 256;

/// An HTTP/1 connection.
pub(super) struct Reworded<T> {
    io: T,
    stack: Stack<()>,
    /// What is left of our answer.
    ours: Option<Bytes>,
}

impl<T> Reworded<T> {
    pub(super) fn new(io: T, stack: Stack<()>) -> Self {
        let ours = None;
        Self { io, stack, ours }
    }

    /// Our answer in the place of hyper's: its status line, `connection` and `date`, our headers and body.
    fn words(&self, Bare { status, text }: Bare<'_>) -> Bytes {
        let (head, body) = self.stack.unreadable(status).into_parts();
        let mut words: Vec<u8> = text
            .split_inclusive("\r\n")
            .filter(|line| *line != "\r\n" && !line.starts_with("content-length:"))
            .flat_map(str::bytes)
            .collect();
        for (name, value) in &head.headers {
            words.extend_from_slice(name.as_str().as_bytes());
            words.extend_from_slice(b": ");
            words.extend_from_slice(value.as_bytes());
            words.extend_from_slice(b"\r\n");
        }
        words.extend(format!("content-length: {}\r\n\r\n", body.len()).into_bytes());
        words.extend_from_slice(&body);
        words.into()
    }
}

/// An answer of hyper's own.
#[derive(Debug, PartialEq, Eq)]
struct Bare<'b> {
    status: StatusCode,
    text: &'b str,
}

impl<'b> Bare<'b> {
    /// What comes before it, and the answer, if these bytes end with one. Every answer of ours has more headers.
    fn at_end_of(bytes: &'b [u8]) -> Option<(&'b [u8], Self)> {
        if !bytes.ends_with(b"\r\n\r\n") {
            return None;
        }
        let from = bytes.len().saturating_sub(LONGEST);
        let start = from
            + bytes[from..]
                .windows(7)
                .rposition(|seven| seven == b"HTTP/1.")?;
        let (before, answer) = bytes.split_at(start);
        let text = str::from_utf8(answer).ok()?;
        let mut lines = text.trim_end().split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?;
        let status = StatusCode::from_bytes(status.as_bytes()).ok()?;
        let (mut empty, mut others) = (false, false);
        for line in lines {
            match line.split_once(": ")? {
                ("content-length", length) => empty = length == "0",
                ("connection" | "date", _) => {}
                _ => others = true,
            }
        }
        let bare = status.is_client_error() && empty && !others;
        bare.then_some((before, Self { status, text }))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Reworded<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Reworded<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.ours.is_none() {
            match Bare::at_end_of(buf) {
                None => return Pin::new(&mut this.io).poll_write(cx, buf),
                Some((before @ [_, ..], _)) => {
                    return Pin::new(&mut this.io).poll_write(cx, before);
                }
                Some(([], bare)) => this.ours = Some(this.words(bare)),
            }
        }
        // hyper offers its own until all of it is taken, and that is when all of ours is out.
        while let Some(left) = this.ours.as_mut().filter(|left| left.has_remaining()) {
            match ready!(Pin::new(&mut this.io).poll_write(cx, left))? {
                0 => return Poll::Ready(Ok(0)),
                written => left.advance(written),
            }
        }
        this.ours = None;
        Poll::Ready(Ok(buf.len()))
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
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A head is in one piece, and this one has no body behind it.
        let Some((last, before)) = bufs.split_last() else {
            return Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        };
        if self.ours.is_none() && Bare::at_end_of(last).is_none() {
            return Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        }
        if before.iter().any(|before| !before.is_empty()) {
            return Pin::new(&mut self.io).poll_write_vectored(cx, before);
        }
        self.poll_write(cx, last)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::{super::fixtures::Fixture, super::request::Protocol, *};

    const BARE: &str =
        "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: now\r\n\r\n";

    #[test]
    fn only_what_hyper_says_by_itself_is_taken_for_it() {
        let (before, bare) = Bare::at_end_of(BARE.as_bytes()).unwrap();
        assert_eq!((before, bare.status), (&b""[..], StatusCode::BAD_REQUEST));
        let second = format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{BARE}");
        let (before, _) = Bare::at_end_of(second.as_bytes()).unwrap();
        assert_eq!(before.len(), second.len() - BARE.len());
        for other in [
            "",
            "\r\n\r\n",
            "HTTP/1.1 \r\n\r\n",
            "0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nx-request-id: 7\r\n\r\n",
            "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n",
            &BARE[..BARE.len() - 1],
            &format!("{BARE}x"),
        ] {
            assert_eq!(Bare::at_end_of(other.as_bytes()), None, "{other}");
        }
    }

    /// However little of it the other side takes at once, and however it is written.
    #[tokio::test]
    async fn the_whole_answer_goes_out_once_and_what_came_before_it_too() {
        for room in [1, 7, 4096] {
            for vectored in [false, true] {
                let (mut client, server) = duplex(room);
                let stack = Fixture::new(Protocol::Http).stack(());
                let write = async {
                    let mut io = Reworded::new(server, stack);
                    let (first, mut bare) = (&b"an answer"[..], BARE.as_bytes());
                    if vectored {
                        let mut first = first;
                        while !bare.is_empty() {
                            let both = [IoSlice::new(first), IoSlice::new(bare)];
                            let written = io.write_vectored(&both).await.unwrap();
                            let of_first = written.min(first.len());
                            first.advance(of_first);
                            bare.advance(written - of_first);
                        }
                    } else {
                        let both = [first, bare].concat();
                        io.write_all(&both).await.unwrap();
                    }
                };
                let read = async {
                    let mut said = String::new();
                    client.read_to_string(&mut said).await.unwrap();
                    said
                };
                let ((), said) = tokio::join!(write, read);
                assert!(said.starts_with("an answerHTTP/1.1 400 "), "{said}");
                assert_eq!(said.matches("HTTP/1.1").count(), 1, "{said}");
                assert!(said.ends_with('}'), "{said}");
            }
        }
    }
}
