//! A system that runs programs on this machine: those on its allow-list, without a shell, each in a process group of its own.
//!
//! A ledger holds one small file per command: that it was begun, which process it is, how it ended. What T-minus did not see
//! end, because it was killed itself, it can still find alive; once that is gone, nobody knows its exit code any more.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use regex::Regex;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::domain::message::card::Progress;
use crate::domain::rollout::effect::Action;
use crate::domain::rollout::event::ActionOutcome;
use crate::engine::files::{self, Readers};
use crate::engine::ports::{CancelError, Executor, Found, Polled, StartError};

/// How long a command may run, unless settings say otherwise. A step's own time-out says when people stop waiting for it;
/// this says when nobody can want it any more.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_hours(24);
/// How long a command that was asked to stop may take over it before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// How often it is looked whether everything of a command is gone.
const GONE_EVERY: Duration = Duration::from_millis(50);
/// How long the rest of what was printed is read after the end: what a command leaves running may hold its output open.
const DRAIN: Duration = Duration::from_millis(500);
/// How much of what a command prints is kept, in bytes: the end of it. Even where every byte is escaped or replaced, it
/// stays below what is kept of one action's outputs.
pub const OUTPUT_BYTES_MAX: usize = 16 * 1024;
/// How much is read at once.
const CHUNK_BYTES: usize = 8 * 1024;
/// How many of the last lines say why a command failed, and how many characters of them.
const LAST_LINES_MAX: usize = 20;
const LAST_CHARS_MAX: usize = 2000;
/// The longest line shown as progress, in characters.
const LINE_CHARS_MAX: usize = 200;
/// How many commands that are over are remembered: the latest.
const ENDED_MAX: usize = 2000;
/// The largest file of the ledger that is read, in bytes.
const RECORD_BYTES_MAX: u64 = 256 * 1024;
/// How long a look waits for the end, so that quick commands are told at once.
const LOOK_WAIT: Duration = Duration::from_secs(1);
/// When to look again.
const LOOK_EVERY: TimeDelta = TimeDelta::seconds(2);
/// What every command sees of our environment.
const ENV_ALWAYS: [&str; 3] = ["PATH", "HOME", "LANG"];

/// Colours and movements of a terminal.
static ESCAPES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])").expect("it is constant"));

/// A process as it can be told from a later one with the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    pid: i32,
    /// When it began, in the kernel's ticks since the machine did.
    ticks: u64,
    /// Which start of the machine.
    boot: String,
}

impl Process {
    /// What runs under a number; nothing when there is nothing, or when the system does not say.
    fn now(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in brackets and may hold anything; after it come the state and numbers.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let (state, ticks) = (fields.first()?, fields.get(19)?);
        if matches!(*state, "Z" | "X") {
            return None;
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(Self { pid, ticks: ticks.parse().ok()?, boot: boot.trim().to_owned() })
    }

    fn is_alive(&self) -> bool {
        Self::now(self.pid).as_ref() == Some(self)
    }

    fn group(&self) -> Option<Pid> {
        Pid::from_raw(self.pid)
    }
}

/// What the ledger holds of one command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    /// The effect's identity.
    effect: String,
    rollout: String,
    step: String,
    program: String,
    /// When it was begun, on the rollout's clock.
    begun: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<Process>,
    /// When it was asked to stop, on the rollout's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cancelled: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<ActionOutcome>,
}

/// The memory of all commands: a folder with one file for each.
pub struct Ledger {
    folder: PathBuf,
    /// Those that are over, oldest first.
    ended: Mutex<VecDeque<String>>,
}

