//! `tminus journal`: looks after the journal of a data folder.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::engine::journal::sled::verify;

/// What can be done with a journal.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Checks every record, every chain and the head; changes nothing
    Verify {
        /// The data folder
        #[arg(long, value_name = "DIR", default_value = super::demo::DATA_DEFAULT)]
        data: PathBuf,
    },
}

pub(super) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let Command::Verify { data } = command;
    let dir = data.join(super::serve::JOURNAL_DIR);
    if !dir.is_dir() {
        anyhow::bail!("{} holds no journal. Name the data folder with --data DIR.", data.display());
    }
    let report = verify(&dir)?;
    for stream in &report.streams {
        println!("{:<40} {:>8} records {:>12} bytes", stream.stream.to_string(), stream.records, stream.payload_bytes);
    }
    println!("head of the chain: {}", report.store_head);
    if report.problems.is_empty() {
        println!("ok: every record, chain and head is as it was written");
        return Ok(ExitCode::SUCCESS);
    }
    for problem in &report.problems {
        println!("problem: {problem}");
    }
    println!("{} problems. Keep the folder as it is, and restore a backup into another one.", report.problems.len());
    Ok(ExitCode::FAILURE)
}
