//! No arrow points up. Reads every source file and holds what it mentions against the sentences in `rules.rs`.

mod paths;
mod rules;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use self::rules::{check, sentences};

/// Fewer source files than this, and the test looks in the wrong place.
const FILES_MIN: usize = 50;

#[test]
fn no_arrow_points_up() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    read(&root, &root, &mut sources);
    assert!(sources.len() >= FILES_MIN, "only {} files in {}", sources.len(), root.display());
    let violations = check(&sources);
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} arrows point up:\n{}", lines.len(), lines.join("\n"));
}

fn read(root: &Path, dir: &Path, sources: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).expect("src/ can be read") {
        let path = entry.expect("src/ can be read").path();
        if path.is_dir() {
            read(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let place: Vec<_> =
                path.strip_prefix(root).expect("it is within").iter().map(|part| part.to_string_lossy()).collect();
            sources.push((place.join("/"), fs::read_to_string(&path).expect("a source file can be read")));
        }
    }
}

/// Modules that the sources below use, so that they are known to be modules.
const HOUSE: &[(&str, &str)] = &[
    ("lib.rs", "pub mod cli; pub mod domain; pub mod engine; pub mod gateway; pub mod settings; pub mod telemetry;"),
    ("gateway/mod.rs", "pub mod action; pub mod chat; pub mod web;"),
    ("gateway/chat/mod.rs", "pub mod local; pub mod slack; pub mod telegram; pub fn escape() {}"),
    ("gateway/chat/telegram/mod.rs", "pub struct Telegram;"),
    ("gateway/action/mod.rs", "pub mod jenkins; pub mod pretend;"),
    ("gateway/action/pretend.rs", "pub struct Pretend; pub struct Script;"),
    ("gateway/web/mod.rs", "pub struct Web;"),
    ("engine/mod.rs", "pub mod clock; pub mod journal; pub mod outbox;"),
    ("engine/journal/mod.rs", "pub mod sled; pub use self::sled::SledJournal;"),
    ("domain/mod.rs", "pub mod time; pub use self::time::Utc as Zulu;"),
    ("domain/time.rs", "pub use chrono::Utc;"),
];

/// The rules that a source breaks at a place, each with its line.
fn broken(place: &str, source: &str) -> BTreeSet<(usize, &'static str)> {
    let mut sources: Vec<(String, String)> = HOUSE
        .iter()
        .filter(|(known, _)| *known != place)
        .map(|(known, source)| ((*known).to_owned(), (*source).to_owned()))
        .collect();
    sources.push((place.to_owned(), source.to_owned()));
    check(&sources).into_iter().filter(|violation| violation.file == place).map(|v| (v.line, v.rule)).collect()
}

