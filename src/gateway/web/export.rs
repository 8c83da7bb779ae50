//! The journal, for operators to take along while T-minus serves.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream::{StreamExt as _, TryStreamExt as _};

use crate::engine::journal::export::{Exporter, chunks};

use super::Web;
use super::access::Visitor;
use super::problem::Problem;

/// How many exports are made at once: each reads all of the journal.
pub(super) const EXPORTS_MAX: usize = 1;

pub(super) fn routes() -> Router<Web> {
    Router::new().route("/api/journal/export", get(export))
}

/// All of the journal as of now. Whoever reads it sees at its last line whether it is whole.
async fn export(State(web): State<Web>, visitor: Visitor) -> Result<Response, Problem> {
    visitor.operator()?;
    let Ok(place) = web.exports.clone().try_acquire_owned() else {
        let says = "Another export is under way. Each reads all of the journal; ask again when it is done.";
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, says).retry_after(10));
    };
    let now = web.conductor.now();
    let begun = Exporter::begin(web.journal.clone(), now).await;
    let exporter = begun.map_err(|error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{error}.")))?;
    let pieces = chunks(exporter).inspect_err(|error| tracing::error!("An export broke off: {error}"));
    // Its place is taken until the last piece is out, or whoever asked is gone.
    let pieces = pieces.map(move |piece| {
        let _held = &place;
        piece
    });
    let name = format!("attachment; filename=\"tminus-{}.jsonl\"", now.format("%Y%m%dT%H%M%SZ"));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_str(&name).expect("digits and letters are a header")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}
