//! Exports: what comes back is what went out, byte for byte; what was cut or changed is known by its line; and an export of a
//! journal that is written to meanwhile is one moment of it.

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use tempfile::TempDir;
use tminus::engine::journal::export::{Exporter, ReadExportError, Reader, WriteFileError, chunks, write_file};
use tminus::engine::journal::import::{ImportError, import};
use tminus::engine::journal::memory::MemoryJournal;
use tminus::engine::journal::sled::{VerifyReport, verify};
use tminus::engine::journal::{Append, Journal, NewRecord, PAYLOAD_BYTES_MAX, Record, StreamName};

use super::support::{add, append_to, bytes, content, fill, open, open_raw, runtime, stream};

const WRITTEN: &str = "2026-11-21T03:00:00.25Z";

/// The whole export, and its largest piece.
async fn export(journal: &Arc<dyn Journal>) -> (Vec<u8>, usize) {
    let mut exporter = Exporter::begin(journal.clone(), WRITTEN.parse().unwrap()).await.unwrap();
    let (mut all, mut largest) = (Vec::new(), 0);
    while let Some(chunk) = exporter.next().await.unwrap() {
        assert!(!chunk.is_empty());
        largest = largest.max(chunk.len());
        all.extend(chunk);
    }
    (all, largest)
}

/// What an export says there is.
fn read(export: &[u8]) -> Result<Vec<(StreamName, Vec<Record>)>, ReadExportError> {
    let mut reader = Reader::open(Cursor::new(export))?;
    let mut streams: Vec<(StreamName, Vec<Record>)> = Vec::new();
    while let Some(exported) = reader.next_record()? {
        match streams.last_mut().filter(|(name, _)| *name == exported.stream) {
            Some((_, records)) => records.push(exported.record),
            None => streams.push((exported.stream, vec![exported.record])),
        }
    }
    Ok(streams)
}

fn import_into(export: &[u8], dir: &Path) -> Result<VerifyReport, ImportError> {
    import(Reader::open(Cursor::new(export))?, dir, &|| false)
}

/// Payloads that would come back otherwise if they were read and written again.
const AWKWARD: [&[u8]; 15] = [
    b"{\"b\":1,\"a\":2,\"a\":3}",
    b"{ \"a\" : 1.0e2 }",
    b" 1",
    b"null",
    b"{\"a\":\n1}",
    b"\"\\u00e9\\/\"",
    "\"é\u{2028}\"".as_bytes(),
    b"\"\\ud800\"",
    b"123456789012345678901234567890.10",
    b"",
    b"plain text\r\nwith lines",
    b"\x00\x01\x7f",
    b"\xff\xfe",
    b"{\"a\":",
    b"[]",
];

#[test]
fn awkward_events_come_back_byte_for_byte() {
    let runtime = runtime();
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let large = bytes(PAYLOAD_BYTES_MAX, 3);
    let escaped = vec![1; PAYLOAD_BYTES_MAX];
    for payload in AWKWARD.iter().copied().chain([deep.as_bytes(), &large, &escaped]) {
        runtime.block_on(add(&*journal, "rollout/1", payload)).unwrap();
    }
    let before = runtime.block_on(content(&*journal));
    let (export, _) = runtime.block_on(export(&journal));
    assert_eq!(read(&export).unwrap(), before);
    let dir = TempDir::new().unwrap();
    let report = import_into(&export, &dir.path().join("journal")).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    let imported = open(&dir.path().join("journal")).unwrap();
    assert_eq!(runtime.block_on(content(&imported)), before);
    assert_eq!(runtime.block_on(imported.cut()).unwrap().streams, runtime.block_on(journal.cut()).unwrap().streams);
    // What is JSON can be looked into with any tool.
    let text = String::from_utf8_lossy(&export);
    assert!(text.lines().nth(1).unwrap().contains("\"json\":{\"b\":1,\"a\":2,\"a\":3},"), "{text:.300}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_was_recorded_comes_back(
        records in prop::collection::vec((0..4_usize, "\\PC{1,20}", prop::collection::vec(any::<u8>(), 0..200)), 0..60),
        texts in prop::collection::vec((0..4_usize, "[ -~\\n\"{}\\[\\]:0-9]{0,40}"), 0..60),
    ) {
        let runtime = runtime();
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
        let names = ["registry", "rollout/1", "rollout/12", "room/a.b-c_d"].map(stream);
        let texts = texts.into_iter().map(|(name, text)| (name, "text".to_owned(), text.into_bytes()));
        for (name, id, payload) in records.into_iter().chain(texts) {
            let expected = runtime.block_on(journal.head(&names[name])).unwrap();
            let append = Append { stream: names[name].clone(), expected, records: vec![NewRecord { id, payload }] };
            runtime.block_on(journal.append(vec![append], 0)).unwrap();
        }
        let before = runtime.block_on(content(&*journal));
        let (export, _) = runtime.block_on(export(&journal));
        prop_assert_eq!(read(&export).unwrap(), before);
    }
}

