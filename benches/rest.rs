//! What T-minus holds and uses while nobody does anything: 1,000 open rollouts at rest, and an empty process.
//!
//! The real program, seen from outside (`/proc/PID/status` and `stat`), for a minute after it has come to rest. The rollouts have
//! some 180 events each; half of a roster is awaited, T-0 is years away, so timers are set. The floor of both is a process of the
//! same file that only waits: what the kernel counts for a program of that size before it does anything.
//!
//! `cargo bench --bench rest`

mod support;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Builder;

use support::Outcome;
use support::figures::{Goals, print_table};
use support::fixture::{Fixture, remove};
use support::fleet;
use support::machine;
use support::process::Process;

const OPEN: u32 = 1_000;
/// How long nobody does anything.
const REST: Duration = Duration::from_mins(1);
const GOAL_OPEN_MEGABYTES: f64 = 64.0;
const GOAL_EMPTY_MEGABYTES: f64 = 15.0;
/// Of one core.
const GOAL_CPU_PERCENT: f64 = 0.5;

fn main() -> Outcome<ExitCode> {
    if std::env::args().any(|argument| argument == "--floor") {
        floor()?;
    }
    let folder = machine::folder()?;
    machine::print_facts(&folder);
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let fixture = runtime.block_on(Fixture::of(&folder, "rest", &fleet::house(), &fleet::pieces(OPEN, 0)))?;
    drop(runtime);
    let empty_dir = folder.join("rest-empty");
    remove(&empty_dir)?;
    // As after a long life: what the program wrote down at its last clean end is there.
    let before = Process::tminus(&fixture.data(), Some(&fixture.config()))?;
    before.until_quiet()?;
    before.stop()?;
    println!("{OPEN} open rollouts, and an empty folder with what is built in; {} s, all at once\n", REST.as_secs());
    let open = Process::tminus(&fixture.data(), Some(&fixture.config()))?;
    let empty = Process::tminus(&empty_dir, None::<&Path>)?;
    let mut floor = Command::new(std::env::current_exe()?);
    floor.arg("--floor");
    let floor = Process::start(floor)?;
    let processes = [("1,000 open rollouts", &open), ("empty", &empty), ("floor: only waits", &floor)];
    let mut before = Vec::new();
    for (_, process) in processes {
        process.until_quiet()?;
    }
    for (_, process) in processes {
        before.push(process.cpu_seconds()?);
    }
    thread::sleep(REST);
    let mut rows = Vec::new();
    let mut seen = Vec::new();
    for ((name, process), before) in processes.into_iter().zip(before) {
        let cpu = (process.cpu_seconds()? - before) * 100.0 / REST.as_secs_f64();
        let memory = process.memory()?;
        let megabytes = |megabytes: f64| format!("{megabytes:.1}");
        let (own, files) = (megabytes(memory.own), megabytes(memory.resident - memory.own));
        rows.push(vec![name.to_owned(), megabytes(memory.resident), own, files, megabytes(memory.peak), format!("{cpu:.2}")]);
        seen.push((memory.resident, cpu));
    }
    let [(open_megabytes, open_cpu), (empty_megabytes, _), _] = seen[..] else { return Err("three are looked at".into()) };
    print_table(&["", "RSS MB", "of it its own", "of it files", "at most", "% of a core"], &rows);
    let mut goals = Goals::default();
    goals.at_most("MB of 1,000 open rollouts at rest", GOAL_OPEN_MEGABYTES, open_megabytes);
    goals.at_most("% of a core, 1,000 open rollouts at rest", GOAL_CPU_PERCENT, open_cpu);
    goals.at_most("MB of an empty process", GOAL_EMPTY_MEGABYTES, empty_megabytes);
    open.stop()?;
    empty.stop()?;
    remove(&empty_dir)?;
    Ok(goals.end())
}

/// Waits until it is killed.
fn floor() -> Outcome<()> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("ready: http://{}", listener.local_addr()?);
        loop {
            // Nobody comes.
            listener.accept().await?;
        }
    })
}
