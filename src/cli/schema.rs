//! `tminus schema`: the JSON Schema of a file, for editors.

use std::process::ExitCode;

use crate::domain::schema::Subject;

use super::say_out;

/// Of which file.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file it is of
    #[arg(long = "for", value_name = "FILE", value_parser = Subject::ALL.map(Subject::name), default_value = Subject::Runbook.name())]
    of: String,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let subject = Subject::ALL.into_iter().find(|subject| subject.name() == args.of).unwrap_or(Subject::Runbook);
    say_out(&serde_json::to_string_pretty(&subject.schema())?)?;
    Ok(ExitCode::SUCCESS)
}
