//! The page, as people meet it: the real program, and a real browser that types, presses and looks.
//!
//! Each case is a script in `tests/page/` that gets a fresh demo of its own. Node, npm and Chromium (`$CHROMIUM`, or where
//! Debian puts it) are needed; where one is missing the cases are ignored and say why, except under `CI=true`, where that fails.
//! `UPDATE_SCREENSHOT=1` also makes `docs/screenshot.png` anew.

mod demo;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use libtest_mimic::{Arguments, Failed, Trial};

use self::demo::Demo;

/// What drives the browser; installed into `target/` on first use.
const PLAYWRIGHT: &str = "playwright-core@1.64.1";
/// What looks at pages for those who can't see them; installed beside it.
const AXE: &str = "axe-core@4.14.1";
/// Where Debian puts Chromium.
const CHROMIUM_DEFAULT: &str = "/usr/bin/chromium";
/// A browser takes about one core, and so does the program while it starts.
const THREADS: usize = 2;

const CASES: [(&str, &str); 10] = [
    ("start", "maria_types_a_command_and_ines_acknowledges"),
    ("go", "several_people_take_a_rollout_to_go"),
    ("windows", "two_windows_see_the_same_and_a_stale_press_is_answered"),
    ("restart", "the_page_survives_a_crash_of_the_server"),
    ("narrow", "nothing_scrolls_sideways_on_a_phone"),
    ("keyboard", "everything_can_be_done_from_the_keyboard"),
    ("axe", "axe_core_finds_nothing"),
    ("timeline", "the_timeline_is_read_in_any_width_and_is_live"),
    ("wall", "the_wall_counts_by_the_servers_clock_and_says_when_it_is_old"),
    ("history", "how_a_step_compares_with_the_runs_before"),
];

/// Cases of `tminus serve`, with the house in `tests/page/house`.
const SERVED: [(&str, &str); 1] = [("people", "two_people_log_in_and_take_a_rollout_to_its_end_across_a_crash")];
/// Cases of a demo with very many people and steps.
const LARGE: [(&str, &str); 1] = [("large", "very_many_people_and_steps_are_shown_and_found")];

/// What a case is played on.
#[derive(Clone, Copy)]
enum On {
    Demo,
    Served,
    Large,
}

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(THREADS));
    let missing = missing();
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let mut cases = CASES.to_vec();
    if std::env::var_os("UPDATE_SCREENSHOT").is_some() {
        cases.push(("screenshot", "the_picture_for_the_readme"));
    }
    let trial = |(script, name, on): (&'static str, &'static str, On)| {
        let reason = missing.clone();
        let trial = Trial::test(name, move || match reason {
            Some(reason) => Err(Failed::from(reason)),
            None => run(script, on),
        });
        match &missing {
            Some(reason) if !in_ci => trial.with_ignored_flag(true).with_kind(reason.clone()),
            _ => trial,
        }
    };
    let demos = cases.into_iter().map(|(script, name)| (script, name, On::Demo));
    let served = SERVED.into_iter().map(|(script, name)| (script, name, On::Served));
    let all = demos.chain(served).chain(LARGE.into_iter().map(|(script, name)| (script, name, On::Large)));
    libtest_mimic::run(&arguments, all.map(trial).collect()).exit();
}

/// What is not here, if anything.
fn missing() -> Option<String> {
    let runs = |program: &Path| {
        let mut version = Command::new(program);
        version.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    };
    let programs = [PathBuf::from("node"), PathBuf::from("npm"), chromium()];
    let absent = programs.iter().find(|program| !runs(program));
    absent.map(|program| format!("needs {}", program.display()))
}

fn chromium() -> PathBuf {
    std::env::var_os("CHROMIUM").map_or_else(|| PathBuf::from(CHROMIUM_DEFAULT), PathBuf::from)
}

/// The folder in which node finds playwright; installed once, also when several test programs want it at the same time.
fn playwright() -> Result<&'static Path, String> {
    static INSTALLED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    INSTALLED.get_or_init(install).as_deref().map_err(Clone::clone)
}

