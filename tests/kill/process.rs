//! The real program as a process: started, asked over HTTP, killed.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before the test says that it hangs: generous, for two busy cores and a debug build.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// How often a condition is looked at that should become true.
const POLL_PAUSE: Duration = Duration::from_millis(10);
/// The folder beside the data that holds another configuration than what is built in.
pub const CONFIG_DIR: &str = "settings";
/// How much of the program's own log a failure shows.
const LOG_LINES_SHOWN: usize = 40;

/// Looks again and again until there is something; fails when that takes too long.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < DEADLINE, "still waiting after {DEADLINE:?}: {what}");
        thread::sleep(POLL_PAUSE);
    }
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tminus")).args(arguments).output().expect("the program can be run")
}

/// The arguments of a demo on a folder.
pub fn demo<'a>(listen: &'a str, data: &'a Path) -> [&'a str; 5] {
    ["demo", "--listen", listen, "--data", data.to_str().expect("the folder's name is text")]
}

/// A process that has been started and has not said yet that it is ready.
pub struct Starting {
    child: Ended,
    lines: Receiver<String>,
    since: Instant,
}

impl Starting {
    pub fn spawn(data: &Path) -> Self {
        let log = data.with_extension("log");
        let stderr: File = OpenOptions::new().create(true).append(true).open(&log).expect("the log can be opened");
        let since = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tminus"));
        command.args(demo("127.0.0.1:0", data));
        // A configuration of its own lies beside the data.
        let config = data.with_file_name(CONFIG_DIR);
        if config.is_dir() {
            command.arg("--config").arg(config);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().expect("the program can be started");
        let stdout = child.stdout.take().expect("its standard output is a pipe");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Whoever waited for it may have given up on the process.
                let _ = sender.send(line);
            }
        });
        Self { child: Ended { child, log }, lines, since }
    }

    /// Waits until it says where it listens.
    pub fn ready(self) -> Process {
        let address = loop {
            let left = DEADLINE.saturating_sub(self.since.elapsed());
            let line = self.lines.recv_timeout(left).expect("the process says that it is ready");
            if let Some(url) = line.strip_prefix("ready: http://") {
                break url.parse().expect("what it says is an address");
            }
        };
        let ready_after = self.since.elapsed();
        let client = reqwest::blocking::Client::builder().timeout(DEADLINE).build().expect("a client can be made");
        Process { child: self.child, address, ready_after, client }
    }

    /// Kills it where it stands.
    pub fn kill(self) {
        drop(self.child);
    }
}

/// A process that answers requests.
pub struct Process {
    child: Ended,
    pub address: SocketAddr,
    /// How long it took from its start until it was ready.
    pub ready_after: Duration,
    client: reqwest::blocking::Client,
}

/// No answer came: the process died before or while it answered.
#[derive(Debug)]
pub struct CutOff;

impl Process {
    /// Kills it where it stands, while others may be waiting for its answers.
    pub fn kill(&self) {
        signal(self.child.child.id(), "KILL");
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(mut self) -> ExitStatus {
        signal(self.child.child.id(), "TERM");
        eventually("the process stops when it is told to", || self.child.child.try_wait().expect("it is our child"))
    }

    /// What stands at an address; nothing where there is nothing.
    pub fn get(&self, path: &str) -> Option<Value> {
        let response = self.client.get(self.url(path)).send().expect("a living process answers");
        if response.status() == reqwest::StatusCode::NOT_FOUND {
            return None;
        }
        let (status, text) = (response.status(), response.text().expect("a living process answers to the end"));
        assert!(status.is_success(), "GET {path}: {status} {text}");
        Some(serde_json::from_str(&text).expect("answers are JSON"))
    }

    /// Sends a request with its key; the answer with its status, unless the process dies first.
    pub fn post(&self, path: &str, key: &str, body: &Value) -> Result<(u16, Value), CutOff> {
        let request = self.client.post(self.url(path)).header("idempotency-key", key).json(body);
        let response = request.send().map_err(|_| CutOff)?;
        let status = response.status().as_u16();
        let text = response.text().map_err(|_| CutOff)?;
        Ok((status, serde_json::from_str(&text).expect("answers are JSON")))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// A child that does not outlive the test, and whose log is shown when the test fails.
struct Ended {
    child: Child,
    log: PathBuf,
}

impl Drop for Ended {
    fn drop(&mut self) {
        // It may be gone already; what counts is that it is gone, and its locks with it, when this returns.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "the last lines of the program's log:\n{}",
                lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
            );
        }
    }
}

fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status();
    assert!(sent.expect("`kill` can be run").success(), "SIG{name} could not be sent");
}
