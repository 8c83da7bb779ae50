//! What ties a paper to the journal: how far the rollout's stream was when the paper was made, and the hash that stands for it.
//!
//! A report bears it, so that long afterwards, and after moves to other machines, it can be shown that a journal holds the very
//! events that the report was made of. It says nothing of the report's words: those are made anew from the journal, and
//! compared.

use serde::{Deserialize, Serialize};

/// How the line begins that bears it.
const LINE_START: &str = "Journal: ";
/// What stands between the parts of the line.
const UPTO: &str = " up to event ";
const HASH: &str = ", chain ";

/// How far a stream was, and what stands for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// The stream of the journal: `rollout/12`.
    pub stream: String,
    /// The sequence of its last event.
    pub sequence: u64,
    /// The hash of the stream's chain up to and with that event: 64 hexadecimal digits.
    pub hash: String,
}

/// Why there is no proof to be had from a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoProof {
    /// It is JSON, and not that of a report.
    #[error("it looks like JSON, and is not a report as `tminus report --json` writes it")]
    Json,
    /// It is text without the line.
    #[error("it does not end with the line `Journal: …` that a report ends with")]
    Text,
}

impl Proof {
    /// The line that a report in Markdown ends with.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{LINE_START}`{}`{UPTO}{}{HASH}`{}`", self.stream, self.sequence, self.hash)
    }

    /// Finds it in a report, in Markdown or JSON.
    ///
    /// # Errors
    /// When it is not there.
    pub fn find(report: &str) -> Result<Self, NoProof> {
        #[derive(Deserialize)]
        struct OfReport {
            journal: Written,
        }
        #[derive(Deserialize)]
        struct Written {
            stream: String,
            sequence: u64,
            hash: String,
        }
        if report.trim_start().starts_with('{') {
            let Written { stream, sequence, hash } = serde_json::from_str::<OfReport>(report).map_err(|_| NoProof::Json)?.journal;
            return Self { stream, sequence, hash }.if_possible().ok_or(NoProof::Json);
        }
        // Only the last line counts: what people wrote stands above it.
        report.trim_end().lines().next_back().and_then(|line| Self::parse(line.trim())).ok_or(NoProof::Text)
    }

    fn parse(line: &str) -> Option<Self> {
        let (stream, rest) = line.strip_prefix(LINE_START)?.split_once(UPTO)?;
        let (sequence, hash) = rest.split_once(HASH)?;
        let code = |text: &str| Some(text.strip_prefix('`')?.strip_suffix('`')?.to_owned());
        Self { stream: code(stream)?, sequence: sequence.parse().ok()?, hash: code(hash)? }.if_possible()
    }

    /// Nothing if no journal has such a stream or such a hash. A report may come from anybody, and what it names is printed.
    fn if_possible(self) -> Option<Self> {
        let is_hash = self.hash.len() == 64 && self.hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_./".contains(&b);
        let is_stream = !self.stream.is_empty() && self.stream.bytes().all(is_name);
        (is_hash && is_stream).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_found_at_the_end_of_a_report_and_nowhere_else() {
        let proof = Proof { stream: "rollout/12".into(), sequence: 512, hash: "9f".repeat(32) };
        let other = Proof { sequence: 3, ..proof.clone() };
        let text = format!("# Title\n\n- Note: {}\n\n{}\r\n\n", other.line(), proof.line());
        assert_eq!(Proof::find(&text), Ok(proof.clone()));
        assert_eq!(Proof::find(&format!("{}\n- and more\n", proof.line())), Err(NoProof::Text));
        let json = serde_json::json!({ "id": "x", "journal": proof }).to_string();
        assert_eq!(Proof::find(&json), Ok(proof));
        // What no journal has is no proof, and is never shown to anybody's terminal.
        for (stream, hash) in [("rollout/\u{1b}[2J", "9f".repeat(32)), ("", "9f".repeat(32)), ("rollout/12", "9F".repeat(32))] {
            let forged = Proof { stream: stream.into(), sequence: 1, hash };
            assert_eq!(Proof::find(&forged.line()), Err(NoProof::Text), "{forged:?}");
            assert_eq!(Proof::find(&serde_json::json!({ "journal": forged }).to_string()), Err(NoProof::Json), "{forged:?}");
        }
        for (text, expected) in
            [("{}", NoProof::Json), ("", NoProof::Text), ("Journal: `a` up to event x, chain `b`", NoProof::Text)]
        {
            assert_eq!(Proof::find(text), Err(expected), "{text}");
        }
    }
}
