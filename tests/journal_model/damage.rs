//! Damage to the folder: a journal may refuse, or say which record is damaged, but never answer with less than it
//! acknowledged, or with something else.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tminus::engine::journal::sled::{OpenError, verify};
use tminus::engine::journal::{Journal, ReadError, Record, StreamName};

use super::support::{ALL, add, content, copy_folder, fill, fill_and_crash, open, open_raw, runtime};

const COMMITS: usize = 40;
/// The store's own pages may be up to this long; damage within the last one is what it repairs in silence.
const NEWEST_BYTES: usize = 4096;

type Content = Vec<(StreamName, Vec<Record>)>;

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Whole,
    Refused,
    SaysWhichRecord,
}

#[test]
fn a_flipped_byte_never_passes_unnoticed() {
    for fill in [fill, fill_and_crash] {
        let dir = TempDir::new().unwrap();
        let content = fill(dir.path(), COMMITS);
        let written = written_bytes(dir.path());
        let newest = (written - NEWEST_BYTES..written).step_by(67);
        let anywhere = (0..written).step_by(written / 60);
        let mut refused = 0;
        for offset in newest.chain(anywhere) {
            let outcome = after(dir.path(), &content, |db| db[offset] ^= 0x40);
            refused += usize::from(outcome != Outcome::Whole);
        }
        assert!(refused > NEWEST_BYTES / 67 / 2, "only {refused} flips were noticed");
    }
}

#[test]
fn zeroed_pages_never_pass_unnoticed() {
    let dir = TempDir::new().unwrap();
    let content = fill_and_crash(dir.path(), COMMITS);
    let written = written_bytes(dir.path());
    for first in (0..written).step_by(NEWEST_BYTES) {
        let last = written.min(first + NEWEST_BYTES);
        let outcome = after(dir.path(), &content, |db| db[first..last].fill(0));
        assert_ne!(outcome, Outcome::Whole, "zeroed from {first}");
    }
}

#[test]
fn a_cut_file_never_passes_unnoticed() {
    let dir = TempDir::new().unwrap();
    let content = fill_and_crash(dir.path(), COMMITS);
    let written = written_bytes(dir.path());
    for length in [0, 1, 19, written / 4, written / 2, written - 200, written - 40] {
        let outcome = after(dir.path(), &content, |db| db.truncate(length));
        assert_ne!(outcome, Outcome::Whole, "cut to {length} of {written} bytes");
    }
}

/// What is written last when closing is an index; without it, opening looks through the commits again.
#[test]
fn a_lost_checkpoint_is_harmless() {
    let dir = TempDir::new().unwrap();
    let content = fill(dir.path(), COMMITS);
    let written = written_bytes(dir.path());
    for lost in [1, 40, 200] {
        assert_eq!(after(dir.path(), &content, |db| db.truncate(written - lost)), Outcome::Whole, "without the last {lost}");
    }
    // Whatever else is lost with it shows.
    for first in (0..written).step_by(NEWEST_BYTES) {
        let last = written.min(first + NEWEST_BYTES);
        let outcome = after(dir.path(), &content, |db| db[first..last].fill(0));
        assert!(outcome != Outcome::Whole || last == written, "zeroed from {first}");
    }
}

/// Damages a copy of a store and says what a user of it would meet.
fn after(dir: &Path, content_before: &Content, damage: impl Fn(&mut Vec<u8>)) -> Outcome {
    let copy = TempDir::new().unwrap();
    copy_folder(dir, copy.path());
    let db_path = copy.path().join("db");
    let mut db = fs::read(&db_path).unwrap();
    damage(&mut db);
    fs::write(&db_path, db).unwrap();

    let verified = verify(copy.path());
    let is_verified = verified.as_ref().is_ok_and(|report| report.problems.is_empty());
    let Ok(journal) = open(copy.path()) else {
        assert!(!is_verified, "{verified:?}");
        return Outcome::Refused;
    };
    let runtime = runtime();
    let mut outcome = Outcome::Whole;
    let streams = runtime.block_on(journal.streams("")).unwrap();
    let names: Vec<_> = content_before.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(streams, names);
    for (name, records) in content_before {
        match runtime.block_on(journal.read(name, 1, ALL)) {
            Ok(found) => assert_eq!(found, *records),
            Err(_) => outcome = Outcome::SaysWhichRecord,
        }
    }
    assert_eq!(is_verified, outcome == Outcome::Whole, "{outcome:?} {verified:?}");
    outcome
}

