//! The HTTP server: connections, TLS, time-outs, and their end.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use axum::Router;
use axum_server::tls_rustls::RustlsConfig;
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use ipnet::IpNet;
use tokio::net::TcpListener;

use crate::settings::TlsFiles;

use super::bounded::{Bounded, Places};

/// How long the head of a request may take to arrive: one that drips in holds a connection for no longer.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// How many connections there may be at once; the next ones are closed.
pub const CONNECTIONS_MAX: usize = 4096;
/// How many of them one address may hold, or one network of IPv6: people behind one address are some hundred at most.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 512;
/// How many file handles are kept for everything else: the journal, snapshots, log-ins, systems, commands. Each connection takes
/// one, and where the machine gives few, there are fewer connections.
pub const HANDLES_RESERVED: usize = 256;
/// How many requests one connection of HTTP/2 may have under way.
const STREAMS_PER_CONNECTION_MAX: u32 = 64;
/// How often it is looked whether the certificate was renewed.
const RENEWAL_PAUSE: Duration = Duration::from_mins(1);

/// A certificate in use, and where it came from.
pub(super) struct Tls {
    config: RustlsConfig,
    files: TlsFiles,
    read_at: Option<SystemTime>,
}

impl Tls {
    /// Reads a certificate and its key.
    ///
    /// # Errors
    /// When they can't be read, or do not belong together.
    pub(super) async fn read(files: TlsFiles) -> anyhow::Result<Self> {
        // The one provider that is built in; a second call finds the first one's.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let read_at = changed_at(&files);
        let config = RustlsConfig::from_pem_file(&files.certificate, &files.key).await;
        let says =
            || format!("the certificate {} and the key {} can't be used", files.certificate.display(), files.key.display());
        let config = config.with_context(says)?;
        Ok(Self { config, files, read_at })
    }

    /// Takes up renewed files, until the process ends. Files that can't be used are passed over: the ones in use go on.
    async fn renew(mut self) {
        loop {
            tokio::time::sleep(RENEWAL_PAUSE).await;
            let changed = changed_at(&self.files);
            if changed == self.read_at {
                continue;
            }
            self.read_at = changed;
            let TlsFiles { certificate, key } = &self.files;
            match self.config.reload_from_pem_file(certificate, key).await {
                Ok(()) => tracing::info!("The certificate {} was renewed", certificate.display()),
                Err(error) => tracing::error!(
                    "The renewed certificate {} can't be used; the old one goes on: {error}",
                    certificate.display()
                ),
            }
        }
    }
}

/// When one of the files was changed last.
fn changed_at(files: &TlsFiles) -> Option<SystemTime> {
    let changed = |path: &PathBuf| Path::new(path).metadata().and_then(|metadata| metadata.modified()).ok();
    changed(&files.certificate).max(changed(&files.key))
}

/// How many files this process may have open; nothing if there is no limit that one could ask for.
#[cfg(unix)]
fn handles() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

#[cfg(not(unix))]
fn handles() -> Option<u64> {
    None
}

/// How many connections there may be where a process may have so many files open.
fn connections_max(handles: Option<u64>) -> usize {
    let handles = handles.and_then(|handles| usize::try_from(handles).ok()).unwrap_or(usize::MAX);
    // Where the machine gives next to none, half of them.
    CONNECTIONS_MAX.min(handles.saturating_sub(HANDLES_RESERVED).max(handles / 2))
}

/// Serves until the handle says otherwise. Through each of these proxies many come, so there is no bound on what they hold of all
/// connections.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Tls>,
    proxies: Arc<[IpNet]>,
    handle: Handle<SocketAddr>,
) -> io::Result<()> {
    let in_all = connections_max(handles());
    // However few there are, one address does not hold all of them.
    let places = Arc::new(Places::new(in_all, CONNECTIONS_PER_ADDRESS_MAX.min(in_all / 2), proxies));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let mut server = Server::<SocketAddr>::from_listener(listener).handle(handle);
    let builder = server.http_builder();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_TIMEOUT).max_concurrent_streams(STREAMS_PER_CONNECTION_MAX);
    match tls {
        None => server.map(|acceptor| Bounded::new(acceptor, places, HEAD_TIMEOUT)).serve(service).await,
        Some(tls) => {
            let acceptor = axum_server::tls_rustls::RustlsAcceptor::new(tls.config.clone());
            let renewal = tokio::spawn(tls.renew());
            let ended = server.acceptor(Bounded::new(acceptor, places, HEAD_TIMEOUT)).serve(service).await;
            renewal.abort();
            ended
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_handles_for_everything_else() {
        assert_eq!(connections_max(None), CONNECTIONS_MAX);
        assert_eq!(connections_max(Some(1 << 20)), CONNECTIONS_MAX);
        assert_eq!(connections_max(Some(1024)), 1024 - HANDLES_RESERVED);
        assert_eq!(connections_max(Some(256)), 128);
    }
}
