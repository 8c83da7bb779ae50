//! 10,000 timers over a minute: 1,000 rollouts, each with ten phases that open by themselves at their times. How late each is: from
//! the moment that was meant to the moment at which its event is durable, with what comes of it (a step is worked out, the
//! phase settles, the card is shown anew) going on beside it.
//!
//! The whole engine as the program wires it, with its rooms and its page, over a journal on the disk; only the journal is
//! looked at from outside, by one that notes when each append was answered. The floor, in the same run and before it: as many
//! sleeps of the runtime for the same moments, which do nothing.
//!
//! `cargo bench --bench timers`

mod support;

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tminus::cli::serve::{self, ACCESS_DIR, JOURNAL_DIR, Manner, SNAPSHOTS_DIR, Setup};
use tminus::domain::rollout::event::{Event, Recorded};
use tminus::engine::clock::SystemClock;
use tminus::engine::journal::chain::ChainHash;
use tminus::engine::journal::sled::{SledJournal, SledOptions};
use tminus::engine::journal::{Append, AppendError, Cut, Journal, ReadError, Record, StreamName};
use tminus::engine::scratch::MemoryScratch;
use tminus::engine::snapshots::SnapshotFolder;
use tminus::gateway::action::pretend::Ledger;
use tminus::gateway::web::access::grants::Grants;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;

use support::Outcome;
use support::figures::{Figures, Goals, print_table};
use support::fixture::remove;
use support::house::{House, phases_in_time, room};
use support::machine;
use support::play::{Piece, Theatre, began};

const ROLLOUTS: u32 = 1_000;
const PHASES: u32 = 10;
/// How far apart the phases of a rollout are: what is due is spread over ten times as long.
const APART_SECONDS: u32 = 6;
/// How long after the rollouts began the first timer is due: the cards are posted until then.
const LEAD: TimeDelta = TimeDelta::seconds(60);
/// How long is waited for what is late.
const GRACE: Duration = Duration::from_secs(15);
const GOAL_MS: f64 = 100.0;

fn main() -> Outcome<ExitCode> {
    let folder = machine::folder()?;
    machine::print_facts(&folder);
    println!("{ROLLOUTS} rollouts with {PHASES} phases each, due over {} s\n", APART_SECONDS * PHASES);
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let floor = runtime.block_on(sleeps())?;
    let dir = folder.join("timers-run");
    remove(&dir)?;
    let late = runtime.block_on(timers(&dir))?;
    remove(&dir)?;
    let row = |name: &str, late: &Figures| {
        let cells = [0.0, 0.5, 0.9, 0.99, 0.999, 1.0].map(|part| format!("{:.1}", late.at(part)));
        [name.to_owned()].into_iter().chain(cells).collect::<Vec<_>>()
    };
    print_table(
        &["late, ms", "least", "half", "90 %", "99 %", "99.9 %", "most"],
        &[row("T-minus, durable", &late), row("floor: sleeps", &floor)],
    );
    let mut goals = Goals::default();
    goals.at_most("ms that the latest of all is late", GOAL_MS, late.at(1.0));
    Ok(goals.end())
}

/// When a phase of a rollout is due, with T-0 of the first rollout.
fn due(first: DateTime<Utc>, rollout: u32, phase: u32) -> DateTime<Utc> {
    t0(first, rollout) + TimeDelta::seconds((phase * APART_SECONDS).into())
}

/// T-0 of a rollout: evenly between one phase and the next.
fn t0(first: DateTime<Utc>, rollout: u32) -> DateTime<Utc> {
    first + TimeDelta::milliseconds(i64::from(rollout) * i64::from(APART_SECONDS) * 1000 / i64::from(ROLLOUTS))
}

fn now() -> DateTime<Utc> {
    std::time::SystemTime::now().into()
}

fn late_ms(due: DateTime<Utc>) -> f64 {
    (now() - due).as_seconds_f64() * 1e3
}

