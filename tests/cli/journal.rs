//! `tminus journal` through the real program: what goes out comes back, a report is held against a journal, and what can't be
//! done is said.

use std::fs;
use std::path::Path;

use crate::{demo, tminus};

/// Plays a little in a new data folder, and leaves it as a kill would.
fn play(data: &Path, commands: &[&str]) {
    fs::create_dir_all(data).expect("a folder");
    let demo = demo::Demo::start(data, "127.0.0.1:0").expect("the demo starts");
    for command in commands {
        let (code, said, error) = tminus(data, &["say", command, "--as", "maria", "--url", &demo.url]);
        assert_eq!(code, Some(0), "{command}: {said}{error}");
    }
}

fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn an_export_is_imported_elsewhere_and_rollouts_go_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let here = |args: &[&str]| tminus(dir.path(), args);
    play(&dir.path().join("old"), &["start 4.3", "note before the move"]);

    let (code, said, error) = here(&["journal", "export", "--data", "old", "-o", "a.jsonl"]);
    assert_eq!((code, said.as_str()), (Some(0), ""), "{error}");
    assert!(error.starts_with("exported ") && error.contains(" streams, as of commit "), "{error}");
    assert_eq!(files(dir.path()), ["a.jsonl", "old"], "no temporary file is left");
    // What is there is not replaced unless that is meant.
    let first = fs::read(dir.path().join("a.jsonl")).expect("written");
    let (code, _, error) = here(&["journal", "export", "--data", "old", "-o", "a.jsonl"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("a.jsonl is there already. Nothing was written"), "{error}");
    let (code, _, error) = here(&["journal", "export", "--data", "old", "-o", "a.jsonl", "--force"]);
    assert_eq!(code, Some(0), "{error}");
    let (code, out, _) = here(&["journal", "export", "--data", "old"]);
    assert_eq!(code, Some(0));
    // The same history, but for the moment of writing and the end that follows from it.
    let middle =
        |text: &str| text.lines().skip(1).filter(|line| !line.starts_with("{\"end\"")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(middle(&out), middle(&String::from_utf8_lossy(&first)));
    assert!(middle(&out).len() > 5);

    let (code, said, error) = here(&["journal", "import", "a.jsonl", "--data", "new/deep"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(said.contains("Never let this one and the one it came from run at the same time."), "{said}");
    assert_eq!(files(&dir.path().join("new/deep")), ["journal"]);
    #[cfg(unix)]
    for made in ["new", "new/deep", "new/deep/journal"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(dir.path().join(made)).expect(made).permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{made} is its owner's alone");
    }
    let (code, said, _) = here(&["journal", "verify", "--data", "new/deep"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("ok: every record, chain and head is as it was written"), "{said}");
    let (code, said, _) = here(&["journal", "verify", "--file", "a.jsonl"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("rollout/1") && said.contains("ok: every record and chain is as it was written at 20"), "{said}");

    // One report of both, held against both, in both forms.
    let report = |data: &str, form: &[&str], file: &str| {
        let (code, said, error) = here(&[&["report", "andromeda-staging-4.3", "--data", data], form].concat());
        assert_eq!(code, Some(0), "{error}");
        fs::write(dir.path().join(file), &said).expect("written");
        said
    };
    assert_eq!(report("old", &[], "old.md"), report("new/deep", &[], "new.md"));
    report("old", &["--json"], "old.json");
    for place in [["--data", "old"], ["--data", "new/deep"], ["--file", "a.jsonl"]] {
        for file in ["old.md", "old.json"] {
            let (code, said, error) = here(&[&["journal", "verify", "--report", file], &place[..]].concat());
            assert_eq!(code, Some(0), "{said}{error}");
            assert!(said.contains("that the report was made of; nothing came after it"), "{said}");
            assert!(said.contains("Its words were not compared"), "{said}");
        }
    }

    // The rollout goes on where it was, and the old report is still proved.
    play(&dir.path().join("new/deep"), &["note after the move"]);
    let went_on = report("new/deep", &[], "later.md");
    assert!(went_on.contains("before the move") && went_on.contains("after the move"), "{went_on}");
    let (code, said, _) = here(&["journal", "verify", "--data", "new/deep", "--report", "old.md"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 event came after it") || said.contains(" events came after it"), "{said}");
    // A journal that is older than a report says so.
    let (code, said, _) = here(&["journal", "verify", "--data", "old", "--report", "later.md"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("problem: rollout/1 ends at event "), "{said}");
}

#[test]
fn a_report_of_another_history_is_known() {
    let dir = tempfile::tempdir().expect("a folder");
    let here = |args: &[&str]| tminus(dir.path(), args);
    for data in ["ours", "theirs"] {
        play(&dir.path().join(data), &["start 4.3"]);
        let (_, said, _) = here(&["report", "andromeda-staging-4.3", "--data", data]);
        fs::write(dir.path().join(format!("{data}.md")), said).expect("written");
    }
    let (code, said, _) = here(&["journal", "verify", "--data", "ours", "--report", "theirs.md"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("problem: rollout/1 "), "{said}");
    // A digit of the hash, another number, another stream.
    let ours = fs::read_to_string(dir.path().join("ours.md")).expect("written");
    let journal = ours.trim_end().lines().next_back().expect("a line").to_owned();
    let hash = journal.rsplit_once("chain `").expect("a hash").1.to_owned();
    let other_digit = if hash.starts_with('0') { "1" } else { "0" };
    for (changed, expected) in [
        (journal.replace(&hash, &format!("{other_digit}{}", &hash[1..])), "has another history than the report was made of"),
        (journal.replace("up to event ", "up to event 1"), "rollout/1 ends at event "),
        (journal.replace("rollout/1", "rollout/7"), "this journal has no stream rollout/7"),
        (journal.replace("up to event", "up to the event"), "changed.md is no report that can be held against a journal"),
    ] {
        fs::write(dir.path().join("changed.md"), ours.replace(&journal, &changed)).expect("written");
        let (code, said, error) = here(&["journal", "verify", "--data", "ours", "--report", "changed.md"]);
        assert_eq!(code, Some(1), "{changed}: {said}");
        assert!(format!("{said}{error}").contains(expected), "{changed}: {said}{error}");
    }
}

#[test]
fn what_cannot_be_imported_is_said_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let here = |args: &[&str]| tminus(dir.path(), args);
    play(&dir.path().join("old"), &["start 4.3", "note x"]);
    assert_eq!(here(&["journal", "export", "--data", "old", "-o", "a.jsonl"]).0, Some(0));
    let export = fs::read_to_string(dir.path().join("a.jsonl")).expect("written");
    let lines = export.lines().count();
    let write = |text: &str| fs::write(dir.path().join("b.jsonl"), text).expect("written");
    let edited = export.replacen("before", "after!", 1).replacen("\"x\"", "\"y\"", 1);
    for (text, expected) in [
        (export[..export.len() - 1].to_owned(), format!("line {lines}: it ends here, before the export does")),
        (export.split_inclusive('\n').take(4).collect(), "line 5: it ends here".to_owned()),
        (edited, "its hash does not follow from its predecessor's: it was changed".to_owned()),
        (export.replacen("\"version\":1", "\"version\":2", 1), "line 1: it is an export of version 2".to_owned()),
        ("# A poem\n".to_owned(), "line 1: it is no export of a T-minus journal".to_owned()),
        (String::new(), "line 1: it is no export of a T-minus journal".to_owned()),
        (format!("{export}{{}}\n"), format!("line {}: something follows the end", lines + 1)),
    ] {
        write(&text);
        let (code, said, error) = here(&["journal", "import", "b.jsonl", "--data", "new"]);
        assert_eq!((code, said.as_str()), (Some(1), ""), "{expected}");
        assert!(error.starts_with("error: b.jsonl ") && error.contains(&expected), "{expected}: {error}");
        assert!(!dir.path().join("new").exists(), "{expected}");
        let (code, said, error) = here(&["journal", "verify", "--file", "b.jsonl"]);
        assert_eq!(code, Some(1));
        assert!(format!("{said}{error}").contains(&expected), "{expected}: {said}{error}");
    }
    let before = fs::read(dir.path().join("old/journal/db")).expect("a store");
    let (code, _, error) = here(&["journal", "import", "a.jsonl", "--data", "old"]);
    assert_eq!(code, Some(1));
    for said in ["old/journal is not empty: it holds a journal", "name another data folder, or move this one away first"] {
        assert!(error.contains(said), "{error}");
    }
    assert!(fs::read(dir.path().join("old/journal/db")).expect("a store") == before);
    let (code, _, error) = here(&["journal", "import", "old", "--data", "new"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("old is a folder. Name an export"), "{error}");
    let (code, _, error) = here(&["journal", "import", "nothing", "--data", "new"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("nothing can't be read"), "{error}");
}

#[test]
fn a_timer_keeps_backups_where_nothing_runs() {
    let dir = tempfile::tempdir().expect("a folder");
    let here = |args: &[&str]| tminus(dir.path(), args);
    play(&dir.path().join("old"), &["start 4.3"]);
    let to = dir.path().join("backups/deep");
    let backup = || {
        let (code, said, error) = here(&["journal", "backup", "--data", "old", "--to", "backups/deep", "--keep", "2"]);
        assert_eq!(code, Some(0), "{error}");
        assert!(said.contains(" records, tried out"), "{said}");
        said
    };
    backup();
    let first = files(&to);
    assert_eq!(first.len(), 1, "{first:?}");
    // As if they were of other days.
    for day in ["20260101", "20260102"] {
        fs::copy(to.join(&first[0]), to.join(format!("tminus-{day}T030000Z.jsonl"))).expect("copied");
    }
    fs::remove_file(to.join(&first[0])).expect("removed");
    assert!(backup().contains("; 1 older removed"));
    let kept = files(&to);
    assert_eq!((kept.len(), kept[0].as_str()), (2, "tminus-20260102T030000Z.jsonl"));
    let newest = to.join(&kept[1]);
    let (code, _, error) = here(&["journal", "import", newest.to_str().expect("a path"), "--data", "new"]);
    assert_eq!(code, Some(0), "{error}");
    // What fails takes nothing away.
    fs::write(dir.path().join("file"), "x").expect("written");
    let (code, _, error) = here(&["journal", "backup", "--data", "old", "--to", "file"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("no backup was made, and older ones were left alone: file can't be used"), "{error}");
    assert_eq!(here(&["journal", "backup", "--data", "old", "--to", "backups/deep", "--keep", "0"]).0, Some(2));
    assert_eq!(files(&to), kept);
}

#[test]
fn what_runs_keeps_backups_itself_and_counts_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (data, to, config) = (dir.path().join("data"), dir.path().join("backups"), dir.path().join("config"));
    fs::create_dir_all(&data).expect("a folder");
    fs::create_dir_all(&config).expect("a folder");
    // The first one is made at once.
    let backups = format!("backups: {{ to: {}, at: '0 0 3 * * *', keep: 3 }}\n", to.display());
    let settings = fs::read_to_string(root.join("config/tminus.yaml")).expect("shipped") + &backups;
    fs::write(config.join("tminus.yaml"), settings).expect("written");
    let demo = demo::Demo::of(&data, &config, "127.0.0.1:0");
    let demo = demo.expect("the demo starts");
    let figures = || {
        let text = reqwest::blocking::get(format!("{}/metrics", demo.url)).and_then(reqwest::blocking::Response::text);
        text.expect("figures")
    };
    let good = "tminus_backups_total{outcome=\"good\"} 1";
    let found = (0..3000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        figures().contains(good)
    });
    let figures = figures();
    assert!(found && figures.contains("tminus_backups_total{outcome=\"failed\"} 0"), "{figures}");
    let at = figures.lines().find_map(|line| line.strip_prefix("tminus_backup_last_success_timestamp_seconds "));
    assert!(at.is_some_and(|at| at.parse::<f64>().is_ok_and(|at| at > 1.7e9)), "{figures}");
    let kept = files(&to);
    assert_eq!(kept.len(), 1, "{kept:?}");
    let backup = to.join(&kept[0]);
    let (code, said, error) = tminus(dir.path(), &["journal", "verify", "--file", backup.to_str().expect("a path")]);
    assert_eq!(code, Some(0), "{said}{error}");
    drop(demo);
    let log = fs::read_to_string(data.join("log")).expect("a log");
    assert!(log.contains("A backup was made and tried out: "), "{log}");
}

#[test]
fn an_export_into_a_folder_is_told_to_name_a_file() {
    let dir = tempfile::tempdir().expect("a folder");
    play(&dir.path().join("data"), &["start 4.3"]);
    fs::create_dir(dir.path().join("out")).expect("a folder");
    for args in [&["-o", "out"][..], &["-o", "out", "--force"]] {
        let (code, _, error) = tminus(dir.path(), &[&["journal", "export", "--data", "data"], args].concat());
        let expected = "error: out is a folder. Nothing was written; name a file, such as out/journal.jsonl\n";
        assert_eq!((code, error.as_str()), (Some(1), expected));
    }
}

#[test]
fn a_report_of_what_does_not_run_says_until_when_it_was_recorded() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    play(&data, &["start 4.3"]);
    let report = |more: &[&str]| {
        let (code, said, error) = tminus(dir.path(), &[&["report", "andromeda-staging-4.3", "--data", "data"], more].concat());
        assert_eq!(code, Some(0), "{error}");
        said
    };
    let said = report(&[]);
    assert!(said.contains("- Recorded until: ") && said.contains("T-minus did not run when this was written"), "{said}");
    assert!(report(&["--json"]).contains("\"recorded_until\": \""));
    // A running one knows.
    let demo = demo::Demo::start(&data, "127.0.0.1:0").expect("the demo starts");
    let (_, said, _) = tminus(dir.path(), &["report", "andromeda-staging-4.3", "--url", &demo.url]);
    assert!(said.contains("still open") && !said.contains("Recorded until"), "{said}");
}
