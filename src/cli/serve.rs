//! The wiring: joins settings, engine and gateways to a running process. The only place that knows all of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::TimeDelta;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::domain::people::{Directory, Person, PersonId};
use crate::domain::rollout::event::ClockKind;
use crate::domain::runbook::model::{Platform, Venue};
use crate::engine::conductor::{Conductor, Plan};
use crate::engine::journal::Journal;
use crate::engine::outbox::{self, DISPATCH_MAX, Route, Routes};
use crate::engine::ports::{Clock, Courier, Executor, HouseRooms, RoomInfo};
use crate::engine::scratch::Scratch;
use crate::engine::snapshots::SnapshotStore;
#[cfg(unix)]
use crate::gateway::action::command;
use crate::gateway::action::http::{self, Http};
use crate::gateway::action::pretend::{Ledger, Pretend};
use crate::gateway::chat::local::LocalRooms;
use crate::gateway::chat::local::outbound::{room_of_address, room_of_person};
use crate::gateway::web::{self, Keys, Tokens, Web};
use crate::settings::{Means, Programs, Settings};

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
/// How often what has expired is removed from the scratch store.
const SWEEP_PAUSE: Duration = Duration::from_hours(1);
/// How long a shutdown waits for requests in hand.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// What a process is made of.
pub struct Setup {
    /// Everything configured.
    pub settings: Settings,
    /// Where everything is remembered.
    pub journal: Arc<dyn Journal>,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// What may be forgotten.
    pub scratch: Arc<dyn Scratch>,
    /// What pretended systems remember.
    pub ledger: Arc<Ledger>,
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
    closing: watch::Sender<bool>,
    server: JoinHandle<()>,
    outbox: JoinHandle<()>,
    outbox_closing: CancellationToken,
}

impl Running {
    /// Stops accepting, finishes requests and calls in hand. What is owed stays owed, and is taken up at the next start.
    pub async fn stop(mut self) {
        self.closing.send_replace(true);
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, self.server).await.is_err() {
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
    }
}

/// Joins everything in demo manner: every room and address is a room of our own, every system is pretended.
///
/// # Errors
/// When the journal can't be read.
pub async fn start(setup: Setup, listener: TcpListener) -> anyhow::Result<Running> {
    let Setup { settings, journal, clock, scratch, ledger, propose_window, public_url, snapshots, metrics } = setup;
    let address = listener.local_addr()?;
    let people = if settings.people.people().next().is_none() { just_you() } else { settings.people.clone() };
    let infos = room_infos(&settings, &people);
    let rooms = Arc::new(LocalRooms::open(infos, journal.clone(), clock.clone()).await.context("the rooms can't be read")?);
    let plan = Plan {
        people: Arc::new(people),
        runbooks: settings.runbooks.clone(),
        clock: ClockKind::Shifted,
        rooms: HouseRooms::rooms(rooms.as_ref()).into_iter().map(|room| (room.id, vec![Platform::Local])).collect(),
        propose_window,
        public_url,
        freezes: settings.freezes.clone(),
        digests: settings.digests.clone(),
    };
    let (dispatch, dispatches) = mpsc::channel(DISPATCH_MAX);
    let conductor = Conductor::open_with(plan, journal, clock, dispatch, snapshots).await;
    let conductor = conductor.context("the rollouts can't be taken up")?;
    let routes = routes(&settings, &rooms, &ledger);
    let outbox_closing = CancellationToken::new();
    let outbox = tokio::spawn(outbox::run(routes, conductor.clone(), dispatches, outbox_closing.clone()));
    let closing = watch::Sender::new(false);
    tokio::spawn(sweep(scratch.clone(), conductor.clone(), closing.subscribe()));
    let (keys, tokens) = (Keys::new(scratch.clone()), Tokens::new(scratch));
    let hosts = settings.public_url.as_deref().and_then(host_of).into_iter().collect();
    let closed = closing.subscribe();
    let web = Web { conductor: conductor.clone(), rooms, demo: true, hosts, keys, tokens, metrics, closing: closed };
    let server = tokio::spawn(serve(listener, web, closing.subscribe()));
    Ok(Running { address, conductor, closing, server, outbox, outbox_closing })
}

/// Removes what has expired from the scratch store, now and then, until the process ends.
async fn sweep(scratch: Arc<dyn Scratch>, conductor: Conductor, mut closing: watch::Receiver<bool>) {
    loop {
        if let Err(error) = scratch.sweep(conductor.now()) {
            tracing::warn!("What has expired can't be removed: {error}");
        }
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            () = tokio::time::sleep(SWEEP_PAUSE) => {}
        }
    }
}

/// The host of an http or https address: requests may name it.
fn host_of(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    (!host.is_empty()).then(|| host.to_owned())
}

async fn serve(listener: TcpListener, web: Web, mut closing: watch::Receiver<bool>) {
    let stop = async move {
        // The sender is gone only when the process is.
        let _ = closing.wait_for(|closing| *closing).await;
    };
    if let Err(error) = axum::serve(listener, web::router(web)).with_graceful_shutdown(stop).await {
        tracing::error!("The page stopped: {error}");
    }
}

