//! The scratch stores: alike in memory and on the disk.

use chrono::{DateTime, Utc};
use tempfile::TempDir;
use tminus::engine::scratch::{KEY_BYTES_MAX, MemoryScratch, Scratch, ScratchError, SledScratch, VALUE_BYTES_MAX};

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
}

#[test]
fn both_expire_replace_remove_and_sweep() {
    let dir = TempDir::new().unwrap();
    let on_disk = SledScratch::open(dir.path()).unwrap();
    for scratch in [&on_disk as &dyn Scratch, &MemoryScratch::new()] {
        assert_eq!(scratch.get("session/1", at(0)), Ok(None));
        scratch.put("session/1", b"ada", at(10)).unwrap();
        scratch.put("session/2", b"bob", at(20)).unwrap();
        scratch.put("session/2", b"eve", at(30)).unwrap();
        assert_eq!(scratch.get("session/1", at(9)), Ok(Some(b"ada".to_vec())));
        assert_eq!(scratch.get("session/1", at(10)), Ok(None));
        assert_eq!(scratch.get("session/2", at(25)), Ok(Some(b"eve".to_vec())));
        assert_eq!(scratch.sweep(at(15)), Ok(1));
        assert_eq!(scratch.sweep(at(15)), Ok(0));
        assert_eq!(scratch.get("session/1", at(0)), Ok(None), "it was swept");
        assert_eq!(scratch.remove("session/2"), Ok(true));
        assert_eq!(scratch.remove("session/2"), Ok(false), "a code works once");
        assert_eq!(scratch.sweep(at(1000)), Ok(0));

        for (key, value) in
            [(String::new(), vec![]), ("k".repeat(KEY_BYTES_MAX + 1), vec![]), ("k".to_owned(), vec![0; VALUE_BYTES_MAX + 1])]
        {
            let result = scratch.put(&key, &value, at(1));
            assert!(matches!(result, Err(ScratchError::Invalid(_))), "{result:?}");
        }
    }
}

#[test]
fn what_was_put_is_there_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let scratch = SledScratch::open(dir.path()).unwrap();
    scratch.put("session/1", b"ada", at(10)).unwrap();
    drop(scratch);
    let scratch = SledScratch::open(dir.path()).unwrap();
    assert_eq!(scratch.get("session/1", at(1)), Ok(Some(b"ada".to_vec())));
}

#[test]
fn a_store_that_cannot_be_read_is_begun_anew() {
    let dir = TempDir::new().unwrap();
    drop(SledScratch::open(dir.path()).unwrap());
    std::fs::write(dir.path().join("conf"), b"nonsense").unwrap();
    std::fs::write(dir.path().join("db"), vec![0xff; 100_000]).unwrap();
    let scratch = SledScratch::open(dir.path()).unwrap();
    assert_eq!(scratch.get("session/1", at(0)), Ok(None));
    scratch.put("session/1", b"ada", at(10)).unwrap();
    assert_eq!(scratch.get("session/1", at(1)), Ok(Some(b"ada".to_vec())));
}
