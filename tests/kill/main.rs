//! Kills the real program at random moments through a whole rollout: nothing that was acknowledged is lost, nothing is
//! done twice, and what it shows after a restart is what it showed before.
//!
//! `TMINUS_KILLS` says how often it is killed at least, `TMINUS_SEED` repeats the choices of an earlier run. The moments
//! themselves are the scheduler's, so the same seed is a similar run, not the same one.

#![cfg(unix)]

mod checks;
mod player;
mod process;

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::{env, fs};

use tempfile::tempdir;
use tminus::settings::Files;

use self::player::{Player, ROLLOUT, Road};
use self::process::{CONFIG_DIR, Starting, demo, eventually, run};

/// How often the process is killed on the straight road, unless `TMINUS_KILLS` says otherwise; on the two others a third of it
/// each: a hundred times in all.
const KILLS: usize = 60;

fn number<T: std::str::FromStr>(name: &str, otherwise: T) -> T {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => otherwise,
    }
}

/// What is asked of systems on the straight road.
const STRAIGHT: [&str; 5] = ["blue_now", "update_containers", "prescale", "dns", "post_tests"];

/// Puts a configuration beside the data whose systems behave worse: by the operation, what its script says more.
fn with_systems_that(folder: &Path, worse: &[(&str, &str)]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = folder.join(CONFIG_DIR);
    for dir in ["config/runbooks", "messages"] {
        fs::create_dir_all(config.join(dir)).expect("it works");
        for entry in fs::read_dir(root.join(dir)).expect("it is there") {
            let entry = entry.expect("it works");
            fs::copy(entry.path(), config.join(dir).join(entry.file_name())).expect("it works");
        }
    }
    fs::copy(root.join("config/people.yaml"), config.join("config/people.yaml")).expect("it works");
    let mut settings = fs::read_to_string(root.join("config/tminus.yaml")).expect("it works");
    for (operation, more) in worse {
        let key = format!("      {operation}:\n");
        assert!(settings.contains(&key), "there is a script of {operation}");
        settings = settings.replace(&key, &format!("{key}        {more}\n"));
    }
    fs::write(config.join("config/tminus.yaml"), settings).expect("it works");
}

fn survives(road: Road, worse: &[(&str, &str)], result: &str, family: usize, asked: &[&str]) {
    // The straight road is killed most: the others share most of it.
    let share = if road == Road::Succeeded { 1 } else { 3 };
    let (seed, kills) = (number("TMINUS_SEED", fastrand::u64(..)), number("TMINUS_KILLS", KILLS) / share);
    say(&format!("{road:?}: TMINUS_SEED={seed} TMINUS_KILLS={kills}"));
    let folder = tempdir().expect("it works");
    let data = folder.path().join("data");
    let people = Arc::new(Files::embedded().settings().expect("it is usable").people);
    if !worse.is_empty() {
        with_systems_that(folder.path(), worse);
    }

    let mut player = Player::begin(&data, people.clone(), road, seed, kills);
    player.play();

    // It is over; a last restart, and everything that was ever acknowledged is asked once more.
    let quiet = eventually("the rollout comes to rest", || player.look());
    player.kill_between(&quiet);
    player.repeat_all();
    let quiet = eventually("the rollout comes to rest", || player.look());
    let view = quiet.view();
    let said = view["result"].as_str().map(str::to_uppercase);
    assert_eq!((&view["status"], said.as_deref()), (&"ended".into(), Some(result)));
    player.read_events();
    assert_eq!(player.events.len(), family, "the rollout and its checklists: {:?}", player.events.keys());
    for events in player.events.values() {
        checks::stream(events);
    }
    checks::announcements(player.process(), &player.events);
    checks::hosting_room(player.process(), &player.events, &people, result);
    checks::sayings(player.process(), &player.acknowledged);
    checks::actions(&data, &player.events[ROLLOUT], asked, !worse.is_empty());

    // What named no rollout still means the one that was open then, now that another one is.
    let body = serde_json::json!({ "person": "maria", "text": "/rollout start 4.4" });
    let (status, told) = player.process().post("/api/rooms/andromeda-rollouts/messages", "another", &body).expect("it works");
    assert_eq!((status, &told["rollout"]), (200, &"andromeda-staging-4.4".into()), "{told}");
    player.repeat_all();
    assert!(player.figures.kills() >= kills, "it was killed often enough: {}", player.figures);

    let (status, figures) = player.stop();
    assert!(status.success(), "a process that is told to stop stops well: {status}");
    let verified = run(&["journal", "verify", "--data", data.to_str().expect("text")]);
    assert!(verified.status.success(), "the journal verifies: {}", String::from_utf8_lossy(&verified.stdout));
    say(&format!("{road:?}: {figures}"));
}

/// Says something also where the output of a test that passes is not shown: figures are to be read.
fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("it works");
}

#[test]
fn a_rollout_survives_being_killed_at_any_moment() {
    survives(Road::Succeeded, &[], "SUCCEEDED", 2, &STRAIGHT);
}

#[test]
fn a_no_go_survives_with_an_update_that_says_nothing() {
    let silent = [("cloudformation.update-stack", "silent: true")];
    survives(Road::NoGo, &silent, "NO-GO", 3, &STRAIGHT[..2]);
}

#[test]
fn a_way_back_survives_with_answers_that_are_lost_late_and_said_twice() {
    let worse = [
        ("cloudformation.update-stack", "loses-answer: true"),
        ("autoscaling.prescale", "twice: true"),
        ("command.post-cutover-tests", "fails: 7 of 120 checks failed"),
    ];
    let asked = [&STRAIGHT[..], &["dns_back"]].concat();
    survives(Road::Failed, &worse, "FAILED", 3, &asked);
}

#[test]
fn a_second_process_on_one_folder_is_turned_away() {
    let folder = tempdir().expect("it works");
    let data = folder.path().join("data");
    let first = Starting::spawn(&data).ready();

    let second = run(&demo("127.0.0.1:0", &data));
    let says = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success());
    assert!(says.contains("is in use by another process: stop that one, or give this one a folder of its own"), "{says}");

    let body = serde_json::json!({ "person": "maria", "text": "/rollout start 4.3" });
    let (status, told) = first.post("/api/rooms/andromeda-rollouts/messages", "after-the-second", &body).expect("it works");
    assert_eq!((status, &told["refused"]), (200, &serde_json::Value::Null), "{told}");
    assert!(first.stop().success());
    assert!(run(&["journal", "verify", "--data", data.to_str().expect("text")]).status.success());
}

#[test]
fn a_port_that_is_taken_is_said_before_anything_is_touched() {
    let folder = tempdir().expect("it works");
    let first = Starting::spawn(&folder.path().join("first")).ready();

    let (listen, data) = (first.address.to_string(), folder.path().join("second"));
    let second = run(&demo(&listen, &data));
    let says = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success());
    assert!(says.contains(&format!("can't listen on {listen}; choose another address with --listen ADDR")), "{says}");
    assert!(!data.join("journal").exists(), "its journal was not opened");

    assert!(first.get("/api/rollouts").is_some(), "the first one still answers");
}
