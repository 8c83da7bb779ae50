//! A client of a running T-minus: what `say`, `token`, `print` and `report` ask over the API.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::Value;

/// Where it is asked, unless told otherwise.
pub(super) const URL_DEFAULT: &str = "http://127.0.0.1:8080";
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take: what is said is durable by then.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How often something is sent again when its answer was lost. The same key makes it the same request.
const TRIES_MAX: u32 = 3;
/// How long is waited before that.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How much of an answer is read, in bytes: the report of a large rollout fits many times.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where T-minus runs, and as whom it is asked.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Where {
    /// Where T-minus runs
    #[arg(long, value_name = "URL", default_value = URL_DEFAULT)]
    pub url: String,
    /// A file that holds your token; otherwise the environment variable `TMINUS_TOKEN`, if it is set
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// A way to a running T-minus.
pub(super) struct Api {
    client: Client,
    url: String,
    token: Option<String>,
}

impl Api {
    pub(super) fn new(place: &Where) -> anyhow::Result<Self> {
        let token = match &place.token_file {
            Some(file) => Some(std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?),
            None => std::env::var("TMINUS_TOKEN").ok(),
        };
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        // Whoever answers instead of us gets no token.
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { client, url: place.url.trim_end_matches('/').to_owned(), token })
    }

    pub(super) const fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// What stands at an address.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<String> {
        self.exchange(&|| self.client.get(format!("{}{path}", self.url))).await
    }

    /// Asks for something to be done, once, however often it takes to hear the answer.
    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let key = format!("cli-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let request = || {
            let request = self.client.post(format!("{}{path}", self.url)).body(body.to_string());
            request.header("content-type", "application/json").header("idempotency-key", &key)
        };
        let text = self.exchange(&request).await?;
        serde_json::from_str(&text).with_context(|| format!("{} answered with something else than JSON", self.url))
    }

    async fn exchange(&self, request: &dyn Fn() -> RequestBuilder) -> anyhow::Result<String> {
        let mut tries = 0;
        loop {
            tries += 1;
            let request = match &self.token {
                Some(token) => request().bearer_auth(token),
                None => request(),
            };
            let answer = match request.send().await {
                Ok(answer) => read(answer).await,
                Err(error) => Err(error.into()),
            };
            match answer {
                Ok((status, text)) if status.is_success() => return Ok(text),
                Ok((status, text)) => bail!("{}", problem(status, &text)),
                Err(error) if tries >= TRIES_MAX => {
                    return Err(error).with_context(|| {
                        format!(
                            "{} does not answer; --url says where T-minus runs, and --data reads the folder of one that does not",
                            self.url
                        )
                    });
                }
                Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
            }
        }
    }
}

async fn read(mut answer: reqwest::Response) -> anyhow::Result<(StatusCode, String)> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            bail!("the answer is longer than {} MiB", ANSWER_BYTES_MAX / 1024 / 1024);
        }
        bytes.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(bytes).map_err(|_| anyhow!("the answer is not UTF-8"))?;
    Ok((answer.status(), text))
}

/// What a problem says, in its own words.
fn problem(status: StatusCode, text: &str) -> String {
    let told: Option<Value> = serde_json::from_str(text).ok();
    let detail = told.as_ref().and_then(|told| told["detail"].as_str().or_else(|| told["title"].as_str()));
    detail.map_or_else(|| format!("it answered {status}"), str::to_owned)
}
