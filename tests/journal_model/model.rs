//! Random programs, run against a journal and a plain model of one, in memory and on the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::Config;
use tempfile::TempDir;
use tminus::engine::journal::memory::MemoryJournal;
use tminus::engine::journal::sled::{SledJournal, verify};
use tminus::engine::journal::{Append, AppendError, Journal, NewRecord, Record, chain};

use super::support::{ALL, add, bytes, content, copy_folder, open_with, runtime, stream};

const STREAMS: [&str; 4] = ["registry", "rollout/1", "rollout/12", "room/andromeda-rollouts"];
const PREFIXES: [&str; 4] = ["", "ro", "rollout/1", "nothing/"];
const STEPS_MAX: usize = 30;
const MEMORY_PROGRAMS: u32 = 256;
/// Each opens a store several times and syncs at every append.
const SLED_PROGRAMS: u32 = 48;

#[derive(Clone, Debug)]
enum Step {
    /// To each stream by index: how far the expectation is off, and the sizes of the payloads.
    Append(BTreeMap<usize, (i8, Vec<usize>)>),
    Read {
        stream: usize,
        from: u64,
        limit: usize,
    },
    Heads,
    Streams(usize),
    Reopen,
    Crash,
}

fn any_step() -> impl Strategy<Value = Step> {
    let offset = prop_oneof![8 => Just(0_i8), 1 => -2..=2_i8];
    let payload_bytes = prop_oneof![8 => 0..600_usize, 1 => 30_000..100_000_usize];
    let part = (offset, prop::collection::vec(payload_bytes, 1..5));
    let parts = prop::collection::btree_map(0..STREAMS.len(), part, 1..=3);
    prop_oneof![
        12 => parts.prop_map(Step::Append),
        6 => (0..STREAMS.len(), 0..12_u64, 0..12_usize)
            .prop_map(|(stream, from, limit)| Step::Read { stream, from, limit }),
        2 => Just(Step::Heads),
        2 => (0..PREFIXES.len()).prop_map(Step::Streams),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

fn any_program() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(any_step(), 1..STEPS_MAX)
}

#[test]
fn memory_agrees_with_the_model() {
    check_programs(MEMORY_PROGRAMS, |program| {
        run(program, MemorySubject(Arc::new(MemoryJournal::new())));
    });
}

#[test]
fn sled_agrees_with_the_model() {
    check_programs(SLED_PROGRAMS, |program| {
        // With a checkpoint in every commit, in some, and only when closing.
        let checkpoint_commits = [1, 2, 5, 1024][program.len() % 4];
        run(program, SledSubject::new(checkpoint_commits));
    });
}

fn check_programs(count: u32, check: impl Fn(&[Step])) {
    let config = Config { cases: count, failure_persistence: None, ..Config::default() };
    proptest!(config, |(program in any_program())| check(&program));
}

/// A journal that can be stopped and started.
trait Subject {
    fn journal(&self) -> &dyn Journal;
    /// Stops it as an operator would, and starts it again.
    fn reopen(self) -> Self;
    /// Stops it as `kill -9` would, and starts it again.
    fn crash(self) -> Self;
    /// Stops it for good; it must hold the model's records.
    fn finish(self, model: &Model);
}

struct MemorySubject(Arc<MemoryJournal>);

impl Subject for MemorySubject {
    fn journal(&self) -> &dyn Journal {
        &*self.0
    }

    fn reopen(self) -> Self {
        self.0.restart();
        self
    }

    fn crash(self) -> Self {
        self.reopen()
    }

    fn finish(self, _: &Model) {}
}

struct SledSubject {
    journal: SledJournal,
    dir: TempDir,
    checkpoint_commits: u64,
}

impl SledSubject {
    fn new(checkpoint_commits: u64) -> Self {
        Self::start(TempDir::new().unwrap(), checkpoint_commits)
    }

    fn start(dir: TempDir, checkpoint_commits: u64) -> Self {
        Self { journal: open_with(dir.path(), checkpoint_commits).unwrap(), dir, checkpoint_commits }
    }
}

impl Subject for SledSubject {
    fn journal(&self) -> &dyn Journal {
        &self.journal
    }

    fn reopen(self) -> Self {
        drop(self.journal);
        Self::start(self.dir, self.checkpoint_commits)
    }

    fn crash(self) -> Self {
        let dir = TempDir::new().unwrap();
        copy_folder(self.dir.path(), dir.path());
        Self::start(dir, self.checkpoint_commits)
    }

    fn finish(self, model: &Model) {
        drop(self.journal);
        let report = verify(self.dir.path()).unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
        assert_eq!(report.side_file, Some(report.store_head));
        assert_eq!(report.store_head.number, model.commits);
        let counts: Vec<_> = report.streams.iter().map(|found| (found.stream.as_str(), found.records)).collect();
        let expected: Vec<_> = model.streams.iter().map(|(name, records)| (*name, records.len() as u64)).collect();
        assert_eq!(counts, expected);
    }
}

#[derive(Default)]
struct Model {
    streams: BTreeMap<&'static str, Vec<Record>>,
    commits: u64,
}

impl Model {
    fn records(&self, index: usize) -> &[Record] {
        self.streams.get(STREAMS[index]).map_or(&[], Vec::as_slice)
    }

    /// What the journal must answer, and writes what it must write.
    fn append(&mut self, appends: &[Append]) -> Result<(), AppendError> {
        for append in appends {
            let actual = self.streams.get(append.stream.as_str()).map_or(0, Vec::len) as u64;
            if actual != append.expected {
                let stream = append.stream.clone();
                return Err(AppendError::Conflict { stream, actual });
            }
        }
        for append in appends {
            let name = STREAMS.iter().find(|name| **name == append.stream.as_str()).unwrap();
            let records = self.streams.entry(name).or_default();
            for new in &append.records {
                records.push(Record { sequence: records.len() as u64 + 1, id: new.id.clone(), payload: new.payload.clone() });
            }
        }
        self.commits += 1;
        Ok(())
    }
}

fn run<S: Subject>(program: &[Step], mut subject: S) {
    let runtime = runtime();
    let mut model = Model::default();
    for (number, step) in program.iter().enumerate() {
        match step {
            Step::Reopen => subject = subject.reopen(),
            Step::Crash => subject = subject.crash(),
            Step::Append(parts) => {
                runtime.block_on(append(&mut model, subject.journal(), number, parts));
            }
            Step::Read { stream: index, from, limit } => {
                let name = stream(STREAMS[*index]);
                let found = runtime.block_on(subject.journal().read(&name, *from, *limit)).unwrap();
                let skipped = usize::try_from(from.saturating_sub(1)).unwrap();
                let expected: Vec<_> = model.records(*index).iter().skip(skipped).take(*limit).cloned().collect();
                assert_eq!(found, expected);
            }
            Step::Heads => {
                for (index, name) in STREAMS.iter().enumerate() {
                    let head = runtime.block_on(subject.journal().head(&stream(name))).unwrap();
                    assert_eq!(head, model.records(index).len() as u64);
                    // The hash of every record, and none before the first and after the last.
                    let mut hash = chain::beginning(&stream(name));
                    for sequence in [0, head + 1] {
                        let found = runtime.block_on(subject.journal().chain(&stream(name), sequence)).unwrap();
                        assert_eq!(found, None);
                    }
                    for record in model.records(index) {
                        hash = chain::after(hash, record.sequence, &record.id, &record.payload);
                        let found = runtime.block_on(subject.journal().chain(&stream(name), record.sequence)).unwrap();
                        assert_eq!(found, Some(hash));
                    }
                }
            }
            Step::Streams(index) => {
                let prefix = PREFIXES[*index];
                let found = runtime.block_on(subject.journal().streams(prefix)).unwrap();
                let expected: Vec<_> =
                    model.streams.keys().filter(|name| name.starts_with(prefix)).map(|name| stream(name)).collect();
                assert_eq!(found, expected);
            }
        }
    }
    for (index, name) in STREAMS.iter().enumerate() {
        let found = runtime.block_on(subject.journal().read(&stream(name), 1, ALL)).unwrap();
        assert_eq!(found, model.records(index));
    }
    subject.finish(&model);
}

async fn append(model: &mut Model, journal: &dyn Journal, number: usize, parts: &BTreeMap<usize, (i8, Vec<usize>)>) {
    let appends: Vec<Append> = parts
        .iter()
        .map(|(index, (offset, sizes))| {
            let head = model.records(*index).len() as u64;
            let record = |(position, size): (usize, &usize)| NewRecord {
                id: format!("step {number}, {position}"),
                payload: bytes(*size, number),
            };
            Append {
                stream: stream(STREAMS[*index]),
                expected: head.saturating_add_signed((*offset).into()),
                records: sizes.iter().enumerate().map(record).collect(),
            }
        })
        .collect();
    let mut follow = journal.follow();
    let before = *follow.borrow_and_update();
    let expected = model.append(&appends);
    assert_eq!(journal.append(appends, 0).await, expected);
    assert_eq!(*follow.borrow(), before + u64::from(expected.is_ok()));
}

/// The index is written only now and then, and worked out from the commits in between.
#[test]
fn a_store_can_be_opened_at_every_number_of_commits() {
    const COMMITS: u64 = 70;
    for checkpoint_commits in [1, 8, 1024] {
        let mut subject = SledSubject::new(checkpoint_commits);
        let runtime = runtime();
        for number in 0..COMMITS {
            let name = STREAMS[(number % 3) as usize];
            runtime.block_on(add(subject.journal(), name, &number.to_be_bytes())).unwrap();
            let before = runtime.block_on(content(subject.journal()));
            subject = if number % 2 == 0 { subject.reopen() } else { subject.crash() };
            assert_eq!(*subject.journal.follow().borrow(), number + 1);
            assert_eq!(runtime.block_on(content(subject.journal())), before);
        }
    }
}
