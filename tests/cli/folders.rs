//! Data folders that can't be used: each is refused with one sentence of what it is and what to do, and nothing in it changes.

use std::fs;
use std::path::Path;

use crate::{demo, tminus};

const RESTORE: &str = "Restore a backup into a new folder: tminus journal import BACKUP --data NEW-DIR";

/// What stands on standard error, without what a store that meets damage says while it panics.
fn error_of(said: &str) -> &str {
    let error = said.lines().find_map(|line| line.strip_prefix("error: "));
    error.unwrap_or_else(|| panic!("no error in {said}"))
}

/// A folder with a journal of a few commits, closed in order.
fn journal(data: &Path) {
    fs::create_dir_all(data).expect("a folder");
    let demo = demo::Demo::start(data, "127.0.0.1:0").expect("the demo starts");
    let (code, ..) = tminus(data, &["say", "start 4.3", "--as", "maria", "--url", &demo.url]);
    assert_eq!(code, Some(0));
    drop(demo);
    // Opened and closed once, so that everything is in its place.
    assert_eq!(tminus(data, &["journal", "export", "--data", ".", "-o", "all.jsonl"]).0, Some(0));
}

/// The store beneath a journal, by hand.
fn store(data: &Path) -> sled::Tree {
    let db = sled::Config::new().path(data.join("journal")).segment_size(8 * 1024 * 1024).open().expect("it opens");
    db.open_tree("journal").expect("it opens")
}

/// Every file below a folder with what is in it.
fn content(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.extend(content(&path));
        } else {
            all.push((path.display().to_string(), fs::read(&path).expect("a file")));
        }
    }
    all.sort();
    all
}

/// Starts the demo on a folder that it refuses.
fn refused(dir: &Path, data: &str) -> String {
    let (code, _, error) = tminus(dir, &["demo", "--listen", "127.0.0.1:0", "--data", data]);
    assert_eq!(code, Some(1), "{error}");
    error_of(&error).to_owned()
}

#[test]
fn other_layouts_and_other_stores_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    for (layout, expected) in [
        (
            "tminus-journal 3",
            "is of a later layout (3) than this version reads (2). Nothing in it was changed; start the version",
        ),
        (
            "tminus-journal 1",
            "is of an earlier layout (1) than this version reads (2). Nothing in it was changed; export it with",
        ),
        ("poems", "holds something else than a journal of T-minus (its format is \"poems\")"),
    ] {
        let data = dir.path().join(layout.replace(' ', "-"));
        journal(&data);
        store(&data).insert("format", layout).expect("written");
        let error = refused(dir.path(), data.to_str().expect("a path"));
        assert!(error.contains(expected), "{layout}: {error}");
        for command in [&["verify"][..], &["export"], &["backup", "--to", "backups"]] {
            let (code, _, error) = tminus(&data, &[&["journal"], command, &["--data", "."]].concat());
            assert_eq!(code, Some(1));
            assert!(error_of(&error).contains(expected), "{layout}, {command:?}: {error}");
        }
        assert!(store(&data).get("format").expect("read").is_some_and(|found| found == layout.as_bytes()));
    }
    // Somebody else's, with other settings and with ours.
    let other = dir.path().join("other/journal");
    sled::open(&other).expect("it opens").insert("poem", "roses").expect("written");
    let error = refused(dir.path(), "other");
    assert!(error.contains("holds something else than a journal of T-minus"), "{error}");
    let db = sled::open(&other).expect("it opens");
    assert_eq!(db.get("poem").expect("read").as_deref(), Some(&b"roses"[..]));
}

