//! A system reached over HTTP: requests to what its allow-list covers, and to nothing else.
//!
//! HTTP has no way to ask later what became of a request. So every request bears its effect's token as `Idempotency-Key`,
//! what only reads may be repeated, and when the answer to anything else is lost, a person says what became of it.

mod secret;

use std::collections::{HashMap, VecDeque};
use std::error::Error as _;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, Method, Response, StatusCode, Url, redirect, retry};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::domain::message::card::Progress;
use crate::domain::rollout::effect::Action;
use crate::domain::rollout::event::ActionOutcome;
use crate::engine::ports::{CancelError, Executor, Found, Polled, StartError};

use self::secret::Untold;

pub use self::secret::{SECRET_BYTES_MAX, Secret, SecretHeader};

/// How long a request may take with all its redirects and the answer's text, unless settings say otherwise.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_mins(1);
/// How long a connection may take to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer is read, in bytes. Even where every byte is escaped or replaced, it stays below what is kept of
/// one action's outputs.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// How many redirects are followed.
const REDIRECTS_MAX: usize = 5;
/// How many requests that are over are remembered: the latest.
const ENDED_MAX: usize = 256;
/// How long a look waits for the end, so that quick answers are told at once.
const LOOK_WAIT: Duration = Duration::from_secs(1);
/// When to look again.
const LOOK_EVERY: TimeDelta = TimeDelta::seconds(2);
/// The header that tells two arrivals of one request from two requests.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// What only reads: it may be sent twice.
const READS: [Method; 3] = [Method::GET, Method::HEAD, Method::OPTIONS];
/// What can be asked for.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
/// Headers that decide where a request goes or where it ends, and the one that is ours. A `Host` of its own would reach
/// another site behind the same address than the allow-list says.
const OWN_HEADERS: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// What in a path may be read as another folder by whoever answers: dots, slashes and percent signs in disguise.
const DISGUISES: [&str; 5] = ["..", "%2e", "%2f", "%5c", "%25"];

/// Where requests may go: an origin, and how the path begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    url: Url,
}

impl Allowed {
    /// Reads an entry of an allow-list: `https://staging.example.com`, `https://ci.example.com:8443/deploy`.
    ///
    /// # Errors
    /// A sentence saying what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("`{text}` is not an address: {error}"))?;
        if !is_http(&url) {
            return Err(format!("`{text}` begins with neither `https://` nor `http://`"));
        }
        if has_user(&url) {
            return Err("an address of an allow-list names nobody before the host, and no password".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("`{text}` goes on after its path; an allow-list says hosts and how paths begin"));
        }
        if url.host_str().is_some_and(|host| host.contains('*')) || url.path().contains('*') {
            return Err(format!("`{text}` has a `*`; every host is written out, and a path covers what is below it"));
        }
        Ok(Self { url })
    }

    /// Whether what is sent there can be read on the way.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let is_this_machine = self.url.host_str().is_some_and(|host| {
            let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        });
        self.url.scheme() == "http" && !is_this_machine
    }

    /// Whether a request to there may be sent. Compares parsed addresses: a text that begins alike can mean another host.
    #[must_use]
    pub fn covers(&self, url: &Url) -> bool {
        let path = self.url.path();
        is_http(url)
            && !has_user(url)
            && self.url.origin() == url.origin()
            && (path == "/" || (is_below(path, url.path()) && !is_disguised(url.path())))
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// `/deploy` has `/deploy` and `/deploy/x` below it, and not `/deployment`.
fn is_below(folder: &str, path: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || folder.ends_with('/') || rest.starts_with('/'))
}

fn is_disguised(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    DISGUISES.iter().any(|disguise| path.contains(disguise))
}

/// An address as people are told it: without its query, which may hold what is nobody's business.
fn said(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// A request as a runbook asks for it, checked.
#[derive(Clone, Debug)]
struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<String>,
    follow: bool,
}

