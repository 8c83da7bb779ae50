//! Rooms of our own over a journal that answers late or not at all, and over snapshots that can't be written.

use std::collections::BTreeSet;
use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tminus::domain::people::PersonId;
use tminus::domain::rollout::effect::{Delivery, EffectId, Recipient};
use tminus::engine::clock::ManualClock;
use tminus::engine::journal::chain::ChainHash;
use tminus::engine::journal::memory::{Fault, MemoryJournal};
use tminus::engine::journal::{Append, AppendError, Cut, Journal, NewRecord, ReadError, Record, StreamName};
use tminus::engine::ports::{Belongs, Courier, Found, HouseRooms, RoomError, RoomInfo, Sent};
use tminus::engine::snapshots::{Lost, NoSnapshots, SnapshotFolder, SnapshotStore};
use tminus::gateway::chat::local::LocalRooms;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

const ROOM: &str = "rollouts";

fn info(id: &str) -> RoomInfo {
    RoomInfo { id: id.to_owned(), title: id.to_owned(), hosts: true, person: None }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at("2026-11-20T12:00:00Z".parse().unwrap()))
}

async fn open(journal: Arc<dyn Journal>, ids: &[&str], store: Arc<dyn SnapshotStore>) -> LocalRooms {
    LocalRooms::open_with(ids.iter().map(|id| info(id)).collect(), journal, clock(), store).await.unwrap()
}

async fn say(rooms: &LocalRooms, text: &str, key: Option<&str>) -> Result<u64, RoomError> {
    rooms.say(ROOM, &PersonId::new("maria"), text, key).await
}

async fn texts(rooms: &LocalRooms) -> Vec<String> {
    rooms.messages(ROOM, 0).await.unwrap().into_iter().map(|message| message.text).collect()
}

fn delivery(sequence: u64) -> Delivery {
    let id = EffectId { house: 1, rollout: 1, sequence, slot: 0, attempt: 1 };
    Delivery {
        id,
        rollout: None,
        to: Recipient::Person(PersonId::new("Maria")),
        subject: None,
        text: format!("the announcement {sequence}"),
        must_know: false,
        issued: "2026-11-20T12:00:00Z".parse().unwrap(),
        buttons: Vec::new(),
    }
}

/// A journal that does what it is told, and answers only when it is let go.
struct Late {
    journal: MemoryJournal,
    answers: watch::Sender<bool>,
}

#[async_trait]
impl Journal for Late {
    async fn append(&self, appends: Vec<Append>, epoch: u64) -> Result<(), AppendError> {
        let appended = self.journal.append(appends, epoch).await;
        let mut answers = self.answers.subscribe();
        let _ = answers.wait_for(|answers| *answers).await;
        appended
    }

    async fn read(&self, stream: &StreamName, from: u64, limit: usize) -> Result<Vec<Record>, ReadError> {
        self.journal.read(stream, from, limit).await
    }

    async fn head(&self, stream: &StreamName) -> Result<u64, ReadError> {
        self.journal.head(stream).await
    }

    async fn chain(&self, stream: &StreamName, sequence: u64) -> Result<Option<ChainHash>, ReadError> {
        self.journal.chain(stream, sequence).await
    }

    async fn streams(&self, prefix: &str) -> Result<Vec<StreamName>, ReadError> {
        self.journal.streams(prefix).await
    }

    async fn cut(&self) -> Result<Cut, ReadError> {
        self.journal.cut().await
    }

    fn follow(&self) -> watch::Receiver<u64> {
        self.journal.follow()
    }
}

#[tokio::test(start_paused = true)]
async fn what_somebody_said_who_went_away_stands_there_and_nobody_else_is_in_its_way() {
    let journal = Arc::new(Late { journal: MemoryJournal::new(), answers: watch::Sender::new(false) });
    let rooms = open(journal.clone(), &[ROOM, "direct-maria"], Arc::new(NoSnapshots)).await;
    let mut changes = rooms.watch();
    assert!(timeout(Duration::from_secs(30), say(&rooms, "a", Some("key"))).await.is_err());
    assert!(timeout(Duration::from_secs(30), rooms.deliver(&delivery(1))).await.is_err());
    journal.answers.send_replace(true);
    let told = timeout(Duration::from_secs(30), changes.wait_for(|count| *count == 2)).await.is_ok();
    assert!(told, "pages are told although nobody waits for it any more");
    assert_eq!(say(&rooms, "b", None).await, Ok(2));
    assert_eq!(texts(&rooms).await, ["a", "b"]);
    assert_eq!(say(&rooms, "a", Some("key")).await, Ok(1), "a repetition is the same message");
    assert_eq!(rooms.find(&delivery(1)).await, Found::There { reference: "1".into() });
    assert_eq!(*changes.borrow(), 3, "pages are told of all of it");
}

