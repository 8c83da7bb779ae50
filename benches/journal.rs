//! The journal alone, against the floor that the disk sets, measured in the same run.
//!
//! - One writer: append, wait, append. Floor: the same bytes appended to one file, with `fdatasync` each time.
//! - 256 writers that wait: each appends, waits, appends. Floor: as many threads' worth of requests through a queue
//!   to one thread that takes up to 512 of them, writes them at once, and syncs once.
//!
//! Journal and floor take turns (A B A B ...), because disks have moods; what counts is the ratio of neighbours.
//! The medians of the ratios are held to their goals: below one, this ends with a failure that says so.
//!
//! `cargo bench --bench journal`, with `TMINUS_BENCH_DIR` naming a folder on the disk that is meant (else the
//! system's folder for temporary files).

mod support;

use std::env;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tminus::engine::journal::sled::{SledJournal, SledOptions};
use tminus::engine::journal::{Append, Journal, NewRecord, StreamName};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use support::machine::file_system;

/// A typical event: a step completed, with who, when and why.
const PAYLOAD_BYTES: usize = 400;
/// Journal and floor, this often each; an odd number, so that the median is one of them.
const ROUNDS: usize = 7;
/// Two kinds, two sides each: bounds the whole run to half a minute.
const ROUND_MS: u64 = 1000;
const WRITERS: usize = 256;
/// As many as the journal takes into one commit.
const FLOOR_BATCH_MAX: usize = 512;
/// What the journal should reach of the floor.
const GOAL_ONE_WRITER: f64 = 0.45;
const GOAL_MANY_WRITERS: f64 = 0.25;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let parent = env::var_os("TMINUS_BENCH_DIR").map_or_else(env::temp_dir, PathBuf::from);
    let dir = TempDir::new_in(&parent)?;
    let cores = thread::available_parallelism()?;
    println!("{cores} cores, {} on {}", dir.path().display(), file_system(dir.path()));
    println!("{PAYLOAD_BYTES}-byte payloads, {ROUNDS} rounds of {ROUND_MS} ms each side, appends per second\n");

    let runtime = Builder::new_multi_thread().worker_threads(cores.get()).build()?;
    let journal = Arc::new(SledJournal::open(&dir.path().join("journal"), &SledOptions::default())?);
    let mut rounds = 0;
    let mut next_round = || {
        rounds += 1;
        rounds
    };
    let one =
        compare("one writer", GOAL_ONE_WRITER, || one_writer(&runtime, &journal, next_round()), || one_writer_floor(dir.path()))?;
    let many = compare(
        "256 waiting writers",
        GOAL_MANY_WRITERS,
        || many_writers(&runtime, &journal, next_round()),
        || many_writers_floor(&runtime, dir.path()),
    )?;
    if one && many { Ok(()) } else { Err("a ratio is below its goal; see above. Is the disk shared with other work?".into()) }
}

/// Prints the medians of both sides and of the ratios of neighbours, and says whether the goal is reached.
fn compare(
    name: &str,
    goal: f64,
    mut journal: impl FnMut() -> Outcome<f64>,
    mut floor: impl FnMut() -> Outcome<f64>,
) -> Outcome<bool> {
    let mut journal_rates = Vec::new();
    let mut floor_rates = Vec::new();
    for _ in 0..ROUNDS {
        journal_rates.push(journal()?);
        floor_rates.push(floor()?);
    }
    let mut ratios: Vec<f64> = journal_rates.iter().zip(&floor_rates).map(|(journal, floor)| journal / floor).collect();
    let ratio = median(&mut ratios);
    println!(
        "{name}: journal {:.0}, floor {:.0}, ratio {ratio:.2} ({:.2} to {:.2}), goal {goal}: {}",
        median(&mut journal_rates),
        median(&mut floor_rates),
        ratios[0],
        ratios[ROUNDS - 1],
        if ratio >= goal { "reached" } else { "missed" },
    );
    Ok(ratio >= goal)
}

