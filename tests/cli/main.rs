//! The command line as scripts use it: what it prints, and how it ends.

#[path = "../demo/mod.rs"]
mod demo;
mod folders;
mod journal;
mod say;
mod simulate;

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

#[test]
fn whoever_has_read_enough_may_go() {
    use std::process::Stdio;
    let mut child = Command::new(env!("CARGO_BIN_EXE_tminus"))
        .args(["schema"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    // Nobody reads a byte of what is longer than any pipe holds.
    drop(child.stdout.take());
    let Output { status, stderr, .. } = child.wait_with_output().expect("it ends");
    assert_eq!((status.code(), String::from_utf8_lossy(&stderr).as_ref()), (Some(0), ""));
}

#[test]
fn options_of_the_place_stand_before_or_after_what_is_done_there() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join("data")).expect("a folder");
    let place = ["--data", "data", "--config", env!("CARGO_MANIFEST_DIR")];
    let said = "error: tom has no link, log-in or token; `tminus access` lists who has\n";
    for args in [[&["access"][..], &place, &["revoke", "tom"]].concat(), [&["access", "revoke", "tom"][..], &place].concat()] {
        let (code, _, error) = tminus(dir.path(), &args);
        assert_eq!((code, error.as_str()), (Some(1), said), "{args:?}");
    }
}

#[test]
fn the_environment_names_the_data_folder_also_to_what_reads_it() {
    let dir = tempfile::tempdir().expect("a folder");
    for args in [
        &["report", "x"][..],
        &["print", "x"],
        &["journal", "verify"],
        &["journal", "export"],
        &["journal", "backup", "--to", "b"],
    ] {
        let run = |more: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tminus"));
            command.args(args).args(more).current_dir(dir.path()).env("TMINUS_DATA", "elsewhere");
            String::from_utf8(command.output().expect("it runs").stderr).expect("UTF-8")
        };
        assert!(run(&[]).contains("elsewhere holds no journal"), "{args:?}: {}", run(&[]));
        assert!(run(&["--data", "here"]).contains("here holds no journal"), "{args:?}: {}", run(&["--data", "here"]));
        // Somebody who names another place than a folder means that one.
        if !args.contains(&"verify") {
            let said = run(&["--url", "http://127.0.0.1:1"]);
            assert!(said.contains("http://127.0.0.1:1/ does not answer"), "{args:?}: {said}");
        }
    }
}

#[test]
fn who_stands_in_a_configuration_simulates_what_it_says() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("answers"), "\n\nmaria Maria Keller\n\n").expect("written");
    let answers = std::fs::File::open(dir.path().join("answers")).expect("a file");
    let init = Command::new(env!("CARGO_BIN_EXE_tminus")).args(["init", "house"]).current_dir(dir.path()).stdin(answers).output();
    let init = init.expect("it runs");
    assert!(init.status.success(), "{init:?}");
    let house = dir.path().join("house");
    let (code, said, error) = tminus(&house, &["simulate", "first", "1.0"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(said.contains("Release 1.0"), "{said}");
    let (code, _, error) = tminus(dir.path(), &["simulate", "first", "1.0"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("there is no runbook `first`"), "{error}");
}
