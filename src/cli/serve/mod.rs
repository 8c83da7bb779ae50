//! The wiring: joins settings, engine and gateways to a running process. The only place that knows all of them.

mod bounded;
mod command;
mod listen;
mod process;
mod rooms;
mod systems;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum_server::Handle;
use chrono::TimeDelta;
use ipnet::IpNet;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::domain::people::{Directory, Person, PersonId};
use crate::domain::rollout::event::ClockKind;
use crate::domain::runbook::model::Platform;
use crate::engine::backups;
use crate::engine::conductor::{Conductor, Plan, REST_AFTER};
use crate::engine::history::Runs;
use crate::engine::journal::Journal;
use crate::engine::outbox::{self, DISPATCH_MAX};
use crate::engine::ports::{Clock, HouseRooms};
use crate::engine::scratch::Scratch;
use crate::engine::snapshots::SnapshotStore;
use crate::gateway::action::pretend::Ledger;
use crate::gateway::chat::local::LocalRooms;
use crate::gateway::picture;
use crate::gateway::web::access::Access;
use crate::gateway::web::access::grants::Grants;
use crate::gateway::web::{self, Joined, Keys, Web};
use crate::settings::{Backups, PublicUrl, Settings};

use self::listen::Tls;

pub use self::rooms::room_infos;
pub use self::systems::executors;

pub(super) use self::command::{Args, run};
pub(super) use self::process::{Process, URL_FILE, play};

/// The folder of the journal within the data folder.
pub const JOURNAL_DIR: &str = "journal";
/// The folder of what may be forgotten within the data folder.
pub const SCRATCH_DIR: &str = "scratch";
/// The folder of snapshots within the data folder: a cache of the journal.
pub const SNAPSHOTS_DIR: &str = "snapshots";
/// The file within the data folder in which pretended systems remember what they were asked.
pub const PRETENDED_FILE: &str = "pretended.jsonl";
/// The folder within the data folder in which commands are remembered.
pub const COMMANDS_DIR: &str = "commands";
/// How often what has expired is removed.
const SWEEP_PAUSE: Duration = Duration::from_mins(10);
/// How long a shutdown waits for requests in hand.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// The folder of log-ins within the data folder.
pub const ACCESS_DIR: &str = "access";

/// In which manner a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// To try it out: everybody may be anybody, rooms of our own stand for all platforms, every system pretends, clocks can be moved.
    Demo,
    /// In earnest: people log in, rooms and systems are as they are configured, the clock is the real one.
    Serve,
}

/// What a process is made of.
pub struct Setup {
    /// Everything configured.
    pub settings: Settings,
    /// In which manner it runs.
    pub manner: Manner,
    /// Where everything is remembered.
    pub journal: Arc<dyn Journal>,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// What may be forgotten.
    pub scratch: Arc<dyn Scratch>,
    /// What lets people in.
    pub grants: Grants,
    /// What pretended systems remember.
    pub ledger: Arc<Ledger>,
    /// The data folder: commands remember themselves there.
    pub data: PathBuf,
    /// How far ahead T-0 is proposed.
    pub propose_window: Option<TimeDelta>,
    /// Where pages are reached.
    pub public_url: Option<String>,
    /// Where what rollouts had become is written down, so that a start is quick.
    pub snapshots: Arc<dyn SnapshotStore>,
    /// The figures.
    pub metrics: Option<PrometheusHandle>,
}

/// A running process.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// The way to its rollouts.
    pub conductor: Conductor,
    web: Web,
    rooms: Arc<LocalRooms>,
    closing: watch::Sender<bool>,
    server: JoinHandle<()>,
    server_handle: Handle<SocketAddr>,
    outbox: JoinHandle<()>,
    outbox_closing: CancellationToken,
}

impl Running {
    /// What answers requests, without a connection: for tests that send what no client would.
    #[doc(hidden)]
    pub fn router(&self) -> axum::Router {
        web::router(self.web.clone())
    }

    /// Stops accepting, finishes requests and calls in hand. What is owed stays owed, and is taken up at the next start.
    pub async fn stop(mut self) {
        self.closing.send_replace(true);
        self.server_handle.graceful_shutdown(Some(SHUTDOWN_TIMEOUT));
        if tokio::time::timeout(SHUTDOWN_TIMEOUT * 2, self.server).await.is_err() {
            tracing::warn!("Some requests did not end within {} s; they are dropped", SHUTDOWN_TIMEOUT.as_secs());
        }
        // In this order: receipts of what is in hand still reach the rollouts, and what rollouts were asked the journal.
        self.outbox_closing.cancel();
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, &mut self.outbox).await.is_err() {
            tracing::warn!(
                "Some calls did not end within {} s; what became of them is looked up at the next start",
                SHUTDOWN_TIMEOUT.as_secs()
            );
            self.outbox.abort();
        }
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, self.conductor.close()).await.is_err() {
            tracing::warn!("Some rollouts did not end within {} s", SHUTDOWN_TIMEOUT.as_secs());
        }
        // When nobody writes any more. It has a time limit of its own.
        self.rooms.close().await;
    }
}

