//! Reading an export, a line at a time, believing nothing.

use std::io::{self, BufRead, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::domain::problem::visible;

use super::super::chain::{self, ChainHash};
use super::super::{PAYLOAD_BYTES_MAX, RECORD_ID_BYTES_MAX, Record, StreamName};
use super::{EndLine, FORMAT_VERSION, Header, LINE_BYTES_MAX, RecordLine, TITLE};

/// What is wrong with an export, as a sentence about the file.
#[derive(Debug, thiserror::Error)]
pub enum ReadExportError {
    /// It can't be read.
    #[error("it can't be read: {0}")]
    Io(io::Error),
    /// Its first line is not that of an export.
    #[error("line 1: it is no export of a T-minus journal")]
    Foreign,
    /// A later program wrote it.
    #[error(
        "line 1: it is an export of version {found}, and this program reads up to version {FORMAT_VERSION}; read it with the \
         version that wrote it, or a later one"
    )]
    Newer {
        /// Its version.
        found: u64,
    },
    /// It ends too early.
    #[error("line {line}: it ends here, before the export does; the rest was cut off")]
    Cut {
        /// The line at which there is nothing, or only a part.
        line: u64,
    },
    /// A line is not what was written there.
    #[error("line {line}: {what}")]
    Damaged {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
}

/// A record of an export, checked against its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Its stream.
    pub stream: StreamName,
    /// The record.
    pub record: Record,
    /// The hash of the stream up to it.
    pub chain: ChainHash,
}

/// Reads an export. It is whole only once [`Reader::next_record`] has answered that nothing is left.
pub struct Reader<R> {
    input: R,
    header: Header,
    streams: Vec<(StreamName, u64, ChainHash)>,
    /// Which stream is read, and how far it is.
    stream: usize,
    sequence: u64,
    chain: ChainHash,
    /// The line that was read last.
    line: u64,
    text: Vec<u8>,
    hasher: Sha256,
    is_over: bool,
}

/// Of a header only what says whether the rest of it can be read.
#[derive(Deserialize)]
struct Title {
    export: String,
    version: u64,
}

