//! Frames: how one value lies in the tree, so that damage is noticed and no value is large.
//!
//! ```text
//! frame   crc32 (4 bytes) | length of the body (4 bytes) | body             all numbers big-endian
//! tree    key             -> the frame's first PIECE_BYTES_MAX bytes
//!         key | 1 (2 bytes) -> the next ones, and so on
//! ```
//!
//! The checksum covers the key too: a value that turns up under another key is damage.

use std::ops::Deref;

use ::sled::{Batch, IVec, Iter, Tree};

/// The largest value put into the tree. The store keeps up to 16 values in one page and writes pages above a
/// quarter of a segment to files that it never syncs; 16 of these stay far below.
pub(super) const PIECE_BYTES_MAX: usize = 32 * 1024;
const CRC_BYTES: usize = 4;
const HEADER_BYTES: usize = CRC_BYTES + 4;

/// What is written to a tree at once.
#[derive(Default)]
pub(super) struct Writes {
    writes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Writes {
    /// All of it or nothing, also after a crash. One value alone is that anyway, and costs a third of a batch.
    pub(super) fn apply(mut self, tree: &Tree) -> ::sled::Result<()> {
        if self.writes.len() == 1
            && let Some((key, value)) = self.writes.pop()
        {
            return tree.insert(key, value).map(drop);
        }
        let mut batch = Batch::default();
        for (key, value) in self.writes {
            batch.insert(key, value);
        }
        tree.apply_batch(batch)
    }

    fn insert(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.push((key, value));
    }
}

/// A frame under construction.
pub(super) struct NewFrame {
    bytes: Vec<u8>,
}

/// The body of a frame, as the store holds it if it was not cut.
pub(super) enum Body {
    Whole(IVec),
    Assembled(Vec<u8>),
}

impl Body {
    fn frame(&self) -> &[u8] {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Assembled(bytes) => bytes,
        }
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.frame()[HEADER_BYTES..]
    }
}

/// Why a frame cannot be had.
#[derive(Debug)]
pub(super) enum FrameError {
    /// The store itself did not answer; asking it for more is pointless.
    Store(::sled::Error),
    /// The frame is not what was written; its neighbours may be.
    Damaged(String),
}

impl NewFrame {
    /// `body_bytes` is a hint that spares growing.
    pub(super) fn new(body_bytes: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body_bytes);
        bytes.extend_from_slice(&[0; HEADER_BYTES]);
        Self { bytes }
    }

    pub(super) fn push(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(part);
    }

    /// How long the body is so far.
    pub(super) fn body_bytes(&self) -> usize {
        self.bytes.len() - HEADER_BYTES
    }

    /// The body so far.
    pub(super) fn body(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// Overwrites what was pushed earlier.
    pub(super) fn replace(&mut self, at: usize, part: &[u8]) {
        self.bytes[HEADER_BYTES + at..][..part.len()].copy_from_slice(part);
    }

    /// Seals the frame and adds its pieces.
    pub(super) fn put(mut self, key: Vec<u8>, writes: &mut Writes) {
        let body_bytes = u32::try_from(self.bytes.len() - HEADER_BYTES).expect("bodies are bounded far below 4 GiB");
        self.bytes[CRC_BYTES..HEADER_BYTES].copy_from_slice(&body_bytes.to_be_bytes());
        let crc = checksum(&key, &self.bytes[CRC_BYTES..]);
        self.bytes[..CRC_BYTES].copy_from_slice(&crc.to_be_bytes());
        if self.bytes.len() <= PIECE_BYTES_MAX {
            writes.insert(key, self.bytes);
            return;
        }
        for (number, piece) in (0..).zip(self.bytes.chunks(PIECE_BYTES_MAX)) {
            writes.insert(piece_key(&key, number), piece.to_vec());
        }
    }
}

/// The body of one frame, checked; `None` when nothing is stored under the key.
pub(super) fn get(tree: &Tree, key: &[u8]) -> Result<Option<Body>, FrameError> {
    match tree.get(key).map_err(FrameError::Store)? {
        Some(first) => assemble(tree, key, first).map(Some),
        None => Ok(None),
    }
}

/// Frames in key order. A damaged one is reported and stepped over; a store that fails ends the walk.
pub(super) struct Frames<'a> {
    tree: &'a Tree,
    values: Iter,
    /// The last frame that had several pieces, with their number: they come next and are part of it.
    pieces_of: Option<(IVec, u16)>,
    has_failed: bool,
}

impl<'a> Frames<'a> {
    /// `values` is a range of `tree`.
    pub(super) fn new(tree: &'a Tree, values: Iter) -> Self {
        Self { tree, values, pieces_of: None, has_failed: false }
    }

    fn is_piece(&self, key: &[u8]) -> bool {
        let Some((base, count)) = &self.pieces_of else {
            return false;
        };
        let number = key.strip_prefix(base.as_ref()).map(<[u8; 2]>::try_from);
        matches!(number, Some(Ok(number)) if (1..*count).contains(&u16::from_be_bytes(number)))
    }
}

impl Iterator for Frames<'_> {
    type Item = (IVec, Result<Body, FrameError>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        loop {
            let (key, first) = match self.values.next()? {
                Ok(entry) => entry,
                Err(error) => {
                    // The store's iterator would give the same error for ever.
                    self.has_failed = true;
                    return Some((IVec::default(), Err(FrameError::Store(error))));
                }
            };
            if self.is_piece(&key) {
                continue;
            }
            let count = pieces_count(&first);
            self.pieces_of = (count > 1).then(|| (key.clone(), count));
            let body = assemble(self.tree, &key, first);
            self.has_failed = matches!(body, Err(FrameError::Store(_)));
            return Some((key, body));
        }
    }
}

fn assemble(tree: &Tree, key: &[u8], first: IVec) -> Result<Body, FrameError> {
    let damaged = |what: &str| Err(FrameError::Damaged(what.to_owned()));
    let pieces_count = pieces_count(&first);
    let body = if pieces_count > 1 {
        let mut bytes = first.to_vec();
        for number in 1..pieces_count {
            match tree.get(piece_key(key, number)).map_err(FrameError::Store)? {
                Some(piece) => bytes.extend_from_slice(&piece),
                None => return damaged("a piece of its value is missing"),
            }
        }
        Body::Assembled(bytes)
    } else {
        Body::Whole(first)
    };
    if body.frame().len() < HEADER_BYTES {
        return damaged("its value is too short");
    }
    let (crc, checked) = body.frame().split_first_chunk::<CRC_BYTES>().expect("it is as long as the header");
    if checksum(key, checked) != u32::from_be_bytes(*crc) {
        return damaged("its checksum does not match");
    }
    Ok(body)
}

/// How many pieces the frame was cut into, as its length says; a length that is itself damaged is found by the
/// checksum later, so all that matters here is not to look for more pieces than can be.
fn pieces_count(first: &[u8]) -> u16 {
    let Some(length) = first.get(CRC_BYTES..HEADER_BYTES) else {
        return 1;
    };
    let body_bytes = u32::from_be_bytes(length.try_into().expect("the slice has four bytes"));
    let pieces = (body_bytes as usize + HEADER_BYTES).div_ceil(PIECE_BYTES_MAX);
    u16::try_from(pieces).unwrap_or(u16::MAX)
}

fn piece_key(key: &[u8], number: u16) -> Vec<u8> {
    let mut piece_key = key.to_vec();
    if number > 0 {
        piece_key.extend_from_slice(&number.to_be_bytes());
    }
    piece_key
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}
