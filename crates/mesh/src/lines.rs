//! Splits what a child writes into lines, whatever it writes: a line without end costs no memory without end.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// What is longer is cut.
pub(crate) const LONGEST: usize = 32 * 1024;

#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
}

/// A line without its end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// At most [`LONGEST`] bytes; may be anything, UTF-8 or not.
    pub(crate) bytes: Vec<u8>,
    /// How many more there were.
    pub(crate) cut: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader: BufReader::new(reader),
        }
    }

    /// The next line; none at the end. A last line need not be ended.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Line>> {
        let mut line = Line::default();
        let mut begun = false;
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                return Ok(begun.then_some(line));
            }
            begun = true;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let room = LONGEST - line.bytes.len();
            line.bytes.extend_from_slice(&part[..part.len().min(room)]);
            line.cut += part.len().saturating_sub(room);
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                if line.bytes.last() == Some(&b'\r') {
                    line.bytes.pop();
                }
                return Ok(Some(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn split(input: &[u8]) -> Vec<Line> {
        let mut lines = Lines::new(input);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        all
    }

    #[tokio::test]
    async fn lines_are_split_and_the_last_need_not_be_ended() {
        let lines = split(b"one\r\n\ntwo\n\xff\xfe").await;
        let bytes: Vec<&[u8]> = lines.iter().map(|line| line.bytes.as_slice()).collect();
        assert_eq!(bytes, [&b"one"[..], b"", b"two", b"\xff\xfe"]);
    }

    #[tokio::test]
    async fn an_endless_line_is_cut_and_the_next_one_is_whole() {
        let mut input = vec![b'x'; 3 * LONGEST + 7];
        input.extend_from_slice(b"\nnext\n");
        let lines = split(&input).await;
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].bytes.len(), LONGEST);
        assert_eq!(lines[0].cut, 2 * LONGEST + 7);
        assert_eq!(lines[1].bytes, b"next");
    }
}