#[test]
fn files_in_place_of_folders_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("file"), "x").expect("written");
    assert_eq!(refused(dir.path(), "file"), "file is a file, not a folder. Name the data folder with --data DIR.");
    for command in [&["verify"][..], &["export"], &["backup", "--to", "backups"]] {
        let (code, _, error) = tminus(dir.path(), &[&["journal"], command, &["--data", "file"]].concat());
        assert_eq!((code, error_of(&error)), (Some(1), "file is a file, not a folder. Name the data folder with --data DIR."));
        let (code, _, error) = tminus(dir.path(), &[&["journal"], command, &["--data", "nowhere"]].concat());
        assert_eq!((code, error_of(&error)), (Some(1), "nowhere holds no journal. Name the data folder with --data DIR."));
    }
    fs::create_dir(dir.path().join("data")).expect("a folder");
    fs::write(dir.path().join("data/journal"), "x").expect("written");
    let error = "data/journal is not a folder, and a journal is one: name another folder";
    assert_eq!(refused(dir.path(), "data"), error);
    for command in [&["verify"][..], &["export"]] {
        let (code, _, said) = tminus(dir.path(), &[&["journal"], command, &["--data", "data"]].concat());
        assert_eq!((code, error_of(&said)), (Some(1), error));
    }
    assert_eq!(fs::read(dir.path().join("data/journal")).expect("a file"), b"x");
}

#[test]
fn a_folder_in_use_says_which_command_to_use() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    fs::create_dir(&data).expect("a folder");
    let demo = demo::Demo::start(&data, "127.0.0.1:0").expect("the demo starts");
    let in_use = "the journal in data/journal is in use by another process: stop that one, or give this one a folder of its own";
    assert_eq!(refused(dir.path(), "data"), in_use);
    for (command, help) in [
        (&["journal", "verify"][..], "What can be verified meanwhile is a backup: --file BACKUP"),
        (&["journal", "export"], "Ask that one: --url URL. Or have it make backups itself: `backups:` in config/tminus.yaml"),
        (
            &["journal", "backup", "--to", "backups"],
            "Ask that one: --url URL. Or have it make backups itself: `backups:` in config/tminus.yaml",
        ),
        (&["report", "andromeda-staging-4.3"], "ask that one: --url http://"),
    ] {
        let (code, _, error) = tminus(dir.path(), &[command, &["--data", "data"]].concat());
        assert_eq!(code, Some(1));
        assert!(error_of(&error).contains(in_use) && error.contains(help), "{command:?}: {error}");
    }
    // The one that works there has noticed nothing.
    let (code, said, _) = tminus(dir.path(), &["say", "start 4.3", "--as", "maria", "--url", &demo.url]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn damage_is_named_with_the_way_to_restore() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    journal(&data);
    let backup = data.join("all.jsonl");
    let damaged = |name: &str, damage: &dyn Fn(&Path)| {
        let copy = dir.path().join(name);
        fs::create_dir_all(&copy).expect("a folder");
        let status = std::process::Command::new("cp").arg("-r").arg(data.join("journal")).arg(&copy).status();
        assert!(status.is_ok_and(|status| status.success()));
        damage(&copy);
        refused(dir.path(), name)
    };
    let block = |commit: u64| [b"c|".as_slice(), &commit.to_be_bytes(), &[0, 0]].concat();
    // A record that a start reads.
    let error = damaged("record", &|copy| {
        let tree = store(copy);
        let mut value = tree.get(block(1)).expect("read").expect("there").to_vec();
        *value.last_mut().expect("it is filled") ^= 1;
        tree.insert(block(1), value).expect("written");
    });
    assert!(
        error.contains("stream registry is damaged at 1: its checksum does not match.") && error.contains(RESTORE),
        "{error}"
    );
    // The newest commit is gone.
    let error = damaged("behind", &|copy| {
        let tree = store(copy);
        let newest = tree.scan_prefix("c|").keys().next_back().expect("a commit").expect("read");
        tree.remove(newest).expect("written");
    });
    // Whichever is found first: that commits are missing, or what one of the streams had in it.
    let is_said = error.contains("has lost acknowledged commits: it ends with commit") || error.contains(": it is missing.");
    assert!(is_said && error.contains(RESTORE), "{error}");
    // The whole store is of an earlier moment.
    let error = damaged("earlier", &|copy| {
        let head = fs::read(copy.join("journal/head")).expect("a file");
        fs::remove_dir_all(copy.join("journal")).expect("removed");
        fs::create_dir(copy.join("journal")).expect("a folder");
        drop(store(copy));
        fs::write(copy.join("journal/head"), head).expect("written");
    });
    assert!(error.contains("has lost acknowledged commits: it ends with commit 0") && error.contains(RESTORE), "{error}");
    let error = damaged("side", &|copy| fs::write(copy.join("journal/head"), "tminus").expect("written"));
    assert!(error.contains("side/journal/head is damaged") && error.contains(RESTORE), "{error}");
    let error = damaged("pages", &|copy| {
        let mut db = fs::read(copy.join("journal/db")).expect("a file");
        db[..4096].fill(0);
        fs::write(copy.join("journal/db"), db).expect("written");
    });
    assert!(error.contains("the journal in pages/journal") && error.contains(RESTORE), "{error}");
    // And that way leads on.
    let (code, _, error) = tminus(dir.path(), &["journal", "import", backup.to_str().expect("a path"), "--data", "restored"]);
    assert_eq!(code, Some(0), "{error}");
    let demo = demo::Demo::start(&dir.path().join("restored"), "127.0.0.1:0").expect("the demo starts");
    let (code, said, _) = tminus(dir.path(), &["say", "note restored", "--as", "maria", "--url", &demo.url]);
    assert_eq!((code, said.as_str()), (Some(0), "Noted.\n"));
}

