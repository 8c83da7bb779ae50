//! Power cuts: what was not synced may be there, in part, or not at all.
//!
//! The journal works on a real folder, with a disk that remembers what the store's file held at each sync. A cut after a sync
//! leaves that, and of what was written until the next one whatever chance will: all of it, none, a beginning, an end, some
//! pages of 4 KiB, some sectors of 512 bytes. The other files of the folder are replaced as wholes, and synced by whoever
//! writes them: after a cut each is as it was at the sync or at the next one, whatever the others are.
//!
//! What has to hold: the journal opens, everything that was acknowledged by then is in it, what else is in it was on its way,
//! it verifies, and it goes on. `TMINUS_CUTS` says how many cuts are made, `TMINUS_SEED` repeats the choices of an earlier run.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use tempfile::TempDir;
use tminus::engine::journal::sled::{Disk, MachineDisk, OpenError, SledJournal, SledOptions, verify};
use tminus::engine::journal::{Append, Journal, NewRecord, Record, StreamName};
use tokio::task::JoinSet;

use super::support::{add, append_to, bytes, content, copy_folder, open, runtime, stream};

/// How many cuts are made, unless `TMINUS_CUTS` says otherwise: more of them take longer and have found nothing else.
const CUTS: usize = 60;
/// How many times a journal goes on after a cut, and is cut again.
const GENERATIONS: usize = 9;
const SECTOR_BYTES: usize = 512;
const PAGE_BYTES: usize = 4096;

fn number<T: std::str::FromStr>(name: &str, otherwise: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => otherwise,
    }
}

/// What a folder holds: the store's file, and the others.
#[derive(Clone, Debug, Default)]
struct Image {
    /// Up to the last byte that is not zero.
    db: Vec<u8>,
    /// How long it is with the zeros.
    db_bytes: usize,
    others: BTreeMap<String, Vec<u8>>,
}

impl Image {
    fn of(dir: &Path) -> Self {
        let mut others = BTreeMap::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            // A new side file that has not got its name yet is nothing to anybody.
            if path.is_file() && name != "db" && name != "head.new" {
                match fs::read(&path) {
                    Ok(content) => drop(others.insert(name, content)),
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound, "{name}: {error}"),
                }
            }
        }
        let mut db = fs::read(dir.join("db")).unwrap();
        let db_bytes = db.len();
        db.truncate(db.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
        db.shrink_to_fit();
        Self { db, db_bytes, others }
    }

    fn write_to(&self, dir: &Path) {
        fs::create_dir_all(dir.join("blobs")).unwrap();
        let mut db = File::create(dir.join("db")).unwrap();
        db.write_all(&self.db).unwrap();
        db.set_len(self.db_bytes as u64).unwrap();
        for (name, content) in &self.others {
            fs::write(dir.join(name), content).unwrap();
        }
    }
}

/// A disk that remembers what it was asked to keep.
#[derive(Debug)]
struct Remembering {
    dir: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// What a cut leaves for certain after so many syncs: the first one is what was there before.
    synced: Vec<Arc<Image>>,
}

impl Remembering {
    fn before(image: Image, dir: &Path) -> Arc<Self> {
        Arc::new(Self { dir: dir.to_owned(), seen: Mutex::new(Seen { synced: vec![Arc::new(image)] }) })
    }

    /// How many syncs have answered.
    fn syncs(&self) -> usize {
        self.seen.lock().unwrap().synced.len() - 1
    }

    fn images(&self) -> Vec<Arc<Image>> {
        self.seen.lock().unwrap().synced.clone()
    }
}

impl Disk for Remembering {
    fn sync(&self, db: &File) -> io::Result<()> {
        // What the file holds now is what this sync makes durable: the one writer waits for it.
        let image = Image::of(&self.dir);
        MachineDisk.sync(db)?;
        self.seen.lock().unwrap().synced.push(Arc::new(image));
        Ok(())
    }
}

fn open_on(dir: &Path, disk: Arc<dyn Disk>) -> Result<SledJournal, OpenError> {
    // Checkpoints come often, so that cuts fall into them too.
    SledJournal::open(dir, &SledOptions { disk, checkpoint_commits: 7, ..SledOptions::default() })
}

/// What is left of what was written between two syncs.
#[derive(Clone, Copy, Debug)]
enum Left {
    Nothing,
    All,
    Beginning,
    End,
    Pages,
    Sectors,
}

const LEFT: [Left; 6] = [Left::Nothing, Left::All, Left::Beginning, Left::End, Left::Pages, Left::Sectors];