impl Ledger {
    /// Opens the ledger in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// When the folder can't be made or read.
    pub fn open(folder: &Path) -> io::Result<Arc<Self>> {
        // What commands print may be nobody else's business.
        files::make_private_all(folder)?;
        let ledger = Self { folder: folder.to_owned(), ended: Mutex::default() };
        let mut ended = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                // Half of a file that was about to replace another.
                Some("new") => fs::remove_file(&path)?,
                Some("json") => {
                    let token = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                    if let Ok(Some(Record { ended: Some(_), .. })) = ledger.read(&token) {
                        ended.push((path.metadata()?.modified()?, token));
                    }
                }
                _ => {}
            }
        }
        ended.sort();
        ledger.ended.lock().unwrap_or_else(PoisonError::into_inner).extend(ended.into_iter().map(|(_, token)| token));
        Ok(Arc::new(ledger))
    }

    fn path(&self, token: &str) -> PathBuf {
        self.folder.join(format!("{token}.json"))
    }

    fn read(&self, token: &str) -> Result<Option<Record>, String> {
        let path = self.path(token);
        let problem = |error: &dyn std::fmt::Display| format!("the ledger of commands: {}: {error}", path.display());
        match path.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(problem(&error)),
            Ok(metadata) if metadata.len() > RECORD_BYTES_MAX => return Err(problem(&"it is too large")),
            Ok(_) => {}
        }
        let text = fs::read_to_string(&path).map_err(|error| problem(&error))?;
        serde_json::from_str(&text).map(Some).map_err(|error| problem(&error))
    }

    /// Writes a record so that it is there after a power cut, whole or as it was before.
    fn write(&self, record: &Record) -> io::Result<()> {
        let path = self.path(&record.effect);
        files::replace(&path, &path.with_extension("new"), &serde_json::to_vec(record)?, Readers::Owner)?;
        if record.ended.is_some() {
            self.forget(&record.effect);
        }
        Ok(())
    }

    /// Forgets the oldest that are over. Their receipts are long in the journal, so nobody asks for them any more.
    fn forget(&self, ended: &str) {
        let mut order = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        order.push_back(ended.to_owned());
        while order.len() > ENDED_MAX {
            let Some(oldest) = order.pop_front() else { return };
            if let Err(error) = fs::remove_file(self.path(&oldest)) {
                tracing::warn!("The ledger of commands keeps {oldest}: {error}");
            }
        }
    }

    /// The same without holding up everybody else while the disk is slow.
    async fn write_aside(self: &Arc<Self>, record: &Record) -> io::Result<()> {
        let (ledger, record) = (self.clone(), record.clone());
        tokio::task::spawn_blocking(move || ledger.write(&record)).await.map_err(io::Error::other)?
    }
}

/// The end of what a command printed.
#[derive(Debug, Default)]
struct Tail {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if let Some(over) = self.bytes.len().checked_sub(OUTPUT_BYTES_MAX).filter(|over| *over > 0) {
            self.bytes.drain(..over);
            self.is_cut = true;
        }
    }

    /// As people read it: without colours and bells.
    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let text = ESCAPES.replace_all(&text, "");
        let text = text.trim_end().replace(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t'), "\u{fffd}");
        if self.is_cut { format!("… {text}") } else { text }
    }

    /// The last line with something in it. A carriage return begins one too: that is how progress is drawn.
    fn last_line(&self) -> Option<String> {
        let text = self.text();
        let line = text.rsplit(['\n', '\r']).map(str::trim).find(|line| !line.is_empty())?;
        Some(match line.char_indices().nth(LINE_CHARS_MAX) {
            Some((end, _)) => format!("{} …", &line[..end]),
            None => line.to_owned(),
        })
    }

    /// The last lines, as a reason: few enough that their end is not cut off on the way.
    fn last_lines(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        let lines = lines[lines.len().saturating_sub(LAST_LINES_MAX)..].join("\n");
        let over = lines.chars().count().saturating_sub(LAST_CHARS_MAX);
        match lines.char_indices().nth(over) {
            None => String::new(),
            Some((0, _)) => format!(":\n{lines}"),
            Some((start, _)) => format!(":\n… {}", &lines[start..]),
        }
    }
}

/// A command under way.
struct Job {
    tail: Arc<Mutex<Tail>>,
    outcome: watch::Receiver<Option<ActionOutcome>>,
    cancel: CancellationToken,
    /// Without the system there is nobody to see the command's end: it is ended with it.
    _task: AbortOnDropHandle<()>,
}

/// A system that runs programs.
pub struct Commands {
    /// As runbooks write them, and where they are.
    programs: BTreeMap<String, PathBuf>,
    cwd: PathBuf,
    env: Vec<String>,
    timeout: Duration,
    grace: Duration,
    ledger: Arc<Ledger>,
    jobs: Arc<Mutex<HashMap<String, Job>>>,
}

impl Commands {
    /// A system that runs these programs, in a folder or below it. Programs written like `./x` stand in that folder,
    /// wherever a command runs: what is allowed must not depend on who asks.
    ///
    /// # Errors
    /// When the folder is not there.
    pub fn new(
        allow: &[String],
        cwd: Option<&Path>,
        env: Vec<String>,
        timeout: Duration,
        ledger: Arc<Ledger>,
    ) -> Result<Self, String> {
        let cwd = cwd.unwrap_or(Path::new("."));
        let cwd = cwd.canonicalize().map_err(|error| format!("the folder {}: {error}", cwd.display()))?;
        let programs = allow.iter().map(|program| (program.clone(), cwd.join(program))).collect();
        Ok(Self { programs, cwd, env, timeout, grace: GRACE, ledger, jobs: Arc::default() })
    }

