//! What fuzzing found, and what was written for it by hand, once more: every file of `tests/fuzz/corpus` through the very functions
//! that the fuzz targets call. `tests/fuzz/README.md` says how they are fuzzed.

#[path = "fuzz/src/lib.rs"]
mod fuzz;

use std::cell::Cell;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

/// The largest file of the corpus, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// The largest corpus of one target, in bytes.
const CORPUS_BYTES_MAX: u64 = 300 * 1024;

/// How long any one thing may take here: a debug build on a busy machine says little about time.
const LONGEST: Duration = Duration::from_secs(20);

thread_local! {
    /// How often something panicked on this thread: a task that does is replaced, and nobody would notice.
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

static HOOK: Once = Once::new();

fn replay(target: &str, run: fn(&[u8])) {
    fuzz::bounds::at_most(LONGEST);
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + usize::from(!fuzz::bounds::is_caught(info)));
            usual(info);
        }));
    });
    let mut paths: Vec<PathBuf> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target))
        .expect("a corpus")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    assert!(paths.len() >= 5, "the corpus of {target} is not there");
    let (mut bytes_count, mut failed) = (0, Vec::new());
    for path in paths {
        let bytes = fs::read(&path).expect("a file");
        assert!(bytes.len() as u64 <= FILE_BYTES_MAX, "{} is too large", path.display());
        bytes_count += bytes.len() as u64;
        let before = PANICS.get();
        let ended = panic::catch_unwind(AssertUnwindSafe(|| run(&bytes)));
        if ended.is_err() || PANICS.get() > before {
            failed.push(path);
        }
    }
    assert!(bytes_count <= CORPUS_BYTES_MAX, "the corpus of {target} has {bytes_count} bytes");
    assert!(failed.is_empty(), "these fail: {failed:#?}");
}

#[test]
fn commands() {
    replay("commands", fuzz::commands::run);
}

#[test]
fn config() {
    replay("config", fuzz::config::run);
}

#[test]
fn templates() {
    replay("templates", fuzz::templates::run);
}

#[test]
fn records() {
    replay("records", fuzz::records::run);
}

#[test]
fn store() {
    replay("store", fuzz::store::run);
}

#[test]
fn http() {
    replay("http", fuzz::http::run);
}
