//! `tminus completions`: what a shell needs to complete commands and options.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, say_out};

/// For which shell.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell; what is printed goes where it looks for completions
    shell: Shell,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tminus", &mut script);
    say_out(String::from_utf8(script)?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
