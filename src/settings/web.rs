//! The `web` section: where the page listens, where it is reached, and how what passes between is kept from others.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

use crate::domain::section::{Located, Report, Section};

/// How the page is had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebSettings {
    /// Where it listens.
    pub listen: Option<SocketAddr>,
    /// Where it is reached.
    pub public_url: Option<PublicUrl>,
    /// With which certificate it speaks TLS itself.
    pub tls: Option<TlsFiles>,
    /// Whether log-ins may cross a network unencrypted.
    pub allow_http: bool,
    /// The proxies that say truly from where a request came.
    pub trusted_proxies: Vec<IpNet>,
}

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate with those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// An address of a page: a scheme and an authority, perhaps the beginning of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    text: String,
    is_https: bool,
    /// Host and port, as browsers write them.
    authority: String,
}

impl PublicUrl {
    /// From its text; nothing if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_https = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = rest.trim_end_matches('/');
        // Links are made by adding a path; T-minus serves from the root of its host.
        let is_one = !authority.is_empty()
            && authority.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b))
            && !host_of(authority).is_empty();
        is_one.then(|| Self { text: format!("{scheme}://{authority}"), is_https, authority: authority.to_ascii_lowercase() })
    }

    /// As text, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether what passes is encrypted on its way to that address.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// Host and port.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The host alone.
    #[must_use]
    pub fn host(&self) -> &str {
        host_of(&self.authority)
    }

    /// Whether it leads to this machine only.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.host().trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

fn host_of(authority: &str) -> &str {
    let port = |(_, port): &(&str, &str)| port.bytes().all(|b| b.is_ascii_digit());
    authority.rsplit_once(':').filter(port).map_or(authority, |(host, _)| host)
}

/// Reads the section.
pub(super) fn read(report: &Report, top: &mut Section<'_, '_>) -> WebSettings {
    let Some(mut web) = top.take("web").and_then(|node| Section::open(report, node, "web")) else {
        return WebSettings::default();
    };
    let listen = web.text("listen").and_then(|listen| {
        let parsed = listen.text.parse().ok();
        if parsed.is_none() {
            let help = "write it like `127.0.0.1:8080`";
            report.error_help(listen.place, format!("`{}` is no address to listen on", listen.text), help);
        }
        parsed
    });
    let written = web.text("public_url");
    let public_url = written.and_then(|url| {
        let parsed = PublicUrl::parse(url.text);
        if parsed.is_none() {
            let help = "write it like `https://rollouts.example.com`, without a path";
            report.error_help(url.place, format!("`{}` is no address of a page", url.text), help);
        }
        parsed
    });
    let tls = web.take("tls").and_then(|node| {
        let mut tls = Section::open(report, node, "tls")?;
        let (certificate, key) = (tls.needed("certificate"), tls.needed("key"));
        tls.close(&[]);
        let path = |text: Located<'_>| PathBuf::from(text.text);
        Some(TlsFiles { certificate: path(certificate?), key: path(key?) })
    });
    let allow_http = web.flag("allow_http");
    let trusted_proxies = web.texts("trusted_proxies").into_iter().filter_map(|proxy| network(report, proxy)).collect();
    if let (Some(written), Some(url)) = (written, &public_url) {
        if tls.is_some() && !url.is_https() {
            let help = format!("write `https://{}`", url.authority());
            report.error_help(written.place, "the page has a certificate and is reached without it", help);
        } else if !url.is_https() && !url.is_loopback() && !allow_http {
            let help =
                "give it `tls`, or put it behind a proxy that has a certificate; `allow_http: true` allows it all the same";
            report.warning_help(written.place, "log-ins would cross the network unencrypted; `tminus serve` refuses this", help);
        }
    }
    web.close(&[]);
    WebSettings { listen, public_url, tls, allow_http, trusted_proxies }
}

/// An address, or a network.
fn network(report: &Report, written: Located<'_>) -> Option<IpNet> {
    let parsed = written.text.parse().or_else(|_| written.text.parse::<IpAddr>().map(IpNet::from)).ok();
    if parsed.is_none() {
        let help = "write it like `127.0.0.1` or `10.1.0.0/16`";
        report.error_help(written.place, format!("`{}` is no address and no network", written.text), help);
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_page_is_a_scheme_and_an_authority() {
        let url = PublicUrl::parse("https://Rollouts.example.com:8443/").unwrap();
        assert_eq!((url.as_str(), url.authority()), ("https://Rollouts.example.com:8443", "rollouts.example.com:8443"));
        assert_eq!((url.host(), url.is_https(), url.is_loopback()), ("rollouts.example.com", true, false));
        for local in ["http://localhost", "http://x.localhost:1", "http://127.0.0.1:8080", "http://[::1]:8080", "http://[::1]"] {
            assert!(PublicUrl::parse(local).unwrap().is_loopback(), "{local}");
        }
        for wrong in [
            "",
            "https://",
            "https:///",
            "ftp://x",
            "x",
            "https://a b",
            "https://a/b",
            "https://a?b",
            "https://u@h",
            "http://:80",
        ] {
            assert_eq!(PublicUrl::parse(wrong), None, "{wrong}");
        }
    }
}
