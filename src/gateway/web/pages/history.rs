//! How it went before, as a page.

use axum::Router;
use axum::extract::State;
use axum::response::{Html, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};

use crate::domain::history::{Month, StepHistory};
use crate::domain::time::say_seconds;
use crate::gateway::web::Web;
use crate::gateway::web::history::{Asked, History, of};
use crate::gateway::web::problem::{Problem, Query};

use super::{Shell, Viewer, page, render, shell};

/// How wide the picture of a month is, in its own units.
const MONTH_WIDTH: usize = 1000;

pub(super) fn routes() -> Router<Web> {
    Router::new().route("/history", get(history))
}

#[derive(Deserialize)]
struct Wanted {
    /// Empty is none: a form sends it so.
    #[serde(default)]
    runbook: String,
    #[serde(default)]
    rehearsals: bool,
}

#[derive(Serialize)]
struct HistoryPage {
    shell: Shell,
    months: Vec<MonthRow>,
    steps: Vec<StepRow>,
    slowest: Vec<String>,
    history: History,
}

#[derive(Serialize)]
struct MonthRow {
    #[serde(flatten)]
    month: Month,
    all: usize,
    /// The outcomes side by side: which, from where, how wide.
    parts: Vec<(&'static str, usize, usize)>,
}

#[derive(Serialize)]
struct StepRow {
    #[serde(flatten)]
    step: StepHistory,
    median: String,
    slowest_took: String,
    newest_took: String,
    /// How much more or less than the median of the runs before: `+2m`.
    against: Option<String>,
    /// `slower`, `faster` or nothing.
    pace: &'static str,
}

async fn history(State(web): State<Web>, viewer: Viewer, Query(wanted): Query<Wanted>) -> Response {
    let asked = Asked { runbook: Some(wanted.runbook).filter(|runbook| !runbook.is_empty()), rehearsals: wanted.rehearsals };
    page(&web, &viewer, history_page(&web, &viewer, &asked).await).await
}

async fn history_page(web: &Web, viewer: &Viewer, asked: &Asked) -> Result<Html<String>, Problem> {
    let history = of(web, asked).await?;
    let most = history.months.iter().map(Month::all).max().unwrap_or(1).max(1);
    let page = HistoryPage {
        shell: shell(web, viewer, "/history", None).await?,
        months: history.months.iter().map(|month| month_row(month, most)).collect(),
        steps: history.steps.iter().map(step_row).collect(),
        slowest: slowest(&history),
        history,
    };
    render("history.html", &page)
}

fn slowest(history: &History) -> Vec<String> {
    let step = |id: &String| history.steps.iter().find(|step| step.step == *id);
    let said = |step: &StepHistory| format!("{}: {}", step.title, say_seconds(step.median_seconds));
    history.slowest.iter().filter_map(step).map(said).collect()
}

fn month_row(month: &Month, most: usize) -> MonthRow {
    let mut from = 0;
    let counts = [("succeeded", month.succeeded), ("failed", month.failed), ("no-go", month.no_go), ("aborted", month.aborted)];
    let parts = counts.into_iter().filter(|(_, count)| *count > 0).map(|(outcome, count)| {
        let wide = count * MONTH_WIDTH / most;
        from += wide;
        (outcome, from - wide, wide)
    });
    MonthRow { parts: parts.collect(), all: month.all(), month: month.clone() }
}

fn step_row(step: &StepHistory) -> StepRow {
    let difference = step.earlier_median_seconds.map(|earlier| step.newest_seconds - earlier);
    let against = difference.map(|seconds| match seconds {
        0 => "as before".to_owned(),
        more if more > 0 => format!("+{}", say_seconds(more)),
        less => format!("−{}", say_seconds(-less)),
    });
    let pace = match difference {
        Some(more) if more > 0 => "slower",
        Some(less) if less < 0 => "faster",
        _ => "",
    };
    StepRow {
        median: say_seconds(step.median_seconds),
        slowest_took: say_seconds(step.slowest_seconds),
        newest_took: say_seconds(step.newest_seconds),
        against,
        pace,
        step: step.clone(),
    }
}
