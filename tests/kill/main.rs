//! Kills the real program at random moments through a whole rollout: nothing that was acknowledged is lost, nothing is
//! done twice, and what it shows after a restart is what it showed before.
//!
//! `TMINUS_KILLS` says how often it is killed at least, `TMINUS_SEED` repeats the choices of an earlier run. The moments
//! themselves are the scheduler's, so the same seed is a similar run, not the same one.

#![cfg(unix)]

mod checks;
mod player;
mod process;

use std::env;
use std::sync::Arc;

use tempfile::tempdir;
use tminus::settings::Files;

use self::player::{Player, ROLLOUT};
use self::process::{Starting, demo, eventually, run};

/// How often the process is killed, unless `TMINUS_KILLS` says otherwise.
const KILLS: usize = 30;

fn number<T: std::str::FromStr>(name: &str, otherwise: T) -> T {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => otherwise,
    }
}

#[test]
fn a_rollout_survives_being_killed_at_any_moment() {
    let (seed, kills) = (number("TMINUS_SEED", fastrand::u64(..)), number("TMINUS_KILLS", KILLS));
    println!("TMINUS_SEED={seed} TMINUS_KILLS={kills}");
    let folder = tempdir().unwrap();
    let data = folder.path().join("data");
    let people = Arc::new(Files::embedded().settings().unwrap().people);

    let mut player = Player::begin(&data, people.clone(), seed, kills);
    player.play();

    // It is over; a last restart, and everything that was ever acknowledged is asked once more.
    let quiet = eventually("the rollout comes to rest", || player.look());
    player.kill_between(&quiet);
    player.repeat_all();
    let quiet = eventually("the rollout comes to rest", || player.look());
    let view = quiet.view();
    assert_eq!((&view["status"], &view["result"]), (&"ended".into(), &"succeeded".into()));
    player.read_events();
    assert_eq!(player.events.len(), 2, "the rollout and its checklist: {:?}", player.events.keys());
    for events in player.events.values() {
        checks::stream(events);
    }
    checks::announcements(player.process(), &player.events);
    checks::hosting_room(player.process(), &player.events, &people);
    checks::sayings(player.process(), &player.acknowledged);
    checks::actions(&data, &player.events[ROLLOUT]);

    // What named no rollout still means the one that was open then, now that another one is.
    let body = serde_json::json!({ "person": "maria", "text": "/rollout start 4.4" });
    let (status, told) = player.process().post("/api/rooms/andromeda-rollouts/messages", "another", &body).unwrap();
    assert_eq!((status, &told["rollout"]), (200, &"andromeda-staging-4.4".into()), "{told}");
    player.repeat_all();
    assert!(player.figures.kills() >= kills, "it was killed often enough: {}", player.figures);

    let (status, figures) = player.stop();
    assert!(status.success(), "a process that is told to stop stops well: {status}");
    let verified = run(&["journal", "verify", "--data", data.to_str().unwrap()]);
    assert!(verified.status.success(), "the journal verifies: {}", String::from_utf8_lossy(&verified.stdout));
    println!("{figures}");
}

#[test]
fn a_second_process_on_one_folder_is_turned_away() {
    let folder = tempdir().unwrap();
    let data = folder.path().join("data");
    let first = Starting::spawn(&data).ready();

    let second = run(&demo("127.0.0.1:0", &data));
    let says = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success());
    assert!(says.contains("is in use by another process: stop that one, or give this one a folder of its own"), "{says}");

    let body = serde_json::json!({ "person": "maria", "text": "/rollout start 4.3" });
    let (status, told) = first.post("/api/rooms/andromeda-rollouts/messages", "after-the-second", &body).unwrap();
    assert_eq!((status, &told["refused"]), (200, &serde_json::Value::Null), "{told}");
    assert!(first.stop().success());
    assert!(run(&["journal", "verify", "--data", data.to_str().unwrap()]).status.success());
}

#[test]
fn a_port_that_is_taken_is_said_before_anything_is_touched() {
    let folder = tempdir().unwrap();
    let first = Starting::spawn(&folder.path().join("first")).ready();

    let (listen, data) = (first.address.to_string(), folder.path().join("second"));
    let second = run(&demo(&listen, &data));
    let says = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success());
    assert!(says.contains(&format!("can't listen on {listen}; choose another address with --listen ADDR")), "{says}");
    assert!(!data.join("journal").exists(), "its journal was not opened");

    assert!(first.get("/api/rollouts").is_some(), "the first one still answers");
}