fn one_writer(runtime: &Runtime, journal: &Arc<SledJournal>, round: usize) -> Outcome<f64> {
    let journal = Arc::clone(journal);
    // On a worker, as in the program: the main thread's hand-over would be measured otherwise.
    let writing = runtime.spawn(async move {
        let stream = StreamName::new(format!("one/{round}"));
        let started = Instant::now();
        let count = append_until(&*journal, stream, started + round_time()).await?;
        Outcome::Ok(rate(count, started))
    });
    runtime.block_on(writing)?
}

fn many_writers(runtime: &Runtime, journal: &Arc<SledJournal>, round: usize) -> Outcome<f64> {
    let started = Instant::now();
    let deadline = started + round_time();
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let journal = Arc::clone(journal);
        let stream = StreamName::new(format!("many/{round}/{number}"));
        writers.spawn_on(async move { append_until(&*journal, stream, deadline).await }, runtime.handle());
    }
    runtime.block_on(sum(writers, started))
}

/// The clock is looked at after each append only, as on the floor's side.
async fn append_until(journal: &dyn Journal, stream: StreamName, deadline: Instant) -> Outcome<u64> {
    let mut expected = 0;
    while Instant::now() < deadline {
        let record = NewRecord { id: format!("command-{expected}"), payload: payload(expected) };
        let append = Append { stream: stream.clone(), expected, records: vec![record] };
        journal.append(vec![append], 0).await?;
        expected += 1;
    }
    Ok(expected)
}

fn one_writer_floor(dir: &Path) -> Outcome<f64> {
    let mut file = File::create(dir.join("floor"))?;
    let started = Instant::now();
    let deadline = started + round_time();
    let mut count = 0;
    while Instant::now() < deadline {
        file.write_all(&payload(count))?;
        file.sync_data()?;
        count += 1;
    }
    Ok(rate(count, started))
}

struct FloorRequest {
    payload: Vec<u8>,
    answer: oneshot::Sender<()>,
}

fn many_writers_floor(runtime: &Runtime, dir: &Path) -> Outcome<f64> {
    let file = File::create(dir.join("floor"))?;
    let (requests, queue) = mpsc::channel(2 * FLOOR_BATCH_MAX);
    let writer = thread::spawn(move || write_batches(file, queue));
    let started = Instant::now();
    let deadline = started + round_time();
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let requests = requests.clone();
        writers.spawn_on(
            async move {
                let mut count = 0;
                while Instant::now() < deadline {
                    let (answer, answered) = oneshot::channel();
                    let payload = payload(count);
                    requests.send(FloorRequest { payload, answer }).await?;
                    answered.await?;
                    count += 1;
                }
                Outcome::Ok(count)
            },
            runtime.handle(),
        );
    }
    drop(requests);
    let rate = runtime.block_on(sum(writers, started))?;
    writer.join().map_err(|_| "the floor's writer panicked")??;
    Ok(rate)
}

fn write_batches(mut file: File, mut queue: mpsc::Receiver<FloorRequest>) -> Outcome<()> {
    while let Some(first) = queue.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < FLOOR_BATCH_MAX
            && let Ok(next) = queue.try_recv()
        {
            batch.push(next);
        }
        let bytes: Vec<u8> = batch.iter().flat_map(|request| &request.payload).copied().collect();
        file.write_all(&bytes)?;
        file.sync_data()?;
        for request in batch {
            // A writer that has gone has no use for the answer.
            let _ = request.answer.send(());
        }
    }
    Ok(())
}

async fn sum(mut writers: JoinSet<Outcome<u64>>, started: Instant) -> Outcome<f64> {
    let mut count = 0;
    while let Some(writer) = writers.join_next().await {
        count += writer??;
    }
    Ok(rate(count, started))
}

fn payload(number: u64) -> Vec<u8> {
    let mut payload = vec![b'x'; PAYLOAD_BYTES];
    payload[..8].copy_from_slice(&number.to_be_bytes());
    payload
}

fn round_time() -> Duration {
    Duration::from_millis(ROUND_MS)
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn rate(count: u64, started: Instant) -> f64 {
    count as f64 / started.elapsed().as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
