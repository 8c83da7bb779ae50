//! A process from its start to its end, in whatever manner it runs.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::TimeDelta;

use crate::cli::folder;
use crate::engine::clock::SystemClock;
use crate::engine::files::{self, Readers};
use crate::engine::journal::memory::MemoryJournal;
use crate::engine::journal::sled::{SledJournal, SledOptions};
use crate::engine::scratch::SledScratch;
use crate::engine::snapshots::{self, SnapshotFolder, SnapshotStore};
use crate::gateway::action::pretend::Ledger;
use crate::gateway::web::access::grants::Grants;
use crate::settings::Settings;
use crate::telemetry;

use super::{ACCESS_DIR, JOURNAL_DIR, Manner, PRETENDED_FILE, SCRATCH_DIR, SNAPSHOTS_DIR, Setup, start, until_told_to_stop};

/// Where the page listens, unless told otherwise: on this machine only.
const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// How long the end waits for what still runs once everything was told to end.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// The file within the data folder that says where the page is reached, for the command line.
pub(in crate::cli) const URL_FILE: &str = "url";

/// What is run.
pub(in crate::cli) struct Process {
    /// Everything configured.
    pub settings: Settings,
    /// In which manner.
    pub manner: Manner,
    /// Where everything is remembered.
    pub data: PathBuf,
    /// Where the page listens, if the command line says so.
    pub listen: Option<SocketAddr>,
    /// How far ahead T-0 is proposed.
    pub propose_window: Option<TimeDelta>,
}

/// Runs it until it is told to stop.
pub(in crate::cli) fn play(process: Process) -> anyhow::Result<()> {
    let Process { settings, manner, data, listen, propose_window } = process;
    let metrics = telemetry::start_metrics()?;
    for warning in &settings.warnings {
        tracing::warn!("{}:{}: {}", warning.file, warning.place.line, warning.what);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        // Bound first: when the port is taken, the data folder need not be made, nor the journal opened.
        let listen = listen.or(settings.web.listen).unwrap_or(LISTEN_DEFAULT);
        let listener = tokio::net::TcpListener::bind(listen)
            .await
            .with_context(|| format!("can't listen on {listen}; choose another address with --listen ADDR"))?;
        folder::make(&data)?;
        check_data_folder(&data, manner)?;
        let address = listener.local_addr()?;
        let scheme = if settings.web.tls.is_some() && manner == Manner::Serve { "https" } else { "http" };
        let here = format!("{scheme}://{address}");
        let public_url = settings.web.public_url.as_ref().map_or_else(|| here.clone(), |url| url.as_str().to_owned());
        let snapshots: Arc<dyn SnapshotStore> = Arc::new(
            SnapshotFolder::open(&data.join(SNAPSHOTS_DIR))
                .with_context(|| format!("{SNAPSHOTS_DIR} in the data folder can't be opened"))?,
        );
        if !data.join(JOURNAL_DIR).exists() {
            // Where there were snapshots there was a journal, and an empty one in its place would only be in the way of a better one.
            snapshots::check(&snapshots, &MemoryJournal::new(), "", &BTreeSet::new()).await?;
        }
        let journal = Arc::new(SledJournal::open(&data.join(JOURNAL_DIR), &SledOptions::default())?);
        let in_folder = |name: &str| data.join(name);
        let cannot = |name: &'static str| move || format!("{name} in the data folder can't be opened");
        let setup = Setup {
            settings,
            manner,
            journal: journal.clone(),
            clock: Arc::new(SystemClock),
            // After the journal: whoever has that lock may have this store.
            scratch: Arc::new(SledScratch::open(&in_folder(SCRATCH_DIR))?),
            grants: Grants::open(&in_folder(ACCESS_DIR)).with_context(cannot(ACCESS_DIR))?,
            ledger: Ledger::open(&in_folder(PRETENDED_FILE)).with_context(cannot(PRETENDED_FILE))?,
            snapshots,
            data: data.clone(),
            propose_window,
            public_url: Some(public_url.clone()),
            metrics: Some(metrics),
        };
        let running = start(setup, listener).await?;
        let (file, unfinished) = (in_folder(URL_FILE), in_folder(URL_FILE).with_extension("new"));
        if let Err(error) = files::replace(&file, &unfinished, format!("{public_url}\n").as_bytes(), Readers::Owner) {
            tracing::warn!("Where the page is reached can't be written down for `tminus invite`: {error}");
        }
        println!("remembers in: {}", data.display());
        println!("ready: {here}");
        notify(sd_notify::NotifyState::Ready);
        until_told_to_stop().await;
        notify(sd_notify::NotifyState::Stopping);
        tracing::info!("Stopping: no new requests; what is in hand is finished");
        running.stop().await;
        // Waits for what is queued, and writes the head; the files are closed in order.
        tokio::task::spawn_blocking(move || journal.close()).await.context("the journal did not close")
    });
    // What still hangs then is a snapshot on a disk that does not answer: without it the next start reads more.
    runtime.shutdown_timeout(END_TIMEOUT);
    ended
}

/// Refuses a data folder into which others on the machine can write: they could let themselves in. In a demo everybody may be anybody
/// anyway, so there it is only said, like a folder that others can read.
#[cfg(unix)]
fn check_data_folder(data: &Path, manner: Manner) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = std::fs::metadata(data).with_context(|| format!("the data folder {} can't be looked at", data.display()))?;
    let mode = metadata.permissions().mode();
    let help = format!("`chmod 700 {}` closes it; or name a folder in it, which is made for its owner alone", data.display());
    if mode & 0o022 != 0 && manner == Manner::Serve {
        anyhow::bail!(
            "others on this machine can write to the data folder {}, and could let themselves in. {help}",
            data.display()
        );
    }
    if mode & 0o077 != 0 {
        tracing::warn!("Others on this machine can look into the data folder {}. {help}", data.display());
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_data_folder(_data: &Path, _manner: Manner) -> anyhow::Result<()> {
    Ok(())
}

/// Tells systemd, where it asked to be told (`Type=notify`).
fn notify(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("systemd can't be told: {error}");
    }
}