/// Sources with the line on which this rule has to be found broken.
const BROKEN: &[(&str, &str, usize, &str)] = &[
    // Floors.
    ("domain/a.rs", "use crate::engine::journal::Journal;", 1, "domain uses only domain"),
    ("domain/a.rs", "\nfn f(x: &crate::settings::Settings) {}", 2, "domain uses only domain"),
    ("domain/a/b.rs", "use super::super::super::{domain::time, gateway::web::Web as W};", 1, "domain uses only domain"),
    ("domain/a.rs", "#[derive(D)]\n#[serde(with = \"crate::engine::clock\")]\nstruct S;", 2, "domain uses only domain"),
    ("domain/a.rs", "use crate::*;\nfn f() { engine::clock::f() }", 2, "domain uses only domain"),
    ("engine/a.rs", "fn f() { let _ = crate::gateway::web::Web; }", 1, "the engine uses only the engine and the domain"),
    ("engine/a.rs", "use crate::{domain, telemetry};", 1, "the engine uses only the engine and the domain"),
    ("engine/a.rs", "use crate::settings::Settings;", 1, "the engine takes plain values, never settings"),
    ("engine/a/b.rs", "impl From<super::super::super::settings::S> for T {}", 1, "the engine takes plain values, never settings"),
    ("gateway/web/a.rs", "fn f() { info!(x = crate::settings::f()); }", 1, "gateway uses only gateway, engine and domain"),
    ("gateway/email.rs", "use crate::cli::serve;", 1, "gateway uses only gateway, engine and domain"),
    // Siblings.
    ("gateway/chat/slack/mod.rs", "use crate::gateway::web::Web;", 1, "siblings inside gateway do not use each other"),
    ("gateway/chat/slack/mod.rs", "use super::telegram::Telegram;", 1, "siblings inside gateway do not use each other"),
    ("gateway/chat/slack/a.rs", "use super::super::telegram as t;", 1, "siblings inside gateway do not use each other"),
    ("gateway/action/jenkins.rs", "use super::pretend;\nfn f() {}", 1, "siblings inside gateway do not use each other"),
    ("gateway/web/mod.rs", "fn f() { super::chat::escape() }", 1, "siblings inside gateway do not use each other"),
    // Settings.
    (
        "settings.rs",
        "use crate::gateway::action::pretend::{Pretend, Script};",
        1,
        "settings uses only domain, and what a pretended system plays and a real one is allowed",
    ),
    (
        "settings.rs",
        "use crate::engine::clock;",
        1,
        "settings uses only domain, and what a pretended system plays and a real one is allowed",
    ),
    // The store and HTTP.
    ("engine/outbox/mod.rs", "use sled;", 1, "only engine/journal and engine/scratch.rs use the store"),
    (
        "cli/journal.rs",
        "use ::sled as store;\nfn f(db: store::Db) {}",
        2,
        "only engine/journal and engine/scratch.rs use the store",
    ),
    (
        "cli/demo.rs",
        "fn f() -> axum::Router { todo() }",
        1,
        "only gateway/web serves HTTP; cli/serve.rs wires it, telemetry records its figures",
    ),
    (
        "gateway/chat/slack/mod.rs",
        "use tower_http::timeout::{TimeoutLayer};",
        1,
        "only gateway/web serves HTTP; cli/serve.rs wires it, telemetry records its figures",
    ),
    // The time.
    ("cli/demo.rs", "use chrono::Utc;\nfn f() { Utc::now(); }", 2, "only engine/clock.rs reads the time of day"),
    ("engine/a.rs", "use chrono::*;\nfn f() { Utc::now(); }", 2, "only engine/clock.rs reads the time of day"),
    ("engine/a.rs", "use chrono::{Utc as Z};\nfn f() { g(Z::now) }", 2, "only engine/clock.rs reads the time of day"),
    ("engine/a.rs", "type T = chrono::Local;\nfn f() { T::now(); }", 2, "only engine/clock.rs reads the time of day"),
    ("engine/a.rs", "fn f() { <chrono::Utc>::now(); }", 1, "only engine/clock.rs reads the time of day"),
    ("engine/a.rs", "use crate::domain::Zulu;\nfn f() { Zulu::now(); }", 2, "only engine/clock.rs reads the time of day"),
    ("engine/a.rs", "use std::time as t;\nfn f() { t::SystemTime::now(); }", 2, "only engine/clock.rs reads the time of day"),
    (
        "engine/a.rs",
        "use chrono::Utc;\nfn f() { println!(\"{}\", Utc::now()); }",
        2,
        "only engine/clock.rs reads the time of day",
    ),
    (
        "engine/a.rs",
        "#[cfg(test)]\nmod tests { use chrono::Utc;\nfn f() { Utc::now(); } }",
        3,
        "only engine/clock.rs reads the time of day",
    ),
    (
        "gateway/web/a.rs",
        "use std::time::Instant;\nfn f() { Instant::now(); }",
        2,
        "pauses are measured only by engine/clock.rs, by the journal while it waits for its lock, and in tokio's time by the outbox",
    ),
    (
        "engine/conductor/a.rs",
        "fn f() { tokio::time::Instant::now(); }",
        1,
        "pauses are measured only by engine/clock.rs, by the journal while it waits for its lock, and in tokio's time by the outbox",
    ),
    // Purity.
    ("domain/a.rs", "use std::time::{Duration, Instant};", 1, "domain never reads a clock"),
    ("domain/a.rs", "fn f() { std::time::UNIX_EPOCH.elapsed(); }", 1, "domain never reads a clock"),
    ("domain/a.rs", "use chrono::{DateTime,\nLocal};", 2, "domain never reads a clock"),
    ("domain/a.rs", "#[tokio::main]\nasync fn f() {}", 1, "domain never waits"),
    ("domain/a.rs", "fn f() { std::thread::sleep(x) }", 1, "domain never waits"),
    ("domain/a.rs", "use std::{\nfmt, fs::{self, File}};", 2, "domain never touches a file"),
    ("domain/a.rs", "use std::*;\nfn f() { fs::read(\"x\"); }", 2, "domain never touches a file"),
    ("domain/a.rs", "use std as s;\nfn f() { s::fs::read(\"x\"); }", 2, "domain never touches a file"),
    ("domain/a.rs", "macro_rules! m { () => { ::std::fs::read(\"x\") } }", 1, "domain never touches a file"),
    ("domain/a.rs", "#[cfg(not(test))]\nmod m { use std::fs; }", 2, "domain never touches a file"),
    ("domain/a.rs", "fn f() { use std::net::TcpStream; }", 1, "domain never touches the network"),
    ("domain/a.rs", "fn f(c: reqwest::Client) {}", 1, "domain never touches the network"),
    ("domain/a.rs", "fn f() { std::env::var(\"X\"); }", 1, "domain never reads its environment"),
    ("domain/a.rs", "mod m { pub use std::process; }\nfn f() { m::process::abort() }", 2, "domain never starts a process"),
    ("domain/a.rs", "extern crate sled as s;\nfn f(x: s::Db) {}", 2, "domain never stores anything"),
    ("domain/a.rs", "fn f() { vec![fastrand::u8(..)]; }", 1, "domain never throws dice"),
    // Ways around.
    ("domain/a.rs", "#[path = \"../engine/x.rs\"]\nmod x;", 1, "a module stands in the file that its name says"),
    ("domain/a.rs", "include!(\"../engine/x.rs\");", 1, "a module stands in the file that its name says"),
];