/// The folder after a cut between two syncs.
fn cut(before: &Image, after: &Image, left: Left, rng: &mut Rng) -> Image {
    let unit = if matches!(left, Left::Sectors) { SECTOR_BYTES } else { PAGE_BYTES };
    let units = before.db.len().max(after.db.len()).div_ceil(unit);
    let with_zeros = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.resize(units * unit, 0);
        bytes
    };
    let (mut db, after_db) = (with_zeros(&before.db), with_zeros(&after.db));
    let place_of = |number: usize| number * unit..(number + 1) * unit;
    let changed: Vec<usize> = (0..units).filter(|number| db[place_of(*number)] != after_db[place_of(*number)]).collect();
    let place = rng.usize(0..=changed.len());
    for (order, number) in changed.into_iter().enumerate() {
        let is_kept = match left {
            Left::Nothing => false,
            Left::All => true,
            Left::Beginning => order < place,
            Left::End => order >= place,
            Left::Pages | Left::Sectors => rng.bool(),
        };
        if is_kept {
            db[place_of(number)].copy_from_slice(&after_db[place_of(number)]);
        }
    }
    // The file's length is written on its own, too.
    let db_bytes = match left {
        Left::Nothing => before.db_bytes,
        _ if rng.bool() => after.db_bytes,
        _ => before.db_bytes,
    };
    db.truncate(db_bytes);
    let names = before.others.keys().chain(after.others.keys());
    let of = |image: &Image, name: &str| image.others.get(name).cloned();
    let others = names.filter_map(|name| Some((name.clone(), of(if rng.bool() { before } else { after }, name)?)));
    Image { db, db_bytes, others: others.collect() }
}

/// What was acknowledged, and how many syncs had answered by then at least.
type Acknowledged = Vec<(usize, StreamName, Record)>;

/// Many writers at once, small records and large ones, until all have been answered. Some write to two streams at once.
fn write_a_lot(journal: SledJournal, disk: &Arc<Remembering>, appends: usize, rng: &mut Rng) -> Acknowledged {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let journal = Arc::new(journal);
    let acknowledged = runtime.block_on(async {
        let mut writers = JoinSet::new();
        for writer in 0..4 {
            let (journal, disk, mut rng) = (journal.clone(), disk.clone(), rng.fork());
            writers.spawn(async move {
                let mut acknowledged = Vec::new();
                for _ in 0..appends / 4 {
                    let mut batch = Vec::new();
                    let names = [format!("rollout/{writer}"), format!("room/{writer}")];
                    for name in &names[..rng.usize(1..=2)] {
                        let expected = journal.head(&stream(name)).await.unwrap();
                        let size = if rng.u8(..) < 12 { 40_000 } else { rng.usize(1..600) };
                        let records = (0..rng.usize(1..4)).map(|number| NewRecord {
                            id: format!("{name}#{expected}.{number}"),
                            payload: bytes(size, rng.usize(..1000)),
                        });
                        batch.push(Append { stream: stream(name), expected, records: records.collect() });
                    }
                    journal.append(batch.clone(), 0).await.unwrap();
                    let syncs = disk.syncs();
                    for Append { stream, expected, records } in batch {
                        for (record, sequence) in records.into_iter().zip(expected + 1..) {
                            let record = Record { sequence, id: record.id, payload: record.payload };
                            acknowledged.push((syncs, stream.clone(), record));
                        }
                    }
                }
                acknowledged
            });
        }
        let mut all = Vec::new();
        while let Some(done) = writers.join_next().await {
            all.extend(done.unwrap());
        }
        all
    });
    journal.close();
    acknowledged
}

/// How a cut ended.
#[derive(Debug, Default)]
struct Figures {
    cuts: usize,
    /// Records that had to be there.
    acknowledged: usize,
    /// Cuts after which more was there than had been acknowledged.
    more: usize,
    refused: Vec<String>,
    lost: Vec<String>,
}

/// Opens a folder after a cut, and looks for what was acknowledged before the sync of this number answered.
fn look(image: &Image, syncs: usize, acknowledged: &Acknowledged, figures: &mut Figures) -> Option<TempDir> {
    let dir = TempDir::new().unwrap();
    image.write_to(dir.path());
    figures.cuts += 1;
    let journal = match open(dir.path()) {
        Ok(journal) => journal,
        Err(error) => {
            figures.refused.push(error.to_string());
            return None;
        }
    };
    let found: BTreeMap<StreamName, Vec<Record>> = runtime().block_on(content(&journal)).into_iter().collect();
    let total: usize = found.values().map(Vec::len).sum();
    let mut due = 0;
    for (at, stream, record) in acknowledged {
        let there = found.get(stream).and_then(|records| records.get(usize::try_from(record.sequence - 1).unwrap()));
        if *at <= syncs {
            due += 1;
            if there != Some(record) {
                figures.lost.push(format!("record {} of {stream} after sync {syncs}", record.sequence));
                return None;
            }
        } else {
            assert!(there.is_none_or(|there| there == record), "what is there was on its way");
        }
    }
    figures.acknowledged += due;
    figures.more += usize::from(total > due);
    // And it goes on.
    runtime().block_on(add(&journal, "registry", b"after the cut")).unwrap();
    journal.close();
    drop(journal);
    // All of them would take longer than everything else together.
    if figures.cuts.is_multiple_of(4) {
        assert_eq!(verify(dir.path()).unwrap().problems, Vec::<String>::new());
    }
    Some(dir)
}