impl<R: BufRead> Reader<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// When it is not that of an export that this program reads.
    pub fn open(mut input: R) -> Result<Self, ReadExportError> {
        let mut text = Vec::new();
        read_line(&mut input, 1, &mut text).map_err(|error| match error {
            ReadExportError::Io(error) => ReadExportError::Io(error),
            // An empty file, one long line, no line at all.
            _ => ReadExportError::Foreign,
        })?;
        let title: Title = serde_json::from_slice(&text).map_err(|_| ReadExportError::Foreign)?;
        if title.export != TITLE {
            return Err(ReadExportError::Foreign);
        }
        if title.version > FORMAT_VERSION.into() {
            return Err(ReadExportError::Newer { found: title.version });
        }
        let damaged = |what: String| ReadExportError::Damaged { line: 1, what };
        let header: Header = serde_json::from_slice(&text).map_err(|error| damaged(format!("it can't be read: {error}")))?;
        let mut streams: Vec<(StreamName, u64, ChainHash)> = Vec::with_capacity(header.streams.len());
        for line in &header.streams {
            let name = StreamName::parse(&line.stream);
            let name = name.filter(|name| streams.last().is_none_or(|(before, ..)| before < name));
            let known = name.zip(chain::parse_hex(&line.chain)).filter(|_| line.records > 0);
            let (name, chain) =
                known.ok_or_else(|| damaged(format!("`{}` is not a stream that can stand there", visible(&line.stream))))?;
            streams.push((name, line.records, chain));
        }
        let chain = streams.first().map_or_else(ChainHash::default, |(name, ..)| chain::beginning(name));
        let mut hasher = Sha256::new();
        hasher.update(&text);
        Ok(Self { input, header, streams, stream: 0, sequence: 0, chain, line: 1, text, hasher, is_over: false })
    }

    /// The first line.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The streams, with how many records each has and the hash of its chain at its end.
    #[must_use]
    pub fn streams(&self) -> &[(StreamName, u64, ChainHash)] {
        &self.streams
    }

    /// The next record; `None` once all of the file was read and is as it was written.
    ///
    /// # Errors
    /// At the first line that is not as it was written. There is nothing to be had after it.
    pub fn next_record(&mut self) -> Result<Option<Exported>, ReadExportError> {
        if self.is_over {
            return Ok(None);
        }
        self.line += 1;
        read_line(&mut self.input, self.line, &mut self.text)?;
        let Some((name, records, end)) = self.streams.get(self.stream) else {
            self.end()?;
            self.is_over = true;
            return Ok(None);
        };
        let line = self.line;
        let damaged = |what: String| ReadExportError::Damaged { line, what };
        let read: RecordLine<'_> = match serde_json::from_slice(&self.text) {
            Ok(read) => read,
            Err(_) if serde_json::from_slice::<EndLine>(&self.text).is_ok() => {
                return Err(damaged(format!("the end comes before record {} of {name}: lines are missing", self.sequence + 1)));
            }
            Err(error) => return Err(damaged(format!("it is not a record: {error}"))),
        };
        if (read.stream.as_ref(), read.sequence) != (name.as_str(), self.sequence + 1) {
            let (found, expected) = ((&read.stream, read.sequence), (name, self.sequence + 1));
            return Err(damaged(format!(
                "record {} of {} stands where record {} of {} belongs: lines are missing or were moved",
                found.1,
                visible(found.0),
                expected.1,
                expected.0
            )));
        }
        let payload = payload(&read).ok_or_else(|| damaged("its event can't be read".to_owned()))?;
        if !(1..=RECORD_ID_BYTES_MAX).contains(&read.id.len()) || payload.len() > PAYLOAD_BYTES_MAX {
            return Err(damaged("no journal holds such a record".to_owned()));
        }
        let chain = chain::after(self.chain, read.sequence, &read.id, &payload);
        if chain::parse_hex(&read.chain) != Some(chain) {
            return Err(damaged("its hash does not follow from its predecessor's: it was changed".to_owned()));
        }
        let record = Record { sequence: read.sequence, id: read.id.into_owned(), payload };
        let exported = Exported { stream: name.clone(), record, chain };
        self.hasher.update(&self.text);
        self.chain = chain;
        self.sequence += 1;
        if self.sequence == *records {
            if chain != *end {
                return Err(damaged(format!("{name} ends with another hash than line 1 says")));
            }
            self.stream += 1;
            self.sequence = 0;
            self.chain = self.streams.get(self.stream).map_or_else(ChainHash::default, |(name, ..)| chain::beginning(name));
        }
        Ok(Some(exported))
    }

    fn end(&mut self) -> Result<(), ReadExportError> {
        let damaged = |what: &str| ReadExportError::Damaged { line: self.line, what: what.to_owned() };
        let EndLine { end } = serde_json::from_slice(&self.text).map_err(|_| damaged("here the end belongs, and it is not"))?;
        if end.records != self.header.records() {
            return Err(damaged("it counts other records than line 1 does"));
        }
        if chain::parse_hex(&end.sha256) != Some(self.hasher.clone().finalize().into()) {
            return Err(damaged("the sum of the lines before does not match: one of them was written otherwise"));
        }
        if !self.input.fill_buf()?.is_empty() {
            return Err(ReadExportError::Damaged { line: self.line + 1, what: "something follows the end".to_owned() });
        }
        Ok(())
    }
}

/// A whole line with its end.
fn read_line(input: &mut impl BufRead, line: u64, text: &mut Vec<u8>) -> Result<(), ReadExportError> {
    text.clear();
    input.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', text)?;
    if text.len() > LINE_BYTES_MAX {
        return Err(ReadExportError::Damaged { line, what: format!("it has more than {LINE_BYTES_MAX} bytes") });
    }
    if text.last() != Some(&b'\n') {
        return Err(ReadExportError::Cut { line });
    }
    Ok(())
}

/// The event, byte for byte. `None` when it is not there, or there twice.
fn payload(line: &RecordLine<'_>) -> Option<Vec<u8>> {
    match (line.json, &line.text, &line.base64) {
        (Some(json), None, None) => Some(json.get().as_bytes().to_vec()),
        (None, Some(text), None) => Some(text.as_bytes().to_vec()),
        (None, None, Some(base64)) => BASE64.decode(base64.as_bytes()).ok(),
        _ => None,
    }
}

impl From<io::Error> for ReadExportError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