#[test]
fn every_way_to_break_a_rule_is_found() {
    for (place, source, line, rule) in BROKEN {
        let found = broken(place, source);
        assert!(found.contains(&(*line, *rule)), "{place}: {source}\nbreaks “{rule}” on line {line}; found: {found:#?}");
    }
}

#[test]
fn every_rule_can_be_broken() {
    let broken: BTreeSet<&str> = BROKEN.iter().map(|(.., rule)| *rule).collect();
    let all: BTreeSet<&str> = sentences().collect();
    assert_eq!(broken, all);
}

/// Sources that break nothing, however close they come.
const KEPT: &[(&str, &str)] = &[
    ("domain/a.rs", "//! See [`crate::engine`].\nuse chrono::{DateTime, Utc};\nfn f(now: DateTime<Utc>) {}"),
    ("domain/a.rs", "#[cfg(test)]\nmod tests { use super::*; fn f() { std::fs::read(\"x\"); fastrand::u8(..); } }"),
    ("domain/a.rs", "use std::time::Duration; use std::collections::BTreeMap; use crate::domain::time;"),
    ("domain/a.rs", "fn f(engine: u8) { println!(\"{}\", engine); x.now(); state.tokio.fs(); }"),
    ("engine/clock.rs", "use chrono::Utc; fn f() { Utc::now(); std::time::Instant::now(); }"),
    ("engine/outbox/a.rs", "use tokio::time::Instant; fn f() { Instant::now(); }"),
    ("engine/outbox/a.rs", "use std::time::{Instant, SystemTime}; fn f(at: SystemTime, since: Instant) {}"),
    ("engine/journal/mod.rs", "pub mod sled; use self::sled::SledJournal; fn f() -> ::sled::Db { todo() }"),
    ("engine/scratch.rs", "fn f(tree: sled::Tree) {}"),
    ("cli/demo.rs", "use crate::engine::journal::sled::SledJournal; use crate::engine::journal; fn f(s: journal::sled::S) {}"),
    ("cli/serve.rs", "use crate::{domain, engine, gateway, settings, telemetry}; fn f() { axum::serve() }"),
    (
        "settings.rs",
        "use crate::domain::people; use crate::gateway::action::pretend::Script; fn f(s: Script) { std::env::var(\"X\"); }",
    ),
    (
        "gateway/chat/slack/mod.rs",
        "use super::escape; use crate::gateway::chat; fn f() { chat::escape(); crate::engine::clock::f() }",
    ),
    ("gateway/chat/slack/a.rs", "use super::b; use crate::gateway::chat::slack::c;"),
    (
        "gateway/web/mod.rs",
        "use axum::Router; use tower_http::timeout; use crate::domain::time; #[cfg(any(test, unix))] mod x {}",
    ),
];

#[test]
fn what_keeps_the_rules_is_let_through() {
    for (place, source) in KEPT {
        let found = broken(place, source);
        assert!(found.is_empty(), "{place}: {source}\nbreaks nothing; found: {found:#?}");
    }
}
