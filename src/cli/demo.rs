//! `tminus demo`: everything on this machine, with what is built in.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use chrono::TimeDelta;

use crate::engine::clock::SystemClock;
use crate::engine::journal::sled::{SledJournal, SledOptions};
use crate::engine::scratch::SledScratch;
use crate::engine::snapshots::SnapshotFolder;
use crate::gateway::action::pretend::Ledger;
use crate::settings::Files;
use crate::telemetry;

use super::journal::make_data_folder;
use super::serve::{self, JOURNAL_DIR, PRETENDED_FILE, SCRATCH_DIR, SNAPSHOTS_DIR, Setup};

/// Where the demo remembers, unless told otherwise.
pub(super) const DATA_DEFAULT: &str = "tminus-demo-data";
/// Where the page listens, unless told otherwise: on this machine only.
const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);
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
    let metrics = telemetry::start_metrics()?;
    let files = match &args.config {
        Some(dir) => Files::read(dir)?,
        None => Files::embedded(),
    };
    let settings = files.settings()?;
    for warning in &settings.warnings {
        tracing::warn!("{}:{}: {}", warning.file, warning.place.line, warning.what);
    }
    make_data_folder(&args.data)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // Bound first: when the port is taken, the journal need not be opened at all.
        let listen = args.listen.or(settings.listen).unwrap_or(LISTEN_DEFAULT);
        let listener = tokio::net::TcpListener::bind(listen)
            .await
            .with_context(|| format!("can't listen on {listen}; choose another address with --listen ADDR"))?;
        let address = listener.local_addr()?;
        let public_url = settings.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
        let dir = args.data.join(JOURNAL_DIR);
        let journal = Arc::new(SledJournal::open(&dir, &SledOptions::default())?);
        let pretended = args.data.join(PRETENDED_FILE);
        let ledger = Ledger::open(&pretended).with_context(|| format!("{} can't be opened", pretended.display()))?;
        let snapshots = args.data.join(SNAPSHOTS_DIR);
        let setup = Setup {
            settings,
            journal: journal.clone(),
            clock: Arc::new(SystemClock),
            // After the journal: whoever has that lock may have this store.
            scratch: Arc::new(SledScratch::open(&args.data.join(SCRATCH_DIR))?),
            ledger,
            propose_window: Some(WINDOW_AHEAD),
            public_url: Some(public_url),
            snapshots: Arc::new(
                SnapshotFolder::open(&snapshots).with_context(|| format!("{} can't be made", snapshots.display()))?,
            ),
            metrics: Some(metrics),
        };
        let running = serve::start(setup, listener).await?;
        println!("remembers in: {}", args.data.display());
        println!("ready: http://{address}");
        serve::until_told_to_stop().await;
        tracing::info!("Stopping: no new requests; what is in hand is finished");
        running.stop().await;
        // Waits for what is queued, and writes the head; the files are closed in order.
        tokio::task::spawn_blocking(move || journal.close()).await.context("the journal did not close")
    })?;
    Ok(ExitCode::SUCCESS)
}
