//! The hash chain of a stream: one hash stands for everything up to a record, its place and its stream.
//!
//! A record's hash is SHA-256 of its predecessor's hash, its sequence, its id and its payload. The first one's
//! predecessor is a hash of the stream's name, so records cannot change streams.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::StreamName;

/// Stands for a stream up to and with one of its records.
pub type ChainHash = [u8; 32];

/// What the first record of a stream follows.
#[must_use]
pub fn beginning(stream: &StreamName) -> ChainHash {
    let mut hasher = Sha256::new();
    hasher.update(b"tminus stream ");
    hasher.update(stream.as_str());
    hasher.finalize().into()
}

/// The hash of a record, after that of its predecessor.
#[must_use]
pub fn after(before: ChainHash, sequence: u64, id: &str, payload: &[u8]) -> ChainHash {
    let mut hasher = Sha256::new();
    hasher.update(before);
    hasher.update(sequence.to_be_bytes());
    // With the id's length, or bytes could move between the id and the payload.
    hasher.update((id.len() as u64).to_be_bytes());
    hasher.update(id);
    hasher.update(payload);
    hasher.finalize().into()
}

/// Bytes as text, two hexadecimal digits each: a hash has 64.
#[must_use]
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

/// The hash of the text that [`hex`] makes of one; `None` for any other text.
#[must_use]
pub fn parse_hex(text: &str) -> Option<ChainHash> {
    let mut hash = ChainHash::default();
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 2 * hash.len() || !text.bytes().all(is_digit) {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}
