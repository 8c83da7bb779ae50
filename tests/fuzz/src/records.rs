//! What lies on the disk, as bytes: events, snapshots, the store's own values, the side file. Whatever has become of it, reading says
//! what is wrong, and what is understood is all there is.
//!
//! The first line says what the rest is: `events` and `entries` (one a line), `rollout-snapshot`, `registry-snapshot`, `side-file`,
//! or `value KEY`, where the key is written as in `layout.rs`: `c|NUMBER|BLOCK`, `h|STREAM`, `i|STREAM|FIRST`, `checkpoint`, `format`.

use chrono::Datelike;
use serde::de::DeserializeOwned;
use tminus::domain::message::card::card;
use tminus::domain::people::Directory;
use tminus::domain::registry::{Entry, Registry};
use tminus::domain::report::report;
use tminus::domain::rollout::effect::effects;
use tminus::domain::rollout::event::Recorded;
use tminus::domain::rollout::state::State;
use tminus::domain::rollout::view::view;
use tminus::engine::journal::StreamName;
use tminus::engine::journal::sled::probe::{side_file_again, written_again};
use tminus::engine::snapshots::{Snapshotted, decode, encode};

use super::bounds::timed;

/// One input.
///
/// # Panics
/// Where something is wrong.
pub fn run(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (first, rest) = (String::from_utf8_lossy(&bytes[..end]), bytes.get(end + 1..).unwrap_or_default());
    timed("reading", || match first.split_once(' ').unwrap_or((&first, "")) {
        ("events", _) => events(rest),
        ("entries", _) => entries(rest),
        ("rollout-snapshot", _) => snapshot::<State>("rollout/1", rest),
        ("registry-snapshot", _) => snapshot::<Registry>("registry", rest),
        ("side-file", _) => side_file(rest),
        ("value", key) => value(&key_of(key), rest),
        _ => value(&bytes[..end], rest),
    });
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// Events that do not fit what was before them change nothing that would not be shown.
fn events(bytes: &[u8]) {
    let mut state: Option<State> = None;
    for line in lines(bytes) {
        let Ok(recorded) = Recorded::decode(line) else { continue };
        assert_eq!(Recorded::decode(&recorded.encode()), Ok(recorded.clone()), "an event does not read back");
        match &mut state {
            None => state = State::begin(&recorded),
            Some(state) => state.evolve(&recorded),
        }
    }
    let Some(state) = state else { return };
    drop(effects(&state));
    // Events of years and lengths that no calendar has are not shown: whoever forges the chain of a journal may do worse.
    let texts = String::from_utf8_lossy(bytes);
    let is_usual = |number: &str| number.len() < 8;
    if texts.split(|c: char| !c.is_ascii_digit()).all(is_usual) && (2000..2100).contains(&state.last_at.year()) {
        let (people, now) = (Directory::default(), state.last_at);
        assert!(!card(&state, &people, now, &|_| None).markdown().is_empty(), "a card says something");
        serde_json::to_string(&view(&state, &people, now)).expect("a view has a JSON form");
        drop(report(&state, &people).markdown(state.runbook.timezone));
    }
}

fn entries(bytes: &[u8]) {
    let mut registry = Registry::default();
    for line in lines(bytes) {
        let Ok(entry) = Entry::decode(line) else { continue };
        assert_eq!(Entry::decode(&entry.encode()), Ok(entry.clone()), "an entry does not read back");
        registry.evolve(&entry);
    }
    drop(tminus::domain::conversation::answer::list(&registry, &|_| "UTC".parse().expect("a zone")));
    let _ = registry.next_number();
}

fn snapshot<T: Snapshotted + DeserializeOwned + PartialEq>(stream: &str, bytes: &[u8]) {
    let stream = StreamName::new(stream);
    let Ok((state, _)) = decode::<T>(&stream, bytes) else { return };
    let written = encode(&stream, &[7; 32], &state).expect("a state has a JSON form");
    let (read, chain) = decode::<T>(&stream, &written).expect("a snapshot reads back");
    assert!(read == state && chain == "07".repeat(32), "a snapshot is not what was written");
}

fn side_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(again) = side_file_again(text) {
        assert_eq!(again, text, "a side file is written as it is read");
    }
}

fn value(key: &[u8], body: &[u8]) {
    if let Some((key_again, body_again)) = written_again(key, body) {
        assert_eq!(key_again, key, "a key is written as it is read");
        assert_eq!(body_again, body, "a value is written as it is read");
    }
}

/// A key as the store has it, from its words.
pub fn key_of(words: &str) -> Vec<u8> {
    let parts: Vec<&str> = words.split('|').collect();
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX).to_be_bytes();
    match parts[..] {
        ["c", commit, block] => {
            let block = block.parse::<u16>().unwrap_or(u16::MAX).to_be_bytes();
            [b"c|".as_slice(), &number(commit), &block].concat()
        }
        ["i", stream, first] => [b"i|", stream.as_bytes(), b"|", &number(first)].concat(),
        _ => words.as_bytes().to_vec(),
    }
}
