//! Starting from snapshots: less is read, what comes of it is the same, and a snapshot that does not fit is as good as none.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tminus::domain::registry::Registry;
use tminus::domain::rollout::command::{CommandBody, RolloutId};
use tminus::domain::rollout::state::State;
use tminus::engine::conductor::read_rollout;
use tminus::engine::journal::chain;
use tminus::engine::journal::memory::MemoryJournal;
use tminus::engine::journal::{Append, Journal, NewRecord, StreamName};
use tminus::engine::snapshots::{SNAPSHOT_EVENTS, SnapshotFolder, SnapshotStore, decode, encode};

use crate::counting::Read;
use crate::stage::{Stage, note};

const TASK: &str = "
runbook: test
people: { owner: maria }
rooms: [andromeda-rollouts]
phases: [{ phase: one, steps: [{ task: Do it, id: it }] }]
";

/// A stage that keeps snapshots in a folder.
async fn stage() -> (Stage, TempDir) {
    let mut stage = Stage::with(TASK).await;
    let dir = TempDir::new().unwrap();
    stage.snapshots = Arc::new(SnapshotFolder::open(dir.path()).unwrap());
    stage.close().await;
    stage.restart().await;
    (stage, dir)
}

async fn state(stage: &Stage, id: &RolloutId) -> State {
    stage.conductor.look(id, |state, _, _| state.clone()).await.unwrap().unwrap()
}

/// What the journal alone says: the truth.
async fn replayed(stage: &Stage, id: &RolloutId) -> State {
    read_rollout(stage.journal.as_ref(), id).await.unwrap().unwrap()
}

fn stream(name: &str) -> StreamName {
    StreamName::new(name)
}

fn file(dir: &TempDir, name: &str) -> PathBuf {
    dir.path().join(format!("{}.snapshot", name.replace('/', "+")))
}

fn read(stream: &str, from: u64, records: usize) -> Read {
    Read { stream: stream.to_owned(), from, records }
}

/// Waits for a file; the clock of the runtime is paused, so this lets everything else run.
async fn until_there(path: &Path) {
    for _ in 0..2000 {
        if path.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} is not written", path.display());
}

