//! The end of a rollout, and what is said about it.

use crate::domain::conversation::voice::shorten;
use crate::domain::message::defaults;
use crate::domain::message::template::{self, Landing, escape_markdown};
use crate::domain::people::list_names;
use crate::domain::report::{Report, report};
use crate::domain::rollout::command::CommandId;
use crate::domain::rollout::event::{Choice, DeliveryOutcome, Event, Recorded};
use crate::domain::rollout::scope::{Ending, scope_of_ending};
use crate::domain::rollout::state::{PhaseState, State};
use crate::domain::runbook::model::Outcome;
use crate::domain::time::say_seconds;

use super::Watch;

/// How many of the slowest steps are named in a message.
const SLOWEST_MAX: usize = 3;
/// How much of what was out of the ordinary is named; the report has the rest.
const UNUSUAL_MAX: usize = 5;
/// How long each of it may be, in characters.
const UNUSUAL_CHARS_MAX: usize = 200;

impl Watch<'_> {
    pub(super) fn end(&self) -> Vec<Event> {
        if !self.state.phases.iter().all(PhaseState::is_settled) {
            return Vec::new();
        }
        let said_no = self.state.steps.iter().any(|step| step.decision == Some(Choice::NoGo));
        let result = self.state.result.unwrap_or(if said_no { Outcome::NoGo } else { Outcome::Succeeded });
        // How a checklist ended, the rollout says that it belongs to.
        let text = self.state.parent.is_none().then(|| self.summary(result));
        vec![Event::Ended { result, text }]
    }

    /// What is said of the whole, in a team's own words where it has some.
    fn summary(&self, result: Outcome) -> String {
        let mut over = self.state.clone();
        let ended = Event::Ended { result, text: None };
        over.evolve(&Recorded::new(&CommandId(String::new()), None, self.now, ended));
        let ending = self.ending(&over, &report(&over, self.people));
        let scope = scope_of_ending(&over, self.now, &ending);
        let words = |body: &str| {
            let text = template::render(body, Landing::Markdown, &scope).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let own = self.state.runbook.messages.get(defaults::ENDED).and_then(|message| words(&message.body));
        let shortest = || format!("**{}** (`{}`) ended **{}**.", escape_markdown(&over.title), over.id, result.title());
        own.or_else(|| words(defaults::ENDED_BODY)).unwrap_or_else(shortest)
    }

    fn ending(&self, over: &State, report: &Report) -> Ending {
        Ending {
            after_t0: report.seconds_after_t0.map(|seconds| {
                let side = if seconds < 0 { "before" } else { "after" };
                let window = report.window_seconds.map(|seconds| format!(" of a window of {}", say_seconds(seconds)));
                format!("{} {side} T-0{}", say_seconds(seconds.abs()), window.unwrap_or_default())
            }),
            decided: self.decided(over),
            slowest: some(report.slowest.iter().take(SLOWEST_MAX).map(|slow| {
                let expected = slow.expected_seconds.map(|seconds| format!(" of {} expected", say_seconds(seconds)));
                format!("“{}” {}{}", slow.step, say_seconds(slow.seconds), expected.unwrap_or_default())
            })),
            unusual: unusual(report),
            delivered: delivered(over),
        }
    }

    /// What was decided, by whom.
    fn decided(&self, over: &State) -> Option<String> {
        some(over.ordered_steps().filter_map(|index| {
            let step = over.steps.get(index)?;
            let decision = step.decision?;
            let agreed = step.votes.values().filter(|vote| vote.choice == decision);
            let names: Vec<String> = agreed.map(|vote| self.people.call(&vote.by)).collect();
            Some(format!("{} by {}", decision.title(), list_names(&names)))
        }))
    }
}

fn unusual(report: &Report) -> Option<String> {
    let all: Vec<&String> = report.deviations.iter().chain(&report.amendments).collect();
    let named = all.iter().take(UNUSUAL_MAX).map(|one| shorten(one, UNUSUAL_CHARS_MAX));
    let more = all.len().saturating_sub(UNUSUAL_MAX);
    some(named.chain((more > 0).then(|| format!("and {more} more"))))
}

/// How many announcements went where; what did not arrive is named.
fn delivered(over: &State) -> Option<String> {
    let sent: Vec<_> = over.announcements.iter().filter(|announcement| !announcement.is_personal()).collect();
    let to = || sent.iter().flat_map(|announcement| &announcement.destinations);
    if over.rehearsal || sent.is_empty() {
        return None;
    }
    let arrived = to().filter(|to| matches!(to.outcome, Some(DeliveryOutcome::Delivered { .. }))).count();
    let missing = to().filter(|to| matches!(to.outcome, Some(DeliveryOutcome::Failed { .. })) || to.waived.is_some());
    let missing = some(missing.map(|to| to.to.to_string())).map(|missing| format!("; not at {missing}")).unwrap_or_default();
    let announcements = if sent.len() == 1 { "announcement" } else { "announcements" };
    Some(format!("{} {announcements}, delivered {arrived} of {} times{missing}", sent.len(), to().count()))
}

fn some(parts: impl Iterator<Item = String>) -> Option<String> {
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}