/// As many sleeps for the same moments.
async fn sleeps() -> Outcome<Figures> {
    let first = now() + TimeDelta::seconds(2);
    let mut sleeping = JoinSet::new();
    for rollout in 0..ROLLOUTS {
        for phase in 0..PHASES {
            let due = due(first, rollout, phase);
            sleeping.spawn(async move {
                tokio::time::sleep((due - now()).to_std().unwrap_or_default()).await;
                late_ms(due)
            });
        }
    }
    let mut late = Figures::default();
    while let Some(slept) = sleeping.join_next().await {
        late.add(slept?);
    }
    Ok(late)
}

async fn timers(dir: &Path) -> Outcome<Figures> {
    let house = House::new(8, 1, vec![phases_in_time("clockwork", &room(0), PHASES, APART_SECONDS)]);
    let first = now() + LEAD;
    let theatre = Theatre::open(house.settings()?, dir).await?;
    for rollout in 0..ROLLOUTS {
        let piece =
            Piece { number: rollout + 1, runbook: "clockwork".to_owned(), at: began(), window: t0(first, rollout), until: 0 };
        theatre.begin(&piece).await?;
    }
    theatre.close();
    drop(theatre);
    let journal = Arc::new(SledJournal::open(&dir.join(JOURNAL_DIR), &SledOptions::default())?);
    let noting = Arc::new(Noting { journal, first, late: Mutex::default() });
    let setup = Setup {
        settings: house.settings()?,
        manner: Manner::Demo,
        grants: Grants::open(&dir.join(ACCESS_DIR))?,
        data: dir.to_owned(),
        journal: noting.clone(),
        clock: Arc::new(SystemClock),
        scratch: Arc::new(MemoryScratch::new()),
        ledger: Ledger::in_memory(),
        propose_window: None,
        public_url: None,
        snapshots: Arc::new(SnapshotFolder::open(&dir.join(SNAPSHOTS_DIR))?),
        metrics: None,
    };
    if now() > first {
        return Err(format!("the rollouts took longer than {} s to begin", LEAD.num_seconds()).into());
    }
    let running = serve::start(setup, TcpListener::bind(("127.0.0.1", 0)).await?).await?;
    if now() > first {
        return Err("the first timer was due before everything was ready".into());
    }
    let last = due(first, ROLLOUTS, PHASES - 1);
    tokio::time::sleep((last - now()).to_std().unwrap_or_default() + GRACE).await;
    let late = noting.late.lock().unwrap_or_else(PoisonError::into_inner).clone();
    running.stop().await;
    noting.journal.close();
    let expected = ROLLOUTS as usize * PHASES as usize;
    if late.count() != expected {
        return Err(format!("{} timers went off, of {expected}", late.count()).into());
    }
    Ok(late)
}

/// A journal that notes how late a phase's opening is durable.
struct Noting {
    journal: Arc<SledJournal>,
    first: DateTime<Utc>,
    late: Mutex<Figures>,
}

#[async_trait]
impl Journal for Noting {
    async fn append(&self, appends: Vec<Append>, epoch: u64) -> Result<(), AppendError> {
        let mut dues = Vec::new();
        for append in &appends {
            let Some(rollout) = append.stream.as_str().strip_prefix("rollout/").and_then(|number| number.parse::<u32>().ok())
            else {
                continue;
            };
            for record in &append.records {
                if let Ok(Recorded { event: Event::PhaseOpened { phase, .. }, .. }) = Recorded::decode(&record.payload) {
                    dues.push(due(self.first, rollout - 1, u32::try_from(phase).unwrap_or_default()));
                }
            }
        }
        self.journal.append(appends, epoch).await?;
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        for due in dues {
            late.add(late_ms(due));
        }
        Ok(())
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

    async fn cut(&self) -> Result<Cut, ReadError> {
        self.journal.cut().await
    }

    async fn streams(&self, prefix: &str) -> Result<Vec<StreamName>, ReadError> {
        self.journal.streams(prefix).await
    }

    fn follow(&self) -> watch::Receiver<u64> {
        self.journal.follow()
    }
}