fn install() -> Result<PathBuf, String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/playwright");
    std::fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
    let lock = File::create(dir.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    let is_there = |package: &str| {
        let (name, version) = package.split_once('@').unwrap_or((package, ""));
        let manifest = std::fs::read_to_string(dir.join("node_modules").join(name).join("package.json")).unwrap_or_default();
        manifest.contains(&format!("\"version\": \"{version}\""))
    };
    if is_there(PLAYWRIGHT) && is_there(AXE) {
        return Ok(dir);
    }
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-save", "--no-audit", "--no-fund", "--prefix"]).arg(&dir).args([PLAYWRIGHT, AXE]);
    let done = npm.output().map_err(|error| error.to_string())?;
    if !done.status.success() {
        return Err(format!("npm install {PLAYWRIGHT} {AXE} failed: {}", String::from_utf8_lossy(&done.stderr)));
    }
    Ok(dir)
}

/// Runs one script against a T-minus of its own. The script says `kill` and `start` to have it crash and come
/// back with the same data at the same address, and `invite PERSON` to get a link.
fn run(script: &str, on: On) -> Result<(), Failed> {
    let playwright = playwright()?;
    let data = tempfile::tempdir()?;
    let house = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page/house");
    let large = tempfile::tempdir()?;
    if matches!(on, On::Large) {
        write_large(large.path())?;
    }
    let start = |listen: &str| match on {
        On::Demo => Demo::start(data.path(), listen),
        On::Served => Demo::serve(data.path(), &house, listen),
        On::Large => Demo::of(data.path(), large.path(), listen),
    };
    let invite = |person: &str| -> Result<String, Failed> {
        let mut invite = Command::new(env!("CARGO_BIN_EXE_tminus"));
        invite.args(["invite", person, "--config"]).arg(&house).arg("--data").arg(data.path());
        Ok(String::from_utf8(invite.output()?.stdout)?.trim_end().to_owned())
    };
    let first = start("127.0.0.1:0")?;
    let url = first.url.clone();
    let address = url.trim_start_matches("http://");
    let mut demo = Some(first);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut node = Command::new("node")
        .arg(root.join("tests/page").join(format!("{script}.mjs")))
        .current_dir(root)
        .env("DEMO", &url)
        .env("PLAYWRIGHT", playwright)
        .env("CHROMIUM", chromium())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut tell = node.stdin.take().expect("it is piped");
    for line in BufReader::new(node.stdout.take().expect("it is piped")).lines().map_while(Result::ok) {
        match line.as_str() {
            "kill" => demo = None,
            "start" => demo = Some(start(address)?),
            said => match said.strip_prefix("invite ") {
                Some(person) => {
                    writeln!(tell, "{}", invite(person)?)?;
                    continue;
                }
                None => continue,
            },
        }
        writeln!(tell, "done")?;
    }
    let done = node.wait_with_output()?;
    drop(demo);
    if done.status.success() {
        return Ok(());
    }
    let log = std::fs::read_to_string(data.path().join("log")).unwrap_or_default();
    Err(format!("{}\nthe demo's log:\n{log}", String::from_utf8_lossy(&done.stderr)).into())
}

/// A configuration with 150 people, all on one roster, and 120 steps, twelve of which are open at once.
fn write_large(dir: &Path) -> std::io::Result<()> {
    const PEOPLE: usize = 150;
    let id = |number: usize| format!("p{:03}", number % PEOPLE);
    let ids: Vec<String> = (0..PEOPLE).map(id).collect();
    let people: Vec<String> = ids.iter().enumerate().map(|(at, id)| format!("  {id}: {{ name: Person {at} }}\n")).collect();
    let step =
        |number: usize| format!("      - {{ task: Check node {number} and write down what it says, who: {} }}\n", id(number));
    let phase = |at: usize| {
        let steps: String = (12 * at + 1..=12 * at + 12).map(step).collect();
        format!("  - phase: part_{at}\n    title: Part {at} of the work\n    parallel: true\n    steps:\n{steps}")
    };
    let phases: String = (0..10).map(phase).collect();
    let runbook = format!(
        "runbook: large\ntitle: A large rollout\nrooms: [large]\nphases:\n  - phase: roll\n    steps:\n      \
         - {{ acknowledge: The window is known, from: [everybody] }}\n{phases}"
    );
    std::fs::create_dir_all(dir.join("config/runbooks"))?;
    std::fs::write(
        dir.join("config/people.yaml"),
        format!("people:\n{}teams: {{ everybody: [{}] }}\n", people.concat(), ids.join(", ")),
    )?;
    std::fs::write(dir.join("config/tminus.yaml"), "rooms: { large: { local: true } }\n")?;
    std::fs::write(dir.join("config/runbooks/large.yaml"), runbook)
}
