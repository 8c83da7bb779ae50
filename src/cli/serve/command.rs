//! `tminus serve`: in earnest.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;

use crate::settings::{Files, Settings};
use crate::telemetry;

use super::{Manner, Process, play, rooms};

/// How it is run.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// A folder with config/ and messages/
    #[arg(long, value_name = "DIR", env = "TMINUS_CONFIG")]
    config: PathBuf,
    /// Where everything is remembered
    #[arg(long, value_name = "DIR", env = "TMINUS_DATA")]
    data: PathBuf,
    /// Where the page listens; without it, what `web.listen` of the configuration says, or 127.0.0.1:8080
    #[arg(long, value_name = "ADDR", env = "TMINUS_LISTEN")]
    listen: Option<SocketAddr>,
}

pub(in crate::cli) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    telemetry::start_logging()?;
    let settings = Files::read(&args.config)?.settings()?;
    can_serve(&settings, args.listen)?;
    for sentence in rooms::unreached(&settings) {
        tracing::warn!("{sentence}");
    }
    play(Process { settings, manner: Manner::Serve, data: args.data.clone(), listen: args.listen, propose_window: None })?;
    Ok(ExitCode::SUCCESS)
}

/// What a demo does without and rollouts in earnest can't.
fn can_serve(settings: &Settings, listen: Option<SocketAddr>) -> anyhow::Result<()> {
    if settings.people.people().next().is_none() {
        bail!("nobody is configured in config/people.yaml, so nobody could log in; `tminus init` writes a beginning");
    }
    if !settings.rooms.values().any(|places| places.local) {
        bail!(
            "no room is local, so there is nowhere to start a rollout; write `rooms: {{ rollouts: {{ local: true }} }}` in config/tminus.yaml"
        );
    }
    let web = &settings.web;
    let listens = listen.or(web.listen).filter(|address| !address.ip().is_loopback());
    if web.public_url.is_none()
        && let Some(address) = listens
    {
        let knows = "and does not know where it is reached, so links could not be made. Write `web: { public_url: https://… }` in \
                     config/tminus.yaml";
        // An address of this machine is one that a link can name; all of them at once are none.
        if address.ip().is_unspecified() || !(web.allow_http || web.tls.is_some()) {
            bail!("T-minus is to listen on {address} {knows}");
        }
    }
    if web.allow_http || web.tls.is_some() {
        return Ok(());
    }
    match (&web.public_url, listens) {
        // Where it is reached says nothing of who else reaches it.
        (Some(url), Some(address)) if url.is_loopback() => bail!(
            "T-minus is to listen on {address}, which a network reaches, and log-ins would cross it unencrypted: `web.public_url` is \
             {}. Listen on 127.0.0.1, give it `tls`, or put it behind a proxy that has a certificate and write `https://…`; \
             `allow_http: true` allows it all the same",
            url.as_str()
        ),
        (Some(url), _) if !url.is_https() && !url.is_loopback() => bail!(
            "`web.public_url` is {}: log-ins would cross the network unencrypted. Give it `tls`, or put it behind a proxy that has a \
             certificate and write `https://…`; `allow_http: true` allows it all the same",
            url.as_str()
        ),
        _ => Ok(()),
    }
}