    /// The same with another time to stop in.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<String, Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The command as a runbook asks for it; nothing that is not allowed.
    fn command(&self, inputs: &Value) -> Result<Command, String> {
        let argv: Vec<&str> = inputs
            .get("argv")
            .and_then(Value::as_array)
            .and_then(|argv| argv.iter().map(Value::as_str).collect())
            .ok_or("`argv` is not a list of texts")?;
        let (program, arguments) = argv.split_first().ok_or("`argv` is empty")?;
        let path = self.programs.get(*program).ok_or_else(|| format!("`{program}` is not on the allow-list of this system"))?;
        let cwd = match inputs.get("cwd") {
            None | Some(Value::Null) => self.cwd.clone(),
            Some(Value::String(cwd)) => {
                let asked = self.cwd.join(cwd).canonicalize().map_err(|error| format!("the folder `{cwd}`: {error}"))?;
                // Compared after links and dots are resolved.
                if !asked.starts_with(&self.cwd) {
                    return Err(format!("the folder `{cwd}` is not within {}", self.cwd.display()));
                }
                asked
            }
            Some(_) => return Err("`cwd` is not a text".to_owned()),
        };
        let seen = |name: &str| Some((OsString::from(name), std::env::var_os(name)?));
        let mut command = Command::new(path);
        command
            .args(arguments)
            .current_dir(cwd)
            .env_clear()
            .envs(ENV_ALWAYS.into_iter().chain(self.env.iter().map(String::as_str)).filter_map(seen))
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        Ok(command)
    }
}

#[async_trait]
impl Executor for Commands {
    async fn start(&self, action: &Action, now: DateTime<Utc>) -> Result<(), StartError> {
        let token = action.id.token();
        let refused = |why| StartError::Refused { why };
        let (begun, has_begun) = oneshot::channel();
        {
            let mut jobs = self.jobs();
            // What was begun once is not begun again, whatever became of it.
            if jobs.contains_key(&token) || self.ledger.read(&token).map_err(refused)?.is_some() {
                return Ok(());
            }
            let command = self.command(&action.inputs).map_err(refused)?;
            let record = Record {
                effect: token.clone(),
                rollout: action.rollout.to_string(),
                step: action.step_id.clone(),
                program: command.as_std().get_program().to_string_lossy().into_owned(),
                begun: now,
                process: None,
                cancelled: None,
                ended: None,
            };
            let (tell, outcome) = watch::channel(None);
            let (tail, cancel) = (Arc::default(), CancellationToken::new());
            let run = Run {
                ledger: self.ledger.clone(),
                tail: Arc::clone(&tail),
                cancel: cancel.clone(),
                timeout: self.timeout,
                grace: self.grace,
            };
            // A task of its own: when nobody waits for the start any more, the command still gets its record and its end.
            // It does not keep the others alive, and itself: without the system all of them end.
            let jobs_of_task = Arc::downgrade(&self.jobs);
            let task = tokio::spawn(async move {
                let mut begun = Some(begun);
                let (record, outcome) = run.see_through(command, record, &mut begun).await;
                let is_kept = run.ledger.write_aside(&Record { ended: Some(outcome.clone()), ..record.clone() }).await;
                if let (Some(begun), ActionOutcome::Failed { reason }) = (begun, &outcome) {
                    // Whoever asked may have stopped waiting; what became of it is in the ledger.
                    let _ = begun.send(Err(reason.clone()));
                }
                tell.send_replace(Some(outcome));
                match is_kept {
                    Ok(()) => {
                        if let Some(jobs) = jobs_of_task.upgrade() {
                            jobs.lock().unwrap_or_else(PoisonError::into_inner).remove(&record.effect);
                        }
                    }
                    // Remembered here, for as long as there is a here.
                    Err(error) => {
                        tracing::error!(rollout.id = %record.rollout, "The ledger of commands did not take an end: {error}");
                    }
                }
            });
            jobs.insert(token, Job { tail, outcome, cancel, _task: AbortOnDropHandle::new(task) });
        }
        match has_begun.await {
            Ok(begun) => begun.map_err(refused),
            Err(_) => Err(StartError::Unclear { why: "T-minus gave up beginning it".to_owned() }),
        }
    }

