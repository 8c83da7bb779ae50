//! Writing an export, a bounded piece at a time.

use std::sync::Arc;

use chrono::{DateTime, SubsecRound as _, Utc};
use futures_util::stream::{Stream, try_unfold};
use sha2::{Digest, Sha256};

use super::super::chain::{self, ChainHash};
use super::super::{Cut, Journal, ReadError, Record, StreamEnd};
use super::{
    End, EndLine, FORMAT_VERSION, Header, LINE_BYTES_MAX, PROGRAM, StoreLine, StreamLine, TITLE, push_line, push_record,
};

/// How many records are read at once. The largest ones make this some 64 MiB, ordinary ones a few dozen KiB.
const READ_RECORDS_MAX: usize = 64;
/// How many bytes a piece should have: enough that handing it on costs nothing beside writing it.
const CHUNK_BYTES: usize = 64 * 1024;

/// An export under way.
pub struct Exporter {
    journal: Arc<dyn Journal>,
    hasher: Sha256,
    records_count: u64,
    step: Step,
}

/// What comes next.
enum Step {
    Header(Header, Vec<StreamEnd>),
    /// The streams that are left, and the first of them as far as it was read.
    Records(std::vec::IntoIter<StreamEnd>, Option<Open>),
    Done,
}

/// A stream that is being read.
struct Open {
    end: StreamEnd,
    sequence: u64,
    chain: ChainHash,
    /// What was read and is not written yet.
    read: std::vec::IntoIter<Record>,
}

impl Exporter {
    /// Takes the heads: what is appended from now on is not in the export. `written` is now.
    ///
    /// # Errors
    /// When the journal can't be read.
    pub async fn begin(journal: Arc<dyn Journal>, written: DateTime<Utc>) -> Result<Self, ReadError> {
        let Cut { commit, hash, streams } = journal.cut().await?;
        let line =
            |end: &StreamEnd| StreamLine { stream: end.stream.to_string(), records: end.sequence, chain: chain::hex(end.chain) };
        let header = Header {
            export: TITLE.to_owned(),
            version: FORMAT_VERSION,
            program: PROGRAM.to_owned(),
            written: written.trunc_subsecs(0),
            store: StoreLine { commit, hash: hash.as_ref().map(chain::hex) },
            streams: streams.iter().map(line).collect(),
        };
        Ok(Self { journal, hasher: Sha256::new(), records_count: 0, step: Step::Header(header, streams) })
    }

    /// The first line, until it was written.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        match &self.step {
            Step::Header(header, _) => Some(header),
            _ => None,
        }
    }

    /// The next piece; whole lines, and nothing after the last one.
    ///
    /// # Errors
    /// When the journal can't be read, or a stream is not what its head says: then what was written is no export.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        let mut chunk = Vec::new();
        loop {
            match &mut self.step {
                Step::Done => return Ok(None),
                Step::Header(header, streams) => {
                    push_line(&mut chunk, header);
                    if chunk.len() > LINE_BYTES_MAX {
                        return Err(ReadError::Store(format!("{} streams are more than an export can hold", streams.len())));
                    }
                    self.step = Step::Records(std::mem::take(streams).into_iter(), None);
                }
                Step::Records(streams, open) => {
                    let stream = if let Some(open) = open {
                        open
                    } else if let Some(end) = streams.next() {
                        open.insert(Open::new(end))
                    } else {
                        self.hasher.update(&chunk);
                        let sha256 = chain::hex(self.hasher.clone().finalize());
                        push_line(&mut chunk, &EndLine { end: End { records: self.records_count, sha256 } });
                        self.step = Step::Done;
                        return Ok(Some(chunk));
                    };
                    while chunk.len() < CHUNK_BYTES
                        && let Some(record) = stream.take(self.journal.as_ref()).await?
                    {
                        push_record(&mut chunk, &stream.end.stream, &record, &stream.chain);
                        self.records_count += 1;
                    }
                    if stream.is_over()? {
                        *open = None;
                    }
                }
            }
            if chunk.len() >= CHUNK_BYTES {
                self.hasher.update(&chunk);
                return Ok(Some(chunk));
            }
        }
    }
}

impl Open {
    fn new(end: StreamEnd) -> Self {
        let chain = chain::beginning(&end.stream);
        Self { end, sequence: 0, chain, read: Vec::new().into_iter() }
    }

    /// The next record, with the chain brought up to it.
    async fn take(&mut self, journal: &dyn Journal) -> Result<Option<Record>, ReadError> {
        if self.sequence == self.end.sequence {
            return Ok(None);
        }
        if self.read.len() == 0 {
            let left = usize::try_from(self.end.sequence - self.sequence).unwrap_or(usize::MAX);
            let read = journal.read(&self.end.stream, self.sequence + 1, left.min(READ_RECORDS_MAX)).await?;
            self.read = read.into_iter();
        }
        let record = self.read.next().filter(|record| record.sequence == self.sequence + 1);
        let record = record.ok_or_else(|| self.damaged(self.sequence + 1, "it is missing"))?;
        self.sequence = record.sequence;
        self.chain = chain::after(self.chain, record.sequence, &record.id, &record.payload);
        Ok(Some(record))
    }

    /// Whether all of it was read; an error when it is another stream than its head says.
    fn is_over(&self) -> Result<bool, ReadError> {
        if self.sequence < self.end.sequence {
            return Ok(false);
        }
        if self.chain != self.end.chain {
            return Err(self.damaged(self.sequence, "its hash is not the one in the stream's head"));
        }
        Ok(true)
    }

    fn damaged(&self, sequence: u64, what: &str) -> ReadError {
        ReadError::Damaged { stream: self.end.stream.clone(), sequence, what: what.to_owned() }
    }
}

/// An export as a stream of pieces, for whoever hands it on. An error is its last item; what came before is no export then, and
/// shows as one that was cut.
pub fn chunks(exporter: Exporter) -> impl Stream<Item = Result<Vec<u8>, ReadError>> + Send + 'static {
    try_unfold(exporter, |mut exporter| async move { Ok(exporter.next().await?.map(|chunk| (chunk, exporter))) })
}