/// Who there is where nobody is configured: a checklist can be tried before anybody has written down who does what.
pub(super) fn just_you() -> Directory {
    let you =
        Person { id: PersonId::new("you"), name: "You".to_owned(), timezone: None, roles: std::collections::BTreeSet::new() };
    Directory::new([you], BTreeMap::new())
}

/// The rooms that T-minus keeps itself: one for every room, one for every address that somebody announces to, one for every person.
#[must_use]
pub fn room_infos(settings: &Settings, people: &Directory) -> Vec<RoomInfo> {
    let mut rooms: Vec<RoomInfo> =
        settings.rooms.iter().map(|name| RoomInfo { id: name.clone(), title: name.clone(), hosts: true, person: None }).collect();
    if rooms.is_empty() {
        rooms.push(RoomInfo { id: "rollouts".to_owned(), title: "rollouts".to_owned(), hosts: true, person: None });
    }
    for address in settings.announced_to() {
        let id = room_of_address(&address);
        if !rooms.iter().any(|room| room.id == id) {
            let title = format!("{}: {}", address.platform.title(), address.name);
            rooms.push(RoomInfo { id, title, hosts: false, person: None });
        }
    }
    for person in people.people() {
        let id = room_of_person(&person.id);
        let title = format!("To {}", person.name);
        rooms.push(RoomInfo { id, title, hosts: false, person: Some(person.id.clone()) });
    }
    rooms
}

const fn local(room: String) -> Venue {
    Venue { platform: Platform::Local, room }
}

fn routes(settings: &Settings, rooms: &Arc<LocalRooms>, ledger: &Arc<Ledger>) -> Routes {
    let courier: Arc<dyn Courier> = rooms.clone();
    let route = || Route { lane: "local".to_owned(), courier: courier.clone() };
    let addresses = settings.announced_to().into_iter().map(|address| ((address.platform, address.name), route())).collect();
    let hosted = HouseRooms::rooms(rooms.as_ref()).into_iter().map(|room| (local(room.id), route())).collect();
    let pretend = |(name, system): (&String, &crate::settings::System)| {
        let executor: Arc<dyn Executor> = Arc::new(Pretend::new(ledger.clone(), system.kind, system.scripts()));
        (name.clone(), executor)
    };
    let executors: BTreeMap<String, Arc<dyn Executor>> = settings.systems.iter().map(pretend).collect();
    // Rehearsals have executors of their own, which pretend whatever a system is: here that is no difference.
    let rehearsals = settings.systems.iter().map(pretend).collect();
    Routes { addresses, people: Some(route()), venues: hosted, executors, rehearsals }
}

/// The systems as they are configured: what pretends pretends, and the others are really asked. The demo does not use it: there
/// every system pretends. Commands remember themselves in the data folder.
///
/// # Errors
/// When a system can't be used as it is configured: its folder is not there, its memory can't be opened.
pub fn executors(settings: &Settings, ledger: &Arc<Ledger>, data: &Path) -> anyhow::Result<BTreeMap<String, Arc<dyn Executor>>> {
    // One memory for all systems that run commands, and none where there is no such system.
    let mut commands = None;
    let mut executors = BTreeMap::new();
    for (name, system) in &settings.systems {
        let executor: Arc<dyn Executor> = match &system.means {
            Means::Pretend { scripts } => Arc::new(Pretend::new(ledger.clone(), system.kind, scripts.clone())),
            Means::Http { allow, headers, timeout } => {
                let http = Http::new(allow.clone(), timeout.unwrap_or(http::TIMEOUT_DEFAULT));
                let http = http.and_then(|http| http.with_secrets(headers.clone()));
                Arc::new(http.map_err(anyhow::Error::msg).with_context(|| format!("the system `{name}` can't be used"))?)
            }
            Means::Command(programs) => {
                let folder = data.join(COMMANDS_DIR);
                command(programs, &mut commands, &folder).with_context(|| format!("the system `{name}` can't be used"))?
            }
            // What is asked of it says that it is not connected.
            Means::Unconnected => continue,
        };
        executors.insert(name.clone(), executor);
    }
    Ok(executors)
}

#[cfg(unix)]
fn command(programs: &Programs, memory: &mut Option<Arc<command::Ledger>>, folder: &Path) -> anyhow::Result<Arc<dyn Executor>> {
    let Programs { allow, cwd, env, timeout } = programs;
    for name in env.iter().filter(|name| std::env::var_os(name).is_none()) {
        tracing::warn!("The environment variable {name} is passed on to commands, and is not set");
    }
    let ledger = if let Some(ledger) = memory {
        ledger.clone()
    } else {
        let opened = command::Ledger::open(folder).with_context(|| format!("{} can't be opened", folder.display()))?;
        memory.insert(opened).clone()
    };
    let timeout = timeout.unwrap_or(command::TIMEOUT_DEFAULT);
    let commands = command::Commands::new(allow, cwd.as_deref(), env.clone(), timeout, ledger);
    Ok(Arc::new(commands.map_err(anyhow::Error::msg)?))
}

#[cfg(not(unix))]
fn command(_programs: &Programs, _memory: &mut Option<()>, _folder: &Path) -> anyhow::Result<Arc<dyn Executor>> {
    anyhow::bail!("commands are run in process groups, which this platform does not have")
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