#[test]
fn a_folder_that_was_refused_is_as_it_was() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    journal(&data);
    fs::write(data.join("journal/head"), "tminus").expect("written");
    fs::remove_dir_all(data.join("scratch")).expect("removed");
    let before = content(&data);
    refused(dir.path(), "data");
    assert!(content(&data) == before);
}

/// Gives a folder and what is in it to another user, which only the one may do who may do everything.
#[cfg(unix)]
fn given_away(dir: &Path) -> Option<u32> {
    use std::os::unix::fs::{MetadataExt as _, lchown};
    let other = fs::metadata(dir).expect("a folder").uid() + 1;
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            given_away(&path)?;
        } else {
            lchown(&path, Some(other), None).ok()?;
        }
    }
    lchown(dir, Some(other), None).ok()?;
    Some(other)
}

#[cfg(unix)]
#[test]
fn nobody_opens_the_journal_in_somebody_elses_folder() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    journal(&data);
    let Some(other) = given_away(&data) else {
        // Without that right there is a folder of somebody else's on every machine.
        assert!(refused(dir.path(), "/").contains("belongs to user 0"));
        return;
    };
    let before = content(&data);
    for command in [
        &["report", "andromeda-staging-4.3"][..],
        &["print", "andromeda-staging-4.3"],
        &["journal", "export", "-o", "out.jsonl"],
        &["journal", "backup", "--to", "backups"],
        &["demo", "--listen", "127.0.0.1:0"],
        &["serve", "--config", env!("CARGO_MANIFEST_DIR"), "--listen", "127.0.0.1:0"],
    ] {
        let (code, _, error) = tminus(dir.path(), &[command, &["--data", "data"]].concat());
        assert_eq!(code, Some(1), "{command:?}: {error}");
        assert!(error_of(&error).contains(&format!("belongs to user {other}")), "{command:?}: {error}");
        assert!(error_of(&error).contains(&format!("sudo -u '#{other}' tminus")), "{command:?}: {error}");
    }
    let (code, _, error) = tminus(dir.path(), &["journal", "import", "data/all.jsonl", "--data", "data"]);
    assert_eq!(code, Some(1));
    assert!(error_of(&error).contains(&format!("belongs to user {other}")), "{error}");
    // Looking changes nothing, so that needs no more than reading.
    let (code, said, error) = tminus(dir.path(), &["journal", "verify", "--data", "data"]);
    assert_eq!(code, Some(0), "{said}{error}");
    assert!(content(&data) == before, "nothing was left there");
}