impl Request {
    fn read(inputs: &Value, allow: &[Allowed], secrets: &[SecretHeader]) -> Result<Self, String> {
        let text = |name: &str| match inputs.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("`{name}` is not a text")),
        };
        let url = text("url")?.ok_or("`url` is missing")?;
        let url = address(url.trim(), text("path")?.as_deref().map(str::trim))?;
        check_allowed(&url, allow)?;
        let method = text("method")?.unwrap_or_else(|| "GET".to_owned()).trim().to_ascii_uppercase();
        let known = || METHODS.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        let method = METHODS
            .iter()
            .find(|known| known.as_str() == method)
            .cloned()
            .ok_or_else(|| format!("`method` is one of {}, not `{method}`", known()))?;
        let follow = match inputs.get("follow") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(follow)) => *follow,
            Some(Value::String(text)) if text.trim() == "true" => true,
            Some(Value::String(text)) if text.trim() == "false" => false,
            Some(_) => return Err("`follow` is neither `true` nor `false`".to_owned()),
        };
        let headers = headers(inputs.get("headers"))?;
        if let Some(secret) = secrets.iter().find(|secret| headers.contains_key(secret.name())) {
            return Err(format!("the header `{}` comes from the settings of this system, not from a runbook", secret.name()));
        }
        Ok(Self { method, url, headers, body: text("body")?, follow })
    }

    fn reads(&self) -> bool {
        READS.contains(&self.method)
    }

    /// Goes on where a redirect points. Answers whether what was asked may have been done already: everything but 307 and
    /// 308 says “look there”, not “ask there”.
    fn redirected(&mut self, status: StatusCode, to: Url) -> bool {
        if self.url.origin() != to.origin() {
            // Whatever lets us in at one place is not for another.
            self.headers = [ACCEPT, CONTENT_TYPE]
                .into_iter()
                .filter_map(|name| Some((name.clone(), self.headers.get(name)?.clone())))
                .collect();
        }
        self.url = to;
        let asks_again = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        if asks_again || self.reads() {
            return false;
        }
        self.method = Method::GET;
        self.body = None;
        self.headers.remove(CONTENT_TYPE);
        true
    }
}

/// The address with what is added to its path. Where it leads is checked after that.
fn address(url: &str, path: Option<&str>) -> Result<Url, String> {
    let parsed = Url::parse(url).map_err(|error| format!("`url` is not an address: {error}"))?;
    let Some(path) = path else { return Ok(parsed) };
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(format!("`path` can't be added to {}: `url` goes on after its path", said(&parsed)));
    }
    let whole = format!("{}/{}", url.trim_end_matches('/'), path.trim_start_matches('/'));
    Url::parse(&whole).map_err(|error| format!("`url` and `path` together are not an address: {error}"))
}

fn check_allowed(url: &Url, allow: &[Allowed]) -> Result<(), String> {
    if allow.iter().any(|allowed| allowed.covers(url)) {
        return Ok(());
    }
    let why = if has_user(url) { " with a name or password before the host" } else { "" };
    Err(format!("{}{why} is not on the allow-list of this system", said(url)))
}

fn headers(value: Option<&Value>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let pairs = match value {
        None | Some(Value::Null) => return Ok(headers),
        Some(Value::Object(pairs)) => pairs,
        Some(_) => return Err("`headers` is not a map".to_owned()),
    };
    for (name, value) in pairs {
        let known = HeaderName::try_from(name.as_str()).map_err(|_| format!("`{name}` can't be the name of a header"))?;
        if OWN_HEADERS.contains(&known.as_str()) {
            return Err(format!("the header `{name}` is T-minus's own business"));
        }
        // The value is not repeated: it may be a secret.
        let value = value.as_str().and_then(|value| HeaderValue::try_from(value).ok());
        headers.insert(known, value.ok_or_else(|| format!("the header `{name}` has a value that can't be sent"))?);
    }
    Ok(headers)
}

/// What went wrong, and what that leaves open.
#[derive(Debug)]
enum Trouble {
    /// It was not sent.
    Unsent(String),
    /// It may have been.
    Lost(String),
}

/// A system reached over HTTP.
pub struct Http {
    client: Client,
    allow: Arc<[Allowed]>,
    secrets: Arc<[SecretHeader]>,
    timeout: Duration,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    by_token: HashMap<String, Call>,
    /// In the order in which they were begun.
    order: VecDeque<String>,
}

struct Call {
    reads: bool,
    about: String,
    outcome: Arc<watch::Sender<Option<ActionOutcome>>>,
    /// Without the system there is nobody left to read the answer.
    task: AbortOnDropHandle<()>,
}

