//! A client of a running T-minus: what `say`, `token`, `print` and `report` ask over the API.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use futures_util::stream::{Stream, try_unfold};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use rustls::CertificateError;
use serde_json::Value;

use crate::engine::journal::ReadError;

/// Where it is asked, unless told otherwise.
pub(super) const URL_DEFAULT: &str = "http://127.0.0.1:8080";
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take: longer than T-minus itself lets anybody wait, so that its own word is heard.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(35);
/// How long an answer may take that comes in pieces: a journal of many gigabytes.
const PIECES_TIMEOUT: Duration = Duration::from_hours(2);
/// How often something is sent again when its answer was lost. The same key makes it the same request.
const TRIES_MAX: u32 = 3;
/// How long is waited before that.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How much of an answer is read, in bytes: the report of a large rollout fits many times.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What is said when nobody knows whether it was done.
const MAY_HAVE_HAPPENED: &str = ", but what was asked may have happened: look before you ask again";

/// Where T-minus runs, and as whom it is asked.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Where {
    /// Where T-minus runs
    #[arg(long, value_name = "URL", env = "TMINUS_URL", default_value = URL_DEFAULT)]
    pub url: String,
    /// A file that holds your token; otherwise the environment variable `TMINUS_TOKEN`, if it is set
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// A way to a running T-minus.
pub(super) struct Api {
    client: Client,
    url: Url,
    token: Option<HeaderValue>,
}

/// What became of one attempt.
enum Heard {
    /// This is the answer.
    Answer(String),
    /// It was asked, and said no.
    Problem(String),
    /// Nobody knows, or it passes: the same again may be answered.
    Lost(anyhow::Error),
}

impl Api {
    /// A way to where T-minus runs; nothing is asked yet.
    ///
    /// # Errors
    /// When that is no address, or the token no token.
    pub(super) fn new(place: &Where) -> anyhow::Result<Self> {
        let url = address(&place.url)?;
        let token = match &place.token_file {
            Some(file) => {
                let text = std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
                let token = bearer(&text).with_context(|| format!("{} holds no token", file.display()))?;
                Some(token)
            }
            None => match std::env::var("TMINUS_TOKEN") {
                Ok(text) if !text.trim().is_empty() => Some(bearer(&text).context("TMINUS_TOKEN holds no token")?),
                _ => None,
            },
        };
        // Whoever stands between, or answers instead of us, gets no token.
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { client, url, token })
    }

    pub(super) const fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// What stands at an address, given as the parts of its path.
    pub(super) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> anyhow::Result<String> {
        let url = self.at(path)?;
        self.exchange(&|| self.client.get(url.clone()).query(query), "").await
    }

    /// What is too long to be held: piece by piece, as it comes. Nothing is asked again once it began.
    pub(super) async fn pieces(&self, path: &[&str]) -> anyhow::Result<impl Stream<Item = Result<Vec<u8>, ReadError>> + use<>> {
        let request = self.client.get(self.at(path)?).timeout(PIECES_TIMEOUT);
        let request = match &self.token {
            Some(token) => request.header(AUTHORIZATION, token),
            None => request,
        };
        let answer = request.send().await.map_err(|error| match untrusted(&self.url, &error) {
            Some(says) => anyhow!(says),
            None => anyhow!(error).context(format!("{} does not answer; --url says where T-minus runs", self.url)),
        })?;
        let status = answer.status();
        if !status.is_success() {
            bail!(problem(status, &read(answer).await?));
        }
        let piece = |error: reqwest::Error| ReadError::Store(format!("the answer broke off: {error}"));
        Ok(try_unfold(answer, move |mut answer| async move {
            Ok(answer.chunk().await.map_err(piece)?.map(|bytes| (bytes.to_vec(), answer)))
        }))
    }

    /// Asks for something to be done, once, however often it takes to hear the answer.
    pub(super) async fn post(&self, path: &[&str], body: &Value) -> anyhow::Result<Value> {
        let url = self.at(path)?;
        let key = format!("cli-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let request = || {
            let request = self.client.post(url.clone()).body(body.to_string());
            request.header(CONTENT_TYPE, "application/json").header("idempotency-key", &key)
        };
        let text = self.exchange(&request, MAY_HAVE_HAPPENED).await?;
        serde_json::from_str(&text).with_context(|| format!("{} answered with something else than JSON", self.url))
    }

    /// Whatever a part of a path is called, it stays a part: no name leads elsewhere.
    fn at(&self, path: &[&str]) -> anyhow::Result<Url> {
        if let Some(nothing) = path.iter().find(|part| matches!(**part, "" | "." | "..")) {
            bail!("`{nothing}` is not a name");
        }
        let mut url = self.url.clone();
        let Ok(mut parts) = url.path_segments_mut() else { bail!("{} has no path", self.url) };
        parts.pop_if_empty().extend(path);
        drop(parts);
        Ok(url)
    }

    /// Asks until it is answered. `lost` is said when it arrived somewhere and its answer did not.
    async fn exchange(&self, request: &dyn Fn() -> RequestBuilder, lost: &str) -> anyhow::Result<String> {
        let (mut tries, mut arrived) = (0, false);
        loop {
            tries += 1;
            let request = match &self.token {
                Some(token) => request().header(AUTHORIZATION, token),
                None => request(),
            };
            let sent = request.send().await;
            if let Some(says) = sent.as_ref().err().and_then(|error| untrusted(&self.url, error)) {
                bail!(says);
            }
            arrived |= !sent.as_ref().is_err_and(reqwest::Error::is_connect);
            match heard(sent).await {
                Heard::Answer(text) => return Ok(text),
                Heard::Problem(says) => bail!(says),
                Heard::Lost(error) if tries >= TRIES_MAX => {
                    let lost = if arrived { lost } else { "" };
                    let says = || format!("{} does not answer{lost}; --url says where T-minus runs", self.url);
                    return Err(error).with_context(says);
                }
                Heard::Lost(_) => tokio::time::sleep(RETRY_PAUSE).await,
            }
        }
    }
}

