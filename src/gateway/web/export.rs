//! The journal, for operators to take along while T-minus serves.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::engine::backups::file_name;
use crate::engine::journal::ReadError;
use crate::engine::journal::export::{Exporter, chunks};

use super::Web;
use super::access::Visitor;
use super::problem::Problem;

/// How many exports are made at once: each reads all of the journal.
pub(super) const EXPORTS_MAX: usize = 1;
/// How long whoever takes an export along may leave a piece lying. Somebody who reads slowly takes one now and then; somebody who
/// stopped reading would keep everybody else from it for as long as the connection stands.
const PIECE_TIMEOUT: Duration = Duration::from_mins(1);

/// Where the journal is taken along.
pub(super) const EXPORT_PATH: &str = "/api/journal/export";

pub(super) fn routes() -> Router<Web> {
    Router::new().route("/api/journal/export", get(export))
}

/// All of the journal as of now. Whoever reads it sees at its last line whether it is whole.
async fn export(State(web): State<Web>, visitor: Visitor) -> Result<Response, Problem> {
    let by = visitor.operator()?.map(ToString::to_string);
    let Ok(place) = web.exports.clone().try_acquire_owned() else {
        let says = "Another export is under way. Each reads all of the journal; ask again when it is done.";
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, says).retry_after(10));
    };
    let now = web.conductor.now();
    let begun = Exporter::begin(web.journal.clone(), now).await;
    let exporter = begun.map_err(|error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{error}.")))?;
    // It says everything that anybody said.
    let by = by.as_deref().unwrap_or("nobody who is named");
    tracing::info!(exported_by = by, "The journal is taken along by {by}");
    let pieces = chunks(exporter).inspect_err(|error| tracing::error!("An export broke off: {error}"));
    let name = format!("attachment; filename=\"{}\"", file_name(now));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_str(&name).expect("digits and letters are a header")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Body::from_stream(taken(pieces, place))).into_response())
}

/// The pieces as somebody takes them. Their place is taken until the last one is taken, one was left lying for too long, or
/// whoever asked is gone. What ends before its last piece ends with an error, so that nobody takes it for whole.
fn taken(
    pieces: impl Stream<Item = Result<Vec<u8>, ReadError>> + Send + 'static,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = io::Result<Vec<u8>>> {
    let (give, take) = mpsc::channel(1);
    tokio::spawn(async move {
        let _held = place;
        let mut pieces = std::pin::pin!(pieces);
        loop {
            let piece = pieces.next().await;
            let is_last = piece.is_none();
            match give.send_timeout(piece, PIECE_TIMEOUT).await {
                Ok(()) if is_last => return,
                Ok(()) => {}
                Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                    tracing::warn!("An export was not taken for {} s, and was broken off", PIECE_TIMEOUT.as_secs());
                    return;
                }
                Err(mpsc::error::SendTimeoutError::Closed(_)) => return,
            }
        }
    });
    stream::unfold(Some(take), |take| async {
        let mut take = take?;
        match take.recv().await {
            Some(Some(Ok(piece))) => Some((Ok(piece), Some(take))),
            Some(Some(Err(error))) => Some((Err(io::Error::other(error)), None)),
            Some(None) => None,
            None => Some((Err(io::Error::new(io::ErrorKind::TimedOut, "it was not taken in time")), None)),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;
    use tokio::time::timeout;

    use super::*;

    fn pieces(count: u8) -> impl Stream<Item = Result<Vec<u8>, ReadError>> + Send + 'static {
        stream::iter((0..count).map(|piece| Ok(vec![piece])))
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_stops_reading_gives_the_place_back_and_hears_that_it_is_not_whole() {
        let places = Arc::new(Semaphore::new(1));
        let mut stalled = Box::pin(taken(pieces(9), places.clone().try_acquire_owned().unwrap()));
        assert_eq!(stalled.next().await.unwrap().unwrap(), [0]);
        assert!(timeout(PIECE_TIMEOUT / 2, places.acquire()).await.is_err(), "it may go on");
        let place = timeout(PIECE_TIMEOUT, places.acquire()).await.expect("it is given up");
        let rest: Vec<_> = stalled.collect().await;
        assert!(rest.last().unwrap().is_err(), "{rest:?}");
        drop(place);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_reads_slowly_gets_all_of_it_and_whoever_goes_gives_the_place_back() {
        let places = Arc::new(Semaphore::new(1));
        let mut slow = Box::pin(taken(pieces(9), places.clone().try_acquire_owned().unwrap()));
        for piece in 0..9 {
            tokio::time::sleep(PIECE_TIMEOUT / 2).await;
            assert_eq!(slow.next().await.unwrap().unwrap(), [piece]);
        }
        assert!(slow.next().await.is_none());
        let gone = taken(pieces(9), places.clone().acquire_owned().await.unwrap());
        drop(gone);
        let place = timeout(Duration::from_millis(1), places.acquire()).await;
        place.expect("nobody waits for who is gone").unwrap().forget();
    }
}