#[test]
fn a_power_cut_costs_nothing_that_was_acknowledged() {
    let (seed, cuts) = (number("TMINUS_SEED", fastrand::u64(..)), number("TMINUS_CUTS", CUTS));
    println!("TMINUS_SEED={seed} TMINUS_CUTS={cuts}");
    let mut rng = Rng::with_seed(seed);
    let dir = TempDir::new().unwrap();
    // A new journal's first sync comes with the names of its files: nothing was acknowledged before.
    open(dir.path()).unwrap().close();
    let disk = Remembering::before(Image::of(dir.path()), dir.path());
    let acknowledged = write_a_lot(open_on(dir.path(), disk.clone()).unwrap(), &disk, 120, &mut rng);
    let images = disk.images();
    assert!(images.len() > 30, "{} syncs are too few to cut between", images.len());
    let mut figures = Figures::default();
    for number in 0..cuts {
        let at = rng.usize(0..images.len() - 1);
        let left = LEFT[number % LEFT.len()];
        look(&cut(&images[at], &images[at + 1], left, &mut rng), at, &acknowledged, &mut figures);
    }
    let Figures { cuts, acknowledged, more, refused, lost } = figures;
    println!(
        "{cuts} cuts between {} syncs: {acknowledged} acknowledged records looked for, {} lost; {} refused; {more} with more than that",
        images.len() - 1,
        lost.len(),
        refused.len()
    );
    assert_eq!((lost, refused), (Vec::new(), Vec::new()));
    assert!(more > 0 && acknowledged > cuts, "the cuts came at moments that say something");
}

