//! Who a request is from, and what that lets it do.
//!
//! A browser bears a session in a cookie, a program a token (RFC 6750); a screen on a wall has a session of nobody, which only
//! shows. In the demo nobody logs in, and the request itself says who acts.
//!
//! Against requests that another page makes a browser send: the cookie is `SameSite=Lax`, and what changes something has to come
//! from this very origin, which the browser says in `Origin` or `Sec-Fetch-Site`. A token in a header is never sent by a browser
//! on its own.

pub mod api;
pub mod grants;
pub mod limits;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, TimeDelta, Utc};
use cookie::{Cookie, SameSite};
use ipnet::IpNet;
use sha2::{Digest as _, Sha256};

use crate::domain::people::{Directory, PersonId};
use crate::engine::journal::chain::hex;

use super::Web;
use super::export::EXPORT_PATH;
use super::pages::is_asset;
use super::problem::Problem;

use self::grants::{Grant, GrantError, GrantKind, Grants, Holder, Only};
use self::limits::{Limits, Who};

/// The role of the installation that may let people in, read the figures and take the journal along.
pub const OPERATOR: &str = "operator";
/// Where proxies say from where they had a request.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// How a token is borne (RFC 6750).
const SCHEME: &str = "Bearer";
/// The cookie of a session where the page is encrypted: browsers take it from this very host only.
const COOKIE_SECURE: &str = "__Host-tminus";
/// The same where it is not.
const COOKIE_PLAIN: &str = "tminus";

/// What lets people in.
#[derive(Clone)]
pub struct Access {
    grants: Grants,
    /// Where pages are reached: scheme and authority.
    pub public_url: Option<String>,
    limits: Arc<Limits>,
    /// Whose word is taken for where a request came from.
    proxies: Arc<[IpNet]>,
}

impl Access {
    /// Access by what was given out.
    #[must_use]
    pub fn new(grants: Grants, public_url: Option<String>) -> Self {
        Self { grants, public_url, limits: Arc::new(Limits::default()), proxies: Arc::default() }
    }

    /// The same behind proxies that say where a request came from.
    #[must_use]
    pub fn behind(self, proxies: Arc<[IpNet]>) -> Self {
        Self { proxies, ..self }
    }

    /// From where a request came. Each proxy adds at the end from where it had it, so what stands before an address that is no
    /// proxy of ours is only what somebody claims.
    fn origin(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let said = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let said: Vec<&str> = said.flat_map(|value| value.split(',')).map(str::trim).collect();
        let mut origin = peer;
        for hop in said.into_iter().rev() {
            if !limits::is_within(&self.proxies, origin) {
                break;
            }
            let Ok(hop) = hop.parse() else { break };
            origin = hop;
        }
        origin
    }

    /// Forgets what has expired, and who was quiet for a while.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub async fn sweep(&self, now: DateTime<Utc>) -> Result<usize, GrantError> {
        self.limits.sweep();
        self.with_grants(move |grants| grants.sweep(now)).await
    }

    /// Looks into what was given out, or changes it. Those are files, and waiting for the disk is done where nobody else is held
    /// up.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub(super) async fn with_grants<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Grants) -> Result<T, GrantError> + Send + 'static,
    ) -> Result<T, GrantError> {
        let grants = self.grants.clone();
        let done = tokio::task::spawn_blocking(move || work(&grants)).await;
        done.unwrap_or_else(|error| Err(GrantError::Store(io::Error::other(error))))
    }

    pub(super) fn is_https(&self) -> bool {
        self.public_url.as_ref().is_some_and(|url| url.starts_with("https://"))
    }

    fn cookie_name(&self) -> &'static str {
        if self.is_https() { COOKIE_SECURE } else { COOKIE_PLAIN }
    }

    /// The cookie that a browser keeps; an empty one, which it forgets.
    pub(super) fn set_cookie(&self, secret: &str, lasts: TimeDelta) -> HeaderValue {
        let cookie = Cookie::build((self.cookie_name(), secret))
            .path("/")
            .http_only(true)
            .secure(self.is_https())
            .same_site(SameSite::Lax)
            .max_age(cookie::time::Duration::seconds(lasts.num_seconds()))
            .build();
        HeaderValue::from_str(&cookie.to_string()).expect("a secret is letters and digits")
    }

    /// The session that a browser bears, whether it is worth something or not.
    pub(super) fn session(&self, headers: &HeaderMap) -> Option<String> {
        let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut ours = all.flat_map(Cookie::split_parse).flatten().filter(|cookie| cookie.name() == self.cookie_name());
        ours.next().map(|cookie| cookie.value().to_owned())
    }

    /// Whether an origin is where our pages come from. A proxy may have changed the host on the way.
    pub(super) fn is_ours(&self, origin: &str, host: &str) -> bool {
        let authority = |url: &str| url.split_once("://").map(|(_, authority)| authority.to_ascii_lowercase());
        let from = authority(origin);
        from.is_some()
            && (from.as_deref() == Some(&host.to_ascii_lowercase()) || from == self.public_url.as_deref().and_then(authority))
    }

    /// A place among the live streams of somebody, until it is dropped.
    pub(super) fn stream(&self, visitor: &Visitor) -> Result<limits::Streaming, Problem> {
        Limits::stream(&self.limits, &visitor.who()).ok_or_else(|| {
            let says = format!("There are {} live streams of yours already. Close some windows.", limits::STREAMS_MAX);
            Problem::new(StatusCode::TOO_MANY_REQUESTS, says)
        })
    }
}

