//! A process that is measured from outside: how long it takes to be ready, what it holds, what it uses.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::Outcome;

/// How long a process may take to be ready, or to end.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);
/// A process is quiet when it used less than one tick in so long.
const QUIET: Duration = Duration::from_millis(400);
/// The kernel's ticks a second, as `/proc` counts: the same on every Linux that T-minus is built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running process that said where it can be used.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    /// How long it took to say so.
    pub ready: Duration,
}

/// What a process holds, in MB of 1,000,000 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// What is in memory now: `VmRSS`.
    pub resident: f64,
    /// The most that ever was: `VmHWM`.
    pub peak: f64,
    /// Of what is in memory now, what belongs to no file: `RssAnon`.
    pub own: f64,
}

impl Process {
    /// Starts the real program as a demo over a data folder, with a configuration.
    pub fn tminus(data: &Path, config: Option<&Path>) -> Outcome<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tminus"));
        command.args(["demo", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        // Lines of the log would be read by nobody. What is logged is not switched off: it is part of the work.
        command.stderr(Stdio::null());
        Self::start(command)
    }

    /// Starts a command that prints `ready: http://ADDRESS` when it can be used.
    pub fn start(mut command: Command) -> Outcome<Self> {
        let started = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or("the output is not there")?;
        for line in BufReader::new(stdout).lines() {
            if let Some(address) = line?.strip_prefix("ready: http://") {
                let ready = started.elapsed();
                return Ok(Self { address: address.parse()?, child, ready });
            }
        }
        Err(format!("the process ended before it was ready: {}", child.wait()?).into())
    }

    pub fn memory(&self) -> Outcome<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let of = |name: &str| -> Outcome<f64> {
            let line = status.lines().find(|line| line.starts_with(name)).ok_or_else(|| format!("no {name} in the status"))?;
            let kilobytes: f64 = line.split_whitespace().nth(1).unwrap_or_default().parse()?;
            Ok(kilobytes * 1024.0 / 1e6)
        };
        Ok(Memory { resident: of("VmRSS:")?, peak: of("VmHWM:")?, own: of("RssAnon:")? })
    }

    /// How many seconds of a core it has used so far, in user and kernel mode.
    pub fn cpu_seconds(&self) -> Outcome<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in parentheses may have spaces; what is wanted are the 14th and 15th field.
        let fields = stat.rsplit_once(')').ok_or("no name in the stat")?.1;
        let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
        Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
    }

    /// Waits until it has nothing left to do.
    pub fn until_quiet(&self) -> Outcome<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut used = self.cpu_seconds()?;
        while Instant::now() < deadline {
            thread::sleep(QUIET);
            let now = self.cpu_seconds()?;
            if now - used < 1.5 / TICKS_PER_SECOND {
                return Ok(());
            }
            used = now;
        }
        Err("the process does not come to rest".into())
    }

    /// Tells it to end, and waits until it has; answers how long that took.
    pub fn stop(mut self) -> Outcome<Duration> {
        let started = Instant::now();
        let told = Command::new("kill").arg(self.child.id().to_string()).status()?;
        if !told.success() {
            return Err("the process can't be told to end".into());
        }
        while started.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() { Ok(started.elapsed()) } else { Err(format!("it ended with {status}").into()) };
            }
            thread::sleep(LOOK);
        }
        Err("the process does not end".into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended, or nobody needs it any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