/// The store's file is as long as a segment; how much of it holds something.
fn written_bytes(dir: &Path) -> usize {
    let db = fs::read(dir.join("db")).unwrap();
    db.iter().rposition(|byte| *byte != 0).unwrap() + 1
}

#[test]
fn a_store_behind_its_side_file_is_refused() {
    let older = TempDir::new().unwrap();
    let newer = TempDir::new().unwrap();
    fill(older.path(), 5);
    copy_folder(older.path(), newer.path());
    let journal = open(newer.path()).unwrap();
    runtime().block_on(add(&journal, "registry", b"one more")).unwrap();
    drop(journal);

    fs::copy(newer.path().join("head"), older.path().join("head")).unwrap();
    for _ in 0..2 {
        let error = open(older.path()).err().unwrap();
        assert!(matches!(&error, OpenError::Behind { store, side_file, .. } if (store.number, side_file.number) == (5, 6)));
        let message = error.to_string();
        for said in [
            older.path().to_str().unwrap(),
            "has lost acknowledged commits",
            "commit 5 (",
            "commit 6 (",
            "Restore a backup into a new folder: tminus journal import BACKUP --data NEW-DIR",
            "head and start again",
        ] {
            assert!(message.contains(said), "{message}");
        }
    }
    let problems = verify(older.path()).unwrap().problems;
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("are lost"), "{problems:?}");

    // What the message offers: to go on without.
    fs::remove_file(older.path().join("head")).unwrap();
    assert_eq!(*open(older.path()).unwrap().follow().borrow(), 5);
    assert_eq!(verify(older.path()).unwrap().problems, Vec::<String>::new());
}

#[test]
fn a_store_ahead_of_its_side_file_is_ordinary() {
    let dir = TempDir::new().unwrap();
    let old_head = TempDir::new().unwrap();
    fill(dir.path(), 5);
    fs::copy(dir.path().join("head"), old_head.path().join("head")).unwrap();
    let journal = open(dir.path()).unwrap();
    runtime().block_on(add(&journal, "registry", b"one more")).unwrap();
    drop(journal);
    fs::copy(old_head.path().join("head"), dir.path().join("head")).unwrap();

    assert_eq!(verify(dir.path()).unwrap().problems, Vec::<String>::new());
    assert_eq!(*open(dir.path()).unwrap().follow().borrow(), 6);
    let report = verify(dir.path()).unwrap();
    assert_eq!(report.side_file, Some(report.store_head));
}

#[test]
fn a_removed_side_file_is_missed_but_not_fatal() {
    let dir = TempDir::new().unwrap();
    let before = fill(dir.path(), 5);
    fs::remove_file(dir.path().join("head")).unwrap();
    let problems = verify(dir.path()).unwrap().problems;
    assert!(problems.len() == 1 && problems[0].contains("side file is missing"), "{problems:?}");
    assert!(!dir.path().join("head").exists(), "verifying changes nothing");
    let journal = open(dir.path()).unwrap();
    assert_eq!(runtime().block_on(content(&journal)), before);
    assert!(dir.path().join("head").exists());
}

#[test]
fn the_side_file_of_another_store_is_refused() {
    let ours = TempDir::new().unwrap();
    let theirs = TempDir::new().unwrap();
    fill(ours.path(), 5);
    let journal = open(theirs.path()).unwrap();
    for number in 0..5 {
        runtime().block_on(add(&journal, "registry", &[number])).unwrap();
    }
    drop(journal);
    fs::copy(theirs.path().join("head"), ours.path().join("head")).unwrap();
    let error = open(ours.path()).err().unwrap();
    assert!(matches!(error, OpenError::OtherHistory { .. }), "{error}");
    assert_eq!(verify(ours.path()).unwrap().problems.len(), 1);
}

