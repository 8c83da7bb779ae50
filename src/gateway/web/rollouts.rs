//! Which rollouts there are, newest first and some at a time: an installation has thousands after some years.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::registry::{Registered, Registry};
use crate::domain::rollout::command::RolloutId;
use crate::domain::runbook::model::Outcome;

use super::Web;
use super::api::no_such;
use super::problem::{Problem, Query};

/// How many are listed where nobody says how many.
const LISTED: usize = 100;
/// How many are listed at once.
const LISTED_MAX: usize = 1000;

pub(super) fn routes() -> Router<Web> {
    Router::new().route("/api/rollouts", get(list))
}

/// A rollout in the list.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RolloutLine {
    pub id: RolloutId,
    pub title: String,
    pub runbook: String,
    pub status: Status,
    pub result: Option<Outcome>,
    pub rooms: Vec<String>,
    pub started: DateTime<Utc>,
    pub started_by: Option<String>,
    /// The rollout whose checklist it is.
    pub parent: Option<RolloutId>,
}

/// Whether a rollout goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Status {
    Open,
    Ended,
}

/// Which of them are wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    status: Option<Status>,
    /// Those that began before this one.
    before: Option<String>,
    limit: Option<usize>,
}

async fn list(State(web): State<Web>, Query(wanted): Query<Wanted>) -> Result<axum::Json<Vec<RolloutLine>>, Problem> {
    let limit = wanted.limit.unwrap_or(LISTED);
    if !(1..=LISTED_MAX).contains(&limit) {
        let says =
            format!("`limit` is a number from 1 to {LISTED_MAX}. For more, ask again with `before` and the last one's id.");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, says));
    }
    let mut before = number_of(&web, wanted.before.as_deref())?;
    let is_left_out = |known: &Registered| wanted.status == Some(Status::Open) && known.closed.is_some();
    let mut lines = Vec::new();
    // One after the other: whether one that is not closed has ended, it knows itself.
    while lines.len() < limit
        && let Some((number, line)) = next(&web, before, &is_left_out).await?
    {
        before = number;
        if wanted.status.is_none_or(|status| status == line.status) {
            lines.push(line);
        }
    }
    Ok(axum::Json(lines))
}

/// The newest ones, of which no more is asked than the registry knows; with how many of that kind there are.
pub(super) async fn newest(
    web: &Web,
    closed: bool,
    before: Option<&str>,
    max: usize,
) -> Result<(Vec<RolloutLine>, usize), Problem> {
    let mut before = number_of(web, before)?;
    let is_left_out = |known: &Registered| known.closed.is_some() != closed;
    let mut lines = Vec::new();
    while lines.len() < max
        && let Some((number, line)) = next(web, before, &is_left_out).await?
    {
        before = number;
        lines.push(line);
    }
    let count = |registry: &Registry| registry.rollouts.values().filter(|known| !is_left_out(known)).count();
    Ok((lines, web.conductor.with_registry(count)))
}

/// The number before which the wanted ones begin: that of a rollout, or none at all.
fn number_of(web: &Web, id: Option<&str>) -> Result<u32, Problem> {
    let Some(id) = id else { return Ok(u32::MAX) };
    let number = |registry: &Registry| registry.rollouts.get(&RolloutId(id.to_owned())).map(|known| known.number);
    web.conductor.with_registry(number).ok_or_else(|| no_such(web, id))
}

/// The newest rollout before a number that is not left out.
async fn next(web: &Web, before: u32, is_left_out: &impl Fn(&Registered) -> bool) -> Result<Option<(u32, RolloutLine)>, Problem> {
    let found = web.conductor.with_registry(|registry| {
        let found = registry.newest_before(before).find(|(_, known)| !is_left_out(known));
        found.map(|(id, known)| (id.clone(), known.clone()))
    });
    let Some((id, known)) = found else { return Ok(None) };
    let (status, result) = if let Some(result) = known.closed {
        (Status::Ended, Some(result))
    } else {
        let look = web.conductor.look(&id, |state, _, _| (state.ended.is_some(), state.result)).await?;
        let (ended, result) = look.unwrap_or_default();
        (if ended { Status::Ended } else { Status::Open }, result)
    };
    let line = RolloutLine {
        id,
        title: known.title,
        runbook: known.runbook,
        status,
        result,
        rooms: known.rooms,
        started: known.at,
        started_by: known.by.as_ref().map(ToString::to_string),
        parent: known.parent,
    };
    Ok(Some((known.number, line)))
}