    async fn find(&self, action: &Action) -> Found {
        let token = action.id.token();
        if self.jobs().contains_key(&token) {
            return Found::There { reference: token };
        }
        match self.ledger.read(&token) {
            Ok(None) => Found::Absent,
            Ok(Some(record)) if record.ended.is_some() || record.process.as_ref().is_some_and(Process::is_alive) => {
                Found::There { reference: token }
            }
            Ok(Some(record)) => Found::CannotTell { why: unseen(&record) },
            Err(why) => Found::CannotTell { why },
        }
    }

    async fn poll(&self, action: &Action, now: DateTime<Utc>) -> Result<Polled, String> {
        let token = action.id.token();
        let running = |line| Ok(Polled::Running { progress: Progress { line, link: None }, again: now + LOOK_EVERY });
        let job = self.jobs().get(&token).map(|job| (job.tail.clone(), job.outcome.clone()));
        if let Some((tail, mut outcome)) = job {
            let ended = match timeout(LOOK_WAIT, outcome.wait_for(Option::is_some)).await {
                Ok(ended) => ended.ok().and_then(|ended| ended.clone()),
                Err(_) => return running(lock(&tail).last_line()),
            };
            let gave_up = || ActionOutcome::Unknown { reason: "T-minus gave up watching it".to_owned() };
            return Ok(Polled::Ended(ended.unwrap_or_else(gave_up)));
        }
        let record = self.ledger.read(&token)?.ok_or("it was never asked to do this")?;
        Ok(Polled::Ended(match record {
            Record { ended: Some(outcome), .. } => outcome,
            Record { process: Some(process), .. } if process.is_alive() => {
                return running(Some("it runs on since T-minus was started again; what it prints is not seen".to_owned()));
            }
            Record { cancelled: Some(_), .. } => ActionOutcome::Failed { reason: "it was cancelled".to_owned() },
            record => ActionOutcome::Unknown { reason: unseen(&record) },
        }))
    }

    async fn cancel(&self, action: &Action, now: DateTime<Utc>) -> Result<(), CancelError> {
        let token = action.id.token();
        if let Some(job) = self.jobs().get(&token) {
            job.cancel.cancel();
            return Ok(());
        }
        let again = |why| CancelError::TryAgain { why };
        let record = self.ledger.read(&token).map_err(again)?;
        let record = record.ok_or_else(|| again("it has not begun yet".to_owned()))?;
        if record.ended.is_some() {
            return Ok(());
        }
        let Some(process) = record.process.clone().filter(Process::is_alive) else {
            return Err(CancelError::Impossible { why: unseen(&record) });
        };
        let record = Record { cancelled: Some(now), ..record };
        self.ledger.write_aside(&record).await.map_err(|error| again(format!("the ledger of commands: {error}")))?;
        let Some(group) = process.group() else { return Ok(()) };
        signal(group, Signal::TERM);
        // It is nobody's child any more: looked at, not waited for.
        let grace = self.grace;
        tokio::spawn(async move {
            let gone = async {
                while process.is_alive() {
                    sleep(GONE_EVERY).await;
                }
            };
            if timeout(grace, gone).await.is_err() && process.is_alive() {
                signal(group, Signal::KILL);
            }
        });
        Ok(())
    }
}

fn unseen(record: &Record) -> String {
    if record.process.is_none() {
        "T-minus stopped just when it was begun, and did not see what became of it".to_owned()
    } else {
        "T-minus stopped while it ran, and did not see how it ended".to_owned()
    }
}

fn lock(tail: &Mutex<Tail>) -> MutexGuard<'_, Tail> {
    tail.lock().unwrap_or_else(PoisonError::into_inner)
}

fn signal(group: Pid, signal: Signal) {
    // A group without anybody left has nobody to be told.
    let _ = kill_process_group(group, signal);
}

/// How a command came to its end.
enum End {
    Itself(io::Result<ExitStatus>),
    Cancelled,
    TooLong,
}

struct Run {
    ledger: Arc<Ledger>,
    tail: Arc<Mutex<Tail>>,
    cancel: CancellationToken,
    timeout: Duration,
    grace: Duration,
}