#[tokio::test(start_paused = true)]
async fn who_looks_does_not_wait_for_who_writes_but_who_looks_for_something_does() {
    let journal = Arc::new(Late { journal: MemoryJournal::new(), answers: watch::Sender::new(true) });
    let rooms = Arc::new(open(journal.clone(), &[ROOM, "direct-maria"], Arc::new(NoSnapshots)).await);
    assert_eq!(say(&rooms, "a", None).await, Ok(1));
    journal.answers.send_replace(false);
    let (saying, delivering) = (rooms.clone(), rooms.clone());
    let saying = tokio::spawn(async move { say(&saying, "b", None).await });
    let delivering = tokio::spawn(async move { delivering.deliver(&delivery(1)).await });
    journal.journal.follow().wait_for(|commit| *commit == 3).await.unwrap();
    // Both are in the journal and not acknowledged: they do not stand there yet.
    let looked = timeout(Duration::from_secs(30), texts(&rooms)).await;
    assert_eq!(looked.expect("the disk is not waited for"), ["a"]);
    assert_eq!(rooms.rollout_of(ROOM, 2).await, Ok(Belongs::NoMessage));
    assert!(timeout(Duration::from_secs(30), rooms.find(&delivery(1))).await.is_err(), "neither there nor absent");
    journal.answers.send_replace(true);
    assert_eq!(rooms.find(&delivery(1)).await, Found::There { reference: "1".into() });
    assert_eq!((saying.await.unwrap(), delivering.await.unwrap()), (Ok(2), Sent::Delivered { reference: "1".into() }));
    assert_eq!(texts(&rooms).await, ["a", "b"]);
}

#[tokio::test]
async fn a_message_of_unknown_fate_stands_there_once() {
    for fault in [Fault::UnknownWritten, Fault::UnknownNotWritten] {
        for key in [None, Some("key")] {
            let journal = Arc::new(MemoryJournal::new());
            let rooms = open(journal.clone(), &[ROOM], Arc::new(NoSnapshots)).await;
            let changes = rooms.watch();
            journal.fail_next(fault);
            assert_eq!(say(&rooms, "a", key).await, Ok(1), "{fault:?}");
            assert_eq!(*changes.borrow(), 1, "{fault:?}");
            assert_eq!(say(&rooms, "b", None).await, Ok(2), "{fault:?}");
            assert_eq!(texts(&rooms).await, ["a", "b"], "{fault:?}");
        }
    }
}

#[tokio::test]
async fn what_stays_of_unknown_fate_is_said_to_be_and_a_retry_is_looked_up() {
    let journal = Arc::new(MemoryJournal::new());
    let rooms = open(journal.clone(), &[ROOM, "direct-maria"], Arc::new(NoSnapshots)).await;
    for _ in 0..2 {
        journal.fail_next(Fault::UnknownNotWritten);
    }
    assert!(matches!(say(&rooms, "a", None).await, Err(RoomError::Unclear(_))));
    for _ in 0..2 {
        journal.fail_next(Fault::UnknownNotWritten);
    }
    assert!(matches!(rooms.deliver(&delivery(1)).await, Sent::Unclear { .. }));
    assert_eq!(rooms.find(&delivery(1)).await, Found::Absent);
    journal.fail_next(Fault::Poisoned);
    assert!(matches!(rooms.deliver(&delivery(1)).await, Sent::Unclear { .. }));
    journal.restart();
    assert!(matches!(rooms.deliver(&delivery(1)).await, Sent::Delivered { .. }));
    assert_eq!(say(&rooms, "a", None).await, Ok(1));
}

#[tokio::test]
async fn another_writer_of_a_room_is_caught_up_with() {
    let journal = Arc::new(MemoryJournal::new());
    let rooms = open(journal.clone(), &[ROOM], Arc::new(NoSnapshots)).await;
    assert_eq!(say(&rooms, "a", None).await, Ok(1));
    let stream = StreamName::new(format!("room/{ROOM}"));
    let payload = journal.read(&stream, 1, 1).await.unwrap().remove(0).payload;
    let records = vec![NewRecord { id: "other".into(), payload }];
    journal.append(vec![Append { stream, expected: 1, records }], 0).await.unwrap();
    assert_eq!(say(&rooms, "b", None).await, Ok(3));
    assert_eq!(texts(&rooms).await, ["a", "a", "b"]);
}

#[tokio::test]
async fn a_message_without_a_key_is_no_repetition_and_does_not_make_others_forgotten() {
    const MANY: u64 = 4096;
    let rooms = open(Arc::new(MemoryJournal::new()), &[ROOM], Arc::new(NoSnapshots)).await;
    assert_eq!(say(&rooms, "a", Some("key")).await, Ok(1));
    for _ in 0..MANY {
        say(&rooms, "b", None).await.unwrap();
    }
    assert_eq!(say(&rooms, "a", Some("key")).await, Ok(1));
    assert_eq!(rooms.count(ROOM).await, Ok(MANY + 1));
    assert_eq!(rooms.rollout_of(ROOM, MANY + 1).await, Ok(Belongs::ToNone));
    assert_eq!(rooms.rollout_of(ROOM, MANY + 2).await, Ok(Belongs::NoMessage));
}