/// A journal of several streams, as an export.
fn sample() -> (Arc<dyn Journal>, Vec<u8>) {
    let runtime = runtime();
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    for number in 0..9 {
        let name = ["registry", "rollout/1", "room/a"][number % 3];
        runtime.block_on(add(&*journal, name, format!("{{\"number\":{number}}}").as_bytes())).unwrap();
    }
    let (export, _) = runtime.block_on(export(&journal));
    (journal, export)
}

#[test]
fn whatever_is_changed_in_a_file_is_noticed_and_nothing_is_imported() {
    let (_, export) = sample();
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let lines_before = |place: usize| export[..place].split(|byte| *byte == b'\n').count() as u64;
    for place in 0..export.len() {
        // Changed: known at the line itself, or at the end where another spelling says the same.
        let mut changed = export.clone();
        changed[place] ^= 1;
        match read(&changed) {
            Err(ReadExportError::Damaged { line, .. } | ReadExportError::Cut { line }) => {
                assert!(line >= lines_before(place), "byte {place} of line {}: line {line}", lines_before(place));
            }
            Err(ReadExportError::Foreign | ReadExportError::Newer { .. }) => assert_eq!(lines_before(place), 1),
            other => panic!("byte {place}: {other:?}"),
        }
        // Cut.
        assert!(read(&export[..place]).is_err(), "cut at {place}");
        if place % 97 == 0 {
            import_into(&changed, &data.join("journal")).unwrap_err();
            import_into(&export[..place], &data.join("journal")).unwrap_err();
        }
    }
    let mut longer = export.clone();
    longer.push(b'\n');
    assert!(matches!(read(&longer), Err(ReadExportError::Damaged { line: 12, .. })));
    import_into(&longer, &data.join("journal")).unwrap_err();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
    import_into(&export, &data.join("journal")).unwrap();
}

#[test]
fn lines_that_are_removed_moved_or_exchanged_are_known_by_their_number() {
    let (_, export) = sample();
    let text = String::from_utf8(export).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let said = |lines: &[&str]| {
        let text = lines.join("\n") + if lines.is_empty() { "" } else { "\n" };
        read(text.as_bytes()).map(|_| ()).unwrap_err().to_string()
    };
    let without = |gone: usize| lines.iter().enumerate().filter(|(at, _)| *at != gone).map(|(_, line)| *line).collect::<Vec<_>>();
    assert_eq!(
        said(&without(2)),
        "line 3: record 3 of registry stands where record 2 of registry belongs: lines are missing or were moved"
    );
    assert_eq!(said(&without(9)), "line 10: the end comes before record 3 of room/a: lines are missing");
    assert_eq!(said(&lines[..10]), "line 11: it ends here, before the export does; the rest was cut off");
    let mut moved = lines.clone();
    moved.swap(4, 5);
    assert!(said(&moved).starts_with("line 5: record 2 of rollout/1 stands where record 1 of rollout/1 belongs"));
    let other = lines[3].replace("\"number\":6", "\"number\":7");
    let mut changed = lines.clone();
    changed[3] = &other;
    assert_eq!(said(&changed), "line 4: its hash does not follow from its predecessor's: it was changed");
    let spaced = lines[3].replacen(',', ", ", 1);
    changed[3] = &spaced;
    assert_eq!(said(&changed), "line 11: the sum of the lines before does not match: one of them was written otherwise");
    let newer = lines[0].replace("\"version\":1", "\"version\":7,\"what\":\"else\"");
    changed[0] = &newer;
    assert!(said(&changed).starts_with("line 1: it is an export of version 7, and this program reads up to version 1"));
    for foreign in ["", "\n", "hello\n", "{\"export\":\"poems\",\"version\":1}\n", "{}"] {
        assert_eq!(read(foreign.as_bytes()).unwrap_err().to_string(), "line 1: it is no export of a T-minus journal");
    }
    // A file that somebody made whole again with other hashes is another history, and no part of it is taken for ours.
    let header = lines[0].replace("\"records\":3", "\"records\":2");
    changed = lines.clone();
    changed[0] = &header;
    assert!(said(&changed).starts_with("line 3: registry ends with another hash than line 1 says"), "{}", said(&changed));
}