impl Calls {
    /// Forgets the oldest that are over.
    fn forget(&mut self) {
        while self.order.len() > ENDED_MAX {
            let over = |token: &String| self.by_token.get(token).is_none_or(|call| call.outcome.borrow().is_some());
            let Some(oldest) = self.order.iter().position(over) else { return };
            if let Some(token) = self.order.remove(oldest) {
                self.by_token.remove(&token);
            }
        }
    }
}

impl Http {
    /// A system that may be asked for what the allow-list covers. One request, with all that belongs to it, ends after the
    /// time-out.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub fn new(allow: Vec<Allowed>, timeout: Duration) -> Result<Self, String> {
        let client = Client::builder()
            .user_agent(concat!("tminus/", env!("CARGO_PKG_VERSION")))
            // Less than the whole time, so that a host that can't be reached is told from an answer that was lost.
            .connect_timeout(CONNECT_TIMEOUT.min(timeout / 2))
            // Every hop is checked, and nothing is sent twice behind our back: neither by a policy nor because a connection
            // that was kept turned out to be dead.
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .pool_max_idle_per_host(0)
            // A proxy would answer in the place of what the allow-list names.
            .no_proxy()
            .build()
            .map_err(|error| format!("requests can't be sent: {}", words(&error)))?;
        Ok(Self { client, allow: allow.into(), secrets: Arc::default(), timeout, calls: Mutex::default() })
    }

    /// The same with headers that every request to what the allow-list covers bears.
    ///
    /// # Errors
    /// When one of the secrets can't be read: better at the start than in the night.
    #[must_use]
    pub fn with_secrets(self, secrets: Vec<SecretHeader>) -> Self {
        Self { secrets: secrets.into(), ..self }
    }

    /// Whether its secrets can be read now. What can't may be put right at any time: they are read anew for every request.
    ///
    /// # Errors
    /// A sentence that names the first one that can't.
    pub fn check_secrets(&self) -> Result<(), String> {
        secret::insert(&self.secrets, &mut HeaderMap::new()).map(drop)
    }

    /// Puts the secrets in, as they are now. Files are read aside: a disk can be slow.
    async fn let_in(&self, mut request: Request) -> Result<(Request, Untold), String> {
        if self.secrets.is_empty() {
            return Ok((request, Untold::default()));
        }
        let secrets = self.secrets.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let untold = secret::insert(&secrets, &mut request.headers)?;
            Ok((request, untold))
        });
        reading.await.map_err(|error| format!("its secrets can't be read: {error}"))?
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Executor for Http {
    async fn start(&self, action: &Action, _now: DateTime<Utc>) -> Result<(), StartError> {
        let token = action.id.token();
        if self.calls().by_token.contains_key(&token) {
            return Ok(());
        }
        let refused = |why| StartError::Refused { why };
        let request = Request::read(&action.inputs, &self.allow, &self.secrets).map_err(refused)?;
        let (request, untold) = self.let_in(request).await.map_err(refused)?;
        let key = HeaderValue::try_from(&token).map_err(|error| StartError::Refused { why: error.to_string() })?;
        let mut calls = self.calls();
        // Another start may have come meanwhile.
        if calls.by_token.contains_key(&token) {
            return Ok(());
        }
        let (reads, about) = (request.reads(), format!("{} {}", request.method, said(&request.url)));
        let outcome = Arc::new(watch::Sender::new(None));
        let task = tokio::spawn({
            let exchange = Exchange { client: self.client.clone(), allow: self.allow.clone(), key, untold, performed: false };
            let (limit, outcome) = (self.timeout, outcome.clone());
            async move {
                let ended = exchange.within(limit, request).await;
                settle(&outcome, ended);
            }
        });
        calls.order.push_back(token.clone());
        calls.by_token.insert(token, Call { reads, about, outcome, task: AbortOnDropHandle::new(task) });
        calls.forget();
        Ok(())
    }

    async fn find(&self, action: &Action) -> Found {
        let token = action.id.token();
        if self.calls().by_token.contains_key(&token) {
            return Found::There { reference: token };
        }
        match Request::read(&action.inputs, &self.allow, &self.secrets) {
            Ok(request) if request.reads() => Found::Absent,
            // What is refused was never sent, unless the allow-list changed meanwhile.
            _ => Found::CannotTell { why: "HTTP does not say what became of a request whose answer was lost".to_owned() },
        }
    }

    async fn poll(&self, action: &Action, now: DateTime<Utc>) -> Result<Polled, String> {
        let call = self.calls().by_token.get(&action.id.token()).map(|call| (call.about.clone(), call.outcome.subscribe()));
        let Some((about, mut outcome)) = call else {
            let reason = "T-minus does not remember the request any more".to_owned();
            return Ok(Polled::Ended(ActionOutcome::Unknown { reason }));
        };
        match timeout(LOOK_WAIT, outcome.wait_for(Option::is_some)).await {
            Ok(Ok(ended)) => Ok(Polled::Ended(ended.clone().unwrap_or_else(gave_up))),
            Ok(Err(_)) => Ok(Polled::Ended(gave_up())),
            Err(_) => {
                let line = Some(format!("{about}: no answer yet"));
                Ok(Polled::Running { progress: Progress { line, link: None }, again: now + LOOK_EVERY })
            }
        }
    }

    async fn cancel(&self, action: &Action, _now: DateTime<Utc>) -> Result<(), CancelError> {
        let calls = self.calls();
        let Some(call) = calls.by_token.get(&action.id.token()) else {
            return Err(CancelError::TryAgain { why: "it has not begun yet".to_owned() });
        };
        if call.outcome.borrow().is_some() {
            return Ok(());
        }
        if !call.reads {
            return Err(CancelError::Impossible { why: "a request that was sent can't be called back".to_owned() });
        }
        call.task.abort();
        settle(&call.outcome, ActionOutcome::Failed { reason: "it was cancelled".to_owned() });
        Ok(())
    }
}

