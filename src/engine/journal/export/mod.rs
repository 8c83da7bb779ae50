//! A whole journal as one text file: to keep elsewhere, to move, to look into with any tool that reads JSON.
//!
//! ```text
//! line 1     {"export":"tminus journal","version":1,"program":"0.1.0","written":"2026-11-21T03:00:00Z",
//!             "store":{"commit":812,"hash":"9f…"},"streams":[{"stream":"registry","records":40,"chain":"4b…"}, …]}
//! a record   {"stream":"registry","sequence":1,"id":"found#0","json":{…},"chain":"77…"}
//! last line  {"end":{"records":1312,"sha256":"5c…"}}
//! ```
//!
//! - The header says what comes: the streams in the order of their names, how many records each has, and the hash of its
//!   chain at its end. Heads are taken once, as of one commit, and each stream is read up to its own: so an export is one
//!   moment of a journal that others go on writing to.
//! - A record's `chain` is the journal's own hash of its stream up to it. It needs nothing from elsewhere, so the first line
//!   that was changed, removed, added or moved is known by its number; and it is what a report names.
//! - The end has SHA-256 of every byte before its line: a file that was cut, or only written otherwise, shows.
//!
//! An event has to come back byte for byte, because the chain is made of its bytes, and JSON that is read and written
//! again may differ in them. So what is JSON on one line stands there as it is (`json`), which every tool can look into
//! and whose exact text the reader takes; other text is a string (`text`), anything else is `base64`.
//!
//! Hashes are not signatures: whoever can write the file can write another one. What proves a file is a hash that is kept
//! elsewhere, in a report or a note.

mod file;
mod read;
mod write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::chain::{self, ChainHash};
use super::{Record, StreamName};

pub(in super::super) use self::file::PART_SUFFIX;
pub use self::file::{WriteFileError, write_file};
pub use self::read::{Exported, ReadExportError, Reader};
pub use self::write::{Exporter, chunks};

/// The version of the format that this program writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;
/// The longest line, in bytes. The largest record is far below it, however much of it has to be escaped; a header has room
/// for a quarter of a million streams.
pub const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What `export` says in the first line.
const TITLE: &str = "tminus journal";
/// A change of the program may change what events mean, so a file says which one wrote it.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    export: String,
    version: u32,
    /// The version of the program that wrote it.
    pub program: String,
    /// When it was begun.
    pub written: DateTime<Utc>,
    /// How far the store was. An import makes another store: it has the same streams, and other commits.
    pub store: StoreLine,
    /// The streams in their order.
    pub streams: Vec<StreamLine>,
}

/// How far a store was, in a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreLine {
    /// The store-wide commit number.
    pub commit: u64,
    /// The hash of the chain of commits, in hexadecimal, where the store has one.
    pub hash: Option<String>,
}

/// A stream, in a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamLine {
    /// Its name.
    pub stream: String,
    /// How many records it has, at least one.
    pub records: u64,
    /// The hash of its chain at its end, in hexadecimal.
    pub chain: String,
}

impl Header {
    /// How many records the file has.
    #[must_use]
    pub fn records(&self) -> u64 {
        // Saturating, because what is damaged may say anything.
        self.streams.iter().fold(0, |sum, stream| sum.saturating_add(stream.records))
    }
}

/// A record's line. Of `json`, `text` and `base64` there is one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordLine<'a> {
    #[serde(borrow)]
    stream: std::borrow::Cow<'a, str>,
    sequence: u64,
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    json: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    text: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    base64: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    chain: std::borrow::Cow<'a, str>,
}

/// The last line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    end: End,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    records: u64,
    sha256: String,
}

/// Adds a record's line.
fn push_record(line: &mut Vec<u8>, stream: &StreamName, record: &Record, chain: &ChainHash) {
    let text = std::str::from_utf8(&record.payload).ok();
    let json = text.and_then(as_it_is);
    let text = text.filter(|_| json.is_none());
    let base64 = (json.is_none() && text.is_none()).then(|| BASE64.encode(&record.payload));
    let written = RecordLine {
        stream: stream.as_str().into(),
        sequence: record.sequence,
        id: record.id.as_str().into(),
        json,
        text: text.map(Into::into),
        base64: base64.map(Into::into),
        chain: chain::hex(chain).into(),
    };
    push_line(line, &written);
}

/// Text that is one JSON value on one line, so that its exact bytes can stand in a line of JSON and be taken from there.
fn as_it_is(text: &str) -> Option<&RawValue> {
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    // A lone null would read as nothing at all; spaces around a value are not part of it.
    let is_plain = raw.get() == text && text != "null" && !text.contains(['\n', '\r']);
    is_plain.then_some(raw)
}

fn push_line(lines: &mut Vec<u8>, line: &impl Serialize) {
    serde_json::to_writer(&mut *lines, line).expect("these are plain texts and numbers, and memory takes them");
    lines.push(b'\n');
}
