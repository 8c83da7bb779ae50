//! A start over a long life: 1,000 open and 10,000 finished rollouts of some 200 events each, in ten rooms that T-minus keeps
//! itself, with all that was said and shown there.
//!
//! The journal is made once, below `target/`, and used again; the snapshots are those that the program itself writes at a clean
//! end. What is measured is the real program: from its start to the line that says that it can be used, and what it holds in
//! memory then and once it has come to rest. The floor is the same program over an empty folder.
//!
//! The files are warm: they were read before, as after a restart of the process and not of the machine.
//!
//! `cargo bench --bench start`

mod support;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use tminus::cli::serve::SNAPSHOTS_DIR;
use tokio::runtime::Builder;

use support::Outcome;
use support::figures::{Figures, Goals, print_table};
use support::fixture::{Fixture, remove};
use support::fleet;
use support::machine;
use support::process::Process;

const OPEN: u32 = 1_000;
const FINISHED: u32 = 10_000;
const ROUNDS: usize = 3;
/// What a start may take and hold.
const GOAL_READY_SECONDS: f64 = 1.0;
const GOAL_MEGABYTES: f64 = 150.0;

fn main() -> Outcome<ExitCode> {
    let folder = machine::folder()?;
    machine::print_facts(&folder);
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let fixture = runtime.block_on(Fixture::of(&folder, "start", &fleet::house(), &fleet::pieces(OPEN, FINISHED)))?;
    drop(runtime);
    let (data, snapshots) = (fixture.data(), fixture.data().join(SNAPSHOTS_DIR));
    let empty = folder.join("start-empty");
    println!("{OPEN} open and {FINISHED} finished rollouts; {ROUNDS} rounds; journal of {:.0} MB\n", size(&data)? / 1e6);
    let (mut with, mut without, mut floor) = (Start::default(), Start::default(), Start::default());
    for round in 0..ROUNDS {
        remove(&snapshots)?;
        without.measure(&data, &fixture.config())?;
        // The first of these leaves what the others find.
        with.measure(&data, &fixture.config())?;
        remove(&empty)?;
        floor.measure(&empty, &fixture.config())?;
        if round == 0 {
            println!("snapshots: {:.1} MB in {} files\n", size(&snapshots)? / 1e6, fs::read_dir(&snapshots)?.count());
        }
    }
    remove(&empty)?;
    let row = |name: &str, start: &Start| {
        vec![
            name.to_owned(),
            start.ready.say(2),
            start.cpu.say(2),
            start.ready_megabytes.say(0),
            start.rest_megabytes.say(0),
            start.peak.say(0),
            start.end.say(2),
        ]
    };
    print_table(
        &["", "ready s", "CPU s until rest", "RSS MB when ready", "RSS MB at rest", "RSS MB at most", "end s"],
        &[row("with snapshots", &with), row("without snapshots", &without), row("floor: empty folder", &floor)],
    );
    let mut goals = Goals::default();
    goals.at_most("seconds to ready, with snapshots", GOAL_READY_SECONDS, with.ready.median());
    goals.at_most("MB when ready, with snapshots", GOAL_MEGABYTES, with.ready_megabytes.median());
    goals.at_most("MB at rest after a start, with snapshots", GOAL_MEGABYTES, with.rest_megabytes.median());
    Ok(goals.end())
}

/// Several starts of one kind.
#[derive(Default)]
struct Start {
    ready: Figures,
    cpu: Figures,
    ready_megabytes: Figures,
    rest_megabytes: Figures,
    peak: Figures,
    end: Figures,
}

impl Start {
    fn measure(&mut self, data: &Path, config: &Path) -> Outcome<()> {
        let process = Process::tminus(data, Some(config))?;
        self.ready_megabytes.add(process.memory()?.resident);
        self.ready.add(process.ready.as_secs_f64());
        process.until_quiet()?;
        let memory = process.memory()?;
        self.cpu.add(process.cpu_seconds()?);
        self.rest_megabytes.add(memory.resident);
        self.peak.add(memory.peak);
        self.end.add(process.stop()?.as_secs_f64());
        Ok(())
    }
}

/// How many bytes the files of a folder have.
#[allow(clippy::cast_precision_loss, reason = "file sizes are far below 2^52")]
fn size(dir: &Path) -> Outcome<f64> {
    let mut bytes = 0.0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() { size(&entry.path())? } else { about.len() as f64 };
    }
    Ok(bytes)
}