#[test]
fn a_damaged_side_file_is_refused() {
    let dir = TempDir::new().unwrap();
    fill(dir.path(), 5);
    let head_path = dir.path().join("head");
    let text = fs::read_to_string(&head_path).unwrap();
    for damaged in [String::new(), text.replace("commit 5", "commit 4"), text[..40].to_owned(), format!("{text}x")] {
        fs::write(&head_path, damaged).unwrap();
        let error = open(dir.path()).err().unwrap();
        assert!(matches!(error, OpenError::HeadFile { .. }), "{error}");
        assert_eq!(verify(dir.path()).unwrap().problems.len(), 1);
    }
}

#[test]
fn a_store_that_was_removed_beside_its_side_file_is_refused() {
    let dir = TempDir::new().unwrap();
    fill(dir.path(), 5);
    fs::remove_file(dir.path().join("db")).unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(error, OpenError::Behind { .. }), "{error}");
    assert!(!dir.path().join("db").exists(), "refusing makes nothing");
}

#[test]
fn a_folder_in_use_is_refused_by_name() {
    let dir = TempDir::new().unwrap();
    let journal = open(dir.path()).unwrap();
    for error in [open(dir.path()).err().unwrap(), verify(dir.path()).unwrap_err()] {
        assert!(matches!(error, OpenError::InUse { .. }), "{error}");
        assert!(error.to_string().contains(dir.path().to_str().unwrap()));
    }
    drop(journal);
    open(dir.path()).unwrap();
}

#[test]
fn what_is_not_a_journal_is_refused() {
    let other_settings = TempDir::new().unwrap();
    sled::open(other_settings.path()).unwrap().insert("a", "b").unwrap();

    let other_content = TempDir::new().unwrap();
    open_raw(other_content.path()).insert("a", "b").unwrap();

    let version = |format: &str| {
        let dir = TempDir::new().unwrap();
        fill(dir.path(), 5);
        open_raw(dir.path()).open_tree("journal").unwrap().insert("format", format).unwrap();
        dir
    };
    for (dir, said) in [
        (&other_settings, "buffer size"),
        (&other_content, "does not say"),
        (&version("poems 3"), "its format is \"poems 3\""),
        (&version("tminus-journal 1"), "is of an earlier layout (1) than this version reads (2)"),
        (&version("tminus-journal 99"), "is of a later layout (99) than this version reads (2)"),
    ] {
        let error = open(dir.path()).err().unwrap();
        let is_ours = said.starts_with("is of ");
        assert_eq!(matches!(error, OpenError::Newer { .. } | OpenError::Older { .. }), is_ours, "{error}");
        assert_eq!(matches!(error, OpenError::Foreign { .. }), !is_ours, "{error}");
        let message = error.to_string();
        assert!(message.contains(said) && message.contains(dir.path().to_str().unwrap()), "{message}");
    }
    let error = verify(&other_content.path().join("nowhere")).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
}

