//! `tminus ready`: whether a running T-minus can be used, for health checks.

use std::process::ExitCode;

use super::client::{Api, URL_DEFAULT, Where};

/// Which T-minus.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where it runs
    #[arg(long, value_name = "URL", env = "TMINUS_URL", default_value = URL_DEFAULT)]
    url: String,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // Nobody needs to say who they are for this.
    let api = Api::new(&Where { url: args.url.clone(), token_file: None })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{}", runtime.block_on(api.get(&["readyz"], &[]))?.trim_end());
    Ok(ExitCode::SUCCESS)
}
