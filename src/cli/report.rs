//! `tminus report`: a rollout written down as the checklist it was, from the folder when nothing runs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::domain::report::report;
use crate::domain::rollout::command::RolloutId;
use crate::engine::conductor::read_rollout;
use crate::engine::journal::sled::{SledJournal, SledOptions};
use crate::settings::Files;

/// Which rollout, and how it is written.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The rollout: andromeda-staging-4.3
    id: String,
    /// The data folder. While a process works on it, ask that one: GET /api/rollouts/ID/report
    #[arg(long, value_name = "DIR", default_value = super::demo::DATA_DEFAULT)]
    data: PathBuf,
    /// A folder with config/ to read people's names from, instead of what is built in
    #[arg(long, value_name = "DIR")]
    config: Option<PathBuf>,
    /// As JSON instead of Markdown
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let dir = args.data.join(super::serve::JOURNAL_DIR);
    if !dir.is_dir() {
        anyhow::bail!("{} holds no journal. Name the data folder with --data DIR.", args.data.display());
    }
    let files = match &args.config {
        Some(dir) => Files::read(dir)?,
        None => Files::embedded(),
    };
    let people = files.settings()?.people;
    let journal = SledJournal::open(&dir, &SledOptions::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let id = RolloutId(args.id.clone());
    let found = runtime.block_on(read_rollout(&journal, &id));
    journal.close();
    let state = found?.with_context(|| format!("there is no rollout `{id}` in {}", args.data.display()))?;
    let report = report(&state, &people);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.markdown(state.runbook.timezone));
    }
    Ok(ExitCode::SUCCESS)
}
