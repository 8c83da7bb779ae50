//! The machine's facts: without them a figure says nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use super::Outcome;

/// Where a bench keeps its files: `TMINUS_BENCH_DIR`, or a folder below `target/`, which is on a real disk more often than
/// the system's folder for temporary files.
pub fn folder() -> Outcome<PathBuf> {
    let parent = std::env::var_os("TMINUS_BENCH_DIR").map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let folder = parent.join("bench");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// How many cores there are.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Prints what a figure depends on beside the program.
pub fn print_facts(folder: &Path) {
    let cpu = line_of("/proc/cpuinfo", "model name").unwrap_or_else(|| "an unknown CPU".to_owned());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = line_of("/proc/meminfo", "MemTotal").unwrap_or_default();
    println!("machine: {} cores of {cpu}, {memory}, Linux {}", cores(), kernel.trim());
    println!("disk: {} on {}", folder.display(), file_system(folder));
    println!("build: {}", if cfg!(debug_assertions) { "debug: figures mean nothing" } else { "the bench profile (thin LTO)" });
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load before: {}\n", load.split(' ').take(3).collect::<Vec<_>>().join(" "));
}

/// What a file of lines like `name : value` says of a name.
fn line_of(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The kind of file system that a path is on, where that is easy to find out.
pub fn file_system(path: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mount = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(point, _)| path.starts_with(point))
        .max_by_key(|(point, _)| point.len());
    mount.map_or_else(|| "an unknown file system".to_owned(), |(_, kind)| kind.to_owned())
}
