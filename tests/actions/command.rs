//! Real programs: small shell scripts in a folder of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tminus::domain::rollout::effect::Action;
use tminus::domain::rollout::event::{ActionOutcome, OUTPUT_BYTES_MAX, REASON_CHARS_MAX};
use tminus::engine::ports::{CancelError, Executor, Found, Polled, StartError};
use tminus::gateway::action::command::{Commands, Ledger, OUTPUT_BYTES_MAX as KEPT_BYTES_MAX};

use super::{DEADLINE, action, end, failed, now, start_and_end, succeeded, unknown};

/// Long enough for every script that ends.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Short, so that what does not stop is killed while somebody watches.
const GRACE: Duration = Duration::from_secs(2);
const SCRIPT: &str = "./script.sh";

/// A folder with a script, and one for the ledger.
struct Place {
    dir: TempDir,
}

impl Place {
    fn with(script: &str) -> Self {
        let place = Self { dir: TempDir::new().unwrap() };
        place.put("script.sh", script);
        place
    }

    fn put(&self, name: &str, script: &str) {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    fn ledger(&self) -> Arc<Ledger> {
        Ledger::open(&self.path("ledger")).unwrap()
    }

    /// A system as one process of T-minus has it; each call is another start of T-minus.
    fn system(&self) -> Commands {
        self.system_with(&[], TIMEOUT)
    }

    fn system_with(&self, env: &[&str], timeout: Duration) -> Commands {
        let env = env.iter().map(|name| (*name).to_owned()).collect();
        let system = Commands::new(&[SCRIPT.to_owned()], Some(self.dir.path()), env, timeout, self.ledger());
        system.unwrap().with_grace(GRACE)
    }

    /// Waits until a script has written a file, and reads it.
    async fn written(&self, name: &str) -> String {
        let path = self.path(name);
        eventually(|| fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n'))).await.trim().to_owned()
    }
}

async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, looking).await.expect("it happens")
}

fn run(number: u32) -> Action {
    run_with(number, &[SCRIPT])
}

fn run_with(number: u32, argv: &[&str]) -> Action {
    action(number, "command.script", json!({ "argv": argv }))
}

/// Whether a process runs; what has ended and was not fetched does not.
fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.trim().starts_with('Z'))
}

async fn until_gone(pid: &str) {
    eventually(|| (!is_alive(pid)).then_some(())).await;
}