#[test]
fn a_journal_that_is_cut_again_and_again_keeps_everything() {
    let seed = number("TMINUS_SEED", fastrand::u64(..));
    println!("TMINUS_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let dir = TempDir::new().unwrap();
    open(dir.path()).unwrap().close();
    let mut image = Image::of(dir.path());
    let mut known: Acknowledged = Vec::new();
    for generation in 0..GENERATIONS {
        let running = TempDir::new().unwrap();
        image.write_to(running.path());
        let disk = Remembering::before(image, running.path());
        let acknowledged = write_a_lot(open_on(running.path(), disk.clone()).unwrap(), &disk, 24, &mut rng);
        let images = disk.images();
        // Also right at the start, while what the last cut left is still being put in order.
        let at = if generation % 3 == 2 { rng.usize(0..3) } else { rng.usize(0..images.len() - 1) };
        let left = LEFT[rng.usize(0..LEFT.len())];
        image = cut(&images[at], &images[at + 1], left, &mut rng);
        known.retain(|(before, ..)| *before == 0);
        known.extend(acknowledged.into_iter().filter(|(syncs, ..)| *syncs <= at).map(|(_, stream, record)| (0, stream, record)));
        let mut figures = Figures::default();
        look(&image, 0, &known, &mut figures).unwrap_or_else(|| panic!("generation {generation}: {figures:?}"));
        // What was there beyond what was known is known from now on: somebody may have seen it.
        let copy = TempDir::new().unwrap();
        image.write_to(copy.path());
        let all = runtime().block_on(content(&open(copy.path()).unwrap()));
        known = all.into_iter().flat_map(|(stream, records)| records.into_iter().map(move |r| (0, stream.clone(), r))).collect();
    }
    println!("{GENERATIONS} cuts in a row, {} records kept", known.len());
    assert!(known.len() > GENERATIONS * 4);
}

/// A process is killed after it wrote and before it synced; the next one finds what was written; then the power goes.
#[test]
fn what_a_start_shows_is_durable_also_when_the_one_before_was_killed() {
    let seed = number("TMINUS_SEED", fastrand::u64(..));
    println!("TMINUS_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let dir = TempDir::new().unwrap();
    open(dir.path()).unwrap().close();
    let disk = Remembering::before(Image::of(dir.path()), dir.path());
    write_a_lot(open_on(dir.path(), disk.clone()).unwrap(), &disk, 80, &mut rng);
    let images = disk.images();
    let mut shown_unsynced = 0;
    for at in (2..images.len() - 2).step_by(3) {
        let after_kill = TempDir::new().unwrap();
        // All of it is in the system's memory; the disk has what was synced.
        images[at + 1].write_to(after_kill.path());
        let disk = Remembering::before(Image::clone(&images[at]), after_kill.path());
        let journal = open_on(after_kill.path(), disk.clone()).unwrap();
        let shown = runtime().block_on(content(&journal));
        let synced = disk.images().pop().unwrap();
        let side_file = fs::read(after_kill.path().join("head")).unwrap();
        drop(journal);
        let after_cut = TempDir::new().unwrap();
        synced.write_to(after_cut.path());
        // The side file was synced by itself.
        fs::write(after_cut.path().join("head"), side_file).unwrap();
        let journal = open(after_cut.path()).unwrap_or_else(|error| panic!("after sync {at}: {error}"));
        assert_eq!(runtime().block_on(content(&journal)), shown, "after sync {at}");
        let before = TempDir::new().unwrap();
        images[at].write_to(before.path());
        let synced_before = open(before.path()).map(|journal| runtime().block_on(content(&journal)));
        shown_unsynced += usize::from(synced_before.is_ok_and(|before| before != shown));
    }
    println!("{shown_unsynced} kills after which more was shown than had been synced");
    assert!(shown_unsynced > 3);
}

/// A disk that says yes and keeps every other sync to itself: the model has to see what that costs, or it would see nothing.
#[derive(Debug)]
struct Lying(Arc<Remembering>, Mutex<usize>);

impl Disk for Lying {
    fn sync(&self, db: &File) -> io::Result<()> {
        let count = {
            let mut count = self.1.lock().unwrap();
            *count += 1;
            *count
        };
        if count.is_multiple_of(2) {
            let last = self.0.images().pop().unwrap();
            self.0.seen.lock().unwrap().synced.push(last);
            return Ok(());
        }
        self.0.sync(db)
    }
}

#[test]
fn a_disk_that_lies_is_found_out() {
    let mut rng = Rng::with_seed(7);
    let dir = TempDir::new().unwrap();
    open(dir.path()).unwrap().close();
    let disk = Remembering::before(Image::of(dir.path()), dir.path());
    let lying = Arc::new(Lying(disk.clone(), Mutex::default()));
    let acknowledged = write_a_lot(open_on(dir.path(), lying).unwrap(), &disk, 80, &mut rng);
    let images = disk.images();
    let mut figures = Figures::default();
    for at in 2..images.len() - 1 {
        look(&cut(&images[at], &images[at + 1], Left::Nothing, &mut rng), at, &acknowledged, &mut figures);
    }
    println!("{} cuts on a lying disk: {} lost, {} refused", figures.cuts, figures.lost.len(), figures.refused.len());
    // With the side file up to date it is refused, otherwise only the model knows.
    assert!(figures.lost.len() + figures.refused.len() > 5, "{figures:?}");
    assert!(figures.refused.iter().all(|error| error.contains("has lost acknowledged commits")), "{figures:?}");
}

/// A disk whose syncs fail from some moment on.
#[derive(Debug)]
struct Failing(Mutex<usize>);

impl Disk for Failing {
    fn sync(&self, db: &File) -> io::Result<()> {
        let mut left = self.0.lock().unwrap();
        if *left == 0 {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        *left -= 1;
        MachineDisk.sync(db)
    }
}

#[tokio::test]
async fn a_sync_that_fails_is_the_last_thing_that_is_tried() {
    let dir = TempDir::new().unwrap();
    // One for opening, two for records.
    let journal = open_on(dir.path(), Arc::new(Failing(Mutex::new(3)))).unwrap();
    for payload in [b"one", b"two"] {
        add(&journal, "registry", payload).await.unwrap();
    }
    for _ in 0..2 {
        let result = journal.append(vec![append_to("registry", 2, &[b"three"])], 0).await;
        let said = result.unwrap_err().to_string();
        assert!(said.starts_with("the journal stopped accepting: "), "{said}");
    }
    assert_eq!(journal.head(&stream("registry")).await, Ok(2), "readers see only what is durable");
    let copy = TempDir::new().unwrap();
    copy_folder(dir.path(), copy.path());
    drop(journal);
    // With room again, a start goes on; whether the third was written only it can say.
    let journal = open(copy.path()).unwrap();
    let head = journal.head(&stream("registry")).await.unwrap();
    assert!((2..=3).contains(&head));
    journal.append(vec![append_to("registry", head, &[b"more"])], 0).await.unwrap();
    let error = open_on(TempDir::new().unwrap().path(), Arc::new(Failing(Mutex::new(0)))).err().unwrap();
    assert!(matches!(&error, OpenError::Full { .. }), "{error}");
    assert!(error.to_string().contains("What was acknowledged is in it; make room, and start again"), "{error}");
}
