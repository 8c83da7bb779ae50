//! The command line as scripts use it: what it prints, and how it ends.

mod demo;

use std::path::Path;
use std::process::{Command, Output};

/// Runs the program in a folder.
fn tminus(dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_tminus")).args(args).current_dir(dir).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn check_ends_with_one_line_and_a_code() {
    let dir = tempfile::tempdir().expect("a folder");
    let (code, said, _) = tminus(dir.path(), &["check"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("There is no config/ here, so this is about the configuration that is built in.\n"), "{said}");
    assert!(said.lines().last().is_some_and(|line| line.starts_with("ok: ")), "{said}");

    let runbooks = dir.path().join("config/runbooks");
    std::fs::create_dir_all(&runbooks).expect("a folder");
    let write = |name: &str, text: &[u8]| std::fs::write(runbooks.join(name), text).expect("written");
    write("a.yaml", b"runbook: a\nphases: [{ phase: one, steps: [{ run: robot.dance }] }]\n");
    let (code, said, _) = tminus(dir.path(), &["check"]);
    assert_eq!(code, Some(0), "a warning stops nothing: {said}");
    assert!(said.starts_with("warning: no system `robot` is configured"), "{said}");
    assert!(said.ends_with("ok, with 1 warning: 1 runbook, 0 people, 0 messages\n"), "{said}");

    write("b.yaml", b"runbook: b\ntitle: Stra\xdfe\n");
    write("c.yaml", b"runbook: c\nphases: []\n");
    let (code, said, _) = tminus(Path::new("/"), &["check", dir.path().to_str().expect("a path")]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(" --> config/runbooks/b.yaml:2:12\n") && said.contains(" --> config/runbooks/c.yaml:1:1\n"), "{said}");
    assert!(said.ends_with("2 errors, 1 warning in 3 files\n"), "{said}");

    let (code, said, error) = tminus(dir.path(), &["check", "nowhere"]);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(error.starts_with("error: the folder nowhere can't be read"), "{error}");
}

#[test]
fn schema_prints_the_shipped_schemas() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for of in ["runbook", "people", "settings"] {
        let (code, printed, _) = tminus(root, &["schema", "--for", of]);
        let shipped = std::fs::read_to_string(root.join(format!("config/schema/{of}.json"))).expect("shipped");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!((code, read(&printed)), (Some(0), read(&shipped)), "{of}");
    }
    assert_eq!(tminus(root, &["schema"]).1, tminus(root, &["schema", "--for", "runbook"]).1);
    assert_eq!(tminus(root, &["schema", "--for", "poems"]).0, Some(2));
}

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
fn say_print_and_report_work_when_chat_is_down() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    let demo = demo::Demo::start(&data, "127.0.0.1:0").expect("the demo starts");
    let url = demo.url.clone();
    let say = |args: &[&str]| tminus(dir.path(), &[&["say", "--url", &url], args].concat());
    let (code, said, _) = say(&["start 4.3", "--as", "maria"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("Started andromeda-staging-4.3: Promote Changeset v4.3 To Staging."), "{said}");
    // What is refused changes nothing, and says so by its code; what is missing is asked for.
    let (code, said, _) = say(&["ack", "--as", "ana"]);
    assert_eq!(code, Some(1), "{said}");
    let (code, said, _) = say(&["start", "--as", "maria"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("  version=…   Changeset version, for example 4.3"), "{said}");
    let (code, _, error) = say(&["mine"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("who are you?"), "{error}");

    // With a token nobody says who they are.
    let (_, token, _) = tminus(dir.path(), &["token", "ana", "--url", &url]);
    std::fs::write(dir.path().join("token"), &token).expect("written");
    let (code, said, error) = say(&["note seen it", "--token-file", "token"]);
    assert_eq!((code, said.as_str()), (Some(0), "Noted.\n"), "{error}");
    let (code, _, error) = say(&["note seen it", "--token-file", "token", "--as", "maria"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("The token is ana's."), "{error}");
    std::fs::write(dir.path().join("token"), "0123").expect("written");
    let (code, _, error) = say(&["mine", "--token-file", "token"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("This token is not known, or it has expired."), "{error}");

    let (code, over_api, _) = tminus(dir.path(), &["print", "andromeda-staging-4.3", "--url", &url]);
    assert_eq!(code, Some(0));
    for line in [
        "Owner: Maria Keller",
        "  [ ] Kick off special pre-change backup",
        "      Ana Silva: GO / NO-GO",
        "      Backup job ID: ______________________",
    ] {
        assert!(over_api.lines().any(|said| said == line), "{line}\n{over_api}");
    }
    assert!(over_api.lines().all(|line| line.chars().count() <= 100), "{over_api}");
    let (code, _, error) = tminus(dir.path(), &["print", "andromeda-staging-4.3", "--data", "data"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("ask that one: --url"), "{error}");
    let (code, _, error) = tminus(dir.path(), &["print", "../people", "--url", &url]);
    assert_eq!(code, Some(1));
    assert!(error.contains("There is no rollout"), "{error}");
    let (_, report, _) = tminus(dir.path(), &["report", "andromeda-staging-4.3", "--url", &url]);
    assert!(report.contains("seen it (Ana Silva"), "{report}");

    // Nothing runs any more: the folder is read.
    drop(demo);
    let (code, from_folder, error) = tminus(dir.path(), &["print", "andromeda-staging-4.3", "--data", "data"]);
    assert_eq!(code, Some(0), "{error}");
    let without_time = |text: &str| text.lines().filter(|line| !line.contains("as of")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(without_time(&from_folder), without_time(&over_api));
    let (code, _, error) = say(&["mine", "--as", "ana"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("does not answer; --url says where T-minus runs"), "{error}");
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        let mut keys = Vec::new();
        for answers in [false, true] {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            let (mut length, mut line) = (0, String::new());
            while reader.read_line(&mut line).expect("a header") > 2 {
                let header = line.to_lowercase();
                if let Some(key) = header.strip_prefix("idempotency-key:") {
                    keys.push(key.trim().to_owned());
                }
                if let Some(said) = header.strip_prefix("content-length:") {
                    length = said.trim().parse().expect("a number");
                }
                line.clear();
            }
            reader.read_exact(&mut vec![0; length]).expect("the body");
            // The first time it is heard and dies before it answers.
            if answers {
                let body = r#"{"answer":"Noted.","refused":null}"#;
                write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
                    .expect("sent");
            }
        }
        keys
    });
    let dir = tempfile::tempdir().expect("a folder");
    let (code, said, error) = tminus(dir.path(), &["say", "note x", "--as", "ana", "--room", "r", "--url", &url]);
    assert_eq!((code, said.as_str()), (Some(0), "Noted.\n"), "{error}");
    let keys = server.join().expect("the server ends");
    assert!(keys.len() == 2 && keys[0] == keys[1] && !keys[0].is_empty(), "{keys:?}");
}