async fn refused(system: &Commands, action: &Action) -> String {
    match system.start(action, now()).await {
        Err(StartError::Refused { why }) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn its_last_line_is_its_progress_and_the_end_of_what_it_prints_its_output() {
    let place = Place::with(
        "echo one; echo two >&2; printf '\\033[32m3 of 7\\r5 of 7'; while [ ! -e go ]; do sleep 0.05; done; echo; echo done",
    );
    let system = place.system();
    let action = run(1);
    assert_eq!(system.find(&action).await, Found::Absent);
    system.start(&action, now()).await.unwrap();
    let line = async {
        loop {
            let Polled::Running { progress, again } = system.poll(&action, now()).await.unwrap() else {
                panic!("it is not over")
            };
            assert!(again > now());
            if progress.line.as_deref() == Some("5 of 7") {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, line).await.expect("it says so");
    fs::write(place.path("go"), "").unwrap();
    let outputs = succeeded(end(&system, &action).await);
    assert_eq!(outputs["code"], "0");
    assert_eq!(outputs["output"], "one\ntwo\n3 of 7\r5 of 7\ndone");
    assert!(matches!(system.find(&action).await, Found::There { .. }));
}

#[tokio::test]
async fn arguments_go_through_no_shell() {
    let place = Place::with("printf '%s|' \"$@\"; pwd");
    fs::create_dir(place.path("below")).unwrap();
    let action = action(1, "command.script", json!({ "argv": [SCRIPT, "$HOME; `id`", "a  b", ""], "cwd": "below" }));
    let outputs = succeeded(start_and_end(&place.system(), &action).await);
    assert_eq!(outputs["output"], format!("$HOME; `id`|a  b||{}", place.path("below").display()));
}

#[tokio::test]
async fn another_exit_code_is_a_failure_with_the_last_lines() {
    let place = Place::with("seq 1 5000; echo it broke; exit 3");
    let reason = failed(start_and_end(&place.system(), &run(1)).await.bounded());
    assert!(reason.starts_with("it ended with exit code 3:\n"), "{reason}");
    assert!(reason.ends_with("4999\n5000\nit broke") && reason.chars().count() < REASON_CHARS_MAX, "{reason}");
    place.put("script.sh", "kill -9 $$");
    assert_eq!(failed(start_and_end(&place.system(), &run(2)).await), "it was ended by signal 9");
}

#[tokio::test]
async fn of_much_output_the_end_is_kept() {
    let place = Place::with("head -c 3000000 /dev/zero; printf '%01000d' 0 | tr 0 '\"'; echo end");
    let outputs = succeeded(start_and_end(&place.system(), &run(1)).await.bounded());
    let output = &outputs["output"];
    assert!(output.starts_with("… ") && output.ends_with("\"end"), "{}", output.len());
    assert!(output.len() > KEPT_BYTES_MAX && output.len() < OUTPUT_BYTES_MAX, "{}", output.len());
}

#[tokio::test]
async fn what_is_left_running_in_the_background_does_not_hold_up_the_end() {
    let place = Place::with("sleep 30 & echo $! > pid; echo begun");
    let outputs = succeeded(start_and_end(&place.system(), &run(1)).await);
    assert_eq!(outputs["output"], "begun");
    let pid = place.written("pid").await;
    assert!(is_alive(&pid));
    std::process::Command::new("kill").arg(&pid).status().unwrap();
}

#[tokio::test]
async fn cancelling_ends_it_with_its_children() {
    // Neither listens: both are killed once the time is over.
    let child = "trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > child; while :; do sleep 0.1; done' & echo $$ > parent";
    let place = Place::with(&format!("{child}; echo waiting; while :; do sleep 0.1; done"));
    let system = place.system();
    let action = run(1);
    assert!(matches!(system.cancel(&action, now()).await, Err(CancelError::TryAgain { .. })));
    system.start(&action, now()).await.unwrap();
    let (parent, child) = (place.written("parent").await, place.written("child").await);
    assert!(is_alive(&parent) && is_alive(&child));
    system.cancel(&action, now()).await.unwrap();
    assert_eq!(failed(end(&system, &action).await), "it was cancelled:\nwaiting");
    until_gone(&parent).await;
    until_gone(&child).await;
    // Once more changes nothing.
    system.cancel(&action, now()).await.unwrap();
}

#[tokio::test]
async fn who_is_asked_to_stop_may_tidy_up() {
    // The parent is gone at once; its child takes its time within the grace.
    let place = Place::with(
        "sh -c 'trap \"sleep 0.3; echo tidied > tidied; exit 0\" TERM; echo x > ready; while :; do sleep 0.05; done' & wait",
    );
    let system = place.system();
    system.start(&run(1), now()).await.unwrap();
    place.written("ready").await;
    system.cancel(&run(1), now()).await.unwrap();
    failed(end(&system, &run(1)).await);
    assert_eq!(place.written("tidied").await, "tidied");
}

#[tokio::test]
async fn the_time_out_and_the_end_of_the_system_end_the_group() {
    let script = "sleep 600 & echo $! > child; wait";
    let place = Place::with(script);
    let reason = failed(start_and_end(&place.system_with(&[], Duration::from_secs(2)), &run(1)).await);
    assert_eq!(reason, "it was ended, because it ran for more than 2 s");
    until_gone(&place.written("child").await).await;

    let place = Place::with(script);
    let system = place.system();
    system.start(&run(1), now()).await.unwrap();
    let child = place.written("child").await;
    assert!(is_alive(&child));
    drop(system);
    until_gone(&child).await;
    // And the next start knows it.
    let ledger = place.path("ledger").join(format!("{}.json", run(1).id.token()));
    eventually(|| fs::read_to_string(&ledger).unwrap().contains("T-minus stopped").then_some(())).await;
    let after = place.system();
    assert!(matches!(after.find(&run(1)).await, Found::There { .. }));
    assert!(failed(end(&after, &run(1)).await).contains("because T-minus stopped"));
}

#[tokio::test]
async fn nothing_runs_that_is_not_on_the_list() {
    let place = Place::with("echo x > ran");
    place.put("other.sh", "echo x > ran");
    fs::create_dir(place.path("below")).unwrap();
    fs::copy(place.path("other.sh"), place.path("below/script.sh")).unwrap();
    let system = place.system();
    let absolute = place.path("script.sh").display().to_string();
    for program in ["./other.sh", "script.sh", "./below/../script.sh", "sh", "/bin/sh", "./script.sh ", "", &absolute] {
        let why = refused(&system, &run_with(1, &[program])).await;
        assert!(why.contains("is not on the allow-list"), "{program}: {why}");
    }
    assert_eq!(refused(&system, &run_with(1, &[])).await, "`argv` is empty");
    assert_eq!(
        refused(&system, &action(1, "command.x", json!({ "argv": "./script.sh" }))).await,
        "`argv` is not a list of texts"
    );
    std::os::unix::fs::symlink("/", place.path("out")).unwrap();
    for cwd in ["..", "/", "below/../..", "out", "nowhere"] {
        let why = refused(&system, &action(1, "command.x", json!({ "argv": [SCRIPT], "cwd": cwd }))).await;
        assert!(why.contains("the folder"), "{cwd}: {why}");
    }
    assert_eq!(fs::read_dir(place.path("ledger")).unwrap().count(), 0);
    assert!(!place.path("ran").exists());
    // Another folder does not make `./script.sh` another program.
    succeeded(start_and_end(&system, &action(2, "command.x", json!({ "argv": [SCRIPT], "cwd": "below" }))).await);
    assert!(place.path("below/ran").exists());
}

#[tokio::test]
async fn what_can_not_be_started_says_so_and_stays_known() {
    let place = Place::with("");
    fs::remove_file(place.path("script.sh")).unwrap();
    let system = place.system();
    let why = refused(&system, &run(1)).await;
    assert!(why.contains("script.sh can't be started: No such file"), "{why}");
    assert!(failed(end(&place.system(), &run(1)).await).contains("can't be started"));
}

#[tokio::test]
async fn it_sees_of_our_environment_what_is_listed() {
    // What this test itself was given: cargo sets both.
    let place = Place::with("env");
    let seen = |outputs: std::collections::BTreeMap<String, String>| -> Vec<String> {
        outputs["output"].lines().map(|line| line.split('=').next().unwrap().to_owned()).collect()
    };
    assert!(std::env::var_os("CARGO_PKG_NAME").is_some() && std::env::var_os("CARGO_PKG_VERSION").is_some());
    let names = seen(succeeded(start_and_end(&place.system_with(&["CARGO_PKG_NAME"], TIMEOUT), &run(1)).await));
    assert!(names.contains(&"CARGO_PKG_NAME".to_owned()) && names.contains(&"PATH".to_owned()), "{names:?}");
    // The shell adds its own.
    let known = ["PATH", "HOME", "LANG", "CARGO_PKG_NAME", "PWD", "OLDPWD", "SHLVL", "_"];
    assert!(names.iter().all(|name| known.contains(&name.as_str())), "{names:?}");
}

/// T-minus is killed: nothing of it is tidied up, and what it ran goes on.
fn killed(system: Commands) {
    std::mem::forget(system);
}

#[tokio::test]
async fn after_a_restart_what_runs_on_is_found_and_its_end_is_not_guessed() {
    let place = Place::with("echo $$ > pid; while [ ! -e go ]; do sleep 0.05; done");
    let before = place.system();
    before.start(&run(1), now()).await.unwrap();
    let pid = place.written("pid").await;
    // What the ledger held when T-minus was killed.
    let file = place.path("ledger").join(format!("{}.json", run(1).id.token()));
    let held = eventually(|| fs::read_to_string(&file).ok().filter(|text| text.contains("\"pid\""))).await;
    killed(before);
    let after = place.system();
    assert!(matches!(after.find(&run(1)).await, Found::There { .. }));
    // A second start is the first one.
    after.start(&run(1), now()).await.unwrap();
    let Polled::Running { progress, .. } = after.poll(&run(1), now()).await.unwrap() else { panic!("it runs") };
    assert!(progress.line.unwrap().contains("runs on"));
    fs::write(place.path("go"), "").unwrap();
    until_gone(&pid).await;
    // The first one still lives in this process, and sees the end; one that was killed would not have.
    eventually(|| fs::read_to_string(&file).unwrap().contains("\"ended\"").then_some(())).await;
    succeeded(end(&place.system(), &run(1)).await);
    fs::write(&file, &held).unwrap();
    let after = place.system();
    assert!(matches!(after.find(&run(1)).await, Found::CannotTell { .. }));
    assert!(unknown(end(&after, &run(1)).await).contains("did not see how it ended"));
    assert!(matches!(after.cancel(&run(1), now()).await, Err(CancelError::Impossible { .. })));
    // Killed between the record and the program.
    let record: serde_json::Value = serde_json::from_str(&held).unwrap();
    let mut record = record.as_object().unwrap().clone();
    record.remove("process");
    fs::write(&file, serde_json::to_vec(&record).unwrap()).unwrap();
    assert!(matches!(place.system().find(&run(1)).await, Found::CannotTell { .. }));
    // Another process under the same number is not it. The first of the machine lives, and began at another time.
    let other = held.replace(&format!("\"pid\":{pid}"), "\"pid\":1");
    assert_ne!(other, held);
    fs::write(&file, other).unwrap();
    assert!(matches!(place.system().find(&run(1)).await, Found::CannotTell { .. }));
    fs::write(&file, "{").unwrap();
    assert!(matches!(place.system().find(&run(1)).await, Found::CannotTell { .. }));
}

#[tokio::test]
async fn after_a_restart_what_runs_on_can_be_cancelled() {
    let place = Place::with("trap '' TERM; sleep 600 & echo $! > child; echo $$ > parent; while :; do sleep 0.1; done");
    let before = place.system();
    before.start(&run(1), now()).await.unwrap();
    let (parent, child) = (place.written("parent").await, place.written("child").await);
    killed(before);
    let after = place.system();
    after.cancel(&run(1), now()).await.unwrap();
    until_gone(&parent).await;
    until_gone(&child).await;
    assert!(matches!(end(&after, &run(1)).await, ActionOutcome::Failed { .. }));
}

#[tokio::test]
async fn the_ledger_is_for_nobody_else_to_read() {
    let place = Place::with("echo secret");
    let system = place.system();
    succeeded(start_and_end(&system, &run(1)).await);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.path("ledger")), 0o700);
    assert_eq!(mode(&place.path("ledger").join(format!("{}.json", run(1).id.token()))), 0o600);
}