#[test]
fn a_folder_of_other_things_is_not_begun_in() {
    let dir = tempfile::tempdir().expect("a folder");
    for folder in ["Documents", "Pictures", ".cache", "config"] {
        fs::create_dir_all(dir.path().join("home").join(folder)).expect("a folder");
    }
    let error = refused(dir.path(), "home");
    assert!(error.starts_with("home holds folders that are not T-minus' (`Documents`, `Pictures`), and no journal."), "{error}");
    assert!(error.ends_with("such as home/tminus-data"), "{error}");
    assert!(!dir.path().join("home/journal").exists() && !dir.path().join("home/access").exists());
    // What a mount, a shell or an operator leaves in a folder that is meant for it is in nobody's way.
    let data = dir.path().join("data");
    for folder in ["lost+found", "config", "backups", "access", ".snapshot"] {
        fs::create_dir_all(data.join(folder)).expect("a folder");
    }
    fs::write(data.join("cert.pem"), "x").expect("written");
    drop(demo::Demo::start(&data, "127.0.0.1:0").expect("it starts"));
    // And where a journal is, what stands beside it is the operator's matter.
    fs::create_dir(data.join("letters")).expect("a folder");
    drop(demo::Demo::start(&data, "127.0.0.1:0").expect("it starts again"));
}

#[test]
fn where_it_cannot_listen_nothing_is_left() {
    let dir = tempfile::tempdir().expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let (code, _, error) = tminus(dir.path(), &["demo", "--listen", &address, "--data", "data"]);
    assert_eq!(code, Some(1));
    assert!(error_of(&error).starts_with(&format!("can't listen on {address}; choose another")), "{error}");
    assert!(!dir.path().join("data").exists());
}

/// Copies a folder of files and folders.
fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-r").arg(from).arg(to).status();
    assert!(status.is_ok_and(|status| status.success()));
}

#[cfg(unix)]
#[test]
fn a_journal_that_is_older_than_its_snapshots_or_gone_is_not_started_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    journal(&data);
    copy(&data.join("journal"), &dir.path().join("old"));
    let demo = demo::Demo::start(&data, "127.0.0.1:0").expect("the demo starts");
    let (code, ..) = tminus(dir.path(), &["say", "note it happened", "--as", "maria", "--url", &demo.url]);
    assert_eq!(code, Some(0));
    assert!(demo.stop());
    fs::rename(data.join("journal"), dir.path().join("new")).expect("moved");

    let lost = "the journal has lost what it had acknowledged: there is a snapshot of ";
    let serve = ["serve", "--config", env!("CARGO_MANIFEST_DIR"), "--listen", "127.0.0.1:0", "--data", "data"];
    let both = || [refused(dir.path(), "data"), error_of(&tminus(dir.path(), &serve).2).to_owned()];
    for error in both() {
        assert!(error.contains(lost) && error.contains("the journal ends before") && error.contains(RESTORE), "{error}");
    }
    assert!(!data.join("journal").exists(), "nothing stands in the place of the one that is missing");
    copy(&dir.path().join("old"), &data.join("journal"));
    for error in both() {
        assert!(error.contains(lost) && error.contains("the journal ends before"), "{error}");
    }
    // The right one is started on; and the old one, once somebody decided that.
    fs::rename(data.join("journal"), dir.path().join("older")).expect("moved");
    copy(&dir.path().join("new"), &data.join("journal"));
    drop(demo::Demo::start(&data, "127.0.0.1:0").expect("the demo starts"));
    fs::remove_dir_all(data.join("journal")).expect("removed");
    copy(&dir.path().join("old"), &data.join("journal"));
    fs::remove_dir_all(data.join("snapshots")).expect("removed");
    drop(demo::Demo::start(&data, "127.0.0.1:0").expect("the demo starts"));
}

#[cfg(unix)]
#[test]
fn snapshots_of_another_version_are_said_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    journal(&data);
    assert!(demo::Demo::start(&data, "127.0.0.1:0").expect("the demo starts").stop());
    let mut count = 0;
    for entry in fs::read_dir(data.join("snapshots")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("text");
        let older = text.replacen(concat!("\"program\":\"", env!("CARGO_PKG_VERSION")), "\"program\":\"0.0.9", 1);
        assert_ne!(older, text);
        fs::write(&path, older).expect("written");
        count += 1;
    }
    assert!(count > 1);
    fs::remove_file(data.join("log")).expect("removed");
    drop(demo::Demo::start(&data, "127.0.0.1:0").expect("the demo starts"));
    let log = fs::read_to_string(data.join("log")).expect("a log");
    assert_eq!(log.matches("of version 0.0.9, and this is format").count(), 1, "{log}");
    assert!(!log.contains("is not used"), "{log}");
}
