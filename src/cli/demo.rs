//! `tminus demo`: everything on this machine, with what is built in.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use chrono::TimeDelta;

use crate::settings::Files;
use crate::telemetry;

use super::serve::{self, Manner, Process};

/// Where the demo remembers, unless told otherwise.
pub(super) const DATA_DEFAULT: &str = "tminus-demo-data";
/// How far ahead the demo proposes T-0: the first phase of a five-day runbook then opens within the hour.
const WINDOW_AHEAD: TimeDelta = TimeDelta::hours(5 * 24 + 1);

/// How the demo is run.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the page listens; port 0 takes a free one. Without it, what `web.listen` of the configuration says, or
    /// 127.0.0.1:8080
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where everything is remembered
    #[arg(long, value_name = "DIR", default_value = DATA_DEFAULT)]
    data: PathBuf,
    /// A folder with config/ and messages/ to use instead of what is built in
    #[arg(long, value_name = "DIR")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    telemetry::start_logging()?;
    let files = match &args.config {
        Some(dir) => Files::read(dir)?,
        None => Files::embedded(),
    };
    let settings = files.settings()?;
    let (data, listen) = (args.data.clone(), args.listen);
    serve::play(Process { settings, manner: Manner::Demo, data, listen, propose_window: Some(WINDOW_AHEAD) })?;
    Ok(ExitCode::SUCCESS)
}