/// Who a request is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Visitor {
    /// Whoever the request says, because this is a demo.
    Anybody,
    /// Somebody who did not say who they are, at an address.
    Stranger(Option<IpAddr>),
    /// Somebody known.
    Known {
        /// Who, or what.
        holder: Holder,
        /// Whether they look after the installation.
        is_operator: bool,
        /// By what they are known.
        by: GrantKind,
        /// That very grant.
        secret: String,
        /// The one thing it is good for, if it is not good for everything.
        only: Option<Only>,
    },
}

impl Visitor {
    /// The person it is, if it is one.
    pub(super) fn person(&self) -> Option<&PersonId> {
        match self {
            Self::Known { holder: Holder::Person(person), .. } => Some(person),
            _ => None,
        }
    }

    /// Whether it is a screen on a wall.
    pub(super) fn is_wall(&self) -> bool {
        matches!(self, Self::Known { holder: Holder::Wall, .. })
    }

    /// Whoever looks after the installation; nobody does in a demo.
    pub(super) fn operator(&self) -> Result<Option<&PersonId>, Problem> {
        match self {
            Self::Anybody => Ok(None),
            Self::Known { holder: Holder::Person(person), is_operator: true, .. } => Ok(Some(person)),
            _ => {
                metrics::counter!("tminus_http_refused_total", "why" => "role").increment(1);
                let says = format!("This is for people whose `roles` in config/people.yaml name `{OPERATOR}`.");
                Err(Problem::new(StatusCode::FORBIDDEN, says))
            }
        }
    }

    /// Whether it still is who it was: a log-in may end while something goes on.
    pub(super) async fn is_still(&self, web: &Web) -> bool {
        match self {
            Self::Known { by, secret, holder, .. } => {
                let grant = find(web, *by, secret).await;
                grant.is_ok_and(|grant| {
                    grant.is_some_and(|grant| grant.holder == *holder && is_known(holder, web.conductor.people()))
                })
            }
            _ => true,
        }
    }

    /// Whether it is somebody who sees rooms and rollouts: everybody but strangers and screens on a wall.
    pub(super) fn is_inside(&self) -> bool {
        !self.is_wall() && !matches!(self, Self::Stranger(_))
    }

    fn who(&self) -> Who {
        match self {
            Self::Anybody => Who::Anybody,
            Self::Stranger(address) => Who::Address(address.map(limits::block_of)),
            Self::Known { holder: Holder::Wall, secret, .. } => Who::Screen(hex(Sha256::digest(secret.as_bytes()))),
            Self::Known { holder, .. } => Who::Holder(holder.to_string()),
        }
    }
}

/// Every request has one; the guard put it there.
impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let unguarded = || Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "Nobody asked who this is from.");
        parts.extensions.get::<Self>().cloned().ok_or_else(unguarded)
    }
}

/// What anybody may see before they say who they are: these very addresses. What only begins like one of them leads nowhere, and
/// where there is nothing, strangers learn nothing either.
fn is_open(path: &str) -> bool {
    let exact = ["/healthz", "/readyz", "/api/openapi.json", "/log-in"];
    exact.contains(&path) || is_asset(path) || path.strip_prefix("/log-in/").is_some_and(is_segment)
}

/// What machines ask all the time, and what costs next to nothing to answer: no flood of somebody else's makes them take this process
/// for dead.
fn is_for_machines(path: &str) -> bool {
    path == "/healthz" || path == "/readyz"
}

/// What a screen on a wall may see.
fn is_on_the_wall(method: &Method, path: &str) -> bool {
    let of_one = path.strip_prefix("/rollouts/").and_then(|rest| rest.strip_suffix("/wall")).is_some_and(is_segment);
    *method == Method::GET && (path == "/wall" || of_one || path == "/api/stream")
}

/// One part of a path.
fn is_segment(text: &str) -> bool {
    !text.is_empty() && !text.contains('/')
}