/// The first end counts: an answer may arrive while its request is cancelled.
fn settle(outcome: &watch::Sender<Option<ActionOutcome>>, ended: ActionOutcome) {
    outcome.send_if_modified(|outcome| {
        let is_first = outcome.is_none();
        outcome.get_or_insert(ended);
        is_first
    });
}

fn gave_up() -> ActionOutcome {
    ActionOutcome::Unknown { reason: "T-minus gave up reading the answer".to_owned() }
}

/// One request, from hop to hop.
struct Exchange {
    client: Client,
    allow: Arc<[Allowed]>,
    key: HeaderValue,
    untold: Untold,
    /// Whether a redirect answered something that changes the system: then it may be done, whatever comes after.
    performed: bool,
}

impl Exchange {
    async fn within(mut self, limit: Duration, request: Request) -> ActionOutcome {
        let (reads, address) = (request.reads(), said(&request.url));
        let ended = timeout(limit, self.answer(request)).await;
        let outcome = match ended {
            Ok(Ok(outputs)) => ActionOutcome::Succeeded { outputs },
            Ok(Err(Trouble::Unsent(reason))) if !self.performed => ActionOutcome::Failed { reason },
            Ok(Err(Trouble::Unsent(why) | Trouble::Lost(why))) => lost(reads, why),
            Err(_) => lost(reads, format!("{address} did not answer within {} s", limit.as_secs_f32())),
        };
        self.untold.left_out_of_end(outcome)
    }

    async fn answer(&mut self, mut request: Request) -> Result<serde_json::Map<String, Value>, Trouble> {
        for _ in 0..=REDIRECTS_MAX {
            let response = self.send(&request).await?;
            let status = response.status();
            let Some(to) = next_hop(&request, &response) else {
                let body = read(response, &self.untold).await?;
                // As text, like what a pretended system gives: a condition means the same in a rehearsal.
                let outputs = [("status", status.as_u16().to_string()), ("body", body)];
                return Ok(outputs.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect());
            };
            self.performed |= request.redirected(status, to);
            check_allowed(&request.url, &self.allow)
                .map_err(|why| Trouble::Unsent(format!("it was redirected (status {}): {why}", status.as_u16())))?;
        }
        Err(Trouble::Unsent(format!("it was redirected more than {REDIRECTS_MAX} times")))
    }

    async fn send(&self, request: &Request) -> Result<Response, Trouble> {
        let mut builder = self.client.request(request.method.clone(), request.url.clone()).headers(request.headers.clone());
        builder = builder.header(IDEMPOTENCY_KEY, self.key.clone());
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        builder.send().await.map_err(|error| {
            let (address, words) = (said(&request.url), words(&error));
            if error.is_connect() || error.is_builder() {
                Trouble::Unsent(format!("{address} can't be reached: {words}"))
            } else {
                Trouble::Lost(format!("{address} gave no answer: {words}"))
            }
        })
    }
}

