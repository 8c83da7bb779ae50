//! The form of everything that is written down, so that nobody changes it without a new number for snapshots.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tminus::engine::snapshots::SNAPSHOT_FORMAT;

/// With it the file is written anew; never for the number that it has.
const UPDATE: &str = "SHAPE_UPDATE";

/// What snapshots are made of: rollouts and the registry, and the rooms of our own.
const WRITTEN_DOWN: [&str; 2] = ["src/domain", "src/gateway/chat/local"];
/// How far apart the places are that a room's snapshot holds: with another number they would be other places.
const MARKS: &str = "const MARK_MESSAGES";

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The types of a source that are both written down and read, without what is said about them.
fn types(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = source.lines().peekable();
    while let Some(line) = lines.next() {
        if !(line.starts_with("#[derive(") && line.contains("Serialize") && line.contains("Deserialize")) {
            continue;
        }
        let mut text = String::new();
        for line in lines.by_ref() {
            let bare = line.trim();
            if !bare.is_empty() && !bare.starts_with("//") {
                let _ = writeln!(text, "{line}");
            }
            if line == "}" || (!line.starts_with(' ') && line.ends_with([';', '}']) && !line.starts_with('#')) {
                break;
            }
        }
        found.push(text);
    }
    found
}

/// The constants of a source on which the meaning of what is written down depends.
fn marks(source: &str) -> Vec<String> {
    source.lines().filter(|line| line.starts_with(MARKS)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_new_form_of_the_state_has_a_new_number() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for dir in WRITTEN_DOWN {
        sources(&root.join(dir), &mut files);
    }
    let sources: Vec<String> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let mut parts: Vec<String> = sources.iter().flat_map(|source| types(source)).collect();
    parts.extend(sources.iter().flat_map(|source| marks(source)));
    parts.sort();
    for known in ["pub struct State {", "pub(super) struct Index {", "struct Written {", MARKS] {
        assert_eq!(parts.iter().filter(|text| text.starts_with(known)).count(), 1, "{known} in {parts:?}");
    }
    let shape = format!("format {SNAPSHOT_FORMAT}\n\n{}", parts.join("\n"));
    let path = root.join("tests/domain/shape.txt");
    let known = fs::read_to_string(&path).unwrap_or_default();
    if known == shape {
        return;
    }
    let is_renumbered = known.lines().next() != shape.lines().next();
    assert!(
        is_renumbered,
        "The form of what is written down has changed, and snapshots of the form {SNAPSHOT_FORMAT} must not be read any more. \
         Raise SNAPSHOT_FORMAT in src/engine/snapshots/mod.rs, then run this test with {UPDATE}=1. \
         Events need more care than that: old journals are read for ever."
    );
    assert!(std::env::var_os(UPDATE).is_some(), "SNAPSHOT_FORMAT is new: run this test with {UPDATE}=1");
    fs::write(path, shape).unwrap();
}
