//! `tminus simulate`: a rollout from its first to its last moment, and the other roads that answers files take.

use crate::tminus;

const WINDOW: &str = "2026-12-01 02:00 for 2h";

/// Simulates the promotion of Andromeda with an answers file.
fn simulated(answers: &str) -> (Option<i32>, String, String) {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("answers.yaml"), answers).expect("written");
    tminus(dir.path(), &["simulate", "andromeda-staging", "4.3", "--window", WINDOW, "--answers", "answers.yaml"])
}

#[test]
fn a_simulation_plays_the_whole_rollout_and_says_every_message() {
    let dir = tempfile::tempdir().expect("a folder");
    let (code, said, error) = tminus(dir.path(), &["simulate", "andromeda-staging", "4.3", "--window", WINDOW]);
    assert_eq!((code, error.as_str()), (Some(0), ""), "{said}");
    let expected = [
        "T-0 is 2026-12-01 02:00 EST for 2h. Nothing is sent, and nothing is asked of a system.",
        "2026-11-26 02:00 EST  “Pre-Flight” opened",
        "2026-12-01 01:59 EST  announcement “commencement” goes to 2 destinations",
        "      to email:andromeda-preproduction-watch, slack:andromeda-preproduction-watch",
        "      | Changeset 4.3 is commencing to the Staging environment for the Andromeda system.",
        "2026-12-01 02:11 EST  [blue-side-tests-staging-4.3] ended SUCCEEDED (2026-12-01 02:11 EST)",
        "      | We are a GO on updating the Staging stack.",
        "      | Changeset 4.3 was successfully deployed to the Staging environment for the Andromeda system.",
        "Ends SUCCEEDED at 2026-12-01 02:22 EST, 22m 5s after T-0 (the window is 2h).",
    ];
    let mut lines = said.lines();
    for line in expected {
        assert!(lines.any(|said| said == line), "in this order: {line}\n{said}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 0, "nothing is remembered");
    // The same again is the same again.
    let (_, again, _) = tminus(dir.path(), &["simulate", "andromeda-staging", "4.3", "--window", WINDOW]);
    assert_eq!(again, said);
    let (_, json, _) = tminus(dir.path(), &["simulate", "andromeda-staging", "4.3", "--window", WINDOW, "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["result"], &json["waits_for"]), (&"succeeded".into(), &serde_json::json!([])));
    let messages = json["scenes"].as_array().expect("a list").iter().filter(|scene| scene["message"]["subject"].is_string());
    assert_eq!(messages.count(), 3);
}

#[test]
fn a_simulation_takes_the_other_roads_that_its_answers_say() {
    let (code, said, _) = simulated("cutover: { ana: no-go }\naware: { silent: [li] }\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("Maria waived “You know of this promotion and have subscribed to it” for Li: never answered"),
        "{said}"
    );
    assert!(said.contains("      | We are a NO-GO on updating the Staging stack."), "{said}");
    assert!(said.contains("Ends NO-GO at 2026-12-01 02:12 EST"), "{said}");
    let (_, said, _) = simulated("post_tests: { fails: 7 of 120 checks failed }\nupdate_containers: { takes: 20m }\n");
    assert!(said.contains("succeeded after 20m") && said.contains("Maria backed off from “GO Decision”"), "{said}");
    assert!(said.contains("Ends FAILED at 2026-12-01 02:31 EST"), "{said}");
    let (_, said, _) = simulated("post_tests: { fails: 7 of 120 checks failed, then: retry }\n");
    assert!(said.contains("(attempt 2)") && said.contains("Ends SUCCEEDED"), "{said}");
    // What does not hold is not passed over, and what nothing moves any more is said.
    let (code, said, _) = simulated("confirm_window: { window: never }\n");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("It does not end. It waits:") && said.contains("“never” is not a time"), "{said}");
}

/// A runbook of which people do most, with a wait for something that a system says.
const BY_HAND: &str = "runbook: move
title: Move {{ thing }}
timezone: Europe/Berlin
inputs:
  thing: { label: Thing, positional: true, example: web }
  window: { label: Window, type: window }
phases:
  - phase: prepare
    at: T-1d
    steps:
      - { task: Make a copy, id: copy, evidence: { size: { label: Size, type: number } } }
  - phase: moving
    at: T-0
    back-off: back
    steps:
      - { run: robot.go, id: robot, require: [{ that: outputs.code == '0', else: 'it said {{ outputs.code }}' }] }
      - wait: The site answers
        id: up
        until: { run: probe.request, with: { url: 'https://example.com' }, require: [{ that: outputs.status == '200', else: no }] }
        every: 1m
        timeout: 30m
      - { checklist: tests, id: tests, gate: false }
      - { result: succeeded, id: moved }
  - phase: back
    if: backed_off('moving')
    steps:
      - { task: Move it back, id: moved_back }
      - { result: failed, id: not_moved }
";

/// What `tminus simulate move web` says with an answers file, of which only what happens is kept.
fn moved(answers: &str) -> (Option<i32>, Vec<String>, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let runbooks = dir.path().join("config/runbooks");
    std::fs::create_dir_all(&runbooks).expect("folders");
    let write = |path: &str, text: &str| std::fs::write(dir.path().join(path), text).expect("written");
    write("config/people.yaml", "people:\n  ann: { name: Ann Ott }\n  bob: { name: Bob Lee }\n");
    let probe = "probe: { kind: pretend, as: http, script: { request: { takes: 5s, outputs: { status: '200', body: ok } } } }";
    write("config/tminus.yaml", &format!("rooms: {{ ops: {{}} }}\nsystems:\n  {probe}\n"));
    write("config/runbooks/move.yaml", BY_HAND);
    let tests = "runbook: tests\ntitle: Tests\nphases:\n  - phase: all\n    steps:\n      - { task: Try it, id: copy }\n      - { result: succeeded, id: fine }\n";
    write("config/runbooks/tests.yaml", tests);
    write("answers.yaml", answers);
    let args = ["simulate", "move", "web", "--window", "2026-12-01 02:00 for 2h", "--answers", "answers.yaml", "--config", "."];
    let (code, said, error) = tminus(dir.path(), &args);
    let lines = said.lines().filter(|line| !line.is_empty() && !line.starts_with("      "));
    (code, lines.map(str::to_owned).collect(), error)
}

#[test]
fn people_who_do_what_no_system_does_fail_in_a_simulation_too() {
    let said_in_order = |answers: &str, expected: &[&str]| {
        let (code, said, error) = moved(answers);
        let mut lines = said.iter();
        for part in expected {
            assert!(lines.any(|line| line.contains(part)), "in this order: {part}\n{said:#?}\n{error}");
        }
        code
    };
    // A check that takes its time is waited for, and not leapt over.
    let code = said_in_order(
        "robot: { code: 0 }\n",
        &[
            "02:00 CET  “The site answers” began",
            "02:00 CET  “The site answers” is over",
            "Ends SUCCEEDED at 2026-12-01 02:00 CET, 5s",
        ],
    );
    assert_eq!(code, Some(0));
    let code = said_in_order(
        "robot: { code: 0 }\nup: { fails: no route }\n",
        &["“The site answers” is over", "Ends SUCCEEDED at 2026-12-01 02:01 CET"],
    );
    assert_eq!(code, Some(0), "the first turn fails, the next one does not");
    let code = said_in_order(
        "robot: { code: 0 }\nup: { outputs: { status: '500' } }\n",
        &["“The site answers” failed: it did not come true within 30m", "Ends SUCCEEDED at 2026-12-01 02:30 CET"],
    );
    assert_eq!(code, Some(0));
    let code = said_in_order(
        "robot: { fails: it lost a wheel }\n",
        &["failed: it lost a wheel", "Ann backed off from “Moving”", "Ann completed “Move it back”", "Ends FAILED"],
    );
    assert_eq!(code, Some(0));
    let code = said_in_order(
        "robot: { code: 0 }\nmove/copy: { fails: no room, then: skip }\ntests/copy: fails\n",
        &[
            "“Make a copy” failed: no room",
            "Ann and Bob skipped “Make a copy”",
            "“Try it” failed: it failed, as",
            "Ends SUCCEEDED",
        ],
    );
    assert_eq!(code, Some(0));
    // What is made up does not hold, and nobody tries it for ever.
    let code = said_in_order(
        "robot: { code: 1 }\n",
        &["failed: it said 1", "It does not end. It waits:", "  “robot: go” failed: it said 1", "Ann decides how"],
    );
    assert_eq!(code, Some(1));
    let (code, _, error) = moved("copy: fails\nmover/copy: fails\nmove/copy: fail\nrobot: { cod: 1 }\n");
    assert_eq!(code, Some(1));
    for part in [
        "several runbooks have a step `copy`",
        "write `move/copy` or `tests/copy`",
        "did you mean `move`?",
        "did you mean `fails`?",
        "did you mean `code`?",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_simulation_needs_no_window_where_the_runbook_has_none() {
    let dir = tempfile::tempdir().expect("a folder");
    let simulated = |answers: &str| {
        std::fs::write(dir.path().join("answers.yaml"), answers).expect("written");
        tminus(dir.path(), &["simulate", "minimal", "service=web", "--answers", "answers.yaml"])
    };
    let (code, said, error) = simulated("");
    assert_eq!((code, error.as_str()), (Some(0), ""), "{said}");
    assert!(said.contains("Simulation of Restart web (minimal-web)") && said.contains("Ends SUCCEEDED"), "{said}");
    let (code, said, _) = simulated("check: { state: down }\n");
    assert!(said.contains("Ends FAILED"), "{said}");
    assert_eq!(code, Some(0), "it ended, whatever its result");
    let (code, said, _) = simulated("check: { state: sideways }\n");
    assert!(said.contains("It does not end. It waits:") && said.contains("sideways"), "{said}");
    assert_eq!(code, Some(1));
}

#[test]
fn a_simulation_that_is_not_right_says_what_is_not() {
    let (code, said, error) = simulated("cutofer: no-go\nbackup: { bakup_id: 1 }\nreview: { x: 1 }\ncommencement: go\n");
    assert_eq!((code, said.as_str()), (Some(1), ""));
    for part in [
        "did you mean `cutover`?",
        "did you mean `backup_id`?",
        "unknown field `x`",
        "a step of the kind `announce`, which nobody answers",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let dir = tempfile::tempdir().expect("a folder");
    for (args, expected) in [
        (&["andromeda-stagin", "4.3"][..], "Did you mean `andromeda-staging`?"),
        (&["andromeda-staging", "4.3"], "say when with --window"),
        (&["andromeda-staging", "4", "--window", WINDOW], "must match"),
        (&["andromeda-staging", "4.3", "verson=4.3", "--window", WINDOW], "Did you mean `version`?"),
        (&["andromeda-staging", "4.3", "--window", "soon"], "“soon” is not a time"),
        (&["minimal", "web", "--window", WINDOW], "`minimal` has no window"),
        (&["minimal", "web", "--as", "mara"], "Did you mean `maria`?"),
    ] {
        let (code, said, error) = tminus(dir.path(), &[&["simulate"], args].concat());
        assert_eq!((code, said.as_str()), (Some(1), ""), "{args:?}");
        assert!(error.contains(expected), "{args:?}: {error}");
    }
}

#[test]
fn answers_that_change_nothing_are_said() {
    let (code, said, _) = simulated("cutover: { maria: no-go, li: go }\naware: { silent: [sam] }\npost_tests: { then: retry }\n");
    assert_eq!(code, Some(0), "{said}");
    let expected = "Of the answers, this changed nothing:\n  `aware`: Sam is not asked there\n  `cutover`: Maria is not asked there\n  \
                    `post_tests`: it did not fail, so `then` never came up\n";
    assert!(said.contains("Ends SUCCEEDED") && said.ends_with(expected), "{said}");
    let (_, said, _) = simulated("cutover: no-go\npost_tests: { fails: 7 of 120 checks failed }\n");
    assert!(said.ends_with("changed nothing:\n  `post_tests`: the step never came up\n"), "{said}");
    let (_, said, _) = simulated("cutover: { ana: no-go }\naware: { silent: [li] }\n");
    assert!(!said.contains("changed nothing"), "{said}");
    let (code, _, error) = simulated("post_tests: { outputs: { cod: 1 } }\n");
    assert_eq!(code, Some(1));
    assert!(error.contains("unknown output `cod`"), "{error}");
}

#[test]
fn an_answer_of_many_steps_is_an_answer_of_each() {
    let dir = tempfile::tempdir().expect("a folder");
    let runbooks = dir.path().join("config/runbooks");
    std::fs::create_dir_all(&runbooks).expect("a folder");
    let runbook = "runbook: pair\nphases:\n  - phase: one\n    steps:\n      \
                   - { ask: Ready?, id: ready, each: [a, b], fields: { how: { label: How } } }\n      - { result: succeeded }\n";
    std::fs::write(runbooks.join("pair.yaml"), runbook).expect("written");
    std::fs::write(dir.path().join("answers.yaml"), "'ready[b]': { how: badly }\nready: { how: well }\n").expect("written");
    let (code, said, error) = tminus(dir.path(), &["simulate", "pair", "--config", ".", "--answers", "answers.yaml"]);
    assert_eq!(code, Some(0), "{error}");
    let how: Vec<&str> = said.lines().filter_map(|line| line.split("(How: ").nth(1)).collect();
    assert_eq!(how, ["well)", "badly)"], "{said}");
}
