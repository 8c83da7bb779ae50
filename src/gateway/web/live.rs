//! Live updates: a stream of server-sent events that says that something changed; what, is looked up.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use axum::routing::get;
use futures_util::stream::{self, Stream};

use super::Web;
use super::access::Visitor;
use super::problem::Problem;

/// The least time between two events: a burst of clicks is one look.
const PAUSE: Duration = Duration::from_millis(100);
/// How often a silent stream says that it is alive, below what proxies take for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How soon a browser that lost the stream tries again.
const RETRY: Duration = Duration::from_secs(1);

pub(super) fn routes() -> Router<Web> {
    Router::new().route("/api/stream", get(changes))
}

async fn changes(
    State(web): State<Web>,
    visitor: Visitor,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let place = web.access.stream(&visitor)?;
    let watches = (web.rooms.watch(), web.conductor.changes(), web.closing.clone());
    // The first event says how things stand; after it, one whenever something changed.
    let start = (watches, (web, visitor, place), true);
    let events = stream::unfold(start, |((mut rooms, mut rollouts, mut closing), whose, first)| async move {
        if !first {
            tokio::select! {
                changed = rooms.changed() => changed.ok()?,
                changed = rollouts.changed() => changed.ok()?,
                _ = closing.wait_for(|closing| *closing) => return None,
            }
            tokio::time::sleep(PAUSE).await;
            // Whoever logged out, or was shown out, hears nothing more.
            let (web, visitor, _) = &whose;
            if !visitor.is_still(web).await {
                return None;
            }
        }
        let data = format!(r#"{{"rooms":{},"rollouts":{}}}"#, *rooms.borrow_and_update(), *rollouts.borrow_and_update());
        Some((Ok(Event::default().event("change").retry(RETRY).data(data)), ((rooms, rollouts, closing), whose, false)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}
