//! Journals that earlier versions wrote: the demo's Andromeda played to its ends, kept in `tests/replay/`, and replayed by
//! every version since. CONTRIBUTING.md says how a new set is recorded; an old one is never changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tminus::domain::people::Directory;
use tminus::domain::registry::{Entry, Registry};
use tminus::domain::report::report;
use tminus::domain::rollout::view::view;
use tminus::engine::clock::ManualClock;
use tminus::engine::conductor::read_rollout;
use tminus::engine::journal::memory::MemoryJournal;
use tminus::engine::journal::{Append, Journal, NewRecord, StreamName};
use tminus::engine::ports::{HouseRooms, RoomInfo};
use tminus::gateway::chat::local::LocalRooms;
use tminus::settings::Files;

/// What is played of every set.
const ROADS: [&str; 3] = ["failed", "no-go", "succeeded"];

/// What stands in a line before the event.
#[derive(Deserialize)]
struct Place {
    stream: String,
    sequence: u64,
    id: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay")
}

/// The recorded journals by name.
fn recorded() -> BTreeMap<String, String> {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let journals = files.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    let named = |path: PathBuf| (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap());
    journals.map(named).collect()
}

/// A journal with these records, byte for byte.
async fn journal_of(lines: &str) -> Arc<MemoryJournal> {
    let journal = Arc::new(MemoryJournal::new());
    for line in lines.lines() {
        let (place, event) = line.split_once(r#","event":"#).unwrap();
        let Place { stream, sequence, id } = serde_json::from_str(&format!("{place}}}")).unwrap();
        let record = NewRecord { id, payload: event.strip_suffix('}').unwrap().as_bytes().to_vec() };
        let append = Append { stream: StreamName::new(stream), expected: sequence - 1, records: vec![record] };
        journal.append(vec![append], 0).await.unwrap();
    }
    journal
}

/// The people of the time: names in `config/` may change.
fn people() -> Directory {
    let text = std::fs::read_to_string(folder().join("people.yaml")).unwrap();
    Files::of([("config/people.yaml".to_owned(), text)]).settings().unwrap_or_else(|no| panic!("{no}")).people
}

async fn registry_of(journal: &MemoryJournal) -> Registry {
    let mut registry = Registry::default();
    for record in journal.read(&StreamName::new("registry"), 1, usize::MAX).await.unwrap() {
        registry.evolve(&Entry::decode(&record.payload).unwrap());
    }
    registry
}

#[test]
fn every_set_has_every_road() {
    let names: Vec<String> = recorded().into_keys().collect();
    assert!(names.contains(&"v1-succeeded".to_owned()), "{names:?}");
    for name in &names {
        let (set, _) = ROADS.iter().find_map(|road| Some((name.strip_suffix(road)?, road))).unwrap_or_else(|| panic!("{name}"));
        assert!(ROADS.iter().all(|road| names.contains(&format!("{set}{road}"))), "{set}: {names:?}");
    }
}

#[tokio::test]
async fn rollouts_become_what_they_were() {
    let people = people();
    for (name, lines) in recorded() {
        let journal = journal_of(&lines).await;
        let registry = registry_of(&journal).await;
        assert!(registry.house.is_some() && !registry.rollouts.is_empty(), "{name}");
        for (id, known) in &registry.rollouts {
            let state = read_rollout(journal.as_ref(), id).await.unwrap().unwrap();
            let stream = StreamName::new(format!("rollout/{}", known.number));
            assert_eq!(state.sequence, journal.head(&stream).await.unwrap(), "{name}: {id}");
            assert_eq!(known.closed, state.result.filter(|_| known.closed.is_some()), "{name}: {id}");
            let viewed = serde_json::to_string_pretty(&view(&state, &people, state.last_at)).unwrap();
            let reported = report(&state, &people).markdown(state.runbook.timezone);
            insta::assert_snapshot!(format!("{name}.{id}"), format!("{reported}\n\n{viewed}"));
        }
    }
}

#[tokio::test]
async fn rooms_show_what_they_showed() {
    for (name, lines) in recorded() {
        let journal = journal_of(&lines).await;
        let infos: Vec<RoomInfo> = journal
            .streams("room/")
            .await
            .unwrap()
            .iter()
            .map(|stream| stream.as_str().trim_start_matches("room/").to_owned())
            .map(|id| RoomInfo { title: id.clone(), hosts: true, person: None, id })
            .collect();
        let clock = Arc::new(ManualClock::at("2026-11-20T12:00:00Z".parse().unwrap()));
        let rooms = LocalRooms::open(infos, journal, clock).await.unwrap();
        let mut said = String::new();
        for room in HouseRooms::rooms(&rooms) {
            for message in rooms.messages(&room.id, 0).await.unwrap() {
                said.push_str(&format!("{} {:?}\n{}\n\n", room.id, message.author, message.text));
            }
        }
        insta::assert_snapshot!(format!("{name}.rooms"), said);
    }
}