/// Asks of every request where it was sent, by whom, whether its browser meant it, and whether it is one too many.
pub(super) async fn guard(State(web): State<Web>, request: Request, next: Next) -> Response {
    // The body can't be looked at while others do.
    let (mut head, body) = request.into_parts();
    match admitted(&web, &head).await {
        Ok(visitor) => {
            head.extensions.insert(visitor);
            next.run(Request::from_parts(head, body)).await
        }
        Err(refused) => *refused,
    }
}

async fn admitted(web: &Web, head: &Parts) -> Result<Visitor, Box<Response>> {
    let refused = |problem: Problem| Box::new(problem.into_response());
    let (method, path, headers) = (&head.method, head.uri.path(), &head.headers);
    // HTTP/2 has it in the address (RFC 9113, 8.3.1).
    let host = text(headers, header::HOST).or_else(|| head.uri.authority().map(Authority::as_str)).unwrap_or_default();
    known_host(web, host).map_err(refused)?;
    let changes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if changes {
        own_origin(web, headers, host).map_err(refused)?;
    }
    let peer = head.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let address = peer.map(|peer| web.access.origin(headers, peer));
    let visitor = visitor(web, headers, address).await.map_err(refused)?;
    if !web.demo {
        if !is_asset(path) && !is_for_machines(path) {
            web.access.limits.check(&visitor.who(), changes).map_err(|pause| refused(too_many(pause)))?;
        }
        if changes && matches!(visitor, Visitor::Known { by: GrantKind::Session, .. }) {
            meant(headers).map_err(refused)?;
        }
        if !is_open(path) {
            enters(&visitor, method, path, headers)?;
        }
    }
    Ok(visitor)
}

/// A page elsewhere can reach us by a name of its own: it is not answered.
fn known_host(web: &Web, host: &str) -> Result<(), Problem> {
    let bare = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |(bare, _)| bare);
    let is_address = bare.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    let is_local = bare == "localhost" || bare.ends_with(".localhost");
    if is_address || is_local || web.hosts.iter().any(|known| known.eq_ignore_ascii_case(bare)) {
        return Ok(());
    }
    metrics::counter!("tminus_http_refused_total", "why" => "host").increment(1);
    let detail = "This server does not answer to that host name. Use the address it printed, or set `web.public_url`.";
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail))
}

/// Refuses what another page makes a browser send.
fn own_origin(web: &Web, headers: &HeaderMap, host: &str) -> Result<(), Problem> {
    let is_foreign = text(headers, header::ORIGIN).is_some_and(|origin| !web.access.is_ours(origin, host));
    if is_foreign { Err(foreign()) } else { Ok(()) }
}

/// A browser says where a request comes from; what bears a cookie and does not say so is not taken.
fn meant(headers: &HeaderMap) -> Result<(), Problem> {
    let fetched = text(headers, "sec-fetch-site").map(|site| site == "same-origin");
    // The origin, where there is one, was looked at before.
    let is_meant = fetched.unwrap_or_else(|| headers.contains_key(header::ORIGIN));
    if is_meant { Ok(()) } else { Err(foreign()) }
}

fn foreign() -> Problem {
    metrics::counter!("tminus_http_refused_total", "why" => "origin").increment(1);
    Problem::new(StatusCode::FORBIDDEN, "Requests that change something have to come from this page itself.")
}

fn text(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn too_many(pause: std::time::Duration) -> Problem {
    metrics::counter!("tminus_http_refused_total", "why" => "rate").increment(1);
    let seconds = pause.as_secs().max(1);
    let says = format!("That is more than one asks in so short a time. Try again in {seconds} s.");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, says).retry_after(seconds)
}

/// Who a request is from. A token that is worth nothing is refused; a cookie that is worth nothing is none.
async fn visitor(web: &Web, headers: &HeaderMap, address: Option<IpAddr>) -> Result<Visitor, Problem> {
    if let Some(said) = headers.get(header::AUTHORIZATION) {
        let said = said.to_str().ok().and_then(|said| said.trim().split_once(' '));
        // The name of a scheme is written in any case (RFC 9110, 11.1).
        let token = said.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME)).map(|(_, token)| token.trim());
        let found = match token {
            Some(token) => known(web, GrantKind::Token, token).await?,
            None => None,
        };
        return found.ok_or_else(|| {
            metrics::counter!("tminus_http_refused_total", "why" => "token").increment(1);
            let says = "This token is not known, or it has expired. `tminus token PERSON` gives out a new one.";
            Problem::new(StatusCode::UNAUTHORIZED, says)
        });
    }
    if web.demo {
        return Ok(Visitor::Anybody);
    }
    let known = match web.access.session(headers) {
        Some(secret) => known(web, GrantKind::Session, &secret).await?,
        None => None,
    };
    Ok(known.unwrap_or(Visitor::Stranger(address)))
}