#[tokio::test]
async fn a_delivery_is_found_among_more_than_are_remembered_and_one_that_is_not_is_absent() {
    let rooms = open(Arc::new(MemoryJournal::new()), &["direct-maria"], Arc::new(NoSnapshots)).await;
    for sequence in 1..=300 {
        assert_eq!(rooms.deliver(&delivery(sequence)).await, Sent::Delivered { reference: sequence.to_string() });
    }
    for sequence in [1, 40, 44, 45, 300] {
        assert_eq!(rooms.find(&delivery(sequence)).await, Found::There { reference: sequence.to_string() });
    }
    assert_eq!(rooms.find(&delivery(301)).await, Found::Absent);
}

/// A folder in which nothing can be written before it is let go.
struct Stuck(Mutex<Receiver<()>>);

impl SnapshotStore for Stuck {
    fn read(&self, _: &StreamName) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn write(&self, _: &StreamName, _: &[u8]) -> io::Result<()> {
        let _ = self.0.lock().unwrap().recv();
        Err(io::Error::other("no disk"))
    }

    fn streams(&self, _: &str) -> io::Result<Vec<StreamName>> {
        Ok(Vec::new())
    }

    fn keep_only(&self, _: &str, _: &BTreeSet<StreamName>) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &StreamName) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_for_a_disk_that_hangs() {
    const ROOMS: usize = 80;
    let (let_go, waits) = channel();
    let ids: Vec<String> = (0..ROOMS).map(|number| format!("room-{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let rooms = Arc::new(open(Arc::new(MemoryJournal::new()), &ids, Arc::new(Stuck(Mutex::new(waits)))).await);
    for id in ids {
        for _ in 0..64 {
            rooms.say(id, &PersonId::new("maria"), "x", None).await.unwrap();
        }
    }
    let begun = Instant::now();
    let closing = tokio::spawn(async move { rooms.close().await });
    // Time does not pass by itself while the disk hangs.
    for _ in 0..60 {
        tokio::time::advance(Duration::from_millis(500)).await;
        tokio::task::yield_now().await;
    }
    assert!(closing.is_finished(), "it waited for {} s", begun.elapsed().as_secs());
    drop(let_go);
}

#[tokio::test]
async fn at_the_end_a_room_is_written_down_if_that_spares_something_and_those_that_are_no_more_are_forgotten() {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(SnapshotFolder::open(dir.path()).unwrap());
    store.write(&StreamName::new("rollout/1"), b"not a room's").unwrap();
    let journal = Arc::new(MemoryJournal::new());
    let there = || {
        let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<BTreeSet<String>>()
    };
    let rooms = open(journal.clone(), &["busy", "calm"], store.clone()).await;
    for (room, messages) in [("busy", 64), ("calm", 63)] {
        for _ in 0..messages {
            rooms.say(room, &PersonId::new("maria"), "x", None).await.unwrap();
        }
    }
    rooms.close().await;
    assert_eq!(there(), ["rollout+1.snapshot", "room+busy.snapshot"].map(str::to_owned).into());
    let rooms = open(journal.clone(), &["busy", "calm"], store.clone()).await;
    assert_eq!((rooms.count("busy").await, rooms.count("calm").await), (Ok(64), Ok(63)));
    rooms.close().await;
    let _rooms = open(journal, &["calm"], store).await;
    assert_eq!(there(), ["rollout+1.snapshot"].map(str::to_owned).into());
}

#[tokio::test]
async fn rooms_do_not_open_over_a_journal_that_lost_what_was_said_in_them() {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(SnapshotFolder::open(dir.path()).unwrap());
    let journal = Arc::new(MemoryJournal::new());
    let rooms = open(journal.clone(), &["busy"], store.clone()).await;
    for _ in 0..64 {
        rooms.say("busy", &PersonId::new("maria"), "x", None).await.unwrap();
    }
    rooms.close().await;
    // Also where the room is not configured any more, whose snapshot would only be removed.
    for rooms in [&["busy"][..], &["calm"]] {
        let infos = rooms.iter().map(|id| info(id)).collect();
        let opened = LocalRooms::open_with(infos, Arc::new(MemoryJournal::new()), clock(), store.clone()).await;
        let lost = Lost { stream: StreamName::new("room/busy"), sequence: 64, is_other: false };
        assert_eq!(opened.err(), Some(RoomError::Lost(lost)), "{rooms:?}");
        assert!(dir.path().join("room+busy.snapshot").exists());
    }
}
