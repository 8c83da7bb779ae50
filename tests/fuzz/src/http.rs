//! Requests to the whole app, in this process and without a connection: whatever is sent, the answer is JSON or a page, and never
//! that the server failed.
//!
//! Requests stand one after the other, with a line `---` between them: method and address, headers, an empty line, the body. `Host`
//! and `Content-Type` are the usual ones unless they are said; `Host:` alone leaves it out.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderName, HeaderValue, Request, StatusCode, header};
use axum::response::Response;
use chrono::TimeDelta;
use serde_json::Value;
use tminus::cli::serve::{self, Manner, Running, Setup};
use tminus::engine::clock::ManualClock;
use tminus::engine::journal::memory::MemoryJournal;
use tminus::engine::scratch::MemoryScratch;
use tminus::engine::snapshots::NoSnapshots;
use tminus::gateway::action::pretend::Ledger;
use tminus::gateway::web::access::grants::Grants;
use tminus::settings::{Files, Settings};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

use super::bounds::Watch;
use super::markup::assert_safe;
use super::stage::beginning;

/// How many requests one input has at most.
const REQUESTS_MAX: usize = 24;
/// The largest answer: a page with a long conversation.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long is waited for what follows from a request. The clock of these inputs stands still, and jumps here when nothing moves.
const SETTLES: Duration = Duration::from_millis(50);

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let files = Files::of([
        ("config/people.yaml".to_owned(), include_str!("../stages/people.yaml").to_owned()),
        ("config/tminus.yaml".to_owned(), include_str!("../stages/tminus.yaml").to_owned()),
        ("config/runbooks/small.yaml".to_owned(), include_str!("../stages/small.yaml").to_owned()),
        ("config/runbooks/everything.yaml".to_owned(), include_str!("../stages/everything.yaml").to_owned()),
        ("messages/notice.md".to_owned(), include_str!("../stages/notice.md").to_owned()),
    ]);
    files.settings().unwrap_or_else(|unusable| panic!("{unusable}"))
});

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}

async fn app() -> Running {
    let setup = Setup {
        settings: SETTINGS.clone(),
        manner: Manner::Demo,
        // Nobody logs in to a demo; tokens that are asked for are files.
        grants: Grants::open(&scratch_folder()).expect("a folder"),
        data: scratch_folder(),
        journal: Arc::new(MemoryJournal::new()),
        clock: Arc::new(ManualClock::at(beginning())),
        scratch: Arc::new(MemoryScratch::new()),
        ledger: Ledger::in_memory(),
        propose_window: Some(TimeDelta::hours(5 * 24 + 1)),
        public_url: None,
        snapshots: Arc::new(NoSnapshots),
        metrics: None,
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    serve::start(setup, listener).await.expect("it starts")
}

/// A folder of this process's own, for the few files that a demo in memory writes.
fn scratch_folder() -> PathBuf {
    std::env::temp_dir().join(format!("tminus-fuzz-{}", std::process::id()))
}

/// One input.
///
/// # Panics
/// Where something is wrong.
pub fn run(bytes: &[u8]) {
    runtime().block_on(async {
        let running = app().await;
        for request in requests(bytes) {
            let Some(request) = read(request) else { continue };
            let about = format!("{} {}", request.method(), request.uri());
            let is_api = request.uri().path().starts_with("/api/") && request.uri().path() != "/api/stream";
            let is_head = request.method() == "HEAD";
            let watch = Watch::start();
            let response = running.router().oneshot(request).await.expect("a router always answers");
            answered(&about, response, is_api && !is_head).await;
            tokio::time::sleep(SETTLES).await;
            watch.stop(&about);
        }
        running.stop().await;
    });
}

/// The requests of an input.
fn requests(bytes: &[u8]) -> Vec<&[u8]> {
    let mut requests = Vec::new();
    let mut rest = bytes;
    while requests.len() < REQUESTS_MAX {
        let Some(at) = rest.windows(5).position(|five| five == b"\n---\n") else {
            requests.push(rest);
            break;
        };
        requests.push(&rest[..at]);
        rest = &rest[at + 5..];
    }
    requests
}

/// A request as it stands in an input; nothing where no server would get to see it.
fn read(bytes: &[u8]) -> Option<Request<Body>> {
    let mut rest = bytes;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        line
    };
    let first = std::str::from_utf8(line()).ok()?;
    let (method, address) = first.split_once(' ').unwrap_or(("POST", first));
    let mut request = Request::builder().method(method).uri(address).body(Body::empty()).ok()?;
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_static("localhost"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    loop {
        let said = line();
        let Some(colon) = said.iter().position(|byte| *byte == b':') else { break };
        let name = HeaderName::from_bytes(&said[..colon]).ok()?;
        let value = said[colon + 1..].trim_ascii();
        headers.remove(&name);
        if !value.is_empty() {
            headers.append(name, HeaderValue::from_bytes(value).ok()?);
        }
    }
    *request.body_mut() = Body::from(rest.to_vec());
    Some(request)
}

async fn answered(about: &str, response: Response, is_api: bool) {
    let (status, kind) = (response.status(), response.headers().get(header::CONTENT_TYPE).cloned());
    let kind = kind.as_ref().and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    assert!(!status.is_server_error(), "{about}: {status}");
    assert!(response.headers().contains_key(header::CONTENT_SECURITY_POLICY), "{about}: without a policy");
    if kind.starts_with("text/event-stream") {
        return;
    }
    let body = to_bytes(response.into_body(), ANSWER_BYTES_MAX).await.expect("a whole answer");
    if is_api {
        let is_problem = kind.starts_with("application/problem+json");
        assert_eq!(is_problem, status.is_client_error(), "{about}: {status} as {kind}");
        if is_problem || kind.starts_with("application/json") {
            let json: Value = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{about}: no JSON: {error}"));
            assert!(!is_problem || json["status"] == status.as_u16(), "{about}: {json}");
            if let Some(html) = json["answer_html"].as_str() {
                assert_safe(html);
            }
        } else {
            assert!(kind.starts_with("text/"), "{about}: {kind}");
        }
    } else if kind.starts_with("text/html") {
        let page = std::str::from_utf8(&body).expect("a page is text");
        page_is_ours(page);
    } else if status == StatusCode::OK {
        assert!(!kind.is_empty() || body.is_empty(), "{about}: a body of no kind");
    }
}

/// A page has one script, and loads nothing from elsewhere; what people wrote stands there as text.
fn page_is_ours(page: &str) {
    let lower = page.to_ascii_lowercase();
    let scripts: Vec<&str> = lower.match_indices("<script").map(|(at, _)| &lower[at..]).collect();
    assert!(scripts.len() <= 1 && scripts.iter().all(|script| script.starts_with("<script src=\"/assets/app.js?")), "{page}");
    for tag in ["<iframe", "<object", "<embed", "<math", "<base", "<style", "href=\"javascript:", "src=\"javascript:"] {
        assert!(!lower.contains(tag), "{tag} in {page}");
    }
    let mut rest = lower.as_str();
    while let Some((_, tag)) = rest.split_once('<') {
        let (tag, after) = tag.split_once('>').unwrap_or((tag, ""));
        // Attributes that run something, outside quotes.
        let mut quoted = tag.split('"').step_by(2);
        assert!(!quoted.any(|part| part.split_whitespace().any(|word| word.starts_with("on"))), "<{tag}> in {page}");
        rest = after;
    }
}