#[test]
fn an_import_goes_only_where_nothing_is() {
    let (_, export) = sample();
    let data = TempDir::new().unwrap();
    let dir = data.path().join("journal");
    fs::create_dir(&dir).unwrap();
    import_into(&export, &dir).expect("an empty folder is nothing");
    let before = fs::read(dir.join("db")).unwrap();
    let said = import_into(&export, &dir).unwrap_err().to_string();
    assert!(said.contains("is not empty: it holds a journal. An import goes only where nothing is"), "{said}");
    assert_eq!(fs::read(dir.join("db")).unwrap(), before);

    let others = data.path().join("others");
    fs::create_dir(&others).unwrap();
    fs::write(others.join("poem"), "x").unwrap();
    let said = import_into(&export, &others).unwrap_err().to_string();
    assert!(said.contains("it holds other files"), "{said}");
    let said = import_into(&export, &others.join("poem")).unwrap_err().to_string();
    assert!(said.contains("is not empty: it is a file"), "{said}");

    let free = data.path().join("free/journal");
    fs::create_dir_all(data.path().join("free/journal.importing")).unwrap();
    let said = import_into(&export, &free).unwrap_err().to_string();
    assert!(said.contains("another import works in it, or one was broken off"), "{said}");
    assert!(data.path().join("free/journal.importing").exists(), "it is not ours to remove");
    let stopped = import(Reader::open(Cursor::new(&export)).unwrap(), &data.path().join("new/a/journal"), &|| true);
    assert!(matches!(stopped, Err(ImportError::Stopped)));
    assert!(!data.path().join("new").exists());
    // Also once all was read and written, while what was built is looked at.
    let asked = std::cell::Cell::new(0);
    let after_a_commit = || asked.replace(asked.get() + 1) > 0;
    let stopped = import(Reader::open(Cursor::new(&export)).unwrap(), &data.path().join("new/a/journal"), &after_a_commit);
    assert!(matches!(stopped, Err(ImportError::Stopped)));
    assert!(!data.path().join("new").exists());
}

#[test]
fn an_empty_journal_is_exported_and_imported_too() {
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    let (export, _) = runtime().block_on(export(&journal));
    assert_eq!(String::from_utf8_lossy(&export).lines().count(), 2);
    let data = TempDir::new().unwrap();
    let report = import_into(&export, &data.path().join("journal")).unwrap();
    assert_eq!((report.problems.len(), report.streams.len()), (0, 0));
}

#[test]
fn many_streams_and_records_take_few_commits_and_little_memory() {
    let runtime = runtime();
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    for number in 0..600 {
        let name = format!("rollout/{number}");
        let payload = bytes(1000, number);
        runtime.block_on(journal.append(vec![append_to(&name, 0, &[payload.as_slice(); 5])], 0)).unwrap();
    }
    let (export, largest) = runtime.block_on(export(&journal));
    // The header is as long as the list of streams; everything else comes in pieces of 64 KiB and a record.
    assert!(largest < 128 * 1024, "{largest}");
    assert!(export.len() > 3_000_000);
    let data = TempDir::new().unwrap();
    let report = import_into(&export, &data.path().join("journal")).unwrap();
    assert_eq!(report.streams.len(), 600);
    assert!(report.store_head.number <= 4, "{}", report.store_head);
}