impl Run {
    /// From the record that it begins to its end. Tells whoever asked once it has begun.
    async fn see_through(
        &self,
        mut command: Command,
        record: Record,
        begun: &mut Option<oneshot::Sender<Result<(), String>>>,
    ) -> (Record, ActionOutcome) {
        if let Err(error) = self.ledger.write_aside(&record).await {
            let reason = format!("the ledger of commands does not take it: {error}");
            return (record, ActionOutcome::Failed { reason });
        }
        // One pipe for both, so that what is printed stays in its order.
        let piped = io::pipe().and_then(|(reader, writer)| {
            command.stdout(writer.try_clone()?).stderr(writer);
            pipe::Receiver::from_owned_fd(reader.into())
        });
        let spawned = piped.and_then(|reader| Ok((reader, command.spawn()?)));
        // It holds our ends of the pipe.
        drop(command);
        let (reader, child) = match spawned {
            Ok(spawned) => spawned,
            Err(error) => {
                let reason = format!("{} can't be started: {error}", record.program);
                return (record, ActionOutcome::Failed { reason });
            }
        };
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let record = Record { process: pid.and_then(Process::now), ..record };
        let mut family = Family { child, group: pid.and_then(Pid::from_raw), record, ledger: self.ledger.clone() };
        if let Err(error) = self.ledger.write_aside(&family.record).await {
            tracing::error!(rollout.id = %family.record.rollout, "The ledger of commands did not take a process: {error}");
        }
        if let Some(begun) = begun.take() {
            // Whoever asked may have stopped waiting; it is seen through all the same.
            let _ = begun.send(Ok(()));
        }
        let pump = AbortOnDropHandle::new(tokio::spawn(pump(reader, self.tail.clone())));
        let end = tokio::select! {
            status = family.child.wait() => End::Itself(status),
            () = self.cancel.cancelled() => End::Cancelled,
            () = sleep(self.timeout) => End::TooLong,
        };
        if !matches!(end, End::Itself(_)) {
            family.stop(self.grace).await;
        }
        // Nobody is left to be ended when this is dropped.
        family.group = None;
        // What is left running may hold the pipe open.
        let _ = timeout(DRAIN, pump).await;
        (family.record.clone(), self.outcome(end))
    }

    fn outcome(&self, end: End) -> ActionOutcome {
        let tail = lock(&self.tail);
        let reason = match end {
            End::Itself(Ok(status)) if status.success() => {
                // As text, like what a pretended system gives: a condition means the same in a rehearsal.
                let outputs = [("code", "0".to_owned()), ("output", tail.text())];
                let outputs = outputs.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
                return ActionOutcome::Succeeded { outputs };
            }
            End::Itself(Ok(status)) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("it ended with exit code {code}"),
                (None, Some(signal)) => format!("it was ended by signal {signal}"),
                (None, None) => format!("it ended with {status}"),
            },
            End::Itself(Err(error)) => {
                return ActionOutcome::Unknown { reason: format!("T-minus could not see how it ended: {error}") };
            }
            // Whatever it says for itself: it may have ended well because it was asked to.
            End::Cancelled => "it was cancelled".to_owned(),
            End::TooLong => format!("it was ended, because it ran for more than {} s", self.timeout.as_secs_f32()),
        };
        ActionOutcome::Failed { reason: format!("{reason}{}", tail.last_lines()) }
    }
}

/// A command's processes: when nobody sees to its end any more, they are ended.
struct Family {
    child: Child,
    /// None once they need not be ended.
    group: Option<Pid>,
    record: Record,
    ledger: Arc<Ledger>,
}

impl Family {
    /// Asks all of them to stop, and kills what is left after the grace time.
    async fn stop(&mut self, grace: Duration) {
        let Some(group) = self.group else { return };
        signal(group, Signal::TERM);
        let gone = async {
            // Its failure leaves the rest of the group to be looked at.
            let _ = self.child.wait().await;
            // The number is not given to others while anybody is left in the group.
            while test_kill_process_group(group).is_ok() {
                sleep(GONE_EVERY).await;
            }
        };
        if timeout(grace, gone).await.is_err() {
            signal(group, Signal::KILL);
            let _ = self.child.wait().await;
        }
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        let Some(group) = self.group else { return };
        signal(group, Signal::KILL);
        let ended = ActionOutcome::Failed { reason: "it was ended, because T-minus stopped".to_owned() };
        // There is no later: this is written here and now, or the next start finds that it can't tell.
        if let Err(error) = self.ledger.write(&Record { ended: Some(ended), ..self.record.clone() }) {
            tracing::error!(rollout.id = %self.record.rollout, "The ledger of commands did not take an end: {error}");
        }
    }
}

/// Reads what is printed, and keeps the end of it. Without a reader a command that prints much would stand still.
async fn pump(mut reader: pipe::Receiver, tail: Arc<Mutex<Tail>>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(count) = reader.read(&mut chunk).await {
        if count == 0 {
            return;
        }
        lock(&tail).push(&chunk[..count]);
    }
}
