//! The timeline of a rollout as a picture: on its page, and as files to send around.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::domain::rollout::command::RolloutId;
use crate::domain::timeline::scene::{Format, scene};
use crate::domain::timeline::svg::{Look, svg};
use crate::domain::timeline::{Timeline, timeline};

use super::Web;
use super::api::no_such;
use super::problem::Problem;

/// Draws SVG as PNG, or says why it can't: work of some tens of milliseconds.
pub type Paint = fn(svg: &str) -> Result<Vec<u8>, String>;

/// How many pictures are drawn at once: each takes a core and some 50 MB while it is.
const PICTURES_AT_ONCE_MAX: usize = 2;

static PICTURES: Semaphore = Semaphore::const_new(PICTURES_AT_ONCE_MAX);

pub(super) fn routes() -> Router<Web> {
    Router::new().route("/api/rollouts/{id}/timeline.svg", get(as_svg)).route("/api/rollouts/{id}/timeline.png", get(as_png))
}

async fn of(web: &Web, id: &str) -> Result<Timeline, Problem> {
    let seen = web.conductor.look(&RolloutId(id.to_owned()), |state, _, now| timeline(state, now)).await?;
    seen.ok_or_else(|| no_such(web, id))
}

/// The same picture for a wide page and for a narrow one; the style sheet shows one of them.
#[derive(Serialize)]
pub(super) struct Pictures {
    wide: String,
    narrow: String,
}

/// The pictures for the page of a rollout.
pub(super) async fn pictures(web: &Web, id: &str) -> Result<Pictures, Problem> {
    let timeline = of(web, id).await?;
    let draw = |format: &Format, name| svg(&scene(&timeline, format), Look::Page(name));
    Ok(Pictures { wide: draw(&Format::PAGE, "wide"), narrow: draw(&Format::PHONE, "narrow") })
}

async fn file(web: &Web, id: &str) -> Result<String, Problem> {
    Ok(svg(&scene(&of(web, id).await?, &Format::FILE), Look::Alone))
}

async fn as_svg(State(web): State<Web>, Path(id): Path<String>) -> Result<Response, Problem> {
    let svg = file(&web, &id).await?;
    Ok(([(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "no-store")], svg).into_response())
}

async fn as_png(State(web): State<Web>, Path(id): Path<String>) -> Result<Response, Problem> {
    let svg = file(&web, &id).await?;
    let turn = PICTURES.acquire().await.expect("nobody closes it");
    let paint = web.paint;
    let painted = tokio::task::spawn_blocking(move || {
        // Also where nobody waits any more, the next picture waits until this one is done.
        let _turn = turn;
        paint(&svg)
    });
    let png = painted.await.map_err(|error| error.to_string()).and_then(|painted| painted).map_err(|error| {
        tracing::error!("The timeline of {id} can't be drawn: {error}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "This picture could not be drawn. The server's log says why.")
    })?;
    Ok(([(header::CONTENT_TYPE, "image/png"), (header::CACHE_CONTROL, "no-store")], png).into_response())
}