/// Where T-minus runs, as it was written.
fn address(written: &str) -> anyhow::Result<Url> {
    let is_one = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    let url = Url::parse(written).ok().filter(is_one);
    let mut url = url.with_context(|| format!("`{written}` is not an address like {URL_DEFAULT}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        bail!("an address holds no password: others on this machine could read it. Use TMINUS_TOKEN or --token-file");
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// A token as it is sent; it is not shown where things are written down.
fn bearer(text: &str) -> anyhow::Result<HeaderValue> {
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("a token is one word without spaces, as `tminus token PERSON` prints it");
    }
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What is wrong with the certificate of whoever answered, if that is why nothing was asked.
fn untrusted(url: &Url, error: &reqwest::Error) -> Option<String> {
    let why = certificate_error(error)?;
    let help = match &why {
        CertificateError::UnknownIssuer => {
            "this machine does not know who signed it. SSL_CERT_FILE names the certificate of an authority that it may trust; one \
             that a server signed itself is not taken"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name. --url (TMINUS_URL) has to be what `web.public_url` says".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired. Renew it".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet. Is the clock of this machine right?".to_owned()
        }
        other => other.to_string(),
    };
    Some(format!("{url} answers, and its certificate is not trusted: {help}. Nothing was asked"))
}

fn certificate_error(error: &(dyn Error + 'static)) -> Option<CertificateError> {
    if let Some(rustls::Error::InvalidCertificate(why)) = error.downcast_ref() {
        return Some(why.clone());
    }
    // What an error of the system holds is not its source, but passed over.
    let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match held {
        Some(held) => certificate_error(held),
        None => certificate_error(error.source()?),
    }
}

async fn heard(sent: reqwest::Result<reqwest::Response>) -> Heard {
    let answer = match sent {
        Ok(answer) => answer,
        Err(error) => return Heard::Lost(error.into()),
    };
    let status = answer.status();
    let passes = answer.headers().contains_key(RETRY_AFTER);
    let text = match read(answer).await {
        Ok(text) => text,
        Err(error) => return Heard::Lost(error),
    };
    match status {
        _ if status.is_success() => Heard::Answer(text),
        // It says itself that a moment later is better, or somebody between us did not hear its answer.
        StatusCode::SERVICE_UNAVAILABLE if passes => Heard::Lost(anyhow!(problem(status, &text))),
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Heard::Lost(anyhow!(problem(status, &text))),
        _ => Heard::Problem(problem(status, &text)),
    }
}

async fn read(mut answer: reqwest::Response) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            bail!("the answer is longer than {} MiB", ANSWER_BYTES_MAX / 1024 / 1024);
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| anyhow!("the answer is not UTF-8"))
}

/// What a problem says, in its own words.
fn problem(status: StatusCode, text: &str) -> String {
    let told: Option<Value> = serde_json::from_str(text).ok();
    let detail = told.as_ref().and_then(|told| told["detail"].as_str().or_else(|| told["title"].as_str()));
    detail.map_or_else(|| format!("it answered {status}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(url: &str) -> Api {
        Api::new(&Where { url: url.to_owned(), token_file: None }).unwrap()
    }

    #[test]
    fn no_name_leads_elsewhere() {
        let api = api("http://127.0.0.1:8080/tminus/?x#y");
        let at = |name: &str| api.at(&["api", "rooms", name, "messages"]).map(|url| url.to_string());
        assert_eq!(at("ops").unwrap(), "http://127.0.0.1:8080/tminus/api/rooms/ops/messages");
        assert_eq!(at("../x?a=b#c").unwrap(), "http://127.0.0.1:8080/tminus/api/rooms/..%2Fx%3Fa=b%23c/messages");
        for nothing in ["", ".", ".."] {
            assert!(at(nothing).is_err(), "{nothing}");
        }
    }

    #[test]
    fn what_is_no_address_or_no_token_is_said_before_anything_is_asked() {
        for wrong in ["", "nonsense", "localhost:8080", "ftp://example.com", "http://", "http://maria:secret@example.com"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", " \n", "two words", "a\u{1}b", "schlüssel"] {
            assert!(bearer(wrong).is_err(), "{wrong}");
        }
        let token = bearer(" 0123\n").unwrap();
        assert_eq!(token, "Bearer 0123");
        assert!(!format!("{token:?}").contains("0123"));
    }
}