/// Every append writes to both streams, so one moment has as much of one as of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_a_journal_in_use_is_one_moment() {
    let dir = TempDir::new().unwrap();
    let journal: Arc<dyn Journal> = Arc::new(open(dir.path()).unwrap());
    let is_done = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (journal, is_done) = (journal.clone(), is_done.clone());
        async move {
            let mut count = 0;
            while !is_done.load(Ordering::Relaxed) {
                let both = ["registry", "rollout/1"].map(|name| append_to(name, count, &[b"{\"a\":1}"]));
                journal.append(both.to_vec(), 0).await.unwrap();
                count += 1;
            }
        }
    });
    let mut commits = journal.follow();
    let mut lengths = Vec::new();
    for round in 1..=20 {
        commits.wait_for(|commit| *commit >= round * 5).await.unwrap();
        let (export, _) = export(&journal).await;
        let header = Reader::open(Cursor::new(&export)).unwrap().header().clone();
        let streams = read(&export).unwrap();
        assert_eq!(streams[0].1.len(), streams[1].1.len());
        assert_eq!(header.store.commit, streams[0].1.len() as u64);
        lengths.push(streams[0].1.len());
    }
    is_done.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    assert!(lengths.is_sorted() && lengths[0] < lengths[19], "it was written to meanwhile: {lengths:?}");
}

#[test]
fn a_damaged_journal_is_not_exported() {
    let dir = TempDir::new().unwrap();
    fill(dir.path(), 10);
    {
        let db = open_raw(dir.path());
        let tree = db.open_tree("journal").unwrap();
        let key = [b"c|".as_slice(), &5_u64.to_be_bytes(), &[0, 0]].concat();
        let mut value = tree.get(&key).unwrap().unwrap().to_vec();
        *value.last_mut().unwrap() ^= 1;
        tree.insert(key, value).unwrap();
    }
    let journal: Arc<dyn Journal> = Arc::new(open(dir.path()).unwrap());
    let target = TempDir::new().unwrap();
    let path = target.path().join("a.jsonl");
    let failed = runtime().block_on(async {
        let exporter = Exporter::begin(journal, WRITTEN.parse().unwrap()).await.unwrap();
        write_file(chunks(exporter), &path, |_| Ok::<(), WriteFileError>(())).await
    });
    let said = failed.unwrap_err().to_string();
    assert!(said.contains("stream registry is damaged at 3"), "{said}");
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0, "nothing is left behind");
}

#[tokio::test]
async fn an_import_verifies_clean_and_is_written_to_as_ever() {
    let dir = TempDir::new().unwrap();
    let ours = dir.path().join("ours");
    let before = tokio::task::spawn_blocking({
        let ours = ours.clone();
        move || fill(&ours, 40)
    })
    .await
    .unwrap();
    let journal: Arc<dyn Journal> = Arc::new(open(&ours).unwrap());
    let (export, _) = export(&journal).await;
    let theirs = dir.path().join("theirs");
    let imported = tokio::task::spawn_blocking({
        let theirs = theirs.clone();
        move || import_into(&export, &theirs).unwrap()
    });
    let imported = imported.await.unwrap();
    assert_eq!(imported.store_head.number, 1, "another store, with commits of its own");
    assert_eq!(verify(&theirs).unwrap().problems, Vec::<String>::new());
    let theirs = open(&theirs).unwrap();
    assert_eq!(content(&theirs).await, before);
    add(&theirs, "registry", b"one more").await.unwrap();
    for stream in journal.cut().await.unwrap().streams {
        assert_eq!(theirs.chain(&stream.stream, stream.sequence).await.unwrap(), Some(stream.chain));
    }
}
