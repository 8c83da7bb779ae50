//! What operators watch: figures with their meaning, readiness, log lines for machines.

use std::collections::BTreeSet;
use std::path::Path;

use regex::Regex;
use serde_json::{Value, json};

use crate::{Browser, House, ROOM};

#[test]
fn figures_say_what_they_are_and_count_what_happens() {
    let house = House::new();
    let serving = house.serve();
    let mut maria = Browser::at(&serving.url);
    maria.log_in(&house.given(&["invite", "maria"]));
    let figures = || maria.get("/metrics").text().expect("figures");
    let of = |figures: &str, name: &str| -> f64 {
        let line = figures.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is not there: {figures}")).parse().expect("a number")
    };
    let before = figures();
    for there_from_the_beginning in ["tminus_journal_records_total", "tminus_delivery_retries_total", "tminus_rollouts_open"] {
        of(&before, there_from_the_beginning);
    }
    maria.says("/rollout start hello");
    assert_eq!(maria.post(ROOM, &json!({ "text": "/rollout go" })).status(), 200);
    let after = figures();
    assert!((of(&after, "tminus_rollouts_open") - 1.0).abs() < f64::EPSILON);
    assert!(of(&after, "tminus_commands_total{outcome=\"done\"}") >= 1.0);
    assert!(of(&after, "tminus_journal_records_total") > of(&before, "tminus_journal_records_total"));
    assert!(of(&after, "tminus_answer_seconds_count{to=\"command\"}") >= 2.0);
    assert!(of(&after, "tminus_journal_commit_seconds_bucket{le=\"+Inf\"}") >= 1.0);
    // Whatever is exported is explained.
    let named: BTreeSet<&str> = after.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let explained: BTreeSet<&str> = after.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
    assert_eq!(named.difference(&explained).collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn every_figure_of_the_code_is_described() {
    let counted = Regex::new(r#"metrics::(?:counter|gauge|histogram)!\(\s*"(\w+)""#).expect("a pattern");
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut names = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                names.extend(counted.captures_iter(&text).map(|found| found[1].to_owned()));
            }
        }
    }
    let telemetry = include_str!("../../src/telemetry.rs");
    assert!(names.len() > 15, "{names:?}");
    let silent: Vec<_> = names.iter().filter(|name| !telemetry.contains(&format!("(\"{name}\", "))).collect();
    assert!(silent.is_empty(), "src/telemetry.rs does not say what these mean: {silent:?}");
}

#[test]
fn log_lines_are_json_where_machines_read_them_and_the_program_says_whether_it_is_ready() {
    let house = House::new();
    let serving = house.serve();
    let (code, said, _) = house.tminus(&["ready", "--url", &serving.url]);
    assert_eq!((code, said.as_str()), (Some(0), "ready"));
    let url = serving.url.clone();
    assert!(serving.stop(), "it ends well");
    let (code, _, error) = house.tminus(&["ready", "--url", &url]);
    assert_eq!(code, Some(1));
    assert!(error.contains("does not answer"), "{error}");
    // The same program, told to write for machines.
    house.write(
        "config/tminus.yaml",
        "rooms: { rollouts: { local: true }, away: { slack: C1 } }\nweb: { listen: '192.0.2.1:1', allow_http: true }\n",
    );
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tminus"))
        .arg("serve")
        .env("TMINUS_DATA", house.data())
        .env("TMINUS_CONFIG", house.config())
        .env("TMINUS_LOG_FORMAT", "json")
        .output()
        .expect("it runs");
    let log = String::from_utf8(output.stderr).expect("UTF-8");
    let first: Value = serde_json::from_str(log.lines().next().unwrap_or_default()).unwrap_or_else(|_| panic!("JSON: {log}"));
    assert_eq!(first["level"], "WARN");
    assert!(first["fields"]["message"].as_str().is_some_and(|says| says.contains("The room away is not `local`")), "{first}");
}