/// Who holds a secret. Who is no longer configured is nobody, whatever they hold.
async fn known(web: &Web, by: GrantKind, secret: &str) -> Result<Option<Visitor>, Problem> {
    let people = web.conductor.people();
    let grant = find(web, by, secret).await?.filter(|grant| is_known(&grant.holder, people));
    Ok(grant.map(|Grant { holder, only, .. }| {
        let is_operator = matches!(&holder, Holder::Person(id) if people.person(id).is_some_and(|p| p.roles.contains(OPERATOR)));
        Visitor::Known { holder, is_operator, by, secret: secret.to_owned(), only }
    }))
}

/// What a secret is worth now.
pub(super) async fn find(web: &Web, by: GrantKind, secret: &str) -> Result<Option<Grant>, GrantError> {
    let (secret, now) = (secret.to_owned(), web.conductor.now());
    web.access.with_grants(move |grants| grants.find(by, &secret, now)).await
}

pub(super) fn is_known(holder: &Holder, people: &Directory) -> bool {
    match holder {
        Holder::Person(id) => people.person(id).is_some(),
        Holder::Wall => true,
    }
}

/// Strangers are shown the way in; a screen on a wall stays on it.
fn enters(visitor: &Visitor, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), Box<Response>> {
    let is_page = *method == Method::GET && !path.starts_with("/api/") && path != "/metrics";
    let wants_page = is_page && text(headers, header::ACCEPT).is_some_and(|accepted| accepted.contains("text/html"));
    match visitor {
        Visitor::Stranger(_) if wants_page => Err(Box::new(Redirect::to("/log-in").into_response())),
        Visitor::Stranger(_) => {
            let says = "Log in first: by your personal link in a browser, or with a token in `Authorization: Bearer …`.";
            Err(Box::new(Problem::new(StatusCode::UNAUTHORIZED, says).into_response()))
        }
        Visitor::Known { only: Some(Only::Export), .. } if !(*method == Method::GET && path == EXPORT_PATH) => {
            let says = format!("This token is for `GET {EXPORT_PATH}`, and nothing else.");
            Err(Box::new(Problem::new(StatusCode::FORBIDDEN, says).into_response()))
        }
        known if known.is_wall() && !is_on_the_wall(method, path) => Err(Box::new(if wants_page {
            Redirect::to("/wall").into_response()
        } else {
            Problem::new(StatusCode::FORBIDDEN, "A screen on a wall shows how rollouts stand, and nothing else.").into_response()
        })),
        _ => Ok(()),
    }
}

impl From<GrantError> for Problem {
    fn from(error: GrantError) -> Self {
        tracing::error!("{error}");
        let status = match error {
            GrantError::Screens => StatusCode::CONFLICT,
            GrantError::Full | GrantError::NoChance(_) | GrantError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, format!("{error}."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proxy_of_ours_says_where_a_request_came_from() {
        let dir = tempfile::tempdir().unwrap();
        let access = Access::new(Grants::open(dir.path()).unwrap(), None);
        let access = access.behind(vec!["127.0.0.1/32".parse().unwrap(), "10.0.0.0/8".parse().unwrap()].into());
        let origin = |peer: &str, said: &[&'static str]| {
            let said = said.iter().map(|said| (FORWARDED_FOR.parse().unwrap(), HeaderValue::from_static(said)));
            access.origin(&said.collect(), peer.parse().unwrap()).to_string()
        };
        assert_eq!(origin("127.0.0.1", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(origin("::ffff:127.0.0.1", &["2001:db8::7"]), "2001:db8::7");
        // What was claimed before the last one is not believed, and a proxy behind a proxy is passed over.
        assert_eq!(origin("127.0.0.1", &["198.51.100.1, 192.0.2.7"]), "192.0.2.7");
        assert_eq!(origin("127.0.0.1", &["198.51.100.1, 192.0.2.7", "10.1.1.1"]), "192.0.2.7");
        // Nobody else is asked, and what is no address is none.
        assert_eq!(origin("192.0.2.9", &["192.0.2.7"]), "192.0.2.9");
        assert_eq!(origin("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(origin("127.0.0.1", &["192.0.2.7, unknown"]), "127.0.0.1");
    }

    #[test]
    fn every_screen_on_a_wall_is_counted_by_itself_and_a_person_once() {
        let known = |holder: Holder, secret: &str| {
            let visitor =
                Visitor::Known { holder, is_operator: false, by: GrantKind::Session, secret: secret.to_owned(), only: None };
            visitor.who()
        };
        let maria = || Holder::Person(PersonId::new("maria"));
        assert_eq!(known(maria(), "tms_1"), known(maria(), "tms_2"));
        assert_eq!(known(Holder::Wall, "tms_1"), known(Holder::Wall, "tms_1"));
        assert_ne!(known(Holder::Wall, "tms_1"), known(Holder::Wall, "tms_2"));
        assert!(!format!("{:?}", known(Holder::Wall, "tms_1")).contains("tms_1"), "its secret stands nowhere");
    }
}