#[tokio::test(start_paused = true)]
async fn a_start_reads_neither_what_is_over_nor_what_a_snapshot_knows() {
    const OVER: usize = 200;
    let (mut stage, dir) = stage().await;
    for number in 0..OVER {
        let id = stage.start_as(&format!("over-{number}")).await;
        stage.does(&id, "maria", CommandBody::Abort { reason: "a trial".into(), generation: None }).await.unwrap();
    }
    for _ in 0..4000 {
        if stage.conductor.with_registry(|registry| registry.open().count()) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut open = Vec::new();
    for number in 0..3 {
        open.push(stage.start_as(&format!("open-{number}")).await);
    }
    for id in &open {
        stage.until_all_shown(id).await;
    }
    assert_eq!(stage.conductor.with_registry(|registry| registry.open().count()), 3);
    stage.close().await;

    // After a clean end: nothing but looking whether something came after the snapshots.
    stage.restart().await;
    let heads = [state(&stage, &open[0]).await, state(&stage, &open[1]).await, state(&stage, &open[2]).await];
    let registry_head = stage.journal.head(&stream("registry")).await.unwrap();
    let expected = [
        read("registry", registry_head + 1, 0),
        read("rollout/201", heads[0].sequence + 1, 0),
        read("rollout/202", heads[1].sequence + 1, 0),
        read("rollout/203", heads[2].sequence + 1, 0),
    ];
    let reads = stage.reads.all();
    assert_eq!(reads.len(), 4, "{reads:?}");
    assert!(expected.iter().all(|expected| reads.contains(expected)), "{reads:?}");
    for (id, state) in open.iter().zip(&heads) {
        assert_eq!(*state, replayed(&stage, id).await);
    }
    let names: BTreeSet<String> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.len(), 4, "what is over is not kept: {names:?}");

    // Without any snapshot too what is over is not read.
    stage.close().await;
    std::fs::remove_dir_all(dir.path()).unwrap();
    std::fs::create_dir(dir.path()).unwrap();
    stage.restart().await;
    let streams: BTreeSet<String> = stage.reads.all().into_iter().map(|read| read.stream).collect();
    assert_eq!(streams, ["registry", "rollout/201", "rollout/202", "rollout/203"].map(str::to_owned).into());
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_only_what_came_after_the_snapshot_is_read() {
    let (mut stage, dir) = stage().await;
    let id = stage.start().await;
    for number in 0..SNAPSHOT_EVENTS {
        stage.does(&id, "sam", note(&format!("{number}"))).await.unwrap();
    }
    // Written while the rollout goes on, without being told to.
    until_there(&file(&dir, "rollout/1")).await;
    let (known, _) = decode::<State>(&stream("rollout/1"), &std::fs::read(file(&dir, "rollout/1")).unwrap()).unwrap();
    stage.does(&id, "sam", note("the last one")).await.unwrap();
    stage.restart().await;
    let resumed = state(&stage, &id).await;
    assert_eq!(resumed, replayed(&stage, &id).await);
    assert_eq!(resumed.notes.last().unwrap().text, "the last one");
    let of_the_rollout = stage.reads.all().into_iter().find(|read| read.stream == "rollout/1").unwrap();
    assert_eq!(of_the_rollout.from, known.sequence + 1);
    // A second arrival of what the snapshot knows is recognised.
    let again = stage.sends(&id, "sam", "c1", note("0")).await.unwrap();
    assert_eq!(again, "Noted.");
    assert_eq!(state(&stage, &id).await.notes.len() as u64, SNAPSHOT_EVENTS + 1);
}

/// Does something to the folder between two starts, and sees that everything is read, and is right.
async fn is_passed_over(what: &str, harm: impl AsyncFnOnce(&mut Stage, &TempDir)) {
    let (mut stage, dir) = stage().await;
    let id = stage.start().await;
    for text in ["one", "two", "three"] {
        stage.does(&id, "sam", note(text)).await.unwrap();
    }
    stage.close().await;
    assert!(file(&dir, "rollout/1").exists() && file(&dir, "registry").exists(), "{what}");
    harm(&mut stage, &dir).await;
    stage.restart().await;
    let reads = stage.reads.all();
    assert!(reads.iter().any(|read| (read.stream.as_str(), read.from) == ("rollout/1", 1)), "{what}: {reads:?}");
    assert_eq!(state(&stage, &id).await, replayed(&stage, &id).await, "{what}");
    stage.does(&id, "sam", note("and on")).await.unwrap();
    // The next end writes a good one.
    stage.close().await;
    stage.restart().await;
    let reads = stage.reads.all();
    assert!(!reads.iter().any(|read| (read.stream.as_str(), read.from) == ("rollout/1", 1)), "{what}: {reads:?}");
}

fn rewrite(dir: &TempDir, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let path = file(dir, "rollout/1");
    let bytes = std::fs::read(&path).unwrap();
    let changed = change(bytes.clone());
    assert_ne!(bytes, changed);
    std::fs::write(path, changed).unwrap();
}

fn replace(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    String::from_utf8(bytes.to_vec()).unwrap().replacen(from, to, 1).into_bytes()
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_is_not_whole_is_passed_over() {
    is_passed_over("torn", async |_, dir| rewrite(dir, |bytes| bytes[..bytes.len() / 2].to_vec())).await;
    is_passed_over("without a second line", async |_, dir| rewrite(dir, |b| b.split(|b| *b == b'\n').next().unwrap().to_vec()))
        .await;
    is_passed_over("empty", async |_, dir| rewrite(dir, |_| Vec::new())).await;
    is_passed_over("no text", async |_, dir| rewrite(dir, |bytes| vec![0xff; bytes.len()])).await;
    // What the first line says of the journal is no witness when it was damaged.
    is_passed_over("another sequence", async |_, dir| rewrite(dir, |bytes| replace(&bytes, "\"sequence\":", "\"sequence\":9")))
        .await;
    is_passed_over("another chain", async |_, dir| rewrite(dir, |bytes| replace(&bytes, "\"chain\":\"", "\"chain\":\"00"))).await;
    is_passed_over("one letter", async |_, dir| rewrite(dir, |bytes| replace(&bytes, "three", "threw"))).await;
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_of_another_stream_or_of_another_program_is_passed_over() {
    is_passed_over("of the registry", async |_, dir| {
        rewrite(dir, |_| std::fs::read(file(dir, "registry")).unwrap());
    })
    .await;
    is_passed_over("of a later format", async |_, dir| rewrite(dir, |bytes| replace(&bytes, "\"format\":", "\"format\":9")))
        .await;
    is_passed_over("of a later program", async |_, dir| {
        rewrite(dir, |bytes| replace(&bytes, "\"program\":\"", "\"program\":\"9"));
    })
    .await;
}

/// A copy of the journal in which a stream has lost its end.
async fn without_the_end(journal: &MemoryJournal, name: &str, lost: usize) -> Arc<MemoryJournal> {
    let copy = MemoryJournal::new();
    for of in journal.streams("").await.unwrap() {
        let mut records = journal.read(&of, 1, usize::MAX).await.unwrap();
        if of.as_str() == name {
            records.truncate(records.len() - lost);
        }
        let records = records.into_iter().map(|record| NewRecord { id: record.id, payload: record.payload }).collect();
        copy.append(vec![Append { stream: of, expected: 0, records }], 0).await.unwrap();
    }
    Arc::new(copy)
}

#[tokio::test(start_paused = true)]
async fn a_report_says_what_the_journal_says_whatever_a_snapshot_claims() {
    let (mut stage, dir) = stage().await;
    let id = stage.start().await;
    stage.does(&id, "sam", note("NO-GO, says Sam")).await.unwrap();
    stage.close().await;
    // Somebody changes it who knows how one is written: its own checksum fits, and so does the journal's chain.
    rewrite(&dir, |bytes| {
        let (mut claimed, chain) = decode::<State>(&stream("rollout/1"), &bytes).unwrap();
        for note in &mut claimed.notes {
            note.text = "GO, says Sam".into();
        }
        encode(&stream("rollout/1"), &chain::parse_hex(&chain).unwrap(), &claimed).unwrap()
    });
    stage.restart().await;
    assert_eq!(state(&stage, &id).await.notes[0].text, "GO, says Sam", "it was begun from");
    let (report, zone) = stage.conductor.report(&id).await.unwrap().unwrap();
    assert!(report.journal.is_some());
    let written = report.markdown(zone);
    assert!(written.contains("NO-GO, says Sam"), "{written}");
    let said = stage.does(&id, "sam", note("one more")).await.unwrap();
    assert_eq!(said, "Noted.");
    let (report, zone) = stage.conductor.report(&id).await.unwrap().unwrap();
    assert!(report.markdown(zone).contains("one more"), "it is as of now");
}

/// Does something to the journal between two starts, and sees that nothing starts, and nothing is changed, until the snapshots are
/// removed.
async fn is_refused(of: &str, expected: &str, harm: impl AsyncFn(&mut Stage, &TempDir)) {
    for at_rest in [false, true] {
        let (mut stage, dir) = stage().await;
        let id = stage.start().await;
        for text in ["one", "two", "three"] {
            stage.does(&id, "sam", note(text)).await.unwrap();
        }
        if at_rest {
            stage.until_asleep(1).await;
        }
        stage.close().await;
        harm(&mut stage, &dir).await;
        let heads = async |journal: &MemoryJournal| {
            (journal.head(&stream("registry")).await.unwrap(), journal.head(&stream("rollout/1")).await.unwrap())
        };
        let (before, files) = (heads(&stage.journal).await, std::fs::read_dir(dir.path()).unwrap().count());
        for _ in 0..2 {
            let said = stage.refused().await;
            assert!(said.starts_with("the journal has lost what it had acknowledged: "), "{said}");
            assert!(said.contains(&format!("a snapshot of {of} at ")) && said.contains(expected), "{said}");
            assert!(said.contains("remove the folder snapshots/"), "{said}");
        }
        assert_eq!(heads(&stage.journal).await, before);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), files, "the witnesses are there");
        std::fs::remove_dir_all(dir.path()).unwrap();
        std::fs::create_dir(dir.path()).unwrap();
        stage.restart().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_lost_what_a_snapshot_knows_is_not_started_on() {
    is_refused("rollout/1", "the journal ends before", async |stage, _| {
        stage.journal = without_the_end(&stage.journal, "rollout/1", 2).await;
    })
    .await;
    is_refused("rollout/1", "the journal has other events there", async |stage, _| {
        stage.journal = without_the_end(&stage.journal, "rollout/1", 2).await;
        let of = stream("rollout/1");
        let last = stage.journal.read(&of, stage.journal.head(&of).await.unwrap(), 1).await.unwrap().remove(0);
        for number in 0..2 {
            let expected = stage.journal.head(&of).await.unwrap();
            let records = vec![NewRecord { id: format!("other-{number}"), payload: last.payload.clone() }];
            stage.journal.append(vec![Append { stream: of.clone(), expected, records }], 0).await.unwrap();
        }
    })
    .await;
    is_refused("registry", "the journal ends before", async |stage, _| {
        stage.journal = Arc::new(MemoryJournal::new());
    })
    .await;
    // The registry's own is of no use, and knows nothing of the rollout: the rollout's is asked before it is removed.
    is_refused("rollout/1", "the journal ends before", async |stage, dir| {
        stage.journal = Arc::new(MemoryJournal::new());
        std::fs::write(file(dir, "registry"), "damaged").unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_registry_starts_from_its_snapshot_and_from_its_stream_when_that_is_damaged() {
    let (mut stage, dir) = stage().await;
    let id = stage.start().await;
    stage.close().await;
    let path = file(&dir, "registry");
    let (known, _) = decode::<Registry>(&stream("registry"), &std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(known, stage.conductor.registry());
    std::fs::write(&path, "damaged").unwrap();
    stage.restart().await;
    assert_eq!(stage.conductor.registry(), known);
    assert_eq!(stage.reads.all()[0].from, 1);
    // A command that was seen before is recognised also from a snapshot.
    stage.close().await;
    stage.restart().await;
    assert_eq!(stage.start().await, id);
}

/// A folder that can't be written to, or not before it is let go.
struct Stuck {
    writes: Mutex<Option<Receiver<()>>>,
}

impl SnapshotStore for Stuck {
    fn read(&self, _: &StreamName) -> io::Result<Option<Vec<u8>>> {
        Err(io::Error::other("no disk"))
    }

    fn write(&self, _: &StreamName, _: &[u8]) -> io::Result<()> {
        if let Some(waits) = self.writes.lock().unwrap().as_ref() {
            let _ = waits.recv();
        }
        Err(io::Error::other("no disk"))
    }

    fn streams(&self, _: &str) -> io::Result<Vec<StreamName>> {
        Err(io::Error::other("no disk"))
    }

    fn keep_only(&self, _: &str, _: &BTreeSet<StreamName>) -> io::Result<()> {
        Err(io::Error::other("no disk"))
    }

    fn remove(&self, _: &StreamName) -> io::Result<()> {
        Err(io::Error::other("no disk"))
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_snapshot_and_a_disk_without_room_for_it_stops_nothing() {
    let mut stage = Stage::with(TASK).await;
    let (let_go, waits) = channel();
    stage.snapshots = Arc::new(Stuck { writes: Mutex::new(Some(waits)) });
    stage.restart().await;
    let id = stage.start().await;
    for number in 0..SNAPSHOT_EVENTS * 2 {
        assert_eq!(stage.does(&id, "sam", note(&format!("{number}"))).await.unwrap(), "Noted.");
    }
    drop(let_go);
    stage.close().await;
    stage.restart().await;
    assert_eq!(state(&stage, &id).await, replayed(&stage, &id).await);
}