/// Joins everything.
///
/// # Errors
/// When the journal can't be read, or something that is configured can't be used.
pub async fn start(setup: Setup, listener: TcpListener) -> anyhow::Result<Running> {
    let Setup { settings, manner, journal, clock, scratch, grants, ledger, data, propose_window, public_url, snapshots, metrics } =
        setup;
    let address = listener.local_addr()?;
    let demo = manner == Manner::Demo;
    let nobody = settings.people.people().next().is_none();
    let people = if demo && nobody { just_you() } else { settings.people.clone() };
    let tls = match settings.web.tls.clone().filter(|_| !demo) {
        Some(files) => Some(Tls::read(files).await?),
        None => None,
    };
    let pretended = systems::pretended(&settings, &ledger);
    let executors = if demo { pretended.clone() } else { executors(&settings, &ledger, &data)? };
    let infos = room_infos(&settings, &people, manner);
    let local = LocalRooms::open_with(infos, journal.clone(), clock.clone(), snapshots.clone()).await;
    let local = Arc::new(local.context("the rooms can't be read")?);
    let plan = Plan {
        people: Arc::new(people),
        runbooks: settings.runbooks.clone(),
        clock: if demo { ClockKind::Shifted } else { ClockKind::Real },
        rooms: HouseRooms::rooms(local.as_ref()).into_iter().map(|room| (room.id, vec![Platform::Local])).collect(),
        propose_window,
        public_url: public_url.clone(),
        freezes: settings.freezes.clone(),
        digests: settings.digests.clone(),
        rest_after: REST_AFTER,
    };
    let (kept, exported, told_time) = (journal.clone(), journal.clone(), clock.clone());
    let (dispatch, dispatches) = mpsc::channel(DISPATCH_MAX);
    let conductor = Conductor::open_with(plan, journal, clock, dispatch, snapshots).await;
    let conductor = conductor.context("the rollouts can't be taken up")?;
    let routes = rooms::routes(&settings, &local, executors, pretended);
    let outbox_closing = CancellationToken::new();
    let outbox = tokio::spawn(outbox::run(routes, conductor.clone(), dispatches, outbox_closing.clone()));
    let closing = watch::Sender::new(false);
    if let Some(Backups { to, at, keep }) = settings.backups.clone() {
        tokio::spawn(backups::run(backups::Plan { to, at, keep }, kept, told_time, closing.subscribe()));
    }
    let proxies: Arc<[IpNet]> = settings.web.trusted_proxies.clone().into();
    let access = Access::new(grants, public_url).behind(proxies.clone());
    tokio::spawn(sweep(scratch.clone(), access.clone(), conductor.clone(), closing.subscribe()));
    let hosts = settings.web.public_url.iter().map(|url| PublicUrl::host(url).to_owned()).collect();
    let closed = closing.subscribe();
    let rooms = local.clone();
    let web = Web::new(Joined {
        conductor: conductor.clone(),
        rooms: local,
        demo,
        hosts,
        keys: Keys::new(scratch),
        access,
        journal: exported,
        exports: web::export_places(),
        runs: Runs::new(conductor.clone()),
        paint: picture::png,
        metrics,
        closing: closed,
    });
    let server_handle = Handle::new();
    let serving = listen::serve(listener, web::router(web.clone()), tls, proxies, server_handle.clone());
    let server = tokio::spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!("The page stopped: {error}");
        }
    });
    Ok(Running { address, conductor, web, rooms, closing, server, server_handle, outbox, outbox_closing })
}

/// Removes what has expired, now and then, until the process ends.
async fn sweep(scratch: Arc<dyn Scratch>, access: Access, conductor: Conductor, mut closing: watch::Receiver<bool>) {
    loop {
        let (swept, now) = (scratch.clone(), conductor.now());
        match tokio::task::spawn_blocking(move || swept.sweep(now)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!("What has expired can't be removed: {error}"),
            Err(error) => tracing::error!("Removing what has expired broke: {error}"),
        }
        if let Err(error) = access.sweep(now).await {
            tracing::warn!("Log-ins that have expired can't be removed: {error}");
        }
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            () = tokio::time::sleep(SWEEP_PAUSE) => {}
        }
    }
}

/// Who there is where nobody is configured: a checklist can be tried before anybody has written down who does what.
pub(super) fn just_you() -> Directory {
    let you =
        Person { id: PersonId::new("you"), name: "You".to_owned(), timezone: None, roles: std::collections::BTreeSet::new() };
    Directory::new([you], BTreeMap::new())
}

/// Waits for an interrupt or a request to terminate.
pub async fn until_told_to_stop() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        _ = interrupt => {}
        () = terminate => {}
    }
}
