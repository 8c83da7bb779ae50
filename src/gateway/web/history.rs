//! How it went before, as data: outcomes by month, and how long the steps of a runbook took.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::history::{Filter, Month, Run, StepHistory, months, runbooks, slowest, so_far, steps, usual_by_step};
use crate::domain::problem::did_you_mean;
use crate::domain::registry::Registry;
use crate::domain::rollout::command::RolloutId;
use crate::domain::runbook::model::Outcome;
use crate::engine::history::RUNS_MAX;

use super::Web;
use super::problem::{Problem, Query};

/// How many finished rollouts are listed.
const FINISHED_MAX: usize = 50;
/// With how many earlier runs a rollout is compared: fewer than a history shows, because every page of a rollout does it.
const COMPARED_RUNS_MAX: usize = 20;

pub(super) fn routes() -> Router<Web> {
    Router::new().route("/api/history", get(history))
}

/// What is asked of the history.
#[derive(Deserialize)]
pub(super) struct Asked {
    /// Of which runbook.
    pub runbook: Option<String>,
    /// Whether rehearsals count too.
    #[serde(default)]
    pub rehearsals: bool,
}

/// What there is to say.
#[derive(Serialize)]
pub(super) struct History {
    /// Of which runbook, where one was asked for.
    pub runbook: Option<String>,
    /// Whether rehearsals count too.
    pub rehearsals: bool,
    /// Every runbook that has finished rollouts.
    pub runbooks: Vec<RunbookLine>,
    /// Outcomes by month, newest first.
    pub months: Vec<Month>,
    /// How many rollouts that is.
    pub finished: usize,
    /// The latest of them, newest first.
    pub latest: Vec<FinishedLine>,
    /// Whose steps are shown: the runbook asked for, or else that of the latest rollout.
    pub steps_of: Option<String>,
    /// How many of its runs were looked at.
    pub runs: usize,
    /// Its steps.
    pub steps: Vec<StepHistory>,
    /// Those that usually take longest, by id.
    pub slowest: Vec<String>,
}

/// A runbook that has finished rollouts.
#[derive(Serialize)]
pub(super) struct RunbookLine {
    /// Its name.
    pub name: String,
    /// How many.
    pub finished: usize,
}

/// A finished rollout in the list.
#[derive(Serialize)]
pub(super) struct FinishedLine {
    pub id: RolloutId,
    pub title: String,
    pub runbook: String,
    pub result: Option<Outcome>,
    /// When it was over, by the clock of the installation.
    pub closed: Option<DateTime<Utc>>,
    pub rehearsal: bool,
}

async fn history(State(web): State<Web>, Query(asked): Query<Asked>) -> Result<axum::Json<History>, Problem> {
    of(&web, &asked).await.map(axum::Json)
}

/// What the history says. Of all rollouts only the registry is looked at; streams are read of one runbook's latest runs, once.
pub(super) async fn of(web: &Web, asked: &Asked) -> Result<History, Problem> {
    let filter = Filter { runbook: asked.runbook.as_deref(), rehearsals: asked.rehearsals };
    let (known, months, finished, latest) = web.conductor.with_registry(|registry| {
        let finished = filter.finished(registry);
        let latest: Vec<FinishedLine> = finished
            .iter()
            .take(FINISHED_MAX)
            .map(|(id, rollout)| FinishedLine {
                id: (*id).clone(),
                title: rollout.title.clone(),
                runbook: rollout.runbook.clone(),
                result: rollout.closed,
                closed: rollout.closed_at,
                rehearsal: rollout.rehearsal,
            })
            .collect();
        let months = months(finished.iter().map(|(_, rollout)| *rollout));
        (runbooks(registry, asked.rehearsals), months, finished.len(), latest)
    });
    if let Some(runbook) = &asked.runbook {
        is_known(web, runbook, &known)?;
    }
    let steps_of = asked.runbook.clone().or_else(|| latest.first().map(|rollout| rollout.runbook.clone()));
    let runs = match &steps_of {
        Some(runbook) => {
            let filter = Filter { runbook: Some(runbook), rehearsals: asked.rehearsals };
            web.runs.latest(&filter, None, RUNS_MAX).await?
        }
        None => Vec::new(),
    };
    let steps = steps(runs.iter().map(Arc::as_ref));
    Ok(History {
        runbook: asked.runbook.clone(),
        rehearsals: asked.rehearsals,
        runbooks: known.into_iter().map(|(name, finished)| RunbookLine { name, finished }).collect(),
        months,
        finished,
        latest,
        steps_of,
        runs: runs.len(),
        slowest: slowest(&steps).into_iter().map(|step| step.step.clone()).collect(),
        steps,
    })
}

/// A runbook that nothing finished of has no history yet; one that nobody knows is a slip.
fn is_known(web: &Web, runbook: &str, known: &[(String, usize)]) -> Result<(), Problem> {
    let configured = web.conductor.runbooks();
    let names = known.iter().map(|(name, _)| name.as_str()).chain(configured.keys().map(String::as_str));
    if names.clone().any(|name| name == runbook) {
        return Ok(());
    }
    let hint = did_you_mean(runbook, names).map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
    Err(Problem::new(StatusCode::NOT_FOUND, format!("There is no runbook `{runbook}`.{hint}")))
}

/// How a step compares with the runs before.
#[derive(Serialize)]
pub(super) struct Compared {
    /// In words.
    says: String,
    /// Whether no run before took as long.
    longest: bool,
}

/// How the steps of a rollout compare with earlier runs of its runbook, by id; only where there are enough of them.
pub(super) async fn compared(web: &Web, id: &str) -> Result<BTreeMap<String, Compared>, Problem> {
    let id = RolloutId(id.to_owned());
    let known =
        |registry: &Registry| registry.rollouts.get(&id).map(|known| (known.number, known.runbook.clone(), known.rehearsal));
    // What is pretended takes as long as it pretends: a rehearsal is not compared.
    let Some((number, runbook, false)) = web.conductor.with_registry(known) else { return Ok(BTreeMap::new()) };
    let filter = Filter { runbook: Some(&runbook), rehearsals: false };
    let runs = web.runs.latest(&filter, Some(number), COMPARED_RUNS_MAX).await?;
    let usual = usual_by_step(runs.iter().map(|run: &Arc<Run>| run.as_ref()));
    if usual.is_empty() {
        return Ok(BTreeMap::new());
    }
    let taken = web.conductor.look(&id, |state, _, now| so_far(state, now)).await?.unwrap_or_default();
    let compared = taken.into_iter().filter_map(|(step, (seconds, done))| {
        let usual = usual.get(&step)?;
        Some((step, Compared { says: usual.said_of(seconds, done), longest: usual.is_exceeded_by(seconds) }))
    });
    Ok(compared.collect())
}
