//! The systems as they are configured, ready to be asked.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use crate::engine::ports::Executor;
#[cfg(unix)]
use crate::gateway::action::command;
use crate::gateway::action::http::{self, Http};
use crate::gateway::action::pretend::{Ledger, Pretend};
use crate::settings::{Means, Programs, Settings};

use super::COMMANDS_DIR;

/// The systems of a demo, and of rehearsals: all of them pretend, whatever they are.
pub(super) fn pretended(settings: &Settings, ledger: &Arc<Ledger>) -> BTreeMap<String, Arc<dyn Executor>> {
    let pretend = |(name, system): (&String, &crate::settings::System)| {
        let executor: Arc<dyn Executor> = Arc::new(Pretend::new(ledger.clone(), system.kind, system.scripts()));
        (name.clone(), executor)
    };
    settings.systems.iter().map(pretend).collect()
}

/// The systems as they are configured: what pretends pretends, and the others are really asked. Commands remember themselves in the
/// data folder.
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
                let http = http.map_err(anyhow::Error::msg).with_context(|| format!("the system `{name}` can't be used"))?;
                let http = http.with_secrets(headers.clone());
                // The other systems, and all that people do, have no part in it; a rollout under way goes on.
                if let Err(why) = http.check_secrets() {
                    tracing::error!(
                        "The system `{name}` can't be asked: {why}. Until that is put right, which counts at once for a file and \
                         after a restart for a variable, whatever asks it fails"
                    );
                }
                Arc::new(http)
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
