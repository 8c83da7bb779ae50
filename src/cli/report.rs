//! `tminus report` and `tminus print`: a rollout written down, from the folder when nothing runs, or over the API.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use crate::domain::paper::paper;
use crate::domain::people::Directory;
use crate::domain::proof::Proof;
use crate::domain::report::{Report, report};
use crate::domain::rollout::command::RolloutId;
use crate::domain::rollout::state::State;
use crate::engine::conductor::{proof_of, read_rollout};
use crate::settings::Files;

use super::client::{Api, Where};
use super::folder;
use super::say_out;

/// Which rollout, and where it is read from.
#[derive(Debug, clap::Args)]
struct Which {
    /// The rollout: andromeda-staging-4.3
    id: String,
    /// Where T-minus runs; without it, the data folder is read
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The data folder; the environment variable `TMINUS_DATA` names another one. While a process works on it, ask that one with --url
    #[arg(long, value_name = "DIR", default_value_os_t = folder::data_default(), conflicts_with = "url")]
    data: PathBuf,
    /// A folder with config/ to read people's names from; without it, the one that the environment variable `TMINUS_CONFIG` names, or
    /// what is built in
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    config: Option<PathBuf>,
}

/// How a report is written.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// As JSON instead of Markdown
    #[arg(long)]
    json: bool,
}

/// What is printed.
#[derive(Debug, clap::Args)]
pub(super) struct PrintArgs {
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let format = if args.json { "json" } else { "markdown" };
    let text = args.which.written(format, &|state, people, proof| {
        // Only the next start learns what became of what was under way.
        let recorded_until = state.ended.is_none().then_some(state.last_at);
        let report = Report { journal: Some(proof.clone()), recorded_until, ..report(state, people) };
        Ok(if args.json { serde_json::to_string_pretty(&report)? } else { report.markdown(state.runbook.timezone) })
    })?;
    say_out(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn print(args: &PrintArgs) -> anyhow::Result<ExitCode> {
    // Nothing runs, so no clock is ahead of what was written last.
    let text = args.which.written("paper", &|state, people, _| Ok(paper(state, people, state.last_at)))?;
    say_out(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a rollout down, with what ties it to the journal.
type Write<'w> = &'w dyn Fn(&State, &Directory, &Proof) -> anyhow::Result<String>;

impl Which {
    fn written(&self, format: &str, write: Write<'_>) -> anyhow::Result<String> {
        match &self.url {
            Some(url) => {
                let api = Api::new(&Where { url: url.clone(), token_file: None })?;
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(api.get(&["api", "rollouts", &self.id, "report"], &[("format", format)]))
            }
            None => self.read_folder(&self.data, write),
        }
    }

    fn read_folder(&self, data: &Path, write: Write<'_>) -> anyhow::Result<String> {
        let named = || std::env::var_os("TMINUS_CONFIG").filter(|named| !named.is_empty()).map(PathBuf::from);
        let files = match self.config.clone().or_else(named) {
            Some(dir) => Files::read(&dir)?,
            None => Files::embedded(),
        };
        let people = files.settings()?.people;
        let journal = folder::open_journal(data, "Name the data folder with --data DIR, or a running T-minus with --url URL.")?
            .context("the journal can't be read; while a process works on it, ask that one: --url http://…")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let id = RolloutId(self.id.clone());
        let found = runtime.block_on(async {
            let Some(state) = read_rollout(&journal, &id).await? else { return Ok(None) };
            let proof = proof_of(&journal, &state).await?.context("the journal ends before the rollout does")?;
            anyhow::Ok(Some((state, proof)))
        });
        journal.close();
        let (state, proof) = found?.with_context(|| format!("there is no rollout `{id}` in {}", data.display()))?;
        write(&state, &people, &proof)
    }
}