/// Where a redirect points that is to be followed.
fn next_hop(request: &Request, response: &Response) -> Option<Url> {
    let redirects = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    if !(request.follow && redirects) {
        return None;
    }
    request.url.join(response.headers().get(LOCATION)?.to_str().ok()?).ok()
}

/// Reads an answer's text up to the limit; the rest is left where it is.
async fn read(mut response: Response, untold: &Untold) -> Result<String, Trouble> {
    let mut bytes = Vec::new();
    while bytes.len() <= BODY_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk[..chunk.len().min(BODY_BYTES_MAX + 1)]),
            Ok(None) => break,
            Err(error) => {
                let (status, words) = (response.status().as_u16(), words(&error));
                return Err(Trouble::Lost(format!(
                    "it answered with status {status}, and the rest of the answer was lost: {words}"
                )));
            }
        }
    }
    let is_cut = bytes.len() > BODY_BYTES_MAX;
    bytes.truncate(BODY_BYTES_MAX);
    let text = String::from_utf8_lossy(&bytes);
    let text = text.replace(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t'), "\u{fffd}");
    Ok(if is_cut { format!("{} …", untold.left_out_of_cut(&text)) } else { text })
}

/// No answer to what only reads is a failure like any other; anything else may have happened.
fn lost(reads: bool, reason: String) -> ActionOutcome {
    if reads { ActionOutcome::Failed { reason } } else { ActionOutcome::Unknown { reason } }
}

/// The innermost cause: what is around it says “error” in several ways, and the address with its query.
fn words(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut said = None;
    while let Some(inner) = cause {
        said = Some(inner.to_string());
        cause = inner.source();
    }
    said.unwrap_or_else(|| "no reason is given".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(entry: &str, url: &str) -> bool {
        Url::parse(url).is_ok_and(|url| Allowed::parse(entry).unwrap().covers(&url))
    }

    #[test]
    fn an_allow_list_means_hosts_and_not_how_texts_begin() {
        let origin = "https://staging.example.com";
        for covered in
            ["https://staging.example.com", "https://STAGING.example.com:443/a?b=../c#d", "https://staging.example.com/a/../b"]
        {
            assert!(allows(origin, covered), "{covered}");
        }
        for other in [
            "http://staging.example.com/",
            "https://staging.example.com:8443/",
            "https://staging.example.com.evil.example/",
            "https://staging.example.com@evil.example/",
            "https://evil.example/https://staging.example.com",
            "https://evil.example\\@staging.example.com/",
            "https://evil.example#@staging.example.com/",
            "https://user@staging.example.com/",
            "https://:secret@staging.example.com/",
            "https://staging.example.com./",
            "ftp://staging.example.com/",
            "file:///etc/passwd",
        ] {
            assert!(!allows(origin, other), "{other}");
        }
    }

    #[test]
    fn a_path_covers_what_is_below_it() {
        let entry = "https://ci.example.com:8443/deploy";
        for covered in ["/deploy", "/deploy/", "/deploy/x?y=%2f", "/other/../deploy/x"] {
            assert!(allows(entry, &format!("https://ci.example.com:8443{covered}")), "{covered}");
        }
        for other in [
            "/",
            "/deployment",
            "/deploy/../admin",
            "/deploy/%2e%2E/admin",
            "/deploy\\..\\admin",
            "/deploy/..%2fadmin",
            "/deploy/..;/admin",
            "/deploy/%252e%252e/admin",
            "/Deploy",
        ] {
            assert!(!allows(entry, &format!("https://ci.example.com:8443{other}")), "{other}");
        }
        assert!(allows("https://ci.example.com/deploy/", "https://ci.example.com/deploy/x"));
        assert!(!allows("https://ci.example.com/deploy/", "https://ci.example.com/deploy"));
    }

    #[test]
    fn what_can_be_no_entry_is_said() {
        for wrong in [
            "staging.example.com",
            "ftp://x.example",
            "https://a:b@x.example",
            "https://x.example/?q",
            "https://x.example/#f",
            "https://*.example.com",
            "",
        ] {
            assert!(Allowed::parse(wrong).is_err(), "{wrong}");
        }
    }
}
