//! For machines: is it alive, is it ready, what are its figures.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Web;
use super::access::Visitor;
use super::problem::Problem;

pub(super) fn routes() -> Router<Web> {
    Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(ready)).route("/metrics", get(figures))
}

/// Ready means that a click would be recorded.
async fn ready(State(web): State<Web>) -> Response {
    if *web.closing.borrow() {
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "T-minus is stopping.").into_response();
    }
    match web.conductor.stopped() {
        None => "ready\n".into_response(),
        Some(why) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("The journal stopped accepting: {why}. See that its disk has room and can be written to, then restart; `tminus journal verify` says whether all is there."),
        )
        .into_response(),
    }
}

async fn figures(State(web): State<Web>, visitor: Visitor) -> Response {
    if let Err(problem) = visitor.operator() {
        return problem.into_response();
    }
    let Some(metrics) = &web.metrics else {
        return Problem::new(StatusCode::NOT_FOUND, "Figures are not collected in this process.").into_response();
    };
    let open = web.conductor.with_registry(|registry| registry.open().filter(|(_, rollout)| !rollout.rehearsal).count());
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; nobody has 2^52 open rollouts")]
    metrics::gauge!("tminus_rollouts_open").set(open as f64);
    metrics::gauge!("tminus_rollouts_asleep").set(f64::from(web.conductor.asleep()));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()).into_response()
}
