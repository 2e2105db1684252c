//! Where HTTP/2 frames begin and end, so that headers which never end are noticed.
//!
//! Who has begun a frame, or a header block (HEADERS, then CONTINUATION), can say nothing else before its end, not even
//! that they are there; h2 waits for that end without a limit. The preface too has an end: its SETTINGS. Bodies have limits
//! of their own, so DATA counts for nothing here.

const HEADER: usize = 9;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;

/// Follows what the other side says, from the end of the preface's text on.
#[derive(Debug)]
pub(super) struct Frames {
    /// Of the frame, as far as it came.
    header: [u8; HEADER],
    came: usize,
    /// What is still to come of the frame's payload.
    left: usize,
    /// The block has not ended with its frame.
    block: bool,
}

impl Frames {
    /// The preface's SETTINGS are waited for like the rest of a header block.
    pub(super) fn new() -> Self {
        Self {
            header: [0; HEADER],
            came: 0,
            left: 0,
            block: true,
        }
    }

    /// Takes what came next: `Some(true)` when something that has to end has begun in it, `Some(false)` when what had
    /// begun before has ended; `None` when it changes nothing.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Option<bool> {
        let (before, mut ended) = (self.open(), false);
        while !bytes.is_empty() {
            if self.came < HEADER {
                let (part, rest) = bytes.split_at(bytes.len().min(HEADER - self.came));
                self.header[self.came..][..part.len()].copy_from_slice(part);
                self.came += part.len();
                bytes = rest;
                if self.came < HEADER {
                    break;
                }
                let [high, middle, low, ..] = self.header;
                self.left = u32::from_be_bytes([0, high, middle, low]) as usize;
            }
            let part = bytes.len().min(self.left);
            self.left -= part;
            bytes = &bytes[part..];
            if self.left == 0 {
                self.came = 0;
                self.block = self.is_block() && self.header[4] & END_HEADERS == 0;
                ended |= !self.block;
            }
        }
        match (before, self.open()) {
            (true, true) if ended => Some(true),
            (before, open) => (before != open).then_some(open),
        }
    }

    /// Something has begun and has to end.
    fn open(&self) -> bool {
        match self.came {
            0 => self.block,
            HEADER => self.header[3] != DATA,
            _ => true,
        }
    }

    fn is_block(&self) -> bool {
        matches!(self.header[3], HEADERS | CONTINUATION)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame of this kind with these flags and so long a payload.
    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.resize(HEADER + usize::from(length), b'x');
        frame
    }

    fn settled() -> Frames {
        let mut frames = Frames::new();
        assert_eq!(frames.take(&frame(0x4, 0, 6)), Some(false));
        frames
    }

    #[test]
    fn the_preface_ends_with_its_settings() {
        let mut frames = Frames::new();
        let settings = frame(0x4, 0, 6);
        assert_eq!(frames.take(&settings[..5]), None);
        assert_eq!(frames.take(&settings[5..14]), None);
        assert_eq!(frames.take(&settings[14..]), Some(false));
    }

    #[test]
    fn what_has_begun_is_seen_and_its_end_too() {
        let headers = frame(HEADERS, END_HEADERS, 40);
        for at in 1..headers.len() {
            let mut frames = settled();
            assert_eq!(frames.take(&headers[..at]), Some(true), "{at}");
            assert_eq!(frames.take(&headers[at..]), Some(false), "{at}");
        }
        assert_eq!(settled().take(&headers), None);
        // Something else ended, something new began.
        let mut frames = settled();
        assert_eq!(frames.take(&headers[..9]), Some(true));
        let next = [&headers[9..], &headers[..1]].concat();
        assert_eq!(frames.take(&next), Some(true));
    }

    #[test]
    fn a_header_block_ends_with_its_last_frame() {
        let mut frames = settled();
        assert_eq!(frames.take(&frame(HEADERS, 0x1, 3)), Some(true));
        for _ in 0..100 {
            assert_eq!(frames.take(&frame(CONTINUATION, 0, 0)), None);
            assert_eq!(frames.take(&frame(CONTINUATION, 0, 200)), None);
        }
        let last = frame(CONTINUATION, END_HEADERS, 1);
        assert_eq!(frames.take(&last), Some(false));
    }

    #[test]
    fn bodies_are_not_waited_for() {
        let mut frames = settled();
        let data = frame(DATA, END_HEADERS, 100);
        assert_eq!(frames.take(&data[..50]), None);
        assert_eq!(frames.take(&data[50..]), None);
        assert_eq!(frames.take(&data[..8]), Some(true));
        assert_eq!(frames.take(&data[8..9]), Some(false));
        let rest = [&data[9..], &data[..1]].concat();
        assert_eq!(frames.take(&rest), Some(true));
    }

    proptest! {
        /// However the bytes are cut into reads, what is open in the end is the same.
        #[test]
        fn how_bytes_arrive_makes_no_difference(
            sent in prop::collection::vec((0..10_u8, any::<u8>(), any::<u8>()), 0..20),
            size in 1..50_usize,
            cut in 0..100_usize,
        ) {
            let mut bytes: Vec<_> =
                sent.iter().flat_map(|&(kind, flags, length)| frame(kind, flags, length)).collect();
            bytes.truncate(bytes.len().saturating_sub(cut));
            let mut whole = settled();
            let open = whole.take(&bytes).unwrap_or(false);
            let mut parts = settled();
            let mut open_in_parts = false;
            for part in bytes.chunks(size) {
                open_in_parts = parts.take(part).unwrap_or(open_in_parts);
            }
            prop_assert_eq!(open_in_parts, open);
        }
    }
}
