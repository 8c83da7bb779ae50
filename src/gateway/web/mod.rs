//! HTTP: the API, the page that uses it, live updates. The only module that knows HTTP.
//!
//! The API is described by `openapi.json` beside this file, which is also served.

pub mod access;
mod api;
mod export;
mod health;
mod history;
mod keys;
mod live;
mod markdown;
mod pages;
mod problem;
mod rollouts;
mod timeline;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Semaphore, watch};

use crate::engine::clock::Stopwatch;
use crate::engine::conductor::Conductor;
use crate::engine::history::Runs;
use crate::engine::journal::Journal;
use crate::engine::ports::HouseRooms;

use self::access::{Access, Visitor};
use self::problem::Problem;

pub use self::keys::Keys;
pub use self::timeline::Paint;
// Fuzzing holds what comes out of it to be safe, at a speed that no request has.
#[doc(hidden)]
pub use self::markdown::{to_html, to_html_inline};

/// The largest request body, in bytes: a long form with every field full is far below it.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// How long a request may take; a press is answered within milliseconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What the pages may load and send: only from and to here, no inline code.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What every answer bears.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// A place for one export at a time.
#[must_use]
pub fn export_places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(export::EXPORTS_MAX))
}

/// What the web side is joined to. Every request takes clones of it along, so they are cheap.
#[derive(Clone)]
pub struct Web(Arc<Joined>);

impl Web {
    /// Joined to these.
    #[must_use]
    pub fn new(joined: Joined) -> Self {
        Self(Arc::new(joined))
    }
}

impl Deref for Web {
    type Target = Joined;

    fn deref(&self) -> &Joined {
        &self.0
    }
}

/// The parts that the web side needs of the others.
pub struct Joined {
    /// The way to the rollouts.
    pub conductor: Conductor,
    /// The rooms that are shown.
    pub rooms: Arc<dyn HouseRooms>,
    /// Whether this is a demo: nobody logs in, persons are named in the body, clocks can be moved.
    pub demo: bool,
    /// Hosts that requests may name, beside addresses and `localhost`; a page elsewhere can't reach a local demo by its own name.
    pub hosts: Vec<String>,
    /// Which request every idempotency key was used for.
    pub keys: Keys,
    /// What lets people in.
    pub access: Access,
    /// What operators take along.
    pub journal: Arc<dyn Journal>,
    /// Places for whoever does.
    pub exports: Arc<Semaphore>,
    /// How long steps took in finished rollouts.
    pub runs: Runs,
    /// What draws pictures.
    pub paint: Paint,
    /// The figures.
    pub metrics: Option<PrometheusHandle>,
    /// Becomes true when the process shuts down: live streams end.
    pub closing: watch::Receiver<bool>,
}

/// All routes.
pub fn router(web: Web) -> Router {
    // The stream stays open; everything else ends in time.
    let timed = Router::new()
        .merge(api::routes())
        .merge(rollouts::routes())
        .merge(access::api::routes())
        .merge(export::routes())
        .merge(pages::routes())
        .merge(timeline::routes())
        .merge(history::routes())
        .merge(health::routes());
    let timed = timed.layer(middleware::from_fn(in_time));
    timed
        .merge(live::routes())
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(web.clone(), access::guard))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(web.clone(), around))
        .with_state(web)
}

/// A browser gets a page, a script a problem.
async fn not_found(State(web): State<Web>, visitor: Visitor, uri: Uri, headers: HeaderMap) -> Response {
    let wants_page = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|a| a.contains("text/html"));
    if wants_page && !uri.path().starts_with("/api/") {
        return pages::nothing_here(&web, visitor).await;
    }
    Problem::new(StatusCode::NOT_FOUND, "There is nothing at this address. The API is described at /api/openapi.json.")
        .into_response()
}

async fn wrong_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "This address does not take this method. The API is described at /api/openapi.json.",
    )
}

/// Counts requests by what they were answered, whoever refused or answered them, and tells browsers what our pages never do.
async fn around(State(web): State<Web>, request: Request, next: Next) -> Response {
    let watch = Stopwatch::start();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if web.access.is_https() {
        // A browser that was here once does not come by an address that can be listened to.
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    let status = response.status().as_u16().to_string();
    metrics::counter!("tminus_http_requests_total", "status" => status).increment(1);
    metrics::histogram!("tminus_http_request_seconds").record(watch.seconds());
    response
}

/// Nothing is waited for without end; who waited gets a problem like any other.
async fn in_time(request: Request, next: Next) -> Response {
    let Ok(response) = tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await else {
        let says = format!(
            "There was no answer within {} s. What was asked may still happen; the same `Idempotency-Key` asks again without \
             doing it twice.",
            REQUEST_TIMEOUT.as_secs()
        );
        return Problem::new(StatusCode::GATEWAY_TIMEOUT, says).into_response();
    };
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use tower::ServiceExt;

    #[tokio::test(start_paused = true)]
    async fn who_waited_too_long_gets_a_problem() {
        let router: Router = Router::new()
            .route("/", axum::routing::get(|| async { std::future::pending::<()>().await }))
            .layer(middleware::from_fn(in_time));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), BODY_BYTES_MAX).await.unwrap();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(problem["detail"].as_str().unwrap().contains("within 30 s"), "{problem}");
    }
}