#[test]
fn every_change_to_the_records_is_found_and_named() {
    let dir = TempDir::new().unwrap();
    // Commit 2n - 1 adds record n of the registry, commit 2n adds record n of the rollout.
    let before = fill(dir.path(), COMMITS);
    let registry = &before[0].0;
    let newest = {
        let db = open_raw(dir.path());
        let tree = db.open_tree("journal").unwrap();
        let mut value = tree.get(block_key(5)).unwrap().unwrap().to_vec();
        *value.last_mut().unwrap() ^= 1;
        tree.insert(block_key(5), value).unwrap();
        for number in [13, 14, 15] {
            tree.remove(block_key(number)).unwrap();
        }
        // Whole, but another one's.
        let other = tree.get(block_key(8)).unwrap().unwrap();
        tree.insert(block_key(10), other).unwrap();
        tree.insert("e|nobody", "x").unwrap();
        tree.insert("c|nobody", "x").unwrap();
        let newest = tree.remove(block_key(40)).unwrap().unwrap();
        db.flush().unwrap();
        newest
    };
    let report = verify(dir.path()).unwrap();
    let problems = report.problems.join("\n");
    for said in [
        "commit 5, block 0: its checksum does not match",
        "stream registry, sequence 3: it is missing",
        "commits 13 to 15 are missing",
        "stream registry, sequences 7 to 8: they are missing",
        "stream rollout/1, sequence 7: it is missing",
        "commit 10, block 0: its checksum does not match",
        "stream rollout/1, sequence 5: it is missing",
        "commit 40 is missing",
        "stream rollout/1, sequence 20: it is missing",
        "the commits between them are lost",
        "key e|nobody: nothing is written there",
        "key c|nobody: nothing is written there",
    ] {
        assert!(problems.contains(said), "{said}\nis not in\n{problems}");
    }
    assert_eq!(report.problems.len(), 12, "{problems}");
    let counts: Vec<_> = report.streams.iter().map(|found| found.records).collect();
    assert_eq!(counts, [17, 17]);

    // The newest commits are looked through at every start, the older ones when they are read.
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(&error, OpenError::Damaged { what, .. } if what.contains("not one")), "{error}");
    open_raw(dir.path()).open_tree("journal").unwrap().remove("c|nobody").unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(error, OpenError::Behind { .. }), "{error}");
    open_raw(dir.path()).open_tree("journal").unwrap().insert(block_key(40), newest).unwrap();
    let journal = open(dir.path()).unwrap();
    let runtime = runtime();
    let damaged_at = |from, limit| match runtime.block_on(journal.read(registry, from, limit)) {
        Err(ReadError::Damaged { sequence, .. }) => sequence,
        other => panic!("{other:?}"),
    };
    assert_eq!(damaged_at(1, ALL), 3);
    assert_eq!(damaged_at(4, ALL), 7, "what is before the first one is not read");
    assert_eq!(runtime.block_on(journal.read(registry, 1, 2)).unwrap(), before[0].1[..2]);
    assert_eq!(runtime.block_on(journal.read(registry, 4, 3)).unwrap(), before[0].1[3..6]);
    assert_eq!(runtime.block_on(journal.read(registry, 10, ALL)).unwrap(), before[0].1[9..]);
}

#[test]
fn commits_after_the_checkpoint_are_looked_through_when_opening() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(Damage, &str); 2] = [
        (|value| *value.last_mut().unwrap() ^= 1, "commit 38: block 0: its checksum does not match"),
        (Vec::clear, "commit 38: block 0: its value is too short"),
    ];
    for (damage, said) in damages {
        let dir = TempDir::new().unwrap();
        fill_and_crash(dir.path(), COMMITS);
        {
            let db = open_raw(dir.path());
            let tree = db.open_tree("journal").unwrap();
            let mut value = tree.get(block_key(38)).unwrap().unwrap().to_vec();
            damage(&mut value);
            tree.insert(block_key(38), value).unwrap();
        }
        let error = open(dir.path()).err().unwrap();
        assert!(matches!(&error, OpenError::Damaged { what, .. } if what == said), "{error}");
    }
}

/// The first block of a commit.
fn block_key(commit: u64) -> Vec<u8> {
    [b"c|".as_slice(), &commit.to_be_bytes(), &[0, 0]].concat()
}

#[test]
fn verifying_changes_nothing() {
    let dir = TempDir::new().unwrap();
    fill(dir.path(), COMMITS);
    let files = |dir: &Path| {
        let mut files: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = files(dir.path());
    assert_eq!(verify(dir.path()).unwrap().problems, Vec::<String>::new());
    assert!(files(dir.path()) == before);
}
